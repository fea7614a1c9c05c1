/* Segments that nobody needs are given back; one that is mostly dead is emptied by copying.
 *
 * A segment is dead when no message, writer or reader needs a byte of it and none of its DONE
 * records is needed (spool_segment.h, struct spool_grave). It is given back when the log is
 * durable beyond the last record that made it so. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"

enum {
	STEP_BYTES = 256 * 1024, /* copied at once; then the loop has its turn */
	STEP_PAUSE_MS = 5,
	SPARE_SEGMENTS = 2,  /* dead bytes that are not worth any copying */
	REST_SEGMENTS = 4,   /* written, before one that could not be emptied is tried again */
	DONE_BYTES = SPOOL_RECORD_HEADER_BYTES,
	FAILURES_MOST = 10,
};

/* A message on its way to the end of the log. */
struct move {
	uint64_t id;
	uint64_t write; /* of its last record */
	uint32_t next_chunk;
	struct buf chunks; /* as in the commit record: where they are, copied or not */
	struct spool_extents extents; /* held: of the records copied so far, and those kept */
	struct spool_position commit;
	uint32_t commit_bytes;
	bool is_lost;
};

struct spool_compact {
	struct spool *spool;
	struct tlsio_timer timer;
	uint32_t victim; /* segment being emptied; 0: none */
	uint32_t next_id;
	uint32_t next_grave;
	struct move *moves; /* all but the last have their commit record appended */
	size_t move_count;
	size_t move_room;
	uint64_t *folds; /* ids to be written anew where their chunks stay */
	size_t fold_count;
	size_t fold_room;
	unsigned failures; /* to say which segments go, in a row */
};

static void start_timer(struct spool_compact *compact)
{
	if (!tlsio_timer_is_active(&compact->timer))
		tlsio_timer_start(&compact->timer, STEP_PAUSE_MS);
}

/* ---- moving ---------------------------------------------------------------------------------- */

static void hold(struct spool *spool, struct move *move, uint32_t number, uint32_t bytes)
{
	struct spool_segment *segment = spool_segments_find(&spool->segments, number);
	if (!segment)
		return;
	spool_extents_add(&move->extents, number, bytes);
	segment->live_bytes += bytes;
}

static void drop_move(struct spool *spool, struct move *move)
{
	spool_extents_drop(&move->extents, &spool->segments);
	spool_extents_clear(&move->extents);
	buf_release(&move->chunks);
}

static struct move *add_move(struct spool_compact *compact, uint64_t id)
{
	if (compact->move_count == compact->move_room) {
		compact->move_room = compact->move_room ? compact->move_room * 2 : 16;
		compact->moves = mem_resize_array(
			compact->moves, compact->move_room, sizeof(struct move));
	}
	struct move *move = &compact->moves[compact->move_count++];
	*move = (struct move){ .id = id };
	return move;
}

static int copy_chunk(struct spool_compact *compact, struct move *move, struct spool_chunk *chunk)
{
	struct spool *spool = compact->spool;
	struct buf record = { 0 };
	int result = -1;
	if (spool_load_record(spool, chunk->at, spool_record_bytes(chunk->length),
		    SPOOL_RECORD_CHUNK, move->id, &record, NULL) == 0 &&
		spool_log_reserve_refusable(&spool->log, chunk->length, NULL) == 0) {
		struct str payload = str_skip(buf_str(&record), SPOOL_RECORD_HEADER_BYTES);
		chunk->at = spool_log_append(
			&spool->log, SPOOL_RECORD_CHUNK, move->id, &payload, 1);
		move->write = spool->log.write;
		result = 0;
	}
	buf_release(&record);
	return result;
}

/* 1: all chunks are where they shall be; 0: the step is used up; -1: it cannot be moved. */
static int move_chunks(struct spool_compact *compact, struct move *move,
	const struct spool_loaded *loaded, size_t *budget)
{
	for (; move->next_chunk < loaded->head.chunk_count; move->next_chunk++) {
		struct spool_chunk chunk = spool_chunk_at(loaded->chunks, move->next_chunk);
		uint32_t bytes = spool_record_bytes(chunk.length);
		if (compact->victim && chunk.at.segment == compact->victim) {
			if (*budget < bytes)
				return 0;
			*budget -= bytes;
			if (copy_chunk(compact, move, &chunk) < 0)
				return -1;
		}
		hold(compact->spool, move, chunk.at.segment, bytes);
		spool_chunk_format(&chunk, buf_reserve(&move->chunks, SPOOL_CHUNK_BYTES));
		buf_added(&move->chunks, SPOOL_CHUNK_BYTES);
	}
	return 1;
}

static int append_commit(
	struct spool *spool, struct move *move, const struct spool_loaded *loaded, size_t *budget)
{
	struct buf envelope = { 0 };
	spool_envelope_encode(&loaded->envelope, &envelope);
	struct spool_commit_head head = loaded->head;
	head.envelope_bytes = (uint32_t)envelope.length;
	char head_bytes[SPOOL_COMMIT_HEAD_BYTES];
	spool_commit_head_format(&head, head_bytes);
	struct str parts[] = { str_from(head_bytes, sizeof(head_bytes)), buf_str(&move->chunks),
		buf_str(&envelope) };
	size_t length = parts[0].length + parts[1].length + parts[2].length;
	int result = spool_log_reserve_refusable(&spool->log, length, NULL);
	if (result == 0 && !move->is_lost) {
		move->commit = spool_log_append(
			&spool->log, SPOOL_RECORD_COMMIT, move->id, parts, 3);
		move->commit_bytes = spool_record_bytes((uint32_t)length);
		move->write = spool->log.write;
		hold(spool, move, move->commit.segment, move->commit_bytes);
	}
	*budget -= length < *budget ? length : *budget;
	buf_release(&envelope);
	return move->is_lost ? -1 : result;
}

/* 1: appended whole; 0: the step is used up, go on with it; -1: dropped. */
static int go_on(struct spool_compact *compact, struct move *move, size_t *budget)
{
	struct spool *spool = compact->spool;
	struct spool_message *message = spool_index_find(&spool->index, move->id);
	struct spool_loaded loaded;
	if (!message || move->is_lost || spool_load(spool, message, &loaded, NULL) < 0)
		return -1;
	int result = move_chunks(compact, move, &loaded, budget);
	if (result > 0)
		result = append_commit(spool, move, &loaded, budget) < 0 ? -1 : 1;
	spool_loaded_clear(&loaded);
	return result;
}

static void add_ids(struct spool *spool, const struct spool_message *message)
{
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(&message->extents, i)).segment; i++) {
		struct spool_segment *segment =
			spool_segments_find(&spool->segments, extent.segment);
		if (segment)
			spool_segment_add_id(segment, message->id);
	}
}

/* It is written: from here on the message is there. */
static void arrive(struct spool *spool, struct move *move)
{
	struct spool_message *message = spool_index_find(&spool->index, move->id);
	if (!message || move->is_lost) {
		drop_move(spool, move);
		return;
	}
	spool_extents_drop(&message->extents, &spool->segments);
	spool_extents_clear(&message->extents);
	message->extents = move->extents;
	message->commit = move->commit;
	message->commit_bytes = move->commit_bytes;
	message->settle = (struct spool_position){ 0 };
	message->settle_bytes = 0;
	message->chain_length = 0;
	add_ids(spool, message);
	buf_release(&move->chunks);
}

static void arrive_all(struct spool_compact *compact)
{
	size_t keep = 0;
	for (size_t i = 0; i < compact->move_count; i++) {
		struct move *move = &compact->moves[i];
		if (move->commit.segment == 0 && !move->is_lost)
			compact->moves[keep++] = *move; /* the last, to be gone on with */
		else
			arrive(compact->spool, move);
	}
	compact->move_count = keep;
}

void spool_compact_lose(struct spool *spool, uint64_t write)
{
	struct spool_compact *compact = spool->compact;
	for (size_t i = 0; i < compact->move_count; i++) {
		if (compact->moves[i].write == write)
			compact->moves[i].is_lost = true;
	}
}

/* ---- a step ---------------------------------------------------------------------------------- */

static bool is_needed(const struct spool *spool, const struct spool_grave *grave, uint32_t here)
{
	return spool_segments_has_any(
		&spool->segments, grave->first_segment, grave->last_segment, here);
}

/* DONE records that must outlive the victim. True: all copied. */
static bool copy_graves(struct spool_compact *compact, struct spool_segment *victim, size_t *budget)
{
	for (; compact->next_grave < victim->grave_count; compact->next_grave++) {
		struct spool_grave grave = victim->graves[compact->next_grave];
		if (!is_needed(compact->spool, &grave, victim->number))
			continue;
		if (*budget < DONE_BYTES)
			return false;
		*budget -= DONE_BYTES;
		spool_change_done(
			compact->spool, grave.id, grave.first_segment, grave.last_segment);
	}
	victim->grave_count = 0;
	compact->next_grave = 0;
	return true;
}

static bool needs(const struct spool_message *message, uint32_t number)
{
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(&message->extents, i)).segment; i++) {
		if (extent.segment == number && extent.bytes)
			return true;
	}
	return false;
}

/* The next message to be moved: one begun, one to be folded, one of the victim. */
static struct move *next_move(struct spool_compact *compact, struct spool_segment *victim)
{
	struct spool *spool = compact->spool;
	if (compact->move_count && compact->moves[compact->move_count - 1].commit.segment == 0)
		return &compact->moves[compact->move_count - 1];
	if (compact->fold_count)
		return add_move(compact, compact->folds[--compact->fold_count]);
	while (victim && compact->next_id < victim->id_count) {
		uint64_t id = victim->ids[compact->next_id++];
		struct spool_message *message = spool_index_find(&spool->index, id);
		if (message && needs(message, victim->number))
			return add_move(compact, id);
	}
	return NULL;
}

static bool may_copy(const struct spool *spool)
{
	return spool->lost.count == 0 &&
	       (!spool->has_no_segment || spool_segments_is_ready(&spool->segments));
}

/* True: there is nothing left to do. */
static bool step(struct spool_compact *compact)
{
	struct spool *spool = compact->spool;
	struct spool_segment *victim = spool_segments_find(&spool->segments, compact->victim);
	size_t budget = STEP_BYTES;
	if (victim && !copy_graves(compact, victim, &budget))
		return false;
	struct move *move;
	while (budget && (move = next_move(compact, victim)) != NULL) {
		int result = go_on(compact, move, &budget);
		if (result == 0)
			return false;
		if (result < 0) {
			drop_move(spool, move);
			compact->move_count--;
		}
	}
	return budget > 0;
}

static void on_step(void *ctx)
{
	struct spool_compact *compact = ctx;
	struct spool *spool = compact->spool;
	/* what this turn settled so far goes first: what we copy must be as of now */
	spool_log_flush(&spool->log, NULL);
	if (spool->is_broken)
		return;
	if (!may_copy(spool)) {
		start_timer(compact);
		return;
	}
	bool is_finished = step(compact);
	spool_log_flush(&spool->log, NULL);
	arrive_all(compact);
	if (!is_finished) {
		start_timer(compact);
		return;
	}
	struct spool_segment *victim = spool_segments_find(&spool->segments, compact->victim);
	if (victim && victim->live_bytes && spool->log.active)
		victim->retry_number = spool->log.active->number + REST_SEGMENTS;
	compact->victim = 0;
	compact->next_id = 0;
	spool->segments.needs_review = true;
	spool_request_turn(spool);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_idle(const struct spool_segment *segment)
{
	return segment->is_sealed && !segment->is_releasing && !segment->is_kept;
}

static uint64_t cost_of(const struct spool_segment *segment)
{
	return segment->live_bytes + (uint64_t)segment->grave_count * DONE_BYTES;
}

/* Of the disk; a file that was filled takes all of it however little is in it. */
static uint64_t taken_by(const struct spool_segment *segment)
{
	return segment->is_filled ? segment->size_bytes : segment->end;
}

/* Forgets the graves that nothing needs any more. */
static void prune_graves(struct spool *spool, struct spool_segment *segment)
{
	uint32_t keep = 0;
	if (segment->pruned_releases == spool->segments.releases && segment->grave_count)
		return;
	segment->pruned_releases = spool->segments.releases;
	for (uint32_t i = 0; i < segment->grave_count; i++) {
		if (is_needed(spool, &segment->graves[i], segment->number))
			segment->graves[keep++] = segment->graves[i];
	}
	segment->grave_count = keep;
}

/* True: given back, or waiting for the log to be durable; nothing to be copied. `dead` gets the number
 * of one that is new among the dead. */
static bool give_back(struct spool *spool, struct spool_segment *segment, struct buf *dead)
{
	if (segment->live_bytes)
		return false;
	prune_graves(spool, segment);
	if (segment->grave_count)
		return false;
	if (segment->release_after.segment == 0) {
		codec_put_u32(buf_reserve(dead, sizeof(uint32_t)), segment->number);
		buf_added(dead, sizeof(uint32_t));
		return true;
	}
	if (!spool_position_is_before(spool->log.durable, segment->release_after) ||
		(!spool_log_is_dirty(&spool->log) && !spool->log.is_syncing))
		spool_segments_release(&spool->segments, segment);
	else
		spool->segments.needs_review = true; /* after the next sync */
	return true;
}

static void set_release_after(struct spool *spool, struct str numbers, struct spool_position at)
{
	for (size_t i = 0; i < numbers.length; i += sizeof(uint32_t))
		spool_segments_find(&spool->segments, codec_get_u32(numbers.at + i))
			->release_after = at;
}

static int append_given_back(struct spool *spool, struct str numbers)
{
	if (spool_log_reserve(&spool->log, numbers.length, NULL) < 0)
		return -1;
	spool_log_append(&spool->log, SPOOL_RECORD_GIVEN_BACK, 0, &numbers, 1);
	return spool_log_flush(&spool->log, NULL);
}

/* The log says first which segments go (spool_inventory.h). Where it cannot, that is tried again for
 * some seconds; then they go untold: on a full disk there may be no other way to get room. */
static void announce(struct spool *spool, struct str numbers)
{
	struct spool_compact *compact = spool->compact;
	/* set before, too: should a new segment begin, it says what there is besides them */
	set_release_after(spool, numbers, spool_log_end(&spool->log));
	if (append_given_back(spool, numbers) == 0 || ++compact->failures > FAILURES_MOST) {
		compact->failures = 0;
		set_release_after(spool, numbers, spool_log_end(&spool->log));
		spool->segments.needs_review = true; /* after the next sync */
		return;
	}
	set_release_after(spool, numbers, (struct spool_position){ 0 });
	spool->is_review_put_off = true;
}

struct choice {
	uint64_t taken_bytes;
	uint64_t cost_bytes;
	struct spool_segment *best; /* the least to copy for the most gained */
};

static void consider(struct choice *choice, struct spool_segment *segment, uint32_t active)
{
	uint64_t cost = cost_of(segment), taken = taken_by(segment);
	choice->taken_bytes += taken;
	choice->cost_bytes += cost;
	if (segment->retry_number > active || cost > taken / 4 * 3)
		return;
	if (!choice->best || cost * taken_by(choice->best) < cost_of(choice->best) * taken)
		choice->best = segment;
}

void spool_compact_review(struct spool *spool)
{
	struct spool_compact *compact = spool->compact;
	struct spool_segments *set = &spool->segments;
	/* with lost records, or some not written yet, "the log is durable to here" means nothing */
	if (!set->needs_review || spool->pins || !spool->is_replayed || spool->is_broken || spool->lost.count ||
		spool->log.pending.length || !spool->log.active)
		return;
	set->needs_review = false;
	struct choice choice = { 0 };
	struct buf dead = { 0 };
	uint32_t active = spool->log.active->number;
	LIST_EACH(node, &set->in_order) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (is_idle(segment) && segment->number != compact->victim &&
			!give_back(spool, segment, &dead))
			consider(&choice, segment, active);
	}
	if (dead.length)
		announce(spool, buf_str(&dead));
	buf_release(&dead);
	if (compact->victim || !choice.best)
		return;
	bool is_nearly_free = choice.best->live_bytes == 0 &&
			      cost_of(choice.best) <= taken_by(choice.best) / 8;
	if (is_nearly_free ||
		choice.taken_bytes >
			2 * choice.cost_bytes + (uint64_t)SPARE_SEGMENTS * set->segment_bytes) {
		compact->victim = choice.best->number;
		compact->next_id = 0;
		compact->next_grave = 0;
		start_timer(compact);
	}
}

void spool_compact_fold(struct spool *spool, uint64_t id)
{
	struct spool_compact *compact = spool->compact;
	for (size_t i = 0; i < compact->fold_count; i++) {
		if (compact->folds[i] == id)
			return;
	}
	if (compact->fold_count == compact->fold_room) {
		compact->fold_room = compact->fold_room ? compact->fold_room * 2 : 16;
		compact->folds = mem_resize_array(
			compact->folds, compact->fold_room, sizeof(uint64_t));
	}
	compact->folds[compact->fold_count++] = id;
	start_timer(compact);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct spool_compact *spool_compact_new(struct spool *spool)
{
	struct spool_compact *compact = mem_zero(sizeof(*compact));
	compact->spool = spool;
	tlsio_timer_init(&compact->timer, spool->loop, on_step, compact);
	return compact;
}

void spool_compact_free(struct spool_compact **compact_p)
{
	struct spool_compact *compact = *compact_p;
	if (!compact)
		return;
	*compact_p = NULL;
	tlsio_timer_stop(&compact->timer);
	for (size_t i = 0; i < compact->move_count; i++)
		drop_move(compact->spool, &compact->moves[i]);
	free(compact->moves);
	free(compact->folds);
	free(compact);
}
