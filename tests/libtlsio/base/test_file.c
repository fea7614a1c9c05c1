#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/file.h"

static char directory[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_file.XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static const char *in_directory(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void replaces_whole_or_not_at_all(void **state)
{
	(void)state;
	struct err err;
	struct buf got = { 0 };
	const char *path = in_directory("f");
	assert_int_equal(file_replace(path, STR("old"), 0600, &err), 0);
	assert_int_equal(file_replace(path, STR("new\0er"), 0640, &err), 0);
	assert_int_equal(file_read(path, 6, &got, &err), 0);
	assert_true(str_equal(buf_str(&got), STR("new\0er")));
	assert_int_equal(mode_of(path), 0640);
	assert_int_equal(access(in_directory("f.new"), F_OK), -1);
	buf_release(&got);

	assert_int_equal(file_replace(in_directory("no/f"), STR("x"), 0600, &err), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_non_null(strstr(err.text, "no/f"));
}

static void a_leftover_of_a_crash_lends_no_mode(void **state)
{
	(void)state;
	FILE *left = fopen(in_directory("secret.new"), "w");
	assert_non_null(left);
	fchmod(fileno(left), 0666);
	fputs("half of somethi", left);
	fclose(left);
	struct err err;
	assert_int_equal(file_replace(in_directory("secret"), STR("s"), 0600, &err), 0);
	assert_int_equal(mode_of(in_directory("secret")), 0600);
}

static void a_symlink_in_the_way_is_not_followed(void **state)
{
	(void)state;
	struct err err;
	char target[256];
	snprintf(target, sizeof(target), "%s/victim", directory);
	assert_int_equal(symlink(target, in_directory("f.new")), 0);
	assert_int_equal(file_replace(in_directory("f"), STR("x"), 0600, &err), -1);
	assert_int_equal(access(target, F_OK), -1);
}

static void reads_no_more_than_allowed(void **state)
{
	(void)state;
	struct err err;
	struct buf got = { 0 };
	char big[20000];
	memset(big, 'x', sizeof(big));
	assert_int_equal(file_replace(in_directory("b"), str_from(big, sizeof(big)), 0600, &err), 0);
	assert_int_equal(file_read(in_directory("b"), sizeof(big), &got, &err), 0);
	assert_int_equal(got.length, sizeof(big));
	buf_clear(&got);
	assert_int_equal(file_read(in_directory("b"), sizeof(big) - 1, &got, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(file_read(in_directory("none"), 10, &got, &err), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_read_fd(fd, "zero", 100000, &got, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	close(fd);
	buf_release(&got);
}

static void what_is_no_file_is_not_read(void **state)
{
	(void)state;
	struct err err;
	struct buf got = { 0 };
	assert_int_equal(mkfifo(in_directory("pipe"), 0600), 0);
	assert_int_equal(file_read(in_directory("pipe"), 100, &got, &err), -1);
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(file_read(directory, 100, &got, &err), -1);
	assert_int_equal(file_read("/dev/zero", 100, &got, &err), -1);
	assert_int_equal(got.length, 0);
	buf_release(&got);
}

static void makes_directories_all_the_way(void **state)
{
	(void)state;
	struct err err;
	struct stat st;
	assert_int_equal(file_make_directories(in_directory("a/b/c"), 0750, &err), 0);
	assert_int_equal(file_make_directories(in_directory("a/b/c"), 0750, &err), 0);
	assert_int_equal(stat(in_directory("a/b/c"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(file_replace(in_directory("a/file"), STR(""), 0600, &err), 0);
	assert_int_equal(file_make_directories(in_directory("a/file/c"), 0750, &err), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
}

static void errors_keep_kind_and_words_within_bounds(void **state)
{
	(void)state;
	struct err err = { 0 };
	assert_int_equal(err_set(NULL, ERR_PEER, "dropped"), -1);
	assert_int_equal(err_system(&err, 2, "cannot open %s", "x"), -1);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_string_equal(err.text, "cannot open x: No such file or directory");
	err_prefix(&err, "certificate: ");
	assert_string_equal(err.text, "certificate: cannot open x: No such file or directory");
	for (int i = 0; i < 50; i++)
		err_prefix(&err, "%s", "0123456789");
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_string_equal(err_kind_name(ERR_LIMIT), "limit");
	err_clear(&err);
	assert_int_equal(err.kind, ERR_NONE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(replaces_whole_or_not_at_all),
		CASE(a_leftover_of_a_crash_lends_no_mode),
		CASE(a_symlink_in_the_way_is_not_followed),
		CASE(reads_no_more_than_allowed),
		CASE(what_is_no_file_is_not_read),
		CASE(makes_directories_all_the_way),
		CASE(errors_keep_kind_and_words_within_bounds),
	};
	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
