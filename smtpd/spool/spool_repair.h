/* spool_repair: everything whole that a check found, written to a new directory.
 *
 * For:     posternctl spool check --repair.
 * Promise: the old directory is not touched; a message keeps its id, its envelope and the state of each
 *          recipient; what has gone, or is damaged, is left out. Durable when it returns.
 */
#ifndef SMTPD_SPOOL_SPOOL_REPAIR_H
#define SMTPD_SPOOL_SPOOL_REPAIR_H

#include "smtpd/spool/spool_check.h"

struct spool_repaired {
	uint64_t messages;
	uint64_t message_bytes;
	uint64_t segments;
};

/* disk NULL: the real one. directory: exists, and is empty. on_progress may be NULL. */
int spool_repair(struct spool_check *check, struct spool_disk *disk, const char *directory,
	void (*on_progress)(void *ctx, uint64_t messages, uint64_t of_messages), void *ctx,
	struct spool_repaired *ret, struct err *err);

#endif
