#include "smtpd/supervise/supervise_shards.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "smtpd/supervise/supervise_restart.h"

static void every_shard_has_exactly_one_owner(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 16; workers++) {
		struct supervise_shards all = { 0 };
		unsigned owners[SUPERVISE_SHARDS_MOST] = { 0 }, list[SUPERVISE_SHARDS_MOST];
		for (unsigned k = 0; k < 23; k++)
			all.exists[k] = true;
		all.exists[255] = true;
		for (unsigned w = 0; w < workers; w++) {
			size_t count = supervise_shards_of(&all, w, workers, list);
			assert_true(count > 0);
			assert_int_equal(list[0], w); /* new mail goes to the own shard */
			for (size_t i = 0; i < count; i++)
				owners[list[i]]++;
		}
		for (unsigned k = 0; k < SUPERVISE_SHARDS_MOST; k++)
			assert_int_equal(owners[k], all.exists[k] || k < workers);
	}
}

static void finds_directories_of_an_earlier_larger_number(void **state)
{
	(void)state;
	static const char *const names[] = { "0", "3", "12", "255", "256", "007", "x", "-1", "1a" };
	char directory[] = "/tmp/test_supervise_shards.XXXXXX", path[128];
	struct supervise_shards found;
	unsigned list[SUPERVISE_SHARDS_MOST];
	assert_non_null(mkdtemp(directory));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		mkdir(path, 0700);
	}
	assert_int_equal(supervise_shards_scan(directory, &found, NULL), 0);
	assert_int_equal(supervise_shards_of(&found, 0, 2, list), 2);
	assert_int_equal(list[1], 12);
	assert_int_equal(supervise_shards_of(&found, 1, 2, list), 3);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 3);
	assert_int_equal(list[2], 255);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		rmdir(path);
	}
	rmdir(directory);
	assert_int_equal(supervise_shards_scan(directory, &found, NULL), 0);
	assert_int_equal(supervise_shards_of(&found, 0, 1, list), 1);
}

static void a_worker_that_dies_young_waits_longer_each_time(void **state)
{
	(void)state;
	static const int64_t expected[] = { 0, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
	struct supervise_restart r = { 0 };
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(supervise_restart_after_ms(&r, 10), expected[i]);
	assert_int_equal(supervise_restart_after_ms(&r, 3600000), 0);
	assert_int_equal(supervise_restart_after_ms(&r, 10), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shard_has_exactly_one_owner),
		cmocka_unit_test(finds_directories_of_an_earlier_larger_number),
		cmocka_unit_test(a_worker_that_dies_young_waits_longer_each_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
