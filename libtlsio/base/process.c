#include "libtlsio/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/str.h"

int process_find_user(const char *name, struct process_identity *ret, struct err *err)
{
	struct passwd entry, *found = NULL;
	char room[16384];
	int failed = getpwnam_r(name, &entry, room, sizeof(room), &found);
	if (failed)
		return err_system(err, failed, "cannot look up user '%s'", name);
	if (!found)
		return err_set(err, ERR_INPUT, "there is no user '%s': make it, for example with "
			"'useradd --system --home-dir / --shell /usr/sbin/nologin %s'", name, name);
	if (!str_copy(str_of(name), ret->name, sizeof(ret->name)))
		return err_set(err, ERR_INPUT, "the user name '%s' is too long", name);
	ret->uid = found->pw_uid;
	ret->gid = found->pw_gid;
	return 0;
}

static bool is_all_of(const struct process_identity *identity)
{
	uid_t real, effective, saved;
	gid_t real_group, effective_group, saved_group;
	if (getresuid(&real, &effective, &saved) < 0 ||
		getresgid(&real_group, &effective_group, &saved_group) < 0)
		return false;
	return real == identity->uid && effective == identity->uid && saved == identity->uid &&
	       real_group == identity->gid && effective_group == identity->gid &&
	       saved_group == identity->gid;
}

int process_become(const struct process_identity *identity, struct err *err)
{
	if (geteuid() != 0) {
		if (geteuid() == identity->uid)
			return 0;
		return err_set(err, ERR_INPUT, "only root can become user '%s': start as root, or as "
			"that user", identity->name);
	}
	/* groups first: a user who is not root may not change them */
	if (initgroups(identity->name, identity->gid) < 0 && setgroups(1, &identity->gid) < 0)
		return err_system(err, errno, "cannot set the groups of user '%s'", identity->name);
	if (setresgid(identity->gid, identity->gid, identity->gid) < 0)
		return err_system(err, errno, "cannot become group %u", (unsigned)identity->gid);
	if (setresuid(identity->uid, identity->uid, identity->uid) < 0)
		return err_system(err, errno, "cannot become user '%s'", identity->name);
	if (!is_all_of(identity))
		return err_set(err, ERR_SYSTEM, "became user '%s' only in part", identity->name);
	if (identity->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return err_set(err, ERR_SYSTEM, "root could be had back after becoming user '%s'",
			identity->name);
	return 0;
}

bool process_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!path || (path[0] != '/' && path[0] != '@') || !path[1] ||
		strlen(path) >= sizeof(to.sun_path))
		return false;
	size_t length = strlen(path);
	memcpy(to.sun_path, path, length);
	if (path[0] == '@') /* an abstract name */
		to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to, size);
	close(fd);
	return sent == (ssize_t)strlen(state);
}

long process_raise_descriptors(long wanted)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	struct rlimit more = limit;
	if (more.rlim_max != RLIM_INFINITY && more.rlim_max < (rlim_t)wanted && geteuid() == 0)
		more.rlim_max = (rlim_t)wanted;
	more.rlim_cur = more.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	long now = process_descriptors();
	return now == LONG_MAX ? wanted : now;
}

long process_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > LONG_MAX)
		return LONG_MAX;
	return (long)limit.rlim_cur;
}

/* The lock belongs to the file that has the name now: a predecessor may have removed it between
 * our open and our lock. */
static bool is_still_there(int fd, const char *path)
{
	struct stat ours, named;
	return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

static int write_pid(int fd, const char *path, struct err *err)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
		return err_system(err, errno, "cannot write %s", path);
	return 0;
}

int process_lock_pid_file(const char *path, struct err *err)
{
	for (int tries = 0; tries < 10; tries++) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return err_system(err, errno, "cannot open %s", path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			char pid[24] = "";
			int why = errno;
			ssize_t got = pread(fd, pid, sizeof(pid) - 1, 0);
			close(fd);
			if (why != EWOULDBLOCK)
				return err_system(err, why, "cannot lock %s", path);
			pid[got > 0 ? strcspn(pid, "\n") : 0] = '\0';
			return err_set(err, ERR_LIMIT, "another one is running (pid %s, %s is locked)",
				pid[0] ? pid : "unknown", path);
		}
		if (is_still_there(fd, path)) {
			if (write_pid(fd, path, err) == 0)
				return fd;
			close(fd);
			return -1;
		}
		close(fd);
	}
	return err_set(err, ERR_SYSTEM, "%s keeps changing under us", path);
}

void process_close_from(int first)
{
	closefrom(first);
}

bool process_die_with_parent(int signal, pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, signal) == 0 && getppid() == parent;
}

#ifdef __SANITIZE_ADDRESS__
#define IS_DUMPABLE 1
#else
#define IS_DUMPABLE 0
#endif

void process_forbid_dumps(void)
{
	prctl(PR_SET_DUMPABLE, IS_DUMPABLE);
}

void process_clean_environment(void)
{
	unsetenv("SSLKEYLOGFILE");
}
