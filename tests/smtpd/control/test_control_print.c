#include "smtpd/control/control_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void durations_and_sizes_are_short(void **state)
{
	(void)state;
	static const struct {
		int64_t value;
		const char *duration, *size;
	} table[] = { { 0, "0s", "0B" }, { -1, "0s", "-1B" }, { 59, "59s", "59B" }, { 60, "1m", "60B" },
		{ 3599, "59m", "3.5K" }, { 3660, "1h01m", "3.6K" }, { 86399, "23h59m", "84K" },
		{ 100000, "1d03h", "98K" }, { 999, "16m", "999B" }, { 1000, "16m", "1.0K" },
		{ 5ll << 40, "63627468d02h", "5.0T" }, { 5000ll << 40, "63627468d02h", "5000T" } };
	struct buf b = { 0 };
	for (size_t i = 0; i < COUNT(table); i++) {
		if (table[i].value < 1ll << 30) {
			buf_clear(&b);
			control_print_duration(&b, table[i].value);
			assert_string_equal(buf_text(&b), table[i].duration);
		}
		buf_clear(&b);
		control_print_size(&b, table[i].value);
		assert_string_equal(buf_text(&b), table[i].size);
	}
	buf_release(&b);
}

static void nothing_reaches_a_terminal_that_it_obeys(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		const char *out;
	} table[] = {
		{ { "plain text", 10 }, "plain text" },
		{ { "\x1b[2J\r\n\a", 7 }, "?[2J???" },
		{ { "b\xc3\xbc" "cher\xe2\x82\xac\xf0\x9f\x93\xac", 14 },
			"b\xc3\xbc" "cher\xe2\x82\xac\xf0\x9f\x93\xac" },
		{ { "\xc2\x9b" "31m", 5 }, "?31m" }, /* CSI as one C1 character */
		{ { "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xff\xc3", 11 }, "???????????" },
		{ { "a\0b", 3 }, "a?b" },
	};
	struct buf b = { 0 };
	for (size_t i = 0; i < COUNT(table); i++) {
		buf_clear(&b);
		control_print_safe(&b, table[i].in);
		assert_string_equal(buf_text(&b), table[i].out);
	}
	buf_release(&b);
}

static void read_record(struct control_reader *r, struct buf *line)
{
	control_reader_feed(r, buf_str(line));
	assert_int_equal(control_reader_next(r), CONTROL_RECORD);
	buf_clear(line);
}

static void json_is_always_valid(void **state)
{
	(void)state;
	struct control_reader r = { 0 };
	struct buf b = { 0 };
	control_put_begin(&b, "message");
	control_put_text(&b, "sender", STR("a\"\\\n\x1b\x7f\xc2\x85\xc3\xbc\xff"));
	control_put_number(&b, "size", -3);
	control_put_end(&b);
	read_record(&r, &b);
	control_print_json(&b, &r.record, false);
	assert_string_equal(buf_text(&b), "{\"sender\":\"a\\\"\\\\\\u000a\\u001b\\u007f\\u0085"
		"\xc3\xbc\\ufffd\",\"size\":-3}");
	buf_clear(&b);
	control_print_json(&b, &r.record, true);
	assert_int_equal(buf_text(&b)[b.length - 1], '3');
	buf_clear(&b);
	control_put_begin(&b, "bare");
	control_put_end(&b);
	control_reader_clear(&r);
	read_record(&r, &b);
	control_print_json(&b, &r.record, false);
	assert_string_equal(buf_text(&b), "{}");
	control_reader_clear(&r);
	buf_release(&b);
}

static void the_queue_reads_as_a_table(void **state)
{
	(void)state;
	struct control_reader r = { 0 };
	struct buf b = { 0 };
	control_put_begin(&b, "message");
	control_put_text(&b, "id", STR("00000000000000a1"));
	control_put_number(&b, "age", 7500);
	control_put_number(&b, "size", 20480);
	control_put_text(&b, "sender", STR(""));
	control_put_end(&b);
	read_record(&r, &b);
	control_print_queue_message(&b, &r.record);
	assert_string_equal(buf_text(&b), "00000000000000a1 2h05m  20K    <>\n");
	buf_clear(&b);
	control_put_begin(&b, "recipient");
	control_put_text(&b, "address", STR("c@d.example"));
	control_put_text(&b, "state", STR("waiting"));
	control_put_number(&b, "attempts", 1);
	control_put_number(&b, "due_in", 240);
	control_put_text(&b, "destination", STR("smtp mx.d.example:25"));
	control_put_text(&b, "reason", STR("connection refused"));
	control_put_end(&b);
	read_record(&r, &b);
	control_print_queue_recipient(&b, &r.record);
	assert_string_equal(buf_text(&b),
		"    <c@d.example> in 4m via smtp mx.d.example:25, tried 1 time\n"
		"        connection refused\n");
	control_reader_clear(&r);
	buf_release(&b);
}

static void a_worker_tells_what_is_wrong_with_it(void **state)
{
	(void)state;
	struct control_reader r = { 0 };
	struct buf b = { 0 };
	control_put_begin(&b, "worker");
	control_put_number(&b, "worker", 1);
	control_put_number(&b, "accepting", 0);
	control_put_number(&b, "certificates_expire", 1000);
	control_put_end(&b);
	read_record(&r, &b);
	control_print_worker(&b, &r.record, 2000);
	assert_non_null(strstr(buf_text(&b), "NOT ACCEPTING MAIL"));
	assert_non_null(strstr(buf_text(&b), "1970-01-01 00:16:40Z: EXPIRED"));
	buf_clear(&b);
	control_print_worker(&b, &r.record, 100);
	assert_non_null(strstr(buf_text(&b), "in 15m"));
	control_reader_clear(&r);
	buf_release(&b);
}

static void policyd_says_whether_it_is_there(void **state)
{
	(void)state;
	struct control_reader r = { 0 };
	struct buf b = { 0 };
	control_put_begin(&b, "policyd");
	control_put_text(&b, "policyd", STR("running"));
	control_put_number(&b, "pid", 7);
	control_put_number(&b, "uptime", 720);
	control_put_text(&b, "version", STR("1.0"));
	control_put_text(&b, "dnssec_check", STR("not-validating"));
	control_put_text(&b, "dnssec_reason", STR("a \x1b[31mbogus name was believed"));
	control_put_number(&b, "plans", 12);
	control_put_number(&b, "asked", 40);
	control_put_number(&b, "found", 28);
	control_put_number(&b, "made", 12);
	control_put_number(&b, "clients", 2);
	control_put_end(&b);
	read_record(&r, &b);
	control_print_policyd(&b, &r.record);
	assert_string_equal(buf_text(&b), "policyd   pid 7, up 12m, version 1.0\n"
		"    DNSSEC        not-validating: a ?[31mbogus name was believed\n"
		"    plans         12 kept, 0 being made\n"
		"    questions     40 asked, 28 answered from memory, 12 plans made, 0 of them \"try "
		"later\"\n"
		"    clients       2\n");
	control_reader_clear(&r);
	buf_clear(&b);
	control_put_begin(&b, "policyd");
	control_put_text(&b, "policyd", STR("unreachable"));
	control_put_text(&b, "reason", STR("/run/policyd.sock: no answer in time"));
	control_put_end(&b);
	read_record(&r, &b);
	control_print_policyd(&b, &r.record);
	assert_string_equal(
		buf_text(&b), "policyd   unreachable: /run/policyd.sock: no answer in time\n");
	control_reader_clear(&r);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_and_sizes_are_short),
		cmocka_unit_test(nothing_reaches_a_terminal_that_it_obeys),
		cmocka_unit_test(json_is_always_valid),
		cmocka_unit_test(the_queue_reads_as_a_table),
		cmocka_unit_test(a_worker_tells_what_is_wrong_with_it),
		cmocka_unit_test(policyd_says_whether_it_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
