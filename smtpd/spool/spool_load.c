/* Reading one message's records back: its envelope with all that was settled since. */
#include "smtpd/spool/spool_inside.h"

#include <errno.h>
#include <string.h>

int spool_load_record(struct spool *spool, struct spool_position at, uint32_t bytes, uint8_t type,
	uint64_t id, struct buf *ret, struct err *err)
{
	char name[17];
	struct spool_record record;
	/* what was appended in this turn is not in the file yet */
	if (spool->log.active && at.segment == spool->log.active->number &&
		at.offset >= spool->log.active->end && spool_log_flush(&spool->log, err) < 0)
		return -1;
	struct spool_segment *segment = spool_segments_find(&spool->segments, at.segment);
	if (!segment)
		return err_set(err, ERR_SYSTEM, "message %s: segment %08x is missing",
			spool_id_format(id, name), (unsigned)at.segment);
	if (at.offset > segment->size_bytes || bytes > segment->size_bytes - at.offset)
		return err_set(err, ERR_SYSTEM, "message %s: a record beyond the end of segment %08x",
			spool_id_format(id, name), (unsigned)at.segment);
	buf_clear(ret);
	char *into = buf_reserve(ret, bytes);
	if (spool_disk_read_all(spool->disk, segment->fd, into, bytes, at.offset) < 0) {
		err_system(err, errno, "message %s: cannot read segment %08x",
			spool_id_format(id, name), (unsigned)at.segment);
		return -1;
	}
	buf_added(ret, bytes);
	if (bytes < SPOOL_RECORD_HEADER_BYTES || !spool_record_parse(into, &record) ||
		record.type != type || record.id != id || record.salt != segment->salt ||
		spool_record_bytes(record.length) != bytes ||
		!spool_record_payload_is_intact(&record, into + SPOOL_RECORD_HEADER_BYTES))
		return err_set(err, ERR_SYSTEM, "message %s: damaged at byte %u of segment %08x",
			spool_id_format(id, name), (unsigned)at.offset, (unsigned)at.segment);
	buf_truncate(ret, SPOOL_RECORD_HEADER_BYTES + record.length);
	return 0;
}

static struct str payload_of(const struct buf *record)
{
	return str_skip(buf_str(record), SPOOL_RECORD_HEADER_BYTES);
}

/* Newest first; a recipient's newest state counts. Where one of the records cannot be read, the index
 * still knows who waits: the message is not lost for its history. */
static void apply_settles(struct spool *spool, const struct spool_message *message,
	struct spool_loaded *loaded)
{
	struct spool_envelope *envelope = &loaded->envelope;
	bool *is_known = arena_alloc(&loaded->arena, envelope->recipient_count);
	struct spool_position at = message->settle;
	uint32_t bytes = message->settle_bytes;
	struct buf record = { 0 };
	for (uint32_t i = 0; i < message->chain_length && at.segment; i++) {
		if (spool_load_record(spool, at, bytes, SPOOL_RECORD_SETTLE, message->id, &record,
			    NULL) < 0)
			break;
		struct str rest = payload_of(&record);
		struct spool_delta delta;
		if (!spool_settle_head_parse(rest, &at, &bytes))
			break;
		rest = str_skip(rest, SPOOL_SETTLE_HEAD_BYTES);
		while (spool_delta_next(&rest, &delta)) {
			if (delta.recipient >= envelope->recipient_count ||
				is_known[delta.recipient])
				continue;
			struct spool_recipient *r = &envelope->recipients[delta.recipient];
			is_known[delta.recipient] = true;
			r->state = delta.state;
			r->attempts = delta.attempts;
			r->due_s = delta.due_s;
			r->reason = arena_str(&loaded->arena, delta.reason);
			r->cause = delta.cause < SPOOL_CAUSE_COUNT ? delta.cause : SPOOL_CAUSE_NONE;
			r->told = delta.told;
			r->via = arena_str(&loaded->arena, delta.via);
		}
	}
	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		struct spool_recipient *r = &envelope->recipients[i];
		bool is_waiting = spool_message_is_waiting(message, i);
		if (is_waiting && !spool_recipient_is_open(r->state))
			r->state = SPOOL_RECIPIENT_WAITING;
		else if (!is_waiting && spool_recipient_is_open(r->state))
			r->state = SPOOL_RECIPIENT_REMOVED;
	}
	buf_release(&record);
}

int spool_load(struct spool *spool, const struct spool_message *message, struct spool_loaded *ret,
	struct err *err)
{
	struct spool_loaded loaded = { 0 };
	struct str envelope;
	if (spool_load_record(spool, message->commit, message->commit_bytes, SPOOL_RECORD_COMMIT,
		    message->id, &loaded.record, err) < 0)
		goto failed;
	if (!spool_commit_parse(
		    payload_of(&loaded.record), &loaded.head, &loaded.chunks, &envelope)) {
		err_set(err, ERR_SYSTEM, "the commit record is malformed");
		goto failed;
	}
	if (spool_envelope_decode(envelope, &loaded.arena, &loaded.envelope, err) < 0)
		goto failed;
	apply_settles(spool, message, &loaded);
	loaded.envelope.id = message->id;
	loaded.envelope.size_bytes = loaded.head.size_bytes;
	*ret = loaded;
	return 0;
failed:
	spool_loaded_clear(&loaded);
	return -1;
}

void spool_loaded_clear(struct spool_loaded *loaded)
{
	arena_clear(&loaded->arena);
	buf_release(&loaded->record);
	*loaded = (struct spool_loaded){ 0 };
}
