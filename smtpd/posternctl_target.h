/* posternctl_target: a new spool directory that is filled, and is there only when all of it is.
 *
 * For:     posternctl spool snapshot, and spool check --repair.
 * Promise: nothing that is there is written over; a shard has the name that posternd looks for only
 *          after every shard is written and synced; files belong to the owner of the old ones.
 */
#ifndef SMTPD_POSTERNCTL_TARGET_H
#define SMTPD_POSTERNCTL_TARGET_H

#include <stddef.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"

enum { POSTERNCTL_SHARDS_MOST = 256 };

struct posternctl_target {
	const char *directory; /* borrowed */
	unsigned shards[POSTERNCTL_SHARDS_MOST];
	size_t count;
};

/* Makes the directory; one that is not empty is refused. */
int posternctl_target_begin(
	struct posternctl_target *target, const char *directory, struct err *err);
/* A directory to write this shard's segments to; its path is put into ret. */
int posternctl_target_add(
	struct posternctl_target *target, unsigned shard, struct buf *ret, struct err *err);
/* That one is written and synced: its files are given to whom `like` (a directory) belongs. */
int posternctl_target_own(const char *path, const char *like, struct err *err);
/* All are: they get their names, durably. */
int posternctl_target_finish(struct posternctl_target *target, const char *like, struct err *err);

#endif
