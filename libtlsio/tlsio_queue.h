/* tlsio_queue: bytes in arrival order, for streams. Internal to libtlsio.
 *
 * For:     tlsio_stream (input and output), the memory transport.
 * Holds:   one contiguous block, none while empty. Big blocks come from a small stock per thread,
 *          so that a busy stream does not make and free 64 KiB at every event.
 * Promise: zero-initialised is a valid empty queue. The stock lives while the thread has users.
 */
#ifndef LIBTLSIO_TLSIO_QUEUE_H
#define LIBTLSIO_TLSIO_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

/* Four full TLS records, or one large read of a socket. */
#define TLSIO_QUEUE_BLOCK_BYTES 65536

struct tlsio_queue {
	char *block;
	uint32_t head;
	uint32_t length;
	uint32_t capacity;
};

static inline struct str tlsio_queue_str(const struct tlsio_queue *q)
{
	return (struct str){ q->block ? q->block + q->head : "", q->length };
}

/* Room for at least `least` bytes behind the end, moving what is there where needed; returns where
 * they go and how many fit. tlsio_queue_added after. */
char *tlsio_queue_reserve(struct tlsio_queue *q, size_t least, size_t *ret_room);
static inline void tlsio_queue_added(struct tlsio_queue *q, size_t count)
{
	q->length += (uint32_t)count;
}
void tlsio_queue_append(struct tlsio_queue *q, const void *bytes, size_t length);
/* Drop count bytes (<= length) from the front; an empty queue gives its block back. */
void tlsio_queue_consume(struct tlsio_queue *q, size_t count);
/* A few bytes left in a big block move to a small one: they may wait long. */
void tlsio_queue_settle(struct tlsio_queue *q);
/* Drop everything. */
void tlsio_queue_release(struct tlsio_queue *q);

/* Users of this thread's stock: the last one to leave frees it. */
void tlsio_queue_stock_enter(void);
void tlsio_queue_stock_leave(void);

#endif
