#include "smtpd/spool/spool.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_inside.h"

enum {
	TICK_MS = 1000,
	BURST_MS = 300, /* for half a segment */
	SHARDS = 256,
	SHARD_SHIFT = 56,
	ID_RESERVE = 65536, /* marks promise so many ids more than were given out */
	EARLY_SYNC_BYTES = 4 << 20, /* a large body goes to disk while it still comes in */
};

/* ---- trouble --------------------------------------------------------------------------------- */

void spool_request_turn(struct spool *spool)
{
	tlsio_turn_request(&spool->turn);
}

void spool_tell_trouble(struct spool *spool, const struct err *err)
{
	if (spool->trouble_count < SPOOL_TROUBLES_MOST)
		spool->troubles[spool->trouble_count++] = *err;
	spool_request_turn(spool);
}

static void tell_troubles(struct spool *spool)
{
	for (unsigned i = 0; i < spool->trouble_count; i++)
		spool->events->on_trouble(spool->ctx, &spool->troubles[i]);
	spool->trouble_count = 0;
}

/* ---- may we accept? -------------------------------------------------------------------------- */

static void check_space(struct spool *spool)
{
	int64_t now_ms = tlsio_loop_now_ms(spool->loop);
	uint64_t free_bytes;
	if (spool->space_checked_ms && now_ms < spool->space_checked_ms + TICK_MS)
		return;
	spool->space_checked_ms = now_ms ? now_ms : 1;
	if (spool->disk->free_bytes(spool->disk, spool->directory, &free_bytes) < 0)
		return; /* a write will tell */
	bool was_full = spool->is_full;
	spool->is_full = free_bytes < spool->settings->minimum_free_bytes;
	if (spool->is_full && !was_full) {
		struct err err;
		err_set(&err, ERR_LIMIT,
			"%s: %llu bytes free, %llu must stay free: no mail is accepted",
			spool->directory, (unsigned long long)free_bytes,
			(unsigned long long)spool->settings->minimum_free_bytes);
		spool_tell_trouble(spool, &err);
	}
}

/* When no further segment can be made, the rest of this one is for settling what we have. */
static bool has_room(const struct spool *spool)
{
	const struct spool_segment *active = spool->log.active;
	if (spool_segments_is_ready(&spool->segments))
		return true;
	if (spool->log.is_stuck)
		return false;
	return !spool->has_no_segment || (active && active->end < active->size_bytes / 2);
}

static int check_storing(const struct spool *spool, struct err *err)
{
	if (!spool->is_replayed)
		return err_set(err, ERR_SYSTEM, "the spool is not replayed yet");
	if (spool->is_broken)
		return err_set(err, ERR_SYSTEM, "the spool has stopped after a failed sync");
	if (spool->is_full || !has_room(spool))
		return err_set(err, ERR_LIMIT, "the disk is full");
	return 0;
}

static int check_accepting(const struct spool *spool, struct err *err)
{
	if (check_storing(spool, err) < 0)
		return -1;
	if (spool->index.count + spool->commits_running >= spool->settings->maximum_messages)
		return err_set(err, ERR_LIMIT, "the queue is full");
	return 0;
}

int spool_may_accept(struct spool *spool, bool is_report, struct err *err)
{
	check_space(spool);
	return is_report ? check_storing(spool, err) : check_accepting(spool, err);
}

/* ---- the log's events ------------------------------------------------------------------------ */

static void on_lost(void *ctx, uint64_t write, const struct err *error)
{
	struct spool *spool = ctx;
	spool_writer_lose(spool, write, error);
	spool_change_lose(spool, write);
	spool_compact_lose(spool, write);
	spool_tell_trouble(spool, error);
}

/* The kernel may have dropped what it could not write, and a second sync would say nothing:
 * what is on disk is unknown until it is read again. */
static void stop(struct spool *spool, const struct err *error)
{
	spool->is_broken = true;
	spool_tell_trouble(spool, error);
	spool_writer_fail_commits(spool, &spool->syncing, error);
	spool_writer_fail_commits(spool, &spool->waiting, error);
	/* their clients hear "no", so as far as the disk goes along they must not stay; not before
	 * they left their lists, since a write that fails here would move them */
	LIST_EACH(node, &spool->failed) {
		struct spool_commit *c = LIST_OWNER(node, struct spool_commit, link);
		spool_change_done(spool, c->id, c->at.segment, c->at.segment);
	}
}

static void on_synced(void *ctx, const struct err *error)
{
	struct spool *spool = ctx;
	if (error) {
		stop(spool, error);
		return;
	}
	spool_writer_finish_commits(spool);
	spool_request_turn(spool);
}

static void on_segments_change(void *ctx, const struct err *error)
{
	struct spool *spool = ctx;
	spool->has_no_segment = error != NULL;
	if (error)
		spool_tell_trouble(spool, error);
	else if (!spool->is_broken)
		spool_log_prefer_filled(&spool->log);
	if (!error)
		spool->log.is_stuck = false;
	spool_request_turn(spool);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void begin_sync(struct spool *spool)
{
	struct spool_log *log = &spool->log;
	if (log->is_syncing || spool->is_broken || log->pending.length)
		return;
	LIST_EACH_SAFE(node, &spool->waiting) {
		list_remove(node);
		list_push_back(&spool->syncing, node);
	}
	spool_log_sync(log);
}

/* Half way through a segment the next one is filled; not in a burst that is through with it before
 * that is done: then filling would only double what the disk has to do. */
static void prepare_next(struct spool *spool)
{
	const struct spool_segment *active = spool->log.active;
	int64_t now_ms = tlsio_loop_now_ms(spool->loop);
	if (!active)
		return;
	if (active->number != spool->active_number) {
		spool->active_number = active->number;
		spool->active_since_ms = now_ms;
		spool->is_next_prepared = false;
	}
	if (spool->is_next_prepared || active->end < active->size_bytes / 2)
		return;
	spool->is_next_prepared = true;
	if (now_ms - spool->active_since_ms >= BURST_MS)
		spool_segments_prepare(&spool->segments);
}

static void tell_stuck(struct spool *spool)
{
	if (spool->log.is_stuck && !spool->is_stuck_told) {
		struct err err;
		err_set(&err, ERR_LIMIT, "%s: no further segment can be made: no mail is accepted",
			spool->directory);
		spool_tell_trouble(spool, &err);
	}
	spool->is_stuck_told = spool->log.is_stuck;
}

static bool is_restless(const struct spool *spool)
{
	return spool->lost.count || spool->has_no_segment || spool->log.is_stuck ||
	       spool->is_review_put_off ||
	       (!spool->is_broken && (spool_log_is_dirty(&spool->log) ||
					     spool_log_wants_mark(&spool->log)));
}

static void on_end_of_turn(void *ctx)
{
	struct spool *spool = ctx;
	struct spool_log *log = &spool->log;
	spool_log_flush(log, NULL);
	prepare_next(spool);
	spool_compact_review(spool);
	spool_writer_tell_failed(spool);
	tell_stuck(spool);
	tell_troubles(spool);
	if (!list_is_empty(&spool->waiting) || log->unsynced_bytes >= EARLY_SYNC_BYTES)
		begin_sync(spool);
	if (is_restless(spool) && !tlsio_timer_is_active(&spool->tick))
		tlsio_timer_start(&spool->tick, TICK_MS);
}

static void on_tick(void *ctx)
{
	struct spool *spool = ctx;
	struct spool_log *log = &spool->log;
	if (spool->lost.count)
		spool_change_retry(spool);
	spool_segments_retry(&spool->segments);
	if (spool->has_no_segment || spool->log.is_stuck)
		spool_segments_prepare(&spool->segments);
	if (spool->is_review_put_off)
		spool->segments.needs_review = true;
	spool->is_review_put_off = false;
	spool_log_flush(log, NULL);
	if (spool_log_is_dirty(log))
		begin_sync(spool);
	else if (!log->is_syncing && spool_log_wants_mark(log))
		spool_log_mark(log);
	spool_request_turn(spool);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int prepare_directory(struct spool *spool, struct err *err)
{
	struct spool_disk *disk = spool->disk;
	if (disk->make_directory(disk, spool->directory) < 0)
		return err_system(err, errno, "cannot make directory %s", spool->directory);
	struct buf path = { 0 };
	buf_printf(&path, "%s/lock", spool->directory);
	spool->lock_fd = disk->lock(disk, buf_text(&path));
	int why = errno;
	buf_release(&path);
	if (spool->lock_fd >= 0)
		return 0;
	if (why == EWOULDBLOCK)
		return err_set(err, ERR_SYSTEM, "%s is in use by another process",
			spool->directory);
	return err_system(err, why, "cannot lock %s", spool->directory);
}

struct spool *spool_open(struct tlsio_loop *loop, const char *directory, unsigned shard,
	const struct spool_settings *settings, struct spool_disk *disk,
	const struct spool_events *events, void *ctx, struct err *err)
{
	static const struct spool_log_events log_events = { on_lost, on_synced };
	assert(shard < SHARDS);
	struct spool *spool = mem_zero(sizeof(*spool));
	spool->loop = loop;
	spool->settings = settings;
	spool->disk = disk ? disk : spool_disk_system();
	spool->directory = mem_dup(directory);
	spool->shard = shard;
	spool->events = events;
	spool->ctx = ctx;
	if (prepare_directory(spool, err) < 0) {
		free(spool->directory);
		free(spool);
		return NULL;
	}
	list_init(&spool->writers);
	list_init(&spool->waiting);
	list_init(&spool->syncing);
	list_init(&spool->failed);
	tlsio_turn_init(&spool->turn, loop, on_end_of_turn, spool);
	tlsio_timer_init(&spool->tick, loop, on_tick, spool);
	spool->helper = spool_helper_new(loop, spool->disk->is_inline);
	spool_segments_init(&spool->segments, spool->disk, spool->helper, spool->directory, shard,
		(uint32_t)settings->segment_bytes);
	spool->segments.on_change = on_segments_change;
	spool->segments.ctx = spool;
	spool_log_init(&spool->log, &spool->segments, &log_events, spool);
	spool->compact = spool_compact_new(spool);
	return spool;
}

uint64_t spool_new_id(struct spool *spool)
{
	uint64_t id = spool->next_id++;
	if (spool->segments.next_id < spool->next_id + ID_RESERVE / 2)
		spool->segments.next_id = spool->next_id + ID_RESERVE;
	return id;
}

void spool_start_log(struct spool *spool, bool is_new)
{
	uint64_t first = (uint64_t)spool->shard << SHARD_SHIFT;
	/* of a spool that is wiped and begun anew, ids do not return either */
	if (is_new)
		first |= (uint64_t)tlsio_loop_time_s(spool->loop) << 16;
	if (spool->next_id <= first)
		spool->next_id = first + 1;
	spool->segments.next_id = spool->next_id + ID_RESERVE;
	spool->is_replayed = true;
	spool->segments.needs_review = true;
	spool_segments_prepare(&spool->segments);
	spool_request_turn(spool);
}

/* A segment in use gets its END, so that the next start finds nothing torn. */
static void end_log(struct spool *spool)
{
	if (spool->lost.count)
		spool_change_retry(spool);
	if (spool->is_broken)
		spool_log_flush(&spool->log, NULL);
	else
		spool_log_close(&spool->log);
}

static void drop_commits(struct spool *spool, struct list *commits)
{
	LIST_EACH_SAFE(node, commits)
		spool_commit_free(spool, LIST_OWNER(node, struct spool_commit, link));
}

void spool_close(struct spool **spool_p)
{
	struct spool *spool = *spool_p;
	if (!spool)
		return;
	*spool_p = NULL;
	assert(list_is_empty(&spool->writers));
	/* the helper's last sync ends here */
	spool_helper_free(&spool->helper);
	end_log(spool);
	tlsio_turn_cancel(&spool->turn);
	tlsio_timer_stop(&spool->tick);
	drop_commits(spool, &spool->waiting);
	drop_commits(spool, &spool->syncing);
	drop_commits(spool, &spool->failed);
	spool_compact_free(&spool->compact);
	spool_change_clear(&spool->recent);
	spool_change_clear(&spool->lost);
	spool_log_clear(&spool->log);
	spool_segments_clear(&spool->segments);
	spool_index_clear(&spool->index);
	spool->disk->close(spool->disk, spool->lock_fd);
	free(spool->directory);
	free(spool);
}

/* ---- looking --------------------------------------------------------------------------------- */

void spool_summarise(const struct spool *spool, struct spool_summary *ret)
{
	*ret = (struct spool_summary){
		.messages = spool->index.count,
		.message_bytes = spool->index.message_bytes,
		.segments = spool->segments.count,
		.segment_bytes = (spool->segments.count + spool->segments.free_count) *
				 spool->segments.segment_bytes,
		.commits = spool->commits,
		.syncs = spool->log.syncs,
		.is_accepting = check_accepting(spool, NULL) == 0,
	};
}

uint64_t spool_next_id(const struct spool *spool, uint64_t after)
{
	const struct spool_message *message = spool_index_next(&spool->index, after);
	return message ? message->id : 0;
}
