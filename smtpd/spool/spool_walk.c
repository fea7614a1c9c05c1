#include "smtpd/spool/spool_walk.h"

struct walk {
	struct spool_segments *set;
	const struct spool_walk_events *events;
	void *ctx;
	struct spool_position proven; /* the log was once durable to here */
	uint64_t next_id;
	struct spool_segment *reading;
	struct spool_scan scan;
	struct spool_position looked_again; /* where the bytes were read a second time */
};

static ssize_t read_segment(void *ctx, void *into, size_t length, int64_t at)
{
	struct walk *w = ctx;
	return w->set->disk->pread(w->set->disk, w->reading->fd, into, length, at);
}

static bool begin(struct walk *w, struct spool_segment *segment)
{
	w->reading = segment;
	if (segment->salt == 0)
		segment->salt = spool_scan_find_salt(
			read_segment, w, segment->size_bytes, segment->number, w->set->shard);
	spool_scan_init(&w->scan, read_segment, w, segment->size_bytes, segment->salt);
	return segment->salt != 0;
}

static void take_mark(struct walk *w, const struct spool_scan_found *found)
{
	struct spool_mark mark;
	if (found->record.type != SPOOL_RECORD_MARK || !spool_mark_parse(found->payload, &mark))
		return;
	if (spool_position_is_before(w->proven, mark.durable))
		w->proven = mark.durable;
	if (w->next_id < mark.next_id)
		w->next_id = mark.next_id;
}

/* Reads on from where the scan stands, only for marks, until one proves that the log was durable
 * beyond this place. Then goes back to where it stood. */
static bool is_proven(struct walk *w, struct spool_position place)
{
	struct spool_segment *segment = w->reading;
	struct spool_scan scan = w->scan;
	bool is_tail = scan.next == place.offset;
	w->scan.window = (struct buf){ 0 };
	while (!spool_position_is_before(place, w->proven)) {
		struct spool_scan_found found;
		enum spool_scan_result result =
			is_tail ? SPOOL_SCAN_TAIL : spool_scan_next(&w->scan, &found);
		is_tail = false;
		if (result == SPOOL_SCAN_RECORD)
			take_mark(w, &found);
		if (result == SPOOL_SCAN_RECORD || result == SPOOL_SCAN_HOLE)
			continue;
		do
			segment = spool_segments_behind(w->set, segment);
		while (segment && (spool_scan_clear(&w->scan), !begin(w, segment)));
		if (!segment)
			break;
	}
	spool_scan_clear(&w->scan);
	w->reading = spool_segments_find(w->set, place.segment);
	w->scan = scan;
	return spool_position_is_before(place, w->proven);
}

static void tell_damage(struct walk *w, uint32_t from, uint32_t to, const char *words)
{
	struct err err;
	err_set(&err, ERR_SYSTEM, "segment %08x in %s: %s (bytes %u to %u)",
		(unsigned)w->reading->number, w->set->directory, words, (unsigned)from,
		(unsigned)to);
	w->events->on_damage(w->ctx, w->reading->number, from, to, &err);
}

/* True, once for each place: the scan stands before it again, and will read the disk. */
static bool looks_again(struct walk *w, struct spool_position at)
{
	if (w->looked_again.segment == at.segment && w->looked_again.offset == at.offset)
		return false;
	w->looked_again = at;
	spool_scan_again(&w->scan, at.offset);
	return true;
}

/* Reads one segment. True: it ends well, or with damage; false: the log ends at its `end`. */
static bool read_one(struct walk *w, struct spool_segment *segment)
{
	for (;;) {
		struct spool_scan_found found;
		enum spool_scan_result result = spool_scan_next(&w->scan, &found);
		struct spool_position at = { segment->number, found.from };
		segment->end = found.from;
		switch (result) {
		case SPOOL_SCAN_END:
			segment->end = w->scan.next;
			return true;
		case SPOOL_SCAN_RECORD:
			segment->end = w->scan.next;
			take_mark(w, &found);
			if (w->next_id <= found.record.id)
				w->next_id = found.record.id + 1;
			w->events->on_record(w->ctx, at, &found);
			break;
		case SPOOL_SCAN_HOLE:
			if (!is_proven(w, at))
				return false;
			if (!looks_again(w, at))
				tell_damage(w, found.from, w->scan.next, "damaged records");
			break;
		case SPOOL_SCAN_TAIL:
			if (!is_proven(w, at))
				return false;
			if (looks_again(w, at))
				break;
			tell_damage(w, found.from, segment->size_bytes, "the end is missing");
			return true;
		}
	}
}

/* Its records were found by their marks: nothing is lost, but the disk is not to be trusted. */
static void tell_header(struct walk *w, const struct spool_segment *segment)
{
	if (is_proven(w, (struct spool_position){ segment->number, 0 }))
		tell_damage(w, 0, SPOOL_SEGMENT_HEADER_BYTES, "damaged header");
}

/* True: go on with the next segment. */
static bool walk_one(struct walk *w, struct spool_segment *segment, struct spool_walked *ret)
{
	bool has_header = segment->salt != 0;
	bool is_readable = begin(w, segment);
	struct spool_position start = { segment->number, w->scan.next };
	if (!is_readable && !is_proven(w, start)) {
		/* made just before power was lost, never written durably */
		ret->end = SPOOL_WALK_DISCARD;
	} else if (!is_readable) {
		segment->end = segment->size_bytes;
		segment->is_kept = true;
		tell_damage(w, 0, segment->size_bytes, "no readable beginning");
	} else {
		if (!has_header)
			tell_header(w, segment);
		if (!read_one(w, segment))
			ret->end = SPOOL_WALK_CUT;
	}
	spool_scan_clear(&w->scan);
	return ret->end == SPOOL_WALK_WHOLE;
}

void spool_walk(struct spool_segments *set, const struct spool_walk_events *events, void *ctx,
	struct spool_walked *ret)
{
	struct walk w = { .set = set, .events = events, .ctx = ctx, .next_id = set->next_id };
	*ret = (struct spool_walked){ .end = SPOOL_WALK_WHOLE };
	LIST_EACH(node, &set->in_order) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (walk_one(&w, segment, ret))
			continue;
		ret->last = segment;
		break;
	}
	ret->next_id = w.next_id;
	ret->proven = w.proven;
}
