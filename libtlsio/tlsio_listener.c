#include "libtlsio/tlsio_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"

/* Connections taken in one turn, so that a flood leaves time for those already here. */
#define BATCH_MOST 64
#define TROUBLE_PAUSE_MS 1000

struct tlsio_listener {
	struct tlsio_loop *loop;
	const struct tlsio_listener_events *events;
	void *ctx;
	struct tlsio_watch watch;
	struct tlsio_timer trouble_over;
	struct netaddr bound; /* of family NONE when it differs by connection (wildcard) */
	bool is_paused;
	bool *is_gone; /* set while on_accept runs, which may free us */
};

static int set_option(int fd, int level, int option)
{
	int one = 1;
	return setsockopt(fd, level, option, &one, sizeof(one));
}

static int bind_and_listen(int fd, const struct sockaddr *at, socklen_t length, int backlog)
{
	return bind(fd, at, length) < 0 || listen(fd, backlog) < 0 ? -1 : 0;
}

static int close_with(int fd, struct err *err, const char *doing, const char *what)
{
	int why = errno;
	close(fd);
	return err_system(err, why, "cannot %s %s", doing, what);
}

int tlsio_listener_open_tcp(const struct netaddr *address, int backlog, struct netaddr *ret_bound,
	struct err *err)
{
	char text[NETADDR_TEXT_BYTES];
	struct sockaddr_storage at;
	netaddr_format(address, text);
	if (address->family != NETADDR_IPV4 && address->family != NETADDR_IPV6)
		return err_set(err, ERR_INPUT, "cannot listen on '%s': not an IP address", text);
	socklen_t length = netaddr_to_sockaddr(address, &at);
	int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_system(err, errno, "cannot make a socket for %s", text);
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) < 0 ||
		set_option(fd, SOL_SOCKET, SO_REUSEPORT) < 0 ||
		(at.ss_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0))
		return close_with(fd, err, "prepare the socket for", text);
	if (bind_and_listen(fd, (struct sockaddr *)&at, length, backlog) < 0)
		return close_with(fd, err, "listen on", text);
	if (ret_bound) {
		length = sizeof(at);
		if (getsockname(fd, (struct sockaddr *)&at, &length) < 0)
			return close_with(fd, err, "learn the port of", text);
		netaddr_from_sockaddr((struct sockaddr *)&at, ret_bound);
	}
	return fd;
}

/* A socket file that nobody answers is left from a process that died. */
static void remove_if_stale(const char *path, const struct sockaddr_un *at)
{
	struct stat st;
	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

int tlsio_listener_open_unix(const char *path, unsigned mode, int backlog, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	if (!str_copy(str_of(path), at.sun_path, sizeof(at.sun_path)))
		return err_set(err, ERR_INPUT, "'%s': a unix socket's path has at most %zu bytes",
			path, sizeof(at.sun_path) - 1);
	remove_if_stale(path, &at);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_system(err, errno, "cannot make a socket for %s", path);
	/* Between bind and listen nobody can connect, so the mode is right in time. */
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return close_with(fd, err, "listen on", path);
	if (chmod(path, mode) < 0 || listen(fd, backlog) < 0) {
		unlink(path);
		return close_with(fd, err, "listen on", path);
	}
	return fd;
}

static void update(struct tlsio_listener *l)
{
	bool listens = !l->is_paused && !tlsio_timer_is_active(&l->trouble_over);
	tlsio_watch_set(&l->watch, listens ? TLSIO_READ : 0);
}

static void hand_over(struct tlsio_listener *l, int fd, const struct sockaddr_storage *from)
{
	struct netaddr remote, local = l->bound;
	netaddr_from_sockaddr((const struct sockaddr *)from, &remote);
	if (local.family == NETADDR_NONE) {
		struct sockaddr_storage to = { 0 };
		socklen_t length = sizeof(to);
		if (getsockname(fd, (struct sockaddr *)&to, &length) == 0)
			netaddr_from_sockaddr((struct sockaddr *)&to, &local);
	}
	l->events->on_accept(l->ctx, fd, &local, &remote);
}

/* These tell of the one connection that is gone already, not of us (accept(2), "Error handling"). */
static bool is_about_the_peer(int why)
{
	switch (why) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENOPROTOOPT:
	case ENETDOWN:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void on_ready(void *ctx, unsigned events)
{
	(void)events;
	struct tlsio_listener *l = ctx;
	bool is_gone = false;
	l->is_gone = &is_gone;
	for (int i = 0; i < BATCH_MOST && l->watch.events; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t length = sizeof(from);
		int fd = accept4(l->watch.fd, (struct sockaddr *)&from, &length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		int why = errno;
		if (fd >= 0) {
			hand_over(l, fd, &from);
		} else if (why == EAGAIN || why == EWOULDBLOCK) {
			break;
		} else if (!is_about_the_peer(why)) {
			struct err err;
			err_system(&err, why, "cannot accept connections");
			tlsio_timer_start(&l->trouble_over, TROUBLE_PAUSE_MS);
			update(l);
			if (l->events->on_trouble)
				l->events->on_trouble(l->ctx, &err);
		}
		if (is_gone)
			return;
	}
	l->is_gone = NULL;
}

static void on_trouble_over(void *ctx)
{
	update(ctx);
}

/* The local address of all connections, unless we listen on the wildcard. */
static struct netaddr bound_address(int fd)
{
	static const uint8_t any[16];
	struct sockaddr_storage at = { 0 };
	socklen_t length = sizeof(at);
	struct netaddr bound = { 0 };
	if (getsockname(fd, (struct sockaddr *)&at, &length) == 0)
		netaddr_from_sockaddr((struct sockaddr *)&at, &bound);
	if (bound.family != NETADDR_UNIX && memcmp(bound.bytes, any, sizeof(any)) == 0)
		bound = (struct netaddr){ 0 };
	return bound;
}

struct tlsio_listener *tlsio_listener_new(struct tlsio_loop *loop, int fd,
	const struct tlsio_listener_events *events, void *ctx)
{
	struct tlsio_listener *l = mem_zero(sizeof(*l));
	l->loop = loop;
	l->events = events;
	l->ctx = ctx;
	l->bound = bound_address(fd);
	/* Accepted sockets inherit it (tcp(7)), which saves a call for each. */
	if (l->bound.family != NETADDR_UNIX)
		set_option(fd, IPPROTO_TCP, TCP_NODELAY);
	tlsio_watch_init(&l->watch, loop, fd, on_ready, l);
	tlsio_timer_init(&l->trouble_over, loop, on_trouble_over, l);
	update(l);
	return l;
}

void tlsio_listener_pause(struct tlsio_listener *l)
{
	l->is_paused = true;
	update(l);
}

void tlsio_listener_resume(struct tlsio_listener *l)
{
	l->is_paused = false;
	update(l);
}

void tlsio_listener_free(struct tlsio_listener **pl)
{
	struct tlsio_listener *l = *pl;
	*pl = NULL;
	if (!l)
		return;
	if (l->is_gone)
		*l->is_gone = true;
	tlsio_watch_set(&l->watch, 0);
	tlsio_timer_stop(&l->trouble_over);
	free(l);
}
