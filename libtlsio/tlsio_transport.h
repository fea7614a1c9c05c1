/* tlsio_transport: what a stream rides on: a connected socket, or one end of a memory pair.
 *
 * For:     tlsio_stream; tests make memory pairs.
 * Promise: never blocks; on_ready is called from the loop only, level-triggered.
 */
#ifndef LIBTLSIO_TLSIO_TRANSPORT_H
#define LIBTLSIO_TLSIO_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"

struct tlsio_transport;

struct tlsio_transport_kind {
	const char *name;
	/* As readv/writev on a non-blocking descriptor: count, 0 = end of input, -1 with errno
	 * (EAGAIN, or what broke). */
	ssize_t (*read)(struct tlsio_transport *t, void *into, size_t capacity);
	ssize_t (*write)(struct tlsio_transport *t, const struct iovec *parts, int count);
	/* Which of TLSIO_READ | TLSIO_WRITE to report through on_ready. */
	void (*want)(struct tlsio_transport *t, unsigned events);
	/* No more output: the peer sees an end of input. */
	void (*shutdown)(struct tlsio_transport *t);
	/* Only free may follow, and the peer then sees a broken connection (RST), not an end. */
	void (*reset)(struct tlsio_transport *t);
	void (*free)(struct tlsio_transport *t);
};

struct tlsio_transport {
	const struct tlsio_transport_kind *kind;
	void (*on_ready)(void *ctx, unsigned events);
	void *ctx;
};

/* Takes fd: connected, made non-blocking here; closed by free. */
struct tlsio_transport *tlsio_transport_socket(struct tlsio_loop *loop, int fd);

/* Two ends; what one writes the other reads. Each direction holds at most capacity_bytes
 * (back-pressure as a socket's). on_ready comes at the end of the turn. */
void tlsio_transport_memory_pair(struct tlsio_loop *loop, size_t capacity_bytes,
	struct tlsio_transport *ret_ends[2]);

#endif
