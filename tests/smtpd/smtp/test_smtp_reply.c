#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/smtp/smtp_reply.h"

static const struct {
	const char *input;
	int code;
	const char *enhanced;
	unsigned lines;
	const char *text;
	const char *rest; /* not consumed */
} accepted[] = {
	{ "250 ok\r\n", 250, "", 1, "ok\n", "" },
	{ "250\r\n", 250, "", 1, "\n", "" },
	{ "250 \r\n", 250, "", 1, "\n", "" },
	{ "250 ok\n", 250, "", 1, "ok\n", "" },
	{ "220 mx ESMTP\r\n220 again\r\n", 220, "", 1, "mx ESMTP\n", "220 again\r\n" },
	{ "550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, "5.1.1", 2, "5.1.1 no\n5.1.1 such user\n", "" },
	{ "550-5.1.1 no\r\n550 such user\r\n", 550, "", 2, "5.1.1 no\nsuch user\n", "" },
	{ "421 4.3.2\r\n", 421, "4.3.2", 1, "4.3.2\n", "" },
	{ "250 5.1.1 another class\r\n", 250, "", 1, "5.1.1 another class\n", "" },
	{ "250 2.1\r\n", 250, "", 1, "2.1\n", "" },
	{ "250 2.1234.5 x\r\n", 250, "", 1, "2.1234.5 x\n", "" },
	{ "599 a\rb\r\n", 599, "", 1, "a\rb\n", "" },
	{ "354-\r\n354-a\r\n354 go\r\nx", 354, "", 3, "\na\ngo\n", "x" },
};

static void reads_whole_replies_and_nothing_behind_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct smtp_reply r = { 0 };
		struct str input = str_of(accepted[i].input);
		size_t used;
		assert_int_equal(smtp_reply_feed(&r, input, &used, NULL), SMTP_REPLY_DONE);
		assert_int_equal(r.code, accepted[i].code);
		assert_string_equal(r.enhanced, accepted[i].enhanced);
		assert_int_equal(r.line_count, accepted[i].lines);
		assert_string_equal(buf_text(&r.lines), accepted[i].text);
		assert_string_equal(input.at + used, accepted[i].rest);
		smtp_reply_release(&r);
	}
}

static void bytes_one_at_a_time_give_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct smtp_reply r = { 0 };
		struct str input = str_of(accepted[i].input);
		size_t from = 0, to = 0, used;
		enum smtp_reply_status status = SMTP_REPLY_MORE;
		while (status == SMTP_REPLY_MORE) {
			assert_true(to < input.length);
			to++;
			status = smtp_reply_feed(&r, str_from(input.at + from, to - from), &used, NULL);
			from += used;
		}
		assert_int_equal(status, SMTP_REPLY_DONE);
		assert_int_equal(r.code, accepted[i].code);
		assert_string_equal(buf_text(&r.lines), accepted[i].text);
		assert_string_equal(input.at + from, accepted[i].rest);
		smtp_reply_release(&r);
	}
}

static void refuses_what_is_not_smtp(void **state)
{
	static const char *const refused[] = { "\r\n", "25\r\n", "2500 x\r\n", "250x\r\n", "abc d\r\n",
		"150 x\r\n", "650 x\r\n", "2a0 x\r\n", " 250 x\r\n", "HTTP/1.1 400 Bad\r\n",
		"250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "\x16\x03\x01\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct smtp_reply r = { 0 };
		struct err err = { 0 };
		size_t used;
		if (smtp_reply_feed(&r, str_of(refused[i]), &used, &err) != SMTP_REPLY_BAD)
			fail_msg("accepted %s", refused[i]);
		assert_int_equal(err.kind, ERR_PEER);
		smtp_reply_release(&r);
	}
}

static enum smtp_reply_status feed_lines(unsigned lines, size_t length, struct err *err)
{
	struct smtp_reply r = { 0 };
	struct buf input = { 0 };
	enum smtp_reply_status status = SMTP_REPLY_MORE;
	size_t used;
	for (unsigned i = 0; i < lines && status == SMTP_REPLY_MORE; i++) {
		buf_clear(&input);
		buf_append_text(&input, i + 1 < lines ? "250-" : "250 ");
		while (input.length < length)
			buf_append_byte(&input, 'x');
		buf_append_text(&input, "\r\n");
		status = smtp_reply_feed(&r, buf_str(&input), &used, err);
	}
	buf_release(&input);
	smtp_reply_release(&r);
	return status;
}

static void limits_hold(void **state)
{
	struct err err = { 0 };
	(void)state;
	assert_int_equal(feed_lines(1, SMTP_REPLY_LINE_BYTES - 2, &err), SMTP_REPLY_DONE);
	assert_int_equal(feed_lines(1, SMTP_REPLY_LINE_BYTES, &err), SMTP_REPLY_BAD);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(feed_lines(SMTP_REPLY_LINES, 10, &err), SMTP_REPLY_DONE);
	assert_int_equal(feed_lines(SMTP_REPLY_LINES + 1, 10, &err), SMTP_REPLY_BAD);
	assert_int_equal(feed_lines(40, 2000, &err), SMTP_REPLY_BAD); /* 80 KB */
}

static void an_endless_line_is_given_up_without_its_end(void **state)
{
	struct smtp_reply r = { 0 };
	char line[SMTP_REPLY_LINE_BYTES];
	size_t used;
	(void)state;
	memset(line, '2', sizeof(line));
	assert_int_equal(smtp_reply_feed(&r, str_from(line, sizeof(line) - 1), &used, NULL),
		SMTP_REPLY_MORE);
	assert_int_equal(used, 0);
	assert_int_equal(smtp_reply_feed(&r, str_from(line, sizeof(line)), &used, NULL),
		SMTP_REPLY_BAD);
	smtp_reply_release(&r);
}

static void lines_are_found_by_number(void **state)
{
	struct smtp_reply r = { 0 };
	size_t used;
	(void)state;
	smtp_reply_feed(&r, STR("250-a\r\n250-\r\n250 c\r\n"), &used, NULL);
	assert_true(str_equal(smtp_reply_line(&r, 0), STR("a")));
	assert_true(str_equal(smtp_reply_line(&r, 1), STR("")));
	assert_true(str_equal(smtp_reply_line(&r, 2), STR("c")));
	assert_int_equal(smtp_reply_line(&r, 3).length, 0);
	smtp_reply_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_whole_replies_and_nothing_behind_them),
		cmocka_unit_test(bytes_one_at_a_time_give_the_same),
		cmocka_unit_test(refuses_what_is_not_smtp),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(an_endless_line_is_given_up_without_its_end),
		cmocka_unit_test(lines_are_found_by_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
