/* fake_disk: smtpd/spool/spool_disk.h in memory, with faults and power losses.
 *
 * For:     tests of the spool.
 * Holds:   one directory of files; for each file what programs see and what the platters hold.
 * Promise: written bytes are durable only after sync of the file, names only after sync of the
 *          directory. When power is lost, each 512-byte sector that was not synced is there,
 *          not there or (of sectors written several times) an older state; names not synced are
 *          kept up to some point in their order, as on a file system with a journal.
 */
#ifndef TESTS_FAKES_FAKE_DISK_H
#define TESTS_FAKES_FAKE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/spool/spool_disk.h"

enum fake_disk_fault {
	FAKE_DISK_EIO,
	FAKE_DISK_ENOSPC,
	FAKE_DISK_SHORT,	/* half of a read or write; no error */
	FAKE_DISK_SHORT_ENOSPC, /* half of a write; the next call fails */
	FAKE_DISK_FULL,		/* half of a write; the next two calls fail */
	FAKE_DISK_POWER,	/* this call and all after it fail, until fake_disk_power_on */
	FAKE_DISK_FAULTS,
};
enum fake_disk_keep {
	FAKE_DISK_KEEP_NOTHING, /* of what was not synced */
	FAKE_DISK_KEEP_ALL, /* as if only the process had been killed */
	FAKE_DISK_KEEP_SOME, /* at random, per sector */
};

struct fake_disk;

struct fake_disk *fake_disk_new(uint64_t seed);
void fake_disk_free(struct fake_disk **disk);
struct spool_disk *fake_disk_calls(struct fake_disk *disk);

/* Calls so far, closing not counted. */
uint64_t fake_disk_count(const struct fake_disk *disk);
/* Call number `at` (from 1, of all) fails so; 0: none. */
void fake_disk_fail_at(struct fake_disk *disk, uint64_t at, enum fake_disk_fault fault);
/* Besides, power is lost at this call; 0: not. */
void fake_disk_power_off_at(struct fake_disk *disk, uint64_t at);
/* Now. */
void fake_disk_power_off(struct fake_disk *disk);
/* How often the fault came. */
unsigned fake_disk_failures(const struct fake_disk *disk);
const char *fake_disk_fault_name(enum fake_disk_fault fault);
bool fake_disk_has_power(const struct fake_disk *disk);
/* Everything is as the platters have it. All descriptors must be closed. */
void fake_disk_power_on(struct fake_disk *disk, enum fake_disk_keep keep);
/* Full: no new files, and no file grows. */
void fake_disk_set_full(struct fake_disk *disk, bool is_full);
/* All files together can have so many bytes; what is beyond fails with ENOSPC. 0: no limit. */
void fake_disk_set_capacity(struct fake_disk *disk, uint64_t bytes);
void fake_disk_set_free_bytes(struct fake_disk *disk, uint64_t bytes);

/* The n-th file whose name ends so, in order of name: its bytes, to be looked at or damaged.
 * NULL: no such. */
char *fake_disk_file(struct fake_disk *disk, const char *ending, unsigned n, size_t *ret_length);
unsigned fake_disk_file_count(const struct fake_disk *disk, const char *ending);
void fake_disk_add(struct fake_disk *disk, const char *path, const void *bytes, size_t length);
bool fake_disk_remove(struct fake_disk *disk, const char *ending, unsigned n);

#endif
