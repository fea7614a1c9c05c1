/* tlsio_loop: one thread's event loop: descriptors, timers, signals, wake-ups, end of turn.
 *
 * For:     everything that waits. The only place that knows libev; a test links a fake with the
 *          same header and virtual time (tests/fakes/fake_loop.c).
 * Holds:   the libev loop; watchers live inside their owners and are never copied.
 * Promise: callbacks run only from tlsio_loop_run, never inside a call made on the loop;
 *          end-of-turn hooks run after all events of a turn and before the loop sleeps.
 */
#ifndef LIBTLSIO_TLSIO_LOOP_H
#define LIBTLSIO_TLSIO_LOOP_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/list.h"

struct tlsio_loop;

struct tlsio_loop *tlsio_loop_new(struct err *err);
void tlsio_loop_free(struct tlsio_loop **loop);
/* Returns after tlsio_loop_stop, or when nothing is left to wait for. */
void tlsio_loop_run(struct tlsio_loop *loop);
void tlsio_loop_stop(struct tlsio_loop *loop);
/* One turn; waits for events only when may_wait. For tests and small programs. */
void tlsio_loop_turn(struct tlsio_loop *loop, bool may_wait);

/* Monotonic milliseconds and wall-clock seconds (UTC, since 1970), as of the start of this turn. */
int64_t tlsio_loop_now_ms(const struct tlsio_loop *loop);
int64_t tlsio_loop_time_s(const struct tlsio_loop *loop);

/* Room for the loop's own part of a watcher; tlsio_loop.c asserts that it fits. */
struct tlsio_loop_opaque {
	alignas(max_align_t) char bytes[64];
};

enum { TLSIO_READ = 1, TLSIO_WRITE = 2 };

struct tlsio_watch {
	struct tlsio_loop *loop;
	void (*on_ready)(void *ctx, unsigned events);
	void *ctx;
	int fd;
	unsigned events;
	struct tlsio_loop_opaque opaque;
};
/* fd is borrowed; stop before closing it. */
void tlsio_watch_init(struct tlsio_watch *w, struct tlsio_loop *loop, int fd,
	void (*on_ready)(void *ctx, unsigned events), void *ctx);
/* Any of TLSIO_READ | TLSIO_WRITE; 0 stops. Cheap when unchanged. Level-triggered. */
void tlsio_watch_set(struct tlsio_watch *w, unsigned events);

struct tlsio_timer {
	struct tlsio_loop *loop;
	void (*on_due)(void *ctx);
	void *ctx;
	struct tlsio_loop_opaque opaque;
};
void tlsio_timer_init(struct tlsio_timer *t, struct tlsio_loop *loop, void (*on_due)(void *ctx),
	void *ctx);
/* (Re)start: due once, after_ms (>= 0) from now. Cheap enough to call on every read. */
void tlsio_timer_start(struct tlsio_timer *t, int64_t after_ms);
void tlsio_timer_stop(struct tlsio_timer *t);
bool tlsio_timer_is_active(const struct tlsio_timer *t);

struct tlsio_signal {
	struct tlsio_loop *loop;
	void (*on_signal)(void *ctx, int number);
	void *ctx;
	struct tlsio_loop_opaque opaque;
};
/* Only in one loop of a process. */
void tlsio_signal_start(struct tlsio_signal *s, struct tlsio_loop *loop, int number,
	void (*on_signal)(void *ctx, int number), void *ctx);
void tlsio_signal_stop(struct tlsio_signal *s);

/* Another thread (or signal handler) makes on_wake run in the loop; several sends may become one
 * call. tlsio_wake_send is the only function here that other threads may call. */
struct tlsio_wake {
	struct tlsio_loop *loop;
	void (*on_wake)(void *ctx);
	void *ctx;
	struct tlsio_loop_opaque opaque;
};
void tlsio_wake_start(struct tlsio_wake *w, struct tlsio_loop *loop, void (*on_wake)(void *ctx),
	void *ctx);
void tlsio_wake_send(struct tlsio_wake *w);
void tlsio_wake_stop(struct tlsio_wake *w);

/* End-of-turn hook: after tlsio_turn_request, on_end_of_turn runs once, in this turn. Requests
 * made by hooks run in the same end of turn, after those already waiting. */
struct tlsio_turn {
	struct tlsio_loop *loop;
	void (*on_end_of_turn)(void *ctx);
	void *ctx;
	struct list link;
};
void tlsio_turn_init(struct tlsio_turn *t, struct tlsio_loop *loop,
	void (*on_end_of_turn)(void *ctx), void *ctx);
void tlsio_turn_request(struct tlsio_turn *t);
/* The hook runs once inside tlsio_loop_free instead: for what outlives its owner, as a stream that
 * is still saying goodbye does. Ordinary requests left at that moment are dropped. */
void tlsio_turn_request_at_free(struct tlsio_turn *t);
/* Takes back either request. */
void tlsio_turn_cancel(struct tlsio_turn *t);

#endif
