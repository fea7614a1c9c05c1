#include "smtpd/sched/sched_backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };

static const struct sched_settings settings = { .first_ms = 5 * MINUTE * 1000,
	.longest_ms = 4 * HOUR * 1000, .give_up_ms = 5 * INT64_C(86400000),
	.give_up_bounce_ms = 86400000 };

static void doubles_up_to_the_longest(void **state)
{
	static const int64_t pauses_s[] = { 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE,
		80 * MINUTE, 160 * MINUTE, 4 * HOUR, 4 * HOUR };
	(void)state;
	for (unsigned i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		/* 500 of 0..1000 is the middle */
		int64_t due_s = sched_backoff_due_s(&settings, 1000, 900, false, i + 1, 500);
		assert_int_equal(due_s, 1000 + pauses_s[i]);
	}
	assert_int_equal(sched_backoff_due_s(&settings, 1000, 900, false, 4000000000u, 500),
		1000 + 4 * HOUR);
}

static void jitter_stays_within_a_tenth(void **state)
{
	int64_t lowest = INT64_MAX, highest = 0;
	(void)state;
	for (uint32_t random = 0; random < 2002; random++) {
		int64_t pause = sched_backoff_due_s(&settings, 0, 0, false, 1, random);
		lowest = pause < lowest ? pause : lowest;
		highest = pause > highest ? pause : highest;
	}
	assert_int_equal(lowest, 270);
	assert_int_equal(highest, 330);
}

static void last_try_comes_when_the_message_expires(void **state)
{
	(void)state;
	int64_t received_s = 1000, end_s = received_s + 5 * DAY;
	assert_int_equal(
		sched_backoff_due_s(&settings, end_s - 60, received_s, false, 20, 500), end_s);
	assert_false(sched_backoff_is_expired(&settings, end_s - 1, received_s, false));
	assert_true(sched_backoff_is_expired(&settings, end_s, received_s, false));
	assert_true(sched_backoff_is_expired(&settings, received_s + DAY, received_s, true));
	assert_false(sched_backoff_is_expired(&settings, received_s + DAY, received_s, false));
}

static void soon_is_within_20_s_and_never_after_the_first_pause(void **state)
{
	(void)state;
	struct sched_settings hasty = settings;
	hasty.first_ms = 2000;
	int64_t lowest = INT64_MAX, highest = 0;
	for (uint32_t random = 0; random < 100; random++) {
		int64_t due_s = sched_backoff_soon_s(&settings, 1000, random);
		lowest = due_s < lowest ? due_s : lowest;
		highest = due_s > highest ? due_s : highest;
		assert_int_equal(sched_backoff_soon_s(&hasty, 1000, random), 1002);
	}
	assert_int_equal(lowest, 1010);
	assert_int_equal(highest, 1020);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_longest),
		cmocka_unit_test(jitter_stays_within_a_tenth),
		cmocka_unit_test(soon_is_within_20_s_and_never_after_the_first_pause),
		cmocka_unit_test(last_try_comes_when_the_message_expires),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
