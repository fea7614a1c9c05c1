#include "libtlsio/tlsio_transport.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"

struct socket_transport {
	struct tlsio_transport base;
	struct tlsio_watch watch;
};

static struct socket_transport *socket_of(struct tlsio_transport *t)
{
	return (struct socket_transport *)(void *)t;
}

static ssize_t socket_read(struct tlsio_transport *t, void *into, size_t capacity)
{
	return recv(socket_of(t)->watch.fd, into, capacity, 0);
}

static ssize_t socket_write(struct tlsio_transport *t, const struct iovec *parts, int count)
{
	int fd = socket_of(t)->watch.fd;
	if (count == 1)
		return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
	struct msghdr message = {
		.msg_iov = (struct iovec *)(uintptr_t)parts,
		.msg_iovlen = (size_t)count,
	};
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void socket_want(struct tlsio_transport *t, unsigned events)
{
	tlsio_watch_set(&socket_of(t)->watch, events);
}

static void socket_shutdown(struct tlsio_transport *t)
{
	shutdown(socket_of(t)->watch.fd, SHUT_WR);
}

static void socket_reset(struct tlsio_transport *t)
{
	struct linger none = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(socket_of(t)->watch.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void socket_free(struct tlsio_transport *t)
{
	struct socket_transport *s = socket_of(t);
	tlsio_watch_set(&s->watch, 0);
	close(s->watch.fd);
	free(s);
}

static const struct tlsio_transport_kind socket_kind = {
	.name = "socket",
	.read = socket_read,
	.write = socket_write,
	.want = socket_want,
	.shutdown = socket_shutdown,
	.reset = socket_reset,
	.free = socket_free,
};

static void on_socket_ready(void *ctx, unsigned events)
{
	struct socket_transport *s = ctx;
	if (s->base.on_ready)
		s->base.on_ready(s->base.ctx, events);
}

struct tlsio_transport *tlsio_transport_socket(struct tlsio_loop *loop, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	struct socket_transport *s = mem_zero(sizeof(*s));
	s->base.kind = &socket_kind;
	tlsio_watch_init(&s->watch, loop, fd, on_socket_ready, s);
	return &s->base;
}
