#include "libtlsio/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"

int file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *ret, struct err *err)
{
	size_t total = 0;
	for (;;) {
		ssize_t got = read(fd, buf_reserve(ret, 16384), 16384);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_system(err, errno, "cannot read %s", name);
		if (got == 0)
			return 0;
		total += (size_t)got;
		if (total > max_bytes)
			return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", name, max_bytes);
		buf_added(ret, (size_t)got);
	}
}

int file_read(const char *path, size_t max_bytes, struct buf *ret, struct err *err)
{
	struct stat st;
	int result;
	/* whose directory it is may put a pipe there: neither opening nor reading may wait for ever */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_system(err, errno, "cannot open %s", path);
	if (fstat(fd, &st) < 0)
		result = err_system(err, errno, "cannot look at %s", path);
	else if (!S_ISREG(st.st_mode))
		result = err_set(err, ERR_INPUT, "%s is not a regular file", path);
	else
		result = file_read_fd(fd, path, max_bytes, ret, err);
	close(fd);
	return result;
}

static int sync_directory_of(const char *path, struct err *err)
{
	char *copy = mem_dup(path);
	const char *directory = dirname(copy);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 || fsync(fd) < 0
			     ? err_system(err, errno, "cannot sync directory %s", directory)
			     : 0;
	if (fd >= 0)
		close(fd);
	free(copy);
	return result;
}

static int write_all(int fd, struct str content)
{
	while (content.length) {
		ssize_t wrote = write(fd, content.at, content.length);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -1;
		content = str_skip(content, (size_t)wrote);
	}
	return fsync(fd);
}

int file_replace(const char *path, struct str content, mode_t mode, struct err *err)
{
	struct buf name = { 0 };
	buf_printf(&name, "%s.new", path);
	const char *temporary = buf_text(&name);
	int result = -1;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0) {
		err_system(err, errno, "cannot create %s", temporary);
		goto out;
	}
	/* a file left from a crash keeps its old mode at open(2) */
	int failed = fchmod(fd, mode) < 0 ? -1 : write_all(fd, content);
	int why = errno;
	close(fd);
	if (failed) {
		unlink(temporary);
		err_system(err, why, "cannot write %s", temporary);
		goto out;
	}
	if (rename(temporary, path) < 0) {
		err_system(err, errno, "cannot rename %s to %s", temporary, path);
		goto out;
	}
	result = sync_directory_of(path, err);
out:
	buf_release(&name);
	return result;
}

int file_make_directories(const char *path, mode_t mode, struct err *err)
{
	char *copy = mem_dup(path);
	int result = 0;
	for (char *slash = copy + 1; result == 0; slash++) {
		if (*slash != '/' && *slash != '\0')
			continue;
		char keep = *slash;
		*slash = '\0';
		struct stat st;
		if (mkdir(copy, mode) < 0 && !(errno == EEXIST && stat(copy, &st) == 0 &&
						     S_ISDIR(st.st_mode)))
			result = err_system(err, errno, "cannot make directory %s", copy);
		*slash = keep;
		if (!keep)
			break;
	}
	free(copy);
	return result;
}
