#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/conf.h"

static void reads_durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} table[] = {
		{ "0", 0 }, { "300", 300000 }, { "250ms", 250 }, { "90s", 90000 }, { "5m", 300000 },
		{ "4h", 14400000 }, { "5d", 432000000 }, { "", -1 }, { "s", -1 }, { "5 m", -1 },
		{ "5M", -1 }, { "-5s", -1 }, { "5.5s", -1 }, { "1w", -1 }, { "5ss", -1 },
		{ "99999999999d", -1 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t ms = -1;
		assert_int_equal(conf_parse_duration(str_of(table[i].text), &ms),
			table[i].ms >= 0);
		assert_int_equal(ms, table[i].ms);
	}
}

static void reads_sizes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t bytes; /* -1: refused */
	} table[] = {
		{ "0", 0 }, { "512", 512 }, { "512B", 512 }, { "64KiB", 65536 }, { "64K", 65536 },
		{ "50MiB", 52428800 }, { "2GiB", INT64_C(2147483648) },
		{ "1T", INT64_C(1099511627776) }, { "100000000000", INT64_C(100000000000) },
		{ "", -1 }, { "KiB", -1 }, { "5 MiB", -1 }, { "5mib", -1 }, { "5KB", -1 },
		{ "-1", -1 }, { "1.5G", -1 }, { "99999999999T", -1 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t bytes = UINT64_MAX;
		assert_int_equal(conf_parse_size(str_of(table[i].text), &bytes),
			table[i].bytes >= 0);
		assert_true(bytes == (uint64_t)table[i].bytes);
	}
}

static cfg_t *parse(const char *text)
{
	static cfg_opt_t options[] = {
		CFG_STR("wait", "5m", CFGF_NONE),
		CFG_STR("most", "1MiB", CFGF_NONE),
		CFG_INT("count", 3, CFGF_NONE),
		CFG_STR("mode", "may", CFGF_NONE),
		CFG_END(),
	};
	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(cfg, text), CFG_SUCCESS);
	return cfg;
}

static void values_come_with_their_range_checked(void **state)
{
	(void)state;
	static const char *const words[] = { "none", "may", "verify", NULL };
	cfg_t *cfg = parse("wait = \"90s\"\nmost = 64KiB\ncount = 7\nmode = verify\n");
	struct err err;
	int64_t ms;
	uint64_t bytes;
	long count;
	int choice;
	assert_int_equal(conf_duration(cfg, "wait", 0, 100000, &ms, &err), 0);
	assert_int_equal(ms, 90000);
	assert_int_equal(conf_duration(cfg, "wait", 0, 1000, &ms, &err), -1);
	assert_int_equal(conf_size(cfg, "most", 1, 65536, &bytes, &err), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(conf_size(cfg, "most", 65537, 99999, &bytes, &err), -1);
	assert_int_equal(conf_count(cfg, "count", 1, 7, &count, &err), 0);
	assert_int_equal(count, 7);
	assert_int_equal(conf_count(cfg, "count", 8, 9, &count, &err), -1);
	assert_int_equal(conf_choice(cfg, "mode", words, &choice, &err), 0);
	assert_int_equal(choice, 2);
	cfg_free(cfg);
}

static void errors_name_the_option_and_the_remedy(void **state)
{
	(void)state;
	static const char *const words[] = { "none", "may", NULL };
	cfg_t *cfg = parse("wait = soon\nmost = big\nmode = never\n");
	struct err err;
	int64_t ms;
	uint64_t bytes;
	int choice;
	assert_int_equal(conf_duration(cfg, "wait", 0, 1000, &ms, &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_non_null(strstr(err.text, "'wait' is \"soon\""));
	assert_non_null(strstr(err.text, "\"5m\""));
	assert_int_equal(conf_size(cfg, "most", 0, 1000, &bytes, &err), -1);
	assert_non_null(strstr(err.text, "'most' is \"big\""));
	assert_int_equal(conf_choice(cfg, "mode", words, &choice, &err), -1);
	assert_non_null(strstr(err.text, "none, may"));
	cfg_free(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(reads_sizes),
		cmocka_unit_test(values_come_with_their_range_checked),
		cmocka_unit_test(errors_name_the_option_and_the_remedy),
	};
	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
