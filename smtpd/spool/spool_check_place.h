/* spool_check_place: what can still be told of a stretch that cannot be read.
 *
 * For:     spool_check.
 * Promise: each part of the stretch is told once, in order: records of which only the payload is
 *          damaged, records of which the header is damaged (a guess), and the rest.
 */
#ifndef SMTPD_SPOOL_SPOOL_CHECK_PLACE_H
#define SMTPD_SPOOL_SPOOL_CHECK_PLACE_H

#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_segment.h"

void spool_check_place_each(const struct spool_segments *set, const struct spool_segment *segment,
	uint32_t from, uint32_t to,
	void (*each)(void *ctx, const struct spool_check_place *place), void *ctx);
/* Does a record of this segment begin here, whole or not? */
bool spool_check_place_begins(const struct spool_segments *set,
	const struct spool_segment *segment, uint32_t offset);

#endif
