#include "policy/policy_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_day_ends_with_its_last_second(void **state)
{
	(void)state;
	static const struct {
		const char *text, *over;
	} rows[] = {
		{ "2026-12-31", "2027-01-01T00:00:00Z" },
		{ "2024-02-29", "2024-03-01T00:00:00Z" },
		{ "2000-02-29", "2000-03-01T00:00:00Z" },
		{ "1970-01-01", "1970-01-02T00:00:00Z" },
		{ "9999-12-30", "9999-12-31T00:00:00Z" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[POLICY_DATE_BYTES];
		int64_t end_s;
		assert_true(policy_date_parse_end(str_of(rows[i].text), &end_s));
		assert_string_equal(policy_date_format(end_s, text), rows[i].over);
	}
}

static void a_time_is_over_when_it_comes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *over;
	} rows[] = {
		{ "2026-12-31T18:00:00Z", "2026-12-31T18:00:00Z" },
		{ "2026-12-31t18:00:00z", "2026-12-31T18:00:00Z" },
		{ "2026-12-31 18:00:00Z", "2026-12-31T18:00:00Z" },
		{ "2026-12-31T18:00:00+01:00", "2026-12-31T17:00:00Z" },
		{ "2026-12-31T18:00:00-05:30", "2026-12-31T23:30:00Z" },
		{ "2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z" },
		{ "2026-12-31T18:00:00.125Z", "2026-12-31T18:00:00Z" },
		{ "2026-12-31T23:59:60Z", "2027-01-01T00:00:00Z" }, /* RFC 3339 5.7: a leap second */
		{ "2026-12-31T00:00:00-00:00", "2026-12-31T00:00:00Z" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[POLICY_DATE_BYTES];
		int64_t end_s;
		if (!policy_date_parse_end(str_of(rows[i].text), &end_s))
			fail_msg("refused %s", rows[i].text);
		assert_string_equal(policy_date_format(end_s, text), rows[i].over);
	}
}

static void what_is_no_day_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "2026", "2026-12", "2026-12-", "2026-12-3", "26-12-31",
		"2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32", "2026-02-29", "2100-02-29",
		"2026-04-31", "1969-12-31", "2026-12-31 ", " 2026-12-31", "2026/12/31", "31-12-2026",
		"20261-1-01", "+026-12-31", "2026-12-31T", "2026-12-31T18:00Z", "2026-12-31T18:00:00",
		"2026-12-31T24:00:00Z", "2026-12-31T18:60:00Z", "2026-12-31T18:00:61Z",
		"2026-12-31T18:00:00+1:00", "2026-12-31T18:00:00+0100", "2026-12-31T18:00:00+24:00",
		"2026-12-31T18:00:00.Z", "2026-12-31T18:00:00Zx", "tomorrow" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t end_s;
		if (policy_date_parse_end(str_of(bad[i]), &end_s))
			fail_msg("accepted \"%s\"", bad[i]);
	}
	int64_t end_s;
	assert_false(policy_date_parse_end(str_from("2026-12-31\0", 11), &end_s));
}

static void every_day_of_forty_years_is_one_day_long(void **state)
{
	(void)state;
	int64_t expected_s = 0;
	unsigned days = 0;
	for (int year = 1970; year < 2010; year++)
		for (int month = 1; month <= 12; month++)
			for (int day = 1; day <= 31; day++) {
				char text[] = "0000-00-00";
				int64_t end_s;
				for (int digit = 3, rest = year; digit >= 0; digit--, rest /= 10)
					text[digit] = (char)('0' + rest % 10);
				text[5] = (char)('0' + month / 10);
				text[6] = (char)('0' + month % 10);
				text[8] = (char)('0' + day / 10);
				text[9] = (char)('0' + day % 10);
				if (!policy_date_parse_end(str_of(text), &end_s))
					continue;
				expected_s += 24 * 3600;
				assert_int_equal(end_s, expected_s);
				days++;
			}
	assert_int_equal(days, 40 * 365 + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_ends_with_its_last_second),
		cmocka_unit_test(a_time_is_over_when_it_comes),
		cmocka_unit_test(what_is_no_day_is_refused),
		cmocka_unit_test(every_day_of_forty_years_is_one_day_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
