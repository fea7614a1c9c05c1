/* smtp_reply: a reply of a next hop, "ddd-text" ... "ddd text" (RFC 5321 section 4.2). Pure.
 *
 * For:     relay, which feeds it whatever has arrived.
 * Holds:   the text of the reply that is being read; smtp_reply_clear gives it back.
 * Promise: consumes whole lines only and never past the end of the reply; a peer cannot make it
 *          grow past its limits. A line may end in a bare LF (some peers do; harmless here).
 *          Text may hold any byte but LF: clean it before showing.
 */
#ifndef SMTPD_SMTP_SMTP_REPLY_H
#define SMTPD_SMTP_SMTP_REPLY_H

#include <stddef.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

enum {
	SMTP_REPLY_LINE_BYTES = 2048, /* RFC 5321 4.5.3.1.5 says 512; peers exceed it */
	SMTP_REPLY_LINES = 100,
	SMTP_REPLY_BYTES = 64 * 1024,
	SMTP_REPLY_ENHANCED_BYTES = 12, /* "5.123.123" and NUL */
};

enum smtp_reply_status {
	SMTP_REPLY_MORE, /* feed again when more has arrived */
	SMTP_REPLY_DONE, /* code, enhanced and lines are set */
	SMTP_REPLY_BAD,  /* not SMTP, or over a limit; err says which: give the peer up */
};

struct smtp_reply {
	int code;			       /* 200..599 */
	char enhanced[SMTP_REPLY_ENHANCED_BYTES]; /* RFC 2034, of the last line; "" none */
	unsigned line_count;
	struct buf lines;		       /* each line's text behind the code, then '\n' */
};

/* Zero-initialised is ready; after DONE clear before the next reply. ret_used: bytes of input that
 * are consumed. */
enum smtp_reply_status smtp_reply_feed(struct smtp_reply *reply, struct str input,
	size_t *ret_used, struct err *err);
void smtp_reply_clear(struct smtp_reply *reply);
/* The same, giving the memory back. */
void smtp_reply_release(struct smtp_reply *reply);

/* The text of a line (0 = first), empty when there is no such line. */
struct str smtp_reply_line(const struct smtp_reply *reply, unsigned index);

/* A leading "class.subject.detail" of text into ret_code (SMTP_REPLY_ENHANCED_BYTES); how many
 * bytes it takes, 0 when there is none. */
size_t smtp_reply_enhanced(struct str text, char *ret_code);

/* First digit of the code: 2, 3, 4, 5. */
static inline int smtp_reply_class(const struct smtp_reply *reply)
{
	return reply->code / 100;
}

#endif
