/* Settles: folded when many, kept when a write fails, in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/fakes/fake_disk.h"
#include "tests/smtpd/spool/spool_fixture.h"

struct world {
	struct fixture f;
	struct fake_disk *disk;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->disk = fake_disk_new(1);
	fixture_begin(&w->f, fake_disk_calls(w->disk), 96 * 1024);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
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

static void put_off(struct world *w, uint64_t id, uint32_t recipient, uint16_t attempts)
{
	struct spool_outcome outcome = { .recipient = recipient, .attempts = attempts,
		.due_s = attempts * 100, .reason = STR("later") };
	spool_settle(w->f.spool, id, &outcome, 1);
}

static void expect(struct world *w, uint64_t id, uint32_t recipient, uint16_t attempts)
{
	struct spool_reader *r = spool_read(w->f.spool, id, NULL);
	assert_non_null(r);
	const struct spool_recipient *got = &spool_reader_envelope(r)->recipients[recipient];
	assert_int_equal(got->attempts, attempts);
	assert_int_equal(got->due_s, attempts * 100);
	spool_reader_free(&r);
}

static void a_lost_settle_is_written_again_but_not_over_a_newer_one(void **state)
{
	struct world *w = *state;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 2);
	put_off(w, id, 0, 1);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 1, FAKE_DISK_EIO);
	fixture_pass_ms(&w->f, 0);
	assert_int_equal(fake_disk_failures(w->disk), 1);
	assert_int_equal(w->f.troubles, 1);
	put_off(w, id, 0, 2);
	put_off(w, id, 1, 7);
	fixture_pass_ms(&w->f, 3000);
	expect(w, id, 0, 2);
	expect(w, id, 1, 7);
	fixture_reopen(&w->f);
	expect(w, id, 0, 2);
	expect(w, id, 1, 7);
}

static void a_lost_done_is_written_again(void **state)
{
	struct world *w = *state;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 1);
	fixture_settle_one(&w->f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 1, FAKE_DISK_FULL);
	fixture_pass_ms(&w->f, 5000);
	assert_int_equal(fixture_count(&w->f), 0);
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 0);
}

static void a_thousand_settles_of_one_message_take_little(void **state)
{
	struct world *w = *state;
	struct spool_summary summary;
	uint64_t id = fixture_send_durably(&w->f, 1, 3000, 3);
	uint64_t other = fixture_send_durably(&w->f, 2, 100000, 1);
	for (uint16_t i = 1; i <= 20000; i++) {
		put_off(w, id, i % 3, i);
		if (i % 10 == 0)
			fixture_pass_ms(&w->f, 20);
	}
	fixture_pass_ms(&w->f, 5000);
	spool_summarise(w->f.spool, &summary);
	assert_true(summary.segments <= 6);
	for (int again = 0; again < 2; again++) {
		struct err err;
		expect(w, id, 20000 % 3, 20000);
		expect(w, id, 19999 % 3, 19999);
		expect(w, id, 19998 % 3, 19998);
		assert_true(fixture_is_intact(&w->f, id, 1, 3000, 3, &err));
		assert_true(fixture_is_intact(&w->f, other, 2, 100000, 1, &err));
		fixture_reopen(&w->f);
		assert_int_equal(w->f.troubles, 0);
	}
}

static void a_settle_of_this_turn_is_read_at_once(void **state)
{
	struct world *w = *state;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 2);
	put_off(w, id, 1, 3);
	expect(w, id, 1, 3);
}

static void a_message_for_a_thousand_survives_piecemeal_settling(void **state)
{
	struct world *w = *state;
	enum { COUNT = 1000 };
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, COUNT);
	for (uint32_t i = 0; i < COUNT - 1; i++) {
		fixture_settle_one(&w->f, id, i, SPOOL_RECIPIENT_DELIVERED);
		if (i % 100 == 0)
			fixture_pass_ms(&w->f, 10);
	}
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 1);
	struct spool_reader *r = spool_read(w->f.spool, id, NULL);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(spool_reader_envelope(r)->recipients[i].state,
			i == COUNT - 1 ? SPOOL_RECIPIENT_WAITING : SPOOL_RECIPIENT_DELIVERED);
	spool_reader_free(&r);
	fixture_settle_one(&w->f, id, COUNT - 1, SPOOL_RECIPIENT_FAILED);
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 0);
}

static void an_envelope_too_large_for_a_segment_is_refused(void **state)
{
	struct world *w = *state;
	struct fixture_done done;
	fixture_send(&w->f, 1, 1000, 4000, &done);
	fixture_wait(&w->f, &done.is_done);
	assert_false(done.is_durable);
	assert_int_equal(done.error.kind, ERR_LIMIT);
	fixture_send_durably(&w->f, 2, 1000, 1);
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 1);
}

static void a_full_disk_is_a_limit_and_passes(void **state)
{
	struct world *w = *state;
	struct fixture_done done;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 1);
	fixture_send(&w->f, 2, 1000, 1, &done);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 1, FAKE_DISK_ENOSPC);
	fixture_wait(&w->f, &done.is_done);
	assert_false(done.is_durable);
	assert_int_equal(done.error.kind, ERR_LIMIT);
	assert_true(w->f.troubles > 0);
	fixture_send_durably(&w->f, 3, 1000, 1);
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 2);
	assert_true(fixture_was_told(&w->f, id));
}

static void kill_and_reopen(struct world *w)
{
	fake_disk_power_off(w->disk);
	fixture_close(&w->f);
	fake_disk_power_on(w->disk, FAKE_DISK_KEEP_ALL);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
}

/* Several messages in one write, of which half gets through: whole ones among it. */
static void lose_a_write(struct world *w, enum fake_disk_fault fault)
{
	struct fixture_done done[6];
	for (uint64_t i = 0; i < 6; i++)
		fixture_send(&w->f, i, 1000, 1, &done[i]);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 1, fault);
	fixture_pass_ms(&w->f, 0);
	for (int i = 0; i < 6; i++)
		assert_true(done[i].is_done && !done[i].is_durable);
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 1);
	lose_a_write(w, FAKE_DISK_SHORT_ENOSPC);
	kill_and_reopen(w);
	assert_int_equal(w->f.told_count, 1);
	assert_true(fixture_was_told(&w->f, id));
	assert_int_equal(w->f.troubles, 0);
}

static void what_could_not_be_wiped_is_wiped_by_the_next_write(void **state)
{
	struct world *w = *state;
	/* the next write ends just where a whole message of the lost one begins */
	fixture_send_durably(&w->f, 9, 10, 1);
	lose_a_write(w, FAKE_DISK_FULL);
	fake_disk_fail_at(w->disk, 0, FAKE_DISK_EIO);
	fixture_pass_ms(&w->f, 10);
	uint64_t id = fixture_send_durably(&w->f, 0, 1000, 1);
	kill_and_reopen(w);
	assert_int_equal(w->f.told_count, 2);
	assert_true(fixture_was_told(&w->f, id));
	assert_int_equal(w->f.troubles, 0);
}

static void a_disk_that_stays_full_refuses_early_and_recovers_by_itself(void **state)
{
	struct world *w = *state;
	struct fixture_done done;
	struct err err = { 0 };
	uint64_t ids[20];
	unsigned count = 0;
	fixture_pass_ms(&w->f, 1);
	for (; count < 3; count++)
		ids[count] = fixture_send_durably(&w->f, count, 30000, 1);
	fake_disk_set_full(w->disk, true);
	for (int i = 0; i < 10; i++) {
		uint64_t id = fixture_send(&w->f, count, 30000, 1, &done);
		fixture_wait(&w->f, &done.is_done);
		if (done.is_durable)
			ids[count++] = id;
	}
	/* refused before any byte is sent, not after the last */
	assert_null(spool_begin(w->f.spool, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_true(w->f.troubles > 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(fixture_is_intact(&w->f, ids[i], i, 30000, 1, &err));
	/* what leaves makes room */
	for (unsigned i = 0; i < count; i++)
		fixture_settle_one(&w->f, ids[i], 0, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 5000);
	fake_disk_set_full(w->disk, false);
	fixture_pass_ms(&w->f, 5000);
	uint64_t last = fixture_send_durably(&w->f, 99, 30000, 1);
	fixture_pass_ms(&w->f, 5000);
	kill_and_reopen(w);
	assert_int_equal(w->f.told_count, 1);
	assert_true(fixture_was_told(&w->f, last));
}

static void a_failed_sync_stops_the_spool(void **state)
{
	struct world *w = *state;
	struct fixture_done done[2];
	struct spool_summary summary;
	struct err err = { 0 };
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 1);
	for (uint64_t i = 0; i < 2; i++)
		fixture_send(&w->f, 2 + i, 1000, 1, &done[i]);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 2, FAKE_DISK_EIO);
	fixture_wait(&w->f, &done[1].is_done);
	for (int i = 0; i < 2; i++) {
		assert_false(done[i].is_durable);
		assert_int_equal(done[i].error.kind, ERR_SYSTEM);
	}
	spool_summarise(w->f.spool, &summary);
	assert_false(summary.is_accepting);
	assert_null(spool_begin(w->f.spool, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_true(w->f.troubles > 0);
	/* what was durable before is still handed out */
	assert_true(fixture_is_intact(&w->f, id, 1, 1000, 1, &err));
	fixture_reopen(&w->f);
	assert_int_equal(w->f.told_count, 1);
	fixture_send_durably(&w->f, 5, 1000, 1);
}

static uint64_t begun_id(struct world *w)
{
	struct spool_writer *writer = spool_begin(w->f.spool, NULL);
	uint64_t id = spool_writer_id(writer);
	spool_abandon(&writer);
	return id;
}

static void ids_do_not_return_after_very_many(void **state)
{
	struct world *w = *state;
	uint64_t old = fixture_send_durably(&w->f, 1, 3000, 2);
	for (int i = 0; i < 100000; i++)
		begun_id(w);
	uint64_t id = fixture_send_durably(&w->f, 2, 3000, 1);
	fixture_settle_one(&w->f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	/* an old one keeps the log going, until nothing in it speaks of the new one */
	for (uint16_t i = 1; i <= 20000; i++) {
		put_off(w, old, 0, i);
		if (i % 10 == 0)
			fixture_pass_ms(&w->f, 20);
	}
	fixture_pass_ms(&w->f, 5000);
	kill_and_reopen(w);
	assert_true(begun_id(w) > id);
}

/* Mail comes in until nothing fits any more. What is there can still be settled, nothing of that is
 * forgotten, and the space comes back. */
static void a_completely_full_disk_still_settles_and_gets_empty(void **state)
{
	struct world *w = *state;
	enum { MOST = 400 };
	static struct fixture_done done[MOST + 6];
	for (unsigned extra = 0; extra < 12; extra++) {
		unsigned count = 0;
		fake_disk_set_capacity(w->disk, 5 * 96 * 1024 + extra * 9000);
		bool is_full = false;
		while (count < MOST && !is_full) {
			/* in bursts, so that segments are made at once, and slowly */
			for (unsigned i = 0; i <= extra % 6; i++, count++)
				fixture_send(&w->f, count, 500 + count * 777 % 9000, 1, &done[count]);
			fixture_pass_ms(&w->f, extra < 6 ? 0 : 400);
			/* several in a row, so that small ones have filled the gaps too */
			is_full = count > 20;
			for (unsigned i = count - 20; is_full && i < count; i++)
				is_full = done[i].is_done && !done[i].is_durable;
		}
		assert_true(count < MOST);
		fixture_pass_ms(&w->f, 0);
		for (unsigned i = 0; i < count; i++) {
			if (done[i].is_durable)
				fixture_settle_one(&w->f, done[i].id, 0, SPOOL_RECIPIENT_DELIVERED);
			fixture_pass_ms(&w->f, 1);
		}
		fixture_pass_ms(&w->f, 5000);
		uint64_t id = fixture_send_durably(&w->f, 1, 3000, 1);
		kill_and_reopen(w);
		assert_int_equal(fixture_count(&w->f), 1);
		fixture_settle_one(&w->f, id, 0, SPOOL_RECIPIENT_DELIVERED);
		fixture_pass_ms(&w->f, 5000);
	}
	fake_disk_set_capacity(w->disk, 0);
}

/* Whoever tries the message again reads who still waits: not one whose outcome a failed write holds
 * up, or he would get it twice. */
static void a_lost_outcome_is_seen_at_once(void **state)
{
	struct world *w = *state;
	uint64_t id = fixture_send_durably(&w->f, 1, 1000, 2);
	fixture_settle_one(&w->f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 1, FAKE_DISK_EIO);
	fixture_pass_ms(&w->f, 0);
	assert_int_equal(fake_disk_failures(w->disk), 1);
	struct spool_reader *r = spool_read(w->f.spool, id, NULL);
	assert_non_null(r);
	const struct spool_envelope *e = spool_reader_envelope(r);
	assert_int_not_equal(e->recipients[0].state, SPOOL_RECIPIENT_WAITING);
	assert_int_equal(e->recipients[1].state, SPOOL_RECIPIENT_WAITING);
	spool_reader_free(&r);
}

/* The disk takes nothing any more: what waits fails while it is being walked through. */
static void a_failed_sync_and_failing_writes_fail_everybody_once(void **state)
{
	struct world *w = *state;
	enum { COUNT = 80 };
	static struct fixture_done done[COUNT];
	for (uint64_t i = 0; i < COUNT; i++) {
		if (i == COUNT / 2) {
			/* written; its sync fails at the next turn of the loop */
			fake_disk_fail_at(w->disk, fake_disk_count(w->disk) + 2, FAKE_DISK_POWER);
			tlsio_loop_turn(w->f.loop, false);
		}
		fixture_send(&w->f, i, 1000, 1, &done[i]);
	}
	fixture_pass_ms(&w->f, 3000);
	for (int i = 0; i < COUNT; i++)
		assert_true(done[i].is_done && !done[i].is_durable);
	fixture_close(&w->f);
	fake_disk_power_on(w->disk, FAKE_DISK_KEEP_ALL);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_lost_settle_is_written_again_but_not_over_a_newer_one),
		TEST(a_lost_done_is_written_again),
		TEST(a_thousand_settles_of_one_message_take_little),
		TEST(a_settle_of_this_turn_is_read_at_once),
		TEST(a_message_for_a_thousand_survives_piecemeal_settling),
		TEST(an_envelope_too_large_for_a_segment_is_refused),
		TEST(a_full_disk_is_a_limit_and_passes),
		TEST(a_failed_write_leaves_nothing_behind),
		TEST(what_could_not_be_wiped_is_wiped_by_the_next_write),
		TEST(a_disk_that_stays_full_refuses_early_and_recovers_by_itself),
		TEST(a_failed_sync_stops_the_spool),
		TEST(ids_do_not_return_after_very_many),
		TEST(a_completely_full_disk_still_settles_and_gets_empty),
		TEST(a_lost_outcome_is_seen_at_once),
		TEST(a_failed_sync_and_failing_writes_fail_everybody_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
