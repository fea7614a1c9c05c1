/* buf: bytes that we own, growing at the end and consumed from the front.
 *
 * For:     stream buffers, replies, records under construction.
 * Holds:   one heap block, or none while empty and released.
 * Promise: bytes live at data[head .. head+length); zero-initialised is a valid empty buf;
 *          growth doubles, consuming is O(1), the block moves only on growth.
 *          A limit is the caller's: look at length before appending peer-controlled bytes.
 */
#ifndef LIBTLSIO_BASE_BUF_H
#define LIBTLSIO_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "libtlsio/base/str.h"

struct buf {
	char *data;
	size_t head;
	size_t length;
	size_t capacity;
};

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->data ? b->data + b->head : "", b->length };
}

/* Room for at least `room` bytes behind the end; returns where they go. Call buf_added after. */
char *buf_reserve(struct buf *b, size_t room);
static inline void buf_added(struct buf *b, size_t count)
{
	b->length += count;
}

void buf_append(struct buf *b, const void *bytes, size_t length);
void buf_append_str(struct buf *b, struct str s);
void buf_append_text(struct buf *b, const char *text);
void buf_append_byte(struct buf *b, char byte);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args);

/* Drop count bytes (<= length) from the front. */
void buf_consume(struct buf *b, size_t count);
/* Cut to the first `length` bytes. */
void buf_truncate(struct buf *b, size_t length);
/* Empty, keeping the block for reuse. */
void buf_clear(struct buf *b);
/* Empty and give the block back; the buf stays usable. */
void buf_release(struct buf *b);

/* NUL-terminated view of the content (the NUL is not counted). Valid until the next change. */
const char *buf_text(struct buf *b);
/* Gives the content as a NUL-terminated heap string (caller frees) and leaves b empty. */
char *buf_take(struct buf *b);

#endif
