#include "libtlsio/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In a process of its own: its exit status. */
static int in_a_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void finds_users_and_says_how_to_make_one(void **state)
{
	(void)state;
	struct process_identity root;
	struct err err;
	assert_int_equal(process_find_user("root", &root, &err), 0);
	assert_int_equal(root.uid, 0);
	assert_string_equal(root.name, "root");
	assert_int_equal(process_find_user("no-such-user-here", &root, &err), -1);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_non_null(strstr(err.text, "useradd"));
}

static int become_nobody(void)
{
	struct process_identity nobody;
	gid_t groups[64];
	if (process_find_user("nobody", &nobody, NULL) < 0 || process_become(&nobody, NULL) < 0)
		return 1;
	if (getuid() != nobody.uid || geteuid() != nobody.uid || getgid() != nobody.gid)
		return 2;
	int count = getgroups(64, groups);
	for (int i = 0; i < count; i++)
		if (groups[i] == 0)
			return 3;
	if (setuid(0) == 0 || setgid(0) == 0)
		return 4;
	/* nobody stays nobody, and can become nobody else */
	if (process_become(&nobody, NULL) < 0)
		return 5;
	struct process_identity root = { "root", 0, 0 };
	return process_become(&root, NULL) == 0 ? 6 : 0;
}

static void there_is_no_way_back_to_root(void **state)
{
	(void)state;
	if (geteuid() == 0)
		assert_int_equal(in_a_child(become_nobody), 0);
}

static void a_pid_file_belongs_to_one_process(void **state)
{
	(void)state;
	char directory[] = "/tmp/test_process.XXXXXX", path[64], link_path[64], text[32] = "", own[32];
	struct err err;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/pid", directory);
	int fd = process_lock_pid_file(path, &err);
	assert_true(fd >= 0);
	snprintf(own, sizeof(own), "%d\n", (int)getpid());
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(own));
	assert_string_equal(text, own);
	assert_int_equal(process_lock_pid_file(path, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	own[strlen(own) - 1] = '\0';
	assert_non_null(strstr(err.text, own));
	close(fd);
	/* one that was left behind, longer than ours, is taken over */
	FILE *left = fopen(path, "w");
	fputs("1234567890123\n", left);
	fclose(left);
	fd = process_lock_pid_file(path, &err);
	assert_true(fd >= 0);
	memset(text, 0, sizeof(text));
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(own) + 1);
	close(fd);
	/* a symbolic link is not followed */
	snprintf(link_path, sizeof(link_path), "%s/link", directory);
	assert_int_equal(symlink(path, link_path), 0);
	assert_int_equal(process_lock_pid_file(link_path, &err), -1);
	unlink(link_path);
	unlink(path);
	rmdir(directory);
}

static void notifies_over_a_path_and_an_abstract_name(void **state)
{
	(void)state;
	char directory[] = "/tmp/test_process.XXXXXX", text[256];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	unsetenv("NOTIFY_SOCKET");
	assert_false(process_notify("READY=1"));
	assert_non_null(mkdtemp(directory));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", directory);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	assert_true(process_notify("READY=1"));
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
	assert_memory_equal(text, "READY=1", 7);
	close(fd);
	assert_false(process_notify("READY=1")); /* nobody there: not our trouble */
	unlink(at.sun_path);
	rmdir(directory);

	socklen_t size = (socklen_t)offsetof(struct sockaddr_un, sun_path);
	memset(at.sun_path, 0, sizeof(at.sun_path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
	size = sizeof(at);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(text, sizeof(text), "@%s", at.sun_path + 1);
	setenv("NOTIFY_SOCKET", text, 1);
	assert_true(process_notify("STOPPING=1"));
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 10);
	close(fd);

	char large[300];
	memset(large, 'x', sizeof(large));
	large[0] = '/';
	large[sizeof(large) - 1] = '\0';
	static const char *const bad[] = { "", "@", "/", "relative", "vsock:1:2" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		assert_false(process_notify("READY=1"));
	}
	setenv("NOTIFY_SOCKET", large, 1);
	assert_false(process_notify("READY=1"));
	unsetenv("NOTIFY_SOCKET");
}

static int raise_descriptors(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &limit);
	long now = process_raise_descriptors(100);
	getrlimit(RLIMIT_NOFILE, &limit);
	return now == (long)limit.rlim_cur && limit.rlim_cur == limit.rlim_max && now > 64 ? 0 : 1;
}

static void raises_the_soft_limit_to_the_hard_one(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(raise_descriptors), 0);
}

static int close_all(void)
{
	int fd = fcntl(0, F_DUPFD, 50);
	process_close_from(40);
	return fcntl(fd, F_GETFD) < 0 && errno == EBADF && fcntl(0, F_GETFD) >= 0 ? 0 : 1;
}

static void closes_what_it_should_and_nothing_below(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(close_all), 0);
}

static int outlive(void)
{
	int ends[2];
	char byte;
	if (pipe(ends) < 0)
		return 1;
	pid_t middle = fork();
	if (middle == 0) {
		pid_t parent = getpid();
		if (fork() == 0) {
			close(ends[0]);
			if (!process_die_with_parent(SIGKILL, parent))
				_exit(0);
			if (write(ends[1], "y", 1) < 0)
				_exit(1);
			for (;;)
				pause();
		}
		close(ends[1]);
		if (read(ends[0], &byte, 1) != 1) /* until the grandchild has asked */
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	waitpid(middle, NULL, 0);
	/* the end of the pipe: the grandchild is gone too */
	return read(ends[0], &byte, 1) == 0 ? 0 : 1;
}

static void dies_with_its_parent(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(outlive), 0);
	assert_false(process_die_with_parent(SIGTERM, getppid() + 1));
	process_die_with_parent(0, getppid());
}

static void drops_what_could_leak_keys(void **state)
{
	(void)state;
	setenv("SSLKEYLOGFILE", "/tmp/keys", 1);
	process_clean_environment();
	assert_null(getenv("SSLKEYLOGFILE"));
}

static int dumpable_after_forbidding(void)
{
	process_forbid_dumps();
	return prctl(PR_GET_DUMPABLE);
}

static void nobody_of_the_same_user_may_look_in(void **state)
{
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	assert_int_equal(in_a_child(dumpable_after_forbidding), 1);
#else
	assert_int_equal(in_a_child(dumpable_after_forbidding), 0);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_users_and_says_how_to_make_one),
		cmocka_unit_test(there_is_no_way_back_to_root),
		cmocka_unit_test(a_pid_file_belongs_to_one_process),
		cmocka_unit_test(notifies_over_a_path_and_an_abstract_name),
		cmocka_unit_test(raises_the_soft_limit_to_the_hard_one),
		cmocka_unit_test(closes_what_it_should_and_nothing_below),
		cmocka_unit_test(dies_with_its_parent),
		cmocka_unit_test(drops_what_could_leak_keys),
		cmocka_unit_test(nobody_of_the_same_user_may_look_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
