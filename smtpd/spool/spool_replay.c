/* After a start: the records of the log, in order, become the index again. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_recover.h"

static void tell(struct spool *spool, const struct err *err)
{
	spool->events->on_trouble(spool->ctx, err);
}

static bool is_lost(const struct spool_replaying *replay, const struct spool_chunk *chunk)
{
	const struct spool_segments *set = &replay->spool->segments;
	if (!spool_segments_find(set, chunk->at.segment))
		return true;
	for (size_t i = 0; i < replay->hole_count; i++) {
		const struct spool_hole *hole = &replay->holes[i];
		if (hole->segment == chunk->at.segment && chunk->at.offset >= hole->from &&
			chunk->at.offset < hole->to)
			return true;
	}
	return false;
}

static void hold(struct spool *spool, struct spool_message *message, uint32_t number,
	uint32_t bytes)
{
	struct spool_segment *segment = spool_segments_find(&spool->segments, number);
	if (!segment)
		return;
	spool_extents_add(&message->extents, number, bytes);
	segment->live_bytes += bytes;
}

/* A commit record replaces one before it (the message was moved), with all settled since. */
static struct spool_message *start_message(struct spool *spool, uint64_t id, uint64_t size_bytes,
	uint32_t recipient_count, struct spool_position at)
{
	uint32_t first = at.segment;
	struct spool_message *old = spool_index_find(&spool->index, id);
	if (old) {
		first = old->first_segment;
		spool_extents_drop(&old->extents, &spool->segments);
		spool_index_remove(&spool->index, old);
	}
	struct spool_message *message =
		spool_index_add(&spool->index, id, size_bytes, recipient_count);
	message->first_segment = first;
	return message;
}

static void on_commit(struct spool_replaying *replay, struct spool_position at,
	const struct spool_scan_found *found)
{
	struct spool *spool = replay->spool;
	struct spool_commit_head head;
	struct spool_envelope envelope;
	struct str chunks, bytes;
	struct err err;
	arena_clear(&replay->arena);
	if (!spool_commit_parse(found->payload, &head, &chunks, &bytes)) {
		err_set(&err, ERR_SYSTEM, "the commit record is malformed");
	} else if (spool_envelope_decode(bytes, &replay->arena, &envelope, &err) == 0) {
		struct spool_message *message = start_message(spool, found->record.id,
			head.size_bytes, envelope.recipient_count, at);
		message->commit = at;
		message->commit_bytes = spool_record_bytes(found->record.length);
		for (uint32_t i = 0; i < envelope.recipient_count; i++)
			spool_message_set_waiting(message, i,
				spool_recipient_is_open(envelope.recipients[i].state));
		for (uint32_t i = 0; i < head.chunk_count; i++) {
			struct spool_chunk chunk = spool_chunk_at(chunks, i);
			hold(spool, message, chunk.at.segment, spool_record_bytes(chunk.length));
		}
		hold(spool, message, at.segment, message->commit_bytes);
		struct spool_extent extent;
		for (uint32_t i = 0; (extent = spool_extents_at(&message->extents, i)).segment;
			i++)
			spool_segment_add_id(
				spool_segments_find(&spool->segments, extent.segment),
				message->id);
		return;
	}
	char name[17];
	err_prefix(&err, "message %s", spool_id_format(found->record.id, name));
	tell(spool, &err);
}

static void on_settle(struct spool_replaying *replay, struct spool_position at,
	const struct spool_scan_found *found)
{
	struct spool *spool = replay->spool;
	struct spool_message *message = spool_index_find(&spool->index, found->record.id);
	struct spool_position previous;
	uint32_t previous_bytes;
	if (!message || !spool_settle_head_parse(found->payload, &previous, &previous_bytes))
		return;
	struct str rest = str_skip(found->payload, SPOOL_SETTLE_HEAD_BYTES);
	struct spool_delta delta;
	while (spool_delta_next(&rest, &delta)) {
		if (delta.recipient < message->recipient_count)
			spool_message_set_waiting(message, delta.recipient,
				spool_recipient_is_open(delta.state));
	}
	message->settle = at;
	message->settle_bytes = spool_record_bytes(found->record.length);
	message->chain_length++;
	hold(spool, message, at.segment, message->settle_bytes);
	spool_segment_add_id(spool_segments_find(&spool->segments, at.segment), message->id);
}

static void on_done(struct spool_replaying *replay, struct spool_position at,
	const struct spool_scan_found *found)
{
	struct spool *spool = replay->spool;
	struct spool_message *message = spool_index_find(&spool->index, found->record.id);
	if (!message)
		return;
	struct spool_grave grave = { .id = message->id, .first_segment = message->first_segment,
		.last_segment = message->commit.segment };
	spool_extents_drop(&message->extents, &spool->segments);
	spool_index_remove(&spool->index, message);
	if (spool_segments_has_any(
		    &spool->segments, grave.first_segment, grave.last_segment, at.segment))
		spool_segment_add_grave(
			spool_segments_find(&spool->segments, at.segment), &grave);
}

void spool_replay_record(struct spool_replaying *replay, struct spool_position at,
	const struct spool_scan_found *found)
{
	switch (found->record.type) {
	case SPOOL_RECORD_COMMIT:
		on_commit(replay, at, found);
		break;
	case SPOOL_RECORD_SETTLE:
		on_settle(replay, at, found);
		break;
	case SPOOL_RECORD_DONE:
		on_done(replay, at, found);
		break;
	default: /* chunks count when their commit comes */
		spool_inventory_take(&replay->inventory, at, found);
		break;
	}
}

static void on_record(void *ctx, struct spool_position at, const struct spool_scan_found *found)
{
	spool_replay_record(ctx, at, found);
}

static void on_damage(void *ctx, uint32_t segment, uint32_t from, uint32_t to,
	const struct err *err)
{
	struct spool_replaying *replay = ctx;
	replay->holes = mem_resize_array(
		replay->holes, replay->hole_count + 1, sizeof(struct spool_hole));
	replay->holes[replay->hole_count++] = (struct spool_hole){ segment, from, to };
	tell(replay->spool, err);
}

/* The sender hears of it in the end: relay cannot read it, and gives up in time. */
static void check_chunks(const struct spool_replaying *replay, const struct spool_loaded *loaded)
{
	uint32_t lost = 0;
	for (uint32_t i = 0; i < loaded->head.chunk_count; i++) {
		struct spool_chunk chunk = spool_chunk_at(loaded->chunks, i);
		lost += is_lost(replay, &chunk);
	}
	if (lost) {
		char name[17];
		struct err err;
		err_set(&err, ERR_SYSTEM, "message %s: %u of %u pieces of its body are lost",
			spool_id_format(loaded->envelope.id, name), (unsigned)lost,
			(unsigned)loaded->head.chunk_count);
		tell(replay->spool, &err);
	}
}

static void tell_messages(struct spool_replaying *replay)
{
	struct spool *spool = replay->spool;
	struct spool_message *message;
	uint64_t after = 0;
	while ((message = spool_index_next(&spool->index, after)) != NULL) {
		struct spool_loaded loaded;
		struct err err;
		after = message->id;
		if (!spool_message_has_waiting(message)) {
			/* its DONE record was damaged */
			spool_change_bury(spool, message);
		} else if (spool_load(spool, message, &loaded, &err) < 0) {
			tell(spool, &err);
		} else {
			check_chunks(replay, &loaded);
			spool->events->on_message(spool->ctx, &loaded.envelope);
			spool_loaded_clear(&loaded);
		}
	}
}

/* Whatever was only in it has left no other trace. */
static void tell_missing(struct spool_replaying *replay)
{
	struct spool *spool = replay->spool;
	uint32_t number = 0;
	while ((number = spool_inventory_missing(&replay->inventory, &spool->segments, number))) {
		struct err err;
		err_set(&err, ERR_SYSTEM,
			"segment %08x in %s is missing: it was in use when segment %08x began, and "
			"has not been given back since; the mail in it is lost",
			(unsigned)number, spool->directory, (unsigned)replay->inventory.told_by);
		tell(spool, &err);
	}
}

void spool_replay_clear(struct spool_replaying *replay)
{
	free(replay->holes);
	spool_inventory_clear(&replay->inventory);
	arena_clear(&replay->arena);
}

int spool_replay(struct spool *spool, struct err *err)
{
	static const struct spool_walk_events events = { on_record, on_damage };
	struct spool_replaying replay = { .spool = spool };
	struct spool_recovered recovered = { 0 };
	bool is_new = false;
	int result = spool_segments_load(&spool->segments, err);
	if (result == 0) {
		is_new = spool->segments.count == 0;
		result = spool_recover(&spool->segments, &events, &replay, &recovered, err);
	}
	if (result == 0) {
		spool->next_id = recovered.next_id;
		spool->log.durable = recovered.end;
		spool_start_log(spool, is_new);
		tell_missing(&replay);
		tell_messages(&replay);
	}
	spool_replay_clear(&replay);
	return result;
}
