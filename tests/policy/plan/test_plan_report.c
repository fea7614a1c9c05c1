/* What sessions are reported under: the table of plan_report.h, row by row (R4, R7, R8, R10, M22). */
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
#define POLICY(mode, mx) "version: STSv1\r\nmode: " mode "\r\nmax_age: 86400\r\nmx: " mx "\r\n"

static struct world w;

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void open_with(enum policy_level level, enum dns_security security)
{
	const struct world_rule rules[] = { { .domain = "*", .level = level }, { .domain = NULL } };
	world_open(&w, rules, NULL);
	world_add_domain(&w, DOMAIN, security);
}

static int open_world(void **state)
{
	(void)state;
	open_with(POLICY_LEVEL_MAY, DNS_SECURE);
	return 0;
}

/* "tlsa mx.example.org by-requirement none|..." of the only host. */
static const char *reports(void)
{
	static const char *const measures[] = { "by-requirement", "by-testing", "by-tls", "by-failure" };
	static char text[600];
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	const struct policy_plan_host *host = world_host(plan, HOST);
	size_t length = 0;
	text[0] = '\0';
	for (size_t i = 0; i < host->report_count; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s %s %s %s",
			i ? "|" : "", tlsrpt_type_name(host->reports[i].type), host->reports[i].domain,
			measures[host->reports[i].measure],
			policy_reason_name(host->reports[i].failure));
	return text;
}

/* The words that the host's n-th report names. */
static const char *words(size_t n)
{
	const struct policy_plan *plan = w.plan;
	const struct policy_plan_host *host = world_host(plan, HOST);
	for (size_t i = 0; i < plan->whole->word_count; i++)
		if (tlsrpt_policy_identity(str_of(plan->whole->words[i])) == host->reports[n].identity)
			return plan->whole->words[i];
	return "not there";
}

static void set_sts(const char *text, const char *record_id, enum policy_reason failure)
{
	struct sts_policy *policy = text ? sts_policy_parse(str_of(text), NULL) : NULL;
	struct sts_answer answer = { .policy = policy, .id = "1", .record = STS_RECORD_FOUND,
		.record_ttl_s = 3600, .failure_reason = failure };
	str_copy(str_of(record_id), answer.record_id, sizeof(answer.record_id));
	answer.fetched_s = tlsio_loop_time_s(w.loop);
	answer.expires_s = answer.fetched_s + 86400;
	fake_sts_set(w.sts, DOMAIN, &answer);
	sts_policy_unref(&policy);
}

static void R10_without_a_policy_it_is_no_policy_found_of_the_domain(void **state)
{
	(void)state;
	assert_string_equal(reports(), "no-policy-found example.org by-tls none");
	assert_string_equal(words(0), "no-policy-found\texample.org\n");
}

static void R8_R10_dane_names_its_base_and_all_records_of_the_set(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE,
		"3 1 1 " HASH_OF_KEY "|2 0 9 " OTHER_HASH);
	assert_string_equal(reports(), "tlsa mx.example.org by-requirement none");
	assert_string_equal(words(0), "tlsa\tmx.example.org\ns\t3 1 1 " HASH_OF_KEY "\ns\t2 0 9 " OTHER_HASH "\n");
}

static void R7_unusable_records_are_tlsa_invalid_and_bogus_ones_dnssec_invalid(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 9 " OTHER_HASH);
	assert_string_equal(reports(), "tlsa mx.example.org by-failure tlsa-invalid");
	assert_string_equal(words(0), "tlsa\tmx.example.org\ns\t2 0 9 " OTHER_HASH "\n");
	plan_service_forget(w.service, DOMAIN);
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, true, "bogus");
	assert_string_equal(reports(), "tlsa mx.example.org by-failure dnssec-invalid");
	assert_string_equal(words(0), "tlsa\tmx.example.org\n");
}

static void R7_dane_only_without_records_is_dane_required(void **state)
{
	(void)state;
	world_close(&w);
	open_with(POLICY_LEVEL_DANE_ONLY, DNS_SECURE);
	assert_string_equal(reports(), "tlsa mx.example.org by-failure dane-required");
}

static void R8_R10_mta_sts_names_the_domain_its_lines_and_its_hosts(void **state)
{
	(void)state;
	set_sts(POLICY("enforce", "*.example.org"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "sts example.org by-requirement none");
	assert_string_equal(words(0), "sts\texample.org\ns\tversion: STSv1\ns\tmode: enforce\n"
		"s\tmax_age: 86400\ns\tmx: *.example.org\nm\t*.example.org\n");
}

static void R7_a_host_that_an_enforced_policy_does_not_name_is_a_validation_failure(void **state)
{
	(void)state;
	set_sts(POLICY("enforce", "other.example"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "sts example.org by-failure validation-failure");
}

static void R11_dane_and_testing_stand_both(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	set_sts(POLICY("testing", "mx.example.org"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "tlsa mx.example.org by-requirement none|sts example.org by-testing none");
	plan_service_forget(w.service, DOMAIN);
	/* Beside DANE an enforced policy is not evaluated: not a word of it. */
	set_sts(POLICY("enforce", "mx.example.org"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "tlsa mx.example.org by-requirement none");
	plan_service_forget(w.service, DOMAIN);
	set_sts(POLICY("none", "mx.example.org"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "tlsa mx.example.org by-requirement none");
}

static void M22_a_policy_that_could_not_be_had_is_reported(void **state)
{
	static const enum policy_reason reasons[] = { POLICY_REASON_STS_POLICY_FETCH_ERROR,
		POLICY_REASON_STS_POLICY_INVALID, POLICY_REASON_STS_WEBPKI_INVALID };
	char wanted[100];
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		set_sts(NULL, "1", reasons[i]);
		plan_service_forget(w.service, DOMAIN);
		snprintf(wanted, sizeof(wanted), "sts example.org by-failure %s",
			policy_reason_name(reasons[i]));
		assert_string_equal(reports(), wanted);
		set_sts(POLICY("enforce", "mx.example.org"), "2", reasons[i]);
		plan_service_forget(w.service, DOMAIN);
		snprintf(wanted, sizeof(wanted), "sts example.org by-requirement %s",
			policy_reason_name(reasons[i]));
		assert_string_equal(reports(), wanted);
		/* mode none asks nothing, so its renewal is nobody's trouble */
		set_sts(POLICY("none", "mx.example.org"), "2", reasons[i]);
		plan_service_forget(w.service, DOMAIN);
		assert_string_equal(reports(), "no-policy-found example.org by-tls none");
	}
}

static void what_was_not_looked_for_or_not_evaluated_is_not_reported(void **state)
{
	static const struct world_rule rules[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_MAY, .without_sts = true }, { .domain = NULL } };
	static const struct world_rule without_dane[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_MAY, .without_dane = true }, { .domain = NULL } };
	static const struct world_rule exception[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_MAY, .reason = "x", .lasts_s = 86400 },
		{ .domain = NULL } };
	const struct world_rule *const all[] = { rules, without_dane, exception };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		world_close(&w);
		world_open(&w, all[i], NULL);
		world_add_domain(&w, DOMAIN, DNS_SECURE);
		assert_string_equal(reports(), "");
	}
	world_close(&w);
	open_with(POLICY_LEVEL_NONE, DNS_SECURE);
	assert_string_equal(reports(), "");
}

static void R11_sessions_are_counted_with_the_words_of_the_plan(void **state)
{
	struct tlsrpt_tally_counts counts;
	(void)state;
	set_sts(POLICY("testing", "mx.example.org"), "1", POLICY_REASON_NONE);
	assert_string_equal(reports(), "sts example.org by-testing none");
	tlsrpt_tally_count(w.tally, &counts);
	assert_int_equal(counts.known, 1);
	const struct policy_report *report = &world_host(w.plan, HOST)->reports[0];
	struct policy_session session = { .domain = DOMAIN, .host = HOST, .part_count = 1,
		.parts = { { .type = report->type, .identity = report->identity,
			.domain = report->domain, .why = "" } } };
	plan_service_tally(w.service, &session, 3);
	plan_service_forget(w.service, DOMAIN);
	world_plan(&w, DOMAIN);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_STS_TALLY, DOMAIN)->text,
		"1 sessions would have passed");
	tlsrpt_tally_count(w.tally, &counts);
	assert_int_equal(counts.counted, 1);
	assert_int_equal(counts.dropped, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(R10_without_a_policy_it_is_no_policy_found_of_the_domain),
		TEST(R8_R10_dane_names_its_base_and_all_records_of_the_set),
		TEST(R7_unusable_records_are_tlsa_invalid_and_bogus_ones_dnssec_invalid),
		TEST(R7_dane_only_without_records_is_dane_required),
		TEST(R8_R10_mta_sts_names_the_domain_its_lines_and_its_hosts),
		TEST(R7_a_host_that_an_enforced_policy_does_not_name_is_a_validation_failure),
		TEST(R11_dane_and_testing_stand_both),
		TEST(M22_a_policy_that_could_not_be_had_is_reported),
		TEST(what_was_not_looked_for_or_not_evaluated_is_not_reported),
		TEST(R11_sessions_are_counted_with_the_words_of_the_plan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
