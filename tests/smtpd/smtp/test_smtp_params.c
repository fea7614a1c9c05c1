#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtpd/smtp/smtp_params.h"

static void understands_mail_parameters(void **state)
{
	(void)state;
	struct smtp_params_mail p;
	struct err err = { 0 };
	assert_int_equal(smtp_params_parse_mail(STR(""), &p, &err), SMTP_PARAMS_OK);
	assert_int_equal(p.size_bytes, 0);
	assert_int_equal(p.body, SMTP_PARAMS_BODY_NONE);
	assert_int_equal(smtp_params_parse_mail(
				 STR(" size=1024  BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb "), &p,
				 &err),
		SMTP_PARAMS_OK);
	assert_int_equal(p.size_bytes, 1024);
	assert_int_equal(p.body, SMTP_PARAMS_BODY_8BITMIME);
	assert_true(p.is_smtputf8);
	assert_int_equal(p.ret, SMTP_PARAMS_RET_HDRS);
	assert_true(str_equal(p.envid, STR("a+2Bb")));
	assert_int_equal(smtp_params_parse_mail(STR(" SIZE=99999999999999999999"), &p, &err),
		SMTP_PARAMS_OK);
	assert_int_equal(p.size_bytes, INT64_MAX);
}

static void refuses_bad_mail_parameters(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum smtp_params_result result;
	} bad[] = {
		{ "SIZE=1", SMTP_PARAMS_SYNTAX }, /* no blank behind the path */
		{ " SIZE", SMTP_PARAMS_SYNTAX },
		{ " SIZE=", SMTP_PARAMS_SYNTAX },
		{ " SIZE=x", SMTP_PARAMS_SYNTAX },
		{ " SIZE=-1", SMTP_PARAMS_SYNTAX },
		{ " SIZE=123456789012345678901", SMTP_PARAMS_SYNTAX },
		{ " SIZE=1 SIZE=1", SMTP_PARAMS_SYNTAX },
		{ " BODY=BINARYMIME", SMTP_PARAMS_SYNTAX },
		{ " SMTPUTF8=yes", SMTP_PARAMS_SYNTAX },
		{ " RET=SOME", SMTP_PARAMS_SYNTAX },
		{ " ENVID=a=b", SMTP_PARAMS_SYNTAX },
		{ " ENVID=a+2b", SMTP_PARAMS_SYNTAX },
		{ " ENVID=a+2", SMTP_PARAMS_SYNTAX },
		{ " AUTH=<>", SMTP_PARAMS_UNKNOWN },
		{ " NOTIFY=NEVER", SMTP_PARAMS_UNKNOWN },
		{ " REQUIRETLS", SMTP_PARAMS_UNKNOWN },
		{ " =", SMTP_PARAMS_UNKNOWN },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct smtp_params_mail p;
		struct err err = { 0 };
		assert_int_equal(smtp_params_parse_mail(str_of(bad[i].text), &p, &err),
			bad[i].result);
		assert_true(err.text[0] != '\0');
	}
}

static void understands_rcpt_parameters(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum smtp_params_result result;
		unsigned notify;
		const char *orcpt;
	} rows[] = {
		{ "", SMTP_PARAMS_OK, 0, "" },
		{ " NOTIFY=NEVER", SMTP_PARAMS_OK, SMTP_PARAMS_NOTIFY_NEVER, "" },
		{ " NOTIFY=SUCCESS,delay", SMTP_PARAMS_OK,
			SMTP_PARAMS_NOTIFY_SUCCESS | SMTP_PARAMS_NOTIFY_DELAY, "" },
		{ " ORCPT=rfc822;a@b NOTIFY=FAILURE", SMTP_PARAMS_OK, SMTP_PARAMS_NOTIFY_FAILURE,
			"rfc822;a@b" },
		{ " ORCPT=utf-8;\xc3\xbc@b", SMTP_PARAMS_OK, 0, "utf-8;\xc3\xbc@b" },
		{ " NOTIFY=NEVER,DELAY", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " NOTIFY=DELAY,DELAY", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " NOTIFY=", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " NOTIFY=DELAY,", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " ORCPT=a@b", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " ORCPT=;a@b", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " ORCPT=rfc822;", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " ORCPT=rfc822;\xc3\xbc", SMTP_PARAMS_SYNTAX, 0, "" },
		{ " SIZE=1", SMTP_PARAMS_UNKNOWN, 0, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_params_rcpt p;
		struct err err = { 0 };
		assert_int_equal(smtp_params_parse_rcpt(str_of(rows[i].text), &p, &err),
			rows[i].result);
		if (rows[i].result == SMTP_PARAMS_OK) {
			assert_int_equal(p.notify, rows[i].notify);
			assert_true(str_equal(p.orcpt, str_of(rows[i].orcpt)));
		}
	}
}

static void long_values_are_refused(void **state)
{
	(void)state;
	struct buf text = { 0 };
	struct smtp_params_mail mail;
	struct smtp_params_rcpt rcpt;
	buf_append_text(&text, " ENVID=");
	for (int i = 0; i < 100; i++)
		buf_append_byte(&text, 'x');
	assert_int_equal(smtp_params_parse_mail(buf_str(&text), &mail, NULL), SMTP_PARAMS_OK);
	buf_append_byte(&text, 'x');
	assert_int_equal(smtp_params_parse_mail(buf_str(&text), &mail, NULL), SMTP_PARAMS_SYNTAX);
	buf_clear(&text);
	buf_append_text(&text, " ORCPT=rfc822;");
	for (int i = 0; i < 500 - 7; i++)
		buf_append_byte(&text, 'x');
	assert_int_equal(smtp_params_parse_rcpt(buf_str(&text), &rcpt, NULL), SMTP_PARAMS_OK);
	buf_append_byte(&text, 'x');
	assert_int_equal(smtp_params_parse_rcpt(buf_str(&text), &rcpt, NULL), SMTP_PARAMS_SYNTAX);
	buf_release(&text);
}

static void xtext_goes_there_and_back(void **state)
{
	(void)state;
	char every[256];
	struct buf coded = { 0 }, plain = { 0 };
	for (int i = 0; i < 256; i++)
		every[i] = (char)i;
	smtp_params_xtext_encode(str_from(every, 256), &coded);
	assert_true(str_is_ascii(buf_str(&coded)));
	assert_true(smtp_params_xtext_is_valid(buf_str(&coded)));
	assert_true(smtp_params_xtext_decode(buf_str(&coded), &plain));
	assert_int_equal(plain.length, 256);
	assert_memory_equal(buf_str(&plain).at, every, 256);
	buf_clear(&plain);
	assert_false(smtp_params_xtext_decode(STR("ab+4"), &plain));
	assert_false(smtp_params_xtext_decode(STR("a b"), &plain));
	assert_int_equal(plain.length, 0);
	buf_release(&coded);
	buf_release(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands_mail_parameters),
		cmocka_unit_test(refuses_bad_mail_parameters),
		cmocka_unit_test(understands_rcpt_parameters),
		cmocka_unit_test(long_values_are_refused),
		cmocka_unit_test(xtext_goes_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
