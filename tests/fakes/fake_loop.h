/* fake_loop: libtlsio/tlsio_loop.h with virtual time. Link it before libtlsio.a.
 *
 * For:     dialogues and unit tests: memory transports, timers, turns, wakes, signals; descriptors
 *          are never ready.
 * Promise: time stands still until a test moves it; timers run in the order they fall due, each at
 *          its own moment; after every callback the end-of-turn hooks run. tlsio_loop_run and a
 *          turn that may wait jump to the next timer. A loop that spins without time passing
 *          aborts with a word.
 */
#ifndef TESTS_FAKES_FAKE_LOOP_H
#define TESTS_FAKES_FAKE_LOOP_H

#include "libtlsio/tlsio_loop.h"

/* Let ms pass (0: everything that is due now). Runs what falls due, until nothing is. */
void fake_loop_advance(struct tlsio_loop *loop, int64_t ms);
/* Milliseconds until the next timer; -1: none. */
int64_t fake_loop_next_due_ms(const struct tlsio_loop *loop);
/* The wall clock at this moment; it passes with the virtual time. Begins at 2026-01-01 00:00 UTC. */
void fake_loop_set_time_s(struct tlsio_loop *loop, int64_t time_s);
/* Deliver a signal at the next turn. */
void fake_loop_signal(struct tlsio_loop *loop, int number);
/* Wait in real time for a wake from another thread, then run it and what follows. False when
 * none came within real_ms. */
bool fake_loop_await_wake(struct tlsio_loop *loop, int real_ms);

#endif
