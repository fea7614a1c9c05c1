#include "tests/fakes/fake_loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"

#define START_S INT64_C(1767225600)
#define SPIN_MOST 1000000
#define SIGNALS_MOST 16

struct fake_timer {
	struct list link;
	int64_t due_ms;
	struct tlsio_timer *timer;
};
struct fake_wake {
	struct list link;
	struct tlsio_wake *wake;
	bool is_sent; /* under the loop's lock */
};
struct fake_signal {
	struct list link;
	struct tlsio_signal *signal;
	int number;
};
_Static_assert(sizeof(struct fake_timer) <= sizeof(struct tlsio_loop_opaque), "room");
_Static_assert(sizeof(struct fake_wake) <= sizeof(struct tlsio_loop_opaque), "room");
_Static_assert(sizeof(struct fake_signal) <= sizeof(struct tlsio_loop_opaque), "room");

struct tlsio_loop {
	struct list timers; /* by due_ms; equal ones in order of starting */
	struct list turns;
	struct list at_free;
	struct list wakes;
	struct list signals;
	int64_t now_ms;
	int64_t time_at_zero_s;
	int caught[SIGNALS_MOST];
	size_t caught_count;
	bool is_stopped;
	pthread_mutex_t lock;
	pthread_cond_t was_woken;
};

struct tlsio_loop *tlsio_loop_new(struct err *err)
{
	(void)err;
	struct tlsio_loop *loop = mem_zero(sizeof(*loop));
	list_init(&loop->timers);
	list_init(&loop->turns);
	list_init(&loop->at_free);
	list_init(&loop->wakes);
	list_init(&loop->signals);
	loop->now_ms = 1000;
	loop->time_at_zero_s = START_S - 1;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->was_woken, NULL);
	return loop;
}

static void forget(struct list *head)
{
	struct list *node;
	while ((node = list_first(head)))
		list_remove(node);
}

void tlsio_loop_free(struct tlsio_loop **ploop)
{
	struct tlsio_loop *loop = *ploop;
	struct list *node;
	*ploop = NULL;
	if (!loop)
		return;
	while ((node = list_first(&loop->at_free))) {
		struct tlsio_turn *t = LIST_OWNER(node, struct tlsio_turn, link);
		list_remove(node);
		t->on_end_of_turn(t->ctx);
	}
	forget(&loop->turns);
	forget(&loop->timers);
	forget(&loop->wakes);
	forget(&loop->signals);
	pthread_cond_destroy(&loop->was_woken);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static bool run_turns(struct tlsio_loop *loop)
{
	struct list *node;
	size_t count = 0;
	while ((node = list_first(&loop->turns))) {
		struct tlsio_turn *t = LIST_OWNER(node, struct tlsio_turn, link);
		list_remove(node);
		t->on_end_of_turn(t->ctx);
		if (++count > SPIN_MOST) {
			fprintf(stderr, "fake_loop: end-of-turn hooks request each other for ever\n");
			abort();
		}
	}
	return count > 0;
}

static bool run_wakes(struct tlsio_loop *loop)
{
	bool did_any = false;
	LIST_EACH_SAFE (node, &loop->wakes) {
		struct fake_wake *w = LIST_OWNER(node, struct fake_wake, link);
		pthread_mutex_lock(&loop->lock);
		bool is_sent = w->is_sent;
		w->is_sent = false;
		pthread_mutex_unlock(&loop->lock);
		if (!is_sent)
			continue;
		w->wake->on_wake(w->wake->ctx);
		did_any = true;
		break; /* the callback may have changed the list */
	}
	return did_any;
}

static bool run_signals(struct tlsio_loop *loop)
{
	if (loop->caught_count == 0)
		return false;
	int number = loop->caught[0];
	loop->caught_count--;
	for (size_t i = 0; i < loop->caught_count; i++)
		loop->caught[i] = loop->caught[i + 1];
	LIST_EACH_SAFE (node, &loop->signals) {
		struct fake_signal *s = LIST_OWNER(node, struct fake_signal, link);
		if (s->number == number) {
			s->signal->on_signal(s->signal->ctx, number);
			break;
		}
	}
	return true;
}

static struct fake_timer *first_timer(const struct tlsio_loop *loop)
{
	struct list *node = list_first(&loop->timers);
	return node ? LIST_OWNER(node, struct fake_timer, link) : NULL;
}

static bool run_timer_due(struct tlsio_loop *loop)
{
	struct fake_timer *first = first_timer(loop);
	if (!first || first->due_ms > loop->now_ms)
		return false;
	list_remove(&first->link);
	first->timer->on_due(first->timer->ctx);
	return true;
}

/* Everything that is due at this moment. */
static void settle(struct tlsio_loop *loop)
{
	size_t count = 0;
	do {
		run_turns(loop);
		if (++count > SPIN_MOST) {
			fprintf(stderr, "fake_loop: spins without time passing\n");
			abort();
		}
	} while (!loop->is_stopped &&
		 (run_signals(loop) || run_wakes(loop) || run_timer_due(loop)));
	run_turns(loop);
}

void fake_loop_advance(struct tlsio_loop *loop, int64_t ms)
{
	assert(ms >= 0);
	int64_t until = loop->now_ms + ms;
	loop->is_stopped = false;
	settle(loop);
	for (struct fake_timer *t; (t = first_timer(loop)) && t->due_ms <= until;) {
		loop->now_ms = t->due_ms;
		settle(loop);
	}
	loop->now_ms = until;
}

int64_t fake_loop_next_due_ms(const struct tlsio_loop *loop)
{
	struct fake_timer *first = first_timer(loop);
	return first ? first->due_ms - loop->now_ms : -1;
}

void fake_loop_set_time_s(struct tlsio_loop *loop, int64_t time_s)
{
	loop->time_at_zero_s = time_s - loop->now_ms / 1000;
}

void fake_loop_signal(struct tlsio_loop *loop, int number)
{
	assert(loop->caught_count < SIGNALS_MOST);
	loop->caught[loop->caught_count++] = number;
}

/* Under the lock. */
static bool is_any_sent(const struct tlsio_loop *loop)
{
	LIST_EACH (node, &loop->wakes)
		if (LIST_OWNER(node, struct fake_wake, link)->is_sent)
			return true;
	return false;
}

bool fake_loop_await_wake(struct tlsio_loop *loop, int real_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += real_ms / 1000;
	until.tv_nsec += (long)(real_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	run_turns(loop);
	pthread_mutex_lock(&loop->lock);
	int result = 0;
	while (!is_any_sent(loop) && result == 0)
		result = pthread_cond_timedwait(&loop->was_woken, &loop->lock, &until);
	bool is_sent = is_any_sent(loop);
	pthread_mutex_unlock(&loop->lock);
	fake_loop_advance(loop, 0);
	return is_sent;
}

void tlsio_loop_run(struct tlsio_loop *loop)
{
	fake_loop_advance(loop, 0);
	while (!loop->is_stopped && fake_loop_next_due_ms(loop) >= 0) {
		int64_t wait_ms = fake_loop_next_due_ms(loop);
		fake_loop_advance(loop, wait_ms);
	}
}

void tlsio_loop_stop(struct tlsio_loop *loop)
{
	loop->is_stopped = true;
}

void tlsio_loop_turn(struct tlsio_loop *loop, bool may_wait)
{
	loop->is_stopped = false;
	bool did_any = run_turns(loop);
	did_any |= run_signals(loop);
	did_any |= run_wakes(loop);
	if (!did_any && may_wait && fake_loop_next_due_ms(loop) > 0)
		loop->now_ms += fake_loop_next_due_ms(loop);
	run_timer_due(loop);
	run_turns(loop);
}

int64_t tlsio_loop_now_ms(const struct tlsio_loop *loop)
{
	return loop->now_ms;
}

int64_t tlsio_loop_time_s(const struct tlsio_loop *loop)
{
	return loop->time_at_zero_s + loop->now_ms / 1000;
}

void tlsio_watch_init(struct tlsio_watch *w, struct tlsio_loop *loop, int fd,
	void (*on_ready)(void *ctx, unsigned events), void *ctx)
{
	*w = (struct tlsio_watch){ .loop = loop, .on_ready = on_ready, .ctx = ctx, .fd = fd };
}

void tlsio_watch_set(struct tlsio_watch *w, unsigned events)
{
	w->events = events;
}

static struct fake_timer *fake_of(const struct tlsio_timer *t)
{
	return (struct fake_timer *)(uintptr_t)t->opaque.bytes;
}

void tlsio_timer_init(struct tlsio_timer *t, struct tlsio_loop *loop, void (*on_due)(void *ctx),
	void *ctx)
{
	*t = (struct tlsio_timer){ .loop = loop, .on_due = on_due, .ctx = ctx };
	fake_of(t)->timer = t;
}

void tlsio_timer_start(struct tlsio_timer *t, int64_t after_ms)
{
	assert(after_ms >= 0);
	struct fake_timer *f = fake_of(t);
	list_remove(&f->link);
	f->due_ms = t->loop->now_ms + after_ms;
	struct list *place = &t->loop->timers;
	while (place->prev != &t->loop->timers &&
		LIST_OWNER(place->prev, struct fake_timer, link)->due_ms > f->due_ms)
		place = place->prev;
	list_add_before(place, &f->link);
}

void tlsio_timer_stop(struct tlsio_timer *t)
{
	list_remove(&fake_of(t)->link);
}

bool tlsio_timer_is_active(const struct tlsio_timer *t)
{
	return list_is_linked(&fake_of(t)->link);
}

void tlsio_signal_start(struct tlsio_signal *s, struct tlsio_loop *loop, int number,
	void (*handler)(void *ctx, int number), void *ctx)
{
	*s = (struct tlsio_signal){ .loop = loop, .on_signal = handler, .ctx = ctx };
	struct fake_signal *f = (struct fake_signal *)(void *)s->opaque.bytes;
	f->signal = s;
	f->number = number;
	list_push_back(&loop->signals, &f->link);
}

void tlsio_signal_stop(struct tlsio_signal *s)
{
	list_remove(&((struct fake_signal *)(void *)s->opaque.bytes)->link);
}

void tlsio_wake_start(struct tlsio_wake *w, struct tlsio_loop *loop, void (*on_wake)(void *ctx),
	void *ctx)
{
	*w = (struct tlsio_wake){ .loop = loop, .on_wake = on_wake, .ctx = ctx };
	struct fake_wake *f = (struct fake_wake *)(void *)w->opaque.bytes;
	f->wake = w;
	pthread_mutex_lock(&loop->lock);
	list_push_back(&loop->wakes, &f->link);
	pthread_mutex_unlock(&loop->lock);
}

void tlsio_wake_send(struct tlsio_wake *w)
{
	struct fake_wake *f = (struct fake_wake *)(void *)w->opaque.bytes;
	pthread_mutex_lock(&w->loop->lock);
	f->is_sent = true;
	pthread_cond_broadcast(&w->loop->was_woken);
	pthread_mutex_unlock(&w->loop->lock);
}

void tlsio_wake_stop(struct tlsio_wake *w)
{
	if (!w->loop)
		return;
	pthread_mutex_lock(&w->loop->lock);
	list_remove(&((struct fake_wake *)(void *)w->opaque.bytes)->link);
	pthread_mutex_unlock(&w->loop->lock);
}

void tlsio_turn_init(struct tlsio_turn *t, struct tlsio_loop *loop,
	void (*on_end_of_turn)(void *ctx), void *ctx)
{
	*t = (struct tlsio_turn){ .loop = loop, .on_end_of_turn = on_end_of_turn, .ctx = ctx };
}

void tlsio_turn_request(struct tlsio_turn *t)
{
	if (!list_is_linked(&t->link))
		list_push_back(&t->loop->turns, &t->link);
}

void tlsio_turn_request_at_free(struct tlsio_turn *t)
{
	if (!list_is_linked(&t->link))
		list_push_back(&t->loop->at_free, &t->link);
}

void tlsio_turn_cancel(struct tlsio_turn *t)
{
	list_remove(&t->link);
}
