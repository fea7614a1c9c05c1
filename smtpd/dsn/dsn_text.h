/* dsn_text: pieces of text for reports: made harmless, folded, and words of advice. Pure.
 */
#ifndef SMTPD_DSN_DSN_TEXT_H
#define SMTPD_DSN_DSN_TEXT_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/str.h"
#include "smtpd/dsn/dsn.h"

/* Controls become blanks; bytes above 127 become '?' without allows_utf8, or where they are not
 * valid UTF-8. */
void dsn_text_append_clean(struct buf *ret, struct str text, bool allows_utf8);

/* A field "Name: value", cleaned, folded at blanks below 78 columns where that is possible and
 * below 998 in any case. */
void dsn_text_append_field(struct buf *ret, const char *name, const char *prefix, struct str value,
	bool allows_utf8);

/* Words of any length as indented lines of at most 72 columns where that is possible. */
void dsn_text_append_paragraph(struct buf *ret, const char *indent, struct str words,
	bool allows_utf8);

/* What the sender can do about it, in a sentence or two; static. enhanced: "5.1.1". */
const char *dsn_text_advice(enum dsn_kind kind, const char *enhanced);

#endif
