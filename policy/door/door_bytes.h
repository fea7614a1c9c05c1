/* door_bytes: the pieces frames are made of: numbers, strings, bounds. Pure, internal to the room.
 *
 * Form:    numbers little-endian. A string is u16 length, its bytes and a NUL, so that a reader uses
 *          it where it lies; length 65535 alone is "none" (NULL). Bytes are u16 length and bytes.
 * Promise: a reader never looks beyond its end; after the first fault it gives zeros and empty
 *          strings, and door_in_end says what the fault was.
 */
#ifndef POLICY_DOOR_DOOR_BYTES_H
#define POLICY_DOOR_DOOR_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/door/door_wire.h"

enum { DOOR_STRING_BYTES_MOST = 65534 };

/* ---- writing ---- */
struct door_out {
	struct buf *into;
	size_t start;	 /* of this frame in into */
	bool is_too_much; /* a string or count that cannot be said: the frame is no good */
};
void door_out_begin(struct door_out *out, struct buf *into, enum door_kind kind, uint32_t id);
/* Writes the length. Returns the frame's bytes without the length field. */
size_t door_out_end(struct door_out *out);
void door_out_u8(struct door_out *out, unsigned value);
void door_out_u16(struct door_out *out, size_t value);
void door_out_u32(struct door_out *out, uint32_t value);
void door_out_i64(struct door_out *out, int64_t value);
void door_out_raw(struct door_out *out, const void *bytes, size_t length);
void door_out_bytes(struct door_out *out, struct str bytes);
void door_out_text(struct door_out *out, const char *text);
/* Words for people: made one line, and cut after most bytes. */
void door_out_line(struct door_out *out, const char *text, size_t most);

/* ---- reading ---- */
struct door_in {
	struct str rest;
	const char *fault; /* NULL: none yet; static */
};
unsigned door_in_u8(struct door_in *in, unsigned most);
unsigned door_in_u16(struct door_in *in, unsigned most);
uint32_t door_in_u32(struct door_in *in);
int64_t door_in_i64(struct door_in *in);
/* NULL after a fault. */
const void *door_in_raw(struct door_in *in, size_t length);
struct str door_in_bytes(struct door_in *in, size_t most);
/* Never NULL; one line: no control byte. */
const char *door_in_text(struct door_in *in, size_t most);
/* NULL: none was sent. */
const char *door_in_text_or_none(struct door_in *in, size_t most);
/* -1: a fault, or bytes left over. what: "a plan". */
int door_in_end(struct door_in *in, const char *what, struct err *err);

#endif
