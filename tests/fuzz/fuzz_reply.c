/* fuzz_reply: any bytes as replies of a next hop; the first byte says in what pieces they come. */
#include <stdint.h>
#include <stdlib.h>

#include "smtpd/smtp/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply reply = { 0 };
	struct err err = { 0 };
	if (size == 0)
		return 0;
	size_t step = 1 + data[0] % 64;
	struct str rest = str_from(data + 1, size - 1);
	size_t seen = 0;
	for (;;) {
		size_t used;
		seen = seen + step < rest.length ? seen + step : rest.length;
		enum smtp_reply_status status =
			smtp_reply_feed(&reply, str_head(rest, seen), &used, &err);
		if (used > seen || reply.line_count > SMTP_REPLY_LINES ||
			reply.lines.length > SMTP_REPLY_BYTES)
			abort();
		if (status == SMTP_REPLY_BAD) {
			if (err.kind == ERR_NONE)
				abort();
			break;
		}
		if (status == SMTP_REPLY_DONE) {
			if (reply.code < 200 || reply.code > 599 || used == 0)
				abort();
			smtp_reply_clear(&reply);
		} else if (seen == rest.length) {
			break;
		}
		rest = str_skip(rest, used);
		seen -= used;
	}
	smtp_reply_release(&reply);
	return 0;
}
