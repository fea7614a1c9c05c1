#include "smtpd/spool/spool_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

enum { IDS = 5000 };

static uint32_t next(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

/* Against a plain array of flags, in random order. */
static void finds_what_is_there_and_nothing_else(void **state)
{
	static bool is_there[IDS + 1];
	struct spool_index index = { 0 };
	uint32_t random = 7;
	uint64_t count = 0;
	(void)state;
	for (int round = 0; round < 40000; round++) {
		/* mostly near the end, as ids come; sometimes anywhere */
		uint64_t base = round % 3 ? (uint64_t)round * IDS / 40000 : next(&random);
		uint64_t id = 1 + base % IDS;
		struct spool_message *message = spool_index_find(&index, id);
		assert_int_equal(message != NULL, is_there[id]);
		if (!message) {
			message = spool_index_add(&index, id, id * 10, 1);
			assert_int_equal(message->id, id);
		} else if (next(&random) % 2) {
			spool_index_remove(&index, message);
		} else {
			continue;
		}
		is_there[id] = !is_there[id];
		count += is_there[id] ? 1 : (uint64_t)-1;
		assert_int_equal(index.count, count);
	}
	uint64_t after = 0, seen = 0, bytes = 0;
	struct spool_message *message;
	while ((message = spool_index_next(&index, after)) != NULL) {
		for (uint64_t id = after + 1; id < message->id; id++)
			assert_false(is_there[id]);
		assert_true(is_there[message->id]);
		after = message->id;
		bytes += message->size_bytes;
		seen++;
	}
	assert_int_equal(seen, count);
	assert_int_equal(bytes, index.message_bytes);
	while ((message = spool_index_next(&index, 0)) != NULL)
		spool_index_remove(&index, message);
	assert_int_equal(index.block_count, 0);
	assert_null(spool_index_find(&index, 5));
	spool_index_clear(&index);
}

static void knows_who_waits_for_any_number_of_recipients(void **state)
{
	static const uint32_t counts[] = { 1, 2, 63, 64, 65, 128, 1000 };
	struct spool_index index = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct spool_message *m = spool_index_add(&index, i + 1, 0, counts[i]);
		for (uint32_t k = 0; k < counts[i]; k++) {
			assert_true(spool_message_has_waiting(m));
			assert_true(spool_message_is_waiting(m, k));
			spool_message_set_waiting(m, k, false);
			assert_false(spool_message_is_waiting(m, k));
		}
		assert_false(spool_message_has_waiting(m));
		assert_false(spool_message_is_waiting(m, counts[i]));
		spool_message_set_waiting(m, counts[i] - 1, true);
		assert_true(spool_message_has_waiting(m));
	}
	spool_index_clear(&index);
}

static void extents_add_up_per_segment(void **state)
{
	struct spool_extents e = { 0 };
	(void)state;
	assert_int_equal(spool_extents_at(&e, 0).segment, 0);
	spool_extents_add(&e, 5, 100);
	spool_extents_add(&e, 6, 10);
	spool_extents_add(&e, 5, 1);
	spool_extents_add(&e, 7, 20);
	spool_extents_add(&e, 6, 2);
	spool_extents_remove(&e, 7, 20);
	assert_int_equal(spool_extents_at(&e, 0).bytes, 101);
	assert_int_equal(spool_extents_at(&e, 1).bytes, 12);
	assert_int_equal(spool_extents_at(&e, 2).segment, 7);
	assert_int_equal(spool_extents_at(&e, 2).bytes, 0);
	assert_int_equal(spool_extents_at(&e, 3).segment, 0);
	spool_extents_clear(&e);
}

static void an_entry_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct spool_message) <= 96);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_is_there_and_nothing_else),
		cmocka_unit_test(knows_who_waits_for_any_number_of_recipients),
		cmocka_unit_test(extents_add_up_per_segment),
		cmocka_unit_test(an_entry_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
