/* What became of recipients: settle and done records, and those that a failed write lost. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

/* Settle records in a row before the message is written anew; more for many recipients, whose
 * whole envelope is large. */
enum { CHAIN_MOST = 16 };

static struct spool_change *changes_add(struct spool_changes *changes)
{
	if (changes->count == changes->room) {
		changes->room = changes->room ? changes->room * 2 : 16;
		changes->items = mem_resize_array(
			changes->items, changes->room, sizeof(struct spool_change));
	}
	struct spool_change *change = &changes->items[changes->count++];
	*change = (struct spool_change){ 0 };
	return change;
}

static void changes_forget(struct spool_changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free((char *)changes->items[i].deltas.at);
	changes->count = 0;
}

void spool_change_clear(struct spool_changes *changes)
{
	changes_forget(changes);
	free(changes->items);
	*changes = (struct spool_changes){ 0 };
}

/* One more of the gathering write; those of earlier writes are on disk. */
static struct spool_change *add_recent(struct spool *spool)
{
	struct spool_changes *recent = &spool->recent;
	if (recent->count && recent->items[recent->count - 1].write != spool->log.write)
		changes_forget(recent);
	struct spool_change *change = changes_add(recent);
	change->write = spool->log.write;
	return change;
}

static struct str copy(struct str bytes)
{
	return (struct str){ mem_dup_bytes(bytes.at, bytes.length), bytes.length };
}

/* ---- appending ------------------------------------------------------------------------------- */

static int append_done(struct spool *spool, uint64_t id, uint32_t first, uint32_t last)
{
	if (spool_log_reserve(&spool->log, 0, NULL) < 0)
		return -1;
	struct spool_position at = spool_log_append(&spool->log, SPOOL_RECORD_DONE, id, NULL, 0);
	struct spool_change *change = add_recent(spool);
	change->type = SPOOL_RECORD_DONE;
	change->id = id;
	change->first_segment = first;
	change->last_segment = last;
	if (spool_segments_has_any(&spool->segments, first, last, at.segment)) {
		struct spool_grave grave = { .id = id, .first_segment = first,
			.last_segment = last };
		spool_segment_add_grave(spool->log.active, &grave);
	}
	return 0;
}

static int append_settle(struct spool *spool, struct spool_message *message, struct str deltas)
{
	char head[SPOOL_SETTLE_HEAD_BYTES];
	/* first, since it may write, and failing undo the settle that this one points at */
	if (spool_log_reserve(&spool->log, sizeof(head) + deltas.length, NULL) < 0)
		return -1;
	spool_settle_head_format(message->settle, message->settle_bytes, head);
	struct str parts[] = { str_from(head, sizeof(head)), deltas };
	struct spool_position at =
		spool_log_append(&spool->log, SPOOL_RECORD_SETTLE, message->id, parts, 2);
	struct spool_change *change = add_recent(spool);
	change->type = SPOOL_RECORD_SETTLE;
	change->id = message->id;
	change->at = at;
	change->previous = message->settle;
	change->previous_bytes = message->settle_bytes;
	change->bytes = spool_record_bytes((uint32_t)(sizeof(head) + deltas.length));
	change->deltas = copy(deltas);
	message->settle = at;
	message->settle_bytes = change->bytes;
	message->chain_length++;
	spool_extents_add(&message->extents, at.segment, change->bytes);
	spool->log.active->live_bytes += change->bytes;
	if (message->extents.first.segment != at.segment)
		spool_segment_add_id(spool->log.active, message->id);
	return 0;
}

/* Could not be appended now: to be tried again. */
static void keep_lost(struct spool *spool, uint8_t type, uint64_t id, uint32_t first,
	uint32_t last, struct str deltas)
{
	struct spool_change *change = changes_add(&spool->lost);
	change->type = type;
	change->id = id;
	change->first_segment = first;
	change->last_segment = last;
	change->deltas = deltas;
}

void spool_change_done(
	struct spool *spool, uint64_t id, uint32_t first_segment, uint32_t last_segment)
{
	if (spool->lost.count || append_done(spool, id, first_segment, last_segment) < 0)
		keep_lost(spool, SPOOL_RECORD_DONE, id, first_segment, last_segment,
			(struct str){ 0 });
	spool_request_turn(spool);
}

void spool_change_bury(struct spool *spool, struct spool_message *message)
{
	uint64_t id = message->id;
	uint32_t first = message->first_segment, last = message->commit.segment;
	spool_extents_drop(&message->extents, &spool->segments);
	spool_index_remove(&spool->index, message);
	spool_change_done(spool, id, first, last);
}

void spool_settle(
	struct spool *spool, uint64_t id, const struct spool_outcome *outcomes, size_t count)
{
	struct spool_message *message = spool_index_find(&spool->index, id);
	if (!message)
		return;
	struct buf deltas = { 0 };
	for (size_t i = 0; i < count; i++) {
		const struct spool_outcome *o = &outcomes[i];
		/* what is final stays so: the operator may have removed it meanwhile */
		if (!spool_message_is_waiting(message, o->recipient))
			continue;
		struct spool_delta delta = { .recipient = o->recipient, .state = o->state,
			.attempts = o->attempts, .due_s = o->due_s, .reason = o->reason,
			.cause = o->cause, .told = o->told, .via = o->via };
		spool_delta_append(&deltas, &delta);
		if (!spool_recipient_is_open(o->state))
			spool_message_set_waiting(message, o->recipient, false);
	}
	if (deltas.length && !spool_message_has_waiting(message)) {
		spool_change_bury(spool, message);
	} else if (deltas.length) {
		/* lost ones first, or an older state would come to stand behind a newer one */
		if (spool->lost.count || append_settle(spool, message, buf_str(&deltas)) < 0)
			keep_lost(spool, SPOOL_RECORD_SETTLE, id, 0, 0, copy(buf_str(&deltas)));
		else if (message->chain_length >= CHAIN_MOST + message->recipient_count / 2)
			spool_compact_fold(spool, id);
		spool_request_turn(spool);
	}
	buf_release(&deltas);
}

/* ---- a failed write -------------------------------------------------------------------------- */

static void undo(struct spool *spool, const struct spool_change *change)
{
	struct spool_message *message = spool_index_find(&spool->index, change->id);
	if (change->type != SPOOL_RECORD_SETTLE || !message)
		return;
	message->settle = change->previous;
	message->settle_bytes = change->previous_bytes;
	message->chain_length--;
	spool_extents_remove(&message->extents, change->at.segment, change->bytes);
	spool_segments_find(&spool->segments, change->at.segment)->live_bytes -= change->bytes;
}

void spool_change_lose(struct spool *spool, uint64_t write)
{
	struct spool_changes *recent = &spool->recent;
	if (recent->count == 0 || recent->items[0].write != write)
		return;
	for (size_t i = recent->count; i-- > 0;)
		undo(spool, &recent->items[i]);
	for (size_t i = 0; i < recent->count; i++) {
		struct spool_change *change = &recent->items[i];
		keep_lost(spool, change->type, change->id, change->first_segment,
			change->last_segment, change->deltas);
	}
	recent->count = 0; /* the deltas moved */
}

void spool_change_retry(struct spool *spool)
{
	struct spool_changes lost = spool->lost;
	spool->lost = (struct spool_changes){ 0 };
	for (size_t i = 0; i < lost.count; i++) {
		struct spool_change *change = &lost.items[i];
		struct spool_message *message = spool_index_find(&spool->index, change->id);
		int result = spool->lost.count ? -1 : 0;
		if (result == 0 && change->type == SPOOL_RECORD_DONE)
			result = append_done(spool, change->id, change->first_segment,
				change->last_segment);
		else if (result == 0 && message)
			result = append_settle(spool, message, change->deltas);
		if (result < 0) {
			keep_lost(spool, change->type, change->id, change->first_segment,
				change->last_segment, change->deltas);
			change->deltas = (struct str){ 0 };
		}
	}
	spool_change_clear(&lost);
}
