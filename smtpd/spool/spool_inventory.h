/* spool_inventory: which segments there must be, as the log itself says.
 *
 * For:     the log and compaction, which write it; replay and the checking tool, which ask.
 * Holds:   while the log is read: the numbers in use, as of the record read last.
 * Promise: each new segment begins with an IN_USE record: every segment needed then, itself too. A
 *          segment is given back only after a GIVEN_BACK record of it is durable, so that one which
 *          is in use, was never given back and is not there has been lost.
 *          What cannot be told (no room for the record) is left out: then less is known, not wrong.
 */
#ifndef SMTPD_SPOOL_SPOOL_INVENTORY_H
#define SMTPD_SPOOL_SPOOL_INVENTORY_H

#include "libtlsio/base/buf.h"
#include "smtpd/spool/spool_scan.h"
#include "smtpd/spool/spool_segment.h"

struct spool_inventory {
	uint32_t *numbers; /* in order */
	size_t count;
	uint32_t told_by; /* number of the segment with the IN_USE record; 0: none yet */
};

/* Appends the payload of an IN_USE record: all segments of the set that are not on their way out. */
void spool_inventory_format(const struct spool_segments *set, struct buf *ret);
/* Takes IN_USE and GIVEN_BACK records as they come in the log; others change nothing. */
void spool_inventory_take(struct spool_inventory *inventory, struct spool_position at,
	const struct spool_scan_found *found);
/* The first number above `after` that is in use and not in the set; 0: none. */
uint32_t spool_inventory_missing(const struct spool_inventory *inventory,
	const struct spool_segments *set, uint32_t after);
void spool_inventory_clear(struct spool_inventory *inventory);

#endif
