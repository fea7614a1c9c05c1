/* spool_segment: the segment files of one shard: opened, made ready ahead of need, given back.
 *
 * For:     log, recovery, compaction.
 * Holds:   the open files of the segments, and of a few free ones.
 * Promise: files are filled with zeros once, by the helper, ahead of need, and used again and
 *          again; where none is ready, one is made unfilled. The header and the name of a segment
 *          handed out are not synced yet: is_dirty, has_unsynced_name. A number never returns.
 * Files:   00000001.segment (in use), free-00000001 (to be used again).
 */
#ifndef SMTPD_SPOOL_SPOOL_SEGMENT_H
#define SMTPD_SPOOL_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/list.h"
#include "smtpd/spool/spool_disk.h"
#include "smtpd/spool/spool_helper.h"
#include "smtpd/spool/spool_record.h"

/* A message that is gone, while segments that hold its records may still be there: the DONE
 * record must outlive them, or replay would bring the message back. */
struct spool_grave {
	uint64_t id;
	uint32_t first_segment; /* commit records of the message lie from here */
	uint32_t last_segment;	/* to here */
};

struct spool_segment {
	uint32_t number; /* from 1 */
	int fd;
	uint64_t salt;
	uint32_t end;	     /* behind the last record */
	uint32_t size_bytes; /* no record ends beyond */
	uint64_t live_bytes; /* records that messages, writers and readers need */
	bool is_sealed;	     /* nothing is written to it any more */
	bool is_dirty;	     /* written since the last sync was begun */
	bool is_filled;	     /* the file was written to its full size once */
	bool is_releasing;
	bool is_kept; /* unreadable: left for a person to look at */
	struct spool_position release_after; /* dead, but only when the log is durable to here */
	uint32_t retry_number;	  /* not emptied again before the log is so far */
	uint32_t pruned_releases; /* set->releases when its graves were looked through */
	uint64_t *ids;	     /* of messages with records here, some gone, some twice */
	uint32_t id_count;
	uint32_t id_room;
	struct spool_grave *graves; /* whose DONE stands here */
	uint32_t grave_count;
	uint32_t grave_room;
	struct list link; /* in order of number */
	UT_hash_handle hh;
};

struct spool_segments {
	struct spool_disk *disk;
	struct spool_helper *helper;
	const char *directory; /* borrowed */
	uint32_t shard;
	uint32_t segment_bytes;
	struct spool_segment *by_number;
	struct list in_order;
	uint64_t count;
	uint32_t next_number;
	uint64_t next_id; /* ids below it may have been given out; headers and marks say so */
	uint32_t releases; /* segments that went, so far */
	bool needs_review; /* something may have died: see spool_compact.c */
	bool has_unsynced_name;
	struct spool_segment *spare; /* handed out and put back; NULL nearly always */
	struct spool_prepare *prepare;
	struct spool_release *release;
	struct list free_files;
	unsigned free_count;
	void (*on_change)(void *ctx, const struct err *error); /* a helper's job ended */
	void *ctx;
};

void spool_segments_init(struct spool_segments *set, struct spool_disk *disk,
	struct spool_helper *helper, const char *directory, uint32_t shard, uint32_t segment_bytes);
/* After the helper's end. Closes all files. */
void spool_segments_clear(struct spool_segments *set);

/* Opens every segment file of the directory. One whose header is damaged gets salt 0. */
int spool_segments_load(struct spool_segments *set, struct err *err);

/* The helper fills a file for the next one, unless one is ready or under way. */
void spool_segments_prepare(struct spool_segments *set);
bool spool_segments_is_ready(const struct spool_segments *set);
/* The next segment, added to the set. NULL: none could be made (full disk: ERR_LIMIT). */
struct spool_segment *spool_segments_take(struct spool_segments *set, struct err *err);
/* Nothing was written to it: the next take gives it again. */
void spool_segments_put_back(struct spool_segments *set, struct spool_segment *segment);

/* Gives the file back: renamed or removed by the helper, out of the set when that is durable. */
void spool_segments_release(struct spool_segments *set, struct spool_segment *segment);
/* Tries again what failed. */
void spool_segments_retry(struct spool_segments *set);
/* The same at once, without sync of the directory; for recovery. */
int spool_segments_discard(struct spool_segments *set, struct spool_segment *segment,
	struct err *err);

/* The next in order, or NULL. */
static inline struct spool_segment *spool_segments_behind(
	const struct spool_segments *set, const struct spool_segment *segment)
{
	return segment->link.next == &set->in_order
		       ? NULL
		       : LIST_OWNER(segment->link.next, struct spool_segment, link);
}
struct spool_segment *spool_segments_find(const struct spool_segments *set, uint32_t number);
/* Does any segment first <= n <= last exist, but for `except`? */
bool spool_segments_has_any(const struct spool_segments *set, uint32_t first, uint32_t last,
	uint32_t except);

void spool_segment_add_id(struct spool_segment *segment, uint64_t id);
void spool_segment_add_grave(struct spool_segment *segment, const struct spool_grave *grave);

/* ENOSPC and EDQUOT are limits that pass; anything else is the system's trouble. Returns -1. */
int spool_segment_error(struct err *err, int errno_value, const char *words, uint32_t number);

#endif
