/* Senders are told that mail is late, and mail is given up, tried or not: RFC 3461 4.1, RFC 5321 4.5.4.1. */
#include <stdio.h>
#include <string.h>

#include "tests/smtpd/shard_fixture.h"

#define ROUTES "route \"x.test\" { to = \"$A\" } route \"back.test\" { to = \"$B\" }\n"
#define HOUR_S 3600
#define DAY_S (24 * HOUR_S)

/* The next look, which is half a minute away by the loop's clock, now. */
static void look(struct place *p, const char *more)
{
	shard_reload(p, more);
	for (int i = 0; i < 20; i++)
		tlsio_loop_turn(p->loop, false);
	shard_settle(p);
}

static void later(struct place *p, int64_t seconds, const char *more)
{
	shard_later_s += seconds;
	look(p, more);
}

static size_t reports(struct place *p)
{
	return shard_count(buf_text(&p->b.data), "Action: delayed");
}

/* A next hop that cannot be reached: it drops every connection. */
static void make_dead(struct fake_hop *hop)
{
	fake_hop_add(hop, "GREETING", "", FAKE_HOP_RESET);
}

/* ---- late ------------------------------------------------------------------------------------ */

static void a_sender_is_told_once_when_a_try_fails_after_four_hours(void **state)
{
	struct place *p = *state;
	shard_begin(p, ROUTES);
	fake_hop_add(&p->a, "RCPT", "451 4.7.1 greylisted\r\n", FAKE_HOP_SAY);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_settle(p);
	shard_later_s += 4 * HOUR_S - 10;
	shard_flush(p);
	assert_int_equal(reports(p), 0);
	shard_later_s += 20;
	shard_flush(p);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(reports(p), 1);
	assert_non_null(strstr(buf_text(&p->b.data), "Will-Retry-Until: "));
	assert_non_null(strstr(buf_text(&p->b.data), "We go on trying until"));
	assert_non_null(strstr(buf_text(&p->b.data), "greylisted"));
	assert_true(shard_logged(p, "delay-notice"));
	for (int again = 0; again < 3; again++) {
		shard_later_s += HOUR_S;
		shard_flush(p);
	}
	assert_int_equal(reports(p), 1);
	struct spool_reader *r = spool_read(worker_shard_spool(p->shard), id, NULL);
	assert_int_equal(spool_reader_envelope(r)->recipients[0].told, SPOOL_TOLD_DELAY);
	spool_reader_free(&r);
}

static void policy_is_told_after_an_hour_in_its_own_words(void **state)
{
	struct place *p = *state;
	const char *rule = ROUTES "domain \"x.test\" { outbound { require = \"encrypt\" } }\n";
	shard_begin(p, rule);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL); /* A offers no STARTTLS */
	shard_settle(p);
	struct spool_reader *r = spool_read(worker_shard_spool(p->shard), id, NULL);
	assert_int_equal(spool_reader_envelope(r)->recipients[0].cause, SPOOL_CAUSE_POLICY);
	spool_reader_free(&r);
	later(p, HOUR_S - 10, rule);
	assert_int_equal(reports(p), 0);
	later(p, 20, rule);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(reports(p), 1);
	assert_non_null(strstr(buf_text(&p->b.data), "Your message is held back"));
	assert_non_null(strstr(buf_text(&p->b.data), "Status: 4.7.5"));
	later(p, 5 * HOUR_S, rule);
	assert_int_equal(reports(p), 1);
	assert_null(strstr(fake_hop_commands(&p->a), "MAIL"));
}

static void behind_a_dead_next_hop_everybody_is_told(void **state)
{
	struct place *p = *state;
	shard_begin(p, ROUTES);
	make_dead(&p->a);
	for (int i = 0; i < 5; i++)
		shard_put(p, "s@back.test", 0, "one@x.test", "two@x.test", NULL);
	shard_put(p, "s@back.test", SPOOL_NOTIFY_NEVER, "never@x.test", NULL);
	shard_put(p, "", 0, "bounced@x.test", NULL);
	shard_put(p, "s@back.test", SPOOL_NOTIFY_FAILURE, "failure@x.test", NULL);
	shard_settle(p);
	later(p, 4 * HOUR_S - 10, ROUTES);
	assert_int_equal(reports(p), 0);
	later(p, 20, ROUTES);
	for (int i = 0; i < 200 && reports(p) < 10; i++)
		tlsio_loop_turn(p->loop, true);
	assert_int_equal(reports(p), 10);
	assert_int_equal(shard_said(&p->b, "MAIL FROM:<>"), 5);
	assert_null(strstr(buf_text(&p->b.data), "never@x.test"));
	assert_null(strstr(buf_text(&p->b.data), "failure@x.test"));
	shard_settle(p);
	/* told is kept: not again after a restart, when every message is looked at anew */
	worker_shard_free(&p->shard);
	shard_begin(p, ROUTES);
	look(p, ROUTES);
	assert_int_equal(reports(p), 10);
	assert_int_equal(shard_messages(p), 8);
}

static void notices_can_be_off(void **state)
{
	struct place *p = *state;
	const char *off = ROUTES "#no-notices\n";
	shard_begin(p, off);
	fake_hop_add(&p->a, "RCPT", "451 4.7.1 greylisted\r\n", FAKE_HOP_SAY);
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_settle(p);
	later(p, DAY_S, off);
	shard_flush(p);
	assert_int_equal(p->b.connections, 0);
	/* and on again, by a reload */
	look(p, ROUTES);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(reports(p), 1);
}

static void a_message_from_a_clock_that_was_ahead_holds_up_no_other(void **state)
{
	struct place *p = *state;
	shard_begin(p, ROUTES);
	make_dead(&p->a);
	p->age_s = -300 * DAY_S;
	shard_put(p, "s@back.test", 0, "future@x.test", NULL);
	p->age_s = 0;
	shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_settle(p);
	later(p, 4 * HOUR_S + 10, ROUTES);
	shard_wait_for(p, &p->b, "DATA");
	shard_settle(p);
	assert_int_equal(reports(p), 1);
	assert_non_null(strstr(buf_text(&p->b.data), "one@x.test"));
}

/* ---- too late -------------------------------------------------------------------------------- */

static void behind_a_dead_next_hop_everybody_is_given_up(void **state)
{
	struct place *p = *state;
	shard_begin(p, ROUTES);
	make_dead(&p->a);
	for (int i = 0; i < 4; i++)
		shard_put(p, "s@back.test", SPOOL_NOTIFY_FAILURE, "one@x.test", NULL);
	shard_put(p, "", 0, "bounced@x.test", NULL);
	shard_settle(p);
	later(p, DAY_S + HOUR_S, ROUTES);
	assert_int_equal(shard_messages(p), 4); /* a bounce's time is shorter; nobody is told of it */
	assert_int_equal(p->b.connections, 0);
	later(p, 4 * DAY_S, ROUTES);
	for (int i = 0; i < 200 && shard_messages(p); i++)
		tlsio_loop_turn(p->loop, true);
	assert_int_equal(shard_messages(p), 0);
	assert_int_equal(shard_count(buf_text(&p->b.data), "Action: failed"), 4);
	assert_non_null(strstr(buf_text(&p->b.data), "have given up"));
	assert_non_null(strstr(buf_text(&p->b.data), "Status: 4.4.7"));
	assert_true(shard_logged(p, "recipients=1 expired=1 dsn="));
	assert_int_equal(sched_waiting_count(worker_shard_sched(p->shard)), 0);
}

static void held_mail_is_neither_told_of_nor_given_up(void **state)
{
	struct place *p = *state;
	shard_begin(p, ROUTES);
	make_dead(&p->a);
	uint64_t id = shard_put(p, "s@back.test", 0, "one@x.test", NULL);
	shard_settle(p);
	const struct spool_outcome held = { .state = SPOOL_RECIPIENT_HELD };
	spool_settle(worker_shard_spool(p->shard), id, &held, 1);
	later(p, 30 * DAY_S, ROUTES);
	assert_int_equal(shard_messages(p), 1);
	assert_int_equal(p->b.connections, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, shard_set_up, shard_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_sender_is_told_once_when_a_try_fails_after_four_hours),
		T(policy_is_told_after_an_hour_in_its_own_words),
		T(behind_a_dead_next_hop_everybody_is_told),
		T(notices_can_be_off),
		T(a_message_from_a_clock_that_was_ahead_holds_up_no_other),
		T(behind_a_dead_next_hop_everybody_is_given_up),
		T(held_mail_is_neither_told_of_nor_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
