/* sts: record, cache and fetches together, in virtual time: the decision table row by row. */
#include "policy/sts/sts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_sts_fetch.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define DAY_S INT64_C(86400)
#define AGE_S 864000 /* ten days */
#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 864000\n"
#define ENFORCE_2 "version: STSv1\nmode: enforce\nmx: two.example\nmax_age: 864000\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mx.example\nmax_age: 864000\n"
#define NONE "version: STSv1\nmode: none\nmax_age: 864000\n"
#define NOWHERE "/nonexistent"

struct fixture {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts *sts;
	struct sts_settings settings;
	unsigned answers;
	struct sts_answer answer; /* the last; its policy is a reference */
	unsigned warnings;
	char warning[500];
	unsigned changes;
	char changed[80];
	struct sts_question *nested;
};

static void on_warning(void *ctx, const char *words)
{
	struct fixture *f = ctx;
	f->warnings++;
	snprintf(f->warning, sizeof(f->warning), "%s", words);
}

static void on_change(void *ctx, const char *domain)
{
	struct fixture *f = ctx;
	f->changes++;
	snprintf(f->changed, sizeof(f->changed), "%s", domain);
}

static const struct sts_events events = { on_warning, on_change };

static void on_answer(void *ctx, const struct sts_answer *answer)
{
	struct fixture *f = ctx;
	sts_policy_unref(&f->answer.policy);
	f->answers++;
	f->answer = *answer;
	if (answer->policy)
		sts_policy_ref(answer->policy);
}

static void begin(struct fixture *f)
{
	struct err err = { 0 };
	f->sts = sts_new(f->loop, f->dns, &f->settings, STS_CACHE_READ_WRITE, &events, f, &err);
	if (!f->sts)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	fake_sts_fetch_reset();
	f->loop = tlsio_loop_new(NULL);
	f->dns = dns_new(f->loop, NULL, NULL);
	f->settings = (struct sts_settings){ .fetch_ms = 30000, .first_wait_ms = 10000,
		.entries_most = 100 };
	begin(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	sts_policy_unref(&f->answer.policy);
	sts_free(&f->sts);
	sts_free(&f->sts);
	dns_free(&f->dns);
	tlsio_loop_free(&f->loop);
	free(f->settings.cache);
	free(f);
	fake_sts_fetch_reset();
	return 0;
}

static void set_record(struct fixture *f, const char *text)
{
	fake_dns_set(f->dns, "_mta-sts.a.example", DNS_TXT, DNS_INSECURE, text);
	fake_dns_set_ttl(f->dns, "_mta-sts.a.example", DNS_TXT, 300);
}

static void set_no_record(struct fixture *f)
{
	fake_dns_set_none(f->dns, "_mta-sts.a.example", DNS_TXT, DNS_NO_NAME, DNS_INSECURE);
}

static void set_file(const char *text)
{
	fake_sts_fetch_set("a.example", text);
}

static void set_failing(const char *why)
{
	fake_sts_fetch_set_failed("a.example", POLICY_REASON_STS_POLICY_FETCH_ERROR, why);
}

static unsigned fetches(void)
{
	return fake_sts_fetch_count("a.example");
}

/* A question, answered within this moment. */
static const struct sts_answer *ask_now(struct fixture *f)
{
	unsigned before = f->answers;
	sts_ask(f->sts, "a.example", on_answer, f);
	assert_int_equal(f->answers, before);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->answers, before + 1);
	return &f->answer;
}

static void later(struct fixture *f, int64_t ms)
{
	fake_loop_advance(f->loop, ms);
}

static int mode_of(const struct sts_answer *a)
{
	return a->policy ? (int)a->policy->mode : -1;
}

/* a.example has this policy, fetched now for id 1. */
static void learn(struct fixture *f, const char *text)
{
	set_record(f, "v=STSv1; id=1;");
	set_file(text);
	assert_non_null(ask_now(f)->policy);
	assert_string_equal(f->answer.id, "1");
}

/* --- the decision table -------------------------------------------------------------------------- */

static void M20_nothing_in_dns_and_nothing_cached_is_no_policy(void **state)
{
	struct fixture *f = *state;
	const struct sts_answer *a = ask_now(f);
	assert_null(a->policy);
	assert_int_equal(a->record, STS_RECORD_ABSENT);
	assert_int_equal(a->record_result, DNS_NO_NAME);
	assert_int_equal(a->record_ttl_s, 60);
	assert_false(a->is_waiting);
	assert_int_equal(a->failure_reason, POLICY_REASON_NONE);

	set_file(ENFORCE); /* a file without a record is not looked for (3.1) */
	fake_dns_set_failed(f->dns, "_mta-sts.a.example", DNS_TXT, false, "SERVFAIL");
	later(f, 61000);
	a = ask_now(f);
	assert_null(a->policy);
	assert_int_equal(a->record_result, DNS_FAILED);
	assert_int_equal(a->record_ttl_s, 60);

	fake_dns_set_failed(f->dns, "_mta-sts.a.example", DNS_TXT, true, "signature expired");
	later(f, 61000);
	assert_null(ask_now(f)->policy);
	set_record(f, "v=STSv1; id=not-good;");
	later(f, 61000);
	a = ask_now(f);
	assert_null(a->policy);
	assert_int_equal(a->record, STS_RECORD_INVALID);
	assert_int_equal(fetches(), 0);
}

static void first_contact_fetches_the_policy_and_uses_it_at_once(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=20260101Z;");
	set_file(ENFORCE);
	const struct sts_answer *a = ask_now(f);
	assert_int_equal(mode_of(a), POLICY_STS_ENFORCE);
	assert_string_equal(a->id, "20260101Z");
	assert_string_equal(a->record_id, "20260101Z");
	assert_int_equal(a->record, STS_RECORD_FOUND);
	assert_int_equal(a->record_result, DNS_FOUND);
	assert_int_equal(a->record_security, DNS_INSECURE);
	assert_int_equal(a->record_ttl_s, 300);
	assert_int_equal(a->fetched_s, tlsio_loop_time_s(f->loop));
	assert_int_equal(a->expires_s, a->fetched_s + AGE_S);
	assert_false(a->is_waiting);
	assert_int_equal(f->changes, 1);
	assert_string_equal(f->changed, "a.example");
}

static void the_same_id_uses_what_is_cached(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_file(ENFORCE_2); /* changed without a new id: not looked for yet */
	for (int i = 0; i < 10; i++) {
		later(f, 6 * MINUTE_MS);
		assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
		assert_true(sts_policy_names(f->answer.policy, "mx.example"));
	}
	assert_int_equal(fetches(), 1);
	assert_int_equal(f->changes, 1);
}

static void a_new_id_and_a_good_fetch_replace_what_is_cached(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_file(ENFORCE_2);
	later(f, 6 * MINUTE_MS);
	const struct sts_answer *a = ask_now(f);
	assert_true(sts_policy_names(a->policy, "two.example"));
	assert_string_equal(a->id, "2");
	assert_int_equal(f->changes, 2);
}

static void M18_a_new_id_and_a_failed_fetch_leave_what_is_cached(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_failing("connection refused");
	later(f, 6 * MINUTE_MS);
	const struct sts_answer *a = ask_now(f);
	assert_int_equal(mode_of(a), POLICY_STS_ENFORCE);
	assert_string_equal(a->id, "1");
	assert_string_equal(a->record_id, "2");
	assert_int_equal(a->expires_s, a->fetched_s + AGE_S);
	/* M22: to be reported */
	assert_int_equal(a->failure_reason, POLICY_REASON_STS_POLICY_FETCH_ERROR);
	assert_int_equal(a->failed_s, tlsio_loop_time_s(f->loop));
	assert_string_equal(a->failure, "connection refused");
	assert_int_equal(fetches(), 2);
	assert_int_equal(f->changes, 1);
}

static void a_new_id_and_a_failed_fetch_without_a_cached_policy_are_no_policy(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	fake_sts_fetch_set_failed("a.example", POLICY_REASON_STS_WEBPKI_INVALID, "expired");
	const struct sts_answer *a = ask_now(f);
	assert_null(a->policy);
	assert_false(a->is_waiting);
	assert_int_equal(a->failure_reason, POLICY_REASON_STS_WEBPKI_INVALID);
	assert_string_equal(a->failure, "expired");
	assert_int_equal(a->expires_s, 0);
	assert_int_equal(f->changes, 0);
}

static void M4_no_record_never_removes_a_cached_policy(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	for (int i = 0; i < 5; i++) {
		static const char *const records[] = { "v=STSv1; id=;", "v=STSv1; id=1;|v=STSv1; id=2;",
			"v=spf1 -all" };
		later(f, 61 * MINUTE_MS);
		if (i < 3)
			set_record(f, records[i]);
		else if (i == 3)
			set_no_record(f);
		else
			fake_dns_set_failed(f->dns, "_mta-sts.a.example", DNS_TXT, true, "bogus");
		const struct sts_answer *a = ask_now(f);
		assert_int_equal(mode_of(a), POLICY_STS_ENFORCE);
		assert_true(a->record != STS_RECORD_FOUND);
		assert_string_equal(a->record_id, "");
	}
	fake_dns_set_silent(f->dns, "_mta-sts.a.example", DNS_TXT);
	later(f, 61 * MINUTE_MS);
	sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 10 * 1000);
	assert_int_equal(f->answers, 7);
	assert_int_equal(mode_of(&f->answer), POLICY_STS_ENFORCE);
	assert_int_equal(fetches(), 1);
}

static void M4_a_fetched_policy_of_mode_none_replaces_enforce(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_file(NONE);
	later(f, 6 * MINUTE_MS);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_NONE);
	assert_int_equal(f->changes, 2);
}

static void ids_are_compared_with_their_case(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=abc;");
	set_file(ENFORCE);
	ask_now(f);
	set_record(f, "v=STSv1; id=ABC;");
	later(f, 6 * MINUTE_MS);
	assert_string_equal(ask_now(f)->id, "ABC");
	assert_int_equal(fetches(), 2);
}

/* --- lifetime ------------------------------------------------------------------------------------ */

static void M19_a_policy_ends_max_age_after_its_last_good_fetch(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	int64_t fetched_s = f->answer.fetched_s;
	set_failing("connection refused");
	later(f, (AGE_S - 1) * 1000);
	assert_int_equal(tlsio_loop_time_s(f->loop), fetched_s + AGE_S - 1);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(f->answer.fetched_s, fetched_s);
	later(f, 1000);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(f->answer.expires_s, tlsio_loop_time_s(f->loop));
	later(f, 1000);
	const struct sts_answer *a = ask_now(f);
	assert_null(a->policy);
	assert_int_equal(a->failure_reason, POLICY_REASON_STS_POLICY_FETCH_ERROR);
	/* and when it can be fetched again, it is */
	set_file(ENFORCE);
	later(f, HOUR_MS + 1000);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
}

static void what_is_known_is_what_is_in_force(void **state)
{
	struct fixture *f = *state;
	assert_null(sts_known(f->sts, "a.example"));
	learn(f, ENFORCE);
	set_failing("connection refused");
	later(f, AGE_S * 1000);
	struct sts_policy *policy = sts_known(f->sts, "a.example");
	assert_non_null(policy);
	assert_int_equal(policy->mode, POLICY_STS_ENFORCE);
	sts_policy_unref(&policy);
	later(f, 1000);
	assert_null(sts_known(f->sts, "a.example"));
}

static void M19_an_expired_policy_with_nothing_in_dns_is_over(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_no_record(f);
	set_failing("no address");
	later(f, (AGE_S + 1) * 1000);
	unsigned before = fetches();
	assert_null(ask_now(f)->policy);
	assert_int_equal(fetches(), before);
}

static void M12_max_age_0_is_for_this_moment(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	set_file("version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 0\n");
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(fetches(), 1);
	later(f, 1000);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(fetches(), 2);
	set_failing("gone");
	later(f, 1000);
	assert_null(ask_now(f)->policy);
}

static void a_clock_set_back_ends_no_policy_and_stops_no_fetch(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	fake_loop_set_time_s(f->loop, tlsio_loop_time_s(f->loop) - 40 * DAY_S);
	later(f, 6 * MINUTE_MS);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	/* it is fetched again, and then has times that mean something */
	assert_int_equal(fetches(), 2);
	assert_true(f->answer.fetched_s <= tlsio_loop_time_s(f->loop));
	/* a failure in the future is no reason to wait for it */
	set_record(f, "v=STSv1; id=2;");
	set_failing("refused");
	later(f, 6 * MINUTE_MS);
	ask_now(f);
	assert_int_equal(fetches(), 3);
	fake_loop_set_time_s(f->loop, tlsio_loop_time_s(f->loop) - 2 * DAY_S);
	set_file(ENFORCE_2);
	later(f, 6 * MINUTE_MS);
	assert_string_equal(ask_now(f)->id, "2");
}

static void a_clock_set_forward_ends_a_policy_that_cannot_be_fetched(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_failing("refused");
	fake_loop_set_time_s(f->loop, tlsio_loop_time_s(f->loop) + 20 * DAY_S);
	assert_null(ask_now(f)->policy);
}

/* --- how often ----------------------------------------------------------------------------------- */

static void a_new_id_is_looked_for_when_the_ttl_is_over(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_file(ENFORCE_2);
	later(f, 299000);
	assert_string_equal(ask_now(f)->id, "1");
	assert_int_equal(f->answer.record_ttl_s, 60);
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.a.example", DNS_TXT), 1);
	later(f, 1000);
	assert_string_equal(ask_now(f)->id, "2");
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.a.example", DNS_TXT), 2);
	/* but not more often than once a minute */
	fake_dns_set_ttl(f->dns, "_mta-sts.a.example", DNS_TXT, 0);
	later(f, 300000);
	ask_now(f);
	later(f, 59000);
	ask_now(f);
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.a.example", DNS_TXT), 3);
	later(f, 1000);
	ask_now(f);
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.a.example", DNS_TXT), 4);
}

static void an_absence_is_believed_for_half_an_hour_at_most(void **state)
{
	struct fixture *f = *state;
	set_no_record(f);
	fake_dns_set_ttl(f->dns, "_mta-sts.a.example", DNS_TXT, 100000);
	assert_int_equal(ask_now(f)->record_ttl_s, 1800);
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	later(f, 1800000);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
}

static void M10_one_id_is_tried_again_after_5_minutes_growing_to_an_hour(void **state)
{
	static const int waits_s[] = { 300, 600, 1200, 2400, 3600, 3600 };
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	set_failing("refused");
	ask_now(f);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(fetches(), i + 1);
		later(f, (waits_s[i] - 1) * INT64_C(1000));
		assert_false(ask_now(f)->is_waiting);
		assert_int_equal(fetches(), i + 1);
		later(f, 1000);
		ask_now(f);
	}
	/* another id is another matter */
	set_record(f, "v=STSv1; id=2;");
	later(f, 301000);
	ask_now(f);
	assert_int_equal(fetches(), 8);
	later(f, 301000);
	ask_now(f);
	assert_int_equal(fetches(), 9);
	set_file(ENFORCE);
	later(f, 601000);
	assert_string_equal(ask_now(f)->id, "2");
	assert_int_equal(f->answer.failure_reason, POLICY_REASON_NONE);
}

/* --- waiting ------------------------------------------------------------------------------------- */

static void M23_the_first_contact_waits_10_seconds_and_the_fetch_goes_on(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	fake_sts_fetch_set_delay("a.example", 20000);
	sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 9999);
	assert_int_equal(f->answers, 0);
	later(f, 1);
	assert_int_equal(f->answers, 1);
	assert_null(f->answer.policy);
	assert_true(f->answer.is_waiting);
	/* who asks now has waited enough already */
	assert_true(ask_now(f)->is_waiting);
	assert_int_equal(fetches(), 1);
	later(f, 10000);
	assert_int_equal(f->changes, 1); /* what was planned without it is to be forgotten */
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_false(f->answer.is_waiting);
}

static void a_slow_fetch_for_a_new_id_leaves_the_old_policy_in_force(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_file(ENFORCE_2);
	fake_sts_fetch_set_delay("a.example", 20000);
	later(f, 6 * MINUTE_MS);
	sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 10000);
	assert_int_equal(f->answers, 2);
	assert_string_equal(f->answer.id, "1");
	assert_false(f->answer.is_waiting);
	later(f, 10000);
	assert_string_equal(ask_now(f)->id, "2");
}

static void without_a_wait_the_answer_comes_at_once(void **state)
{
	struct fixture *f = *state;
	sts_free(&f->sts);
	f->settings.first_wait_ms = 0;
	begin(f);
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	fake_sts_fetch_set_delay("a.example", 100);
	assert_true(ask_now(f)->is_waiting);
	later(f, 100);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
}

static void questions_in_flight_are_joined(void **state)
{
	struct fixture *f = *state;
	struct sts_question *cancelled;
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	fake_sts_fetch_set_delay("a.example", 1000);
	for (int i = 0; i < 10; i++)
		sts_ask(f->sts, i % 2 ? "a.example" : "A.Example", on_answer, f);
	cancelled = sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 500);
	for (int i = 0; i < 10; i++)
		sts_ask(f->sts, "a.example", on_answer, f);
	sts_cancel(&cancelled);
	assert_null(cancelled);
	sts_cancel(&cancelled);
	later(f, 500);
	assert_int_equal(f->answers, 20);
	assert_int_equal(fetches(), 1);
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.a.example", DNS_TXT), 1);
}

static void who_cancels_hears_nothing_and_the_fetch_goes_on(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	fake_sts_fetch_set_delay("a.example", 1000);
	struct sts_question *q = sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 500);
	sts_cancel(&q);
	later(f, 5000);
	assert_int_equal(f->answers, 0);
	assert_int_equal(fake_sts_fetch_in_flight(), 0);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(fetches(), 1);
	/* cancelled at once, before anything was asked */
	q = sts_ask(f->sts, "b.example", on_answer, f);
	sts_cancel(&q);
	later(f, 1000);
	assert_int_equal(fake_dns_count(f->dns, "_mta-sts.b.example", DNS_TXT), 0);
}

static void ask_again(void *ctx, const struct sts_answer *answer)
{
	struct fixture *f = ctx;
	(void)answer;
	sts_cancel(&f->nested);
	sts_ask(f->sts, "a.example", on_answer, f);
}

static void an_answer_may_ask_and_cancel(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	set_file(ENFORCE);
	sts_ask(f->sts, "a.example", ask_again, f);
	f->nested = sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 0);
	assert_int_equal(f->answers, 1);
	assert_int_equal(mode_of(&f->answer), POLICY_STS_ENFORCE);
}

static void it_may_go_while_things_are_in_flight(void **state)
{
	struct fixture *f = *state;
	set_record(f, "v=STSv1; id=1;");
	fake_sts_fetch_set_delay("a.example", -1);
	struct sts_question *q = sts_ask(f->sts, "a.example", on_answer, f);
	later(f, 1000);
	sts_cancel(&q);
	fake_dns_set_silent(f->dns, "_mta-sts.b.example", DNS_TXT);
	q = sts_ask(f->sts, "b.example", on_answer, f);
	later(f, 1000);
	sts_cancel(&q);
	assert_int_equal(fake_sts_fetch_in_flight(), 1);
	assert_int_equal(fake_dns_in_flight(f->dns), 1);
	sts_free(&f->sts);
	assert_int_equal(fake_sts_fetch_in_flight(), 0);
	assert_int_equal(fake_dns_in_flight(f->dns), 0);
	assert_int_equal(f->answers, 0);
}

static void a_name_too_long_for_a_record_has_none(void **state)
{
	struct fixture *f = *state;
	char name[254];
	memset(name, 'a', sizeof(name) - 1);
	for (size_t i = 60; i < 250; i += 60)
		name[i] = '.';
	name[253] = '\0';
	sts_ask(f->sts, name, on_answer, f);
	later(f, 0);
	assert_int_equal(f->answers, 1);
	assert_null(f->answer.policy);
	assert_int_equal(fake_dns_count_all(f->dns), 0);
}

/* Whoever owns a zone has as many domains as he likes, each with a policy host that never answers. */
static void slow_strangers_do_not_keep_a_policy_in_force_from_its_renewal(void **state)
{
	enum { STRANGERS = 1100 };
	struct fixture *f = *state;
	learn(f, ENFORCE);
	assert_int_equal(fetches(), 1);
	for (int i = 0; i < STRANGERS; i++) {
		char record[60];
		snprintf(record, sizeof(record), "_mta-sts.d%d.example", i);
		fake_dns_set(f->dns, record, DNS_TXT, DNS_INSECURE, "v=STSv1; id=1;");
		fake_sts_fetch_set_delay(record + 9, -1);
		sts_ask(f->sts, record + 9, on_answer, f);
	}
	later(f, 11000);
	assert_int_equal(f->answers, 1 + STRANGERS); /* without a policy: nobody waits for ever */
	assert_in_range(fake_sts_fetch_in_flight(), 100, 1000);
	set_record(f, "v=STSv1; id=2;");
	later(f, 301000); /* the record is asked for anew */
	assert_non_null(ask_now(f)->policy);
	assert_int_equal(fetches(), 2);
	assert_string_equal(f->answer.id, "2");
}

/* --- refresh ------------------------------------------------------------------------------------- */

static void M19_policies_are_fetched_again_daily_whatever_the_record_says(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_no_record(f);
	for (int day = 0; day < 29; day++)
		later(f, DAY_MS);
	assert_in_range(fetches(), 28, 31);
	assert_int_equal(f->changes, 1); /* always the same */
	set_file(ENFORCE_2);
	later(f, DAY_MS);
	assert_int_equal(f->changes, 2);
	assert_true(sts_policy_names(ask_now(f)->policy, "two.example"));
	assert_string_equal(f->answer.id, "1"); /* as far as is known */
}

static void M19_a_policy_nobody_asks_for_is_not_fetched_for_ever(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	later(f, 31 * DAY_MS);
	unsigned before = fetches();
	later(f, 9 * DAY_MS);
	assert_int_equal(fetches(), before);
	/* it is still in force, and use begins it anew */
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	later(f, 2 * DAY_MS);
	assert_true(fetches() > before);
}

static void M19_the_same_id_restarts_nothing_but_a_refresh_does(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	int64_t fetched_s = f->answer.fetched_s;
	later(f, 11 * HOUR_MS);
	assert_int_equal(ask_now(f)->fetched_s, fetched_s);
	later(f, 26 * HOUR_MS);
	assert_true(ask_now(f)->fetched_s > fetched_s);
	assert_int_equal(f->answer.expires_s, f->answer.fetched_s + AGE_S);
}

static void a_refresh_that_finds_a_new_id_notes_it(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_file(ENFORCE_2);
	later(f, 2 * DAY_MS);
	unsigned before = fetches();
	assert_string_equal(ask_now(f)->id, "2");
	assert_int_equal(fetches(), before);
}

static void M19_an_enforced_policy_that_runs_out_is_a_warning_once_a_day(void **state)
{
	struct fixture *f = *state;
	learn(f, ENFORCE);
	set_failing("the certificate of mta-sts.a.example expired");
	later(f, 7 * DAY_MS);
	assert_int_equal(f->warnings, 0);
	assert_true(fetches() > 100); /* an hour apart */
	assert_true(fetches() < 7 * 24);
	later(f, DAY_MS + HOUR_MS);
	assert_int_equal(f->warnings, 1);
	assert_non_null(strstr(f->warning, "a.example (enforce) runs out in 47 hours"));
	assert_non_null(strstr(f->warning, "the certificate of mta-sts.a.example expired"));
	later(f, DAY_MS);
	assert_int_equal(f->warnings, 2);
	later(f, 5 * DAY_MS);
	assert_int_equal(f->warnings, 2); /* it ran out */
	assert_null(ask_now(f)->policy);
}

static void testing_and_none_run_out_without_a_word(void **state)
{
	struct fixture *f = *state;
	learn(f, TESTING);
	set_failing("refused");
	later(f, 20 * DAY_MS);
	assert_int_equal(f->warnings, 0);
}

static void a_flood_of_domains_is_fetched_at_a_bounded_rate(void **state)
{
	struct fixture *f = *state;
	char name[60], domain[40];
	for (int i = 0; i < 1500; i++) {
		snprintf(domain, sizeof(domain), "flood%d.example", i);
		snprintf(name, sizeof(name), "_mta-sts.%s", domain);
		fake_dns_set(f->dns, name, DNS_TXT, DNS_INSECURE, "v=STSv1; id=1;");
		fake_sts_fetch_set_delay(domain, 30000);
		sts_ask(f->sts, domain, on_answer, f);
	}
	later(f, 0);
	assert_int_equal(fake_sts_fetch_in_flight(), 1000);
	assert_int_equal(f->answers, 500); /* nobody waits for a fetch that cannot begin */
	assert_true(f->answer.is_waiting);
	later(f, 31000);
	assert_int_equal(f->answers, 1500);
	assert_int_equal(fake_sts_fetch_in_flight(), 0);
}

static void a_policy_the_full_cache_does_not_take_is_used_all_the_same(void **state)
{
	struct fixture *f = *state;
	char name[60], domain[40];
	for (int i = 0; i < 100; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		snprintf(name, sizeof(name), "_mta-sts.%s", domain);
		fake_dns_set(f->dns, name, DNS_TXT, DNS_INSECURE, "v=STSv1; id=1;");
		fake_sts_fetch_set(domain, ENFORCE);
		sts_ask(f->sts, domain, on_answer, f);
	}
	later(f, 0);
	assert_int_equal(f->answers, 100);
	learn(f, ENFORCE);
	assert_int_equal(f->warnings, 1);
	later(f, HOUR_MS);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_int_equal(fetches(), 1);
}

/* --- restarts ------------------------------------------------------------------------------------ */

static bool is_on_disk(struct fixture *f, const char *path)
{
	struct sts_cache_entry entry = { 0 };
	struct sts_cache *beside =
		sts_cache_open(path, STS_CACHE_READ_ONLY, 100, on_warning, f, NULL);
	bool is_there = sts_cache_get(beside, "a.example", &entry);
	sts_policy_unref(&entry.policy);
	sts_cache_close(&beside);
	return is_there;
}

static void a_disk_in_trouble_is_tried_again_in_a_while_not_at_each_turn(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;
	char folder[] = "/tmp/test-sts-XXXXXX", path[80];
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sts.db", folder);
	sts_free(&f->sts);
	f->settings.cache = strdup(path);
	begin(f);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	learn(f, ENFORCE);
	assert_int_equal(f->warnings, 1);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(mode_of(ask_now(f)), POLICY_STS_ENFORCE);
	assert_false(is_on_disk(f, path)); /* that turn left it alone */
	fake_loop_advance(f->loop, 11000);
	assert_true(is_on_disk(f, path)); /* though nobody asked anything */
	sts_free(&f->sts);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void a_restart_forgets_neither_policies_nor_failures(void **state)
{
	struct fixture *f = *state;
	char folder[] = "/tmp/test-sts-XXXXXX", path[80];
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sts.db", folder);
	sts_free(&f->sts);
	f->settings.cache = strdup(path);
	begin(f);
	learn(f, ENFORCE);
	set_record(f, "v=STSv1; id=2;");
	set_failing("refused");
	later(f, 6 * MINUTE_MS);
	ask_now(f);
	assert_int_equal(fetches(), 2);

	/* on the disk at the end of the turn, not only after a close in good order */
	struct sts_cache_entry entry = { 0 };
	struct sts_cache *beside =
		sts_cache_open(path, STS_CACHE_READ_ONLY, 100, on_warning, f, NULL);
	assert_true(sts_cache_get(beside, "a.example", &entry));
	assert_string_equal(entry.failed_id, "2");
	assert_string_equal(entry.policy->text, ENFORCE);
	sts_policy_unref(&entry.policy);
	sts_cache_close(&beside);

	sts_free(&f->sts);
	begin(f);
	set_no_record(f);
	const struct sts_answer *a = ask_now(f);
	assert_int_equal(mode_of(a), POLICY_STS_ENFORCE);
	assert_string_equal(a->failure, "refused");
	set_record(f, "v=STSv1; id=2;");
	later(f, 4 * MINUTE_MS);
	ask_now(f);
	assert_int_equal(fetches(), 2);

	/* somebody looks on from beside */
	struct sts *reader =
		sts_new(f->loop, f->dns, &f->settings, STS_CACHE_READ_ONLY, &events, f, NULL);
	sts_ask(reader, "a.example", on_answer, f);
	later(f, 0);
	assert_int_equal(mode_of(&f->answer), POLICY_STS_ENFORCE);
	sts_free(&reader);
	sts_free(&f->sts);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(f->warnings, 0);
}

static void a_cache_that_cannot_be_opened_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct sts_settings settings = f->settings;
	settings.cache = (char[]){ NOWHERE "/sts.db" };
	assert_null(sts_new(
		f->loop, f->dns, &settings, STS_CACHE_READ_WRITE, &events, f, &err));
	assert_non_null(strstr(err.text, NOWHERE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(M20_nothing_in_dns_and_nothing_cached_is_no_policy),
		TEST(first_contact_fetches_the_policy_and_uses_it_at_once),
		TEST(the_same_id_uses_what_is_cached),
		TEST(a_new_id_and_a_good_fetch_replace_what_is_cached),
		TEST(M18_a_new_id_and_a_failed_fetch_leave_what_is_cached),
		TEST(a_new_id_and_a_failed_fetch_without_a_cached_policy_are_no_policy),
		TEST(M4_no_record_never_removes_a_cached_policy),
		TEST(M4_a_fetched_policy_of_mode_none_replaces_enforce),
		TEST(ids_are_compared_with_their_case),
		TEST(M19_a_policy_ends_max_age_after_its_last_good_fetch),
		TEST(what_is_known_is_what_is_in_force),
		TEST(M19_an_expired_policy_with_nothing_in_dns_is_over),
		TEST(M12_max_age_0_is_for_this_moment),
		TEST(a_clock_set_back_ends_no_policy_and_stops_no_fetch),
		TEST(a_clock_set_forward_ends_a_policy_that_cannot_be_fetched),
		TEST(a_new_id_is_looked_for_when_the_ttl_is_over),
		TEST(an_absence_is_believed_for_half_an_hour_at_most),
		TEST(M10_one_id_is_tried_again_after_5_minutes_growing_to_an_hour),
		TEST(M23_the_first_contact_waits_10_seconds_and_the_fetch_goes_on),
		TEST(a_slow_fetch_for_a_new_id_leaves_the_old_policy_in_force),
		TEST(without_a_wait_the_answer_comes_at_once),
		TEST(questions_in_flight_are_joined),
		TEST(who_cancels_hears_nothing_and_the_fetch_goes_on),
		TEST(an_answer_may_ask_and_cancel),
		TEST(it_may_go_while_things_are_in_flight),
		TEST(a_name_too_long_for_a_record_has_none),
		TEST(M19_policies_are_fetched_again_daily_whatever_the_record_says),
		TEST(M19_a_policy_nobody_asks_for_is_not_fetched_for_ever),
		TEST(slow_strangers_do_not_keep_a_policy_in_force_from_its_renewal),
		TEST(M19_the_same_id_restarts_nothing_but_a_refresh_does),
		TEST(a_refresh_that_finds_a_new_id_notes_it),
		TEST(M19_an_enforced_policy_that_runs_out_is_a_warning_once_a_day),
		TEST(testing_and_none_run_out_without_a_word),
		TEST(a_flood_of_domains_is_fetched_at_a_bounded_rate),
		TEST(a_policy_the_full_cache_does_not_take_is_used_all_the_same),
		TEST(a_disk_in_trouble_is_tried_again_in_a_while_not_at_each_turn),
		TEST(a_restart_forgets_neither_policies_nor_failures),
		TEST(a_cache_that_cannot_be_opened_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
