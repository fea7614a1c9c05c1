#include "smtpd/spool/spool_recover.h"

#include <errno.h>

enum { REWRITE_BYTES = 256 * 1024 };

static int discard_from(struct spool_segments *set, struct spool_segment *segment, struct err *err)
{
	if (!segment)
		return 0;
	while (segment) {
		struct spool_segment *next = spool_segments_behind(set, segment);
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
static int cut_at(struct spool_segments *set, struct spool_segment *last, struct err *err)
{
	if (discard_from(set, spool_segments_behind(set, last), err) < 0)
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
static int rewrite(struct spool_disk *disk, const struct spool_segment *segment, uint32_t from,
	struct err *err)
{
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
static int sync_from(struct spool_segments *set, struct spool_position proven,
	struct spool_position *ret_end, struct err *err)
{
	struct spool_disk *disk = set->disk;
	for (struct list *node = set->in_order.prev; node != &set->in_order;
		node = node->prev) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (ret_end->segment == 0)
			*ret_end = (struct spool_position){ segment->number, segment->end };
		if (segment->number < proven.segment)
			break;
		uint32_t from = segment->number == proven.segment ? proven.offset : 0;
		if (rewrite(disk, segment, from, err) < 0)
			return -1;
		if (disk->sync(disk, segment->fd) < 0)
			return spool_segment_error(err, errno, "cannot sync", segment->number);
	}
	/* the names too: a segment whose name is lost takes its DONE records along */
	if (ret_end->segment && disk->sync_directory(disk, set->directory) < 0)
		return err_system(err, errno, "cannot sync directory %s", set->directory);
	return 0;
}

int spool_recover(struct spool_segments *set, const struct spool_walk_events *events, void *ctx,
	struct spool_recovered *ret, struct err *err)
{
	struct spool_walked walked;
	int result = 0;
	spool_walk(set, events, ctx, &walked);
	if (walked.end == SPOOL_WALK_DISCARD)
		result = discard_from(set, walked.last, err);
	else if (walked.end == SPOOL_WALK_CUT)
		result = cut_at(set, walked.last, err);
	if (set->next_number <= walked.proven.segment)
		set->next_number = walked.proven.segment + 1;
	*ret = (struct spool_recovered){ .next_id = walked.next_id };
	return result < 0 ? -1 : sync_from(set, walked.proven, &ret->end, err);
}
