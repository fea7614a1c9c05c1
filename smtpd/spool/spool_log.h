/* spool_log: records are appended, written once per turn, made durable by one sync for many.
 *
 * For:     the spool's own files.
 * Holds:   the segment being written, the bytes of this turn, the sync under way.
 * Promise: places given out are in order; a write that fails moves nothing: its records are gone
 *          (on_lost), their place is written again, and zeros cover what it may have left behind.
 *          Each write begins with a MARK that says how far the log was durable before: recovery
 *          tells damage from the torn end of an unfinished write by it.
 * See:     spool_recover.h
 */
#ifndef SMTPD_SPOOL_SPOOL_LOG_H
#define SMTPD_SPOOL_SPOOL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_segment.h"

struct spool_log_events {
	/* All records appended in this write are gone. May come from inside reserve and flush. */
	void (*on_lost)(void *ctx, uint64_t write, const struct err *error);
	/* The sync begun last ended: error NULL = all records up to log->durable survive. */
	void (*on_synced)(void *ctx, const struct err *error);
};

struct spool_log {
	struct spool_disk *disk;
	struct spool_segments *segments;
	const struct spool_log_events *events;
	void *ctx;
	struct spool_segment *active; /* NULL before the first record */
	struct buf pending;	      /* goes to active->end */
	uint64_t write;		      /* number of the write that pending will be; from 1 */
	uint32_t zero_until;	      /* in active: a failed write may have left bytes up to here */
	struct spool_position durable;
	struct spool_position marked; /* what the last mark said */
	uint64_t unsynced_bytes;      /* but for marks alone */
	bool has_news;		      /* records since the last mark that came alone */
	uint64_t syncs;
	struct spool_sync *sync;
	bool is_syncing;
	bool is_stuck; /* the last try to roll on found no segment */
};

void spool_log_init(struct spool_log *log, struct spool_segments *segments,
	const struct spool_log_events *events, void *ctx);
/* After the helper's end. */
void spool_log_clear(struct spool_log *log);

/* Makes room for a record with a payload of so many bytes; may write, and roll on to the next
 * segment. -1: too large for a segment, or none could be made, or a write failed. */
int spool_log_reserve(struct spool_log *log, size_t length, struct err *err);
/* The same for what can be refused: it leaves the last eighth of the last segment there can be to
 * settles, without which a full disk would never be less full. */
int spool_log_reserve_refusable(struct spool_log *log, size_t length, struct err *err);
/* Room was reserved. The record's place; the number of its write is log->write. */
struct spool_position spool_log_append(struct spool_log *log, uint8_t type, uint64_t id,
	const struct str *parts, size_t count);
/* Writes what was appended. -1: it is lost; on_lost was called. */
int spool_log_flush(struct spool_log *log, struct err *err);
/* On to a segment that was filled, from one that was not and is far from its end: syncs of a file
 * that grows cost several times as much. */
void spool_log_prefer_filled(struct spool_log *log);
/* Where the next record would go, all appended ones counted. */
struct spool_position spool_log_end(const struct spool_log *log);
/* True when a mark would tell something new; then one is written. It needs no sync itself: once
 * on disk, it shows recovery that what lies before it was durable. */
bool spool_log_wants_mark(const struct spool_log *log);
void spool_log_mark(struct spool_log *log);

/* Makes everything flushed so far durable; ends in on_synced. One at a time. */
void spool_log_sync(struct spool_log *log);
bool spool_log_is_dirty(const struct spool_log *log);
/* All synced at once, by the calling thread, and END behind it. The helper is gone. */
void spool_log_close(struct spool_log *log);

#endif
