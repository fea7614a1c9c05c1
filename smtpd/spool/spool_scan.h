/* spool_scan: the records of one segment, one after the other, damage included.
 *
 * For:     recovery; a checking tool; the fuzzer.
 * Holds:   a window of the segment (1 MiB, more only for a larger record).
 * Promise: gives only records whose checksums and salt are right; finds the next good one behind
 *          damage; what cannot be read counts as damaged. Never reads beyond the size given.
 */
#ifndef SMTPD_SPOOL_SPOOL_SCAN_H
#define SMTPD_SPOOL_SPOOL_SCAN_H

#include <stdint.h>
#include <sys/types.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/str.h"
#include "smtpd/spool/spool_record.h"

struct spool_scan {
	ssize_t (*read)(void *ctx, void *into, size_t length, int64_t at); /* as pread */
	void *ctx;
	uint32_t size_bytes; /* of the segment */
	uint64_t salt;
	uint32_t next; /* offset of the next try */
	struct buf window;
	uint32_t window_at;
};

enum spool_scan_result {
	SPOOL_SCAN_RECORD, /* any but END */
	SPOOL_SCAN_HOLE,   /* from..next is damaged; a good record follows */
	SPOOL_SCAN_END,	   /* the END record */
	SPOOL_SCAN_TAIL,   /* no good record from `from` on */
};
struct spool_scan_found {
	uint32_t from; /* offset of the record, the hole or the tail */
	struct spool_record record;
	struct str payload; /* until the next call */
};

/* Begins at the first record. salt: of the segment's header. */
void spool_scan_init(struct spool_scan *scan,
	ssize_t (*read)(void *ctx, void *into, size_t length, int64_t at), void *ctx,
	uint32_t size_bytes, uint64_t salt);
/* For a segment without a readable header: its salt from its first intact MARK, or 0. */
uint64_t spool_scan_find_salt(ssize_t (*read)(void *ctx, void *into, size_t length, int64_t at),
	void *ctx, uint32_t size_bytes, uint32_t number, uint32_t shard);
enum spool_scan_result spool_scan_next(struct spool_scan *scan, struct spool_scan_found *ret);
/* Goes back to this offset, and reads it from the disk anew. */
void spool_scan_again(struct spool_scan *scan, uint32_t offset);
void spool_scan_clear(struct spool_scan *scan);

#endif
