#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/log.h"

static char last[8192];
static int lines;

static void keep(void *ctx, const char *line)
{
	(void)ctx;
	assert_true(strlen(line) < sizeof(last));
	memcpy(last, line, strlen(line) + 1);
	lines++;
}

static int set_up(void **state)
{
	(void)state;
	lines = 0;
	log_capture(keep, NULL);
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_capture(NULL, NULL);
	return 0;
}

static void say(const char *key, struct str value)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "event");
	log_str(&l, key, value);
	log_end(&l);
}

static void writes_one_readable_line(void **state)
{
	(void)state;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING, "session-end");
	log_text(&l, "client", "192.0.2.1:25");
	log_text(&l, "nothing", NULL);
	log_number(&l, "messages", -3);
	log_format(&l, "reason", "%d bytes", 7);
	log_end(&l);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(last,
		" test warning session-end client=192.0.2.1:25 messages=-3 reason=\"7 bytes\""));
	assert_null(strstr(last, "nothing"));
	assert_int_equal(last[10], 'T');
	assert_int_equal(last[23], 'Z');
}

static void no_value_can_forge_a_line_or_a_member(void **state)
{
	(void)state;
	static const struct {
		struct str value;
		const char *text;
	} table[] = {
		{ STR("plain"), " k=plain" },
		{ STR(""), " k=\"\"" },
		{ STR("a b"), " k=\"a b\"" },
		{ STR("a=b"), " k=\"a=b\"" },
		{ STR("a\" evil=\"1"), " k=\"a\\\" evil=\\\"1\"" },
		{ STR("\\"), " k=\"\\\\\"" },
		{ STR("a\r\nb"), " k=\"a\\x0d\\x0ab\"" },
		{ STR("\0\x1b[31m\x7f"), " k=\"\\x00\\x1b[31m\\x7f\"" },
		/* C1: CSI as a byte and in UTF-8, NEL; no part of other characters */
		{ STR("\x9b" "31m\xc2\x9b\xc2\x85"), " k=\"\\x9b31m\xc2\\x9b\xc2\\x85\"" },
		{ STR("\xe2\x80\x94\xc3\x80\xc2\xa0"), " k=\xe2\x80\x94\xc3\x80\xc2\xa0" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		say("k", table[i].value);
		const char *at = strstr(last, "event");
		assert_string_equal(at + 5, table[i].text);
	}
}

static void json_stays_one_object(void **state)
{
	(void)state;
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	say("k", STR("a\"\\\n\x01\xffz"));
	assert_non_null(strstr(last, "\"event\":\"event\",\"k\":\"a\\\"\\\\\\u000a\\u0001\\u00ffz\"}"));
	assert_int_equal(last[0], '{');
}

/* A cut must not fall inside an escape, nor leave quotes or the object open. */
static void a_long_line_is_cut_whole(void **state)
{
	(void)state;
	static char big[6000];
	static const char fillers[] = { 'x', '"', '\n', '\xff' };
	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
		log_open("test", LOG_TARGET_STDERR, (enum log_format)format, LOG_LEVEL_INFO);
		for (size_t f = 0; f < sizeof(fillers); f++) {
			memset(big, fillers[f], sizeof(big));
			for (size_t shift = 0; shift < 12; shift++) {
				struct log_line l;
				log_begin(&l, LOG_LEVEL_INFO, "event");
				log_str(&l, "pad", str_from("yyyyyyyyyyyy", shift));
				log_str(&l, "big", str_from(big, sizeof(big)));
				log_text(&l, "more", "left out");
				log_number(&l, "number", 1);
				log_end(&l);
				size_t length = strlen(last);
				assert_true(length <= 4001);
				assert_null(strstr(last, "more"));
				assert_null(strchr(last, '\n'));
				if (format == LOG_FORMAT_JSON)
					assert_string_equal(last + length - 2, "\"}");
				else if (fillers[f] != 'x' && fillers[f] != '\xff')
					assert_int_equal(last[length - 1], '"');
				size_t slashes = 0;
				const char *end = last + length - (format == LOG_FORMAT_JSON ? 2 : 1);
				while (end[-1 - (ptrdiff_t)slashes] == '\\')
					slashes++;
				if (fillers[f] == '"')
					assert_int_equal(slashes % 2, 0);
			}
		}
	}
}

static void a_level_that_is_off_costs_no_line(void **state)
{
	(void)state;
	log_say(LOG_LEVEL_DEBUG, "quiet", "%d", 1);
	assert_int_equal(lines, 0);
	log_say(LOG_LEVEL_ERROR, "loud", "disk %s", "full");
	assert_int_equal(lines, 1);
	assert_non_null(strstr(last, "error loud reason=\"disk full\""));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(writes_one_readable_line),
		CASE(no_value_can_forge_a_line_or_a_member),
		CASE(json_stays_one_object),
		CASE(a_long_line_is_cut_whole),
		CASE(a_level_that_is_off_costs_no_line),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
