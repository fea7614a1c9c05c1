#include "smtpd/supervise/supervise_directories.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"

struct directory {
	const char *name;
	mode_t mode;
	const char *whose; /* what lies in it */
};

static int make_parents(const char *path, struct err *err)
{
	char *copy = mem_dup(path);
	const char *parent = dirname(copy);
	int result = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0
			     ? 0
			     : file_make_directories(parent, 0755, err);
	free(copy);
	return result;
}

static bool is_trusted(const char *directory)
{
	struct stat st;
	return stat(directory, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
		(!(st.st_mode & 022) || (st.st_mode & S_ISVTX));
}

/* Whoever may rename something above could lead us elsewhere between the making and the giving. */
static int check_above(const char *path, const struct directory *wish,
	const struct process_identity *identity, struct err *err)
{
	char *copy = mem_dup(path);
	char *real = realpath(dirname(copy), NULL);
	int result = real ? 0 : err_system(err, errno, "cannot find what is above %s", path);
	for (const char *above = real; result == 0; above = dirname(real)) {
		if (!is_trusted(above))
			result = err_set(err, ERR_INPUT,
				"the %s directory %s is not there, and root makes none below %s, "
				"where others may write: mkdir it and chown it to '%s'",
				wish->name, path, above, identity->name);
		if (strcmp(above, "/") == 0)
			break;
	}
	free(real);
	free(copy);
	return result;
}

/* Gives a descriptor of the directory, made with mode if it was not there. */
static int open_or_make(const char *path, mode_t mode, bool *ret_is_new, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, ERR_INPUT, "the directory '%s' must be an absolute path", path);
	if (make_parents(path, err) < 0)
		return -1;
	*ret_is_new = mkdir(path, mode) == 0;
	if (!*ret_is_new && errno != EEXIST)
		return err_system(err, errno, "cannot make directory %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : err_system(err, errno, "cannot open directory %s", path);
}

static int give(int fd, const char *path, const struct process_identity *identity, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_system(err, errno, "cannot look at %s", path);
	if (st.st_uid != geteuid())
		return err_set(err, ERR_SYSTEM, "%s was exchanged while it was made", path);
	if (fchown(fd, identity->uid, identity->gid) < 0)
		return err_system(err, errno, "cannot give %s to user '%s'", path, identity->name);
	return 0;
}

static int make(const char *path, const struct directory *wish,
	const struct process_identity *identity, struct err *err)
{
	bool is_new;
	struct stat st;
	int result = 0;
	bool is_given = identity && identity->uid != geteuid();
	if (is_given && path[0] == '/' && lstat(path, &st) < 0 &&
		(make_parents(path, err) < 0 || check_above(path, wish, identity, err) < 0))
		return -1;
	int fd = open_or_make(path, wish->mode, &is_new, err);
	if (fd < 0)
		return -1;
	uid_t wanted = identity ? identity->uid : geteuid();
	if (is_new && is_given)
		result = give(fd, path, identity, err);
	if (result == 0 && fstat(fd, &st) < 0)
		result = err_system(err, errno, "cannot look at %s", path);
	if (result == 0 && st.st_uid != wanted)
		result = err_set(err, ERR_INPUT,
			"the %s directory %s belongs to user %u, but workers run as user %u: "
			"chown -R it if its %s is ours",
			wish->name, path, (unsigned)st.st_uid, (unsigned)wanted, wish->whose);
	if (result == 0 && (st.st_mode & 022))
		result = err_set(err, ERR_INPUT,
			"others may write to the %s directory %s: chmod %04o %s", wish->name, path,
			(unsigned)wish->mode, path);
	close(fd);
	return result;
}

int supervise_directories_spool(
	const char *path, const struct process_identity *identity, struct err *err)
{
	static const struct directory wish = { "spool", 0700, "mail" };
	return make(path, &wish, identity, err);
}

int supervise_directories_state(
	const char *path, const struct process_identity *identity, struct err *err)
{
	static const struct directory wish = { "state", 0750, "content" };
	return make(path, &wish, identity, err);
}

int supervise_directories_run(const char *path, struct err *err)
{
	bool is_new;
	struct stat st;
	int result = 0;
	int fd = open_or_make(path, 0755, &is_new, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		result = err_system(err, errno, "cannot look at %s", path);
	else if (st.st_uid != geteuid() || (st.st_mode & 022))
		result = err_set(err, ERR_INPUT,
			"the run directory %s must belong to user %u and be writable by nobody else: "
			"remove it (it holds only sockets and a pid file)",
			path, (unsigned)geteuid());
	close(fd);
	return result;
}
