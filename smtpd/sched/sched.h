/* sched: what to try, and when. One per worker, over one spool.
 *
 * For:     the worker: spool says "here is a message", sched says "start this one now".
 * Holds:   one small job per (message, destination); a queue per destination; a timer for the rest.
 * Promise: work per event does not grow with the queue; a slow or dead destination delays no other;
 *          per destination at most `concurrency` jobs at once, growing and shrinking with success
 *          and failure; a destination that fails is paused and probed by one job.
 */
#ifndef SMTPD_SCHED_SCHED_H
#define SMTPD_SCHED_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/sched/sched_settings.h"

struct sched;
struct sched_job;

struct sched_events {
	/* Try this message for this destination now; ends in sched_finish (later, never inside). */
	void (*start)(void *ctx, struct sched_job *job);
};

struct sched *sched_new(struct tlsio_loop *loop, const struct sched_settings *settings,
	const struct sched_events *events, void *ctx);
void sched_free(struct sched **sched);
/* New settings for what comes (borrowed, swapped at a reload). */
void sched_set_settings(struct sched *sched, const struct sched_settings *settings);

/* destination: the text by which jobs share limits (a relay_destination's key); copied once per
 * destination. due_s: wall clock, 0 = at once. A job of the same message and destination that
 * already waits is kept, with the earlier due. */
void sched_add(struct sched *sched, uint64_t message, struct str destination, int64_t due_s);

uint64_t sched_job_message(const struct sched_job *job);
struct str sched_job_destination(const struct sched_job *job);

enum sched_result {
	SCHED_SETTLED,	   /* nothing of this job waits any more; the destination works */
	SCHED_RETRY,	   /* try again at due_s; the destination works (the message was put off) */
	SCHED_UNREACHABLE, /* try again at due_s; the destination failed (connect, greeting, TLS) */
	SCHED_UNTRIED,	   /* try again at due_s; nothing was learned of the destination */
};
/* The job is over (SETTLED: freed) or waits again. */
void sched_finish(struct sched *sched, struct sched_job *job, enum sched_result result,
	int64_t due_s);

/* The operator: try now. Returns how many jobs became due. */
size_t sched_flush_all(struct sched *sched);
size_t sched_flush_destination(struct sched *sched, struct str destination);
size_t sched_flush_message(struct sched *sched, uint64_t message);
/* Waiting jobs of the message are dropped (running ones finish). */
void sched_remove(struct sched *sched, uint64_t message);
/* Start nothing new (shutdown). */
void sched_stop(struct sched *sched);
size_t sched_running_count(const struct sched *sched);
size_t sched_waiting_count(const struct sched *sched);

#endif
