/* fuzz_ehlo: any bytes as the answer to EHLO. */
#include <stdint.h>

#include "smtpd/smtp/smtp_ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply reply = { 0 };
	struct smtp_ehlo ehlo;
	size_t used;
	if (smtp_reply_feed(&reply, str_from(data, size), &used, NULL) == SMTP_REPLY_DONE)
		smtp_ehlo_parse(&reply, &ehlo);
	smtp_reply_release(&reply);
	return 0;
}
