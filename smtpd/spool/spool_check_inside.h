/* spool_check_inside: what the files of the check share.
 *
 * For:     spool_check*.c; nobody else.
 */
#ifndef SMTPD_SPOOL_SPOOL_CHECK_INSIDE_H
#define SMTPD_SPOOL_SPOOL_CHECK_INSIDE_H

#include <uthash.h>

#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_inside.h"

/* A record of a piece of a body. */
struct spool_check_piece {
	uint32_t offset;
	uint32_t length;
	uint64_t id;
};

/* One segment, beside the struct spool_segment of the same number. */
struct spool_check_sheet {
	uint32_t number;
	char header[SPOOL_SEGMENT_HEADER_BYTES];
	bool is_vanished; /* given back while we looked */
	bool is_unreadable;
	uint64_t records;
	uint64_t places;
	uint64_t damaged_bytes;
	struct spool_check_piece *pieces; /* in order of offset */
	size_t piece_count;
	size_t piece_room;
	UT_hash_handle hh;
};

/* A message of which a record is damaged. */
struct spool_check_suspect {
	uint64_t id;
	bool has_lost_commit;
	bool has_lost_outcome;
	struct spool_check_place commit;
	UT_hash_handle hh;
};

struct spool_check {
	struct spool shell; /* disk, segments and index as of a spool; never opened */
	struct spool_disk_read_only disk;
	const struct spool_check_events *events;
	void *ctx;
	struct spool_replaying replaying;
	struct spool_check_sheet *sheets;
	struct spool_check_sheet *sheet; /* the one read last */
	struct spool_check_suspect *suspects;
	struct spool_check_place *places;
	size_t place_count;
	size_t place_room;
	struct spool_position current; /* the record being taken */
	const struct spool_scan_found *found;
	bool is_changing;
	uint64_t told_bytes;
	uint64_t seen_bytes; /* of the segments before this one */
	struct spool_check_totals totals;
};

/* NULL: no such segment. */
struct spool_check_sheet *spool_check_sheet(struct spool_check *c, uint32_t number);
/* spool_check_message.c: judges every message, tells and counts. */
void spool_check_messages(struct spool_check *c);

#endif
