#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/smtp/smtp_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from(data, size);
	struct smtp_params_mail mail;
	struct smtp_params_rcpt rcpt;
	struct err err = { 0 };
	struct buf coded = { 0 }, plain = { 0 };
	if (smtp_params_parse_mail(text, &mail, &err) == SMTP_PARAMS_OK)
		assert(smtp_params_xtext_is_valid(mail.envid) && mail.envid.length <= 100);
	else
		assert(err.text[0] != '\0');
	if (smtp_params_parse_rcpt(text, &rcpt, &err) == SMTP_PARAMS_OK)
		assert(rcpt.orcpt.length <= 500 && rcpt.notify < 16);
	smtp_params_xtext_encode(text, &coded);
	assert(smtp_params_xtext_decode(buf_str(&coded), &plain));
	assert(str_equal(buf_str(&plain), text));
	buf_clear(&plain);
	if (!smtp_params_xtext_decode(text, &plain))
		assert(plain.length == 0);
	buf_release(&coded);
	buf_release(&plain);
	return 0;
}
