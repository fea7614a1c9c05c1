/* spool_helper: the thread that makes the slow disk calls, so that the loop never waits.
 *
 * For:     log (syncs), segments (zero-filling, renaming).
 * Holds:   one thread, and the jobs given to it until their end was told.
 * Promise: urgent jobs go first; a long job works in steps, so that an urgent one never waits for
 *          more than a step; on_done runs from the loop, in order of completion.
 */
#ifndef SMTPD_SPOOL_SPOOL_HELPER_H
#define SMTPD_SPOOL_SPOOL_HELPER_H

#include <stdbool.h>

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_loop.h"

struct spool_helper;

/* Lives in its owner, who touches nothing that run uses between submit and on_done. */
struct spool_job {
	struct list link;
	bool is_urgent;
	/* On the helper thread. True: there is more to do, call again. */
	bool (*run)(struct spool_job *job);
	/* On the loop. */
	void (*on_done)(struct spool_job *job);
};

/* is_inline: no thread; submit does the work, on_done still comes from the loop. */
struct spool_helper *spool_helper_new(struct tlsio_loop *loop, bool is_inline);
void spool_helper_submit(struct spool_helper *helper, struct spool_job *job);
/* Finishes urgent jobs, drops the others between two steps; no on_done is called any more. */
void spool_helper_free(struct spool_helper **helper);

#endif
