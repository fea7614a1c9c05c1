#include "policy/tlsrpt/tlsrpt_sockets.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/base/str.h"

enum { RECEIVE_BYTES = 4 * 1024 * 1024 }; /* wished; the system has its own limit */

struct one {
	unsigned references;
	int fd;
	char *path, *group;
	unsigned mode;
	dev_t device;
	ino_t inode;
};

struct tlsrpt_sockets {
	unsigned references;
	struct one **all;
	size_t count;
};

static void one_unref(struct one *o)
{
	struct stat st;
	if (--o->references > 0)
		return;
	close(o->fd);
	/* Another one may stand there by now: it is not ours to remove. */
	if (lstat(o->path, &st) == 0 && st.st_dev == o->device && st.st_ino == o->inode)
		unlink(o->path);
	free(o->path);
	free(o->group);
	free(o);
}

/* A socket that a dead process left. */
static void remove_if_stale(const char *path, const struct sockaddr_un *at)
{
	struct stat st;
	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static int give_to_group(const char *path, const char *group, struct err *err)
{
	const struct group *found = group ? getgrnam(group) : NULL;
	struct stat st;
	if (!group)
		return 0;
	if (!found)
		return err_set(err, ERR_INPUT, "there is no group \"%.60s\"", group);
	/* As a folder with the setgid bit does by itself, where we may not. */
	if (lstat(path, &st) == 0 && st.st_gid == found->gr_gid)
		return 0;
	if (lchown(path, (uid_t)-1, found->gr_gid) < 0)
		return err_system(err, errno, "cannot give it to the group \"%.60s\"", group);
	return 0;
}

static int bind_at(const struct tlsrpt_collector_settings *c, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int bytes = RECEIVE_BYTES;
	if (!str_copy(str_of(c->path), at.sun_path, sizeof(at.sun_path)))
		return err_set(err, ERR_INPUT, "a unix socket's path has at most %zu bytes",
			sizeof(at.sun_path) - 1);
	remove_if_stale(c->path, &at);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_system(err, errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	/* Nobody may send before the group is right. */
	mode_t before = umask(0777);
	int failed = bind(fd, (struct sockaddr *)&at, sizeof(at));
	int why = errno;
	umask(before);
	if (failed) {
		close(fd);
		return err_system(err, why, "cannot make it");
	}
	if (give_to_group(c->path, c->group, err) < 0) {
		unlink(c->path);
		close(fd);
		return -1;
	}
	if (chmod(c->path, c->mode) < 0) {
		err_system(err, errno, "cannot set its mode");
		unlink(c->path);
		close(fd);
		return -1;
	}
	return fd;
}

static struct one *one_open(const struct tlsrpt_collector_settings *c, struct err *err)
{
	struct stat st = { 0 };
	int fd = bind_at(c, err);
	if (fd < 0) {
		err_prefix(err, "tlsrpt-collector \"%.100s\": ", c->path);
		return NULL;
	}
	lstat(c->path, &st);
	struct one *o = mem_zero(sizeof(*o));
	*o = (struct one){ .references = 1, .fd = fd, .path = mem_dup(c->path),
		.group = mem_dup(c->group), .mode = c->mode, .device = st.st_dev,
		.inode = st.st_ino };
	return o;
}

static bool is_same(const struct one *o, const struct tlsrpt_collector_settings *c)
{
	bool same_group = o->group && c->group ? strcmp(o->group, c->group) == 0
					       : !o->group == !c->group;
	return strcmp(o->path, c->path) == 0 && o->mode == c->mode && same_group;
}

/* The path stays, its group or mode does not: the file is changed, the socket goes on. */
static int change(struct one *o, const struct tlsrpt_collector_settings *c, struct err *err)
{
	if (give_to_group(c->path, c->group, err) < 0)
		return err_prefix(err, "tlsrpt-collector \"%.100s\": ", c->path);
	if (chmod(c->path, c->mode) < 0)
		return err_system(err, errno, "tlsrpt-collector \"%.100s\": cannot set its mode",
			c->path);
	free(o->group);
	o->group = mem_dup(c->group);
	o->mode = c->mode;
	return 0;
}

static struct one *find(const struct tlsrpt_sockets *in, const char *path)
{
	for (size_t i = 0; in && i < in->count; i++)
		if (strcmp(in->all[i]->path, path) == 0)
			return in->all[i];
	return NULL;
}

static struct one *keep_or_open(const struct tlsrpt_collector_settings *c,
	const struct tlsrpt_sockets *old, struct err *err)
{
	struct one *o = find(old, c->path);
	if (!o)
		return one_open(c, err);
	if (!is_same(o, c) && change(o, c, err) < 0)
		return NULL;
	o->references++;
	return o;
}

struct tlsrpt_sockets *tlsrpt_sockets_open(const struct tlsrpt_settings *wanted,
	struct tlsrpt_sockets *old, struct err *err)
{
	struct tlsrpt_sockets *sockets = mem_zero(sizeof(*sockets));
	size_t count = wanted->collector_count;
	sockets->references = 1;
	sockets->all = count ? mem_array(count, sizeof(*sockets->all)) : NULL;
	for (size_t i = 0; i < count; i++) {
		struct one *o = keep_or_open(&wanted->collectors[i], old, err);
		if (!o) {
			tlsrpt_sockets_unref(&sockets);
			return NULL;
		}
		sockets->all[sockets->count++] = o;
	}
	return sockets;
}

size_t tlsrpt_sockets_count(const struct tlsrpt_sockets *sockets)
{
	return sockets->count;
}

int tlsrpt_sockets_fd(const struct tlsrpt_sockets *sockets, size_t index)
{
	return sockets->all[index]->fd;
}

struct tlsrpt_sockets *tlsrpt_sockets_ref(struct tlsrpt_sockets *sockets)
{
	sockets->references++;
	return sockets;
}

void tlsrpt_sockets_unref(struct tlsrpt_sockets **pointer)
{
	struct tlsrpt_sockets *sockets = *pointer;
	*pointer = NULL;
	if (!sockets || --sockets->references > 0)
		return;
	for (size_t i = 0; i < sockets->count; i++)
		one_unref(sockets->all[i]);
	free(sockets->all);
	free(sockets);
}
