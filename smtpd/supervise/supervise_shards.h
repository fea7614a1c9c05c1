/* supervise_shards: which worker owns which shard of the spool.
 *
 * Promise: shard k belongs to worker k % workers; every worker owns at least the shard of its own
 *          number, and that one first (new mail goes there); directories left from a time with
 *          more workers have an owner too.
 */
#ifndef SMTPD_SUPERVISE_SHARDS_H
#define SMTPD_SUPERVISE_SHARDS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"

#define SUPERVISE_SHARDS_MOST 256

struct supervise_shards {
	bool exists[SUPERVISE_SHARDS_MOST];
};

/* Looks which numbered directories are there; a spool directory that is not there has none. */
int supervise_shards_scan(const char *spool_directory, struct supervise_shards *ret,
	struct err *err);
/* Pure. ret has room for SUPERVISE_SHARDS_MOST. Returns how many. */
size_t supervise_shards_of(const struct supervise_shards *shards, unsigned worker, unsigned workers,
	unsigned *ret);

#endif
