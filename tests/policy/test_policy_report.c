/* A session under one policy: every measure, every result (R7), and nothing of the operator's file. */
#include "policy/policy_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/make_peer.h"

#define HOST "mx.example.net"
#define SOURCE "/etc/postern/postern.conf:12 domain \"example.net\""

static struct made root, leaf;
static struct made_peer good;
static struct tlsio_trust *const some_trust = (struct tlsio_trust *)(uintptr_t)1;

static int make_world(void **state)
{
	static const char *const names[] = { HOST, NULL };
	(void)state;
	root = make_certificate("root", NULL, true, NULL);
	leaf = make_certificate(HOST, names, false, &root);
	make_peer(&good, (const struct made *[]){ &leaf, &root }, 2);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	free_peer(&good);
	free_certificate(&root);
	free_certificate(&leaf);
	return 0;
}

static struct policy_judgement judge(enum policy_report_measure measure,
	const struct policy_report_facts *facts)
{
	const struct policy_report report = { .measure = measure,
		.failure = measure == POLICY_REPORT_BY_FAILURE ? POLICY_REASON_DANE_REQUIRED
							       : POLICY_REASON_NONE };
	struct policy_judgement j;
	policy_report_judge(&report, facts, &j);
	assert_null(strstr(j.text, "postern.conf"));
	assert_null(strstr(j.text, "/etc"));
	assert_int_equal(j.reason == POLICY_REASON_NONE && j.text[0], 0);
	return j;
}

static struct policy_requirement sts_requirement(void)
{
	static char *names[] = { (char *)(uintptr_t)HOST };
	return (struct policy_requirement){ .level = POLICY_LEVEL_VERIFY, .minimum = TLSIO_TLS13,
		.origin = POLICY_ORIGIN_STS, .trust = some_trust,
		.trust_name = (char *)(uintptr_t)"/etc/postern/own.pem", .names = names,
		.name_count = 1, .source = (char *)(uintptr_t)("the MTA-STS policy of x (and " SOURCE ")") };
}

static void R7_the_facts_of_a_session_have_their_result(void **state)
{
	struct policy_requirement sts = sts_requirement();
	struct tlsio_peer untrusted = good.peer, expired = good.peer, unnamed = good.peer,
		bare = { .version = TLSIO_TLS12 };
	(void)state;
	good.peer.matched_name = (char *)(uintptr_t)HOST;
	untrusted.matched_name = expired.matched_name = good.peer.matched_name;
	untrusted.chain_faults = TLSIO_CHAIN_UNTRUSTED;
	expired.chain_faults = TLSIO_CHAIN_EXPIRED;
	unnamed.matched_name = NULL;
	const struct {
		const struct tlsio_peer *peer;
		const char *why;
		enum policy_reason by_requirement, by_tls;
	} rows[] = {
		{ &good.peer, NULL, POLICY_REASON_NONE, POLICY_REASON_NONE },
		{ &untrusted, NULL, POLICY_REASON_CERTIFICATE_NOT_TRUSTED, POLICY_REASON_NONE },
		{ &expired, NULL, POLICY_REASON_CERTIFICATE_EXPIRED, POLICY_REASON_NONE },
		{ &unnamed, NULL, POLICY_REASON_CERTIFICATE_HOST_MISMATCH, POLICY_REASON_NONE },
		{ &bare, NULL, POLICY_REASON_VALIDATION_FAILURE, POLICY_REASON_NONE },
		{ NULL, "a handshake\nfailed", POLICY_REASON_VALIDATION_FAILURE,
			POLICY_REASON_VALIDATION_FAILURE },
		{ NULL, NULL, POLICY_REASON_STARTTLS_NOT_SUPPORTED,
			POLICY_REASON_STARTTLS_NOT_SUPPORTED },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct policy_report_facts facts = { .host = HOST, .requirement = &sts,
			.testing = &sts, .peer = rows[i].peer, .why = rows[i].why };
		assert_int_equal(judge(POLICY_REPORT_BY_REQUIREMENT, &facts).reason,
			rows[i].by_requirement);
		assert_int_equal(judge(POLICY_REPORT_BY_TESTING, &facts).reason,
			rows[i].by_requirement);
		assert_int_equal(judge(POLICY_REPORT_BY_TLS, &facts).reason, rows[i].by_tls);
		assert_null(strchr(judge(POLICY_REPORT_BY_TLS, &facts).text, '\n'));
		assert_int_equal(judge(POLICY_REPORT_BY_FAILURE, &facts).reason,
			POLICY_REASON_DANE_REQUIRED);
	}
}

static void what_the_operator_asks_besides_is_no_failure_of_the_domain(void **state)
{
	struct policy_tlsa record = { .usage = 3, .selector = 1, .matching = 1 };
	struct policy_pin other_pin = { { 0x5a } };
	char *names[] = { (char *)(uintptr_t)"another.name" };
	struct policy_requirement dane = { .level = POLICY_LEVEL_DANE, .minimum = TLSIO_TLS13,
		.origin = POLICY_ORIGIN_DANE, .tlsa = &record, .tlsa_count = 1, .names = names,
		.name_count = 1, .pins = &other_pin, .pin_count = 1, .trust = some_trust,
		.source = (char *)(uintptr_t)SOURCE };
	struct tlsio_peer old = good.peer;
	const struct policy_report_facts facts = { .host = HOST, .requirement = &dane, .peer = &old };
	(void)state;
	record.data = str_from(good.chain[0].spki_sha256, 32);
	old.version = TLSIO_TLS12;
	assert_int_equal(judge(POLICY_REPORT_BY_REQUIREMENT, &facts).reason, POLICY_REASON_NONE);
	record.data = str_from(good.chain[1].spki_sha256, 32);
	const struct policy_judgement j = judge(POLICY_REPORT_BY_REQUIREMENT, &facts);
	assert_int_equal(j.reason, POLICY_REASON_CERTIFICATE_NOT_TRUSTED);
	assert_non_null(strstr(j.text, "does not match the TLSA record"));
	struct policy_requirement sts = sts_requirement();
	const struct policy_report_facts by_sts = { .host = HOST, .requirement = &sts, .peer = &old };
	old.matched_name = (char *)(uintptr_t)HOST;
	assert_int_equal(judge(POLICY_REPORT_BY_REQUIREMENT, &by_sts).reason, POLICY_REASON_NONE);
}

static void a_host_that_testing_does_not_name_is_its_verdict(void **state)
{
	const struct policy_report_facts facts = { .host = HOST,
		.testing_reason = POLICY_REASON_VALIDATION_FAILURE, .peer = &good.peer };
	(void)state;
	const struct policy_judgement j = judge(POLICY_REPORT_BY_TESTING, &facts);
	assert_int_equal(j.reason, POLICY_REASON_VALIDATION_FAILURE);
	assert_string_equal(j.text, "the MTA-STS policy does not name the host");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(R7_the_facts_of_a_session_have_their_result),
		cmocka_unit_test(what_the_operator_asks_besides_is_no_failure_of_the_domain),
		cmocka_unit_test(a_host_that_testing_does_not_name_is_its_verdict),
	};
	return cmocka_run_group_tests(tests, make_world, free_world);
}
