#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtpd/smtp/smtp_command.h"

static void splits_verb_and_argument(void **state)
{
	(void)state;
	static const struct {
		struct str line;
		enum smtp_verb verb;
		const char *argument;
	} lines[] = {
		{ STR("EHLO a.example"), SMTP_VERB_EHLO, "a.example" },
		{ STR("ehlo\ta.example \t"), SMTP_VERB_EHLO, "a.example" },
		{ STR("MAIL FROM:<a@b> SIZE=1"), SMTP_VERB_MAIL, "FROM:<a@b> SIZE=1" },
		{ STR("  quit"), SMTP_VERB_QUIT, "" },
		{ STR("QUITE"), SMTP_VERB_UNKNOWN, "" },
		{ STR("BDAT 0 LAST"), SMTP_VERB_BDAT, "0 LAST" },
		{ STR("StartTLS"), SMTP_VERB_STARTTLS, "" },
		{ STR("AUTH PLAIN"), SMTP_VERB_AUTH, "PLAIN" },
		{ STR("GET / HTTP/1.1"), SMTP_VERB_FOREIGN, "/ HTTP/1.1" },
		{ STR(""), SMTP_VERB_UNKNOWN, "" },
		{ STR("   "), SMTP_VERB_UNKNOWN, "" },
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct smtp_command c;
		smtp_command_parse(lines[i].line, &c);
		assert_int_equal(c.verb, lines[i].verb);
		assert_true(str_equal(c.argument, str_of(lines[i].argument)));
	}
}

static void every_verb_has_a_name(void **state)
{
	(void)state;
	for (int verb = SMTP_VERB_UNKNOWN + 1; verb < SMTP_VERB_FOREIGN; verb++) {
		struct smtp_command c;
		smtp_command_parse(str_of(smtp_command_verb_name((enum smtp_verb)verb)), &c);
		assert_int_equal(c.verb, verb);
	}
}

static void control_bytes_and_bad_utf8_are_no_text(void **state)
{
	(void)state;
	static const struct {
		struct str line;
		bool is_text;
	} lines[] = {
		{ STR("NOOP"), true },
		{ STR("NOOP\tx"), true },
		{ STR("MAIL FROM:<\xc3\xbc@x>"), true },
		{ STR("NO\0OP"), false },
		{ STR("NOOP\r"), false },
		{ STR("NOOP\x7f"), false },
		{ STR("NOOP\x1b[2J"), false },
		{ STR("NOOP \xff"), false },
		{ STR("NOOP \xc3"), false },
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(smtp_command_is_text(lines[i].line), lines[i].is_text);
}

static void takes_the_keyword_of_a_path(void **state)
{
	(void)state;
	struct str argument = STR("from: <a@b>");
	assert_true(smtp_command_take_keyword(&argument, STR("FROM:")));
	assert_true(str_equal(argument, STR("<a@b>")));
	argument = STR("FROM <a@b>");
	assert_false(smtp_command_take_keyword(&argument, STR("FROM:")));
	assert_true(str_equal(argument, STR("FROM <a@b>")));
}

static void hello_names_can_not_break_a_field(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool is_good;
	} names[] = {
		{ "a.example", true }, { "localhost", true }, { "my_pc", true },
		{ "[192.0.2.1]", true }, { "[IPv6:2001:db8::1]", true }, { "", false },
		{ "a b", false }, { "a(b)", false }, { "a;b", false }, { "a\"b", false },
		{ "<a>", false }, { "\xc3\xbc.example", false }, { "a@b", false },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(smtp_command_is_hello_name(str_of(names[i].name)),
			names[i].is_good);
	char longest[256];
	memset(longest, 'a', sizeof(longest));
	assert_true(smtp_command_is_hello_name(str_from(longest, 255)));
	assert_false(smtp_command_is_hello_name(str_from(longest, 256)));
}

static void reads_chunk_sizes(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		bool is_good;
		uint64_t bytes;
		bool is_last;
	} chunks[] = {
		{ "0", true, 0, false },
		{ "86 LAST", true, 86, true },
		{ "0  last", true, 0, true },
		{ "9223372036854775807", true, INT64_MAX, false },
		{ "9223372036854775808", false, 0, false },
		{ "", false, 0, false },
		{ "LAST", false, 0, false },
		{ "-1", false, 0, false },
		{ "+1", false, 0, false },
		{ "1 LAST LAST", false, 0, false },
		{ "1 FIRST", false, 0, false },
		{ "0x10", false, 0, false },
	};
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		uint64_t bytes = 0;
		bool is_last = false;
		assert_int_equal(smtp_command_parse_chunk(str_of(chunks[i].argument), &bytes,
					 &is_last), chunks[i].is_good);
		if (chunks[i].is_good) {
			assert_int_equal(bytes, chunks[i].bytes);
			assert_int_equal(is_last, chunks[i].is_last);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_verb_and_argument),
		cmocka_unit_test(every_verb_has_a_name),
		cmocka_unit_test(control_bytes_and_bad_utf8_are_no_text),
		cmocka_unit_test(takes_the_keyword_of_a_path),
		cmocka_unit_test(hello_names_can_not_break_a_field),
		cmocka_unit_test(reads_chunk_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
