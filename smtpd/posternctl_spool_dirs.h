/* posternctl_spool_dirs: which directories of shards there are.
 *
 * For:     posternctl_spool, posternctl_snapshot.
 */
#ifndef SMTPD_POSTERNCTL_SPOOL_DIRS_H
#define SMTPD_POSTERNCTL_SPOOL_DIRS_H

#include <stddef.h>

#include "libtlsio/base/err.h"

struct posternctl_spool_dir {
	char *path;
	unsigned number; /* in its name; 0 where that is none */
	int lock_fd;	 /* -1: not locked */
};
struct posternctl_spool_dirs {
	struct posternctl_spool_dir *items; /* in order of number */
	size_t count;
};

/* A spool directory has numbered ones, one for each shard; a shard's has segments. shard: only this
 * one (NULL: all). An error where there is none. ret is to be cleared in either case. */
int posternctl_spool_dirs_find(const char *directory, const char *shard,
	struct posternctl_spool_dirs *ret, struct err *err);
void posternctl_spool_dirs_clear(struct posternctl_spool_dirs *dirs);

/* Keeps posternd from it until cleared; an error where it is in use. Makes nothing new. */
int posternctl_spool_dir_lock(struct posternctl_spool_dir *dir, struct err *err);

#endif
