/* sched_job: one message for one destination.
 *
 * For:     sched; nobody else. Found by message (idtable: a message may have several).
 */
#ifndef SMTPD_SCHED_SCHED_JOB_H
#define SMTPD_SCHED_SCHED_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/idtable.h"
#include "libtlsio/base/list.h"
#include "smtpd/sched/sched_heap.h"

enum sched_job_state {
	SCHED_JOB_WAITING, /* for its time: in the heap, on destination->waiting */
	SCHED_JOB_READY,   /* for its turn: on one of destination->ready */
	SCHED_JOB_RUNNING,
};

struct sched_job {
	struct idtable_node by_message; /* its id is the message's */
	struct sched_destination *destination;
	struct list link;
	struct sched_heap_node timer; /* due: the loop's milliseconds */
	uint8_t state;
	uint8_t rank;	       /* RUNNING: enum sched_rank it was started with */
	bool is_wanted_again;  /* RUNNING: added once more meanwhile, for timer.due */
};
_Static_assert(sizeof(struct sched_job) < 100, "there is one per message and destination");

#endif
