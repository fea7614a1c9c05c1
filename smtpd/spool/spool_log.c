#include "smtpd/spool/spool_log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_inventory.h"

enum {
	FLUSH_BYTES = 256 * 1024, /* written at once when so much has gathered */
	MARK_RECORD_BYTES = 64,
	/* always left in a segment: for its END, and a MARK before it when it is the last */
	END_BYTES = SPOOL_RECORD_HEADER_BYTES + MARK_RECORD_BYTES,
};

/* On the helper from submit to on_done. */
struct spool_sync {
	struct spool_job job;
	struct spool_log *log;
	int *fds;
	size_t count;
	size_t room;
	bool with_directory;
	struct spool_position until;
	int failure; /* errno */
};

void spool_log_init(struct spool_log *log, struct spool_segments *segments,
	const struct spool_log_events *events, void *ctx)
{
	*log = (struct spool_log){
		.disk = segments->disk,
		.segments = segments,
		.events = events,
		.ctx = ctx,
		.write = 1,
	};
	log->sync = mem_zero(sizeof(*log->sync));
	log->sync->log = log;
}

void spool_log_clear(struct spool_log *log)
{
	buf_release(&log->pending);
	if (log->sync)
		free(log->sync->fds);
	free(log->sync);
	*log = (struct spool_log){ 0 };
}

static void append_mark(struct spool_log *log)
{
	struct spool_mark mark = {
		.number = log->active->number,
		.shard = log->segments->shard,
		.durable = log->durable,
		.next_id = log->segments->next_id,
	};
	char bytes[SPOOL_MARK_BYTES];
	spool_mark_format(&mark, bytes);
	struct str payload = str_from(bytes, sizeof(bytes));
	spool_record_append(
		&log->pending, SPOOL_RECORD_MARK, log->active->salt, 0, &payload, 1);
	log->marked = log->durable;
}

static int write_pending(struct spool_log *log, struct err *err)
{
	struct spool_segment *active = log->active;
	size_t length = log->pending.length;
	if (log->zero_until > active->end + length) {
		size_t more = log->zero_until - active->end - length;
		memset(buf_reserve(&log->pending, more), 0, more);
		buf_added(&log->pending, more);
	}
	struct str bytes = buf_str(&log->pending);
	if (spool_disk_write_all(log->disk, active->fd, bytes.at, bytes.length, active->end) == 0) {
		active->end += (uint32_t)length;
		active->is_dirty = true;
		log->zero_until = 0;
		log->unsynced_bytes += length;
		return 0;
	}
	spool_segment_error(err, errno, "cannot write to", active->number);
	/* whole records may have got through: replay must not find them */
	memset(log->pending.data + log->pending.head, 0, log->pending.length);
	if (spool_disk_write_all(log->disk, active->fd, bytes.at, bytes.length, active->end) < 0)
		log->zero_until = active->end + (uint32_t)bytes.length;
	else
		log->zero_until = 0;
	active->is_dirty = true;
	return -1;
}

int spool_log_flush(struct spool_log *log, struct err *err)
{
	if (log->pending.length == 0)
		return 0;
	struct err words;
	uint64_t write = log->write++;
	int result = write_pending(log, &words);
	buf_clear(&log->pending);
	if (log->pending.capacity > 4 * FLUSH_BYTES)
		buf_release(&log->pending);
	if (result == 0)
		return 0;
	log->events->on_lost(log->ctx, write, &words);
	if (err)
		*err = words;
	return -1;
}

static bool fits(const struct spool_log *log, uint64_t bytes)
{
	const struct spool_segment *active = log->active;
	if (!active)
		return false;
	uint64_t mark = log->pending.length ? 0 : MARK_RECORD_BYTES;
	return active->end + log->pending.length + mark + bytes + END_BYTES <= active->size_bytes;
}

/* A segment begins with what there is besides it; where that takes much of it, without. */
static void append_inventory(struct spool_log *log, uint64_t bytes)
{
	struct buf numbers = { 0 };
	spool_inventory_format(log->segments, &numbers);
	struct str payload = buf_str(&numbers);
	uint32_t record = spool_record_bytes((uint32_t)payload.length);
	if (record <= log->active->size_bytes / 16 && fits(log, bytes + record))
		spool_log_append(log, SPOOL_RECORD_IN_USE, 0, &payload, 1);
	buf_release(&numbers);
}

/* On to the next segment. The old one gets its END first: without, recovery could not tell
 * where it ends, so the log stays where it is until that is written. bytes: of the record that is
 * to find room there. */
static int roll(struct spool_log *log, uint64_t bytes, struct err *err)
{
	struct spool_segment *next = spool_segments_take(log->segments, err);
	log->is_stuck = !next;
	if (!next)
		return -1;
	if (log->active) {
		spool_record_append(
			&log->pending, SPOOL_RECORD_END, log->active->salt, 0, NULL, 0);
		if (spool_log_flush(log, err) < 0) {
			spool_segments_put_back(log->segments, next);
			return -1;
		}
		log->active->is_sealed = true;
		log->segments->needs_review = true;
	}
	log->active = next;
	log->zero_until = 0;
	append_inventory(log, bytes);
	return 0;
}

void spool_log_prefer_filled(struct spool_log *log)
{
	const struct spool_segment *active = log->active;
	if (active && !active->is_filled && active->end < active->size_bytes / 2 &&
		spool_segments_is_ready(log->segments))
		roll(log, 0, NULL);
}

int spool_log_reserve(struct spool_log *log, size_t length, struct err *err)
{
	uint64_t most = log->segments->segment_bytes - SPOOL_SEGMENT_HEADER_BYTES -
			MARK_RECORD_BYTES - END_BYTES - SPOOL_RECORD_HEADER_BYTES -
			SPOOL_RECORD_ALIGN;
	if (length > most)
		return err_set(err, ERR_LIMIT,
			"%zu bytes of sender and recipients do not fit into a segment", length);
	if (log->pending.length >= FLUSH_BYTES && spool_log_flush(log, err) < 0)
		return -1;
	uint64_t bytes = spool_record_bytes((uint32_t)length);
	return fits(log, bytes) ? 0 : roll(log, bytes, err);
}

int spool_log_reserve_refusable(struct spool_log *log, size_t length, struct err *err)
{
	if (spool_log_reserve(log, length, err) < 0)
		return -1;
	uint64_t end = spool_log_end(log).offset + spool_record_bytes((uint32_t)length);
	uint32_t most = log->active->size_bytes - log->active->size_bytes / 8;
	if (end <= most || spool_segments_is_ready(log->segments))
		return 0;
	struct spool_segment *next = spool_segments_take(log->segments, err);
	log->is_stuck = !next;
	if (!next)
		return -1;
	spool_segments_put_back(log->segments, next);
	return 0;
}

struct spool_position spool_log_append(struct spool_log *log, uint8_t type, uint64_t id,
	const struct str *parts, size_t count)
{
	if (log->pending.length == 0)
		append_mark(log);
	struct spool_position at = spool_log_end(log);
	log->has_news = true;
	spool_record_append(&log->pending, type, log->active->salt, id, parts, count);
	assert(spool_log_end(log).offset + END_BYTES <= log->active->size_bytes);
	return at;
}

struct spool_position spool_log_end(const struct spool_log *log)
{
	if (!log->active)
		return (struct spool_position){ 0 };
	return (struct spool_position){
		log->active->number,
		log->active->end + (uint32_t)log->pending.length,
	};
}

bool spool_log_wants_mark(const struct spool_log *log)
{
	return log->has_news && log->active && spool_position_is_before(log->marked, log->durable);
}

void spool_log_mark(struct spool_log *log)
{
	uint64_t unsynced_bytes = log->unsynced_bytes;
	/* not worth a new segment */
	if (log->pending.length || !fits(log, 0))
		return;
	append_mark(log);
	if (spool_log_flush(log, NULL) < 0)
		return;
	log->has_news = false;
	log->unsynced_bytes = unsynced_bytes;
}

/* ---- making it durable ----------------------------------------------------------------------- */

static bool run_sync(struct spool_job *job)
{
	struct spool_sync *sync = LIST_OWNER(job, struct spool_sync, job);
	struct spool_log *log = sync->log;
	for (size_t i = 0; i < sync->count && !sync->failure; i++) {
		if (log->disk->sync(log->disk, sync->fds[i]) < 0)
			sync->failure = errno ? errno : EIO;
	}
	if (sync->with_directory && !sync->failure &&
		log->disk->sync_directory(log->disk, log->segments->directory) < 0)
		sync->failure = errno ? errno : EIO;
	return false;
}

static void on_synced(struct spool_job *job)
{
	struct spool_sync *sync = LIST_OWNER(job, struct spool_sync, job);
	struct spool_log *log = sync->log;
	struct err err;
	log->is_syncing = false;
	if (sync->failure) {
		err_system(&err, sync->failure, "cannot make the spool durable (sync of %s)",
			log->segments->directory);
		log->events->on_synced(log->ctx, &err);
		return;
	}
	log->durable = sync->until;
	log->syncs++;
	log->events->on_synced(log->ctx, NULL);
}

void spool_log_sync(struct spool_log *log)
{
	struct spool_sync *sync = log->sync;
	assert(!log->is_syncing && log->pending.length == 0);
	sync->count = 0;
	/* dirty ones stand at the end: few are written between two syncs */
	for (struct list *node = log->segments->in_order.prev; node != &log->segments->in_order;
		node = node->prev) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (!segment->is_dirty && segment != log->active)
			break;
		if (!segment->is_dirty)
			continue;
		segment->is_dirty = false;
		if (sync->count == sync->room) {
			sync->room = sync->room ? sync->room * 2 : 4;
			sync->fds = mem_resize_array(sync->fds, sync->room, sizeof(int));
		}
		sync->fds[sync->count++] = segment->fd;
	}
	sync->with_directory = log->segments->has_unsynced_name;
	log->segments->has_unsynced_name = false;
	sync->until = spool_log_end(log);
	sync->failure = 0;
	sync->job = (struct spool_job){ .is_urgent = true, .run = run_sync, .on_done = on_synced };
	log->unsynced_bytes = 0;
	log->is_syncing = true;
	spool_helper_submit(log->segments->helper, &sync->job);
}

bool spool_log_is_dirty(const struct spool_log *log)
{
	return log->pending.length || log->unsynced_bytes || log->segments->has_unsynced_name;
}

static int sync_now(struct spool_log *log)
{
	int result = 0;
	LIST_EACH(node, &log->segments->in_order) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (segment->is_dirty && log->disk->sync(log->disk, segment->fd) < 0)
			result = -1;
		segment->is_dirty = false;
	}
	if (log->segments->has_unsynced_name &&
		log->disk->sync_directory(log->disk, log->segments->directory) < 0)
		result = -1;
	return result;
}

void spool_log_close(struct spool_log *log)
{
	/* what fails here, recovery finds as after a crash */
	if (!log->active || spool_log_flush(log, NULL) < 0)
		return;
	/* the last sync ended, but perhaps nobody was told how */
	if ((log->is_syncing && log->sync->failure) || sync_now(log) < 0)
		return;
	log->durable = spool_log_end(log);
	append_mark(log);
	spool_record_append(&log->pending, SPOOL_RECORD_END, log->active->salt, 0, NULL, 0);
	if (spool_log_flush(log, NULL) == 0)
		sync_now(log);
}
