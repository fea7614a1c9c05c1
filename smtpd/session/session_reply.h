/* session_reply: one line of answer, and a refusal as data. Pure.
 *
 * For:     session's own files.
 * Promise: a reply is one line of printable ASCII whatever words go in (a peer's bytes become
 *          "?"), at most SESSION_REPLY_BYTES with its CR LF (RFC 5321 section 4.5.3.1.5).
 */
#ifndef SMTPD_SESSION_SESSION_REPLY_H
#define SMTPD_SESSION_SESSION_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "smtpd/session/session.h"

#define SESSION_REPLY_BYTES 512

/* "250 2.1.0 OK\r\n" into line (SESSION_REPLY_BYTES); enhanced may be NULL. Returns the length. */
size_t session_reply_format(char *line, int code, const char *enhanced, const char *text);

/* Fill *ret. Returns false, so that a check can say: return session_reply_refuse(...). */
bool session_reply_refuse(struct session_refusal *ret, int code, const char *enhanced,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
