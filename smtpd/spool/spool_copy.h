/* spool_copy: one segment after the other to another directory, in steps.
 *
 * For:     posternctl spool snapshot.
 * Promise: what a step that returned 0 finished is durable, but for its name: sync the directory.
 */
#ifndef SMTPD_SPOOL_SPOOL_COPY_H
#define SMTPD_SPOOL_SPOOL_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_disk.h"
#include "smtpd/spool/spool_record.h"

struct spool_copy {
	struct spool_disk *from;
	struct spool_disk *to;
	int from_fd;
	int to_fd;
	uint32_t number;
	uint64_t at;
	uint64_t end;
	bool is_closed; /* the log is to end in it, in order */
	struct spool_mark mark;
};

/* end: so much of it; 0: all of the file. mark: the log ends here, and this mark says so before END;
 * its places are filled in. NULL: the segment is copied as it is. */
int spool_copy_begin(struct spool_copy *copy, struct spool_disk *from, const char *from_directory,
	struct spool_disk *to, const char *to_directory, uint32_t number, uint64_t end,
	const struct spool_mark *mark, struct err *err);
/* 1: there is more; 0: done and synced; -1: it failed. */
int spool_copy_step(struct spool_copy *copy, struct err *err);
/* Before the end, or after it. */
void spool_copy_stop(struct spool_copy *copy);

#endif
