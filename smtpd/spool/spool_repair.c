#include "smtpd/spool/spool_repair.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "smtpd/spool/spool_inside.h"

enum {
	LEAST_BYTES = 1 << 20,
	WRITE_BYTES = 256 * 1024,
	ID_RESERVE = 65536,
	PROGRESS_MESSAGES = 1024,
	MARK_BYTES = 64,
	/* what a segment holds besides the records: its header, a mark at each end, END */
	FRAME_BYTES = SPOOL_SEGMENT_HEADER_BYTES + 2 * MARK_BYTES + SPOOL_RECORD_HEADER_BYTES,
};

struct repair {
	struct spool_check *check;
	struct spool *old;
	struct spool_disk *disk;
	const char *directory;
	uint64_t next_id;
	uint32_t most_bytes; /* of a segment */
	int fd;		     /* -1: none yet */
	uint32_t number;
	uint64_t salt;
	uint32_t written;
	struct buf pending; /* goes to `written` */
	struct buf chunks;  /* of the message under way, as in its commit record */
};

static int write_out(struct repair *r, struct err *err)
{
	struct str bytes = buf_str(&r->pending);
	if (spool_disk_write_all(r->disk, r->fd, bytes.at, bytes.length, r->written) < 0)
		return spool_segment_error(err, errno, "cannot write to", r->number);
	r->written += (uint32_t)bytes.length;
	buf_clear(&r->pending);
	return 0;
}

static struct spool_position end_of(const struct repair *r)
{
	return (struct spool_position){ r->number, r->written + (uint32_t)r->pending.length };
}

/* All before it is durable by the time anybody reads it: the whole directory is synced first. */
static void append_mark(struct repair *r)
{
	char bytes[SPOOL_MARK_BYTES];
	struct spool_mark mark = { .number = r->number, .shard = r->old->shard,
		.durable = end_of(r), .next_id = r->next_id };
	spool_mark_format(&mark, bytes);
	struct str payload = str_from(bytes, sizeof(bytes));
	spool_record_append(&r->pending, SPOOL_RECORD_MARK, r->salt, 0, &payload, 1);
}

static int end_segment(struct repair *r, struct err *err)
{
	if (r->fd < 0)
		return 0;
	append_mark(r);
	spool_record_append(&r->pending, SPOOL_RECORD_END, r->salt, 0, NULL, 0);
	if (write_out(r, err) < 0)
		return -1;
	if (r->disk->sync(r->disk, r->fd) < 0)
		return spool_segment_error(err, errno, "cannot sync", r->number);
	r->disk->close(r->disk, r->fd);
	r->fd = -1;
	return 0;
}

static int begin_segment(struct repair *r, struct err *err)
{
	struct buf path = { 0 };
	if (end_segment(r, err) < 0)
		return -1;
	r->number++;
	r->written = 0;
	while (getrandom(&r->salt, sizeof(r->salt), 0) != sizeof(r->salt) || r->salt == 0)
		;
	buf_printf(&path, "%s/%08x.segment", r->directory, (unsigned)r->number);
	r->fd = r->disk->open(r->disk, buf_text(&path), true);
	buf_release(&path);
	if (r->fd < 0)
		return spool_segment_error(err, errno, "cannot make", r->number);
	struct spool_segment_header header = { .number = r->number, .shard = r->old->shard,
		.salt = r->salt, .next_id = r->next_id };
	spool_segment_header_format(
		&header, buf_reserve(&r->pending, SPOOL_SEGMENT_HEADER_BYTES));
	buf_added(&r->pending, SPOOL_SEGMENT_HEADER_BYTES);
	append_mark(r);
	return 0;
}

static int append(struct repair *r, uint8_t type, uint64_t id, const struct str *parts,
	size_t count, struct spool_position *ret_at, struct err *err)
{
	size_t length = 0;
	for (size_t i = 0; i < count; i++)
		length += parts[i].length;
	uint64_t end = (uint64_t)end_of(r).offset + spool_record_bytes((uint32_t)length) +
		       MARK_BYTES + SPOOL_RECORD_HEADER_BYTES;
	if ((r->fd < 0 || end > r->most_bytes) && begin_segment(r, err) < 0)
		return -1;
	if (r->pending.length >= WRITE_BYTES && write_out(r, err) < 0)
		return -1;
	*ret_at = end_of(r);
	spool_record_append(&r->pending, type, r->salt, id, parts, count);
	return 0;
}

static int copy_chunk(struct repair *r, uint64_t id, struct spool_chunk chunk, struct err *err)
{
	struct buf record = { 0 };
	int result = spool_load_record(r->old, chunk.at, spool_record_bytes(chunk.length),
		SPOOL_RECORD_CHUNK, id, &record, err);
	if (result == 0) {
		struct str payload = str_skip(buf_str(&record), SPOOL_RECORD_HEADER_BYTES);
		result = append(r, SPOOL_RECORD_CHUNK, id, &payload, 1, &chunk.at, err);
		spool_chunk_format(&chunk, buf_reserve(&r->chunks, SPOOL_CHUNK_BYTES));
		buf_added(&r->chunks, SPOOL_CHUNK_BYTES);
	}
	buf_release(&record);
	return result;
}

static int write_message(struct repair *r, const struct spool_loaded *loaded, struct err *err)
{
	struct spool_commit_head head = loaded->head;
	struct spool_position at;
	struct buf envelope = { 0 };
	char head_bytes[SPOOL_COMMIT_HEAD_BYTES];
	buf_clear(&r->chunks);
	for (uint32_t i = 0; i < head.chunk_count; i++)
		if (copy_chunk(r, loaded->envelope.id, spool_chunk_at(loaded->chunks, i), err) < 0)
			return -1;
	spool_envelope_encode(&loaded->envelope, &envelope);
	head.envelope_bytes = (uint32_t)envelope.length;
	spool_commit_head_format(&head, head_bytes);
	struct str parts[] = { str_from(head_bytes, sizeof(head_bytes)), buf_str(&r->chunks),
		buf_str(&envelope) };
	int result = append(r, SPOOL_RECORD_COMMIT, loaded->envelope.id, parts, 3, &at, err);
	buf_release(&envelope);
	return result;
}

static int copy_message(struct repair *r, const struct spool_message *message,
	struct spool_repaired *ret, struct err *err)
{
	struct spool_loaded loaded;
	if (!spool_check_is_whole(r->check, message))
		return 0;
	if (spool_load(r->old, message, &loaded, err) < 0)
		return -1;
	int result = write_message(r, &loaded, err);
	spool_loaded_clear(&loaded);
	ret->messages++;
	ret->message_bytes += message->size_bytes;
	return result;
}

/* Whatever fitted into an old segment fits into a new one. */
static uint32_t segment_bytes(const struct spool *old)
{
	uint32_t most = LEAST_BYTES;
	LIST_EACH(node, &old->segments.in_order) {
		const struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (segment->size_bytes > most)
			most = segment->size_bytes;
	}
	return most < UINT32_MAX - FRAME_BYTES ? most + FRAME_BYTES : UINT32_MAX;
}

int spool_repair(struct spool_check *check, struct spool_disk *disk, const char *directory,
	void (*on_progress)(void *ctx, uint64_t messages, uint64_t of_messages), void *ctx,
	struct spool_repaired *ret, struct err *err)
{
	const struct spool_check_totals *totals = spool_check_totals(check);
	struct spool *old = spool_check_spool(check);
	struct repair r = { .check = check, .old = old, .directory = directory, .fd = -1,
		.disk = disk ? disk : spool_disk_system(), .most_bytes = segment_bytes(old),
		.next_id = totals->next_id + ID_RESERVE };
	const struct spool_message *message;
	uint64_t after = 0, seen = 0;
	*ret = (struct spool_repaired){ 0 };
	/* a segment even where there is no message: ids go on from where they were */
	int result = begin_segment(&r, err);
	while (result == 0 && (message = spool_index_next(&old->index, after)) != NULL) {
		after = message->id;
		result = copy_message(&r, message, ret, err);
		if (on_progress && ++seen % PROGRESS_MESSAGES == 0)
			on_progress(ctx, ret->messages, totals->living);
	}
	if (result == 0)
		result = end_segment(&r, err);
	if (result == 0 && r.disk->sync_directory(r.disk, directory) < 0)
		result = err_system(err, errno, "cannot sync directory %s", directory);
	ret->segments = r.number;
	if (r.fd >= 0)
		r.disk->close(r.disk, r.fd);
	buf_release(&r.pending);
	buf_release(&r.chunks);
	return result;
}
