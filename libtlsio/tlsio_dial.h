/* tlsio_dial: addresses in order -> one connected descriptor, each with a time limit.
 */
#ifndef LIBTLSIO_TLSIO_DIAL_H
#define LIBTLSIO_TLSIO_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"

struct tlsio_dial;

struct tlsio_dial_events {
	/* gives fd; index: which address it was. The dial frees itself first. */
	void (*on_connected)(void *ctx, int fd, size_t index, const struct netaddr *local);
	/* every address failed; err tells of the last one and how many were tried. */
	void (*on_failed)(void *ctx, const struct err *err);
};

/* Copies addresses (1..32). bind_to: local address, may be NULL. One event follows, later. */
struct tlsio_dial *tlsio_dial_start(struct tlsio_loop *loop, const struct netaddr *addresses,
	size_t count, const struct netaddr *bind_to, int64_t timeout_ms_each,
	const struct tlsio_dial_events *events, void *ctx);
/* A unix stream socket. */
struct tlsio_dial *tlsio_dial_start_unix(struct tlsio_loop *loop, const char *path,
	const struct tlsio_dial_events *events, void *ctx);
/* Stop without an event. Accepts NULL, sets NULL. */
void tlsio_dial_cancel(struct tlsio_dial **dial);

#endif
