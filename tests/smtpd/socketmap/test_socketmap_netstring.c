#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "smtpd/socketmap/socketmap_netstring.h"

enum { MOST = 10000 };

static int split(const char *text, struct str *payload, size_t *used)
{
	return socketmap_netstring_split(str_of(text), MOST, payload, used, NULL);
}

static void C1_a_netstring_is_length_colon_bytes_comma(void **state)
{
	struct str payload;
	size_t used;
	(void)state;
	assert_int_equal(split("5:hello,3:abc,", &payload, &used), 1);
	assert_true(str_equal(payload, STR("hello")));
	assert_int_equal(used, 8);
	assert_int_equal(split("0:,", &payload, &used), 1);
	assert_int_equal(payload.length, 0);
	assert_int_equal(used, 3);
}

static void it_may_come_byte_by_byte(void **state)
{
	static const char whole[] = "13:sts a.example,";
	struct str payload;
	size_t used;
	(void)state;
	for (size_t i = 0; i < sizeof(whole) - 1; i++)
		assert_int_equal(socketmap_netstring_split(
					 str_from(whole, i), MOST, &payload, &used, NULL), 0);
	assert_int_equal(split(whole, &payload, &used), 1);
	assert_true(str_equal(payload, STR("sts a.example")));
}

static void bytes_of_any_value_pass(void **state)
{
	struct str payload;
	size_t used;
	(void)state;
	assert_int_equal(socketmap_netstring_split(
				 STR("4:\0,:\377,"), MOST, &payload, &used, NULL), 1);
	assert_int_equal(payload.length, 4);
	assert_memory_equal(payload.at, "\0,:\377", 4);
}

static void C2_lengths_have_a_limit_and_no_leading_zero(void **state)
{
	static const char *const bad[] = { "01:X,", "00:,", ":x,", "-1:x,", "a", "1x", "1:xy", " 1:x,",
		"10001:", "99999999999999999999999999:", "get example.org\n", "GET / HTTP/1.1\r\n" };
	struct str payload;
	struct err err;
	size_t used;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (socketmap_netstring_split(str_of(bad[i]), MOST, &payload, &used, &err) != -1)
			fail_msg("%s is taken", bad[i]);
		assert_true(err.text[0]);
	}
	assert_int_equal(split("10000:", &payload, &used), 0);
	assert_int_equal(split("", &payload, &used), 0);
	assert_int_equal(split("9999", &payload, &used), 0);
}

static void what_is_written_is_read(void **state)
{
	struct buf out = { 0 };
	struct str payload;
	size_t used;
	(void)state;
	socketmap_netstring_write(&out, STR("NOTFOUND "));
	socketmap_netstring_write(&out, STR(""));
	assert_string_equal(buf_text(&out), "9:NOTFOUND ,0:,");
	assert_int_equal(socketmap_netstring_split(buf_str(&out), MOST, &payload, &used, NULL), 1);
	assert_true(str_equal(payload, STR("NOTFOUND ")));
	buf_release(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(C1_a_netstring_is_length_colon_bytes_comma),
		cmocka_unit_test(it_may_come_byte_by_byte),
		cmocka_unit_test(bytes_of_any_value_pass),
		cmocka_unit_test(C2_lengths_have_a_limit_and_no_leading_zero),
		cmocka_unit_test(what_is_written_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
