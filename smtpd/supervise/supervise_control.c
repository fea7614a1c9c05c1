#include "smtpd/supervise/supervise_control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "smtpd/supervise/supervise_shards.h"

#define BACKLOG 16
#define BACKLOG_NAMED 300 /* every worker's connection may wait there while the program restarts */

struct supervise_control {
	char *directory;
	int *fds;
	unsigned count;
};

static int path_of(const char *directory, unsigned worker, char *ret, size_t capacity)
{
	int length = snprintf(ret, capacity, "%s/worker-%u.sock", directory, worker);
	return length > 0 && (size_t)length < capacity ? 0 : -1;
}

static int too_long(const char *directory, struct err *err)
{
	return err_set(err, ERR_INPUT, "the run directory %s has too long a name for a socket",
		directory);
}

static int open_at(const char *path, int backlog, const struct process_identity *identity,
	struct err *err)
{
	/* Ours, for we hold the run directory's lock: a worker that outlived its supervisor may still
	 * answer at the old one. */
	unlink(path);
	int fd = tlsio_listener_open_unix(path, 0660, backlog, err);
	if (fd < 0)
		return -1;
	if (!identity || identity->uid == geteuid())
		return fd;
	if (lchown(path, identity->uid, identity->gid) == 0)
		return fd;
	err_system(err, errno, "cannot give %s to user '%s'", path, identity->name);
	close(fd);
	return -1;
}

static int open_one(const char *directory, unsigned worker,
	const struct process_identity *identity, struct err *err)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	if (path_of(directory, worker, path, sizeof(path)) < 0)
		return too_long(directory, err);
	return open_at(path, BACKLOG, identity, err);
}

static bool path_of_named(const char *directory, const char *name, char *ret, size_t capacity)
{
	return (size_t)snprintf(ret, capacity, "%s/%s", directory, name) < capacity;
}

int supervise_control_open_named(const char *run_directory, const char *name,
	const struct process_identity *identity, struct err *err)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	if (!path_of_named(run_directory, name, path, sizeof(path)))
		return too_long(run_directory, err);
	return open_at(path, BACKLOG_NAMED, identity, err);
}

static void remove_older(const char *directory, unsigned workers)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	for (unsigned i = workers; i < SUPERVISE_SHARDS_MOST; i++)
		if (path_of(directory, i, path, sizeof(path)) == 0)
			unlink(path);
}

struct supervise_control *supervise_control_open(const char *run_directory, unsigned workers,
	const struct process_identity *identity, struct err *err)
{
	struct supervise_control *c = mem_zero(sizeof(*c));
	c->directory = mem_dup(run_directory);
	c->fds = mem_array(workers, sizeof(*c->fds));
	while (c->count < workers) {
		int fd = open_one(run_directory, c->count, identity, err);
		if (fd < 0) {
			supervise_control_close(&c);
			return NULL;
		}
		c->fds[c->count++] = fd;
	}
	remove_older(run_directory, workers);
	return c;
}

int supervise_control_fd(const struct supervise_control *c, unsigned worker)
{
	return c->fds[worker];
}

void supervise_control_close(struct supervise_control **control)
{
	struct supervise_control *c = *control;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	if (!c)
		return;
	*control = NULL;
	for (unsigned i = 0; i < c->count; i++) {
		close(c->fds[i]);
		if (path_of(c->directory, i, path, sizeof(path)) == 0)
			unlink(path);
	}
	free(c->fds);
	free(c->directory);
	free(c);
}
