#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/session/session_reply.h"

static void formats_one_line(void **state)
{
	(void)state;
	char line[SESSION_REPLY_BYTES];
	size_t length = session_reply_format(line, 250, "2.1.0", "OK");
	assert_int_equal(length, 14);
	assert_memory_equal(line, "250 2.1.0 OK\r\n", length);
	length = session_reply_format(line, 220, NULL, "mx.example ESMTP");
	assert_memory_equal(line, "220 mx.example ESMTP\r\n", length);
}

static void no_words_can_make_a_second_line(void **state)
{
	(void)state;
	char line[SESSION_REPLY_BYTES];
	size_t length = session_reply_format(line, 550, "5.7.1", "a\r\n250 OK\x01\x7f\xff");
	assert_int_equal(length, strlen("550 5.7.1 a??250 OK???\r\n"));
	assert_memory_equal(line, "550 5.7.1 a??250 OK???\r\n", length);
}

static void long_words_are_cut(void **state)
{
	(void)state;
	char line[SESSION_REPLY_BYTES], words[2000];
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	size_t length = session_reply_format(line, 550, "5.7.1", words);
	assert_int_equal(length, SESSION_REPLY_BYTES);
	assert_memory_equal(line + length - 2, "\r\n", 2);
}

static void a_refusal_is_filled_and_false(void **state)
{
	(void)state;
	struct session_refusal refusal;
	assert_false(session_reply_refuse(&refusal, 452, "4.5.3", "more than %d", 7));
	assert_int_equal(refusal.code, 452);
	assert_string_equal(refusal.enhanced, "4.5.3");
	assert_string_equal(refusal.text, "more than 7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_one_line),
		cmocka_unit_test(no_words_can_make_a_second_line),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(a_refusal_is_filled_and_false),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
