/* sched_job: one message for one destination; found by message.
 *
 * For:     sched; nobody else.
 * Holds:   a table of all jobs by message: chains, since the jobs of a message lie together and a
 *          general table's handle would double the size of a job.
 * Promise: finding a message's jobs does not grow with the queue.
 */
#ifndef SMTPD_SCHED_SCHED_JOB_H
#define SMTPD_SCHED_SCHED_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/list.h"
#include "smtpd/sched/sched_heap.h"

enum sched_job_state {
	SCHED_JOB_WAITING, /* for its time: in the heap, on destination->waiting */
	SCHED_JOB_READY,   /* for its turn: on one of destination->ready */
	SCHED_JOB_RUNNING,
};

struct sched_job {
	uint64_t message;
	struct sched_destination *destination;
	struct sched_job *next; /* in the table's chain */
	struct list link;
	struct sched_heap_node timer; /* due: the loop's milliseconds */
	uint8_t state;
	uint8_t rank;	       /* RUNNING: enum sched_rank it was started with */
	bool is_wanted_again;  /* RUNNING: added once more meanwhile, for timer.due */
};

struct sched_jobs {
	struct sched_job **chains;
	size_t chain_count; /* a power of two */
	size_t count;
};

void sched_jobs_add(struct sched_jobs *jobs, struct sched_job *job);
void sched_jobs_remove(struct sched_jobs *jobs, struct sched_job *job);
/* The message's first job, then the one after `job`; NULL: no more. */
struct sched_job *sched_jobs_find(const struct sched_jobs *jobs, uint64_t message);
struct sched_job *sched_jobs_next(const struct sched_job *job);
void sched_jobs_clear(struct sched_jobs *jobs);

#endif
