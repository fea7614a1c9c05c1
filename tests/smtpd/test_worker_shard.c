/* The shard's straight line with real rooms: a spool on disk, two scripted next hops, reloads. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_date.h"
#include "tests/smtpd/shard_fixture.h"

#define BOTH_TO_A "route \"x.test\" { to = \"$A\" } route \"y.test\" { to = \"$A\" }\n" \
	"route \"back.test\" { to = \"$B\" }\n"
#define Y_TO_B "route \"x.test\" { to = \"$A\" } route \"y.test\" { to = \"$B\" }\n"

/* ---- reloads ---------------------------------------------------------------------------------- */

static void a_recipient_that_a_reload_sends_elsewhere_does_not_wait_for_ever(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add_once(&p->a, "MAIL", "451 4.3.0 later\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "one@x.test", "two@y.test", NULL);
	shard_settle(p);
	assert_int_equal(shard_messages(p), 1);
	shard_reload(p, Y_TO_B);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 1);
	assert_int_equal(shard_said(&p->b, "RCPT TO:<two@y.test>"), 1);
	assert_int_equal(shard_messages(p), 0);
}

static void a_recipient_that_a_reload_sends_where_others_are_under_way_follows(void **state)
{
	struct place *p = *state;
	shard_begin(p, Y_TO_B);
	fake_hop_add_once(&p->b, "MAIL", "451 4.3.0 later\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "one@x.test", "two@y.test", NULL);
	while (shard_said(&p->a, "RCPT") == 0 || worker_shard_running_count(p->shard) > 1)
		tlsio_loop_turn(p->loop, true);
	assert_int_equal(p->a.messages, 0);
	shard_reload(p, BOTH_TO_A);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 1);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<two@y.test>"), 1);
	assert_int_equal(shard_messages(p), 0);
}

static void a_reload_never_puts_a_recipient_into_two_deliveries(void **state)
{
	struct place *p = *state;
	shard_begin(p, Y_TO_B);
	fake_hop_add_once(&p->b, "MAIL", "451 4.3.0 later\r\n", FAKE_HOP_SAY);
	fake_hop_add_once(&p->a, ".", NULL, FAKE_HOP_SILENT);
	shard_put(p, "s@back.test", 0, "one@x.test", "two@y.test", NULL);
	while (shard_said(&p->a, "DATA") == 0 || worker_shard_running_count(p->shard) > 1)
		tlsio_loop_turn(p->loop, true);
	/* now both have another requirement, so another destination */
	shard_reload(p, Y_TO_B "domain \"x.test\" { outbound { require = \"none\" } }\n"
			 "domain \"y.test\" { outbound { require = \"none\" } }\n");
	for (int i = 0; i < 20; i++) {
		sched_flush_all(worker_shard_sched(p->shard));
		tlsio_loop_turn(p->loop, false);
	}
	while (shard_said(&p->b, "DATA") == 0)
		tlsio_loop_turn(p->loop, true);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 1);
	fake_hop_drop_peers(&p->a);
	shard_settle(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 2); /* the answer was lost */
	assert_int_equal(shard_said(&p->b, "RCPT TO:<two@y.test>"), 1);
	assert_int_equal(shard_messages(p), 0);
}

static void what_was_put_off_goes_by_the_rules_of_the_last_reload(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add_once(&p->a, "MAIL", "451 4.3.0 later\r\n", FAKE_HOP_SAY);
	shard_put(p, "", 0, "one@x.test", NULL);
	shard_settle(p);
	shard_reload(p, BOTH_TO_A "domain \"x.test\" { outbound { require = \"encrypt\" } }\n");
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 1); /* the one before the reload */
	assert_int_equal(shard_messages(p), 1);
	assert_true(shard_logged(p, "offers no STARTTLS, but postern.conf:"));
	shard_reload(p, BOTH_TO_A);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_messages(p), 0);
}

static void a_rule_that_came_while_we_connected_is_obeyed(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	shard_put(p, "", 0, "one@x.test", NULL);
	while (shard_said(&p->a, "EHLO") == 0)
		tlsio_loop_turn(p->loop, true);
	assert_int_equal(shard_said(&p->a, "MAIL"), 0);
	shard_reload(p, BOTH_TO_A "domain \"x.test\" { outbound { require = \"encrypt\" } }\n");
	shard_settle(p);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 0);
	assert_int_equal(shard_messages(p), 1);
	shard_reload(p, BOTH_TO_A);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_messages(p), 0);
}

static void an_exception_that_ends_while_we_connect_is_over(void **state)
{
	struct place *p = *state;
	char until[POLICY_DATE_BYTES], more[600];
	policy_date_format(tlsio_loop_time_s(p->loop) + 3600, until);
	snprintf(more, sizeof(more), BOTH_TO_A
		"domain \"x.test\" { outbound { require = \"encrypt\" } }\n"
		"exception \"x.test\" { require = \"may\" reason = \"x\" until = \"%s\" }\n", until);
	shard_begin(p, more);
	shard_put(p, "", 0, "one@x.test", NULL);
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 1); /* while it holds */
	fake_hop_drop_peers(&p->a); /* none stands idle */
	shard_put(p, "", 0, "two@x.test", NULL);
	while (shard_said(&p->a, "EHLO") == 1)
		tlsio_loop_turn(p->loop, true);
	shard_later_s = 3601;
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 1);
	assert_int_equal(shard_messages(p), 1);
	shard_flush(p);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 1);
	assert_true(shard_logged(p, "offers no STARTTLS, but postern.conf:"));
	assert_int_equal(shard_messages(p), 1);
}

static void a_reload_that_changes_nothing_for_it_does_not_disturb(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	shard_put(p, "", 0, "one@x.test", NULL);
	while (shard_said(&p->a, "EHLO") == 0)
		tlsio_loop_turn(p->loop, true);
	shard_reload(p, BOTH_TO_A "domain \"z.test\" { outbound { require = \"encrypt\" } }\n");
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "MAIL"), 1);
	assert_int_equal(shard_messages(p), 0);
}

/* ---- reports ---------------------------------------------------------------------------------- */

static void success_is_reported_though_the_message_is_gone_then(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	shard_put(p, "s@back.test", SPOOL_NOTIFY_SUCCESS, "one@x.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(shard_said(&p->b, "RCPT TO:<s@back.test>"), 1);
	assert_non_null(strstr(buf_text(&p->b.data), "Action: relayed"));
	assert_false(shard_logged(p, "success-report-lost"));
	assert_int_equal(shard_messages(p), 0);
}

static void a_full_queue_can_still_bounce(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A "#full\n");
	fake_hop_add(&p->a, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(shard_said(&p->b, "RCPT TO:<s@back.test>"), 1);
	assert_int_equal(shard_messages(p), 0);
}

static void a_failed_recipient_is_told_of_once(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT TO:<bad", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "bad@x.test", "good@y.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(shard_said(&p->b, "MAIL FROM:<>"), 1);
	assert_int_equal(shard_said(&p->b, "RCPT TO:<s@back.test>"), 1);
	assert_null(strstr(buf_text(&p->b.data), "good@y.test"));
	assert_int_equal(shard_messages(p), 0);
}

static void nobody_is_told_of_a_failed_report(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	fake_hop_add(&p->b, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_wait_for(p, &p->b, "RCPT");
	shard_settle(p);
	assert_int_equal(shard_said(&p->b, "MAIL FROM:<>"), 1);
	assert_int_equal(shard_said(&p->a, "MAIL FROM:<>"), 0);
	assert_int_equal(shard_messages(p), 0);
}

static void never_means_never(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", SPOOL_NOTIFY_NEVER, "one@x.test", NULL);
	shard_settle(p);
	shard_flush(p);
	assert_int_equal(p->b.connections, 0);
	assert_int_equal(shard_messages(p), 0);
}

/* What posternctl remove does. */
static void remove_message(struct place *p, uint64_t id)
{
	struct spool_outcome removed = { .recipient = 0, .state = SPOOL_RECIPIENT_REMOVED };
	spool_settle(worker_shard_spool(p->shard), id, &removed, 1);
	sched_remove(worker_shard_sched(p->shard), id);
}

static void a_message_removed_under_way_is_not_bounced(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	while (shard_said(&p->a, "MAIL") == 0)
		tlsio_loop_turn(p->loop, true);
	remove_message(p, id);
	shard_settle(p);
	shard_flush(p);
	assert_int_equal(p->b.connections, 0);
	assert_int_equal(shard_messages(p), 0);
	assert_int_equal(sched_waiting_count(worker_shard_sched(p->shard)), 0);
	assert_false(shard_logged(p, "not kept"));
}

static void mail_tried_for_days_is_given_up_and_told(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT TO:<one", "451 4.7.1 greylisted\r\n", FAKE_HOP_SAY);
	p->age_s = 6 * 24 * 3600;
	shard_put(p, "s@back.test", 0, "one@x.test", "two@y.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 1);
	assert_non_null(strstr(buf_text(&p->b.data), "Action: failed"));
	assert_non_null(strstr(buf_text(&p->b.data), "greylisted"));
	assert_true(shard_logged(p, "recipients=1 expired=1 dsn="));
	assert_null(strstr(buf_text(&p->b.data), "two@y.test"));
	assert_int_equal(shard_messages(p), 0);
}

/* One bit of what is stored; the disk did it. */
static void damage(struct place *p, const char *words)
{
	char path[100];
	snprintf(path, sizeof(path), "%s/0", p->directory);
	DIR *directory = opendir(path);
	const struct dirent *entry;
	size_t damaged = 0;
	while ((entry = readdir(directory)) != NULL) {
		struct buf content = { 0 };
		char file[400];
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.' && file_read(file, 64 << 20, &content, NULL) == 0) {
			char *at = memmem(content.data, content.length, words, strlen(words));
			int fd = at ? open(file, O_WRONLY) : -1;
			if (at) {
				char changed = (char)(*at ^ 1);
				damaged += pwrite(fd, &changed, 1, at - content.data) == 1;
				close(fd);
			}
		}
		buf_release(&content);
	}
	closedir(directory);
	assert_int_equal(damaged, 1);
}

static void mail_that_can_not_be_read_any_more_is_given_up_and_told_too(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	p->age_s = 6 * 24 * 3600;
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	damage(p, "Subject: x");
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(p->a.messages, 0);
	assert_non_null(strstr(buf_text(&p->b.data), "Action: failed"));
	assert_int_equal(shard_messages(p), 0);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static void a_drain_waits_for_the_report_on_its_way_to_the_disk(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add(&p->a, "RCPT", "550 5.1.1 nobody\r\n", FAKE_HOP_SAY);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	while (shard_said(&p->a, "RCPT") == 0)
		tlsio_loop_turn(p->loop, true);
	worker_shard_drain(p->shard);
	shard_settle(p);
	assert_int_equal(p->quiet_calls, 1);
	assert_int_equal(p->b.connections, 0); /* nothing new begins */
	assert_int_equal(shard_messages(p), 1);
	assert_true(spool_next_id(worker_shard_spool(p->shard), 0) != id); /* the report */
}

static void mail_cut_off_midway_is_there_at_the_next_start(void **state)
{
	struct place *p = *state;
	shard_begin(p, BOTH_TO_A);
	fake_hop_add_once(&p->a, ".", NULL, FAKE_HOP_SILENT);
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	while (p->a.data.length == 0)
		tlsio_loop_turn(p->loop, true);
	shard_reload(p, BOTH_TO_A);
	worker_shard_free(&p->shard);
	shard_begin(p, BOTH_TO_A);
	shard_wait_for(p, &p->a, "<end>\nEHLO");
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 2);
	assert_int_equal(shard_messages(p), 0);
}

/* ---- by MX -------------------------------------------------------------------------------------- */

#define BY_MX "route \"*\" { to = \"mx\" } route \"back.test\" { to = \"$B\" }\n"
#define STRICT BY_MX "domain \"x.test\" { outbound { require = \"encrypt\" } }\n"

/* What policyd says while it works by these settings: hop A is the MX host. */
static void plan(struct place *p, const char *domain, const char *more)
{
	struct config *config = shard_config(p, more);
	const struct policy_rule *rule = policy_rules_find(config->rules, str_of(domain), 0);
	struct policy_plan *made = fake_planner_plan(&p->planner, domain, rule->fingerprint);
	fake_planner_host(made, "mx.test", 10, &p->a.address, rule->requirement);
	config_unref(&config);
}

static void mail_goes_by_the_plan_of_its_domain(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	plan(p, "x.test", BY_MX);
	shard_put(p, "s@back.test", 0, "one@x.test", "two@y.test", NULL);
	shard_settle(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<one@x.test>"), 1);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<two@y.test>"), 0);
	assert_int_equal(shard_messages(p), 1); /* nobody said where y.test is: that waits */
	plan(p, "y.test", BY_MX);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "RCPT TO:<two@y.test>"), 1);
	assert_int_equal(shard_messages(p), 0);
}

static void a_rule_that_came_while_policyd_was_asked_is_obeyed(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	plan(p, "x.test", BY_MX);
	p->planner.is_silent = true;
	shard_put(p, "", 0, "one@x.test", NULL);
	while (p->planner.asked_count == 0)
		tlsio_loop_turn(p->loop, true);
	shard_reload(p, STRICT);
	fake_planner_speak(&p->planner);
	p->planner.is_silent = false;
	shard_settle(p);
	shard_flush(p); /* policyd still works by the old rules */
	assert_true(shard_logged(p, "works by other rules"));
	assert_int_equal(p->a.connections, 0);
	plan(p, "x.test", STRICT);
	shard_flush(p);
	assert_int_equal(shard_said(&p->a, "EHLO"), 1);
	assert_int_equal(shard_said(&p->a, "MAIL"), 0); /* no STARTTLS there */
	assert_int_equal(shard_messages(p), 1);
}

/* The only recipient's, as the spool keeps them. */
static void assert_kept(struct place *p, uint64_t id, unsigned attempts, int64_t least_s, int64_t most_s)
{
	struct spool_reader *reader = spool_read(worker_shard_spool(p->shard), id, NULL);
	assert_non_null(reader);
	const struct spool_recipient *r = &spool_reader_envelope(reader)->recipients[0];
	assert_int_equal(r->attempts, attempts);
	assert_in_range(r->due_s, least_s, most_s);
	spool_reader_free(&reader);
}

static void while_policyd_is_down_no_attempt_is_counted_and_the_next_is_near(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	int64_t begin_s = tlsio_loop_time_s(p->loop);
	uint64_t id = shard_put(p, "", 0, "one@x.test", NULL);
	shard_settle(p);
	assert_true(shard_logged(p, "postern-policyd does not answer"));
	assert_kept(p, id, 0, begin_s + 9, begin_s + 30);
	policy_plan_end(fake_planner_plan(&p->planner, "x.test", ""), POLICY_PLAN_DEFER,
		POLICY_REASON_NONE, "no name server of x.test answers");
	shard_flush(p); /* that is x.test's own trouble */
	assert_kept(p, id, 1, begin_s + 3000, begin_s + 4000);
}

static void mail_too_old_still_gets_its_try_when_policyd_is_up_again(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	p->age_s = 6 * 86400;
	int64_t begin_s = tlsio_loop_time_s(p->loop);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_settle(p);
	assert_true(shard_logged(p, "postern-policyd does not answer"));
	assert_kept(p, id, 0, begin_s + 9, begin_s + 30);
}

static void mail_twice_too_old_is_given_up_though_policyd_is_down(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	p->age_s = 11 * 86400;
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_non_null(strstr(buf_text(&p->b.data), "postern-policyd does not answer"));
	assert_int_equal(shard_messages(p), 0);
}

static void a_drain_does_not_wait_for_policyd(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	p->planner.is_silent = true;
	shard_put(p, "", 0, "one@x.test", NULL);
	while (p->planner.asked_count == 0)
		tlsio_loop_turn(p->loop, true);
	worker_shard_drain(p->shard);
	shard_settle(p);
	assert_int_equal(worker_shard_running_count(p->shard), 0);
	assert_int_equal(shard_messages(p), 1);
	worker_shard_free(&p->shard);
	p->planner.is_silent = false;
	plan(p, "x.test", BY_MX);
	shard_begin(p, BY_MX); /* at once, not after a retry's hour: nothing had been tried */
	shard_wait_for(p, &p->a, "RCPT TO:<one@x.test>");
	shard_settle(p);
	assert_int_equal(shard_messages(p), 0);
}

static void a_domain_that_takes_no_mail_bounces_at_once(void **state)
{
	struct place *p = *state;
	shard_begin(p, BY_MX);
	policy_plan_end(fake_planner_plan(&p->planner, "x.test", ""), POLICY_PLAN_NO_MAIL,
		POLICY_REASON_NONE, "x.test takes no mail (null MX)");
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_non_null(strstr(buf_text(&p->b.data), "5.1.10"));
	assert_int_equal(shard_messages(p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, shard_set_up, shard_tear_down)
		T(a_recipient_that_a_reload_sends_elsewhere_does_not_wait_for_ever),
		T(a_recipient_that_a_reload_sends_where_others_are_under_way_follows),
		T(a_reload_never_puts_a_recipient_into_two_deliveries),
		T(what_was_put_off_goes_by_the_rules_of_the_last_reload),
		T(a_rule_that_came_while_we_connected_is_obeyed),
		T(an_exception_that_ends_while_we_connect_is_over),
		T(a_reload_that_changes_nothing_for_it_does_not_disturb),
		T(success_is_reported_though_the_message_is_gone_then),
		T(a_full_queue_can_still_bounce),
		T(a_failed_recipient_is_told_of_once),
		T(nobody_is_told_of_a_failed_report),
		T(never_means_never),
		T(a_message_removed_under_way_is_not_bounced),
		T(mail_tried_for_days_is_given_up_and_told),
		T(mail_that_can_not_be_read_any_more_is_given_up_and_told_too),
		T(a_drain_waits_for_the_report_on_its_way_to_the_disk),
		T(mail_cut_off_midway_is_there_at_the_next_start),
		T(mail_goes_by_the_plan_of_its_domain),
		T(a_rule_that_came_while_policyd_was_asked_is_obeyed),
		T(while_policyd_is_down_no_attempt_is_counted_and_the_next_is_near),
		T(mail_too_old_still_gets_its_try_when_policyd_is_up_again),
		T(mail_twice_too_old_is_given_up_though_policyd_is_down),
		T(a_drain_does_not_wait_for_policyd),
		T(a_domain_that_takes_no_mail_bounces_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
