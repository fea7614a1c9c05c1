#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "smtpd/smtp/smtp_ehlo.h"

static struct smtp_ehlo parse(const char *text)
{
	struct smtp_reply r = { 0 };
	struct smtp_ehlo ehlo;
	size_t used;
	assert_int_equal(smtp_reply_feed(&r, str_of(text), &used, NULL), SMTP_REPLY_DONE);
	smtp_ehlo_parse(&r, &ehlo);
	smtp_reply_release(&r);
	return ehlo;
}

static void knows_its_keywords_in_any_case(void **state)
{
	(void)state;
	struct smtp_ehlo e = parse("250-mx.test at your service\r\n250-PIPELINING\r\n250-size 1000\r\n"
		"250-8BITMIME\r\n250-SmtpUtf8\r\n250-CHUNKING\r\n250-DSN\r\n250-STARTTLS\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250 LIMITS RCPTMAX=20 MAILMAX=5 OTHER=1\r\n");
	assert_int_equal(e.extensions, SMTP_EHLO_PIPELINING | SMTP_EHLO_SIZE | SMTP_EHLO_8BITMIME |
		SMTP_EHLO_SMTPUTF8 | SMTP_EHLO_CHUNKING | SMTP_EHLO_DSN | SMTP_EHLO_STARTTLS |
		SMTP_EHLO_ENHANCED_CODES | SMTP_EHLO_LIMITS);
	assert_int_equal(e.size_limit_bytes, 1000);
	assert_int_equal(e.recipients_most, 20);
	assert_int_equal(e.messages_most, 5);
}

static void the_greeting_line_carries_no_keyword(void **state)
{
	(void)state;
	assert_int_equal(parse("250 STARTTLS\r\n").extensions, 0);
	assert_int_equal(parse("250-PIPELINING\r\n250 DSN\r\n").extensions, SMTP_EHLO_DSN);
}

static void odd_parameters_say_nothing(void **state)
{
	static const char *const odd[] = { "SIZE", "SIZE x", "SIZE -1", "SIZE 99999999999999999999",
		"LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=x", "LIMITS =5",
		"LIMITS RCPTMAX=1000000", "SIZE 0", "LIMITS RCPTMAX=0" };
	char text[100];
	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		snprintf(text, sizeof(text), "250-x\r\n250 %s\r\n", odd[i]);
		struct smtp_ehlo e = parse(text);
		assert_true(e.extensions == SMTP_EHLO_SIZE || e.extensions == SMTP_EHLO_LIMITS);
		assert_int_equal(e.size_limit_bytes, 0);
		assert_int_equal(e.recipients_most, 0);
		assert_int_equal(e.messages_most, 0);
	}
}

static void similar_words_are_other_words(void **state)
{
	(void)state;
	assert_int_equal(parse("250-x\r\n250-STARTTLSX\r\n250-XSTARTTLS\r\n250-SIZE=5\r\n250 AUTH "
			       "STARTTLS\r\n").extensions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_its_keywords_in_any_case),
		cmocka_unit_test(the_greeting_line_carries_no_keyword),
		cmocka_unit_test(odd_parameters_say_nothing),
		cmocka_unit_test(similar_words_are_other_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
