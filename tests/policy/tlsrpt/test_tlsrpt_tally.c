/* Counts: in memory, on disk, over restarts, damage, midnight and clocks that go back (R11). */
#include "policy/tlsrpt/tlsrpt_tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "policy/tlsrpt/tlsrpt_file.h"
#include "tests/fakes/fake_loop.h"

#define NOW_S INT64_C(1767225600) /* 2026-01-01 */
#define TODAY (NOW_S / TLSRPT_DAY_S)

struct world {
	char folder[64], path[100];
	struct tlsio_loop *loop;
	struct tlsrpt_settings settings;
	struct tlsrpt_tally *tally;
	unsigned warnings;
	char warning[400];
	struct buf seen;
};

static void on_warning(void *ctx, const char *words)
{
	struct world *w = ctx;
	w->warnings++;
	snprintf(w->warning, sizeof(w->warning), "%s", words);
}

static void open_tally(struct world *w)
{
	w->tally = tlsrpt_tally_new(
		w->loop, &w->settings, TLSRPT_TALLY_READ_WRITE, on_warning, w);
}

static int set_up(void **state)
{
	struct world *w = mem_zero(sizeof(*w));
	strcpy(w->folder, "/tmp/test-tlsrpt-tally-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof(w->path), "%s/t.db", w->folder);
	w->loop = tlsio_loop_new(NULL);
	w->settings = (struct tlsrpt_settings){ .tally = w->path, .days = 10, .rows_most = 1000,
		.bytes_most = 1 << 26 };
	open_tally(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	char path[400];
	tlsrpt_tally_free(&w->tally);
	tlsio_loop_free(&w->loop);
	DIR *folder = opendir(w->folder);
	for (struct dirent *e; (e = readdir(folder));) {
		snprintf(path, sizeof(path), "%s/%s", w->folder, e->d_name);
		unlink(path);
	}
	closedir(folder);
	rmdir(w->folder);
	buf_release(&w->seen);
	free(w);
	return 0;
}

static void on_row(void *ctx, const struct tlsrpt_row *row)
{
	struct world *w = ctx;
	char day[16];
	buf_printf(&w->seen, "%s %s %s ok=%" PRIu64 " failed=%" PRIu64, tlsrpt_row_day_text(row->day, day),
		row->domain, row->record[0] ? row->record : "-", row->ok, row->failed);
	for (size_t i = 0; i < row->tuple_count; i++)
		buf_printf(&w->seen, " %" PRIu64 "x%s", row->tuples[i].count, row->tuples[i].text);
	if (row->unlisted)
		buf_printf(&w->seen, " unlisted=%" PRIu64, row->unlisted);
	buf_append_byte(&w->seen, '\n');
}

/* What a reader sees on the disk at this moment. */
static const char *on_disk(struct world *w)
{
	struct err err = { 0 };
	buf_clear(&w->seen);
	assert_int_equal(tlsrpt_file_look(w->path, NULL, -1, on_row, w, NULL, &err), 0);
	return buf_text(&w->seen);
}

static const struct tlsrpt_failure failure = { .result = POLICY_REASON_CERTIFICATE_EXPIRED,
	.sending_ip = "192.0.2.1", .mx_host = "mx.d.example", .helo = "", .receiving_ip = "192.0.2.2",
	.additional = "", .reason_code = "expired" };

static void add(struct world *w, const char *domain, const char *record, bool is_success)
{
	struct tlsrpt_outcome outcome = { .policy = { .type = POLICY_REPORT_NO_POLICY, .domain = domain },
		.is_success = is_success, .failures = &failure, .failure_count = !is_success };
	const struct tlsrpt_session session = { .domain = domain, .record = record,
		.outcomes = &outcome, .outcome_count = 1 };
	tlsrpt_tally_add(w->tally, &session);
}

static void restart(struct world *w)
{
	tlsrpt_tally_free(&w->tally);
	open_tally(w);
}

#define EXPIRED "certificate-expired\t192.0.2.1\tmx.d.example\t\t192.0.2.2\t\texpired"

static void R11_equal_sessions_share_a_row_and_equal_failures_a_line(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 3; i++)
		add(w, "d.example", "", true);
	add(w, "d.example", "", false);
	add(w, "d.example", "v=TLSRPTv1;rua=mailto:a@b", false);
	add(w, "e.example", "", false);
	add(w, "e.example", "", false);
	assert_string_equal(on_disk(w), "");
	fake_loop_advance(w->loop, TLSRPT_TALLY_FLUSH_MS);
	assert_string_equal(on_disk(w),
		"2026-01-01 d.example - ok=3 failed=1 1x" EXPIRED "\n"
		"2026-01-01 d.example v=TLSRPTv1;rua=mailto:a@b ok=0 failed=1 1x" EXPIRED "\n"
		"2026-01-01 e.example - ok=0 failed=2 2x" EXPIRED "\n");
	assert_int_equal(w->warnings, 0);
}

static void counts_go_on_after_a_restart(void **state)
{
	struct world *w = *state;
	add(w, "d.example", "", false);
	restart(w); /* writes at the end */
	assert_string_equal(on_disk(w), "2026-01-01 d.example - ok=0 failed=1 1x" EXPIRED "\n");
	add(w, "d.example", "", true);
	add(w, "d.example", "", false);
	restart(w);
	assert_string_equal(on_disk(w), "2026-01-01 d.example - ok=1 failed=2 2x" EXPIRED "\n");
}

static void a_kill_loses_only_what_was_not_written(void **state)
{
	struct world *w = *state;
	tlsrpt_tally_free(&w->tally);
	pid_t child = fork();
	if (child == 0) {
		open_tally(w);
		add(w, "d.example", "", true);
		fake_loop_advance(w->loop, TLSRPT_TALLY_FLUSH_MS);
		add(w, "d.example", "", true);
		add(w, "e.example", "", true);
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	open_tally(w);
	add(w, "d.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_string_equal(on_disk(w), "2026-01-01 d.example - ok=2 failed=0\n");
	assert_int_equal(w->warnings, 0);
}

static void a_clock_that_goes_back_loses_and_doubles_nothing(void **state)
{
	struct world *w = *state;
	add(w, "d.example", "", true);
	fake_loop_set_time_s(w->loop, NOW_S + TLSRPT_DAY_S);
	add(w, "d.example", "", true);
	restart(w);
	fake_loop_set_time_s(w->loop, NOW_S + TLSRPT_DAY_S - 1);
	add(w, "d.example", "", true);
	tlsrpt_tally_flush(w->tally);
	fake_loop_set_time_s(w->loop, NOW_S + TLSRPT_DAY_S);
	add(w, "d.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_string_equal(on_disk(w), "2026-01-01 d.example - ok=2 failed=0\n"
		"2026-01-02 d.example - ok=2 failed=0\n");
}

static void days_beyond_those_kept_go(void **state)
{
	struct world *w = *state;
	for (int day = 0; day < 13; day++) {
		fake_loop_set_time_s(w->loop, NOW_S + day * TLSRPT_DAY_S);
		add(w, "d.example", "", true);
		fake_loop_advance(w->loop, TLSRPT_TALLY_FLUSH_MS);
	}
	assert_null(strstr(on_disk(w), "2026-01-02"));
	assert_non_null(strstr(on_disk(w), "2026-01-03"));
	assert_non_null(strstr(on_disk(w), "2026-01-13"));
	/* A start alone tidies up, too. */
	fake_loop_set_time_s(w->loop, NOW_S + 30 * TLSRPT_DAY_S);
	restart(w);
	fake_loop_advance(w->loop, TLSRPT_TALLY_FLUSH_MS);
	assert_string_equal(on_disk(w), "");
}

static void beyond_its_bounds_it_drops_counts_and_says_so_once(void **state)
{
	struct world *w = *state;
	struct tlsrpt_tally_counts counts;
	char domain[40];
	w->settings.rows_most = 100;
	tlsrpt_tally_change(w->tally, &w->settings);
	for (int i = 0; i < 103; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		add(w, domain, "", true);
	}
	tlsrpt_tally_count(w->tally, &counts);
	assert_int_equal(counts.counted, 100);
	assert_int_equal(counts.dropped, 3);
	assert_int_equal(w->warnings, 1);
	assert_non_null(strstr(w->warning, "rows-per-day are reached"));
	add(w, "d7.example", "", true); /* what is there goes on, after a restart too */
	restart(w);
	add(w, "d7.example", "", true);
	add(w, "d100.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), " d7.example - ok=3 "));
	assert_null(strstr(on_disk(w), " d100.example"));
}

static void failures_beyond_the_bound_are_counted_without_details(void **state)
{
	struct world *w = *state;
	struct tlsrpt_failure f = failure;
	char host[40];
	f.mx_host = host;
	struct tlsrpt_outcome outcome = { .policy = { .domain = "d.example" }, .failures = &f,
		.failure_count = 1 };
	const struct tlsrpt_session session = { .domain = "d.example", .record = "",
		.outcomes = &outcome, .outcome_count = 1 };
	for (int i = 0; i < TLSRPT_TUPLES_MOST + 5; i++) {
		snprintf(host, sizeof(host), "mx%d.d.example", i);
		tlsrpt_tally_add(w->tally, &session);
	}
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), "ok=0 failed=69"));
	assert_non_null(strstr(on_disk(w), " unlisted=5\n"));
}

static void many_rows_are_written_in_pieces_and_leave_memory(void **state)
{
	struct world *w = *state;
	struct tlsrpt_tally_counts counts;
	char domain[40];
	w->settings.rows_most = 100000;
	tlsrpt_tally_change(w->tally, &w->settings);
	for (int i = 0; i < TLSRPT_TALLY_PIECE + 10; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		add(w, domain, "", true);
	}
	fake_loop_advance(w->loop, TLSRPT_TALLY_FLUSH_MS);
	tlsrpt_tally_count(w->tally, &counts);
	assert_int_equal(counts.dirty, 10);
	fake_loop_advance(w->loop, 100);
	tlsrpt_tally_count(w->tally, &counts);
	assert_int_equal(counts.dirty, 0);
	for (int i = 0; i < TLSRPT_TALLY_MEMORY_ROWS; i++) {
		snprintf(domain, sizeof(domain), "e%d.example", i);
		add(w, domain, "", true);
	}
	tlsrpt_tally_count(w->tally, &counts);
	assert_int_equal(counts.rows, TLSRPT_TALLY_MEMORY_ROWS);
	assert_int_equal(counts.dropped, 0);
	/* One that left is found again. */
	tlsrpt_tally_flush(w->tally);
	add(w, "d0.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), " d0.example - ok=2 "));
}

static void named_policies_have_their_words_and_unknown_ones_go_without(void **state)
{
	struct world *w = *state;
	const char *strings[] = { "version: STSv1", "mode: testing" };
	const struct tlsrpt_policy policy = { .type = POLICY_REPORT_STS, .domain = "d.example",
		.strings = strings, .string_count = 2 };
	struct buf text = { 0 };
	assert_true(tlsrpt_policy_write(&policy, &text));
	uint64_t identity = tlsrpt_policy_identity(buf_str(&text));
	tlsrpt_tally_know_text(w->tally, buf_str(&text));
	tlsrpt_tally_know_text(w->tally, STR("none of ours"));
	buf_release(&text);
	struct policy_session session = { .domain = "D.example", .host = "mx.d.example",
		.part_count = 1, .parts = { { .type = POLICY_REPORT_STS, .identity = identity,
		.domain = "d.example", .why = "", .besides = POLICY_REASON_STS_POLICY_FETCH_ERROR } } };
	netaddr_parse(STR("192.0.2.1:25"), 25, &session.sending, NULL);
	netaddr_parse(STR("[2001:db8::2]:25"), 25, &session.receiving, NULL);
	tlsrpt_tally_add_named(w->tally, &session, 0);
	session.parts[0].besides = POLICY_REASON_NONE;
	session.parts[0].reason = POLICY_REASON_CERTIFICATE_HOST_MISMATCH;
	session.parts[0].why = "other names";
	tlsrpt_tally_add_named(w->tally, &session, 0);
	/* Another life knows them by the sessions that were written. */
	restart(w);
	tlsrpt_tally_add_named(w->tally, &session, 0);
	session.parts[0].identity++;
	tlsrpt_tally_add_named(w->tally, &session, 0);
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), "d.example - ok=1 failed=2 "
		"1xsts-policy-fetch-error\t192.0.2.1\tmx.d.example\t\t2001:db8::2\t\t "
		"2xcertificate-host-mismatch\t192.0.2.1\tmx.d.example\t\t2001:db8::2\t\tother names\n"));
	assert_non_null(strstr(on_disk(w), "d.example - ok=0 failed=1 1xcertificate"));
}

/* ---- for people ---- */

static const char *shown(struct world *w, const char *domain)
{
	struct policy_plan *plan = policy_plan_new(domain, domain);
	tlsrpt_tally_show(w->tally, domain, plan);
	buf_clear(&w->seen);
	assert_true(plan->evidence_count <= 1);
	if (plan->evidence_count)
		buf_append_text(&w->seen, plan->evidence[0].text);
	policy_plan_unref(&plan);
	return buf_text(&w->seen);
}

static void add_sts(struct world *w, const char *mode, bool is_success)
{
	const char *strings[] = { "version: STSv1", mode };
	struct tlsrpt_outcome outcome = { .policy = { .type = POLICY_REPORT_STS, .domain = "d.example",
		.strings = strings, .string_count = 2 }, .is_success = is_success,
		.failures = &failure, .failure_count = !is_success };
	const struct tlsrpt_session session = { .domain = "d.example", .record = "",
		.outcomes = &outcome, .outcome_count = 1 };
	tlsrpt_tally_add(w->tally, &session);
}

static void M17_what_testing_came_to_is_shown_after_a_restart_too(void **state)
{
	struct world *w = *state;
	add_sts(w, "mode: enforce", false);
	assert_string_equal(shown(w, "d.example"), "");
	add_sts(w, "mode:  testing", true);
	add_sts(w, "mode: testing", true);
	assert_string_equal(shown(w, "D.Example"),
		"since 2026-01-01 2 sessions would have passed, none failed");
	fake_loop_set_time_s(w->loop, NOW_S + 2 * TLSRPT_DAY_S);
	add_sts(w, "mode: testing", false);
	restart(w);
	assert_string_equal(shown(w, "d.example"), "since 2026-01-01 2 sessions would have passed, 1 "
		"failed; most of them on 2026-01-03: certificate-expired at host mx.d.example");
	/* posternctl, without a daemon */
	tlsrpt_tally_free(&w->tally);
	w->tally = tlsrpt_tally_new(w->loop, &w->settings, TLSRPT_TALLY_READ_ONLY, on_warning, w);
	assert_non_null(strstr(shown(w, "d.example"), "2 sessions would have passed, 1 failed"));
	/* in memory only */
	tlsrpt_tally_free(&w->tally);
	w->settings.tally = NULL;
	open_tally(w);
	add_sts(w, "mode: testing", true);
	assert_string_equal(shown(w, "d.example"),
		"since 2026-01-03 1 sessions would have passed, none failed");
}

/* ---- damage ---- */

static void damage(struct world *w, off_t at)
{
	char page[4096];
	memset(page, 0xa5, sizeof(page));
	int fd = open(w->path, O_WRONLY);
	assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
	close(fd);
}

static void a_damaged_file_is_set_aside_with_a_word(void **state)
{
	struct world *w = *state;
	unsigned aside = 0;
	for (int i = 0; i < 400; i++) {
		char domain[40];
		snprintf(domain, sizeof(domain), "d%d.example", i);
		add(w, domain, "", true);
	}
	tlsrpt_tally_free(&w->tally);
	damage(w, 4 * 4096);
	open_tally(w);
	assert_int_equal(w->warnings, 1);
	assert_non_null(strstr(w->warning, "set aside"));
	add(w, "new.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), " new.example - ok=1 "));
	/* what the other pages hold was saved */
	assert_non_null(strstr(on_disk(w), " d1"));
	DIR *folder = opendir(w->folder);
	for (struct dirent *e; (e = readdir(folder));)
		aside += strstr(e->d_name, ".damaged-") != NULL;
	closedir(folder);
	assert_true(aside >= 1);
}

static void a_changed_row_is_left_out_not_believed(void **state)
{
	struct world *w = *state;
	sqlite3 *db;
	size_t bad;
	add(w, "d.example", "", true);
	add(w, "e.example", "", true);
	tlsrpt_tally_free(&w->tally);
	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE tally SET ok = 7 WHERE domain = 'd.example'", NULL,
		NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	buf_clear(&w->seen);
	assert_int_equal(tlsrpt_file_look(w->path, NULL, -1, on_row, w, &bad, NULL), 0);
	assert_string_equal(buf_text(&w->seen), "2026-01-01 e.example - ok=1 failed=0\n");
	assert_int_equal(bad, 1);
	open_tally(w);
	add(w, "d.example", "", true);
	tlsrpt_tally_flush(w->tally);
	assert_non_null(strstr(on_disk(w), "d.example - ok=1 "));
}

static void a_file_that_cannot_be_used_is_a_warning_and_memory_counts(void **state)
{
	struct world *w = *state;
	tlsrpt_tally_free(&w->tally);
	w->settings.tally = (char *)(uintptr_t)"/nowhere/at/all/t.db";
	open_tally(w);
	assert_int_equal(w->warnings, 1);
	assert_non_null(strstr(w->warning, "counted in memory only"));
	add_sts(w, "mode: testing", true);
	assert_non_null(strstr(shown(w, "d.example"), "1 sessions would have passed"));
	assert_true(tlsrpt_tally_flush(w->tally));
}

static void a_full_file_gives_up_its_oldest_day(void **state)
{
	struct world *w = *state;
	char domain[40], record[3000];
	memset(record, 'r', sizeof(record) - 1);
	record[sizeof(record) - 1] = '\0';
	w->settings.bytes_most = 1 << 20;
	tlsrpt_tally_change(w->tally, &w->settings);
	for (int day = 0; day < 4; day++) {
		fake_loop_set_time_s(w->loop, NOW_S + day * TLSRPT_DAY_S);
		for (int i = 0; i < 100; i++) {
			snprintf(domain, sizeof(domain), "d%d.example", i);
			add(w, domain, record, true);
		}
		assert_true(tlsrpt_tally_flush(w->tally));
	}
	assert_true(w->warnings > 0);
	assert_non_null(strstr(w->warning, "full; its oldest day is removed"));
	assert_null(strstr(on_disk(w), "2026-01-01"));
	assert_non_null(strstr(on_disk(w), "2026-01-04 d99.example"));
}

static void days_have_their_text(void **state)
{
	int64_t day;
	char text[16];
	(void)state;
	assert_true(tlsrpt_row_day_parse(STR("2026-01-01"), &day));
	assert_int_equal(day, TODAY);
	assert_string_equal(tlsrpt_row_day_text(day, text), "2026-01-01");
	assert_int_equal(tlsrpt_row_day(-1), -1);
	assert_int_equal(tlsrpt_row_day(86399), 0);
	assert_false(tlsrpt_row_day_parse(STR("2026-02-30"), &day));
	assert_false(tlsrpt_row_day_parse(STR("2026-13-01"), &day));
	assert_false(tlsrpt_row_day_parse(STR("2026-01"), &day));
	assert_false(tlsrpt_row_day_parse(STR("today"), &day));
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(R11_equal_sessions_share_a_row_and_equal_failures_a_line),
		IN_WORLD(counts_go_on_after_a_restart),
		IN_WORLD(a_kill_loses_only_what_was_not_written),
		IN_WORLD(a_clock_that_goes_back_loses_and_doubles_nothing),
		IN_WORLD(days_beyond_those_kept_go),
		IN_WORLD(beyond_its_bounds_it_drops_counts_and_says_so_once),
		IN_WORLD(failures_beyond_the_bound_are_counted_without_details),
		IN_WORLD(many_rows_are_written_in_pieces_and_leave_memory),
		IN_WORLD(named_policies_have_their_words_and_unknown_ones_go_without),
		IN_WORLD(M17_what_testing_came_to_is_shown_after_a_restart_too),
		IN_WORLD(a_damaged_file_is_set_aside_with_a_word),
		IN_WORLD(a_changed_row_is_left_out_not_believed),
		IN_WORLD(a_file_that_cannot_be_used_is_a_warning_and_memory_counts),
		IN_WORLD(a_full_file_gives_up_its_oldest_day),
		cmocka_unit_test(days_have_their_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
