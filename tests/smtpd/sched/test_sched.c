#include "smtpd/sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_loop.h"

enum { STARTED_MOST = 100 };

struct world {
	struct tlsio_loop *loop;
	struct sched *sched;
	struct sched_settings settings;
	struct sched_job *started[STARTED_MOST]; /* in order, running or finished */
	uint64_t messages[STARTED_MOST];
	size_t count;
};

static void on_start(void *ctx, struct sched_job *job)
{
	struct world *w = ctx;
	assert_true(w->count < STARTED_MOST);
	w->messages[w->count] = sched_job_message(job);
	w->started[w->count++] = job;
}

static const struct sched_events events = { on_start };

static const struct sched_settings defaults = { .first_ms = 300000, .longest_ms = 14400000,
	.give_up_ms = INT64_C(432000000), .give_up_bounce_ms = 86400000, .pause_ms = 60000,
	.concurrency_start = 5, .concurrency_most = 20, .running_most = 500 };

static int set_up(void **state)
{
	struct world *w = mem_zero(sizeof(*w));
	w->loop = tlsio_loop_new(NULL);
	w->settings = defaults;
	w->sched = sched_new(w->loop, &w->settings, &events, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	sched_free(&w->sched);
	tlsio_loop_free(&w->loop);
	free(w);
	return 0;
}

static void pass_s(struct world *w, int64_t seconds)
{
	fake_loop_advance(w->loop, seconds * 1000);
}

static int64_t now_s(const struct world *w)
{
	return tlsio_loop_time_s(w->loop);
}

static void finish(struct world *w, size_t i, enum sched_result result, int64_t in_s)
{
	sched_finish(w->sched, w->started[i], result, now_s(w) + in_s);
}

static void starts_at_once_but_not_inside_the_call(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), 0);
	assert_int_equal(w->count, 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 1);
	assert_true(str_equal(sched_job_destination(w->started[0]), STR("a.example")));
	finish(w, 0, SCHED_SETTLED, 0);
	pass_s(w, 0);
	assert_int_equal(sched_running_count(w->sched), 0);
	assert_int_equal(sched_waiting_count(w->sched), 0);
}

static void waits_until_due(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 100);
	sched_add(w->sched, 2, STR("a.example"), now_s(w) + 50);
	sched_add(w->sched, 3, STR("b.example"), now_s(w) + 70);
	pass_s(w, 49);
	assert_int_equal(w->count, 0);
	pass_s(w, 60);
	assert_int_equal(w->count, 3);
	assert_int_equal(w->messages[0], 2);
	assert_int_equal(w->messages[1], 3);
	assert_int_equal(w->messages[2], 1);
}

/* Somebody sets the clock right by days, in either direction, or it was ahead when a due was written. */
static void a_clock_that_jumps_holds_no_mail_back(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 300);
	pass_s(w, 100);
	fake_loop_set_time_s(w->loop, now_s(w) - 3 * 86400);
	pass_s(w, 199);
	assert_int_equal(w->count, 0);
	pass_s(w, 2);
	assert_int_equal(w->count, 1);
	sched_add(w->sched, 2, STR("b.example"), now_s(w) + 3 * 86400);
	pass_s(w, 5 * 3600);
	assert_int_equal(w->count, 2);
	sched_add(w->sched, 3, STR("c.example"), now_s(w) + 300);
	fake_loop_set_time_s(w->loop, now_s(w) + 3 * 86400);
	pass_s(w, 301);
	assert_int_equal(w->count, 3);
}

static void the_same_job_is_kept_once_with_the_earlier_due(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 100);
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 200);
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 10);
	sched_add(w->sched, 1, STR("b.example"), now_s(w) + 10);
	assert_int_equal(sched_waiting_count(w->sched), 2);
	pass_s(w, 10);
	assert_int_equal(w->count, 2);
}

static void a_running_job_added_again_runs_again_afterwards(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), 0);
	pass_s(w, 0);
	sched_add(w->sched, 1, STR("a.example"), 0);
	pass_s(w, 1);
	assert_int_equal(w->count, 1);
	finish(w, 0, SCHED_SETTLED, 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 2);
	finish(w, 1, SCHED_SETTLED, 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 2);
}

static void concurrency_grows_with_success(void **state)
{
	struct world *w = *state;
	for (uint64_t i = 1; i <= 80; i++)
		sched_add(w->sched, i, STR("a.example"), 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 5);
	finish(w, 0, SCHED_SETTLED, 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 7);
	for (size_t i = 1; i < 40; i++) {
		finish(w, i, SCHED_SETTLED, 0);
		pass_s(w, 0);
	}
	assert_int_equal(sched_running_count(w->sched), 20);
}

static void a_dead_destination_rests_and_is_probed_by_one(void **state)
{
	struct world *w = *state;
	for (uint64_t i = 1; i <= 10; i++)
		sched_add(w->sched, i, STR("dead.example"), 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 5);
	for (size_t i = 0; i < 5; i++)
		finish(w, i, SCHED_UNREACHABLE, 300);
	/* mail that comes now waits too */
	sched_add(w->sched, 11, STR("dead.example"), 0);
	pass_s(w, 59);
	assert_int_equal(w->count, 5);
	pass_s(w, 1);
	assert_int_equal(w->count, 6);
	finish(w, 5, SCHED_UNREACHABLE, 300);
	pass_s(w, 119);
	assert_int_equal(w->count, 6);
	pass_s(w, 1);
	assert_int_equal(w->count, 7);
	finish(w, 6, SCHED_SETTLED, 0);
	pass_s(w, 0);
	/* all four that are due, no longer one by one */
	assert_int_equal(sched_running_count(w->sched), 4);
}

static void the_pause_doubles_up_to_the_longest(void **state)
{
	struct world *w = *state;
	w->settings.longest_ms = 300000;
	sched_add(w->sched, 1, STR("dead.example"), 0);
	static const int64_t pauses_s[] = { 60, 120, 240, 300, 300 };
	pass_s(w, 0);
	for (size_t i = 0; i < 5; i++) {
		finish(w, i, SCHED_UNREACHABLE, 0);
		pass_s(w, pauses_s[i] - 1);
		assert_int_equal(w->count, i + 1);
		pass_s(w, 1);
		assert_int_equal(w->count, i + 2);
	}
}

static void a_message_put_off_does_not_rest_the_destination(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), 0);
	sched_add(w->sched, 2, STR("a.example"), now_s(w) + 1);
	pass_s(w, 0);
	finish(w, 0, SCHED_RETRY, 300);
	pass_s(w, 1);
	assert_int_equal(w->count, 2);
	finish(w, 1, SCHED_SETTLED, 0);
	pass_s(w, 298);
	assert_int_equal(w->count, 2);
	pass_s(w, 1);
	assert_int_equal(w->count, 3);
	assert_int_equal(w->messages[2], 1);
}

static void a_job_that_was_not_tried_tells_nothing_of_its_destination(void **state)
{
	struct world *w = *state;
	w->settings.concurrency_start = 1;
	for (uint64_t i = 1; i <= 3; i++)
		sched_add(w->sched, i, STR("a.example"), 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 1);
	finish(w, 0, SCHED_UNTRIED, 15);
	pass_s(w, 0);
	assert_int_equal(w->count, 2); /* the next one, at once: no rest, and no second beside it */
	finish(w, 1, SCHED_UNREACHABLE, 300);
	pass_s(w, 59);
	assert_int_equal(w->count, 2);
	pass_s(w, 1);
	assert_int_equal(w->count, 3); /* the probe */
	finish(w, 2, SCHED_UNTRIED, 15);
	pass_s(w, 0);
	assert_int_equal(sched_running_count(w->sched), 1); /* still one at a time */
}

static void new_mail_and_old_mail_take_turns(void **state)
{
	struct world *w = *state;
	w->settings.concurrency_start = 1;
	w->settings.concurrency_most = 1;
	for (uint64_t i = 1; i <= 6; i++)
		sched_add(w->sched, i, STR("a.example"), now_s(w) + (int64_t)i);
	sched_add(w->sched, 100, STR("a.example"), 0);
	pass_s(w, 6);
	for (uint64_t i = 101; i <= 103; i++)
		sched_add(w->sched, i, STR("a.example"), 0);
	for (size_t i = 0; i < 6; i++) {
		finish(w, i, SCHED_SETTLED, 0);
		pass_s(w, 0);
	}
	static const uint64_t expected[] = { 100, 1, 101, 2, 102, 3, 103 };
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(w->messages[i], expected[i]);
}

static void never_runs_more_than_allowed(void **state)
{
	struct world *w = *state;
	char name[32];
	w->settings.running_most = 12;
	for (uint64_t i = 1; i <= 40; i++) {
		snprintf(name, sizeof(name), "d%u.example", (unsigned)i % 8);
		sched_add(w->sched, i, str_of(name), 0);
	}
	pass_s(w, 0);
	/* untested destinations leave a quarter to those that work */
	assert_int_equal(sched_running_count(w->sched), 9);
	for (size_t i = 0; i < 30; i++) {
		finish(w, i, SCHED_SETTLED, 0);
		pass_s(w, 0);
		assert_true(sched_running_count(w->sched) <= 12);
	}
	assert_int_equal(sched_waiting_count(w->sched) + w->count, 40);
}

static void the_operator_can_hurry(void **state)
{
	struct world *w = *state;
	for (uint64_t i = 1; i <= 4; i++)
		sched_add(w->sched, i, i < 3 ? STR("a.example") : STR("b.example"),
			now_s(w) + 1000);
	assert_int_equal(sched_flush_message(w->sched, 4), 1);
	assert_int_equal(sched_flush_message(w->sched, 99), 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->messages[0], 4);
	assert_int_equal(sched_flush_destination(w->sched, STR("a.example")), 2);
	assert_int_equal(sched_flush_destination(w->sched, STR("c.example")), 0);
	pass_s(w, 0);
	assert_int_equal(w->count, 3);
	for (size_t i = 0; i < 3; i++)
		finish(w, i, SCHED_UNREACHABLE, 1000);
	assert_int_equal(sched_flush_all(w->sched), 4);
	pass_s(w, 0);
	/* one for each of the two: they are still to be probed */
	assert_int_equal(sched_running_count(w->sched), 2);
}

static void a_removed_message_is_not_tried(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), 0);
	sched_add(w->sched, 1, STR("b.example"), now_s(w) + 10);
	sched_add(w->sched, 2, STR("c.example"), 0);
	pass_s(w, 0);
	sched_remove(w->sched, 1);
	assert_int_equal(sched_waiting_count(w->sched), 0);
	assert_int_equal(sched_running_count(w->sched), 2);
	finish(w, 0, SCHED_SETTLED, 0);
	pass_s(w, 20);
	assert_int_equal(w->count, 2);
}

static void starts_nothing_after_stop(void **state)
{
	struct world *w = *state;
	sched_add(w->sched, 1, STR("a.example"), 0);
	sched_stop(w->sched);
	pass_s(w, 10);
	assert_int_equal(w->count, 0);
}

struct quick {
	struct world *w;
	struct tlsio_turn turn;
	struct sched_job *ended[STARTED_MOST];
	size_t ended_count, count;
};

static void on_quick_start(void *ctx, struct sched_job *job)
{
	struct quick *q = ctx;
	q->count++;
	q->ended[q->ended_count++] = job;
	tlsio_turn_request(&q->turn);
}

static void on_quick_turn(void *ctx)
{
	struct quick *q = ctx;
	while (q->ended_count > 0)
		sched_finish(q->w->sched, q->ended[--q->ended_count], SCHED_SETTLED, 0);
}

static void a_long_queue_of_jobs_that_end_at_once_leaves_turns_to_others(void **state)
{
	static const struct sched_events quick_events = { on_quick_start };
	struct world *w = *state;
	struct quick q = { .w = w };
	tlsio_turn_init(&q.turn, w->loop, on_quick_turn, &q);
	sched_free(&w->sched);
	w->sched = sched_new(w->loop, &w->settings, &quick_events, &q);
	for (uint64_t i = 1; i <= 1000; i++)
		sched_add(w->sched, i, STR("a.example"), 0);
	tlsio_loop_turn(w->loop, false);
	assert_true(q.count > 0 && q.count < 200);
	pass_s(w, 0);
	assert_int_equal(q.count, 1000);
	assert_int_equal(sched_waiting_count(w->sched), 0);
	/* and it still waits for what is due later */
	sched_add(w->sched, 1, STR("a.example"), now_s(w) + 10);
	pass_s(w, 9);
	assert_int_equal(q.count, 1000);
	pass_s(w, 1);
	assert_int_equal(q.count, 1001);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(starts_at_once_but_not_inside_the_call),
		TEST(waits_until_due),
		TEST(a_clock_that_jumps_holds_no_mail_back),
		TEST(the_same_job_is_kept_once_with_the_earlier_due),
		TEST(a_running_job_added_again_runs_again_afterwards),
		TEST(concurrency_grows_with_success),
		TEST(a_dead_destination_rests_and_is_probed_by_one),
		TEST(the_pause_doubles_up_to_the_longest),
		TEST(a_message_put_off_does_not_rest_the_destination),
		TEST(a_job_that_was_not_tried_tells_nothing_of_its_destination),
		TEST(new_mail_and_old_mail_take_turns),
		TEST(never_runs_more_than_allowed),
		TEST(the_operator_can_hurry),
		TEST(a_removed_message_is_not_tried),
		TEST(starts_nothing_after_stop),
		TEST(a_long_queue_of_jobs_that_end_at_once_leaves_turns_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
