/* smtp_params: what may stand behind the path of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152),
 * SMTPUTF8 (RFC 6531), RET ENVID NOTIFY ORCPT (RFC 3461), and xtext. Pure.
 *
 * For:     session; xtext also for relay and dsn.
 * Promise: views point into the text; each parameter at most once; values checked and bounded.
 */
#ifndef SMTPD_SMTP_SMTP_PARAMS_H
#define SMTPD_SMTP_SMTP_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

enum smtp_params_body { SMTP_PARAMS_BODY_NONE, SMTP_PARAMS_BODY_7BIT, SMTP_PARAMS_BODY_8BITMIME };
enum smtp_params_ret { SMTP_PARAMS_RET_NONE, SMTP_PARAMS_RET_FULL, SMTP_PARAMS_RET_HDRS };
enum { SMTP_PARAMS_NOTIFY_NEVER = 1, SMTP_PARAMS_NOTIFY_SUCCESS = 2,
	SMTP_PARAMS_NOTIFY_FAILURE = 4, SMTP_PARAMS_NOTIFY_DELAY = 8 };

struct smtp_params_mail {
	uint64_t size_bytes; /* as declared; 0 = not */
	enum smtp_params_body body;
	bool is_smtputf8;
	enum smtp_params_ret ret;
	struct str envid; /* xtext, at most 100 bytes */
};

struct smtp_params_rcpt {
	uint8_t notify;	  /* SMTP_PARAMS_NOTIFY_* bits; 0 = not given */
	struct str orcpt; /* "type;xtext", at most 500 bytes */
};

enum smtp_params_result {
	SMTP_PARAMS_OK,
	SMTP_PARAMS_SYNTAX,  /* 501 5.5.4 */
	SMTP_PARAMS_UNKNOWN, /* 555 5.5.4 */
};

/* text: what follows the path, blanks included. err has the words unless OK. */
enum smtp_params_result smtp_params_parse_mail(struct str text, struct smtp_params_mail *ret,
	struct err *err);
enum smtp_params_result smtp_params_parse_rcpt(struct str text, struct smtp_params_rcpt *ret,
	struct err *err);

/* xtext (RFC 3461 section 4): printable ASCII, "+" and "=" and all else as "+HH". */
bool smtp_params_xtext_is_valid(struct str text);
void smtp_params_xtext_encode(struct str plain, struct buf *ret);
bool smtp_params_xtext_decode(struct str text, struct buf *ret); /* false, ret as it was */

#endif
