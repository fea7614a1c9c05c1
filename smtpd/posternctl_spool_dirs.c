#include "smtpd/posternctl_spool_dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"

enum { SHARDS_MOST = 256 };

static bool shard_number(const char *name, unsigned *ret)
{
	uint64_t number;
	bool is_padded = name[0] == '0' && name[1] != '\0';
	if (is_padded || !str_to_u64(str_of(name), SHARDS_MOST - 1, &number))
		return false;
	*ret = (unsigned)number;
	return true;
}

static void add(struct posternctl_spool_dirs *dirs, char *path, unsigned number)
{
	dirs->items = mem_resize_array(dirs->items, dirs->count + 1, sizeof(dirs->items[0]));
	dirs->items[dirs->count++] =
		(struct posternctl_spool_dir){ .path = path, .number = number, .lock_fd = -1 };
}

static char *path_of(const char *directory, const char *name)
{
	struct buf path = { 0 };
	buf_printf(&path, "%s/%s", directory, name);
	return buf_take(&path);
}

static int compare(const void *a, const void *b)
{
	const struct posternctl_spool_dir *one = a, *two = b;
	return one->number < two->number ? -1 : one->number > two->number;
}

static int look(const char *directory, struct posternctl_spool_dirs *ret, struct err *err)
{
	DIR *entries = opendir(directory);
	const struct dirent *entry;
	bool is_shard = false;
	unsigned number = 0;
	if (!entries)
		return err_system(err, errno, "cannot look into %s", directory);
	while ((entry = readdir(entries)) != NULL) {
		is_shard |= str_ends_nocase(str_of(entry->d_name), STR(".segment"));
		if (shard_number(entry->d_name, &number))
			add(ret, path_of(directory, entry->d_name), number);
	}
	closedir(entries);
	if (is_shard && ret->count == 0) {
		const char *name = strrchr(directory, '/');
		if (!shard_number(name ? name + 1 : directory, &number))
			number = 0;
		add(ret, mem_dup(directory), number);
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(ret->items[0]), compare);
	return 0;
}

int posternctl_spool_dirs_find(const char *directory, const char *shard,
	struct posternctl_spool_dirs *ret, struct err *err)
{
	unsigned only = 0;
	*ret = (struct posternctl_spool_dirs){ 0 };
	if (shard && !shard_number(shard, &only))
		return err_set(err, ERR_INPUT, "--shard wants a number from 0 to 255, not '%s'",
			shard);
	if (look(directory, ret, err) < 0)
		return -1;
	size_t keep = 0;
	for (size_t i = 0; i < ret->count; i++) {
		if (!shard || ret->items[i].number == only)
			ret->items[keep++] = ret->items[i];
		else
			free(ret->items[i].path);
	}
	ret->count = keep;
	if (keep)
		return 0;
	return shard ? err_set(err, ERR_INPUT, "there is no shard %u in %s", only, directory)
		     : err_set(err, ERR_INPUT,
			       "%s is no spool: there are neither directories of shards nor "
			       "segments in it",
			       directory);
}

int posternctl_spool_dir_lock(struct posternctl_spool_dir *dir, struct err *err)
{
	char *path = path_of(dir->path, "lock");
	dir->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int why = errno;
	free(path);
	/* where posternd never was, there is none to keep from it */
	if (dir->lock_fd < 0 && why == ENOENT)
		return 0;
	if (dir->lock_fd < 0)
		return err_system(err, why, "cannot lock %s", dir->path);
	if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_SYSTEM, "%s is in use by a running posternd: stop it first",
			dir->path);
	return err_system(err, errno, "cannot lock %s", dir->path);
}

void posternctl_spool_dirs_clear(struct posternctl_spool_dirs *dirs)
{
	for (size_t i = 0; i < dirs->count; i++) {
		if (dirs->items[i].lock_fd >= 0)
			close(dirs->items[i].lock_fd);
		free(dirs->items[i].path);
	}
	free(dirs->items);
	*dirs = (struct posternctl_spool_dirs){ 0 };
}
