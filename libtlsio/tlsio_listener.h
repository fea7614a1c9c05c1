/* tlsio_listener: a listening socket -> accepted, connected descriptors with addresses.
 *
 * Promise: accepts in bounded batches; at EMFILE/ENFILE pauses instead of spinning and tells.
 */
#ifndef LIBTLSIO_TLSIO_LISTENER_H
#define LIBTLSIO_TLSIO_LISTENER_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"

struct tlsio_listener;

struct tlsio_listener_events {
	/* gives fd (non-blocking, TCP_NODELAY). */
	void (*on_accept)(void *ctx, int fd, const struct netaddr *local,
		const struct netaddr *remote);
	/* accept(2) failed for want of descriptors or memory; tried again by itself in 1 s. */
	void (*on_trouble)(void *ctx, const struct err *err);
};

/* bind + listen with SO_REUSEPORT (one socket per worker). Gives the descriptor, -1 on error.
 * IPv6 sockets are IPV6_V6ONLY. ret_bound (may be NULL) tells the port chosen for port 0. */
int tlsio_listener_open_tcp(const struct netaddr *address, int backlog, struct netaddr *ret_bound,
	struct err *err);
/* A unix stream socket at path with mode; replaces a stale one. */
int tlsio_listener_open_unix(const char *path, unsigned mode, int backlog, struct err *err);

/* Borrows fd (a supervisor keeps it open over restarts). */
struct tlsio_listener *tlsio_listener_new(struct tlsio_loop *loop, int fd,
	const struct tlsio_listener_events *events, void *ctx);
void tlsio_listener_pause(struct tlsio_listener *l);
void tlsio_listener_resume(struct tlsio_listener *l);
void tlsio_listener_free(struct tlsio_listener **l);

#endif
