#include "libtlsio/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

char *buf_reserve(struct buf *b, size_t room)
{
	if (b->capacity - b->head - b->length < room || !b->data) {
		if (b->capacity >= b->length + room && b->head >= b->length) {
			/* the consumed front is large enough: slide down, no overlap to fear */
			memcpy(b->data, b->data + b->head, b->length);
			b->head = 0;
		} else {
			size_t want = b->length + room;
			size_t capacity = b->capacity ? b->capacity : 64;
			while (capacity < want)
				capacity *= 2;
			char *bigger = mem_alloc(capacity);
			if (b->length)
				memcpy(bigger, b->data + b->head, b->length);
			free(b->data);
			b->data = bigger;
			b->head = 0;
			b->capacity = capacity;
		}
	}
	return b->data + b->head + b->length;
}

void buf_append(struct buf *b, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	memcpy(buf_reserve(b, length), bytes, length);
	b->length += length;
}

void buf_append_str(struct buf *b, struct str s)
{
	buf_append(b, s.at, s.length);
}

void buf_append_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_append_byte(struct buf *b, char byte)
{
	*buf_reserve(b, 1) = byte;
	b->length++;
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	char *at = buf_reserve(b, 128);
	size_t room = b->capacity - b->head - b->length;
	int need = vsnprintf(at, room, format, args);
	assert(need >= 0);
	if ((size_t)need >= room) {
		at = buf_reserve(b, (size_t)need + 1);
		vsnprintf(at, (size_t)need + 1, format, again);
	}
	va_end(again);
	b->length += (size_t)need;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_vprintf(b, format, args);
	va_end(args);
}

void buf_consume(struct buf *b, size_t count)
{
	assert(count <= b->length);
	b->length -= count;
	b->head = b->length ? b->head + count : 0;
}

void buf_truncate(struct buf *b, size_t length)
{
	assert(length <= b->length);
	b->length = length;
}

void buf_clear(struct buf *b)
{
	b->head = 0;
	b->length = 0;
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

const char *buf_text(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return b->data + b->head;
}

char *buf_take(struct buf *b)
{
	char *text = mem_dup_bytes(buf_str(b).at, b->length);
	buf_release(b);
	return text;
}
