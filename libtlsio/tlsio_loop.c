#include "libtlsio/tlsio_loop.h"

#include <assert.h>
#include <ev.h>
#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"

struct tlsio_loop {
	struct ev_loop *ev;
	struct ev_prepare before_sleep;
	struct ev_check after_sleep;
	struct list turns;
	struct list at_free;
	int64_t now_ms;
	bool is_stopped;
	bool is_running;
};

_Static_assert(sizeof(struct ev_io) <= sizeof(struct tlsio_loop_opaque), "room for ev_io");
_Static_assert(sizeof(struct ev_timer) <= sizeof(struct tlsio_loop_opaque), "room for ev_timer");
_Static_assert(sizeof(struct ev_signal) <= sizeof(struct tlsio_loop_opaque), "room for ev_signal");
_Static_assert(sizeof(struct ev_async) <= sizeof(struct tlsio_loop_opaque), "room for ev_async");
_Static_assert((int)TLSIO_READ == (int)EV_READ && (int)TLSIO_WRITE == (int)EV_WRITE,
	"events pass unchanged");

/* libev's own now is wall-clock time, which may jump. */
static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Hooks may request hooks; all of them belong to this end of turn. */
static bool run_turns(struct tlsio_loop *loop)
{
	bool did_any = false;
	struct list *node;
	while ((node = list_first(&loop->turns))) {
		struct tlsio_turn *t = LIST_OWNER(node, struct tlsio_turn, link);
		list_remove(node);
		t->on_end_of_turn(t->ctx);
		did_any = true;
	}
	return did_any;
}

static void on_before_sleep(struct ev_loop *ev, struct ev_prepare *w, int events)
{
	(void)ev;
	(void)events;
	run_turns(w->data);
}

static void on_after_sleep(struct ev_loop *ev, struct ev_check *w, int events)
{
	(void)ev;
	(void)events;
	struct tlsio_loop *loop = w->data;
	loop->now_ms = monotonic_ms();
}

struct tlsio_loop *tlsio_loop_new(struct err *err)
{
	/* NOENV: LIBEV_FLAGS in the environment must not choose our backend. */
	struct ev_loop *ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!ev) {
		err_set(err, ERR_SYSTEM, "cannot make an event loop on epoll");
		return NULL;
	}
	struct tlsio_loop *loop = mem_zero(sizeof(*loop));
	loop->ev = ev;
	loop->now_ms = monotonic_ms();
	list_init(&loop->turns);
	list_init(&loop->at_free);
	ev_prepare_init(&loop->before_sleep, on_before_sleep);
	loop->before_sleep.data = loop;
	ev_prepare_start(ev, &loop->before_sleep);
	ev_check_init(&loop->after_sleep, on_after_sleep);
	ev_set_priority(&loop->after_sleep, EV_MAXPRI);
	loop->after_sleep.data = loop;
	ev_check_start(ev, &loop->after_sleep);
	/* these two are no reason to go on waiting */
	ev_unref(ev);
	ev_unref(ev);
	return loop;
}

static void forget_turns(struct list *turns)
{
	struct list *node;
	while ((node = list_first(turns)))
		list_remove(node);
}

void tlsio_loop_free(struct tlsio_loop **ploop)
{
	struct tlsio_loop *loop = *ploop;
	*ploop = NULL;
	if (!loop)
		return;
	struct list *node;
	while ((node = list_first(&loop->at_free))) {
		struct tlsio_turn *t = LIST_OWNER(node, struct tlsio_turn, link);
		list_remove(node);
		t->on_end_of_turn(t->ctx);
	}
	forget_turns(&loop->turns);
	ev_ref(loop->ev);
	ev_ref(loop->ev);
	ev_prepare_stop(loop->ev, &loop->before_sleep);
	ev_check_stop(loop->ev, &loop->after_sleep);
	ev_loop_destroy(loop->ev);
	free(loop);
}

static void begin_running(struct tlsio_loop *loop)
{
	assert(!loop->is_running);
	loop->is_running = true;
	loop->is_stopped = false;
	loop->now_ms = monotonic_ms();
	ev_now_update(loop->ev);
}

void tlsio_loop_run(struct tlsio_loop *loop)
{
	begin_running(loop);
	/* ev_run leaves when no watcher is left; hooks requested by the last event still count */
	do
		ev_run(loop->ev, 0);
	while (run_turns(loop) && !loop->is_stopped);
	loop->is_running = false;
}

void tlsio_loop_stop(struct tlsio_loop *loop)
{
	loop->is_stopped = true;
	ev_break(loop->ev, EVBREAK_ALL);
}

void tlsio_loop_turn(struct tlsio_loop *loop, bool may_wait)
{
	begin_running(loop);
	if (run_turns(loop))
		may_wait = false;
	ev_run(loop->ev, may_wait ? EVRUN_ONCE : EVRUN_NOWAIT);
	run_turns(loop);
	loop->is_running = false;
}

int64_t tlsio_loop_now_ms(const struct tlsio_loop *loop)
{
	return loop->now_ms;
}

int64_t tlsio_loop_time_s(const struct tlsio_loop *loop)
{
	return (int64_t)ev_now(loop->ev);
}

static struct ev_io *io_of(struct tlsio_watch *w)
{
	return (struct ev_io *)(void *)w->opaque.bytes;
}

static void on_io(struct ev_loop *ev, struct ev_io *io, int events)
{
	(void)ev;
	struct tlsio_watch *w = io->data;
	w->on_ready(w->ctx, (unsigned)events & (TLSIO_READ | TLSIO_WRITE));
}

void tlsio_watch_init(struct tlsio_watch *w, struct tlsio_loop *loop, int fd,
	void (*on_ready)(void *ctx, unsigned events), void *ctx)
{
	*w = (struct tlsio_watch){ .loop = loop, .on_ready = on_ready, .ctx = ctx, .fd = fd };
	struct ev_io *io = io_of(w);
	ev_io_init(io, on_io, fd, 0);
	io->data = w;
}

void tlsio_watch_set(struct tlsio_watch *w, unsigned events)
{
	if (w->events == events)
		return;
	struct ev_io *io = io_of(w);
	ev_io_stop(w->loop->ev, io);
	w->events = events;
	if (events == 0)
		return;
	ev_io_modify(io, (int)events);
	ev_io_start(w->loop->ev, io);
}

static struct ev_timer *timer_of(const struct tlsio_timer *t)
{
	return (struct ev_timer *)(uintptr_t)t->opaque.bytes;
}

static void on_timer(struct ev_loop *ev, struct ev_timer *timer, int events)
{
	(void)events;
	struct tlsio_timer *t = timer->data;
	ev_timer_stop(ev, timer);
	t->on_due(t->ctx);
}

void tlsio_timer_init(struct tlsio_timer *t, struct tlsio_loop *loop, void (*on_due)(void *ctx),
	void *ctx)
{
	*t = (struct tlsio_timer){ .loop = loop, .on_due = on_due, .ctx = ctx };
	struct ev_timer *timer = timer_of(t);
	ev_timer_init(timer, on_timer, 0., 0.);
	timer->data = t;
}

void tlsio_timer_start(struct tlsio_timer *t, int64_t after_ms)
{
	assert(after_ms >= 0);
	struct ev_timer *timer = timer_of(t);
	/* outside of a run libev's clock stands still since the last one */
	if (!t->loop->is_running)
		ev_now_update(t->loop->ev);
	/* as a repeating timer: restarting an active one is a single heap move. 0 would stop it */
	timer->repeat = after_ms ? (double)after_ms / 1000. : 1e-9;
	ev_timer_again(t->loop->ev, timer);
}

void tlsio_timer_stop(struct tlsio_timer *t)
{
	ev_timer_stop(t->loop->ev, timer_of(t));
}

bool tlsio_timer_is_active(const struct tlsio_timer *t)
{
	return ev_is_active(timer_of(t));
}

static struct ev_signal *signal_of(struct tlsio_signal *s)
{
	return (struct ev_signal *)(void *)s->opaque.bytes;
}

static void on_signal(struct ev_loop *ev, struct ev_signal *w, int events)
{
	(void)ev;
	(void)events;
	struct tlsio_signal *s = w->data;
	s->on_signal(s->ctx, w->signum);
}

void tlsio_signal_start(struct tlsio_signal *s, struct tlsio_loop *loop, int number,
	void (*handler)(void *ctx, int number), void *ctx)
{
	*s = (struct tlsio_signal){ .loop = loop, .on_signal = handler, .ctx = ctx };
	struct ev_signal *w = signal_of(s);
	ev_signal_init(w, on_signal, number);
	w->data = s;
	ev_signal_start(loop->ev, w);
}

void tlsio_signal_stop(struct tlsio_signal *s)
{
	if (s->loop)
		ev_signal_stop(s->loop->ev, signal_of(s));
}

static struct ev_async *async_of(struct tlsio_wake *w)
{
	return (struct ev_async *)(void *)w->opaque.bytes;
}

static void on_async(struct ev_loop *ev, struct ev_async *async, int events)
{
	(void)ev;
	(void)events;
	struct tlsio_wake *w = async->data;
	w->on_wake(w->ctx);
}

void tlsio_wake_start(struct tlsio_wake *w, struct tlsio_loop *loop, void (*on_wake)(void *ctx),
	void *ctx)
{
	*w = (struct tlsio_wake){ .loop = loop, .on_wake = on_wake, .ctx = ctx };
	struct ev_async *async = async_of(w);
	ev_async_init(async, on_async);
	async->data = w;
	ev_async_start(loop->ev, async);
}

void tlsio_wake_send(struct tlsio_wake *w)
{
	ev_async_send(w->loop->ev, async_of(w));
}

void tlsio_wake_stop(struct tlsio_wake *w)
{
	if (w->loop)
		ev_async_stop(w->loop->ev, async_of(w));
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
