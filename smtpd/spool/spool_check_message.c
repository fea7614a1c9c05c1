/* Which messages are whole, and what is known of those that are not. */
#include "smtpd/spool/spool_check_inside.h"

enum piece_state { PIECE_WHOLE, PIECE_LOST, PIECE_MOVING };

static enum piece_state piece_state(struct spool_check *c, uint64_t id,
	const struct spool_chunk *chunk)
{
	struct spool_check_sheet *sheet = spool_check_sheet(c, chunk->at.segment);
	if (!sheet)
		return c->is_changing ? PIECE_MOVING : PIECE_LOST;
	if (sheet->is_vanished)
		return PIECE_MOVING;
	size_t low = 0, high = sheet->piece_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (sheet->pieces[middle].offset < chunk->at.offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == sheet->piece_count)
		return PIECE_LOST;
	const struct spool_check_piece *piece = &sheet->pieces[low];
	bool is_there = piece->offset == chunk->at.offset && piece->length == chunk->length &&
			piece->id == id;
	return is_there ? PIECE_WHOLE : PIECE_LOST;
}

struct pieces {
	uint32_t lost;
	uint32_t moving;
};

static struct pieces count_pieces(struct spool_check *c, const struct spool_loaded *loaded)
{
	struct pieces pieces = { 0 };
	for (uint32_t i = 0; i < loaded->head.chunk_count; i++) {
		struct spool_chunk chunk = spool_chunk_at(loaded->chunks, i);
		enum piece_state state = piece_state(c, loaded->envelope.id, &chunk);
		pieces.lost += state == PIECE_LOST;
		pieces.moving += state == PIECE_MOVING;
	}
	return pieces;
}

bool spool_check_is_whole(struct spool_check *c, const struct spool_message *message)
{
	struct spool_loaded loaded;
	if (!spool_message_has_waiting(message) || spool_load(&c->shell, message, &loaded, NULL) < 0)
		return false;
	struct pieces pieces = count_pieces(c, &loaded);
	spool_loaded_clear(&loaded);
	return pieces.lost == 0 && pieces.moving == 0;
}

static void tell_message(struct spool_check *c, const struct spool_check_message *told)
{
	if (c->events->on_message)
		c->events->on_message(c->ctx, told);
}

static void count_living(struct spool_check *c, const struct spool_envelope *e)
{
	c->totals.living++;
	c->totals.living_bytes += e->size_bytes;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		c->totals.waiting_recipients += spool_recipient_is_open(e->recipients[i].state);
}

static void check_message(struct spool_check *c, const struct spool_message *message)
{
	struct spool_loaded loaded;
	struct spool_check_suspect *s;
	const struct spool_check_sheet *sheet = spool_check_sheet(c, message->commit.segment);
	if (!spool_message_has_waiting(message)) {
		c->totals.gone++;
		return;
	}
	if (!sheet || sheet->is_vanished || spool_load(&c->shell, message, &loaded, NULL) < 0) {
		/* it was whole a moment ago: the segment was given back */
		c->totals.moving++;
		return;
	}
	HASH_FIND(hh, c->suspects, &message->id, sizeof(message->id), s);
	struct pieces pieces = count_pieces(c, &loaded);
	struct spool_check_message told = { .id = message->id, .envelope = &loaded.envelope,
		.pieces = loaded.head.chunk_count, .lost_pieces = pieces.lost,
		.fault = pieces.lost ? SPOOL_CHECK_BODY : SPOOL_CHECK_HISTORY };
	bool is_doubtful = s && s->has_lost_outcome;
	if (pieces.lost)
		c->totals.damaged_messages++;
	else if (pieces.moving)
		c->totals.moving++;
	else
		count_living(c, &loaded.envelope);
	if (!pieces.lost && !pieces.moving && is_doubtful)
		c->totals.doubtful_messages++;
	if (pieces.lost || (!pieces.moving && is_doubtful))
		tell_message(c, &told);
	spool_loaded_clear(&loaded);
}

/* As far as a damaged commit record still says something. */
static void tell_lost(struct spool_check *c, const struct spool_check_suspect *s)
{
	const struct spool_segment *segment =
		spool_segments_find(&c->shell.segments, s->commit.segment);
	struct spool_check_message told = { .id = s->id, .fault = SPOOL_CHECK_ENVELOPE,
		.is_guess = true };
	struct spool_commit_head head;
	struct spool_envelope envelope;
	struct arena arena = { 0 };
	struct buf record = { 0 };
	struct str chunks, bytes;
	size_t length = s->commit.to - s->commit.from;
	if (length > SPOOL_RECORD_HEADER_BYTES &&
		spool_disk_read_all(c->shell.disk, segment->fd, buf_reserve(&record, length),
			length, s->commit.from) == 0) {
		struct spool_record header;
		buf_added(&record, length);
		/* a damaged header does not say how long the payload is: the padding is tried away */
		struct str payload = str_skip(buf_str(&record), SPOOL_RECORD_HEADER_BYTES);
		if (spool_record_parse(record.data, &header) && header.length < payload.length)
			payload = str_head(payload, header.length);
		for (int i = 0; i < SPOOL_RECORD_ALIGN && !told.envelope && payload.length; i++) {
			arena_clear(&arena);
			if (spool_commit_parse(payload, &head, &chunks, &bytes) &&
				spool_envelope_decode(bytes, &arena, &envelope, NULL) == 0) {
				envelope.id = s->id;
				envelope.size_bytes = head.size_bytes;
				told.envelope = &envelope;
				told.pieces = head.chunk_count;
			}
			payload = str_head(payload, payload.length - 1);
		}
	}
	tell_message(c, &told);
	arena_clear(&arena);
	buf_release(&record);
}

static int compare_suspects(struct spool_check_suspect *a, struct spool_check_suspect *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

void spool_check_messages(struct spool_check *c)
{
	struct spool_message *message;
	uint64_t after = 0;
	while ((message = spool_index_next(&c->shell.index, after)) != NULL) {
		after = message->id;
		check_message(c, message);
	}
	HASH_SORT(c->suspects, compare_suspects);
	for (struct spool_check_suspect *s = c->suspects; s; s = s->hh.next) {
		const struct spool_check_sheet *sheet = spool_check_sheet(c, s->commit.segment);
		if (!s->has_lost_commit || spool_index_find(&c->shell.index, s->id) ||
			(sheet && sheet->is_vanished))
			continue;
		c->totals.lost_messages++;
		tell_lost(c, s);
	}
}

