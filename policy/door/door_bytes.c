#include "policy/door/door_bytes.h"

#include <string.h>

#include "libtlsio/base/codec.h"

#define NO_TEXT 0xffff

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* ---- writing ------------------------------------------------------------------------------------- */

void door_out_begin(struct door_out *out, struct buf *into, enum door_kind kind, uint32_t id)
{
	*out = (struct door_out){ .into = into, .start = into->length };
	char *at = buf_reserve(into, DOOR_WIRE_HEAD_BYTES);
	codec_put_u32(at, 0);
	at[4] = (char)kind;
	codec_put_u32(at + 5, id);
	buf_added(into, DOOR_WIRE_HEAD_BYTES);
}

size_t door_out_end(struct door_out *out)
{
	size_t length = out->into->length - out->start - 4;
	codec_put_u32(out->into->data + out->into->head + out->start, (uint32_t)length);
	return length;
}

void door_out_u8(struct door_out *out, unsigned value)
{
	out->is_too_much |= value > 0xff;
	buf_append_byte(out->into, (char)value);
}

void door_out_u16(struct door_out *out, size_t value)
{
	out->is_too_much |= value > 0xffff;
	codec_put_u16(buf_reserve(out->into, 2), (uint16_t)value);
	buf_added(out->into, 2);
}

void door_out_u32(struct door_out *out, uint32_t value)
{
	codec_put_u32(buf_reserve(out->into, 4), value);
	buf_added(out->into, 4);
}

void door_out_i64(struct door_out *out, int64_t value)
{
	codec_put_u64(buf_reserve(out->into, 8), (uint64_t)value);
	buf_added(out->into, 8);
}

void door_out_raw(struct door_out *out, const void *bytes, size_t length)
{
	buf_append(out->into, bytes, length);
}

void door_out_bytes(struct door_out *out, struct str bytes)
{
	out->is_too_much |= bytes.length > DOOR_STRING_BYTES_MOST;
	if (out->is_too_much)
		return;
	door_out_u16(out, bytes.length);
	buf_append_str(out->into, bytes);
}

void door_out_text(struct door_out *out, const char *text)
{
	if (!text) {
		door_out_u16(out, NO_TEXT);
		return;
	}
	size_t length = strlen(text);
	out->is_too_much |= length > DOOR_STRING_BYTES_MOST;
	if (out->is_too_much)
		return;
	char *at = buf_reserve(out->into, length + 3);
	codec_put_u16(at, (uint16_t)length);
	memcpy(at + 2, text, length + 1);
	buf_added(out->into, length + 3);
}

void door_out_line(struct door_out *out, const char *text, size_t most)
{
	if (!text) {
		door_out_u16(out, NO_TEXT);
		return;
	}
	size_t length = strnlen(text, most);
	char *at = buf_reserve(out->into, length + 3);
	codec_put_u16(at, (uint16_t)length);
	for (size_t i = 0; i < length; i++)
		at[2 + i] = is_control(text[i]) ? '?' : text[i];
	at[2 + length] = '\0';
	buf_added(out->into, length + 3);
}

/* ---- reading ------------------------------------------------------------------------------------- */

static void fail(struct door_in *in, const char *fault)
{
	if (!in->fault)
		in->fault = fault;
	in->rest.length = 0;
}

const void *door_in_raw(struct door_in *in, size_t length)
{
	if (in->fault || in->rest.length < length) {
		fail(in, "is cut");
		return NULL;
	}
	const void *at = in->rest.at;
	in->rest = str_skip(in->rest, length);
	return at;
}

unsigned door_in_u8(struct door_in *in, unsigned most)
{
	const unsigned char *at = door_in_raw(in, 1);
	if (at && *at > most)
		fail(in, "has a number out of its range");
	return at && *at <= most ? *at : 0;
}

unsigned door_in_u16(struct door_in *in, unsigned most)
{
	const void *at = door_in_raw(in, 2);
	unsigned value = at ? codec_get_u16(at) : 0;
	if (value > most) {
		fail(in, "has a number out of its range");
		return 0;
	}
	return value;
}

uint32_t door_in_u32(struct door_in *in)
{
	const void *at = door_in_raw(in, 4);
	return at ? codec_get_u32(at) : 0;
}

int64_t door_in_i64(struct door_in *in)
{
	const void *at = door_in_raw(in, 8);
	return at ? (int64_t)codec_get_u64(at) : 0;
}

struct str door_in_bytes(struct door_in *in, size_t most)
{
	size_t length = door_in_u16(in, 0xffff);
	if (length > most)
		fail(in, "has more bytes in one place than allowed");
	const char *at = door_in_raw(in, length);
	return at ? str_from(at, length) : STR("");
}

/* A NUL inside would make two readers see two texts; a line break, two lines of a log. */
static bool is_one_line(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (is_control(text[i]))
			return false;
	return text[length] == '\0';
}

const char *door_in_text_or_none(struct door_in *in, size_t most)
{
	size_t length = door_in_u16(in, NO_TEXT);
	if (in->fault || length == NO_TEXT)
		return NULL;
	if (length > most) {
		fail(in, "has a longer text than allowed");
		return NULL;
	}
	const char *at = door_in_raw(in, length + 1);
	if (at && !is_one_line(at, length)) {
		fail(in, "has a text that is no line");
		return NULL;
	}
	return at;
}

const char *door_in_text(struct door_in *in, size_t most)
{
	const char *text = door_in_text_or_none(in, most);
	if (!text)
		fail(in, "lacks a text");
	return text ? text : "";
}

int door_in_end(struct door_in *in, const char *what, struct err *err)
{
	if (!in->fault && in->rest.length)
		fail(in, "has bytes left over");
	return in->fault ? err_set(err, ERR_PEER, "%s %s", what, in->fault) : 0;
}
