#include "smtpd/control/control_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void a_request_comes_back_as_it_was(void **state)
{
	(void)state;
	static const char *const words[] = { "flush", "domain", "b\xc3\xbc" "cher.example", "a b%\n" };
	struct control_request r;
	struct buf line = { 0 };
	assert_true(control_request_format(words, 4, &line));
	assert_int_equal(str_find(buf_str(&line), '\n'), line.length - 1);
	assert_int_equal(control_request_parse(str_head(buf_str(&line), line.length - 1), &r, NULL), 0);
	assert_int_equal(r.count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(r.words[i].at, words[i]);
	buf_release(&line);
}

static void refuses_malformed_requests(void **state)
{
	(void)state;
	static const char *const table[] = { "", "postern1", "postern2 status", "status",
		"postern1 ", "postern1  status", "postern1 a b c d e", "postern1 a%", "postern1 a%4",
		"postern1 a%zz", "postern1 a%4A", "postern1 a\tb", "postern1 a%00b", "postern1 a\x7f" };
	struct control_request r;
	struct err err;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(control_request_parse(str_of(table[i]), &r, &err), -1);
	char large[CONTROL_REQUEST_BYTES + 2];
	memset(large, 'x', sizeof(large));
	memcpy(large, "postern1 ", 9);
	assert_int_equal(control_request_parse(str_from(large, sizeof(large)), &r, &err), -1);
	assert_int_equal(
		control_request_parse(str_from(large, CONTROL_REQUEST_BYTES), &r, &err), 0);
	assert_int_equal(r.words[0].length, CONTROL_REQUEST_BYTES - 9);
	/* the most that the words' room must hold */
	memcpy(large + 9, "a b c ", 6);
	assert_int_equal(
		control_request_parse(str_from(large, CONTROL_REQUEST_BYTES), &r, &err), 0);
	assert_int_equal(r.words[3].at[r.words[3].length], '\0');
}

static void refuses_to_make_too_long_a_request(void **state)
{
	(void)state;
	char large[CONTROL_REQUEST_BYTES + 1];
	struct buf line = { 0 };
	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	assert_false(control_request_format((const char *[]){ large }, 1, &line));
	assert_false(control_request_format(
		(const char *[]){ "a", "b", "c", "d", "e" }, 5, &line));
	buf_release(&line);
}

static void make_answer(struct buf *out)
{
	control_put_begin(out, "message");
	control_put_text(out, "sender", STR("a=b: %\"\n\xff@x"));
	control_put_text(out, "empty", STR(""));
	control_put_number(out, "size", -5);
	control_put_number(out, "large", INT64_MAX);
	control_put_end(out);
	control_put_data(out, STR("ok\n+3\nerror x\n"));
	control_put_begin(out, "bare");
	control_put_end(out);
	control_put_ok(out);
}

/* Fed in pieces of any size, the items are the same. */
static void an_answer_is_read_however_it_is_cut(void **state)
{
	(void)state;
	struct buf answer = { 0 };
	make_answer(&answer);
	for (size_t step = 1; step <= answer.length; step++) {
		struct control_reader r = { 0 };
		struct buf data = { 0 };
		enum control_item item;
		size_t at = 0;
		int records = 0;
		while ((item = control_reader_next(&r)) != CONTROL_OK) {
			if (item == CONTROL_MORE) {
				size_t length = answer.length - at < step ? answer.length - at : step;
				assert_true(length > 0);
				control_reader_feed(&r, str_from(buf_str(&answer).at + at, length));
				at += length;
			} else if (item == CONTROL_DATA) {
				buf_append_str(&data, r.data);
			} else {
				assert_int_equal(item, CONTROL_RECORD);
				if (records++ == 0) {
					assert_true(str_equal(r.record.name, STR("message")));
					assert_true(str_equal(
						control_record_text(&r.record, "sender"),
						STR("a=b: %\"\n\xff@x")));
					assert_int_equal(
						control_record_number(&r.record, "size"), -5);
					assert_true(control_record_number(&r.record, "large") ==
						    INT64_MAX);
					assert_int_equal(
						control_record_number(&r.record, "none"), 0);
					assert_int_equal(r.record.count, 4);
				}
			}
		}
		assert_int_equal(records, 2);
		assert_true(str_equal(buf_str(&data), STR("ok\n+3\nerror x\n")));
		buf_release(&data);
		control_reader_clear(&r);
	}
	buf_release(&answer);
}

static void an_error_carries_its_words(void **state)
{
	(void)state;
	struct buf answer = { 0 };
	struct control_reader r = { 0 };
	control_put_error(&answer, STR("no such\nmessage"));
	control_reader_feed(&r, buf_str(&answer));
	assert_int_equal(control_reader_next(&r), CONTROL_ERROR);
	assert_true(str_equal(r.data, STR("no such\nmessage")));
	control_reader_clear(&r);
	buf_release(&answer);
}

static void refuses_malformed_answers(void **state)
{
	(void)state;
	static const char *const table[] = { "\n", "Message\n", "message \n", "message a\n",
		"message =b\n", "message a:\n", "message a:x\n", "message a:1x\n",
		"message a:99999999999999999999\n", "message a=%0\n", "message A=b\n", "message a=b  c=d\n",
		"+\n", "+0\n", "+65537\n", "+-1\n", "+x\n", "error %\n", "220 mx.example ESMTP\n",
		"message a=\x01\n" };
	for (size_t i = 0; i < COUNT(table); i++) {
		struct control_reader r = { 0 };
		control_reader_feed(&r, str_of(table[i]));
		if (control_reader_next(&r) != CONTROL_MALFORMED)
			fail_msg("accepted %s", table[i]);
		control_reader_clear(&r);
	}
}

static void a_line_and_its_fields_have_limits(void **state)
{
	(void)state;
	struct control_reader r = { 0 };
	struct buf line = { 0 };
	buf_append_text(&line, "m");
	for (int i = 0; i <= CONTROL_FIELDS_MOST; i++)
		buf_append_text(&line, " a=b");
	buf_append_byte(&line, '\n');
	control_reader_feed(&r, buf_str(&line));
	assert_int_equal(control_reader_next(&r), CONTROL_MALFORMED);
	control_reader_clear(&r);

	buf_clear(&line);
	buf_append_text(&line, "m a=");
	while (line.length <= CONTROL_LINE_BYTES)
		buf_append_byte(&line, 'x'); /* and no newline yet */
	control_reader_feed(&r, buf_str(&line));
	assert_int_equal(control_reader_next(&r), CONTROL_MALFORMED);
	control_reader_clear(&r);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_comes_back_as_it_was),
		cmocka_unit_test(refuses_malformed_requests),
		cmocka_unit_test(refuses_to_make_too_long_a_request),
		cmocka_unit_test(an_answer_is_read_however_it_is_cut),
		cmocka_unit_test(an_error_carries_its_words),
		cmocka_unit_test(refuses_malformed_answers),
		cmocka_unit_test(a_line_and_its_fields_have_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
