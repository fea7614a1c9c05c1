/* A message comes in: chunks as they fill, the commit, its caller told after the sync. */
#include "smtpd/spool/spool_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

struct spool_writer {
	struct list link;
	struct spool *spool;
	uint64_t id;
	uint64_t size_bytes;
	uint64_t write; /* of its last record */
	struct buf gathered;
	struct buf chunks; /* as in the commit record */
	uint32_t chunk_count;
	struct spool_extents extents; /* held */
	struct err error;	      /* kind ERR_NONE: none so far */
};

static struct spool_writer *begin(struct spool *spool, bool is_report, struct err *err)
{
	if (spool_may_accept(spool, is_report, err) < 0)
		return NULL;
	struct spool_writer *w = mem_zero(sizeof(*w));
	w->spool = spool;
	w->id = spool_new_id(spool);
	list_push_back(&spool->writers, &w->link);
	return w;
}

struct spool_writer *spool_begin(struct spool *spool, struct err *err)
{
	return begin(spool, false, err);
}

struct spool_writer *spool_begin_report(struct spool *spool, struct err *err)
{
	return begin(spool, true, err);
}

uint64_t spool_writer_id(const struct spool_writer *w)
{
	return w->id;
}

static void hold_one(struct spool *spool, struct spool_extents *extents, uint32_t number,
	uint32_t bytes)
{
	spool_extents_add(extents, number, bytes);
	spool_segments_find(&spool->segments, number)->live_bytes += bytes;
}

static int append_chunk(struct spool_writer *w, struct str piece)
{
	struct spool_log *log = &w->spool->log;
	struct err err;
	if (spool_log_reserve_refusable(log, piece.length, &err) < 0 && w->error.kind == ERR_NONE)
		w->error = err;
	if (w->error.kind != ERR_NONE)
		return -1;
	struct spool_chunk chunk = {
		.at = spool_log_append(log, SPOOL_RECORD_CHUNK, w->id, &piece, 1),
		.length = (uint32_t)piece.length,
	};
	w->write = log->write;
	hold_one(w->spool, &w->extents, chunk.at.segment, spool_record_bytes(chunk.length));
	spool_chunk_format(&chunk, buf_reserve(&w->chunks, SPOOL_CHUNK_BYTES));
	buf_added(&w->chunks, SPOOL_CHUNK_BYTES);
	w->chunk_count++;
	spool_request_turn(w->spool);
	return 0;
}

int spool_write(struct spool_writer *w, struct str bytes, struct err *err)
{
	while (bytes.length && w->error.kind == ERR_NONE) {
		size_t room = SPOOL_RECORD_CHUNK_MOST - w->gathered.length;
		struct str piece = str_head(bytes, bytes.length < room ? bytes.length : room);
		bytes = str_skip(bytes, piece.length);
		w->size_bytes += piece.length;
		if (w->gathered.length == 0 && piece.length == SPOOL_RECORD_CHUNK_MOST) {
			append_chunk(w, piece);
			continue;
		}
		buf_append_str(&w->gathered, piece);
		if (w->gathered.length == SPOOL_RECORD_CHUNK_MOST) {
			append_chunk(w, buf_str(&w->gathered));
			buf_clear(&w->gathered);
		}
	}
	if (w->error.kind == ERR_NONE)
		return 0;
	if (err)
		*err = w->error;
	return -1;
}

static void writer_free(struct spool_writer *w)
{
	list_remove(&w->link);
	spool_extents_clear(&w->extents);
	buf_release(&w->gathered);
	buf_release(&w->chunks);
	free(w);
}

void spool_abandon(struct spool_writer **w_p)
{
	struct spool_writer *w = *w_p;
	if (!w)
		return;
	*w_p = NULL;
	spool_extents_drop(&w->extents, &w->spool->segments);
	writer_free(w);
}

/* ---- commits --------------------------------------------------------------------------------- */

static int append_commit(struct spool_writer *w, struct spool_commit *c)
{
	struct spool_commit_head head = {
		.size_bytes = w->size_bytes,
		.chunk_count = w->chunk_count,
		.envelope_bytes = (uint32_t)c->envelope.length,
	};
	char head_bytes[SPOOL_COMMIT_HEAD_BYTES];
	spool_commit_head_format(&head, head_bytes);
	struct str parts[] = { str_from(head_bytes, sizeof(head_bytes)), buf_str(&w->chunks),
		buf_str(&c->envelope) };
	size_t length = parts[0].length + parts[1].length + parts[2].length;
	struct spool_log *log = &w->spool->log;
	struct err err;
	if (spool_log_reserve_refusable(log, length, &err) < 0 && w->error.kind == ERR_NONE)
		w->error = err;
	/* making room may have shown that the chunks are lost: then no commit for them */
	if (w->error.kind != ERR_NONE)
		return -1;
	c->at = spool_log_append(log, SPOOL_RECORD_COMMIT, w->id, parts, 3);
	c->record_bytes = spool_record_bytes((uint32_t)length);
	hold_one(w->spool, &w->extents, c->at.segment, c->record_bytes);
	return 0;
}

void spool_commit(struct spool_writer **w_p, const struct spool_envelope *envelope,
	void (*on_done)(void *ctx, uint64_t id, const struct err *error), void *ctx)
{
	struct spool_writer *w = *w_p;
	struct spool *spool = w->spool;
	*w_p = NULL;
	assert(envelope->recipient_count > 0);
	struct spool_commit *c = mem_zero(sizeof(*c));
	c->id = w->id;
	c->on_done = on_done;
	c->ctx = ctx;
	spool_envelope_encode(envelope, &c->envelope);
	if (w->error.kind == ERR_NONE && spool->is_broken)
		err_set(&w->error, ERR_SYSTEM, "the spool has stopped after a failed sync");
	if (w->error.kind == ERR_NONE && w->gathered.length)
		append_chunk(w, buf_str(&w->gathered));
	bool is_appended = w->error.kind == ERR_NONE && append_commit(w, c) == 0;
	c->error = w->error;
	c->size_bytes = w->size_bytes;
	c->write = spool->log.write;
	c->extents = w->extents;
	w->extents = (struct spool_extents){ 0 };
	list_push_back(is_appended ? &spool->waiting : &spool->failed, &c->link);
	spool->commits_running++;
	writer_free(w);
	spool_request_turn(spool);
}

void spool_commit_free(struct spool *spool, struct spool_commit *c)
{
	list_remove(&c->link);
	spool->commits_running--;
	spool_extents_clear(&c->extents);
	buf_release(&c->envelope);
	free(c);
}

void spool_forget_caller(struct spool *spool, void *ctx)
{
	struct list *lists[] = { &spool->waiting, &spool->syncing, &spool->failed };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		LIST_EACH(node, lists[i]) {
			struct spool_commit *c = LIST_OWNER(node, struct spool_commit, link);
			if (c->ctx == ctx)
				c->on_done = NULL;
		}
	}
}

static void fail(struct spool *spool, struct spool_commit *c, const struct err *error)
{
	c->error = *error;
	list_remove(&c->link);
	list_push_back(&spool->failed, &c->link);
	spool_request_turn(spool);
}

void spool_writer_lose(struct spool *spool, uint64_t write, const struct err *error)
{
	LIST_EACH(node, &spool->writers) {
		struct spool_writer *w = LIST_OWNER(node, struct spool_writer, link);
		if (w->write == write && w->error.kind == ERR_NONE)
			w->error = *error;
	}
	LIST_EACH_SAFE(node, &spool->waiting) {
		struct spool_commit *c = LIST_OWNER(node, struct spool_commit, link);
		if (c->write == write)
			fail(spool, c, error);
	}
}

void spool_writer_fail_commits(struct spool *spool, struct list *commits, const struct err *error)
{
	LIST_EACH_SAFE(node, commits)
		fail(spool, LIST_OWNER(node, struct spool_commit, link), error);
}

void spool_writer_tell_failed(struct spool *spool)
{
	struct list *node;
	while ((node = list_first(&spool->failed)) != NULL) {
		struct spool_commit *c = LIST_OWNER(node, struct spool_commit, link);
		struct err error = c->error;
		uint64_t id = c->id;
		void (*on_done)(void *, uint64_t, const struct err *) = c->on_done;
		void *ctx = c->ctx;
		spool_extents_drop(&c->extents, &spool->segments);
		spool_commit_free(spool, c);
		if (on_done)
			on_done(ctx, id, &error);
	}
}

static struct spool_message *become_message(struct spool *spool, struct spool_commit *c,
	const struct spool_envelope *envelope)
{
	struct spool_message *message = spool_index_add(
		&spool->index, c->id, c->size_bytes, envelope->recipient_count);
	message->commit = c->at;
	message->commit_bytes = c->record_bytes;
	message->first_segment = c->at.segment;
	message->extents = c->extents;
	c->extents = (struct spool_extents){ 0 };
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(&message->extents, i)).segment; i++)
		spool_segment_add_id(
			spool_segments_find(&spool->segments, extent.segment), c->id);
	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		if (!spool_recipient_is_open(envelope->recipients[i].state))
			spool_message_set_waiting(message, i, false);
	}
	return message;
}

void spool_writer_finish_commits(struct spool *spool)
{
	struct list *node;
	while ((node = list_first(&spool->syncing)) != NULL) {
		struct spool_commit *c = LIST_OWNER(node, struct spool_commit, link);
		struct arena arena = { 0 };
		struct spool_envelope envelope;
		int result = spool_envelope_decode(buf_str(&c->envelope), &arena, &envelope, NULL);
		assert(result == 0);
		(void)result;
		envelope.id = c->id;
		envelope.size_bytes = c->size_bytes;
		struct spool_message *message = become_message(spool, c, &envelope);
		spool->commits++;
		/* off the list first: the callbacks may come back to us */
		list_remove(&c->link);
		if (spool_message_has_waiting(message))
			spool->events->on_message(spool->ctx, &envelope);
		else
			spool_change_bury(spool, message);
		if (c->on_done)
			c->on_done(c->ctx, c->id, NULL);
		spool_commit_free(spool, c);
		arena_clear(&arena);
	}
}
