/* The real loop: turns, timers, wakes, signals, descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/tlsio_loop.h"

static char trace[64];
static size_t traced;

static void note(char what)
{
	if (traced < sizeof(trace) - 1)
		trace[traced++] = what;
	trace[traced] = '\0';
}

struct hook {
	struct tlsio_turn turn;
	struct tlsio_timer timer;
	struct hook *next;	   /* requested by this one's hook */
	struct tlsio_timer *starts; /* started by this one's hook */
	char name;
};

static void on_turn(void *ctx)
{
	struct hook *h = ctx;
	note(h->name);
	if (h->next)
		tlsio_turn_request(&h->next->turn);
	if (h->starts)
		tlsio_timer_start(h->starts, 0);
}

static void on_timer(void *ctx)
{
	struct hook *h = ctx;
	note((char)(h->name - 'a' + 'A'));
	tlsio_turn_request(&h->turn);
}

static void init_hook(struct hook *h, struct tlsio_loop *loop, char name)
{
	*h = (struct hook){ .name = name };
	tlsio_turn_init(&h->turn, loop, on_turn, h);
	tlsio_timer_init(&h->timer, loop, on_timer, h);
}

static int set_up(void **state)
{
	struct tlsio_loop *loop = tlsio_loop_new(NULL);
	traced = 0;
	note('\0');
	traced = 0;
	*state = loop;
	return loop ? 0 : -1;
}

static int tear_down(void **state)
{
	struct tlsio_loop *loop = *state;
	tlsio_loop_free(&loop);
	tlsio_loop_free(&loop);
	return 0;
}

static void returns_when_nothing_is_left(void **state)
{
	tlsio_loop_run(*state);
	tlsio_loop_turn(*state, true);
	tlsio_loop_turn(*state, false);
}

static void hooks_run_once_at_the_end_of_the_turn_in_order(void **state)
{
	struct hook a, b, c;
	init_hook(&a, *state, 'a');
	init_hook(&b, *state, 'b');
	init_hook(&c, *state, 'c');
	a.next = &c;
	tlsio_turn_request(&a.turn);
	tlsio_turn_request(&b.turn);
	tlsio_turn_request(&a.turn);
	assert_string_equal(trace, "");
	tlsio_loop_run(*state);
	assert_string_equal(trace, "abc");
	tlsio_turn_request(&b.turn);
	tlsio_turn_cancel(&b.turn);
	tlsio_loop_run(*state);
	assert_string_equal(trace, "abc");
}

static void a_hook_requested_by_the_last_event_still_runs(void **state)
{
	struct hook a, b;
	init_hook(&a, *state, 'a');
	init_hook(&b, *state, 'b');
	a.starts = &b.timer; /* and what it starts is waited for */
	tlsio_timer_start(&a.timer, 1);
	tlsio_loop_run(*state);
	assert_string_equal(trace, "AaBb");
}

static void hooks_run_between_the_turns_of_events(void **state)
{
	struct hook a, b, c;
	init_hook(&a, *state, 'a');
	init_hook(&b, *state, 'b');
	init_hook(&c, *state, 'c');
	tlsio_timer_start(&c.timer, 25);
	tlsio_timer_start(&a.timer, 1);
	tlsio_timer_start(&b.timer, 1);
	tlsio_loop_run(*state);
	/* a and b are due in the same turn or in two */
	assert_true(strcmp(trace, "ABabCc") == 0 || strcmp(trace, "AaBbCc") == 0 ||
		    strcmp(trace, "BAbaCc") == 0);
}

static void a_timer_is_due_once_and_may_be_moved(void **state)
{
	struct hook a, b;
	init_hook(&a, *state, 'a');
	init_hook(&b, *state, 'b');
	assert_false(tlsio_timer_is_active(&a.timer));
	tlsio_timer_start(&a.timer, 5);
	tlsio_timer_start(&a.timer, 30);
	tlsio_timer_start(&b.timer, 15);
	assert_true(tlsio_timer_is_active(&a.timer));
	int64_t began = tlsio_loop_now_ms(*state);
	tlsio_loop_run(*state);
	assert_string_equal(trace, "BbAa");
	assert_false(tlsio_timer_is_active(&a.timer));
	assert_true(tlsio_loop_now_ms(*state) - began >= 29);
	tlsio_timer_start(&a.timer, 0);
	tlsio_timer_stop(&a.timer);
	tlsio_loop_run(*state);
	assert_string_equal(trace, "BbAa");
}

static void a_timer_counts_from_now_after_a_long_pause(void **state)
{
	struct hook a;
	struct timespec before, after, pause = { .tv_nsec = 30000000 };
	init_hook(&a, *state, 'a');
	tlsio_loop_turn(*state, false);
	nanosleep(&pause, NULL); /* the program did something else */
	clock_gettime(CLOCK_MONOTONIC, &before);
	tlsio_timer_start(&a.timer, 25);
	tlsio_loop_run(*state);
	clock_gettime(CLOCK_MONOTONIC, &after);
	int64_t ms = (after.tv_sec - before.tv_sec) * 1000 +
		     (after.tv_nsec - before.tv_nsec) / 1000000;
	assert_true(ms >= 24);
}

struct waker {
	struct tlsio_wake wake;
	struct tlsio_loop *loop;
	int wakes;
};

static void on_wake(void *ctx)
{
	struct waker *w = ctx;
	w->wakes++;
	tlsio_loop_stop(w->loop);
}

static void *send_wake(void *ctx)
{
	struct waker *w = ctx;
	tlsio_wake_send(&w->wake);
	return NULL;
}

static void another_thread_wakes_the_loop(void **state)
{
	struct waker w = { .loop = *state };
	pthread_t thread;
	tlsio_wake_stop(&w.wake); /* never started: harmless */
	tlsio_wake_start(&w.wake, *state, on_wake, &w);
	assert_int_equal(pthread_create(&thread, NULL, send_wake, &w), 0);
	tlsio_loop_run(*state);
	assert_int_equal(w.wakes, 1);
	pthread_join(thread, NULL);
	tlsio_wake_stop(&w.wake);
	tlsio_loop_run(*state);
	assert_int_equal(w.wakes, 1);
}

static void on_test_signal(void *ctx, int number)
{
	*(int *)ctx = number;
}

static void a_signal_arrives_in_the_loop(void **state)
{
	struct tlsio_signal s;
	int got = 0;
	tlsio_signal_start(&s, *state, SIGUSR1, on_test_signal, &got);
	raise(SIGUSR1);
	assert_int_equal(got, 0);
	while (!got)
		tlsio_loop_turn(*state, true);
	assert_int_equal(got, SIGUSR1);
	tlsio_signal_stop(&s);
}

static void on_readable(void *ctx, unsigned events)
{
	note((char)('0' + events));
	(void)ctx;
}

static void a_watch_says_what_is_ready_while_it_is(void **state)
{
	int pipe_fds[2];
	struct tlsio_watch in, out;
	assert_int_equal(pipe(pipe_fds), 0);
	tlsio_watch_init(&in, *state, pipe_fds[0], on_readable, NULL);
	tlsio_watch_init(&out, *state, pipe_fds[1], on_readable, NULL);
	tlsio_watch_set(&in, TLSIO_READ);
	tlsio_loop_turn(*state, false);
	assert_string_equal(trace, "");
	tlsio_watch_set(&out, TLSIO_WRITE);
	tlsio_loop_turn(*state, false);
	assert_string_equal(trace, "2");
	tlsio_watch_set(&out, 0);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	tlsio_loop_turn(*state, true);
	tlsio_loop_turn(*state, true); /* level-triggered */
	assert_string_equal(trace, "211");
	tlsio_watch_set(&in, 0);
	tlsio_loop_turn(*state, false);
	assert_string_equal(trace, "211");
	close(pipe_fds[0]);
	close(pipe_fds[1]);

	/* the number of a closed descriptor comes again, and is watched again */
	assert_int_equal(pipe(pipe_fds), 0);
	tlsio_watch_init(&in, *state, pipe_fds[0], on_readable, NULL);
	tlsio_watch_set(&in, TLSIO_READ);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	tlsio_loop_turn(*state, true);
	assert_string_equal(trace, "2111");
	tlsio_watch_set(&in, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void what_waits_for_the_loops_end_runs_in_free(void **state)
{
	(void)state;
	struct tlsio_loop *loop = tlsio_loop_new(NULL);
	struct hook a, b;
	init_hook(&a, loop, 'a');
	init_hook(&b, loop, 'b');
	tlsio_turn_request_at_free(&a.turn);
	tlsio_loop_run(loop);
	assert_string_equal(trace, "");
	tlsio_turn_request(&b.turn);
	tlsio_loop_free(&loop);
	assert_string_equal(trace, "a");
	assert_false(list_is_linked(&b.turn.link));
}

static void tells_both_clocks(void **state)
{
	struct hook a;
	init_hook(&a, *state, 'a');
	int64_t before = tlsio_loop_now_ms(*state);
	assert_true(llabs(tlsio_loop_time_s(*state) - (int64_t)time(NULL)) <= 1);
	tlsio_timer_start(&a.timer, 10);
	tlsio_loop_run(*state);
	assert_true(tlsio_loop_now_ms(*state) - before >= 9);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(returns_when_nothing_is_left),
		CASE(hooks_run_once_at_the_end_of_the_turn_in_order),
		CASE(a_hook_requested_by_the_last_event_still_runs),
		CASE(hooks_run_between_the_turns_of_events),
		CASE(a_timer_is_due_once_and_may_be_moved),
		CASE(a_timer_counts_from_now_after_a_long_pause),
		CASE(another_thread_wakes_the_loop),
		CASE(a_signal_arrives_in_the_loop),
		CASE(a_watch_says_what_is_ready_while_it_is),
		CASE(what_waits_for_the_loops_end_runs_in_free),
		CASE(tells_both_clocks),
	};
	return cmocka_run_group_tests_name("tlsio_loop", tests, NULL, NULL);
}
