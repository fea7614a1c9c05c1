/* A copy of a spool that goes on: what is pinned stays, the copy has all that was acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_copy.h"
#include "tests/fakes/fake_disk.h"
#include "tests/smtpd/spool/spool_fixture.h"

enum { MESSAGES = 40, LENGTH = 9000, SEGMENT_BYTES = 96 * 1024 };

struct world {
	struct fixture f;
	struct fake_disk *disk;
	uint64_t ids[MESSAGES];
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->disk = fake_disk_new(1);
	fixture_begin(&w->f, fake_disk_calls(w->disk), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	for (int i = 0; i < MESSAGES; i++)
		w->ids[i] = fixture_send_durably(&w->f, (uint64_t)i, LENGTH, 1);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	fixture_end(&w->f);
	fake_disk_free(&w->disk);
	free(w);
	return 0;
}

/* All the mail goes, twice as much comes and goes: segments are given back and used again. */
static void churn(struct world *w)
{
	for (int i = 0; i < MESSAGES; i++)
		fixture_settle_all(&w->f, w->ids[i], 1, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 3000);
	for (int i = 0; i < 2 * MESSAGES; i++) {
		uint64_t id = fixture_send_durably(&w->f, 100, LENGTH, 1);
		fixture_settle_all(&w->f, id, 1, SPOOL_RECIPIENT_DELIVERED);
	}
	fixture_pass_ms(&w->f, 3000);
}

static int copy_all(struct world *w, const struct spool_pinned *pinned, struct fake_disk *to,
	struct err *err)
{
	int result = 0;
	for (size_t i = 0; i < pinned->count && result == 0; i++) {
		struct spool_mark mark = { .shard = pinned->shard, .next_id = pinned->next_id };
		bool is_end = pinned->is_open && i + 1 == pinned->count;
		struct spool_copy copy;
		result = spool_copy_begin(&copy, fake_disk_calls(w->disk), "/spool",
			fake_disk_calls(to), "/spool", pinned->segments[i].number,
			pinned->segments[i].end, is_end ? &mark : NULL, err);
		if (result < 0)
			break;
		while ((result = spool_copy_step(&copy, err)) > 0)
			;
		spool_copy_stop(&copy);
	}
	struct spool_disk *calls = fake_disk_calls(to);
	if (result == 0 && calls->sync_directory(calls, "/spool") < 0)
		result = err_set(err, ERR_SYSTEM, "the directory is not synced");
	return result;
}

static void assert_all_in(struct world *w, struct fake_disk *copy)
{
	static const struct spool_check_events events = { 0 };
	struct fixture f;
	struct err err = { 0 };
	/* what was not synced is not there */
	fake_disk_power_off(copy);
	fake_disk_power_on(copy, FAKE_DISK_KEEP_NOTHING);
	struct spool_check *check =
		spool_check_new(fake_disk_calls(copy), "/spool", 3, &events, NULL, &err);
	assert_non_null(check);
	assert_false(spool_check_found_damage(spool_check_totals(check)));
	assert_int_equal(spool_check_totals(check)->end, SPOOL_CHECK_CLOSED);
	assert_int_equal(spool_check_totals(check)->living, MESSAGES);
	spool_check_free(&check);
	fixture_begin(&f, fake_disk_calls(copy), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&f, NULL), 0);
	assert_int_equal(f.troubles, 0);
	for (int i = 0; i < MESSAGES; i++) {
		assert_true(fixture_was_told(&f, w->ids[i]));
		assert_true(fixture_is_intact(&f, w->ids[i], (uint64_t)i, LENGTH, 1, &err));
	}
	assert_true(fixture_send_durably(&f, 200, 10, 1) > w->ids[MESSAGES - 1]);
	fixture_end(&f);
}

static void a_copy_has_all_that_was_acknowledged_though_segments_are_used_again(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct fake_disk *copy = fake_disk_new(2);
	struct spool_pin *pin = spool_pin(w->f.spool, &err);
	assert_non_null(pin);
	assert_true(spool_pin_look(pin)->count >= 4);
	churn(w);
	if (copy_all(w, spool_pin_look(pin), copy, &err) < 0)
		fail_msg("%s", err.text);
	spool_unpin(&pin);
	assert_all_in(w, copy);
	fake_disk_free(&copy);
}

static void without_a_pin_it_would_not(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct spool_pin *pin = spool_pin(w->f.spool, &err);
	struct spool_pinned_segment segments[64];
	struct spool_pinned pinned = *spool_pin_look(pin);
	assert_true(pinned.count <= 64);
	memcpy(segments, pinned.segments, pinned.count * sizeof(segments[0]));
	pinned.segments = segments;
	spool_unpin(&pin);
	churn(w);
	struct fake_disk *copy = fake_disk_new(2);
	assert_int_equal(copy_all(w, &pinned, copy, &err), -1);
	fake_disk_free(&copy);
}

static void what_was_kept_is_given_back_when_the_last_pin_goes(void **state)
{
	struct world *w = *state;
	struct spool_summary before, kept, after;
	struct spool_pin *one = spool_pin(w->f.spool, NULL), *two = spool_pin(w->f.spool, NULL);
	spool_summarise(w->f.spool, &before);
	churn(w);
	spool_unpin(&one);
	fixture_pass_ms(&w->f, 3000);
	spool_summarise(w->f.spool, &kept);
	assert_true(kept.segments > before.segments);
	spool_unpin(&two);
	fixture_pass_ms(&w->f, 5000);
	spool_summarise(w->f.spool, &after);
	assert_true(after.segments < before.segments);
	spool_unpin(&two);
}

static void a_full_disk_is_in_the_way(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct spool_pin *pin = spool_pin(w->f.spool, NULL);
	assert_false(spool_pin_is_in_the_way(pin));
	w->f.settings.minimum_free_bytes = 1 << 20;
	fake_disk_set_free_bytes(w->disk, 1000);
	fixture_pass_ms(&w->f, 2000);
	struct spool_writer *writer = spool_begin(w->f.spool, &err);
	assert_null(writer);
	assert_true(spool_pin_is_in_the_way(pin));
	spool_unpin(&pin);
	assert_null(spool_pin(w->f.spool, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void a_copy_that_fails_anywhere_says_so(void **state)
{
	struct world *w = *state;
	struct spool_pin *pin = spool_pin(w->f.spool, NULL);
	unsigned tried = 0;
	for (;; tried++) {
		struct fake_disk *copy = fake_disk_new(2);
		struct err err = { 0 };
		fake_disk_fail_at(copy, tried + 1, tried % 2 ? FAKE_DISK_EIO : FAKE_DISK_ENOSPC);
		int result = copy_all(w, spool_pin_look(pin), copy, &err);
		unsigned failures = fake_disk_failures(copy);
		if (failures == 0)
			assert_all_in(w, copy);
		fake_disk_free(&copy);
		assert_int_equal(result, failures ? -1 : 0);
		if (failures == 0)
			break;
	}
	assert_true(tried > 10);
	spool_unpin(&pin);
}

/* On the real disk, with the helper's thread: it works on the first of them while others come. */
static void a_crowd_of_dead_segments_is_given_back_by_the_thread(void **state)
{
	enum { CROWD = 60 };
	struct fixture f;
	struct spool_summary summary;
	(void)state;
	fixture_begin(&f, NULL, SEGMENT_BYTES);
	assert_int_equal(fixture_open(&f, NULL), 0);
	for (int round = 0; round < 3; round++) {
		uint64_t ids[CROWD];
		for (int i = 0; i < CROWD; i++)
			ids[i] = fixture_send_durably(&f, (uint64_t)i, 60000, 1);
		spool_summarise(f.spool, &summary);
		assert_true(summary.segments > CROWD / 2);
		for (int i = 0; i < CROWD; i++) {
			fixture_settle_all(&f, ids[i], 1, SPOOL_RECIPIENT_DELIVERED);
			if (i % 10 == 9)
				fixture_wait(&f, NULL);
		}
		for (int i = 0; i < 5; i++)
			fixture_wait(&f, NULL);
		spool_summarise(f.spool, &summary);
		assert_true(summary.segments < 6);
	}
	fixture_end(&f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_copy_has_all_that_was_acknowledged_though_segments_are_used_again),
		TEST(without_a_pin_it_would_not),
		TEST(what_was_kept_is_given_back_when_the_last_pin_goes),
		TEST(a_full_disk_is_in_the_way),
		TEST(a_copy_that_fails_anywhere_says_so),
		cmocka_unit_test(a_crowd_of_dead_segments_is_given_back_by_the_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
