#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "policy/door/door_kept.h"
#include "tests/policy/door/make_plan.h"

static void put(struct door_kept *kept, const char *key, int64_t expires_s, size_t bytes)
{
	struct policy_plan *plan = make_plan_plain(key, expires_s);
	door_kept_put(kept, str_of(key), plan, bytes, 1000, 0);
	policy_plan_unref(&plan);
}

static bool has(struct door_kept *kept, const char *key)
{
	return door_kept_find(kept, str_of(key), 1000, 0) != NULL;
}

static void the_longest_unused_goes_first(void **state)
{
	(void)state;
	struct door_kept *kept = door_kept_new(2, 1000);
	put(kept, "a", 2000, 1);
	put(kept, "b", 2000, 1);
	assert_true(has(kept, "a"));
	put(kept, "c", 2000, 1);
	assert_true(has(kept, "a"));
	assert_false(has(kept, "b"));
	assert_true(has(kept, "c"));
	put(kept, "c", 3000, 1); /* the newer instead of the older */
	assert_true(has(kept, "a"));
	assert_int_equal(door_kept_find(kept, STR("c"), 1000, 0)->expires_s, 3000);
	door_kept_free(&kept);
}

static void bytes_are_bounded_too(void **state)
{
	(void)state;
	struct door_kept *kept = door_kept_new(100, 1000);
	put(kept, "a", 2000, 600);
	put(kept, "b", 2000, 600);
	assert_false(has(kept, "a"));
	assert_true(has(kept, "b"));
	put(kept, "c", 2000, 5000);
	assert_true(has(kept, "b"));
	assert_false(has(kept, "c"));
	door_kept_free(&kept);
}

static void what_is_expired_is_not_given(void **state)
{
	(void)state;
	struct door_kept *kept = door_kept_new(100, 100000);
	put(kept, "over", 1000, 1);
	assert_false(has(kept, "over"));
	put(kept, "a", 1010, 1);
	assert_non_null(door_kept_find(kept, STR("a"), 1009, 9000));
	assert_null(door_kept_find(kept, STR("a"), 1010, 9000));
	put(kept, "b", 1010, 1); /* the wall clock was set back: the other one knows */
	assert_null(door_kept_find(kept, STR("b"), 900, 10000));
	put(kept, "c", INT64_MAX, 1);
	assert_true(has(kept, "c"));
	door_kept_clear(kept);
	assert_false(has(kept, "c"));
	door_kept_free(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_unused_goes_first),
		cmocka_unit_test(bytes_are_bounded_too),
		cmocka_unit_test(what_is_expired_is_not_given),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
