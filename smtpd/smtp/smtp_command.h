/* smtp_command: one line of a client is a verb and an argument (RFC 5321 section 4.1.1). Pure.
 *
 * For:     session.
 * Promise: views point into the line; no line is refused here, an unknown word is a verb too.
 */
#ifndef SMTPD_SMTP_SMTP_COMMAND_H
#define SMTPD_SMTP_SMTP_COMMAND_H

#include <stdbool.h>

#include "libtlsio/base/str.h"

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_EHLO,
	SMTP_VERB_HELO,
	SMTP_VERB_STARTTLS,
	SMTP_VERB_MAIL,
	SMTP_VERB_RCPT,
	SMTP_VERB_DATA,
	SMTP_VERB_BDAT,
	SMTP_VERB_RSET,
	SMTP_VERB_NOOP,
	SMTP_VERB_VRFY,
	SMTP_VERB_HELP,
	SMTP_VERB_QUIT,
	SMTP_VERB_EXPN,	   /* known, not offered: 502 */
	SMTP_VERB_AUTH,	   /* the same */
	SMTP_VERB_ETRN,	   /* the same */
	SMTP_VERB_FOREIGN, /* another protocol's first word (HTTP): somebody abuses a browser */
	SMTP_VERB_COUNT,
};
const char *smtp_command_verb_name(enum smtp_verb verb);

struct smtp_command {
	enum smtp_verb verb;
	struct str word;     /* as written */
	struct str argument; /* behind the word, without blanks around it; may be empty */
};

/* line: without its CR LF. */
void smtp_command_parse(struct str line, struct smtp_command *ret);

/* True for a line of printable text: no control bytes, DEL or invalid UTF-8 (tabs pass). */
bool smtp_command_is_text(struct str line);

/* "FROM:" off the front of a MAIL argument, "TO:" of RCPT; blanks behind the colon are forgiven.
 * False when it is not there. */
bool smtp_command_take_keyword(struct str *argument, struct str keyword);

/* A name to put into EHLO or HELO: a domain or address literal, or something near enough (names
 * with "_", without dots). Never a byte that could break a Received field. */
bool smtp_command_is_hello_name(struct str name);

/* BDAT's argument: chunk-size [SP "LAST"] (RFC 3030). */
bool smtp_command_parse_chunk(struct str argument, uint64_t *ret_bytes, bool *ret_is_last);

#endif
