/* spool_disk: every disk call of the spool, behind one struct.
 *
 * For:     the spool's own files. Tests give a disk in memory that fails the n-th call or loses
 *          power (tests/fakes/fake_disk.h).
 * Holds:   nothing; a test's disk puts its own struct around this one.
 * Promise: calls behave as the system calls they are named after: -1 and errno on failure,
 *          never interrupted by signals; reads and writes may be short.
 */
#ifndef SMTPD_SPOOL_SPOOL_DISK_H
#define SMTPD_SPOOL_SPOOL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spool_disk {
	/* No helper thread: slow calls are made at once by the caller, their ends told by the loop. */
	bool is_inline;
	int (*make_directory)(struct spool_disk *disk, const char *path);
	/* An open descriptor that holds the lock until closed; EWOULDBLOCK: another has it. */
	int (*lock)(struct spool_disk *disk, const char *path);
	int (*list)(struct spool_disk *disk, const char *path,
		void (*each)(void *ctx, const char *name), void *ctx);
	/* Read and write; is_new: must not exist yet. */
	int (*open)(struct spool_disk *disk, const char *path, bool is_new);
	void (*close)(struct spool_disk *disk, int fd);
	int64_t (*size)(struct spool_disk *disk, int fd);
	ssize_t (*pread)(struct spool_disk *disk, int fd, void *into, size_t length, int64_t at);
	ssize_t (*pwrite)(
		struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at);
	/* Room on the disk for so many bytes from the start; the size stays. ENOSPC: there is none. */
	int (*reserve)(struct spool_disk *disk, int fd, int64_t length);
	/* Has these bytes written by now, so that a later sync has little to do; no promise. */
	int (*write_back)(struct spool_disk *disk, int fd, int64_t at, int64_t length);
	/* fdatasync: content and size of the file survive power loss. */
	int (*sync)(struct spool_disk *disk, int fd);
	/* Names made, changed and removed in the directory survive power loss. */
	int (*sync_directory)(struct spool_disk *disk, const char *path);
	int (*rename)(struct spool_disk *disk, const char *from, const char *to);
	int (*unlink)(struct spool_disk *disk, const char *path);
	int (*free_bytes)(struct spool_disk *disk, const char *path, uint64_t *ret_bytes);
};

/* The real one. */
struct spool_disk *spool_disk_system(void);

/* The calls of another one that change nothing; those that would fail with EROFS. */
struct spool_disk_read_only {
	struct spool_disk calls;
	struct spool_disk *inner;
};
struct spool_disk *spool_disk_read_only_init(
	struct spool_disk_read_only *disk, struct spool_disk *inner);

/* All of it, or -1: fewer bytes than asked for is errno ENODATA. */
int spool_disk_read_all(struct spool_disk *disk, int fd, void *into, size_t length, int64_t at);
int spool_disk_write_all(
	struct spool_disk *disk, int fd, const void *bytes, size_t length, int64_t at);

#endif
