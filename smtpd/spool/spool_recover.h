/* spool_recover: reads the whole log of a shard back, and decides where it ends.
 *
 * For:     spool_replay.
 * Promise: gives every good record in order. A place that cannot be read is
 *          - damage, where a later MARK says that the log was durable beyond it: it is told by
 *            on_damage and stepped over, what follows counts;
 *          - else the torn end of a write that nobody was told of: all that follows is cut off,
 *            durably, so that no later recovery finds it.
 *          Afterwards every segment has its end and is never written again.
 */
#ifndef SMTPD_SPOOL_SPOOL_RECOVER_H
#define SMTPD_SPOOL_SPOOL_RECOVER_H

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_scan.h"
#include "smtpd/spool/spool_segment.h"

struct spool_recover_events {
	/* CHUNK, COMMIT, SETTLE, DONE, in order; found is borrowed. */
	void (*on_record)(void *ctx, struct spool_position at,
		const struct spool_scan_found *found);
	/* from..to of the segment cannot be read (to 0: all of it). */
	void (*on_damage)(void *ctx, uint32_t segment, uint32_t from, uint32_t to,
		const struct err *err);
};

struct spool_recovered {
	uint64_t next_id;	   /* ids below may have been given out */
	struct spool_position end; /* all before it is durable */
};
/* -1: the directory cannot be written or listed. */
int spool_recover(struct spool_segments *set, const struct spool_recover_events *events, void *ctx,
	struct spool_recovered *ret, struct err *err);

#endif
