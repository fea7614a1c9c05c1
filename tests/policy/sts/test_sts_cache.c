/* Policies on disk: restarts, damage, limits, readers beside a writer. */
#include "policy/sts/sts_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/file.h"

#define NOW_S INT64_C(1767225600)
#define DAY_S INT64_C(86400)
#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 864000\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mx.example\nmax_age: 864000\n"

struct place {
	char folder[64];
	char path[80];
	unsigned warnings;
	char warning[400];
};

static void on_warning(void *ctx, const char *words)
{
	struct place *p = ctx;
	p->warnings++;
	snprintf(p->warning, sizeof(p->warning), "%s", words);
}

/* Files in the folder whose name begins so. */
static unsigned count_files(const struct place *p, const char *beginning)
{
	unsigned count = 0;
	DIR *folder = opendir(p->folder);
	for (struct dirent *e; (e = readdir(folder));)
		count += e->d_name[0] != '.' && strncmp(e->d_name, beginning, strlen(beginning)) == 0;
	closedir(folder);
	return count;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	strcpy(p->folder, "/tmp/test-sts-cache-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/sts.db", p->folder);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char path[400];
	DIR *folder = opendir(p->folder);
	for (struct dirent *e; (e = readdir(folder));) {
		snprintf(path, sizeof(path), "%s/%s", p->folder, e->d_name);
		unlink(path);
	}
	closedir(folder);
	rmdir(p->folder);
	free(p);
	return 0;
}

static struct sts_cache *open_as(struct place *p, enum sts_cache_mode mode, size_t most)
{
	struct err err = { 0 };
	struct sts_cache *cache = sts_cache_open(p->path, mode, most, on_warning, p, &err);
	if (!cache)
		fail_msg("%s", err.text);
	return cache;
}

static struct sts_cache *open_cache(struct place *p)
{
	return open_as(p, STS_CACHE_READ_WRITE, 1000);
}

static void put(struct sts_cache *cache, const char *domain, const char *text, int64_t fetched_s)
{
	struct sts_cache_entry e = { .id = "20260101", .fetched_s = fetched_s, .used_s = fetched_s };
	if (text) {
		e.policy = sts_policy_parse(str_of(text), NULL);
		assert_non_null(e.policy);
	} else {
		e.failures = 3;
		e.failed_s = fetched_s;
		e.failure_reason = POLICY_REASON_STS_WEBPKI_INVALID;
		strcpy(e.failed_id, "77");
		strcpy(e.failure, "the certificate expired");
	}
	sts_cache_put(cache, domain, &e);
	sts_policy_unref(&e.policy);
}

/* -1: not there, or no policy. */
static int mode_of(struct sts_cache *cache, const char *domain)
{
	struct sts_cache_entry e;
	if (!sts_cache_get(cache, domain, &e))
		return -1;
	int mode = e.policy ? (int)e.policy->mode : -1;
	sts_policy_unref(&e.policy);
	return mode;
}

static void what_was_put_survives_a_restart(void **state)
{
	struct place *p = *state;
	struct sts_cache_entry e;
	struct sts_cache *cache = open_cache(p);
	put(cache, "a.example", ENFORCE, NOW_S);
	put(cache, "b.example", NULL, NOW_S + 1);
	put(cache, "c.example", TESTING, NOW_S);
	put(cache, "c.example", ENFORCE, NOW_S + 2);
	assert_int_equal(sts_cache_count(cache), 3);
	sts_cache_close(&cache);
	assert_null(cache);

	cache = open_cache(p);
	assert_int_equal(sts_cache_count(cache), 3);
	assert_true(sts_cache_get(cache, "a.example", &e));
	assert_string_equal(e.id, "20260101");
	assert_int_equal(e.fetched_s, NOW_S);
	assert_int_equal(e.used_s, NOW_S);
	assert_int_equal(e.policy->mode, POLICY_STS_ENFORCE);
	assert_string_equal(e.policy->text, ENFORCE);
	assert_true(sts_policy_names(e.policy, "mx.example"));
	sts_policy_unref(&e.policy);
	assert_true(sts_cache_get(cache, "b.example", &e));
	assert_null(e.policy);
	assert_int_equal(e.failures, 3);
	assert_int_equal(e.failed_s, NOW_S + 1);
	assert_string_equal(e.failed_id, "77");
	assert_string_equal(e.failure, "the certificate expired");
	assert_int_equal(e.failure_reason, POLICY_REASON_STS_WEBPKI_INVALID);
	assert_int_equal(mode_of(cache, "c.example"), POLICY_STS_ENFORCE);
	assert_false(sts_cache_get(cache, "d.example", &e));
	assert_int_equal(p->warnings, 0);
	sts_cache_close(&cache);
	sts_cache_close(&cache);
}

static void a_flush_is_on_the_disk_without_a_close(void **state)
{
	struct place *p = *state;
	struct sts_cache *cache = open_cache(p);
	put(cache, "a.example", ENFORCE, NOW_S);
	assert_int_equal(mode_of(cache, "a.example"), POLICY_STS_ENFORCE);
	sts_cache_flush(cache);
	put(cache, "b.example", ENFORCE, NOW_S); /* not flushed: only memory has it */
	struct sts_cache *reader = open_as(p, STS_CACHE_READ_ONLY, 1000);
	assert_int_equal(mode_of(reader, "a.example"), POLICY_STS_ENFORCE);
	assert_int_equal(mode_of(reader, "b.example"), -1);
	sts_cache_close(&reader);
	sts_cache_close(&cache);
	assert_int_equal(p->warnings, 0);
}

static void memory_alone_is_enough(void **state)
{
	struct place *p = *state;
	struct sts_cache *cache =
		sts_cache_open(NULL, STS_CACHE_READ_WRITE, 10, on_warning, p, NULL);
	put(cache, "a.example", ENFORCE, NOW_S);
	sts_cache_flush(cache);
	assert_int_equal(mode_of(cache, "a.example"), POLICY_STS_ENFORCE);
	sts_cache_close(&cache);
	assert_int_equal(count_files(p, ""), 0);
}

static void a_reader_creates_nothing(void **state)
{
	struct place *p = *state;
	struct sts_cache *reader = open_as(p, STS_CACHE_READ_ONLY, 1000);
	assert_int_equal(sts_cache_count(reader), 0);
	put(reader, "a.example", ENFORCE, NOW_S);
	sts_cache_close(&reader);
	assert_int_equal(count_files(p, ""), 0);

	/* no writer: no log and no index */
	struct sts_cache *cache = open_cache(p);
	put(cache, "a.example", ENFORCE, NOW_S);
	sts_cache_close(&cache);
	assert_int_equal(count_files(p, ""), 1);
	reader = open_as(p, STS_CACHE_READ_ONLY, 1000);
	assert_int_equal(mode_of(reader, "a.example"), POLICY_STS_ENFORCE);
	assert_int_equal(count_files(p, ""), 1);
	put(reader, "b.example", ENFORCE, NOW_S);
	sts_cache_close(&reader);
	assert_int_equal(count_files(p, ""), 1);
	cache = open_cache(p);
	assert_int_equal(mode_of(cache, "b.example"), -1);
	sts_cache_close(&cache);
	assert_int_equal(p->warnings, 0);
}

static void write_file(const char *path, struct str bytes)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes.at, 1, bytes.length, file), bytes.length);
	fclose(file);
}

/* What a writer that was killed leaves behind. */
static void copy_with_log(const struct place *p, struct place *to, bool has_index)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	for (int i = 0; i < (has_index ? 3 : 2); i++) {
		char from_path[120], to_path[120];
		struct buf content = { 0 };
		snprintf(from_path, sizeof(from_path), "%s%s", p->path, endings[i]);
		snprintf(to_path, sizeof(to_path), "%s%s", to->path, endings[i]);
		assert_int_equal(file_read(from_path, 1 << 24, &content, NULL), 0);
		write_file(to_path, buf_str(&content));
		buf_release(&content);
	}
}

static void what_was_flushed_survives_a_kill(void **state)
{
	struct place *p = *state, *killed;
	for (int has_index = 0; has_index < 2; has_index++) {
		set_up((void **)&killed);
		struct sts_cache *cache = open_cache(p);
		put(cache, "a.example", ENFORCE, NOW_S);
		sts_cache_flush(cache);
		copy_with_log(p, killed, has_index);
		sts_cache_close(&cache);

		unsigned files = count_files(killed, "");
		cache = open_as(killed, STS_CACHE_READ_ONLY, 1000);
		if (has_index)
			assert_int_equal(mode_of(cache, "a.example"), POLICY_STS_ENFORCE);
		assert_int_equal(count_files(killed, ""), files);
		sts_cache_close(&cache);
		cache = open_cache(killed);
		assert_int_equal(mode_of(cache, "a.example"), POLICY_STS_ENFORCE);
		sts_cache_close(&cache);
		tear_down((void **)&killed);
	}
}

static void is_set_aside(struct place *p)
{
	struct sts_cache *cache = open_cache(p);
	assert_int_equal(p->warnings, 1);
	assert_non_null(strstr(p->warning, "set aside"));
	assert_true(count_files(p, "sts.db.damaged-") >= 1);
	put(cache, "new.example", TESTING, NOW_S);
	sts_cache_close(&cache);
	cache = open_cache(p);
	assert_int_equal(mode_of(cache, "new.example"), POLICY_STS_TESTING);
	assert_int_equal(p->warnings, 1);
	sts_cache_close(&cache);
}

static void a_bad_header_is_set_aside(void **state)
{
	struct place *p = *state;
	write_file(p->path, STR("This is a text, and no database at all; it is long enough to be "
				"looked at as a header of one hundred bytes."));
	struct sts_cache *reader = open_as(p, STS_CACHE_READ_ONLY, 10);
	assert_int_equal(sts_cache_count(reader), 0);
	assert_int_equal(p->warnings, 1);
	assert_int_equal(count_files(p, ""), 1);
	sts_cache_close(&reader);
	p->warnings = 0;
	is_set_aside(p);
}

static void another_database_is_set_aside(void **state)
{
	struct place *p = *state;
	sqlite3 *db;
	assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE entry (a, b)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	is_set_aside(p);
}

static void a_later_version_is_set_aside(void **state)
{
	struct place *p = *state;
	sqlite3 *db;
	struct sts_cache *cache = open_cache(p);
	sts_cache_close(&cache);
	assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	is_set_aside(p);
}

static void fill(struct place *p, int count)
{
	char domain[40];
	struct sts_cache *cache = open_cache(p);
	for (int i = 0; i < count; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		put(cache, domain, ENFORCE, NOW_S);
	}
	sts_cache_close(&cache);
}

static void a_truncated_file_is_set_aside_and_what_is_left_of_it_is_kept(void **state)
{
	struct place *p = *state;
	struct stat st;
	fill(p, 200);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(truncate(p->path, st.st_size / 2 + 100), 0);
	is_set_aside(p);
	struct sts_cache *cache = open_cache(p);
	unsigned left = 0;
	for (int i = 0; i < 200; i++) {
		char domain[40];
		snprintf(domain, sizeof(domain), "d%d.example", i);
		int mode = mode_of(cache, domain);
		assert_true(mode == -1 || mode == POLICY_STS_ENFORCE);
		left += mode == POLICY_STS_ENFORCE;
	}
	sts_cache_close(&cache);
	assert_true(left > 10);
}

/* Every byte of the file in turn (some hundred of them) is another. */
static void bit_flips_never_crash_and_never_make_another_policy(void **state)
{
	struct place *p = *state;
	struct buf good = { 0 };
	unsigned lost = 0;
	fill(p, 20);
	assert_int_equal(file_read(p->path, 1 << 24, &good, NULL), 0);
	for (size_t at = 0; at < good.length; at += 61) {
		struct place *damaged;
		set_up((void **)&damaged);
		good.data[good.head + at] ^= (char)(1 << (at % 8));
		write_file(damaged->path, buf_str(&good));
		good.data[good.head + at] ^= (char)(1 << (at % 8));
		struct sts_cache *cache = open_cache(damaged);
		unsigned found = 0;
		for (int i = 0; i < 20; i++) {
			char domain[40];
			struct sts_cache_entry e;
			snprintf(domain, sizeof(domain), "d%d.example", i);
			if (!sts_cache_get(cache, domain, &e))
				continue;
			assert_string_equal(e.policy->text, ENFORCE);
			assert_int_equal(e.fetched_s, NOW_S);
			sts_policy_unref(&e.policy);
			found++;
		}
		/* who loses something says so */
		assert_true(found == 20 || damaged->warnings > 0);
		assert_int_equal(sts_cache_count(cache), found);
		lost += 20 - found;
		sts_cache_close(&cache);
		tear_down((void **)&damaged);
	}
	buf_release(&good);
	assert_true(lost > 0);
}

static void a_row_that_does_not_fit_its_checksum_is_left_out(void **state)
{
	struct place *p = *state;
	sqlite3 *db;
	fill(p, 3);
	assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				 "UPDATE entry SET policy = replace(CAST(policy AS TEXT), "
				 "'enforce', 'testing') WHERE domain = 'd1.example'",
				 NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	struct sts_cache *cache = open_cache(p);
	assert_int_equal(mode_of(cache, "d0.example"), POLICY_STS_ENFORCE);
	assert_int_equal(mode_of(cache, "d1.example"), -1);
	assert_int_equal(mode_of(cache, "d2.example"), POLICY_STS_ENFORCE);
	assert_int_equal(p->warnings, 1);
	assert_non_null(strstr(p->warning, "1 damaged entry was left out"));
	assert_int_equal(count_files(p, ""), 3);
	sts_cache_close(&cache);
}

static void a_file_that_cannot_be_made_is_an_error(void **state)
{
	struct place *p = *state;
	struct err err = { 0 };
	char path[200];
	snprintf(path, sizeof(path), "%s/no/such/folder.db", p->folder);
	assert_null(sts_cache_open(path, STS_CACHE_READ_WRITE, 10, on_warning, p, &err));
	assert_non_null(strstr(err.text, path));
	/* and for a reader there is just nothing */
	struct sts_cache *cache = sts_cache_open(path, STS_CACHE_READ_ONLY, 10, on_warning, p, &err);
	assert_non_null(cache);
	sts_cache_close(&cache);
	assert_int_equal(p->warnings, 0);
}

static void a_locked_file_is_a_warning_and_written_later(void **state)
{
	struct place *p = *state;
	sqlite3 *db;
	struct sts_cache *cache = open_cache(p);
	assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	put(cache, "a.example", ENFORCE, NOW_S);
	assert_false(sts_cache_flush(cache));
	assert_false(sts_cache_flush(cache));
	assert_int_equal(p->warnings, 1); /* said once */
	assert_non_null(strstr(p->warning, "cannot be written"));
	assert_int_equal(mode_of(cache, "a.example"), POLICY_STS_ENFORCE);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_true(sts_cache_flush(cache));
	struct sts_cache *reader = open_as(p, STS_CACHE_READ_ONLY, 10);
	assert_int_equal(mode_of(reader, "a.example"), POLICY_STS_ENFORCE);
	sts_cache_close(&reader);
	sts_cache_close(&cache);
}

/* Torn while we run (more pages than SQLite keeps): another file takes its place, and gets all. */
static void damage_under_way_loses_nothing(void **state)
{
	struct place *p = *state;
	struct buf text = { 0 };
	char domain[40];
	struct stat st;
	buf_append_text(&text, ENFORCE "x: ");
	while (text.length < 60000)
		buf_append_byte(&text, 'x');
	buf_append_byte(&text, '\0');
	struct sts_cache *cache = open_cache(p);
	for (int i = 0; i < 200; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		put(cache, domain, buf_str(&text).at, NOW_S);
	}
	sts_cache_close(&cache);
	cache = open_cache(p);
	assert_int_equal(stat(p->path, &st), 0);
	int fd = open(p->path, O_WRONLY);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, "torn page torn page torn page!!!", 32, at), 32);
	close(fd);
	for (int i = 0; i < 100; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		put(cache, domain, TESTING, NOW_S);
		sts_cache_flush(cache);
	}
	assert_int_equal(p->warnings, 1);
	assert_non_null(strstr(p->warning, "set aside"));
	sts_cache_close(&cache);
	cache = open_cache(p);
	assert_int_equal(sts_cache_count(cache), 200);
	assert_int_equal(mode_of(cache, "d7.example"), POLICY_STS_TESTING);
	assert_int_equal(mode_of(cache, "d150.example"), POLICY_STS_ENFORCE);
	assert_int_equal(p->warnings, 1);
	sts_cache_close(&cache);
	buf_release(&text);
}

static void what_is_enforced_is_never_thrown_out_for_room(void **state)
{
	struct place *p = *state;
	char domain[40];
	struct sts_cache *cache = open_as(p, STS_CACHE_READ_WRITE, 100);
	for (int i = 0; i < 60; i++) {
		snprintf(domain, sizeof(domain), "enforce%d.example", i);
		put(cache, domain, ENFORCE, NOW_S);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(domain, sizeof(domain), "flood%d.example", i);
		put(cache, domain, i % 3 ? TESTING : NULL, NOW_S + 1);
		assert_true(sts_cache_count(cache) <= 100);
		if (i % 100 == 0)
			sts_cache_flush(cache);
	}
	for (int reopened = 0; reopened < 2; reopened++) {
		for (int i = 0; i < 60; i++) {
			snprintf(domain, sizeof(domain), "enforce%d.example", i);
			assert_int_equal(mode_of(cache, domain), POLICY_STS_ENFORCE);
		}
		assert_int_equal(mode_of(cache, "flood4999.example"), POLICY_STS_TESTING);
		sts_cache_close(&cache);
		cache = open_as(p, STS_CACHE_READ_WRITE, 100);
		assert_true(sts_cache_count(cache) <= 100);
	}
	assert_int_equal(p->warnings, 0);
	/* only such are left: a new one is not kept, and somebody is told */
	for (int i = 60; i < 200; i++) {
		snprintf(domain, sizeof(domain), "enforce%d.example", i);
		put(cache, domain, ENFORCE, NOW_S);
	}
	assert_int_equal(p->warnings, 1);
	assert_non_null(strstr(p->warning, "raise cache-entries"));
	assert_int_equal(sts_cache_count(cache), 100);
	assert_int_equal(mode_of(cache, "enforce0.example"), POLICY_STS_ENFORCE);
	assert_int_equal(mode_of(cache, "enforce199.example"), -1);
	/* those that ran out make room */
	put(cache, "later.example", ENFORCE, NOW_S + 11 * DAY_S);
	assert_int_equal(mode_of(cache, "later.example"), POLICY_STS_ENFORCE);
	sts_cache_close(&cache);
	/* a lower limit throws out the same way */
	cache = open_as(p, STS_CACHE_READ_WRITE, 20);
	assert_true(sts_cache_count(cache) <= 20);
	assert_int_equal(mode_of(cache, "later.example"), POLICY_STS_ENFORCE);
	sts_cache_close(&cache);
}

static struct sts_cache_entry entry_with(uint32_t max_age_s, int64_t fetched_s)
{
	char text[120];
	snprintf(text, sizeof(text), "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: %u",
		max_age_s);
	return (struct sts_cache_entry){ .policy = sts_policy_parse(str_of(text), NULL),
		.fetched_s = fetched_s, .used_s = fetched_s };
}

static void M19_a_policy_lives_for_max_age_from_its_fetch(void **state)
{
	struct sts_cache_entry e = entry_with(1000, NOW_S), none = { 0 };
	(void)state;
	assert_false(sts_cache_is_live(&none, NOW_S));
	assert_true(sts_cache_is_live(&e, NOW_S));
	assert_true(sts_cache_is_live(&e, NOW_S + 999));
	assert_true(sts_cache_is_live(&e, NOW_S + 1000));
	assert_false(sts_cache_is_live(&e, NOW_S + 1001));
	assert_true(sts_cache_is_live(&e, NOW_S - 5 * DAY_S));
	sts_policy_unref(&e.policy);
	e = entry_with(0, NOW_S);
	assert_true(sts_cache_is_live(&e, NOW_S));
	assert_false(sts_cache_is_live(&e, NOW_S + 1));
	sts_policy_unref(&e.policy);
}

static void M10_tries_are_5_minutes_apart_growing_to_an_hour(void **state)
{
	static const int64_t waits_s[] = { 300, 600, 1200, 2400, 3600, 3600 };
	struct sts_cache_entry e = { .failed_s = NOW_S };
	(void)state;
	assert_int_equal(sts_cache_retry_s(&e), 0);
	for (unsigned i = 0; i < 6; i++) {
		e.failures = i + 1;
		assert_int_equal(sts_cache_retry_s(&e), NOW_S + waits_s[i]);
	}
	e.failures = UINT32_MAX;
	assert_int_equal(sts_cache_retry_s(&e), NOW_S + 3600);
}

static void M19_each_domain_is_refreshed_daily_at_its_own_time(void **state)
{
	struct sts_cache_entry e = entry_with(864000, NOW_S);
	unsigned hours[24] = { 0 };
	(void)state;
	for (int i = 0; i < 2400; i++) {
		char domain[40];
		snprintf(domain, sizeof(domain), "d%d.example", i);
		e.fetched_s = NOW_S;
		int64_t first_s = sts_cache_refresh_s(domain, &e);
		assert_in_range(first_s, NOW_S + DAY_S / 2, NOW_S + DAY_S * 3 / 2 - 1);
		hours[first_s / 3600 % 24]++;
		e.fetched_s = first_s + 30;
		assert_int_equal(sts_cache_refresh_s(domain, &e), first_s + DAY_S);
	}
	for (int i = 0; i < 24; i++)
		assert_in_range(hours[i], 50, 200);
	sts_policy_unref(&e.policy);
	assert_true(sts_cache_refresh_s("a.example", &e) == INT64_MAX);
	/* the shorter-lived before they run out, the shortest not by themselves */
	e = entry_with(8 * 3600, NOW_S);
	assert_int_equal(sts_cache_refresh_s("a.example", &e), NOW_S + 6 * 3600);
	e.failures = 5;
	e.failed_s = NOW_S + 6 * 3600;
	assert_int_equal(sts_cache_refresh_s("a.example", &e), NOW_S + 7 * 3600);
	sts_policy_unref(&e.policy);
	e = entry_with(3600, NOW_S);
	assert_true(sts_cache_refresh_s("a.example", &e) == INT64_MAX);
	sts_policy_unref(&e.policy);
}

static void on_due(void *ctx, const char *domain)
{
	struct buf *names = ctx;
	buf_printf(names, "%s ", domain);
}

static bool is_due(struct sts_cache *cache, int64_t now_s, const char *domain)
{
	struct buf names = { 0 };
	sts_cache_due(cache, now_s, 100, on_due, &names);
	buf_append_byte(&names, '\0');
	bool is_in = strstr(buf_str(&names).at, domain) != NULL;
	buf_release(&names);
	return is_in;
}

static void M19_what_is_live_and_used_is_due_the_oldest_first(void **state)
{
	struct place *p = *state;
	struct buf names = { 0 };
	struct sts_cache_entry e = entry_with(5000000, NOW_S);
	struct sts_cache *cache =
		sts_cache_open(NULL, STS_CACHE_READ_WRITE, 100, on_warning, p, NULL);
	put(cache, "young.example", ENFORCE, NOW_S + 8 * DAY_S);
	put(cache, "old.example", ENFORCE, NOW_S + 2 * DAY_S);
	put(cache, "older.example", TESTING, NOW_S);
	put(cache, "failed.example", NULL, NOW_S);
	sts_cache_put(cache, "unused.example", &e);
	assert_int_equal(sts_cache_due(cache, NOW_S + 9 * DAY_S - DAY_S / 2 - 1, 2, on_due, &names),
		2);
	assert_true(str_equal(buf_str(&names), STR("older.example unused.example ")) ||
		str_equal(buf_str(&names), STR("unused.example older.example ")));
	/* run out */
	assert_true(is_due(cache, NOW_S + 10 * DAY_S, "older.example"));
	assert_false(is_due(cache, NOW_S + 10 * DAY_S + 1, "older.example"));
	assert_true(is_due(cache, NOW_S + 12 * DAY_S, "old.example"));
	assert_true(is_due(cache, NOW_S + 12 * DAY_S, "young.example"));
	/* nobody asked for it in 30 days */
	assert_true(is_due(cache, NOW_S + 30 * DAY_S, "unused.example"));
	assert_false(is_due(cache, NOW_S + 30 * DAY_S + 1, "unused.example"));
	/* fetched in what is now the future */
	assert_true(is_due(cache, NOW_S - 2 * DAY_S, "young.example"));
	/* and failed there, too */
	e.fetched_s = NOW_S + DAY_S;
	e.failed_s = NOW_S + 2 * DAY_S;
	e.failures = 1;
	sts_cache_put(cache, "future.example", &e);
	assert_true(is_due(cache, NOW_S - 2 * DAY_S, "future.example"));
	e.failed_s = NOW_S - 2 * DAY_S - 60; /* by today's clock: that one counts */
	sts_cache_put(cache, "future.example", &e);
	assert_false(is_due(cache, NOW_S - 2 * DAY_S, "future.example"));
	sts_policy_unref(&e.policy);
	buf_release(&names);
	sts_cache_close(&cache);
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DISK(what_was_put_survives_a_restart),
		ON_DISK(a_flush_is_on_the_disk_without_a_close),
		ON_DISK(memory_alone_is_enough),
		ON_DISK(a_reader_creates_nothing),
		ON_DISK(what_was_flushed_survives_a_kill),
		ON_DISK(a_bad_header_is_set_aside),
		ON_DISK(another_database_is_set_aside),
		ON_DISK(a_later_version_is_set_aside),
		ON_DISK(a_truncated_file_is_set_aside_and_what_is_left_of_it_is_kept),
		ON_DISK(bit_flips_never_crash_and_never_make_another_policy),
		ON_DISK(a_row_that_does_not_fit_its_checksum_is_left_out),
		ON_DISK(a_file_that_cannot_be_made_is_an_error),
		ON_DISK(a_locked_file_is_a_warning_and_written_later),
		ON_DISK(damage_under_way_loses_nothing),
		ON_DISK(what_is_enforced_is_never_thrown_out_for_room),
		ON_DISK(M19_what_is_live_and_used_is_due_the_oldest_first),
		cmocka_unit_test(M19_a_policy_lives_for_max_age_from_its_fetch),
		cmocka_unit_test(M10_tries_are_5_minutes_apart_growing_to_an_hour),
		cmocka_unit_test(M19_each_domain_is_refreshed_daily_at_its_own_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
