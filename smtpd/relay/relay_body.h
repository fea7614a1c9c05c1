/* relay_body: a stored message, piece by piece -> what goes over the wire. Pure.
 *
 * For:     relay_connection, which asks for spans while the stream has room.
 * Promise: dots doubled for DATA, as it is for BDAT; a lone CR or LF never comes out: the spool
 *          holds none, and should one ever get here it becomes a space (same length, so that a
 *          BDAT count stays right) and is counted.
 */
#ifndef SMTPD_RELAY_RELAY_BODY_H
#define SMTPD_RELAY_RELAY_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/str.h"
#include "smtpd/smtp/smtp_dots.h"

struct relay_body {
	bool doubles_dots;
	bool has_held_cr;   /* the last piece ended in a CR: the next one decides what it is */
	struct smtp_dots_encoder dots;
	struct str rest;    /* of the piece given */
	struct buf mended;  /* a piece that had to be changed, or the held CR and a piece */
	uint64_t mended_count;
};

void relay_body_begin(struct relay_body *b, bool doubles_dots);
/* The next piece of the message, once relay_body_next says false. Borrowed until then. */
void relay_body_give(struct relay_body *b, struct str piece);
/* No piece is left: afterwards relay_body_next gives what is behind the content (the final dot). */
void relay_body_give_end(struct relay_body *b);
/* The next span to send, at most `most` bytes (> 0); false: give more. */
bool relay_body_next(struct relay_body *b, size_t most, struct str *ret_span);
void relay_body_clear(struct relay_body *b);

/* True when no byte of the header section (up to the first empty line) in this piece is above
 * 127; *is_over becomes true where the header section ends. line_bytes carries state from piece
 * to piece, 0 at first. */
bool relay_body_header_is_ascii(struct str piece, size_t *line_bytes, bool *is_over);

#endif
