#include "smtpd/spool/spool_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/file.h"

static int system_make_directory(struct spool_disk *disk, const char *path)
{
	(void)disk;
	errno = EIO;
	return file_make_directories(path, 0700, NULL);
}

static int system_lock(struct spool_disk *disk, const char *path)
{
	(void)disk;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

static int system_list(struct spool_disk *disk, const char *path,
	void (*each)(void *ctx, const char *name), void *ctx)
{
	(void)disk;
	DIR *directory = opendir(path);
	if (!directory)
		return -1;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(directory)) != NULL)
		each(ctx, entry->d_name);
	int why = errno;
	closedir(directory);
	errno = why;
	return why ? -1 : 0;
}

static int open_file(const char *path, int flags)
{
	int fd;
	do
		fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static int system_open(struct spool_disk *disk, const char *path, bool is_new)
{
	(void)disk;
	return open_file(path, O_RDWR | (is_new ? O_CREAT | O_EXCL : 0));
}

static void system_close(struct spool_disk *disk, int fd)
{
	(void)disk;
	close(fd);
}

static int64_t system_size(struct spool_disk *disk, int fd)
{
	(void)disk;
	struct stat st;
	return fstat(fd, &st) < 0 ? -1 : st.st_size;
}

static ssize_t system_pread(
	struct spool_disk *disk, int fd, void *into, size_t length, int64_t at)
{
	(void)disk;
	ssize_t got;
	do
		got = pread(fd, into, length, at);
	while (got < 0 && errno == EINTR);
	return got;
}

static ssize_t system_pwrite(
	struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at)
{
	(void)disk;
	ssize_t wrote;
	do
		wrote = pwrite(fd, bytes, length, at);
	while (wrote < 0 && errno == EINTR);
	return wrote;
}

static int system_reserve(struct spool_disk *disk, int fd, int64_t length)
{
	(void)disk;
	int result;
	do
		result = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, length);
	while (result < 0 && errno == EINTR);
	/* where the file system cannot, a write will tell */
	return result < 0 && errno == EOPNOTSUPP ? 0 : result;
}

static int system_write_back(struct spool_disk *disk, int fd, int64_t at, int64_t length)
{
	(void)disk;
	return sync_file_range(fd, at, length,
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			SYNC_FILE_RANGE_WAIT_AFTER);
}

static int system_sync(struct spool_disk *disk, int fd)
{
	(void)disk;
	/* never repeated on error: the kernel may have dropped the pages it could not write */
	return fdatasync(fd);
}

/* A sync that failed stops the spool for good. To have no descriptor is no failed sync: others give
 * theirs back before long, and it is the helper that waits. */
static int open_directory(const char *path)
{
	static const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int fd = -1;
	for (int tries = 0; tries < 3000; tries++) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
			return fd;
		nanosleep(&pause, NULL);
	}
	errno = EMFILE;
	return -1;
}

static int system_sync_directory(struct spool_disk *disk, const char *path)
{
	(void)disk;
	int fd = open_directory(path);
	if (fd < 0)
		return -1;
	int result = fsync(fd);
	int why = errno;
	close(fd);
	errno = why;
	return result;
}

static int system_rename(struct spool_disk *disk, const char *from, const char *to)
{
	(void)disk;
	return rename(from, to);
}

static int system_unlink(struct spool_disk *disk, const char *path)
{
	(void)disk;
	return unlink(path);
}

static int system_free_bytes(struct spool_disk *disk, const char *path, uint64_t *ret_bytes)
{
	(void)disk;
	struct statvfs st;
	if (statvfs(path, &st) < 0)
		return -1;
	*ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

struct spool_disk *spool_disk_system(void)
{
	static struct spool_disk disk = {
		.make_directory = system_make_directory,
		.lock = system_lock,
		.list = system_list,
		.open = system_open,
		.close = system_close,
		.size = system_size,
		.pread = system_pread,
		.pwrite = system_pwrite,
		.reserve = system_reserve,
		.write_back = system_write_back,
		.sync = system_sync,
		.sync_directory = system_sync_directory,
		.rename = system_rename,
		.unlink = system_unlink,
		.free_bytes = system_free_bytes,
	};
	return &disk;
}

/* ---- read only ------------------------------------------------------------------------------- */

static struct spool_disk *inner_of(struct spool_disk *disk)
{
	return ((struct spool_disk_read_only *)disk)->inner;
}

static int refuse_path(struct spool_disk *disk, const char *path)
{
	(void)disk;
	(void)path;
	errno = EROFS;
	return -1;
}

static int refuse_rename(struct spool_disk *disk, const char *from, const char *to)
{
	(void)to;
	return refuse_path(disk, from);
}

static int refuse_range(struct spool_disk *disk, int fd, int64_t at, int64_t length)
{
	(void)fd;
	(void)at;
	(void)length;
	return refuse_path(disk, NULL);
}

static int refuse_reserve(struct spool_disk *disk, int fd, int64_t length)
{
	return refuse_range(disk, fd, 0, length);
}

static int refuse_sync(struct spool_disk *disk, int fd)
{
	return refuse_range(disk, fd, 0, 0);
}

static int refuse_free_bytes(struct spool_disk *disk, const char *path, uint64_t *ret_bytes)
{
	(void)ret_bytes;
	return refuse_path(disk, path);
}

static ssize_t refuse_pwrite(
	struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at)
{
	(void)bytes;
	return refuse_range(disk, fd, at, (int64_t)length);
}

static int read_only_list(struct spool_disk *disk, const char *path,
	void (*each)(void *ctx, const char *name), void *ctx)
{
	return inner_of(disk)->list(inner_of(disk), path, each, ctx);
}

static int read_only_open(struct spool_disk *disk, const char *path, bool is_new)
{
	struct spool_disk *inner = inner_of(disk);
	if (is_new)
		return refuse_path(disk, path);
	/* who may only read, or of a read-only file system, is served too */
	return inner == spool_disk_system() ? open_file(path, O_RDONLY)
					    : inner->open(inner, path, false);
}

static void read_only_close(struct spool_disk *disk, int fd)
{
	inner_of(disk)->close(inner_of(disk), fd);
}

static int64_t read_only_size(struct spool_disk *disk, int fd)
{
	return inner_of(disk)->size(inner_of(disk), fd);
}

static ssize_t read_only_pread(
	struct spool_disk *disk, int fd, void *into, size_t length, int64_t at)
{
	return inner_of(disk)->pread(inner_of(disk), fd, into, length, at);
}

struct spool_disk *spool_disk_read_only_init(
	struct spool_disk_read_only *disk, struct spool_disk *inner)
{
	disk->inner = inner;
	disk->calls = (struct spool_disk){
		.is_inline = true,
		.make_directory = refuse_path,
		.lock = refuse_path,
		.list = read_only_list,
		.open = read_only_open,
		.close = read_only_close,
		.size = read_only_size,
		.pread = read_only_pread,
		.pwrite = refuse_pwrite,
		.reserve = refuse_reserve,
		.write_back = refuse_range,
		.sync = refuse_sync,
		.sync_directory = refuse_path,
		.rename = refuse_rename,
		.unlink = refuse_path,
		.free_bytes = refuse_free_bytes,
	};
	return &disk->calls;
}

/* ---- all of it ------------------------------------------------------------------------------- */

int spool_disk_read_all(struct spool_disk *disk, int fd, void *into, size_t length, int64_t at)
{
	char *next = into;
	while (length) {
		ssize_t got = disk->pread(disk, fd, next, length, at);
		if (got < 0)
			return -1;
		if (got == 0) {
			errno = ENODATA;
			return -1;
		}
		next += got;
		at += got;
		length -= (size_t)got;
	}
	return 0;
}

int spool_disk_write_all(
	struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at)
{
	const char *next = bytes;
	while (length) {
		ssize_t wrote = disk->pwrite(disk, fd, next, length, at);
		if (wrote < 0)
			return -1;
		if (wrote == 0) {
			errno = ENOSPC;
			return -1;
		}
		next += wrote;
		at += wrote;
		length -= (size_t)wrote;
	}
	return 0;
}
