/* Plans that outlive their service: two worlds over one folder, the second after the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/file.h"
#include "policy/store/store.h"
#include "policy/store/store_file.h"
#include "tests/policy/plan/plan_world.h"

#define DOMAIN "example.org"
#define HOUR_S 3600
#define BEGIN_S INT64_C(1767225600) /* the fake loop's */

static struct world w;
static struct store *store;
static uint8_t digest[32];
static char folder[64], path[100];
static char warning[700];
static unsigned warnings;

static void on_warning(void *ctx, const char *words)
{
	(void)ctx;
	warnings++;
	snprintf(warning, sizeof(warning), "%s", words);
}

/* A life at this moment, in which name servers know DOMAIN, or nothing at all. */
static void live(int64_t time_s, bool has_dns, const struct world_rule *rules)
{
	world_open(&w, rules, NULL);
	fake_loop_set_time_s(w.loop, time_s);
	if (has_dns)
		world_add_domain(&w, DOMAIN, DNS_SECURE);
}

static void open_store(void)
{
	store = store_new(&(struct store_setup){ .loop = w.loop, .service = w.service, .path = path,
		.digest = digest, .on_warning = on_warning });
}

static void die(void)
{
	store_free(&store);
	world_close(&w);
}

static const struct policy_plan *found(const char *domain, bool wants_evidence)
{
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = domain,
		.next_hop = domain, .port = 25, .wants_evidence = wants_evidence };
	return plan_service_find(w.service, &question);
}

static struct store_counts counts(void)
{
	struct store_counts ret;
	store_count(store, &ret);
	return ret;
}

/* One life that knows DOMAIN and ends well. */
static void one_life(const struct world_rule *rules)
{
	live(BEGIN_S, true, rules);
	open_store();
	assert_int_equal(world_plan(&w, DOMAIN)->state, POLICY_PLAN_READY);
	store_save(store);
	assert_int_equal(counts().written, 1);
	die();
}

static void next_life(int64_t time_s, const struct world_rule *rules)
{
	live(time_s, false, rules);
	open_store();
}

static int begin(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_store.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/mta-sts.db.plans", folder);
	memset(digest, 7, sizeof(digest));
	warnings = 0;
	warning[0] = '\0';
	return 0;
}

static int end(void **state)
{
	char path_new[120];
	(void)state;
	snprintf(path_new, sizeof(path_new), "%s.new", path);
	assert_int_equal(access(path_new, F_OK), -1); /* nothing half-written stays behind */
	unlink(path);
	return rmdir(folder);
}

static void read_all(struct buf *ret)
{
	assert_int_equal(file_read(path, 1 << 20, ret, NULL), 0);
}

static void write_all(const struct buf *bytes)
{
	assert_int_equal(file_replace(path, buf_str(bytes), 0600, NULL), 0);
}

/* ---- what comes back -------------------------------------------------------------------------- */

static void plans_survive_a_restart_without_name_servers(void **state)
{
	struct stat st;
	(void)state;
	one_life(NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	next_life(BEGIN_S + 60, NULL);
	assert_int_equal(counts().read, 1);
	const struct policy_plan *plan = found(DOMAIN, true);
	assert_non_null(plan);
	assert_int_equal(plan->made_s, BEGIN_S);
	assert_int_equal(plan->host_count, 1);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_MAY);
	assert_true(plan->whole->is_mx_proven && plan->whole->is_general);
	assert_int_equal(plan->whole->plain_hosts, 1);
	assert_ptr_equal(plan->whole->rule,
		policy_rules_find(w.rules, str_of(DOMAIN), BEGIN_S)->requirement);
	assert_ptr_equal(world_plan(&w, DOMAIN), plan);
	assert_int_equal(fake_dns_count_all(w.dns), 0);
	assert_int_equal(warnings, 0);
	die();
}

static void a_plan_ends_when_it_would_have_ended(void **state)
{
	(void)state;
	one_life(NULL);
	next_life(BEGIN_S + 60, NULL);
	const struct policy_plan *plan = found(DOMAIN, false);
	assert_non_null(plan);
	int64_t left_s = plan->expires_s - BEGIN_S - 60;
	fake_loop_advance(w.loop, (left_s - 1) * 1000);
	assert_non_null(found(DOMAIN, false));
	fake_loop_advance(w.loop, 1000);
	assert_null(found(DOMAIN, false));
	die();
}

static void what_ended_meanwhile_is_left_out_in_silence(void **state)
{
	(void)state;
	one_life(NULL);
	next_life(BEGIN_S + 2 * 86400, NULL);
	assert_null(found(DOMAIN, false));
	assert_int_equal(counts().over, 1);
	assert_int_equal(warnings, 0);
	die();
}

static void a_clock_set_back_voids_the_file(void **state)
{
	(void)state;
	one_life(NULL);
	next_life(BEGIN_S - 1, NULL);
	assert_null(found(DOMAIN, false));
	assert_int_equal(warnings, 1);
	assert_says(warning, "the clock was set back");
	assert_says(warning, path);
	die();
}

static void a_DEFER_is_not_kept(void **state)
{
	(void)state;
	live(BEGIN_S, false, NULL);
	open_store();
	fake_dns_set_failed(w.dns, DOMAIN, DNS_MX, false, "SERVFAIL");
	assert_int_equal(world_plan(&w, DOMAIN)->state, POLICY_PLAN_DEFER);
	store_save(store);
	die();
	next_life(BEGIN_S + 1, NULL);
	assert_int_equal(counts().read + counts().over + counts().bad, 0);
	assert_null(found(DOMAIN, false));
	die();
}

/* ---- other settings --------------------------------------------------------------------------- */

static void plans_of_other_settings_are_left_out(void **state)
{
	(void)state;
	one_life(NULL);
	digest[31] ^= 1;
	next_life(BEGIN_S + 1, NULL);
	assert_null(found(DOMAIN, false));
	assert_int_equal(counts().over, 1);
	assert_int_equal(warnings, 0);
	die();
}

/* Whatever the digest says. */
static void a_plan_of_another_rule_is_left_out(void **state)
{
	static const struct world_rule stricter[] = { { .domain = DOMAIN, .level = POLICY_LEVEL_ENCRYPT },
		{ 0 } };
	(void)state;
	one_life(NULL);
	next_life(BEGIN_S + 1, stricter);
	assert_null(found(DOMAIN, false));
	assert_int_equal(counts().over, 1);
	die();
}

static void a_plan_ends_with_its_exception(void **state)
{
	static const struct world_rule lifted[] = { { .domain = DOMAIN, .level = POLICY_LEVEL_NONE,
		.reason = "their certificate ran out", .lasts_s = 600 }, { 0 } };
	static const struct world_rule over[] = { { .domain = DOMAIN, .level = POLICY_LEVEL_NONE,
		.reason = "their certificate ran out", .lasts_s = 0 }, { 0 } };
	(void)state;
	one_life(lifted);
	next_life(BEGIN_S + 599, lifted);
	assert_non_null(found(DOMAIN, false));
	die();
	next_life(BEGIN_S + 600, lifted);
	assert_null(found(DOMAIN, false));
	die();
	next_life(BEGIN_S + 1, over); /* taken back by the operator */
	assert_null(found(DOMAIN, false));
	die();
}

/* A policy that enforces was learned after the plan was written, and then we were killed. */
static void a_plan_that_knew_another_policy_is_left_out(void **state)
{
	static const char enforce[] = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n";
	(void)state;
	one_life(NULL);
	live(BEGIN_S + 1, false, NULL);
	fake_sts_set_policy(w.sts, DOMAIN, enforce);
	open_store();
	assert_null(found(DOMAIN, false));
	assert_int_equal(counts().over, 1);
	die();
}

static void a_plan_of_the_policy_that_is_known_comes_back(void **state)
{
	static const char enforce[] = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n";
	(void)state;
	live(BEGIN_S, true, NULL);
	fake_sts_set_policy(w.sts, DOMAIN, enforce);
	open_store();
	world_plan(&w, DOMAIN);
	store_save(store);
	die();
	live(BEGIN_S + 1, false, NULL);
	fake_sts_set_policy(w.sts, DOMAIN, enforce);
	open_store();
	const struct policy_plan *plan = found(DOMAIN, true);
	assert_non_null(plan);
	assert_int_equal(plan->whole->sts_mode, POLICY_STS_ENFORCE);
	assert_int_equal(plan->hosts[0].requirement->origin, POLICY_ORIGIN_STS);
	die();
}

/* ---- damage ----------------------------------------------------------------------------------- */

static void damage_anywhere_costs_one_warning_and_no_more(void **state)
{
	struct buf good = { 0 };
	(void)state;
	one_life(NULL);
	read_all(&good);
	for (size_t i = 0; i < good.length; i++) {
		char *at = good.data + good.head + i;
		*at ^= 0x11;
		write_all(&good);
		*at ^= 0x11;
		warnings = 0;
		next_life(BEGIN_S + 1, NULL);
		assert_int_equal(counts().read, 0);
		assert_int_equal(warnings, 1);
		die();
	}
	buf_release(&good);
}

static void a_file_cut_anywhere_gives_what_is_whole(void **state)
{
	struct buf good = { 0 };
	(void)state;
	live(BEGIN_S, true, NULL);
	world_add_domain(&w, "second.example", DNS_SECURE);
	open_store();
	world_plan(&w, DOMAIN);
	world_plan(&w, "second.example"); /* used last: stands first */
	store_save(store);
	die();
	read_all(&good);
	for (size_t left = good.length; left-- > 0;) {
		buf_truncate(&good, left);
		write_all(&good);
		warnings = 0;
		next_life(BEGIN_S + 1, NULL);
		assert_null(found(DOMAIN, false));
		assert_int_equal(counts().read, found("second.example", false) != NULL);
		assert_int_equal(warnings, 1);
		die();
		if (left == good.length / 2 + STORE_HEAD_BYTES)
			left -= 100; /* the rest is like it */
	}
	buf_release(&good);
}

static void bytes_behind_the_end_and_foreign_files_are_told(void **state)
{
	struct buf bytes = { 0 };
	(void)state;
	one_life(NULL);
	read_all(&bytes);
	buf_append_text(&bytes, "more");
	write_all(&bytes);
	next_life(BEGIN_S + 1, NULL);
	assert_int_equal(warnings, 1);
	assert_non_null(found(DOMAIN, false));
	die();
	buf_clear(&bytes);
	buf_append_text(&bytes, "SQLite format 3");
	write_all(&bytes);
	next_life(BEGIN_S + 1, NULL);
	assert_int_equal(warnings, 2);
	/* and the end of this life puts a good one in its place */
	store_save(store);
	assert_int_equal(counts().written, 1);
	die();
	next_life(BEGIN_S + 2, NULL);
	assert_int_equal(warnings, 2);
	die();
	buf_release(&bytes);
}

static void a_file_that_others_may_write_is_not_read(void **state)
{
	(void)state;
	one_life(NULL);
	assert_int_equal(chmod(path, 0620), 0);
	next_life(BEGIN_S + 1, NULL);
	assert_null(found(DOMAIN, false));
	assert_says(warning, "others than the user of this program may write it");
	die();
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	next_life(BEGIN_S + 1, NULL);
	assert_int_equal(warnings, 2);
	store_save(store); /* the link goes, not what it leads to */
	die();
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

/* ---- when ------------------------------------------------------------------------------------- */

static void many_are_written_in_slices_between_other_work(void **state)
{
	enum { MANY = 10 * STORE_SLICE_PLANS + 1 };
	char name[40];
	(void)state;
	live(BEGIN_S, true, NULL);
	open_store();
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		world_add_domain(&w, name, DNS_INSECURE);
		world_plan(&w, name);
	}
	fake_loop_advance(w.loop, STORE_LOOK_MS);
	assert_int_equal(counts().written, 0);
	fake_loop_advance(w.loop, 9);
	assert_int_equal(counts().written, 0);
	fake_loop_advance(w.loop, 1);
	assert_int_equal(counts().written, 1);
	/* nothing new: nothing to write, at the end neither */
	fake_loop_advance(w.loop, 10 * STORE_LOOK_MS);
	store_save(store);
	assert_int_equal(counts().written, 1);
	die(); /* killed or not, it is there */
	next_life(BEGIN_S + 3000, NULL);
	assert_int_equal(counts().read, MANY);
	assert_non_null(found("d0.example", false));
	assert_non_null(found("d640.example", false));
	die();
}

static void a_little_news_waits_for_an_hour(void **state)
{
	char name[40];
	(void)state;
	live(BEGIN_S, true, NULL);
	open_store();
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		world_add_domain(&w, name, DNS_INSECURE);
		world_plan(&w, name);
	}
	fake_loop_advance(w.loop, STORE_LOOK_MS + 10);
	assert_int_equal(counts().written, 1);
	world_plan(&w, DOMAIN);
	fake_loop_advance(w.loop, STORE_LATEST_MS / 2);
	assert_int_equal(counts().written, 1);
	fake_loop_advance(w.loop, STORE_LATEST_MS / 2 + STORE_LOOK_MS);
	assert_int_equal(counts().written, 2);
	die();
}

static void other_rules_void_what_is_being_written(void **state)
{
	char name[40];
	(void)state;
	live(BEGIN_S, true, NULL);
	open_store();
	for (int i = 0; i < 2 * STORE_SLICE_PLANS; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		world_add_domain(&w, name, DNS_INSECURE);
		world_plan(&w, name);
	}
	fake_loop_advance(w.loop, STORE_LOOK_MS);
	digest[0] ^= 1;
	plan_service_set_rules(w.service, w.rules);
	store_set_digest(store, digest);
	store_save(store);
	die();
	next_life(BEGIN_S + 60 * 60, NULL);
	assert_int_equal(counts().read, 0);
	assert_int_equal(warnings, 0);
	die();
}

static void a_folder_that_is_gone_is_told_once(void **state)
{
	(void)state;
	live(BEGIN_S, true, NULL);
	snprintf(path, sizeof(path), "%s/no/plans", folder);
	open_store();
	world_plan(&w, DOMAIN);
	fake_loop_advance(w.loop, 2 * STORE_LATEST_MS);
	store_save(store);
	assert_int_equal(warnings, 1);
	assert_says(warning, "No such file or directory");
	die();
	snprintf(path, sizeof(path), "%s/plans", folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(plans_survive_a_restart_without_name_servers),
		TEST(a_plan_ends_when_it_would_have_ended),
		TEST(what_ended_meanwhile_is_left_out_in_silence),
		TEST(a_clock_set_back_voids_the_file),
		TEST(a_DEFER_is_not_kept),
		TEST(plans_of_other_settings_are_left_out),
		TEST(a_plan_of_another_rule_is_left_out),
		TEST(a_plan_ends_with_its_exception),
		TEST(a_plan_that_knew_another_policy_is_left_out),
		TEST(a_plan_of_the_policy_that_is_known_comes_back),
		TEST(damage_anywhere_costs_one_warning_and_no_more),
		TEST(a_file_cut_anywhere_gives_what_is_whole),
		TEST(bytes_behind_the_end_and_foreign_files_are_told),
		TEST(a_file_that_others_may_write_is_not_read),
		TEST(many_are_written_in_slices_between_other_work),
		TEST(a_little_news_waits_for_an_hour),
		TEST(other_rules_void_what_is_being_written),
		TEST(a_folder_that_is_gone_is_told_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
