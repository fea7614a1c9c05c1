/* smtp_trace: the Received field (RFC 5321 section 4.4, RFC 3848, RFC 8314 section 4.3), and
 * counting those already there. Pure.
 *
 * For:     session. What others wrote into Received proves nothing: it is only counted.
 * Promise: one field, folded, ending in CR LF; no value can add a line of its own.
 */
#ifndef SMTPD_SMTP_SMTP_TRACE_H
#define SMTPD_SMTP_SMTP_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/str.h"

struct smtp_trace {
	struct str hello;	      /* a name that smtp_command_is_hello_name accepts */
	const struct netaddr *client; /* no address in the field when it has none */
	struct str by;		      /* our name */
	struct str id;
	struct str recipient; /* empty = left out; tell it only when there is one */
	bool is_extended;     /* EHLO, not HELO */
	bool is_smtputf8;
	bool is_tls;
	const char *suite; /* IANA name; NULL: suite_id is written as 0xHHHH */
	uint16_t suite_id;
	const char *group; /* IANA name or NULL */
	int64_t time_s;
};

void smtp_trace_append(const struct smtp_trace *trace, struct buf *ret);
/* "SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS". HELO and TLS together have no keyword of
 * their own (RFC 3848): ESMTPS, since TLS is what a reader looks for. */
const char *smtp_trace_with(const struct smtp_trace *trace);
/* "Mon, 02 Jan 2006 15:04:05 +0000" into text (32 bytes). Returns text. */
const char *smtp_trace_date(int64_t time_s, char *text);

/* Counts Received fields in a header that comes in pieces. Zero-initialised = at its start. */
struct smtp_trace_scan {
	uint32_t received;
	uint8_t state;	 /* private */
	uint8_t matched; /* private */
	bool is_done;	 /* the header ended */
};
void smtp_trace_scan(struct smtp_trace_scan *scan, struct str content);

#endif
