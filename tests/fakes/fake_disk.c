#include "tests/fakes/fake_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

enum { SECTOR = 512, FILES_MOST = 64, NAMES_MOST = 512, OPEN_MOST = 512 };

struct file {
	char *seen; /* by programs */
	char *platters;
	size_t room; /* of both */
	size_t length;
	size_t durable_length;
	size_t allocated; /* blocks it holds */
	bool *is_dirty; /* per sector */
	unsigned references; /* names, durable names, descriptors */
};

struct name {
	char *path;
	struct file *file;
};
struct names {
	struct name items[NAMES_MOST];
	unsigned count;
};

/* A change of names that is not durable yet. */
struct change {
	char *remove; /* either may be NULL */
	char *add;
	struct file *file;
};

struct fake_disk {
	struct spool_disk calls;
	struct names now;
	struct names durable;
	struct change *changes;
	size_t change_count;
	struct file *open[OPEN_MOST];
	bool is_locked;
	int lock_fd;
	uint64_t count;
	uint64_t fail_at;
	enum fake_disk_fault fault;
	unsigned failures;
	bool has_power;
	bool is_full;
	unsigned next_fail; /* so many calls more */
	uint64_t power_off_at;
	uint64_t random;
	uint64_t free_bytes;
	uint64_t capacity;
};

static struct fake_disk *self(struct spool_disk *disk)
{
	return (struct fake_disk *)disk;
}

static uint64_t next_random(struct fake_disk *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return d->random >> 11;
}

/* ---- files and names ------------------------------------------------------------------------- */

/* Files are many and large: used again, their memory costs no system calls. */
static struct file *unused[FILES_MOST];
static unsigned unused_count;

static void unref(struct file *file)
{
	if (!file || --file->references)
		return;
	if (file->room && unused_count < FILES_MOST) {
		unused[unused_count++] = file;
		return;
	}
	free(file->seen);
	free(file->platters);
	free(file->is_dirty);
	free(file);
}

static struct file *new_file(void)
{
	if (unused_count == 0)
		return mem_zero(sizeof(struct file));
	struct file *file = unused[--unused_count];
	memset(file->seen, 0, file->room);
	memset(file->platters, 0, file->room);
	memset(file->is_dirty, 0, file->room / SECTOR);
	file->length = 0;
	file->durable_length = 0;
	file->allocated = 0;
	return file;
}

static struct file *ref(struct file *file)
{
	file->references++;
	return file;
}

static struct name *find(struct names *names, const char *path)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (strcmp(names->items[i].path, path) == 0)
			return &names->items[i];
	}
	return NULL;
}

static void add_name(struct names *names, const char *path, struct file *file)
{
	struct name *name = find(names, path);
	ref(file);
	if (name) {
		unref(name->file);
		name->file = file;
		return;
	}
	assert(names->count < NAMES_MOST);
	names->items[names->count++] = (struct name){ mem_dup(path), file };
}

static void remove_name(struct names *names, const char *path)
{
	struct name *name = find(names, path);
	if (!name)
		return;
	free(name->path);
	unref(name->file);
	*name = names->items[--names->count];
}

static void apply(struct names *names, const struct change *change)
{
	if (change->add)
		add_name(names, change->add, change->file);
	if (change->remove)
		remove_name(names, change->remove);
}

static void make_change(struct fake_disk *d, const char *remove, const char *add, struct file *file)
{
	struct change change = { mem_dup(remove), mem_dup(add), file ? ref(file) : NULL };
	d->changes = mem_resize_array(d->changes, d->change_count + 1, sizeof(change));
	d->changes[d->change_count++] = change;
	apply(&d->now, &change);
}

/* The first so many changes reach the platters; the others never will. */
static void settle_changes(struct fake_disk *d, size_t keep)
{
	for (size_t i = 0; i < d->change_count; i++) {
		if (i < keep)
			apply(&d->durable, &d->changes[i]);
		free(d->changes[i].remove);
		free(d->changes[i].add);
		unref(d->changes[i].file);
	}
	d->change_count = 0;
}

static void grow(struct file *file, size_t length)
{
	if (length <= file->room)
		return;
	size_t room = file->room ? file->room : 128 * 1024;
	while (room < length)
		room *= 2;
	file->seen = mem_resize(file->seen, room);
	file->platters = mem_resize(file->platters, room);
	file->is_dirty = mem_resize(file->is_dirty, room / SECTOR);
	memset(file->seen + file->room, 0, room - file->room);
	memset(file->platters + file->room, 0, room - file->room);
	memset(file->is_dirty + file->room / SECTOR, 0, (room - file->room) / SECTOR);
	file->room = room;
}

static void copy_sector(struct file *file, size_t sector, char *to, const char *from)
{
	memcpy(to + sector * SECTOR, from + sector * SECTOR, SECTOR);
	file->is_dirty[sector] = false;
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Counts a call. True: it fails, errno is set. *ret_half: it does half of its work. */
static bool fails(struct fake_disk *d, bool *ret_half)
{
	d->count++;
	*ret_half = false;
	if (!d->has_power) {
		errno = EIO;
		return true;
	}
	if (d->count == d->power_off_at) {
		d->has_power = false;
		errno = EIO;
		return true;
	}
	if (d->next_fail) {
		d->next_fail--;
		errno = ENOSPC;
		return true;
	}
	if (d->count != d->fail_at)
		return false;
	d->failures++;
	switch (d->fault) {
	case FAKE_DISK_SHORT_ENOSPC:
	case FAKE_DISK_FULL:
		d->next_fail = d->fault == FAKE_DISK_FULL ? 2 : 1;
		*ret_half = true;
		return false;
	case FAKE_DISK_SHORT:
		*ret_half = true;
		return false;
	case FAKE_DISK_POWER:
		d->has_power = false;
		errno = EIO;
		return true;
	case FAKE_DISK_ENOSPC:
		errno = ENOSPC;
		return true;
	default:
		errno = EIO;
		return true;
	}
}

static bool fails_whole(struct fake_disk *d)
{
	bool half;
	return fails(d, &half);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int fake_make_directory(struct spool_disk *disk, const char *path)
{
	(void)path;
	return fails_whole(self(disk)) ? -1 : 0;
}

static int take_descriptor(struct fake_disk *d, struct file *file)
{
	for (int fd = 0; fd < OPEN_MOST; fd++) {
		if (!d->open[fd]) {
			d->open[fd] = ref(file);
			return fd;
		}
	}
	abort();
}

static int fake_open(struct spool_disk *disk, const char *path, bool is_new)
{
	struct fake_disk *d = self(disk);
	struct name *name = find(&d->now, path);
	if (fails_whole(d))
		return -1;
	if (is_new && d->is_full) {
		errno = ENOSPC;
		return -1;
	}
	if (!name == !is_new) {
		errno = is_new ? EEXIST : ENOENT;
		return -1;
	}
	if (is_new) {
		make_change(d, NULL, path, new_file());
		name = find(&d->now, path);
	}
	return take_descriptor(d, name->file);
}

static int fake_lock(struct spool_disk *disk, const char *path)
{
	struct fake_disk *d = self(disk);
	if (fails_whole(d))
		return -1;
	if (d->is_locked) {
		errno = EWOULDBLOCK;
		return -1;
	}
	if (!find(&d->now, path))
		make_change(d, NULL, path, new_file());
	d->is_locked = true;
	d->lock_fd = take_descriptor(d, find(&d->now, path)->file);
	return d->lock_fd;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fake_list(struct spool_disk *disk, const char *path,
	void (*each)(void *ctx, const char *name), void *ctx)
{
	struct fake_disk *d = self(disk);
	char *paths[NAMES_MOST];
	unsigned count = d->now.count;
	(void)path;
	if (fails_whole(d))
		return -1;
	for (unsigned i = 0; i < count; i++)
		paths[i] = mem_dup(d->now.items[i].path);
	qsort(paths, count, sizeof(paths[0]), compare_paths);
	for (unsigned i = 0; i < count; i++) {
		each(ctx, strrchr(paths[i], '/') + 1);
		free(paths[i]);
	}
	return 0;
}

static void fake_close(struct spool_disk *disk, int fd)
{
	struct fake_disk *d = self(disk);
	assert(fd >= 0 && fd < OPEN_MOST && d->open[fd]);
	if (d->is_locked && fd == d->lock_fd)
		d->is_locked = false;
	unref(d->open[fd]);
	d->open[fd] = NULL;
}

static int64_t fake_size(struct spool_disk *disk, int fd)
{
	struct fake_disk *d = self(disk);
	return fails_whole(d) ? -1 : (int64_t)d->open[fd]->length;
}

static ssize_t fake_pread(struct spool_disk *disk, int fd, void *into, size_t length, int64_t at)
{
	struct fake_disk *d = self(disk);
	struct file *file = d->open[fd];
	bool half;
	if (fails(d, &half))
		return -1;
	if ((size_t)at >= file->length)
		return 0;
	if (length > file->length - (size_t)at)
		length = file->length - (size_t)at;
	if (half && length > 1)
		length /= 2;
	memcpy(into, file->seen + at, length);
	return (ssize_t)length;
}

/* Blocks for the first `until` bytes of the file. */
static int allocate(struct fake_disk *d, struct file *file, size_t until)
{
	uint64_t used = 0;
	for (unsigned i = 0; i < d->now.count; i++)
		used += d->now.items[i].file->allocated;
	if (until <= file->allocated)
		return 0;
	if (d->is_full ||
		(d->capacity && used + (until - file->allocated) > d->capacity)) {
		errno = ENOSPC;
		return -1;
	}
	file->allocated = until;
	return 0;
}

static int fake_reserve(struct spool_disk *disk, int fd, int64_t length)
{
	struct fake_disk *d = self(disk);
	return fails_whole(d) ? -1 : allocate(d, d->open[fd], (size_t)length);
}

static ssize_t fake_pwrite(
	struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at)
{
	struct fake_disk *d = self(disk);
	struct file *file = d->open[fd];
	bool half, has_failed = fails(d, &half);
	int why = errno;
	if (has_failed && (d->has_power || length < 2))
		return -1;
	/* the write during which power is lost may have begun */
	if (has_failed && d->count != d->fail_at && d->count != d->power_off_at) {
		errno = why;
		return -1;
	}
	if ((half || has_failed) && length > 1)
		length /= 2;
	if (allocate(d, file, (size_t)at + length) < 0)
		return -1;
	grow(file, (size_t)at + length);
	memcpy(file->seen + at, bytes, length);
	for (size_t sector = (size_t)at / SECTOR; sector * SECTOR < (size_t)at + length; sector++) {
		/* the kernel may write a page back at any time, so that an older state is there */
		if (file->is_dirty[sector] && next_random(d) % 4 == 0)
			copy_sector(file, sector, file->platters, file->seen);
		file->is_dirty[sector] = true;
	}
	if (file->length < (size_t)at + length)
		file->length = (size_t)at + length;
	errno = why;
	return has_failed ? -1 : (ssize_t)length;
}

static int fake_write_back(struct spool_disk *disk, int fd, int64_t at, int64_t length)
{
	(void)fd;
	(void)at;
	(void)length;
	return fails_whole(self(disk)) ? -1 : 0;
}

static int fake_sync(struct spool_disk *disk, int fd)
{
	struct fake_disk *d = self(disk);
	struct file *file = d->open[fd];
	bool has_failed = fails_whole(d);
	if (has_failed && !d->has_power)
		return -1;
	for (size_t sector = 0; sector < file->room / SECTOR; sector++) {
		if (!file->is_dirty[sector])
			continue;
		/* after a failure the kernel holds the page for clean, whatever the disk has */
		if (has_failed && next_random(d) % 2)
			file->is_dirty[sector] = false;
		else if (!has_failed)
			copy_sector(file, sector, file->platters, file->seen);
	}
	if (!has_failed)
		file->durable_length = file->length;
	return has_failed ? -1 : 0;
}

static int fake_sync_directory(struct spool_disk *disk, const char *path)
{
	struct fake_disk *d = self(disk);
	(void)path;
	if (fails_whole(d))
		return -1;
	settle_changes(d, d->change_count);
	return 0;
}

static int fake_rename(struct spool_disk *disk, const char *from, const char *to)
{
	struct fake_disk *d = self(disk);
	struct name *name = find(&d->now, from);
	if (fails_whole(d))
		return -1;
	if (!name) {
		errno = ENOENT;
		return -1;
	}
	make_change(d, from, to, name->file);
	return 0;
}

static int fake_unlink(struct spool_disk *disk, const char *path)
{
	struct fake_disk *d = self(disk);
	if (fails_whole(d))
		return -1;
	if (!find(&d->now, path)) {
		errno = ENOENT;
		return -1;
	}
	make_change(d, path, NULL, NULL);
	return 0;
}

static int fake_free_bytes(struct spool_disk *disk, const char *path, uint64_t *ret_bytes)
{
	struct fake_disk *d = self(disk);
	(void)path;
	if (fails_whole(d))
		return -1;
	*ret_bytes = d->free_bytes;
	return 0;
}

/* ---- for tests ------------------------------------------------------------------------------- */

struct fake_disk *fake_disk_new(uint64_t seed)
{
	struct fake_disk *d = mem_zero(sizeof(*d));
	d->calls = (struct spool_disk){
		.is_inline = true,
		.make_directory = fake_make_directory,
		.lock = fake_lock,
		.list = fake_list,
		.open = fake_open,
		.close = fake_close,
		.size = fake_size,
		.pread = fake_pread,
		.pwrite = fake_pwrite,
		.reserve = fake_reserve,
		.write_back = fake_write_back,
		.sync = fake_sync,
		.sync_directory = fake_sync_directory,
		.rename = fake_rename,
		.unlink = fake_unlink,
		.free_bytes = fake_free_bytes,
	};
	d->has_power = true;
	d->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	d->free_bytes = UINT64_C(1) << 40;
	return d;
}

static void clear_names(struct names *names)
{
	while (names->count)
		remove_name(names, names->items[0].path);
}

void fake_disk_free(struct fake_disk **disk)
{
	struct fake_disk *d = *disk;
	*disk = NULL;
	settle_changes(d, 0);
	free(d->changes);
	clear_names(&d->now);
	clear_names(&d->durable);
	free(d);
}

struct spool_disk *fake_disk_calls(struct fake_disk *disk)
{
	return &disk->calls;
}

uint64_t fake_disk_count(const struct fake_disk *disk)
{
	return disk->count;
}

void fake_disk_fail_at(struct fake_disk *disk, uint64_t at, enum fake_disk_fault fault)
{
	disk->fail_at = at;
	disk->fault = fault;
	disk->failures = 0;
}

void fake_disk_power_off_at(struct fake_disk *disk, uint64_t at)
{
	disk->power_off_at = at;
}

void fake_disk_power_off(struct fake_disk *disk)
{
	disk->has_power = false;
}

unsigned fake_disk_failures(const struct fake_disk *disk)
{
	return disk->failures;
}

const char *fake_disk_fault_name(enum fake_disk_fault fault)
{
	static const char *const names[] = { "EIO", "ENOSPC", "short", "short, then ENOSPC",
		"full", "power loss" };
	return names[fault];
}

bool fake_disk_has_power(const struct fake_disk *disk)
{
	return disk->has_power;
}

static void lose_file(struct fake_disk *d, struct file *file, enum fake_disk_keep keep)
{
	bool keeps_length = keep == FAKE_DISK_KEEP_ALL ||
			    (keep == FAKE_DISK_KEEP_SOME && next_random(d) % 2);
	for (size_t sector = 0; sector < file->room / SECTOR; sector++) {
		/* a kill loses nothing, not even what a failed sync left in memory only */
		if (keep == FAKE_DISK_KEEP_ALL ||
			(file->is_dirty[sector] && keep == FAKE_DISK_KEEP_SOME &&
				next_random(d) % 2))
			copy_sector(file, sector, file->platters, file->seen);
	}
	if (keeps_length)
		file->durable_length = file->length;
	file->length = file->durable_length;
	if (file->room == 0)
		return;
	memset(file->platters + file->length, 0, file->room - file->length);
	memcpy(file->seen, file->platters, file->room);
	memset(file->is_dirty, 0, file->room / SECTOR);
}

void fake_disk_power_on(struct fake_disk *d, enum fake_disk_keep keep)
{
	size_t kept = 0;
	if (keep == FAKE_DISK_KEEP_ALL)
		kept = d->change_count;
	else if (keep == FAKE_DISK_KEEP_SOME && d->change_count)
		kept = next_random(d) % (d->change_count + 1);
	settle_changes(d, kept);
	clear_names(&d->now);
	for (unsigned i = 0; i < d->durable.count; i++) {
		lose_file(d, d->durable.items[i].file, keep);
		add_name(&d->now, d->durable.items[i].path, d->durable.items[i].file);
	}
	for (int fd = 0; fd < OPEN_MOST; fd++)
		assert(!d->open[fd]);
	d->has_power = true;
	d->next_fail = 0;
	d->fail_at = 0;
	d->power_off_at = 0;
}

void fake_disk_set_full(struct fake_disk *disk, bool is_full)
{
	disk->is_full = is_full;
}

void fake_disk_set_capacity(struct fake_disk *disk, uint64_t bytes)
{
	disk->capacity = bytes;
}

void fake_disk_set_free_bytes(struct fake_disk *disk, uint64_t bytes)
{
	disk->free_bytes = bytes;
}

static bool ends(const char *text, const char *ending)
{
	size_t length = strlen(text), most = strlen(ending);
	return length >= most && strcmp(text + length - most, ending) == 0;
}

static struct name *nth(struct fake_disk *d, const char *ending, unsigned n)
{
	struct name *best = NULL;
	const char *above = "";
	for (unsigned round = 0; round <= n; round++) {
		best = NULL;
		for (unsigned i = 0; i < d->now.count; i++) {
			struct name *name = &d->now.items[i];
			if (ends(name->path, ending) && strcmp(name->path, above) > 0 &&
				(!best || strcmp(name->path, best->path) < 0))
				best = name;
		}
		if (!best)
			return NULL;
		above = best->path;
	}
	return best;
}

char *fake_disk_file(struct fake_disk *disk, const char *ending, unsigned n, size_t *ret_length)
{
	struct name *name = nth(disk, ending, n);
	if (!name)
		return NULL;
	*ret_length = name->file->length;
	return name->file->seen;
}

unsigned fake_disk_file_count(const struct fake_disk *disk, const char *ending)
{
	unsigned count = 0;
	for (unsigned i = 0; i < disk->now.count; i++)
		count += ends(disk->now.items[i].path, ending);
	return count;
}

bool fake_disk_remove(struct fake_disk *disk, const char *ending, unsigned n)
{
	struct name *name = nth(disk, ending, n);
	if (!name)
		return false;
	make_change(disk, name->path, NULL, NULL);
	settle_changes(disk, disk->change_count);
	return true;
}

void fake_disk_add(struct fake_disk *disk, const char *path, const void *bytes, size_t length)
{
	struct file *file = new_file();
	grow(file, length);
	if (length) {
		memcpy(file->seen, bytes, length);
		memcpy(file->platters, bytes, length);
	}
	file->length = length;
	file->durable_length = length;
	make_change(disk, NULL, path, file);
	settle_changes(disk, disk->change_count);
}
