/* Maildirs on a real disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_maildir.h"
#include "tests/smtpd/relay/relay_fixture.h"

struct maildir_fixture {
	struct relay_fixture *f;
	char directory[40];
};

static int set_up(void **state)
{
	struct maildir_fixture *m = mem_zero(sizeof(*m));
	m->f = relay_fixture_new();
	strcpy(m->directory, "/tmp/maildir-test-XXXXXX");
	assert_non_null(mkdtemp(m->directory));
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct maildir_fixture *m = *state;
	char command[120];
	relay_fixture_free(&m->f);
	snprintf(command, sizeof(command), "chmod -R u+w %s && rm -rf %s", m->directory,
		m->directory);
	assert_int_equal(system(command), 0);
	free(m);
	return 0;
}

/* Files in a directory below; content of the last one into ret (may be NULL). */
static unsigned count_files(struct maildir_fixture *m, const char *below, struct buf *ret)
{
	char path[300], name[600];
	unsigned count = 0;
	struct dirent *entry;
	snprintf(path, sizeof(path), "%s/%s", m->directory, below);
	DIR *dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (!ret)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		buf_clear(ret);
		assert_int_equal(file_read(name, 1 << 24, ret, NULL), 0);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void deliver(struct maildir_fixture *m, uint64_t id, const char *below)
{
	char words[200];
	snprintf(words, sizeof(words), "maildir %s/%s", m->directory, below);
	relay_fixture_send_by(m->f, id, words, "verify");
}

static void keeps_a_message_with_lf_lines_and_trace_fields(void **state)
{
	struct maildir_fixture *m = *state;
	struct buf content = { 0 };
	uint64_t id = relay_fixture_message(m->f, "a@x.test", "Subject: x\r\n\r\n.dot\r\nend",
		"one@y.test", NULL);
	deliver(m, id, "box");
	assert_int_equal(m->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_false(m->f->destination_failed);
	assert_int_equal(count_files(m, "box/new", &content), 1);
	assert_int_equal(count_files(m, "box/tmp", NULL), 0);
	assert_string_equal(buf_text(&content),
		"Return-Path: <a@x.test>\nDelivered-To: one@y.test\nSubject: x\n\n.dot\nend");
	buf_release(&content);
}

static void gives_each_local_part_its_own_box(void **state)
{
	struct maildir_fixture *m = *state;
	struct buf content = { 0 };
	uint64_t id = relay_fixture_message(m->f, "", "x\r\n", "Bob@y.test", "../../etc@y.test",
		"a/b@y.test", NULL);
	deliver(m, id, "%u");
	for (int i = 0; i < 3; i++)
		assert_int_equal(m->f->outcomes[i].kind, RELAY_DELIVERED);
	assert_int_equal(count_files(m, "bob/new", &content), 1);
	assert_non_null(strstr(buf_text(&content), "Return-Path: <>\nDelivered-To: Bob@y.test\n"));
	assert_int_equal(count_files(m, "%2E.%2F..%2Fetc/new", NULL), 1);
	assert_int_equal(count_files(m, "a%2Fb/new", NULL), 1);
	assert_int_equal(count_files(m, "", NULL), 3); /* nothing beside them */
	buf_release(&content);
}

static void two_messages_never_share_a_name(void **state)
{
	struct maildir_fixture *m = *state;
	uint64_t id = relay_fixture_message(m->f, "", "x\r\n", "1@y.test", "2@y.test", "3@y.test",
		NULL);
	deliver(m, id, "box");
	deliver(m, id, "box");
	assert_int_equal(count_files(m, "box/new", NULL), 6);
}

static void large_messages_come_through_whole(void **state)
{
	struct maildir_fixture *m = *state;
	struct buf sent = { 0 }, kept = { 0 };
	for (int i = 0; i < 100000; i++)
		buf_printf(&sent, "line %d\r\n", i);
	deliver(m, relay_fixture_message(m->f, "", buf_text(&sent), "1@y.test", NULL), "box");
	assert_int_equal(count_files(m, "box/new", &kept), 1);
	const char *at = strstr(buf_text(&kept), "line 0\n");
	assert_non_null(at);
	for (int i = 0; i < 100000; i++) {
		char line[32];
		int length = snprintf(line, sizeof(line), "line %d\n", i);
		assert_memory_equal(at, line, (size_t)length);
		at += length;
	}
	assert_int_equal(*at, '\0');
	buf_release(&sent);
	buf_release(&kept);
}

static void what_cannot_be_written_is_deferred_and_leaves_nothing(void **state)
{
	struct maildir_fixture *m = *state;
	char path[100];
	uint64_t id = relay_fixture_message(m->f, "", "x\r\n", "1@y.test", NULL);
	snprintf(path, sizeof(path), "%s/file", m->directory);
	fclose(fopen(path, "w"));
	deliver(m, id, "file/box"); /* not a directory */
	assert_int_equal(m->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_string_equal(m->f->outcomes[0].enhanced, "4.3.0");
	assert_non_null(strstr(m->f->outcomes[0].text, "file/box"));
	deliver(m, id, "box");
	assert_int_equal(m->f->outcomes[0].kind, RELAY_DELIVERED);
	snprintf(path, sizeof(path), "rm -r %s/box/new", m->directory);
	assert_int_equal(system(path), 0);
	deliver(m, id, "box"); /* the rename fails */
	assert_int_equal(m->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(count_files(m, "box/tmp", NULL), 0);
}

static void local_parts_fold_without_meeting(void **state)
{
	static const struct {
		const char *path, *address, *filled;
	} rows[] = {
		{ "/m/%u", "bob@y.test", "/m/bob" },
		{ "/m/%u/x", "Bob@y.test", "/m/bob/x" },
		{ "/m/%u", "b.o-b_+=@y.test", "/m/b.o-b_+=" },
		{ "/m/%u", ".bob@y.test", "/m/%2Ebob" },
		{ "/m/%u", "\"a b\"@y.test", "/m/%22a%20b%22" },
		{ "/m/%u", "a@b@y.test", "/m/a%40b" },
		{ "/m/%u", "..@y.test", "/m/%2E." },
		{ "/m/%u", "50%@y.test", "/m/50%25" },
		{ "/m/%u", "\xc3\xbc@y.test", "/m/%C3%BC" },
		{ "/m/%%u", "bob@y.test", "/m/%u" },
		{ "/m/%u", "postmaster", "/m/postmaster" },
		{ "/m/%u", "@y.test", "/m/_" },
	};
	char address[300];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = relay_maildir_path(rows[i].path, str_of(rows[i].address));
		assert_string_equal(path, rows[i].filled);
		free(path);
	}
	memset(address, 'x', sizeof(address));
	assert_null(relay_maildir_path("/m/%u", str_from(address, 250)));
	char *path = relay_maildir_path("/m", str_from(address, 250));
	assert_string_equal(path, "/m");
	free(path);
}

static void freeing_midway_leaves_nothing(void **state)
{
	struct maildir_fixture *m = *state;
	char words[200];
	snprintf(words, sizeof(words), "maildir %s/box", m->directory);
	struct buf sent = { 0 };
	for (int i = 0; i < 200000; i++)
		buf_append_text(&sent, "a line of this message\r\n");
	relay_fixture_begin(m->f, relay_fixture_message(m->f, "", buf_text(&sent), "1@y.test", NULL),
		words, "may");
	relay_free(&m->f->relay);
	assert_int_equal(count_files(m, "box/new", NULL), 0);
	assert_int_equal(count_files(m, "box/tmp", NULL), 0);
	buf_release(&sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(keeps_a_message_with_lf_lines_and_trace_fields),
		T(gives_each_local_part_its_own_box),
		T(two_messages_never_share_a_name),
		T(large_messages_come_through_whole),
		T(what_cannot_be_written_is_deferred_and_leaves_nothing),
		T(local_parts_fold_without_meeting),
		T(freeing_midway_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
