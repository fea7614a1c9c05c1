/* What root makes and gives away, and where it does not. As another user only the refusals count. */
#include "smtpd/supervise/supervise_directories.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char directory[64];
	struct process_identity nobody;
};

static int set_up(void **state)
{
	static struct place p;
	struct err err;
	strcpy(p.directory, "/tmp/test_supervise_directories_XXXXXX");
	assert_non_null(mkdtemp(p.directory));
	assert_int_equal(chmod(p.directory, 0755), 0);
	assert_int_equal(process_find_user("nobody", &p.nobody, &err), 0);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	const struct place *p = *state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", p->directory);
	return system(command) == 0 ? 0 : -1;
}

static const char *path_of(const struct place *p, const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", p->directory, name);
	return path;
}

static void makes_the_spool_and_gives_it_to_the_workers(void **state)
{
	const struct place *p = *state;
	struct err err;
	struct stat st;
	if (geteuid() != 0)
		skip();
	assert_int_equal(supervise_directories_spool(path_of(p, "a/b"), &p->nobody, &err), 0);
	assert_int_equal(stat(path_of(p, "a/b"), &st), 0);
	assert_int_equal(st.st_uid, p->nobody.uid);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(path_of(p, "a"), &st), 0);
	assert_int_equal(st.st_uid, 0);
	/* and is content with it the next time */
	assert_int_equal(supervise_directories_spool(path_of(p, "a/b"), &p->nobody, &err), 0);
}

/* He could put a link there while we make it, and be given what it leads to. */
static void makes_nothing_below_a_directory_of_somebody_else(void **state)
{
	const struct place *p = *state;
	struct err err;
	struct stat st;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(path_of(p, "theirs"), 0755), 0);
	assert_int_equal(chown(path_of(p, "theirs"), p->nobody.uid, p->nobody.gid), 0);
	assert_int_equal(supervise_directories_spool(path_of(p, "theirs/spool"), &p->nobody, &err),
		-1);
	assert_non_null(strstr(err.text, "root makes none below"));
	assert_int_equal(lstat(path_of(p, "theirs/spool"), &st), -1);
	/* a spool that is there is taken: nothing is given away */
	assert_int_equal(mkdir(path_of(p, "theirs/spool"), 0700), 0);
	assert_int_equal(chown(path_of(p, "theirs/spool"), p->nobody.uid, p->nobody.gid), 0);
	assert_int_equal(supervise_directories_spool(path_of(p, "theirs/spool"), &p->nobody, &err),
		0);
}

static void takes_no_spool_that_others_may_write_to(void **state)
{
	const struct place *p = *state;
	struct err err;
	assert_int_equal(mkdir(path_of(p, "open"), 0700), 0);
	assert_int_equal(chmod(path_of(p, "open"), 0777), 0);
	assert_int_equal(supervise_directories_spool(path_of(p, "open"), NULL, &err), -1);
	assert_int_equal(supervise_directories_run(path_of(p, "open"), &err), -1);
	assert_int_equal(symlink("/tmp", path_of(p, "link")), 0);
	assert_int_equal(supervise_directories_run(path_of(p, "link"), &err), -1);
	assert_int_equal(supervise_directories_run("relative", &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			makes_the_spool_and_gives_it_to_the_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			makes_nothing_below_a_directory_of_somebody_else, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			takes_no_spool_that_others_may_write_to, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
