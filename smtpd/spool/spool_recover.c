#include "smtpd/spool/spool_recover.h"

#include <errno.h>

enum { REWRITE_BYTES = 256 * 1024 };

struct recovery {
	struct spool_segments *set;
	const struct spool_recover_events *events;
	void *ctx;
	struct spool_position proven; /* the log was once durable to here */
	uint64_t next_id;
	struct spool_segment *reading;
	struct spool_scan scan;
};

static ssize_t read_segment(void *ctx, void *into, size_t length, int64_t at)
{
	struct recovery *r = ctx;
	return r->set->disk->pread(r->set->disk, r->reading->fd, into, length, at);
}

static struct spool_segment *segment_behind(const struct recovery *r,
	const struct spool_segment *segment)
{
	return segment->link.next == &r->set->in_order
		       ? NULL
		       : LIST_OWNER(segment->link.next, struct spool_segment, link);
}

static bool begin(struct recovery *r, struct spool_segment *segment)
{
	r->reading = segment;
	if (segment->salt == 0)
		segment->salt = spool_scan_find_salt(
			read_segment, r, segment->size_bytes, segment->number, r->set->shard);
	spool_scan_init(&r->scan, read_segment, r, segment->size_bytes, segment->salt);
	return segment->salt != 0;
}

static void take_mark(struct recovery *r, const struct spool_scan_found *found)
{
	struct spool_mark mark;
	if (found->record.type != SPOOL_RECORD_MARK || !spool_mark_parse(found->payload, &mark))
		return;
	if (spool_position_is_before(r->proven, mark.durable))
		r->proven = mark.durable;
	if (r->next_id < mark.next_id)
		r->next_id = mark.next_id;
}

/* Reads on from where the scan stands, only for marks, until one proves that the log was durable
 * beyond this place. Then goes back to where it stood. */
static bool is_proven(struct recovery *r, struct spool_position place)
{
	struct spool_segment *segment = r->reading;
	struct spool_scan scan = r->scan;
	bool is_tail = scan.next == place.offset;
	r->scan.window = (struct buf){ 0 };
	while (!spool_position_is_before(place, r->proven)) {
		struct spool_scan_found found;
		enum spool_scan_result result =
			is_tail ? SPOOL_SCAN_TAIL : spool_scan_next(&r->scan, &found);
		is_tail = false;
		if (result == SPOOL_SCAN_RECORD)
			take_mark(r, &found);
		if (result == SPOOL_SCAN_RECORD || result == SPOOL_SCAN_HOLE)
			continue;
		do
			segment = segment_behind(r, segment);
		while (segment && (spool_scan_clear(&r->scan), !begin(r, segment)));
		if (!segment)
			break;
	}
	spool_scan_clear(&r->scan);
	r->reading = spool_segments_find(r->set, place.segment);
	r->scan = scan;
	return spool_position_is_before(place, r->proven);
}

static void tell_damage(struct recovery *r, uint32_t from, uint32_t to, const char *words)
{
	struct err err;
	err_set(&err, ERR_SYSTEM, "segment %08x in %s: %s (bytes %u to %u)",
		(unsigned)r->reading->number, r->set->directory, words, (unsigned)from,
		(unsigned)to);
	r->events->on_damage(r->ctx, r->reading->number, from, to, &err);
}

/* Reads one segment. True: it ends well, or with damage; false: the log ends at its `end`. */
static bool read_one(struct recovery *r, struct spool_segment *segment)
{
	for (;;) {
		struct spool_scan_found found;
		enum spool_scan_result result = spool_scan_next(&r->scan, &found);
		struct spool_position at = { segment->number, found.from };
		segment->end = found.from;
		switch (result) {
		case SPOOL_SCAN_END:
			segment->end = r->scan.next;
			return true;
		case SPOOL_SCAN_RECORD:
			segment->end = r->scan.next;
			take_mark(r, &found);
			if (r->next_id <= found.record.id)
				r->next_id = found.record.id + 1;
			if (found.record.type != SPOOL_RECORD_MARK)
				r->events->on_record(r->ctx, at, &found);
			break;
		case SPOOL_SCAN_HOLE:
			if (!is_proven(r, at))
				return false;
			tell_damage(r, found.from, r->scan.next, "damaged records");
			break;
		case SPOOL_SCAN_TAIL:
			if (!is_proven(r, at))
				return false;
			tell_damage(r, found.from, segment->size_bytes, "the end is missing");
			return true;
		}
	}
}

static int discard_from(struct recovery *r, struct spool_segment *segment, struct err *err)
{
	struct spool_segments *set = r->set;
	if (!segment)
		return 0;
	while (segment) {
		struct spool_segment *next = segment_behind(r, segment);
		if (spool_segments_discard(set, segment, err) < 0)
			return -1;
		segment = next;
	}
	if (set->disk->sync_directory(set->disk, set->directory) < 0)
		return err_system(err, errno, "cannot sync directory %s", set->directory);
	return 0;
}

/* What lies behind this place was never acknowledged. Segments first: with END on disk before
 * they are gone, a crash here would make them count. */
static int cut_at(struct recovery *r, struct spool_segment *last, struct err *err)
{
	struct spool_segments *set = r->set;
	if (discard_from(r, segment_behind(r, last), err) < 0)
		return -1;
	struct buf end = { 0 };
	spool_record_append(&end, SPOOL_RECORD_END, last->salt, 0, NULL, 0);
	struct str bytes = buf_str(&end);
	int result = 0;
	if (spool_disk_write_all(set->disk, last->fd, bytes.at, bytes.length, last->end) < 0)
		result = spool_segment_error(err, errno, "cannot end", last->number);
	last->end += (uint32_t)bytes.length;
	buf_release(&end);
	return result;
}

/* The same bytes once more. Of a process that stopped after a failed sync the kernel may hold pages
 * that never reached the disk, yet count as written: a sync alone would not write them. */
static int rewrite(struct recovery *r, const struct spool_segment *segment, uint32_t from,
	struct err *err)
{
	struct spool_disk *disk = r->set->disk;
	struct buf piece = { 0 };
	int result = 0;
	for (uint32_t at = from; at < segment->end && result == 0; at += REWRITE_BYTES) {
		uint32_t left = segment->end - at;
		size_t length = left < REWRITE_BYTES ? left : REWRITE_BYTES;
		char *bytes = buf_reserve(&piece, length);
		/* what cannot be read was told as damage */
		if (spool_disk_read_all(disk, segment->fd, bytes, length, at) == 0 &&
			spool_disk_write_all(disk, segment->fd, bytes, length, at) < 0)
			result = spool_segment_error(
				err, errno, "cannot write to", segment->number);
	}
	buf_release(&piece);
	return result;
}

/* What was read may still be in memory only, if the process died and the machine did not. */
static int sync_from(struct recovery *r, uint32_t number, struct spool_position *ret_end,
	struct err *err)
{
	struct spool_disk *disk = r->set->disk;
	for (struct list *node = r->set->in_order.prev; node != &r->set->in_order;
		node = node->prev) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (ret_end->segment == 0)
			*ret_end = (struct spool_position){ segment->number, segment->end };
		if (segment->number < number)
			break;
		uint32_t from = segment->number == number ? r->proven.offset : 0;
		if (rewrite(r, segment, from, err) < 0)
			return -1;
		if (disk->sync(disk, segment->fd) < 0)
			return spool_segment_error(err, errno, "cannot sync", segment->number);
	}
	/* the names too: a segment whose name is lost takes its DONE records along */
	if (ret_end->segment && disk->sync_directory(disk, r->set->directory) < 0)
		return err_system(err, errno, "cannot sync directory %s", r->set->directory);
	return 0;
}

int spool_recover(struct spool_segments *set, const struct spool_recover_events *events, void *ctx,
	struct spool_recovered *ret, struct err *err)
{
	struct recovery r = { .set = set, .events = events, .ctx = ctx,
		.next_id = set->next_id };
	int result = 0;
	struct list *node = list_first(&set->in_order);
	while (node && node != &set->in_order) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (!begin(&r, segment)) {
			struct spool_position start = { segment->number, r.scan.next };
			if (!is_proven(&r, start)) {
				/* made just before power was lost, never written durably */
				result = discard_from(&r, segment, err);
				break;
			}
			segment->end = segment->size_bytes;
			segment->is_kept = true;
			tell_damage(&r, 0, segment->size_bytes, "no readable beginning");
		} else if (!read_one(&r, segment)) {
			spool_scan_clear(&r.scan);
			result = cut_at(&r, segment, err);
			break;
		}
		spool_scan_clear(&r.scan);
		node = node->next;
	}
	if (set->next_number <= r.proven.segment)
		set->next_number = r.proven.segment + 1;
	*ret = (struct spool_recovered){ .next_id = r.next_id };
	return result < 0 ? -1 : sync_from(&r, r.proven.segment, &ret->end, err);
}
