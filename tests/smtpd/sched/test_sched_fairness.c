/* An hour of mail on virtual time: 2,000 destinations, some of them dead, some slow. */
#include "smtpd/sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "smtpd/sched/sched_backoff.h"
#include "smtpd/sched/sched_heap.h"
#include "tests/fakes/fake_loop.h"

enum { DESTINATIONS = 2000, RUNNING_MOST = 200, DEAD_MS = 30000, SLOW_MS = 20000, STEP_MS = 100 };

enum nature { HEALTHY, SLOW, DEAD };

struct destination {
	enum nature nature;
	uint32_t running;
	uint32_t running_most;
	int64_t worst_wait_ms;
	unsigned delivered;
	unsigned tries;
};

struct try {
	struct sched_heap_node node; /* due: when it ends */
	struct sched_job *job;
};

struct world {
	struct tlsio_loop *loop;
	struct sched *sched;
	struct sched_settings settings;
	struct destination destinations[DESTINATIONS];
	int64_t *added_ms; /* by message */
	unsigned *attempts;
	struct sched_heap trying;
	size_t running_most;
	uint64_t delivered;
	uint32_t random;
};

static uint32_t next_random(struct world *w)
{
	w->random = w->random * 1664525 + 1013904223;
	return w->random >> 8;
}

static struct destination *destination_of(struct world *w, const struct sched_job *job)
{
	return &w->destinations[strtoul(sched_job_destination(job).at + 1, NULL, 10)];
}

static void on_start(void *ctx, struct sched_job *job)
{
	struct world *w = ctx;
	struct destination *d = destination_of(w, job);
	static const int64_t took_ms[] = { [HEALTHY] = 500, [SLOW] = SLOW_MS, [DEAD] = DEAD_MS };
	struct try *try = mem_zero(sizeof(*try));
	int64_t now_ms = tlsio_loop_now_ms(w->loop);
	uint64_t message = sched_job_message(job);
	try->job = job;
	d->tries++;
	if (++d->running > d->running_most)
		d->running_most = d->running;
	if (w->attempts[message] == 0 && now_ms - w->added_ms[message] > d->worst_wait_ms)
		d->worst_wait_ms = now_ms - w->added_ms[message];
	sched_heap_add(&w->trying, &try->node, now_ms + took_ms[d->nature] + next_random(w) % 200);
}

static void end_try(struct world *w, struct try *try)
{
	struct destination *d = destination_of(w, try->job);
	uint64_t message = sched_job_message(try->job);
	int64_t now_s = tlsio_loop_time_s(w->loop);
	d->running--;
	if (d->nature == DEAD) {
		w->attempts[message]++;
		sched_finish(w->sched, try->job, SCHED_UNREACHABLE,
			sched_backoff_due_s(&w->settings, now_s, now_s, false,
				w->attempts[message], next_random(w)));
	} else {
		d->delivered++;
		w->delivered++;
		sched_finish(w->sched, try->job, SCHED_SETTLED, 0);
	}
	free(try);
}

static void pass(struct world *w, int64_t ms)
{
	for (int64_t end = tlsio_loop_now_ms(w->loop) + ms; tlsio_loop_now_ms(w->loop) < end;) {
		struct sched_heap_node *node;
		fake_loop_advance(w->loop, STEP_MS);
		while ((node = sched_heap_first(&w->trying)) &&
			node->due <= tlsio_loop_now_ms(w->loop)) {
			sched_heap_remove(&w->trying, node);
			end_try(w, LIST_OWNER(node, struct try, node));
		}
		if (sched_running_count(w->sched) > w->running_most)
			w->running_most = sched_running_count(w->sched);
	}
}

static void add(struct world *w, uint64_t message, unsigned destination)
{
	char name[16];
	snprintf(name, sizeof(name), "d%u", destination);
	w->added_ms[message] = tlsio_loop_now_ms(w->loop);
	sched_add(w->sched, message, str_of(name), 0);
}

static void begin(struct world *w, uint64_t messages, unsigned dead, unsigned slow)
{
	static const struct sched_events events = { on_start };
	*w = (struct world){ .random = 5,
		.settings = { .first_ms = 300000, .longest_ms = 14400000,
			.give_up_ms = INT64_C(432000000), .give_up_bounce_ms = 86400000,
			.pause_ms = 60000, .concurrency_start = 5, .concurrency_most = 20,
			.running_most = RUNNING_MOST } };
	w->loop = tlsio_loop_new(NULL);
	w->sched = sched_new(w->loop, &w->settings, &events, w);
	w->added_ms = mem_zero(messages * sizeof(*w->added_ms));
	w->attempts = mem_zero(messages * sizeof(*w->attempts));
	for (unsigned i = 0; i < dead + slow; i++)
		w->destinations[i * 7 % DESTINATIONS].nature = i < dead ? DEAD : SLOW;
}

static void end(struct world *w)
{
	struct sched_heap_node *node;
	while ((node = sched_heap_first(&w->trying)) != NULL) {
		sched_heap_remove(&w->trying, node);
		free(LIST_OWNER(node, struct try, node));
	}
	sched_heap_clear(&w->trying);
	sched_free(&w->sched);
	tlsio_loop_free(&w->loop);
	free(w->added_ms);
	free(w->attempts);
}

static struct world world;

/* Mail for all at once, as after a night without network, then more of it all the time. */
static int64_t worst_wait_ms(unsigned dead, unsigned slow)
{
	enum { FIRST = 10000, LATER = 20000 };
	struct world *w = &world;
	int64_t worst_ms = 0;
	begin(w, FIRST + LATER, dead, slow);
	for (uint64_t i = 0; i < FIRST; i++)
		add(w, i, (unsigned)(i % DESTINATIONS));
	pass(w, 600000);
	/* by now the dead are known; what comes now must not feel them */
	for (unsigned i = 0; i < DESTINATIONS; i++)
		w->destinations[i].worst_wait_ms = 0;
	for (uint64_t i = 0; i < LATER; i++) {
		add(w, FIRST + i, next_random(w) % DESTINATIONS);
		if (i % 10 == 0)
			pass(w, STEP_MS);
	}
	pass(w, 300000);
	assert_true(w->running_most <= RUNNING_MOST);
	for (unsigned i = 0; i < DESTINATIONS; i++) {
		const struct destination *d = &w->destinations[i];
		assert_true(d->running_most <= 20);
		if (d->nature == HEALTHY && d->worst_wait_ms > worst_ms)
			worst_ms = d->worst_wait_ms;
		/* probed, not hammered: 17 minutes, pauses of 1, 2, 4, 8 */
		if (d->nature == DEAD)
			assert_true(d->tries <= 5 + 6);
	}
	end(w);
	return worst_ms;
}

static void dead_and_slow_destinations_delay_nobody(void **state)
{
	int64_t alone_ms = worst_wait_ms(0, 0);
	int64_t dead_ms = worst_wait_ms(300, 0);
	int64_t slow_ms = worst_wait_ms(300, 100);
	(void)state;
	print_message("the longest wait of mail for a healthy destination: %lld ms alone, %lld ms "
		      "beside 300 dead, %lld ms beside 300 dead and 100 slow\n",
		(long long)alone_ms, (long long)dead_ms, (long long)slow_ms);
	assert_true(alone_ms <= 1000);
	assert_true(dead_ms <= 1000);
	assert_true(slow_ms <= 5000);
}

static void everything_deliverable_is_delivered(void **state)
{
	struct world *w = &world;
	enum { MESSAGES = 20000, DEAD_ONES = 200 };
	uint64_t expected = 0;
	(void)state;
	begin(w, MESSAGES, DEAD_ONES, 0);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		unsigned destination = next_random(w) % DESTINATIONS;
		add(w, i, destination);
		expected += w->destinations[destination].nature != DEAD;
	}
	pass(w, 600000);
	assert_int_equal(w->delivered, expected);
	/* they live again */
	for (unsigned i = 0; i < DESTINATIONS; i++)
		w->destinations[i].nature = HEALTHY;
	pass(w, INT64_C(3600000));
	assert_int_equal(w->delivered, MESSAGES);
	assert_int_equal(sched_waiting_count(w->sched), 0);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_and_slow_destinations_delay_nobody),
		cmocka_unit_test(everything_deliverable_is_delivered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
