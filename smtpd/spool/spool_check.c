#include "smtpd/spool/spool_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_check_inside.h"
#include "smtpd/spool/spool_check_place.h"
#include "smtpd/spool/spool_walk.h"

enum {
	TRIES = 3, /* beside a writer */
	PLACES_MOST = 100000, /* remembered singly; all are counted */
	PROGRESS_BYTES = 16 << 20,
};

struct spool_check_sheet *spool_check_sheet(struct spool_check *c, uint32_t number)
{
	if (c->sheet && c->sheet->number == number)
		return c->sheet;
	HASH_FIND(hh, c->sheets, &number, sizeof(number), c->sheet);
	return c->sheet;
}

/* ---- what is known of damage ----------------------------------------------------------------- */

static struct spool_check_suspect *suspect(struct spool_check *c, uint64_t id)
{
	struct spool_check_suspect *s;
	HASH_FIND(hh, c->suspects, &id, sizeof(id), s);
	if (!s) {
		s = mem_zero(sizeof(*s));
		s->id = id;
		HASH_ADD(hh, c->suspects, id, sizeof(s->id), s);
	}
	return s;
}

/* A whole record tells what a damaged one before it would have. */
static void clear_suspicion(struct spool_check *c, const struct spool_record *record)
{
	struct spool_check_suspect *s;
	HASH_FIND(hh, c->suspects, &record->id, sizeof(record->id), s);
	if (!s || (record->type != SPOOL_RECORD_COMMIT && record->type != SPOOL_RECORD_DONE))
		return;
	HASH_DEL(c->suspects, s);
	free(s);
}

static void add_place(void *ctx, const struct spool_check_place *place)
{
	struct spool_check *c = ctx;
	struct spool_check_sheet *sheet = spool_check_sheet(c, place->segment);
	sheet->places++;
	sheet->damaged_bytes += place->to - place->from;
	if (c->place_count == PLACES_MOST)
		return;
	if (c->place_count == c->place_room) {
		c->place_room = c->place_room ? c->place_room * 2 : 16;
		c->places = mem_resize_array(c->places, c->place_room, sizeof(c->places[0]));
	}
	c->places[c->place_count++] = *place;
	if (place->id == 0)
		return;
	if (place->type == SPOOL_RECORD_COMMIT) {
		struct spool_check_suspect *s = suspect(c, place->id);
		s->has_lost_commit = true;
		s->commit = *place;
	} else if (place->type == SPOOL_RECORD_SETTLE || place->type == SPOOL_RECORD_DONE) {
		suspect(c, place->id)->has_lost_outcome = true;
	}
}

static void on_damage(void *ctx, uint32_t number, uint32_t from, uint32_t to,
	const struct err *err)
{
	struct spool_check *c = ctx;
	const struct spool_segment *segment = spool_segments_find(&c->shell.segments, number);
	struct spool_check_place whole = { .segment = number, .from = from, .to = to };
	(void)err;
	whole.is_header = from == 0 && to == SPOOL_SEGMENT_HEADER_BYTES;
	spool_check_sheet(c, number)->is_unreadable |= segment->is_kept;
	if (whole.is_header || segment->is_kept)
		add_place(c, &whole);
	else
		spool_check_place_each(&c->shell.segments, segment, from, to, add_place, c);
}

/* The record being taken has right checksums, and makes no sense. */
static void add_malformed(struct spool_check *c)
{
	const struct spool_record *record = &c->found->record;
	struct spool_check_place place = { .segment = c->current.segment,
		.from = c->current.offset,
		.to = c->current.offset + spool_record_bytes(record->length),
		.type = record->type, .id = record->id, .is_malformed = true };
	add_place(c, &place);
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)err;
	add_malformed(ctx);
}

/* ---- records --------------------------------------------------------------------------------- */

static void add_piece(struct spool_check_sheet *sheet, struct spool_position at,
	const struct spool_record *record)
{
	if (sheet->piece_count == sheet->piece_room) {
		sheet->piece_room = sheet->piece_room ? sheet->piece_room * 2 : 64;
		sheet->pieces = mem_resize_array(
			sheet->pieces, sheet->piece_room, sizeof(sheet->pieces[0]));
	}
	sheet->pieces[sheet->piece_count++] =
		(struct spool_check_piece){ at.offset, record->length, record->id };
}

static bool is_deltas(struct str rest)
{
	struct spool_delta delta;
	while (spool_delta_next(&rest, &delta))
		;
	return rest.length == 0;
}

/* Each settle points at the one before it: a gap shows. */
static void check_settle(struct spool_check *c, const struct spool_scan_found *found)
{
	const struct spool_message *message = spool_index_find(&c->shell.index, found->record.id);
	struct spool_position previous;
	uint32_t previous_bytes;
	if (!spool_settle_head_parse(found->payload, &previous, &previous_bytes) ||
		!is_deltas(str_skip(found->payload, SPOOL_SETTLE_HEAD_BYTES)))
		add_malformed(c);
	else if (message && (previous.segment != message->settle.segment ||
				    previous.offset != message->settle.offset))
		suspect(c, found->record.id)->has_lost_outcome = true;
}

static void tell_progress(struct spool_check *c, uint64_t bytes)
{
	if (!c->events->on_progress || bytes < c->told_bytes + PROGRESS_BYTES)
		return;
	c->told_bytes = bytes;
	c->events->on_progress(c->ctx, bytes, c->totals.file_bytes);
}

static void on_record(void *ctx, struct spool_position at, const struct spool_scan_found *found)
{
	struct spool_check *c = ctx;
	struct spool_check_sheet *before = c->sheet, *sheet = spool_check_sheet(c, at.segment);
	if (before && before != sheet)
		c->seen_bytes +=
			spool_segments_find(&c->shell.segments, before->number)->size_bytes;
	sheet->records++;
	c->current = at;
	c->found = found;
	tell_progress(c, c->seen_bytes + at.offset);
	clear_suspicion(c, &found->record);
	if (found->record.type == SPOOL_RECORD_CHUNK)
		add_piece(sheet, at, &found->record);
	else if (found->record.type == SPOOL_RECORD_SETTLE)
		check_settle(c, found);
	else if (found->record.type == SPOOL_RECORD_DONE)
		c->totals.gone += spool_index_find(&c->shell.index, found->record.id) != NULL;
	spool_replay_record(&c->replaying, at, found);
}

/* ---- segments -------------------------------------------------------------------------------- */

static int read_header(struct spool_check *c, uint32_t number, char *into)
{
	struct spool_disk *disk = c->shell.disk;
	struct buf path = { 0 };
	buf_printf(&path, "%s/%08x.segment", c->shell.directory, (unsigned)number);
	int fd = disk->open(disk, buf_text(&path), false);
	int result = fd < 0 ? -1
			    : spool_disk_read_all(
				      disk, fd, into, SPOOL_SEGMENT_HEADER_BYTES, 0);
	if (fd >= 0)
		disk->close(disk, fd);
	buf_release(&path);
	return result;
}

static void make_sheets(struct spool_check *c)
{
	LIST_EACH(node, &c->shell.segments.in_order) {
		const struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		struct spool_check_sheet *sheet = mem_zero(sizeof(*sheet));
		sheet->number = segment->number;
		/* what cannot be read is zeros, now and later */
		if (spool_disk_read_all(c->shell.disk, segment->fd, sheet->header,
			    sizeof(sheet->header), 0) < 0)
			memset(sheet->header, 0, sizeof(sheet->header));
		HASH_ADD(hh, c->sheets, number, sizeof(sheet->number), sheet);
		c->totals.file_bytes += segment->size_bytes;
		c->totals.segments++;
	}
}

static void find_vanished(struct spool_check *c)
{
	for (struct spool_check_sheet *sheet = c->sheets; sheet; sheet = sheet->hh.next) {
		char header[SPOOL_SEGMENT_HEADER_BYTES] = { 0 };
		if (read_header(c, sheet->number, header) < 0)
			memset(header, 0, sizeof(header));
		sheet->is_vanished = memcmp(header, sheet->header, sizeof(header)) != 0;
		c->is_changing |= sheet->is_vanished;
	}
}

static void tell_segment(struct spool_check *c, const struct spool_check_segment *told,
	size_t *next_place)
{
	if (c->events->on_segment)
		c->events->on_segment(c->ctx, told);
	for (; *next_place < c->place_count && c->places[*next_place].segment == told->number;
		++*next_place)
		if (told->places && c->events->on_place)
			c->events->on_place(c->ctx, &c->places[*next_place]);
}

static void check_missing(struct spool_check *c, uint32_t *number, uint32_t until)
{
	while (*number && *number < until) {
		struct spool_check_segment told = { .number = *number, .is_missing = true,
			.told_by = c->replaying.inventory.told_by };
		size_t none = c->place_count;
		c->totals.missing_segments++;
		tell_segment(c, &told, &none);
		*number = spool_inventory_missing(
			&c->replaying.inventory, &c->shell.segments, *number);
	}
}

static int compare_places(const void *a, const void *b)
{
	const struct spool_check_place *one = a, *two = b;
	if (one->segment != two->segment)
		return one->segment < two->segment ? -1 : 1;
	return one->from < two->from ? -1 : one->from > two->from;
}

static void check_segments(struct spool_check *c)
{
	size_t next_place = 0;
	uint32_t missing =
		spool_inventory_missing(&c->replaying.inventory, &c->shell.segments, 0);
	if (c->place_count)
		qsort(c->places, c->place_count, sizeof(c->places[0]), compare_places);
	LIST_EACH(node, &c->shell.segments.in_order) {
		const struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		const struct spool_check_sheet *sheet = spool_check_sheet(c, segment->number);
		check_missing(c, &missing, segment->number);
		struct spool_check_segment told = { .number = segment->number,
			.is_unreadable = sheet->is_unreadable && !sheet->is_vanished,
			.file_bytes = segment->size_bytes,
			.used_bytes = segment->end,
			.live_bytes = segment->live_bytes,
			.records = sheet->records };
		if (!sheet->is_vanished) {
			told.places = sheet->places;
			told.damaged_bytes = sheet->damaged_bytes;
		}
		c->totals.records += told.records;
		c->totals.places += told.places;
		c->totals.damaged_bytes += told.damaged_bytes;
		tell_segment(c, &told, &next_place);
	}
	check_missing(c, &missing, UINT32_MAX);
}

static void find_end(struct spool_check *c, const struct spool_walked *walked)
{
	struct spool_check_totals *t = &c->totals;
	const struct spool_segments *set = &c->shell.segments;
	t->next_id = walked->next_id;
	if (list_is_empty(&set->in_order))
		return;
	const struct spool_segment *last =
		walked->last ? walked->last
			     : LIST_OWNER(set->in_order.prev, struct spool_segment, link);
	t->end_at = (struct spool_position){ last->number, last->end };
	t->end = SPOOL_CHECK_CLOSED;
	if (walked->end == SPOOL_WALK_DISCARD)
		t->end = SPOOL_CHECK_OPEN;
	if (walked->end == SPOOL_WALK_CUT)
		t->end = spool_check_place_begins(set, last, last->end) ? SPOOL_CHECK_TORN
									: SPOOL_CHECK_OPEN;
}

/* ---- all of it ------------------------------------------------------------------------------- */

struct finding {
	struct spool_check *check;
	unsigned shard;
	bool is_found;
};

static void find_shard(void *ctx, const char *name)
{
	struct finding *finding = ctx;
	char bytes[SPOOL_SEGMENT_HEADER_BYTES], end;
	struct spool_segment_header header;
	unsigned number;
	if (!finding->is_found && strlen(name) == 16 &&
		sscanf(name, "%8x.segmen%c", &number, &end) == 2 && end == 't' &&
		read_header(finding->check, number, bytes) == 0 &&
		spool_segment_header_parse(bytes, &header, NULL) == 0) {
		finding->is_found = true;
		finding->shard = header.shard;
	}
}

static int begin(struct spool_check *c, unsigned shard, struct err *err)
{
	static const struct spool_events events = { .on_trouble = on_trouble };
	struct spool *shell = &c->shell;
	struct finding finding = { .check = c, .shard = shard };
	shell->events = &events;
	shell->ctx = c;
	c->replaying.spool = shell;
	/* what cannot be listed, loading tells */
	shell->disk->list(shell->disk, shell->directory, find_shard, &finding);
	shell->shard = c->totals.shard = finding.shard;
	spool_segments_init(&shell->segments, shell->disk, NULL, shell->directory, finding.shard,
		UINT32_MAX);
	return spool_segments_load(&shell->segments, err);
}

static void clear(struct spool_check *c)
{
	struct spool_check_sheet *sheet, *next_sheet;
	struct spool_check_suspect *s, *next;
	HASH_ITER(hh, c->sheets, sheet, next_sheet) {
		HASH_DEL(c->sheets, sheet);
		free(sheet->pieces);
		free(sheet);
	}
	HASH_ITER(hh, c->suspects, s, next) {
		HASH_DEL(c->suspects, s);
		free(s);
	}
	free(c->places);
	spool_replay_clear(&c->replaying);
	if (c->shell.segments.disk)
		spool_segments_clear(&c->shell.segments);
	spool_index_clear(&c->shell.index);
}

static void start_anew(struct spool_check *c)
{
	struct spool_disk *disk = c->shell.disk;
	char *directory = c->shell.directory;
	struct spool_check fresh = { .events = c->events, .ctx = c->ctx };
	clear(c);
	fresh.disk = c->disk;
	*c = fresh;
	c->shell.disk = disk;
	c->shell.directory = directory;
}

/* Is there anything that more may be known of by looking again? */
static bool is_doubtful(const struct spool_check *c)
{
	return c->place_count || c->suspects ||
	       spool_inventory_missing(&c->replaying.inventory, &c->shell.segments, 0);
}

static int look(struct spool_check *c, unsigned shard, struct err *err)
{
	static const struct spool_walk_events events = { on_record, on_damage };
	for (int i = 0;; i++) {
		struct spool_walked walked;
		struct err why;
		if (begin(c, shard, &why) < 0) {
			/* a segment may have been given back between its name and its opening */
			if (i + 1 < TRIES) {
				start_anew(c);
				continue;
			}
			if (err)
				*err = why;
			return -1;
		}
		make_sheets(c);
		spool_walk(&c->shell.segments, &events, c, &walked);
		find_vanished(c);
		if (c->is_changing && is_doubtful(c) && i + 1 < TRIES) {
			start_anew(c);
			continue;
		}
		find_end(c, &walked);
		return 0;
	}
}

struct spool_check *spool_check_new(struct spool_disk *disk, const char *directory, unsigned shard,
	const struct spool_check_events *events, void *ctx, struct err *err)
{
	struct spool_check *c = mem_zero(sizeof(*c));
	c->events = events;
	c->ctx = ctx;
	c->shell.disk = spool_disk_read_only_init(&c->disk, disk ? disk : spool_disk_system());
	c->shell.directory = mem_dup(directory);
	if (look(c, shard, err) < 0) {
		spool_check_free(&c);
		return NULL;
	}
	check_segments(c);
	spool_check_messages(c);
	return c;
}

const struct spool_check_totals *spool_check_totals(const struct spool_check *check)
{
	return &check->totals;
}

bool spool_check_found_damage(const struct spool_check_totals *t)
{
	return t->places || t->missing_segments || t->damaged_messages || t->lost_messages ||
	       t->doubtful_messages;
}

struct spool *spool_check_spool(struct spool_check *check)
{
	return &check->shell;
}

void spool_check_free(struct spool_check **check)
{
	struct spool_check *c = *check;
	if (!c)
		return;
	*check = NULL;
	clear(c);
	free(c->shell.directory);
	free(c);
}
