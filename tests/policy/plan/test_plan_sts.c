/* MTA-STS in a plan: M5, M14, M16, M17, M20, M23, D20; the tally. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/plan/plan_world.h"

#define DOMAIN "example.org"
#define HOST   "mx.example.org"
#define TLSA   "_25._tcp.mx.example.org"
#define ENFORCE(mx) "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: " mx "\n"
#define TESTING(mx) "version: STSv1\nmode: testing\nmax_age: 86400\nmx: " mx "\n"

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w, NULL, NULL);
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static const struct policy_plan_host *host_of_plan(void)
{
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	return &plan->hosts[0];
}

static void M5_the_policy_is_that_of_the_recipients_domain(void **state)
{
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(host->requirement->name_count, 1);
	assert_string_equal(host->requirement->names[0], HOST);
	assert_string_equal(host->requirement->trust_name, "system");
	assert_true(host->is_domain_proven);
	assert_int_equal(fake_sts_asked(w.sts, "org"), 0);
}

static void M5_a_smart_hosts_domain_has_its_own_policy(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = "else.example",
		.next_hop = DOMAIN, .port = 25 };
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	fake_sts_set_policy(w.sts, "else.example", ENFORCE("mx.else.example"));
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(fake_sts_asked(w.sts, "else.example"), 0);
}

static void M5_a_smart_host_by_name_is_its_own_policy_domain(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = "else.example",
		.next_hop = HOST, .port = 587 };
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE("nobody.example"));
	fake_sts_set_policy(w.sts, HOST, ENFORCE(HOST));
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(plan->hosts[0].requirement->origin, POLICY_ORIGIN_STS);
	assert_string_equal(plan->hosts[0].requirement->names[0], HOST);
	assert_int_equal(fake_sts_asked(w.sts, DOMAIN), 0); /* never the parent's */
	plan_service_forget(w.service, HOST);
	fake_sts_set_policy(w.sts, HOST, ENFORCE("other.example"));
	plan = world_plan_for(&w, &question);
	assert_null(plan->hosts[0].requirement);
	assert_int_equal(plan->hosts[0].reason, POLICY_REASON_VALIDATION_FAILURE);
	question.next_hop = "192.0.2.7";
	world_plan_for(&w, &question);
	assert_int_equal(fake_sts_asked(w.sts, "192.0.2.7"), 0);
}

static void M5_an_address_has_no_policy(void **state)
{
	(void)state;
	world_plan(&w, "[192.0.2.7]");
	assert_int_equal(w.plan->state, POLICY_PLAN_READY);
	assert_int_equal(fake_sts_asked(w.sts, "[192.0.2.7]"), 0);
	assert_int_equal(fake_sts_asked(w.sts, "192.0.2.7"), 0);
}

static void M14_the_name_matched_is_the_mx_records_own(void **state)
{
	(void)state;
	fake_dns_set_alias(w.dns, HOST, "box.example.net", DNS_INSECURE);
	fake_dns_set(w.dns, "box.example.net", DNS_A, DNS_INSECURE, "192.0.2.9");
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE("box.example.net"));
	assert_null(host_of_plan()->requirement);
	assert_int_equal(host_of_plan()->reason, POLICY_REASON_VALIDATION_FAILURE);
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE("*.example.org"));
	plan_service_forget(w.service, DOMAIN);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_VERIFY);
	assert_string_equal(host_of_plan()->requirement->names[0], HOST);
}

static void M16_enforce_closes_the_host_and_the_next_goes_on(void **state)
{
	(void)state;
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "5 mx.evil.example|10 " HOST);
	fake_dns_set(w.dns, "mx.evil.example", DNS_A, DNS_INSECURE, "192.0.2.66");
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_null(plan->hosts[0].requirement);
	assert_says(plan->hosts[0].text, "does not name it");
	assert_non_null(plan->hosts[1].requirement);
}

static void M17_testing_is_judged_beside(void **state)
{
	(void)state;
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "5 mx.evil.example|10 " HOST);
	fake_dns_set(w.dns, "mx.evil.example", DNS_A, DNS_INSECURE, "192.0.2.66");
	fake_sts_set_policy(w.sts, DOMAIN, TESTING(HOST));
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_MAY);
	assert_null(plan->hosts[0].testing);
	assert_int_equal(plan->hosts[0].testing_reason, POLICY_REASON_VALIDATION_FAILURE);
	assert_int_equal(plan->hosts[1].requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(plan->hosts[1].testing->level, POLICY_LEVEL_VERIFY);
}

/* A session as a worker tells of it. */
static void tell(const struct policy_plan *plan, const char *domain, enum policy_reason reason)
{
	const struct policy_plan_host *host = &plan->hosts[0];
	assert_int_equal(host->report_count, 1);
	const struct policy_session session = { .domain = domain, .host = host->name, .part_count = 1,
		.parts = { { .type = host->reports[0].type, .reason = reason, .why = "",
			.identity = host->reports[0].identity, .domain = host->reports[0].domain } } };
	plan_service_tally(w.service, &session, 0);
}

static void M17_what_testing_came_to_is_shown(void **state)
{
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, TESTING(HOST));
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_null(world_evidence(plan, POLICY_EVIDENCE_STS_TALLY, NULL));
	tell(plan, "Example.ORG.", POLICY_REASON_NONE);
	tell(plan, DOMAIN, POLICY_REASON_NONE);
	tell(plan, DOMAIN, POLICY_REASON_CERTIFICATE_EXPIRED);
	tell(plan, "other.example", POLICY_REASON_NONE);
	plan_service_forget(w.service, DOMAIN);
	const struct policy_evidence *e =
		world_evidence(world_plan(&w, DOMAIN), POLICY_EVIDENCE_STS_TALLY, DOMAIN);
	assert_string_equal(e->text, "since 2026-01-01 2 sessions would have passed, 1 failed; most of "
		"them on 2026-01-01: certificate-expired at host mx.example.org");
}

static void M20_no_policy_for_whatever_reason_is_no_policy(void **state)
{
	struct sts_answer answer = { .record = STS_RECORD_ABSENT, .record_result = DNS_FAILED,
		.record_ttl_s = 60, .failure_reason = POLICY_REASON_STS_POLICY_FETCH_ERROR,
		.failure = "404 Not Found" };
	(void)state;
	answer.failed_s = tlsio_loop_time_s(w.loop) - 30;
	fake_sts_set(w.sts, DOMAIN, &answer);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	const struct policy_evidence *e =
		world_evidence(w.plan, POLICY_EVIDENCE_STS_FETCH, NULL);
	assert_string_equal(e->verdict, "sts-policy-fetch-error");
	assert_string_equal(e->text, "404 Not Found");
	assert_int_equal(e->age_s, 30);
	e = world_evidence(w.plan, POLICY_EVIDENCE_STS_RECORD, "_mta-sts.example.org");
	assert_string_equal(e->verdict, "error");
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 60);
}

static void M23_while_the_first_fetch_runs_the_plan_is_short_lived(void **state)
{
	struct sts_answer answer = { .record = STS_RECORD_FOUND, .record_result = DNS_FOUND,
		.record_ttl_s = 3600, .is_waiting = true };
	(void)state;
	fake_sts_set(w.sts, DOMAIN, &answer);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 10);
	/* and sts tells when it is there */
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	plan_service_forget(w.service, DOMAIN);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_VERIFY);
}

static void a_plan_lives_no_longer_than_the_policy_and_its_record(void **state)
{
	struct sts_policy *policy = sts_policy_parse(str_of(ENFORCE(HOST)), NULL);
	struct sts_answer answer = { .policy = policy, .id = "1", .record_id = "1",
		.record = STS_RECORD_FOUND,
		.record_ttl_s = 600 };
	(void)state;
	answer.fetched_s = tlsio_loop_time_s(w.loop) - 86000;
	answer.expires_s = tlsio_loop_time_s(w.loop) + 400;
	fake_sts_set(w.sts, DOMAIN, &answer);
	host_of_plan();
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 400);
	const struct policy_evidence *e = world_evidence(w.plan, POLICY_EVIDENCE_STS_POLICY, DOMAIN);
	assert_string_equal(e->verdict, "enforce");
	assert_int_equal(e->ttl_s, 400);
	assert_int_equal(e->age_s, 86000);
	answer.expires_s += 10000;
	fake_sts_set(w.sts, DOMAIN, &answer);
	plan_service_forget(w.service, DOMAIN);
	host_of_plan();
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 600);
	sts_policy_unref(&policy);
}

static void D20_usable_records_decide_alone(void **state)
{
	(void)state;
	world_add_domain(&w, DOMAIN, DNS_SECURE);
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_SECURE, "10 " HOST "|20 mx2.example.org");
	fake_dns_set(w.dns, "mx2.example.org", DNS_A, DNS_SECURE, "192.0.2.2");
	fake_dns_set_none(w.dns, "_25._tcp.mx2.example.org", DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE("elsewhere.example"));
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_DANE);
	assert_null(plan->hosts[1].requirement);
	assert_non_null(world_evidence(plan, POLICY_EVIDENCE_LOST, HOST));
}

static void D20_no_policy_rescues_a_host_whose_records_failed(void **state)
{
	(void)state;
	world_add_domain(&w, DOMAIN, DNS_SECURE);
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, false, "SERVFAIL");
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	assert_null(host_of_plan()->requirement);
}

static void rules_and_settings_switch_it_off(void **state)
{
	static const struct world_rule rules[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_MAY, .without_sts = true },
		{ 0 },
	};
	const struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 25 };
	struct policy_rules *other = world_make_rules(&w, rules);
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE("elsewhere.example"));
	plan_service_set_rules(w.service, other);
	world_plan_for(&w, &question);
	assert_int_equal(world_host(w.plan, HOST)->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_sts_asked(w.sts, DOMAIN), 0);
	/* What the rule leaves out is shown, and is not obeyed. */
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_string_equal(world_evidence(w.plan, POLICY_EVIDENCE_STS_POLICY, DOMAIN)->verdict,
		"enforce");
	policy_rules_unref(&other);

	struct plan_service_setup setup = { .loop = w.loop, .dns = w.dns, .rules = w.rules };
	plan_service_free(&w.service);
	w.service = plan_service_new(&setup);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_sts_asked(w.sts, DOMAIN), 1); /* then; not now */
}

static void an_exception_stands_above_and_ends(void **state)
{
	static const struct world_rule rules[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_ENCRYPT,
			.reason = "their certificate ran out", .lasts_s = 90 },
		{ .domain = DOMAIN, .level = POLICY_LEVEL_MAY },
		{ 0 },
	};
	struct policy_rules *other = world_make_rules(&w, rules);
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE(HOST));
	plan_service_set_rules(w.service, other);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_ENCRYPT);
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 90);
	assert_string_equal(w.plan->rule_fingerprint,
		policy_rules_find(other, STR(DOMAIN), tlsio_loop_time_s(w.loop))->fingerprint);
	const struct policy_evidence *e =
		world_evidence(w.plan, POLICY_EVIDENCE_EXCEPTION, "postern.conf:7");
	assert_says(e->text, "until 2026-01-01T00:01:30Z, because: their certificate ran out");
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_RULE, NULL)->text, "suspended");
	fake_loop_advance(w.loop, 90000);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_VERIFY);
	assert_null(world_evidence(w.plan, POLICY_EVIDENCE_EXCEPTION, NULL));
	policy_rules_unref(&other);
}

/* A policy host that was out of reach for a moment, by whoever's doing, is asked again soon: mail does
 * not go without its policy for as long as the record lives. */
static void M10_M23_a_policy_that_could_not_be_fetched_is_asked_for_again_soon(void **state)
{
	struct sts_answer answer = { .record = STS_RECORD_FOUND, .record_result = DNS_FOUND,
		.record_id = "2", .record_ttl_s = 86400,
		.failure_reason = POLICY_REASON_STS_POLICY_FETCH_ERROR, .failure = "no way there" };
	(void)state;
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
	fake_sts_set(w.sts, DOMAIN, &answer);
	world_plan(&w, DOMAIN);
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 300);
	/* the one before is in force meanwhile (M18) */
	answer.policy = sts_policy_parse(STR(ENFORCE("mx.example.org")), NULL);
	strcpy(answer.id, "1");
	answer.expires_s = tlsio_loop_time_s(w.loop) + 86400;
	fake_sts_set(w.sts, DOMAIN, &answer);
	sts_policy_unref(&answer.policy);
	plan_service_forget(w.service, DOMAIN);
	world_plan(&w, DOMAIN);
	assert_int_equal(w.plan->hosts[0].requirement->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 300);
	/* nothing is wrong with that one */
	fake_sts_set_policy(w.sts, "other.example", ENFORCE("mx.other.example"));
	world_add_domain(&w, "other.example", DNS_INSECURE);
	world_plan(&w, "other.example");
	assert_in_range(w.plan->expires_s - w.plan->made_s, 301, 3600);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(M5_the_policy_is_that_of_the_recipients_domain),
		TEST(M5_a_smart_hosts_domain_has_its_own_policy),
		TEST(M5_a_smart_host_by_name_is_its_own_policy_domain),
		TEST(M5_an_address_has_no_policy),
		TEST(M14_the_name_matched_is_the_mx_records_own),
		TEST(M16_enforce_closes_the_host_and_the_next_goes_on),
		TEST(M17_testing_is_judged_beside),
		TEST(M17_what_testing_came_to_is_shown),
		TEST(M20_no_policy_for_whatever_reason_is_no_policy),
		TEST(M23_while_the_first_fetch_runs_the_plan_is_short_lived),
		TEST(a_plan_lives_no_longer_than_the_policy_and_its_record),
		TEST(M10_M23_a_policy_that_could_not_be_fetched_is_asked_for_again_soon),
		TEST(D20_usable_records_decide_alone),
		TEST(D20_no_policy_rescues_a_host_whose_records_failed),
		TEST(rules_and_settings_switch_it_off),
		TEST(an_exception_stands_above_and_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
