#include "libtlsio/tlsio_dial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"

#define ADDRESSES_MOST 32

struct tlsio_dial {
	const struct tlsio_dial_events *events;
	void *ctx;
	struct tlsio_watch watch; /* fd -1 between attempts */
	struct tlsio_timer timer;
	struct tlsio_turn turn;
	int64_t timeout_ms;
	struct netaddr bind_to; /* of family NONE: let the kernel choose */
	struct sockaddr_un *path; /* unix socket: instead of addresses */
	struct err last;
	size_t index;
	size_t count;
	struct netaddr addresses[];
};

static void drop_attempt(struct tlsio_dial *d)
{
	tlsio_timer_stop(&d->timer);
	tlsio_watch_set(&d->watch, 0);
	if (d->watch.fd >= 0)
		close(d->watch.fd);
	d->watch.fd = -1;
}

static void destroy(struct tlsio_dial *d)
{
	drop_attempt(d);
	tlsio_turn_cancel(&d->turn);
	free(d->path);
	free(d);
}

void tlsio_dial_cancel(struct tlsio_dial **pd)
{
	if (*pd)
		destroy(*pd);
	*pd = NULL;
}

static const char *target(const struct tlsio_dial *d, char *text)
{
	return d->path ? d->path->sun_path : netaddr_format(&d->addresses[d->index], text);
}

static void blame(struct tlsio_dial *d, int why)
{
	char text[NETADDR_TEXT_BYTES];
	err_system(&d->last, why, "cannot connect to %s", target(d, text));
	/* the network's answer, as opposed to our own want of descriptors or rights */
	if (why == ECONNREFUSED || why == ECONNRESET || why == ETIMEDOUT || why == EHOSTUNREACH ||
		why == ENETUNREACH || why == ENOENT)
		d->last.kind = ERR_PEER;
}

static void report_failure(struct tlsio_dial *d)
{
	const struct tlsio_dial_events *events = d->events;
	void *ctx = d->ctx;
	struct err err = d->last;
	if (d->count > 1)
		err_prefix(&err, "none of %zu addresses answered; the last: ", d->count);
	destroy(d);
	events->on_failed(ctx, &err);
}

static void report_success(struct tlsio_dial *d)
{
	const struct tlsio_dial_events *events = d->events;
	void *ctx = d->ctx;
	size_t index = d->index;
	int fd = d->watch.fd;
	struct sockaddr_storage at = { 0 };
	socklen_t length = sizeof(at);
	struct netaddr local = { 0 };
	if (getsockname(fd, (struct sockaddr *)&at, &length) == 0)
		netaddr_from_sockaddr((struct sockaddr *)&at, &local);
	tlsio_watch_set(&d->watch, 0);
	d->watch.fd = -1;
	destroy(d);
	events->on_connected(ctx, fd, index, &local);
}

static int bind_local(int fd, const struct netaddr *bind_to)
{
	struct sockaddr_storage at;
	int one = 1;
	/* the port is chosen at connect, when the whole four-tuple is known */
	if (bind_to->port == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	socklen_t length = netaddr_to_sockaddr(bind_to, &at);
	return bind(fd, (struct sockaddr *)&at, length);
}

static int open_socket(const struct tlsio_dial *d, int family)
{
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || family == AF_UNIX)
		return fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (d->bind_to.family == d->addresses[d->index].family && bind_local(fd, &d->bind_to) < 0) {
		int why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

static void on_ready(void *ctx, unsigned events);

enum attempt { ATTEMPT_CONNECTED, ATTEMPT_WAITS, ATTEMPT_FAILED };

static enum attempt attempt(struct tlsio_dial *d)
{
	struct sockaddr_storage storage;
	const struct sockaddr *at = (const struct sockaddr *)d->path;
	socklen_t length = sizeof(*d->path);
	if (!d->path) {
		length = netaddr_to_sockaddr(&d->addresses[d->index], &storage);
		at = (const struct sockaddr *)&storage;
	}
	int fd = open_socket(d, at->sa_family);
	if (fd < 0) {
		blame(d, errno);
		return ATTEMPT_FAILED;
	}
	tlsio_watch_init(&d->watch, d->turn.loop, fd, on_ready, d);
	if (connect(fd, at, length) == 0)
		return ATTEMPT_CONNECTED;
	if (errno != EINPROGRESS && errno != EINTR) {
		blame(d, errno);
		drop_attempt(d);
		return ATTEMPT_FAILED;
	}
	tlsio_watch_set(&d->watch, TLSIO_WRITE);
	if (d->timeout_ms > 0)
		tlsio_timer_start(&d->timer, d->timeout_ms);
	return ATTEMPT_WAITS;
}

/* From addresses[index] on, until one connects or makes us wait. */
static void go_on(struct tlsio_dial *d)
{
	for (; d->index < d->count; d->index++) {
		enum attempt result = attempt(d);
		if (result == ATTEMPT_CONNECTED)
			report_success(d);
		if (result != ATTEMPT_FAILED)
			return;
	}
	report_failure(d);
}

static void try_next(struct tlsio_dial *d)
{
	drop_attempt(d);
	d->index++;
	go_on(d);
}

static void on_ready(void *ctx, unsigned events)
{
	(void)events;
	struct tlsio_dial *d = ctx;
	int why = 0;
	socklen_t length = sizeof(why);
	if (getsockopt(d->watch.fd, SOL_SOCKET, SO_ERROR, &why, &length) < 0)
		why = errno;
	if (why == 0) {
		report_success(d);
		return;
	}
	blame(d, why);
	try_next(d);
}

static void on_timeout(void *ctx)
{
	struct tlsio_dial *d = ctx;
	char text[NETADDR_TEXT_BYTES];
	err_set(&d->last, ERR_PEER, "cannot connect to %s: no answer within %lld s",
		target(d, text), (long long)(d->timeout_ms + 999) / 1000);
	try_next(d);
}

static void on_start(void *ctx)
{
	go_on(ctx);
}

static struct tlsio_dial *make(struct tlsio_loop *loop, size_t count,
	const struct tlsio_dial_events *events, void *ctx)
{
	struct tlsio_dial *d =
		mem_zero(sizeof(*d) + count * sizeof(d->addresses[0]));
	d->events = events;
	d->ctx = ctx;
	d->count = count;
	tlsio_watch_init(&d->watch, loop, -1, on_ready, d);
	tlsio_timer_init(&d->timer, loop, on_timeout, d);
	tlsio_turn_init(&d->turn, loop, on_start, d);
	tlsio_turn_request(&d->turn);
	return d;
}

struct tlsio_dial *tlsio_dial_start(struct tlsio_loop *loop, const struct netaddr *addresses,
	size_t count, const struct netaddr *bind_to, int64_t timeout_ms_each,
	const struct tlsio_dial_events *events, void *ctx)
{
	assert(count >= 1 && count <= ADDRESSES_MOST);
	struct tlsio_dial *d = make(loop, count, events, ctx);
	memcpy(d->addresses, addresses, count * sizeof(addresses[0]));
	d->timeout_ms = timeout_ms_each;
	if (bind_to)
		d->bind_to = *bind_to;
	return d;
}

struct tlsio_dial *tlsio_dial_start_unix(struct tlsio_loop *loop, const char *path,
	const struct tlsio_dial_events *events, void *ctx)
{
	struct tlsio_dial *d = make(loop, 0, events, ctx);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	if (!str_copy(str_of(path), at.sun_path, sizeof(at.sun_path))) {
		err_set(&d->last, ERR_INPUT, "'%s': a unix socket's path has at most %zu bytes",
			path, sizeof(at.sun_path) - 1);
		return d;
	}
	d->count = 1;
	d->path = mem_alloc(sizeof(at));
	*d->path = at;
	return d;
}
