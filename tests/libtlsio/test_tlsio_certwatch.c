#include "libtlsio/tlsio_certwatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/file.h"
#include "tests/fakes/fake_loop.h"

struct place {
	char directory[64];
	char chain[96];
	char key[96];
	struct tlsio_loop *loop;
	struct tlsio_certwatch *watch;
	int changes;
	bool frees_on_change;
};
static struct place p;

enum { INTERVAL_MS = 1000 };

static void on_change(void *ctx)
{
	struct place *place = ctx;
	place->changes++;
	if (place->frees_on_change)
		tlsio_certwatch_free(&place->watch);
}

static void put(const char *path, const char *text)
{
	struct err err;
	if (file_replace(path, str_of(text), 0600, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	(void)state;
	p = (struct place){ 0 };
	snprintf(p.directory, sizeof(p.directory), "/tmp/certwatch.XXXXXX");
	assert_non_null(mkdtemp(p.directory));
	snprintf(p.chain, sizeof(p.chain), "%s/chain.pem", p.directory);
	snprintf(p.key, sizeof(p.key), "%s/key.pem", p.directory);
	put(p.chain, "chain 1");
	put(p.key, "key 1");
	p.loop = tlsio_loop_new(NULL);
	p.watch = tlsio_certwatch_new(p.loop, INTERVAL_MS, on_change, &p);
	tlsio_certwatch_add(p.watch, p.chain);
	tlsio_certwatch_add(p.watch, p.key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_certwatch_free(&p.watch);
	tlsio_loop_free(&p.loop);
	unlink(p.chain);
	unlink(p.key);
	rmdir(p.directory);
	return 0;
}

static void pass(int intervals)
{
	fake_loop_advance(p.loop, (int64_t)intervals * INTERVAL_MS);
}

static void says_nothing_while_nothing_changes(void **state)
{
	(void)state;
	pass(20);
	assert_int_equal(p.changes, 0);
}

static void reports_a_change_once_after_one_quiet_interval(void **state)
{
	(void)state;
	put(p.chain, "chain 2");
	pass(1);
	assert_int_equal(p.changes, 0);
	pass(1);
	assert_int_equal(p.changes, 1);
	pass(10);
	assert_int_equal(p.changes, 1);
	put(p.chain, "chain 3");
	pass(2);
	assert_int_equal(p.changes, 2);
}

/* A renewal writes several files, perhaps slowly: one report, at its end. */
static void waits_until_all_files_are_quiet(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		put(i % 2 ? p.key : p.chain, "in the middle of it");
		pass(1);
		assert_int_equal(p.changes, 0);
	}
	pass(1);
	assert_int_equal(p.changes, 1);
}

static void sees_a_file_vanish_and_come_back(void **state)
{
	(void)state;
	unlink(p.key);
	pass(2);
	assert_int_equal(p.changes, 1);
	put(p.key, "key 2");
	pass(2);
	assert_int_equal(p.changes, 2);
}

/* As certbot does it. */
static void sees_a_symlink_turned_over(void **state)
{
	(void)state;
	char one[96], two[96], link[96];
	snprintf(one, sizeof(one), "%s/1", p.directory);
	snprintf(two, sizeof(two), "%s/2", p.directory);
	snprintf(link, sizeof(link), "%s/live", p.directory);
	put(one, "same size");
	put(two, "same size");
	assert_int_equal(symlink(one, link), 0);
	tlsio_certwatch_add(p.watch, link);
	pass(3);
	assert_int_equal(p.changes, 0);
	unlink(link);
	assert_int_equal(symlink(two, link), 0);
	pass(2);
	assert_int_equal(p.changes, 1);
	unlink(link);
	unlink(one);
	unlink(two);
}

static void forgets_its_files_when_told(void **state)
{
	(void)state;
	tlsio_certwatch_clear(p.watch);
	put(p.chain, "chain 2");
	pass(5);
	assert_int_equal(p.changes, 0);
	tlsio_certwatch_add(p.watch, p.chain);
	put(p.chain, "chain 3");
	pass(2);
	assert_int_equal(p.changes, 1);
}

static void may_be_freed_by_what_it_calls(void **state)
{
	(void)state;
	p.frees_on_change = true;
	put(p.chain, "chain 2");
	pass(5);
	assert_int_equal(p.changes, 1);
	assert_null(p.watch);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(says_nothing_while_nothing_changes),
		TEST(reports_a_change_once_after_one_quiet_interval),
		TEST(waits_until_all_files_are_quiet),
		TEST(sees_a_file_vanish_and_come_back),
		TEST(sees_a_symlink_turned_over),
		TEST(forgets_its_files_when_told),
		TEST(may_be_freed_by_what_it_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
