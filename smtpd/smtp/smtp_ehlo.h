/* smtp_ehlo: what a next hop says it can do: its answer to EHLO or LHLO. Pure.
 *
 * Promise: unknown keywords and malformed parameters are passed over (RFC 5321 section 4.1.1.1);
 *          what is learned is plain data, to be forgotten after STARTTLS (RFC 3207 section 4.2).
 */
#ifndef SMTPD_SMTP_SMTP_EHLO_H
#define SMTPD_SMTP_SMTP_EHLO_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/smtp/smtp_reply.h"

enum smtp_ehlo_extension {
	SMTP_EHLO_PIPELINING = 1 << 0,	 /* RFC 2920 */
	SMTP_EHLO_SIZE = 1 << 1,	 /* RFC 1870 */
	SMTP_EHLO_8BITMIME = 1 << 2,	 /* RFC 6152 */
	SMTP_EHLO_SMTPUTF8 = 1 << 3,	 /* RFC 6531 */
	SMTP_EHLO_CHUNKING = 1 << 4,	 /* RFC 3030 */
	SMTP_EHLO_DSN = 1 << 5,		 /* RFC 3461 */
	SMTP_EHLO_STARTTLS = 1 << 6,	 /* RFC 3207 */
	SMTP_EHLO_ENHANCED_CODES = 1 << 7, /* RFC 2034 */
	SMTP_EHLO_LIMITS = 1 << 8,	 /* RFC 9422 */
};

struct smtp_ehlo {
	unsigned extensions;
	uint64_t size_limit_bytes; /* 0: none said */
	uint64_t recipients_most;  /* LIMITS RCPTMAX; 0: none said */
	uint64_t messages_most;	   /* LIMITS MAILMAX; 0: none said */
};

/* From a 250 reply; the first line is the greeting and carries no keyword. */
void smtp_ehlo_parse(const struct smtp_reply *reply, struct smtp_ehlo *ret);

static inline bool smtp_ehlo_has(const struct smtp_ehlo *ehlo, unsigned extension)
{
	return (ehlo->extensions & extension) != 0;
}

#endif
