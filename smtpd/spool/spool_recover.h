/* spool_recover: reads the whole log of a shard back, and decides where it ends.
 *
 * For:     spool_replay.
 * Promise: reads as spool_walk does; what lies behind the end of the log is cut off, durably, so that
 *          no later recovery finds it. Afterwards every segment has its end and is never written
 *          again.
 */
#ifndef SMTPD_SPOOL_SPOOL_RECOVER_H
#define SMTPD_SPOOL_SPOOL_RECOVER_H

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_segment.h"
#include "smtpd/spool/spool_walk.h"

struct spool_recovered {
	uint64_t next_id;	   /* ids below may have been given out */
	struct spool_position end; /* all before it is durable */
};
/* -1: the directory cannot be written or listed. */
int spool_recover(struct spool_segments *set, const struct spool_walk_events *events, void *ctx,
	struct spool_recovered *ret, struct err *err);

#endif
