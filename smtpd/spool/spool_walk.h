/* spool_walk: reads the whole log of a shard in order, and decides where it ends. Changes nothing.
 *
 * For:     recovery, which then ends the log there; the checking tool.
 * Promise: gives every good record in order. A place that cannot be read is
 *          - damage, where a later MARK says that the log was durable beyond it: it is told by
 *            on_damage and stepped over, what follows counts;
 *          - else the torn end of a write that nobody was told of: the walk ends before it.
 *          Damage is read a second time before it is told: beside a writer the bytes may have come
 *          after the first look, and the mark after them.
 */
#ifndef SMTPD_SPOOL_SPOOL_WALK_H
#define SMTPD_SPOOL_SPOOL_WALK_H

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_scan.h"
#include "smtpd/spool/spool_segment.h"

struct spool_walk_events {
	/* In order, marks too; found is borrowed. */
	void (*on_record)(void *ctx, struct spool_position at,
		const struct spool_scan_found *found);
	/* from..to of the segment cannot be read (to 0: all of it). */
	void (*on_damage)(void *ctx, uint32_t segment, uint32_t from, uint32_t to,
		const struct err *err);
};

enum spool_walk_end {
	SPOOL_WALK_WHOLE,   /* the last segment ends well, or with damage */
	SPOOL_WALK_CUT,	    /* at `last`->end; what follows, later segments too, nobody was told of */
	SPOOL_WALK_DISCARD, /* `last` and all behind it were never written durably */
};

struct spool_walked {
	uint64_t next_id;	      /* ids below may have been given out */
	struct spool_position proven; /* marks say: durable to here */
	enum spool_walk_end end;
	struct spool_segment *last; /* NULL: SPOOL_WALK_WHOLE */
};

/* Sets end, salt and is_kept of the segments. */
void spool_walk(struct spool_segments *set, const struct spool_walk_events *events, void *ctx,
	struct spool_walked *ret);

#endif
