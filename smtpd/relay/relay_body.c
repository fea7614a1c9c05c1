#include "smtpd/relay/relay_body.h"

#include <assert.h>

void relay_body_begin(struct relay_body *b, bool doubles_dots)
{
	struct buf keep = b->mended;
	buf_clear(&keep);
	*b = (struct relay_body){ .doubles_dots = doubles_dots, .mended = keep };
}

/* Is every LF behind a CR and every CR before an LF? A CR at the very end is not looked at. */
static bool is_clean(struct str piece)
{
	const char *at = piece.at;
	unsigned bad = piece.length > 0 && at[0] == '\n';
	for (size_t i = 1; i < piece.length; i++)
		bad |= (unsigned)((at[i] == '\n') != (at[i - 1] == '\r'));
	return !bad;
}

static void mend(struct relay_body *b, char *at, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		bool is_stray = false;
		if (at[i] == '\n')
			is_stray = i == 0 || at[i - 1] != '\r';
		else if (at[i] == '\r')
			is_stray = i + 1 < length && at[i + 1] != '\n';
		if (is_stray) {
			at[i] = ' ';
			b->mended_count++;
		}
	}
}

void relay_body_give(struct relay_body *b, struct str piece)
{
	assert(b->rest.length == 0);
	if (piece.length == 0)
		return;
	if (b->has_held_cr || !is_clean(piece)) {
		buf_clear(&b->mended);
		if (b->has_held_cr)
			buf_append_byte(&b->mended, '\r');
		buf_append_str(&b->mended, piece);
		mend(b, b->mended.data + b->mended.head, b->mended.length);
		piece = buf_str(&b->mended);
	}
	b->has_held_cr = piece.at[piece.length - 1] == '\r';
	b->rest = str_head(piece, piece.length - b->has_held_cr);
}

void relay_body_give_end(struct relay_body *b)
{
	assert(b->rest.length == 0);
	buf_clear(&b->mended);
	if (b->has_held_cr) {
		b->has_held_cr = false;
		b->mended_count++;
		buf_append_byte(&b->mended, ' ');
		b->dots.is_inside_line = true;
	}
	if (b->doubles_dots)
		buf_append_str(&b->mended, smtp_dots_encode_end(&b->dots));
	b->doubles_dots = false;
	b->rest = buf_str(&b->mended);
}

bool relay_body_next(struct relay_body *b, size_t most, struct str *ret_span)
{
	assert(most > 0);
	if (b->rest.length == 0)
		return false;
	struct str part = str_head(b->rest, b->rest.length < most ? b->rest.length : most);
	if (!b->doubles_dots) {
		*ret_span = part;
		b->rest = str_skip(b->rest, part.length);
		return true;
	}
	size_t before = part.length;
	bool is_given = smtp_dots_encode(&b->dots, &part, ret_span);
	b->rest = str_skip(b->rest, before - part.length);
	return is_given;
}

void relay_body_clear(struct relay_body *b)
{
	buf_release(&b->mended);
	b->rest = STR("");
}

bool relay_body_header_is_ascii(struct str piece, size_t *line_bytes, bool *is_over)
{
	for (size_t i = 0; i < piece.length && !*is_over; i++) {
		unsigned char c = (unsigned char)piece.at[i];
		if (c > 127)
			return false;
		if (c == '\n') {
			*is_over = *line_bytes == 0;
			*line_bytes = 0;
		} else if (c != '\r') {
			(*line_bytes)++;
		}
	}
	return true;
}
