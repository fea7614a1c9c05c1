/* smtp_dots: message bytes on the wire, both directions: where the message ends, and dot-stuffing
 * (RFC 5321 section 4.5.2). Pure, streaming, without copying.
 *
 * For:     session (decoder: DATA and BDAT), relay (encoder: DATA).
 * Holds:   where in a line we are, and what was wrong so far; zero bytes of content.
 * Promise: CR LF "." CR LF ends a message and nothing else does, in either mode, whatever the
 *          pieces the bytes arrive in; what the decoder gives out has lines that end in CR LF and
 *          no CR or LF elsewhere, unless faults says otherwise.
 * See:     tests/smtpd/smtp/test_smtp_dots.c
 */
#ifndef SMTPD_SMTP_SMTP_DOTS_H
#define SMTPD_SMTP_SMTP_DOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

/* ---- out: content -> wire -------------------------------------------------------------------- */

/* Zero-initialised = at the start of a message. */
struct smtp_dots_encoder {
	bool is_inside_line;
};

/* Take the next stretch off the front of *input (CR LF lines, cut anywhere) that can be sent as it
 * is. A line that begins with "." comes out as two stretches that share the dot: send both.
 * False when *input is used up. */
bool smtp_dots_encode(struct smtp_dots_encoder *e, struct str *input, struct str *ret_span);
/* What to send behind the last stretch: ".\r\n", with a CR LF before it when the content did not
 * end in one. */
struct str smtp_dots_encode_end(const struct smtp_dots_encoder *e);

/* ---- in: wire -> content --------------------------------------------------------------------- */

enum smtp_dots_fault {
	SMTP_DOTS_BARE_LF = 1 << 0,
	SMTP_DOTS_BARE_CR = 1 << 1,
	SMTP_DOTS_NUL = 1 << 2,
	SMTP_DOTS_LONG_LINE = 1 << 3,
};
/* "bare <LF> in the message", ... : the first fault in the set as words. */
const char *smtp_dots_fault_text(unsigned faults);

enum smtp_dots_framing {
	SMTP_DOTS_DATA,	 /* dot-stuffed, ends at CR LF "." CR LF */
	SMTP_DOTS_CHUNK, /* BDAT (RFC 3030): as it is, the caller counts the bytes */
};

enum smtp_dots_step {
	SMTP_DOTS_SPAN, /* ret_span holds content */
	SMTP_DOTS_MORE, /* *input is used up */
	SMTP_DOTS_END,	/* the message ended; what is left in *input is behind it */
};

struct smtp_dots_decoder {
	uint64_t content_bytes;	   /* given out so far */
	uint64_t maximum_line;	   /* bytes with CR LF; longer: SMTP_DOTS_LONG_LINE */
	uint64_t line_bytes;	   /* of the line under way */
	uint8_t faults;		   /* enum smtp_dots_fault bits; never taken back */
	uint8_t state;		   /* private */
	bool is_chunk;
	bool is_normalising; /* bare CR and bare LF become CR LF (never an end) and are no fault */
};

void smtp_dots_decoder_init(struct smtp_dots_decoder *d, enum smtp_dots_framing framing,
	bool is_normalising, uint64_t maximum_line);
/* Take a stretch of content off the front of *input. A span points into the input or at constant
 * text. Bare bytes are counted as faults and (not normalising) given out as they came: a message
 * with faults is not to be kept, but its end is still found. */
enum smtp_dots_step smtp_dots_decode(struct smtp_dots_decoder *d, struct str *input,
	struct str *ret_span);
/* CHUNK only, behind the last chunk: what completes the last line, or nothing. */
struct str smtp_dots_decode_finish(struct smtp_dots_decoder *d);

#endif
