#include "smtpd/spool/spool_segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libtlsio/base/mem.h"

enum { FREE_FILES_MOST = 4, FILL_BYTES = 1 << 20, NAME_BYTES = 32 };

struct free_file {
	struct list link;
	int fd;
	uint32_t number; /* in its name */
	bool is_filled;
};

/* Filling a file: on the helper from submit to on_done. */
struct spool_prepare {
	struct spool_job job;
	struct spool_segments *set;
	struct free_file *file; /* fd -1: to be made */
	int64_t filled;		/* bytes; -1: not known yet */
	int failure;		/* errno */
	bool is_running;
};

/* Giving segments back. */
struct spool_release {
	struct spool_job job;
	struct spool_segments *set;
	struct spool_segment **segments;
	size_t count;
	size_t room;
	struct spool_segment **submitted_segments; /* the first of them, for the helper: they stay
						    * where they are while others are added */
	size_t submitted;
	unsigned keep;	  /* of those, how many become free files */
	size_t finished;
	int failure;
	bool is_running;
};

int spool_segment_error(struct err *err, int errno_value, const char *words, uint32_t number)
{
	err_system(err, errno_value, "%s segment %08x", words, (unsigned)number);
	if (err && (errno_value == ENOSPC || errno_value == EDQUOT))
		err->kind = ERR_LIMIT;
	return -1;
}

static void path_of(const struct spool_segments *set, const char *form, uint32_t number,
	struct buf *ret)
{
	char name[NAME_BYTES];
	snprintf(name, sizeof(name), form[0] == 's' ? "%08x.segment" : "free-%08x",
		(unsigned)number);
	buf_clear(ret);
	buf_printf(ret, "%s/%s", set->directory, name);
}

void spool_segments_init(struct spool_segments *set, struct spool_disk *disk,
	struct spool_helper *helper, const char *directory, uint32_t shard, uint32_t segment_bytes)
{
	*set = (struct spool_segments){
		.disk = disk,
		.helper = helper,
		.directory = directory,
		.shard = shard,
		.segment_bytes = segment_bytes,
		.next_number = 1,
	};
	list_init(&set->in_order);
	list_init(&set->free_files);
	set->prepare = mem_zero(sizeof(*set->prepare));
	set->prepare->set = set;
	set->release = mem_zero(sizeof(*set->release));
	set->release->set = set;
}

static void segment_free(struct spool_segments *set, struct spool_segment *segment)
{
	if (segment->fd >= 0)
		set->disk->close(set->disk, segment->fd);
	free(segment->ids);
	free(segment->graves);
	free(segment);
}

static struct spool_segment *segment_new(uint32_t number, int fd, uint64_t salt, uint32_t size)
{
	struct spool_segment *segment = mem_zero(sizeof(*segment));
	segment->number = number;
	segment->fd = fd;
	segment->salt = salt;
	segment->end = SPOOL_SEGMENT_HEADER_BYTES;
	segment->size_bytes = size;
	return segment;
}

static void add(struct spool_segments *set, struct spool_segment *segment)
{
	HASH_ADD(hh, set->by_number, number, sizeof(segment->number), segment);
	/* nearly always the highest number so far */
	struct list *place = &set->in_order;
	while (place->prev != &set->in_order &&
		LIST_OWNER(place->prev, struct spool_segment, link)->number > segment->number)
		place = place->prev;
	list_add_before(place, &segment->link);
	set->count++;
	if (segment->number >= set->next_number)
		set->next_number = segment->number + 1;
}

static void take_out(struct spool_segments *set, struct spool_segment *segment)
{
	HASH_DELETE(hh, set->by_number, segment);
	list_remove(&segment->link);
	set->count--;
	set->releases++;
	set->needs_review = true;
}

static void file_free(struct spool_segments *set, struct free_file *file)
{
	if (file->fd >= 0)
		set->disk->close(set->disk, file->fd);
	free(file);
}

static void add_file(struct spool_segments *set, int fd, uint32_t number, bool is_filled)
{
	struct free_file *file = mem_zero(sizeof(*file));
	*file = (struct free_file){ .fd = fd, .number = number, .is_filled = is_filled };
	list_push_back(&set->free_files, &file->link);
	set->free_count++;
}

static void take_file(struct spool_segments *set, struct free_file *file)
{
	list_remove(&file->link);
	set->free_count--;
}

void spool_segments_clear(struct spool_segments *set)
{
	LIST_EACH_SAFE(node, &set->in_order) {
		struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		take_out(set, segment);
		segment_free(set, segment);
	}
	LIST_EACH_SAFE(node, &set->free_files)
		file_free(set, LIST_OWNER(node, struct free_file, link));
	if (set->spare)
		segment_free(set, set->spare);
	if (set->prepare && set->prepare->is_running)
		file_free(set, set->prepare->file);
	free(set->prepare);
	if (set->release) {
		free(set->release->segments);
		free(set->release->submitted_segments);
	}
	free(set->release);
	*set = (struct spool_segments){ 0 };
}

/* ---- loading --------------------------------------------------------------------------------- */

struct loading {
	struct spool_segments *set;
	struct err *err;
	bool has_failed;
};

static bool name_number(const char *name, const char *before, const char *behind, uint32_t *ret)
{
	size_t before_length = strlen(before);
	if (strlen(name) != before_length + 8 + strlen(behind) ||
		strncmp(name, before, before_length) != 0 ||
		strcmp(name + before_length + 8, behind) != 0)
		return false;
	uint32_t number = 0;
	for (const char *c = name + before_length; c < name + before_length + 8; c++) {
		if (!strchr("0123456789abcdef", *c))
			return false;
		number = number << 4 | (uint32_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
	}
	*ret = number;
	return number > 0;
}

static void load_free_file(struct spool_segments *set, uint32_t number, const char *path)
{
	int fd = set->free_count < FREE_FILES_MOST ? set->disk->open(set->disk, path, false) : -1;
	if (number >= set->next_number)
		set->next_number = number + 1;
	int64_t size = fd < 0 ? -1 : set->disk->size(set->disk, fd);
	if (size < 0 || size > set->segment_bytes) {
		if (fd >= 0)
			set->disk->close(set->disk, fd);
		set->disk->unlink(set->disk, path);
		return;
	}
	add_file(set, fd, number, size == set->segment_bytes);
}

/* Intact, but not for us to read: recovery would take it for the leftover of a crash and cut it
 * off, with all mail in it. */
static int refuse_foreign(const struct spool_segments *set, uint32_t number,
	const struct spool_segment_header *header, struct err *err)
{
	if (header->version == 0)
		return 0;
	if (header->version != SPOOL_RECORD_VERSION)
		return err_set(err, ERR_SYSTEM,
			"segment %08x in %s has format version %u, this program knows %d",
			(unsigned)number, set->directory, (unsigned)header->version,
			SPOOL_RECORD_VERSION);
	if (header->shard != set->shard)
		return err_set(err, ERR_SYSTEM, "segment %08x in %s is of shard %u, not of %u",
			(unsigned)number, set->directory, (unsigned)header->shard,
			(unsigned)set->shard);
	return 0;
}

static int load_segment(struct spool_segments *set, uint32_t number, const char *path,
	struct err *err)
{
	int fd = set->disk->open(set->disk, path, false);
	int64_t size = fd < 0 ? -1 : set->disk->size(set->disk, fd);
	if (size < 0 || size > UINT32_MAX) {
		int why = size < 0 ? errno : EFBIG;
		if (fd >= 0)
			set->disk->close(set->disk, fd);
		return spool_segment_error(err, why, "cannot open", number);
	}
	if (size < SPOOL_SEGMENT_HEADER_BYTES) {
		/* its making failed, and so did its removal; nothing was ever in it */
		if (number >= set->next_number)
			set->next_number = number + 1;
		set->disk->close(set->disk, fd);
		set->disk->unlink(set->disk, path);
		return 0;
	}
	char bytes[SPOOL_SEGMENT_HEADER_BYTES];
	struct spool_segment_header header = { 0 };
	if (spool_disk_read_all(set->disk, fd, bytes, sizeof(bytes), 0) < 0 ||
		spool_segment_header_parse(bytes, &header, NULL) < 0 || header.number != number)
		header.salt = 0;
	if (refuse_foreign(set, number, &header, err) < 0) {
		set->disk->close(set->disk, fd);
		return -1;
	}
	if (header.salt && header.next_id > set->next_id)
		set->next_id = header.next_id;
	struct spool_segment *segment = segment_new(number, fd, header.salt, (uint32_t)size);
	segment->is_sealed = true;
	segment->is_filled = size == set->segment_bytes;
	add(set, segment);
	return 0;
}

static void on_name(void *ctx, const char *name)
{
	struct loading *loading = ctx;
	struct spool_segments *set = loading->set;
	uint32_t number;
	if (loading->has_failed)
		return;
	struct buf path = { 0 };
	buf_printf(&path, "%s/%s", set->directory, name);
	if (name_number(name, "free-", "", &number))
		load_free_file(set, number, buf_text(&path));
	else if (name_number(name, "", ".segment", &number))
		loading->has_failed =
			load_segment(set, number, buf_text(&path), loading->err) < 0;
	buf_release(&path);
}

int spool_segments_load(struct spool_segments *set, struct err *err)
{
	struct loading loading = { .set = set, .err = err };
	if (set->disk->list(set->disk, set->directory, on_name, &loading) < 0)
		return err_system(err, errno, "cannot list %s", set->directory);
	return loading.has_failed ? -1 : 0;
}

/* ---- making ready ---------------------------------------------------------------------------- */

static uint64_t new_salt(void)
{
	uint64_t salt = 0;
	while (salt == 0) {
		if (getrandom(&salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
			abort(); /* not since Linux 3.17 */
	}
	return salt;
}

static int write_header(struct spool_disk *disk, int fd, const struct spool_segment_header *header)
{
	char bytes[SPOOL_SEGMENT_HEADER_BYTES];
	spool_segment_header_format(header, bytes);
	return spool_disk_write_all(disk, fd, bytes, sizeof(bytes), 0);
}

/* One step. 1 = more to do, 0 = full, -1 = failed. */
static int fill_step(struct spool_prepare *prepare)
{
	static const char zeros[FILL_BYTES];
	struct spool_segments *set = prepare->set;
	int64_t left = (int64_t)set->segment_bytes - prepare->filled;
	if (left <= 0)
		return 0;
	size_t piece = left < FILL_BYTES ? (size_t)left : FILL_BYTES;
	struct spool_disk *disk = set->disk;
	int fd = prepare->file->fd;
	/* written piece by piece: a sync of it all at once would hold up the messages' syncs; only
	 * the last is one, since each costs the file system's journal a commit */
	if (spool_disk_write_all(disk, fd, zeros, piece, prepare->filled) < 0 ||
		disk->write_back(disk, fd, prepare->filled, (int64_t)piece) < 0 ||
		((int64_t)piece == left && disk->sync(disk, fd) < 0))
		return -1;
	prepare->filled += (int64_t)piece;
	return 1;
}

static int prepare_step(struct spool_prepare *prepare)
{
	struct spool_disk *disk = prepare->set->disk;
	struct free_file *file = prepare->file;
	if (file->fd < 0) {
		struct buf path = { 0 };
		path_of(prepare->set, "free", file->number, &path);
		file->fd = disk->open(disk, buf_text(&path), true);
		buf_release(&path);
	}
	if (file->fd >= 0 && prepare->filled < 0)
		prepare->filled = disk->size(disk, file->fd);
	return prepare->filled < 0 ? -1 : fill_step(prepare);
}

static bool run_prepare(struct spool_job *job)
{
	struct spool_prepare *prepare = LIST_OWNER(job, struct spool_prepare, job);
	int result = prepare_step(prepare);
	if (result < 0)
		prepare->failure = errno ? errno : EIO;
	return result > 0;
}

static void on_prepared(struct spool_job *job)
{
	struct spool_prepare *prepare = LIST_OWNER(job, struct spool_prepare, job);
	struct spool_segments *set = prepare->set;
	struct free_file *file = prepare->file;
	struct err err;
	prepare->is_running = false;
	prepare->file = NULL;
	if (file->fd >= 0)
		add_file(set, file->fd, file->number, prepare->failure == 0);
	uint32_t number = file->number;
	free(file);
	if (prepare->failure)
		spool_segment_error(&err, prepare->failure, "cannot fill", number);
	set->on_change(set->ctx, prepare->failure ? &err : NULL);
}

static struct free_file *find_file(const struct spool_segments *set, bool is_filled)
{
	LIST_EACH(node, &set->free_files) {
		struct free_file *file = LIST_OWNER(node, struct free_file, link);
		if (file->is_filled == is_filled)
			return file;
	}
	return NULL;
}

void spool_segments_prepare(struct spool_segments *set)
{
	struct spool_prepare *prepare = set->prepare;
	if (spool_segments_is_ready(set) || prepare->is_running)
		return;
	struct free_file *file = find_file(set, false);
	if (file) {
		take_file(set, file);
	} else {
		file = mem_zero(sizeof(*file));
		file->fd = -1;
		file->number = set->next_number++;
	}
	*prepare = (struct spool_prepare){
		.job = { .run = run_prepare, .on_done = on_prepared },
		.set = set,
		.file = file,
		.filled = -1,
		.is_running = true,
	};
	spool_helper_submit(set->helper, &prepare->job);
}

bool spool_segments_is_ready(const struct spool_segments *set)
{
	return set->spare || find_file(set, true);
}

static struct spool_segment *use(struct spool_segments *set,
	const struct spool_segment_header *header, int fd, bool is_filled)
{
	struct spool_segment *segment =
		segment_new(header->number, fd, header->salt, set->segment_bytes);
	segment->is_dirty = true;
	segment->is_filled = is_filled;
	set->has_unsynced_name = true;
	return segment;
}

/* The new name comes after the new header: under it, the old one is never seen. */
static struct spool_segment *use_file(struct spool_segments *set, struct free_file *file,
	const struct spool_segment_header *header, struct err *err)
{
	struct buf from = { 0 }, to = { 0 };
	struct spool_segment *segment = NULL;
	path_of(set, "free", file->number, &from);
	path_of(set, "segment", header->number, &to);
	if (write_header(set->disk, file->fd, header) < 0) {
		spool_segment_error(err, errno, "cannot write", header->number);
	} else if (set->disk->rename(set->disk, buf_text(&from), buf_text(&to)) < 0) {
		spool_segment_error(err, errno, "cannot name", header->number);
	} else {
		segment = use(set, header, file->fd, true);
		take_file(set, file);
		free(file);
	}
	buf_release(&from);
	buf_release(&to);
	return segment;
}

/* None is ready: make one at once. Filling it would take too long on the loop. */
static struct spool_segment *make_now(
	struct spool_segments *set, const struct spool_segment_header *header, struct err *err)
{
	struct buf path = { 0 };
	path_of(set, "segment", header->number, &path);
	int fd = set->disk->open(set->disk, buf_text(&path), true);
	struct spool_segment *segment = NULL;
	if (fd < 0) {
		spool_segment_error(err, errno, "cannot make", header->number);
	} else if (set->disk->reserve(set->disk, fd, set->segment_bytes) < 0 ||
		   write_header(set->disk, fd, header) < 0) {
		spool_segment_error(err, errno, "cannot write", header->number);
		set->disk->close(set->disk, fd);
		set->disk->unlink(set->disk, buf_text(&path));
	} else {
		segment = use(set, header, fd, false);
	}
	buf_release(&path);
	return segment;
}

struct spool_segment *spool_segments_take(struct spool_segments *set, struct err *err)
{
	struct spool_segment *segment = set->spare;
	set->spare = NULL;
	if (!segment) {
		struct spool_segment_header header = { .number = set->next_number++,
			.shard = set->shard, .salt = new_salt(),
			.next_id = set->next_id };
		struct free_file *file = find_file(set, true);
		segment = file ? use_file(set, file, &header, err) : make_now(set, &header, err);
	}
	if (segment)
		add(set, segment);
	return segment;
}

void spool_segments_put_back(struct spool_segments *set, struct spool_segment *segment)
{
	assert(segment->end == SPOOL_SEGMENT_HEADER_BYTES && !set->spare);
	take_out(set, segment);
	set->spare = segment;
}

/* ---- giving back ----------------------------------------------------------------------------- */

static int give_back(struct spool_segments *set, struct spool_segment *segment, bool keep)
{
	struct buf from = { 0 }, to = { 0 };
	path_of(set, "segment", segment->number, &from);
	path_of(set, "free", segment->number, &to);
	int result = keep ? set->disk->rename(set->disk, buf_text(&from), buf_text(&to))
			  : set->disk->unlink(set->disk, buf_text(&from));
	buf_release(&from);
	buf_release(&to);
	return result;
}

static bool run_release(struct spool_job *job)
{
	struct spool_release *release = LIST_OWNER(job, struct spool_release, job);
	struct spool_segments *set = release->set;
	for (; release->finished < release->submitted; release->finished++) {
		if (give_back(set, release->submitted_segments[release->finished],
			    release->finished < release->keep) < 0)
			break;
	}
	if (release->finished < release->submitted ||
		set->disk->sync_directory(set->disk, set->directory) < 0)
		release->failure = errno ? errno : EIO;
	return false;
}

static void keep_file(struct spool_segments *set, struct spool_segment *segment)
{
	add_file(set, segment->fd, segment->number, segment->is_filled);
	segment->fd = -1;
}

static void on_released(struct spool_job *job);

/* Begins, or goes on where a failure stopped it. */
static void start_release(struct spool_segments *set)
{
	struct spool_release *release = set->release;
	if (release->is_running || release->count == 0)
		return;
	if (release->submitted == 0) {
		size_t bytes = release->count * sizeof(struct spool_segment *);
		release->submitted_segments = mem_resize(release->submitted_segments, bytes);
		memcpy(release->submitted_segments, release->segments, bytes);
		release->submitted = release->count;
		release->keep = FREE_FILES_MOST - set->free_count;
		release->finished = 0;
	}
	release->job = (struct spool_job){ .run = run_release, .on_done = on_released };
	release->failure = 0;
	release->is_running = true;
	spool_helper_submit(set->helper, &release->job);
}

static void on_released(struct spool_job *job)
{
	struct spool_release *release = LIST_OWNER(job, struct spool_release, job);
	struct spool_segments *set = release->set;
	struct err err;
	release->is_running = false;
	if (release->failure) {
		spool_segment_error(&err, release->failure, "cannot give back",
			release->segments[0]->number);
		set->on_change(set->ctx, &err);
		return;
	}
	for (size_t i = 0; i < release->submitted; i++) {
		struct spool_segment *segment = release->segments[i];
		take_out(set, segment);
		if (i < release->keep)
			keep_file(set, segment);
		segment_free(set, segment);
	}
	release->count -= release->submitted;
	memmove(release->segments, release->segments + release->submitted,
		release->count * sizeof(struct spool_segment *));
	release->submitted = 0;
	start_release(set);
	set->on_change(set->ctx, NULL);
}

void spool_segments_release(struct spool_segments *set, struct spool_segment *segment)
{
	struct spool_release *release = set->release;
	assert(!segment->is_releasing && segment->live_bytes == 0);
	segment->is_releasing = true;
	if (release->count == release->room) {
		release->room = release->room ? release->room * 2 : 8;
		release->segments = mem_resize_array(
			release->segments, release->room, sizeof(struct spool_segment *));
	}
	release->segments[release->count++] = segment;
	start_release(set);
}

void spool_segments_retry(struct spool_segments *set)
{
	start_release(set);
}

int spool_segments_discard(struct spool_segments *set, struct spool_segment *segment,
	struct err *err)
{
	bool keep = set->free_count < FREE_FILES_MOST;
	if (give_back(set, segment, keep) < 0)
		return spool_segment_error(err, errno, "cannot give back", segment->number);
	take_out(set, segment);
	if (keep)
		keep_file(set, segment);
	segment_free(set, segment);
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

struct spool_segment *spool_segments_find(const struct spool_segments *set, uint32_t number)
{
	struct spool_segment *segment;
	HASH_FIND(hh, set->by_number, &number, sizeof(number), segment);
	return segment;
}

bool spool_segments_has_any(const struct spool_segments *set, uint32_t first, uint32_t last,
	uint32_t except)
{
	if (last - first < 8) {
		for (uint32_t number = first; number <= last; number++) {
			if (number != except && spool_segments_find(set, number))
				return true;
		}
		return false;
	}
	LIST_EACH(node, &set->in_order) {
		uint32_t number = LIST_OWNER(node, struct spool_segment, link)->number;
		if (number >= first && number <= last && number != except)
			return true;
	}
	return false;
}

void spool_segment_add_id(struct spool_segment *segment, uint64_t id)
{
	if (segment->id_count && segment->ids[segment->id_count - 1] == id)
		return;
	if (segment->id_count == segment->id_room) {
		segment->id_room = segment->id_room ? segment->id_room * 2 : 64;
		segment->ids = mem_resize_array(segment->ids, segment->id_room, sizeof(uint64_t));
	}
	segment->ids[segment->id_count++] = id;
}

void spool_segment_add_grave(struct spool_segment *segment, const struct spool_grave *grave)
{
	if (segment->grave_count == segment->grave_room) {
		segment->grave_room = segment->grave_room ? segment->grave_room * 2 : 16;
		segment->graves = mem_resize_array(
			segment->graves, segment->grave_room, sizeof(struct spool_grave));
	}
	segment->graves[segment->grave_count++] = *grave;
}
