#include "smtpd/spool/spool_copy.h"

#include <errno.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_segment.h"

enum { STEP_BYTES = 1 << 20 };

static int open_segment(struct spool_disk *disk, const char *directory, uint32_t number,
	bool is_new, struct err *err)
{
	struct buf path = { 0 };
	buf_printf(&path, "%s/%08x.segment", directory, (unsigned)number);
	int fd = disk->open(disk, buf_text(&path), is_new);
	if (fd < 0)
		err_system(err, errno, "cannot %s %s", is_new ? "make" : "open", buf_text(&path));
	buf_release(&path);
	return fd;
}

int spool_copy_begin(struct spool_copy *copy, struct spool_disk *from, const char *from_directory,
	struct spool_disk *to, const char *to_directory, uint32_t number, uint64_t end,
	const struct spool_mark *mark, struct err *err)
{
	*copy = (struct spool_copy){ .from = from, .to = to, .from_fd = -1, .to_fd = -1,
		.number = number, .end = end, .is_closed = mark != NULL };
	if (mark)
		copy->mark = *mark;
	copy->from_fd = open_segment(from, from_directory, number, false, err);
	if (copy->from_fd < 0)
		return -1;
	if (end == 0) {
		int64_t size = from->size(from, copy->from_fd);
		copy->end = size > 0 ? (uint64_t)size : 0;
	}
	copy->to_fd = open_segment(to, to_directory, number, true, err);
	if (copy->to_fd >= 0)
		return 0;
	spool_copy_stop(copy);
	return -1;
}

static bool is_zero(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

static int copy_piece(struct spool_copy *copy, char *bytes, size_t length, struct err *err)
{
	if (spool_disk_read_all(copy->from, copy->from_fd, bytes, length, (int64_t)copy->at) < 0)
		return spool_segment_error(err, errno, "cannot read", copy->number);
	/* the unused rest of a file that was filled takes no room in the copy; its last bytes do,
	 * since they make its size */
	if (copy->at + length < copy->end && is_zero(bytes, length))
		return 0;
	if (spool_disk_write_all(copy->to, copy->to_fd, bytes, length, (int64_t)copy->at) < 0)
		return spool_segment_error(err, errno, "cannot write to", copy->number);
	return 0;
}

/* The copy ends as a spool that was closed in order: all before it is durable, and says so. */
static int append_end(struct spool_copy *copy, struct err *err)
{
	char header_bytes[SPOOL_SEGMENT_HEADER_BYTES], mark_bytes[SPOOL_MARK_BYTES];
	struct spool_segment_header header;
	if (spool_disk_read_all(copy->from, copy->from_fd, header_bytes, sizeof(header_bytes), 0) <
			0 ||
		spool_segment_header_parse(header_bytes, &header, NULL) < 0)
		return 0; /* a damaged header: as it is, then */
	struct buf records = { 0 };
	copy->mark.number = copy->number;
	copy->mark.durable = (struct spool_position){ copy->number, (uint32_t)copy->end };
	spool_mark_format(&copy->mark, mark_bytes);
	struct str payload = str_from(mark_bytes, sizeof(mark_bytes));
	spool_record_append(&records, SPOOL_RECORD_MARK, header.salt, 0, &payload, 1);
	spool_record_append(&records, SPOOL_RECORD_END, header.salt, 0, NULL, 0);
	struct str bytes = buf_str(&records);
	int result = spool_disk_write_all(
		copy->to, copy->to_fd, bytes.at, bytes.length, (int64_t)copy->end);
	if (result < 0)
		spool_segment_error(err, errno, "cannot end", copy->number);
	buf_release(&records);
	return result;
}

static int finish(struct spool_copy *copy, struct err *err)
{
	if (copy->is_closed && append_end(copy, err) < 0)
		return -1;
	if (copy->to->sync(copy->to, copy->to_fd) < 0)
		return spool_segment_error(err, errno, "cannot sync", copy->number);
	spool_copy_stop(copy);
	return 0;
}

int spool_copy_step(struct spool_copy *copy, struct err *err)
{
	uint64_t left = copy->end - copy->at;
	size_t length = left < STEP_BYTES ? (size_t)left : STEP_BYTES;
	if (length == 0)
		return finish(copy, err);
	char *bytes = mem_alloc(length);
	int result = copy_piece(copy, bytes, length, err);
	free(bytes);
	copy->at += length;
	return result < 0 ? -1 : 1;
}

void spool_copy_stop(struct spool_copy *copy)
{
	if (copy->from_fd >= 0)
		copy->from->close(copy->from, copy->from_fd);
	if (copy->to_fd >= 0)
		copy->to->close(copy->to, copy->to_fd);
	copy->from_fd = copy->to_fd = -1;
}
