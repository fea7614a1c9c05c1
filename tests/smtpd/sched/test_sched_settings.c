#include "smtpd/sched/sched_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static int read_text(const char *text, struct sched_settings *ret, struct err *err)
{
	cfg_opt_t options[] = { CFG_SEC("retry", sched_settings_options(), CFGF_NONE), CFG_END() };
	cfg_t *file = cfg_init(options, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(file, text), CFG_SUCCESS);
	int result = sched_settings_read(cfg_getsec(file, "retry"), ret, err);
	cfg_free(file);
	return result;
}

static void has_the_documented_defaults(void **state)
{
	struct sched_settings s;
	(void)state;
	assert_int_equal(read_text("", &s, NULL), 0);
	assert_int_equal(s.first_ms, 300000);
	assert_int_equal(s.longest_ms, 4 * 3600000);
	assert_int_equal(s.give_up_ms, INT64_C(5) * 86400000);
	assert_int_equal(s.give_up_bounce_ms, 86400000);
	assert_int_equal(s.pause_ms, 60000);
	assert_int_equal(s.concurrency_start, 5);
	assert_int_equal(s.concurrency_most, 20);
	assert_int_equal(s.running_most, 500);
}

static void refuses_what_makes_no_sense(void **state)
{
	static const struct {
		const char *text, *word;
	} wrong[] = {
		{ "retry { first = \"soon\" }", "first" },
		{ "retry { first = \"5h\" longest = \"1h\" }", "longest" },
		{ "retry { concurrency-start = 0 }", "concurrency-start" },
		{ "retry { concurrency-start = 30 }", "concurrency-most" },
		{ "retry { give-up = \"100d\" }", "give-up" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct sched_settings s;
		struct err err = { 0 };
		assert_int_equal(read_text(wrong[i].text, &s, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_non_null(strstr(err.text, wrong[i].word));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_defaults),
		cmocka_unit_test(refuses_what_makes_no_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
