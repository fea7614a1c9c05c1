#include "smtpd/posternctl_target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/file.h"

static int refuse_used(const char *path, struct err *err)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int count = 0;
	if (!directory)
		return err_system(err, errno, "cannot look into %s", path);
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.' ||
			 (entry->d_name[1] != '\0' && entry->d_name[1] != '.');
	closedir(directory);
	return count == 0 ? 0
			  : err_set(err, ERR_INPUT,
				    "%s is not empty: name a directory that is new, or empty it", path);
}

int posternctl_target_begin(
	struct posternctl_target *target, const char *directory, struct err *err)
{
	*target = (struct posternctl_target){ .directory = directory };
	if (file_make_directories(directory, 0700, err) < 0)
		return -1;
	return refuse_used(directory, err);
}

static void partial_path(const struct posternctl_target *target, unsigned shard, struct buf *ret)
{
	buf_clear(ret);
	buf_printf(ret, "%s/%u.partial", target->directory, shard);
}

int posternctl_target_add(
	struct posternctl_target *target, unsigned shard, struct buf *ret, struct err *err)
{
	partial_path(target, shard, ret);
	if (target->count == POSTERNCTL_SHARDS_MOST)
		return err_set(err, ERR_LIMIT, "there are too many shards");
	if (mkdir(buf_text(ret), 0700) < 0)
		return err_system(err, errno, "cannot make %s", buf_text(ret));
	target->shards[target->count++] = shard;
	return 0;
}

static int give_files(int directory, const struct stat *owner)
{
	DIR *entries = fdopendir(dup(directory));
	const struct dirent *entry;
	int result = 0;
	if (!entries)
		return -1;
	while (result == 0 && (entry = readdir(entries)) != NULL)
		if (entry->d_name[0] != '.')
			result = fchownat(directory, entry->d_name, owner->st_uid, owner->st_gid,
				AT_SYMLINK_NOFOLLOW);
	closedir(entries);
	return result < 0 ? -1 : fchown(directory, owner->st_uid, owner->st_gid);
}

int posternctl_target_own(const char *path, const char *like, struct err *err)
{
	struct stat owner;
	/* who is not root can give nothing away, and what was written is theirs */
	if (geteuid() != 0 || stat(like, &owner) < 0)
		return 0;
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = directory < 0 ? -1 : give_files(directory, &owner);
	if (result == 0)
		result = fsync(directory);
	int why = errno;
	if (directory >= 0)
		close(directory);
	return result < 0 ? err_system(err, why, "cannot give %s to whom %s belongs", path, like)
			  : 0;
}

static int sync_directory(const char *path)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = directory < 0 ? -1 : fsync(directory);
	int why = errno;
	if (directory >= 0)
		close(directory);
	errno = why;
	return result;
}

int posternctl_target_finish(struct posternctl_target *target, const char *like, struct err *err)
{
	struct buf from = { 0 }, to = { 0 };
	struct stat owner;
	int result = 0;
	for (size_t i = 0; i < target->count && result == 0; i++) {
		partial_path(target, target->shards[i], &from);
		buf_clear(&to);
		buf_printf(&to, "%s/%u", target->directory, target->shards[i]);
		if (rename(buf_text(&from), buf_text(&to)) < 0)
			result = err_system(err, errno, "cannot name %s", buf_text(&to));
	}
	if (result == 0 && geteuid() == 0 && stat(like, &owner) == 0 &&
		chown(target->directory, owner.st_uid, owner.st_gid) < 0)
		result = err_system(err, errno, "cannot give %s away", target->directory);
	if (result == 0 && sync_directory(target->directory) < 0)
		result = err_system(err, errno, "cannot sync %s", target->directory);
	buf_release(&from);
	buf_release(&to);
	return result;
}
