/* What DNS says of a host's certificate: D3-D5, D7-D12, D15-D18 of RFC 7672, and time. */
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

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w, NULL, NULL);
	world_add_domain(&w, DOMAIN, DNS_SECURE);
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
	return world_host(plan, HOST);
}

static void add_second_host(void)
{
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_SECURE, "10 " HOST "|20 mx2.example.org");
	fake_dns_set(w.dns, "mx2.example.org", DNS_A, DNS_SECURE, "192.0.2.2");
	fake_dns_set_none(w.dns, "mx2.example.org", DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set_none(w.dns, "_25._tcp.mx2.example.org", DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
}

/* HOST becomes a CNAME of box.example.net, which has an address and perhaps records. */
static void make_alias(enum dns_security link, enum dns_security target, const char *records)
{
	fake_dns_set_alias(w.dns, HOST, "box.example.net", link);
	fake_dns_set(w.dns, "box.example.net", DNS_A, target, "192.0.2.9");
	fake_dns_set_none(w.dns, "box.example.net", DNS_AAAA, DNS_NO_DATA, target);
	if (records)
		fake_dns_set(w.dns, "_25._tcp.box.example.net", DNS_TLSA, target, records);
}

static void D1_proof_that_there_are_no_records_is_no_error(void **state)
{
	static const struct {
		enum dns_result result;
		enum dns_security security;
	} nothing[] = {
		{ DNS_NO_DATA, DNS_SECURE },
		{ DNS_NO_NAME, DNS_SECURE },
		{ DNS_NO_DATA, DNS_INSECURE },
		{ DNS_NO_NAME, DNS_INSECURE },
	};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fake_dns_set_none(w.dns, TLSA, DNS_TLSA, nothing[i].result, nothing[i].security);
		plan_service_forget(w.service, DOMAIN);
		assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	}
}

static void D3_a_tlsa_look_up_that_fails_puts_out_that_host_only(void **state)
{
	(void)state;
	add_second_host();
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, false, "SERVFAIL from 192.0.2.53");
	const struct policy_plan_host *host = host_of_plan();
	assert_null(host->requirement);
	assert_int_equal(host->reason, POLICY_REASON_NONE);
	assert_says(host->text, "_25._tcp.mx.example.org TLSA: SERVFAIL from 192.0.2.53");
	assert_non_null(world_host(w.plan, "mx2.example.org")->requirement);
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 30);
	assert_string_equal(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, TLSA)->verdict, "error");
}

static void D3_a_bogus_tlsa_answer_is_told_as_such(void **state)
{
	(void)state;
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, true, "no signature");
	const struct policy_plan_host *host = host_of_plan();
	assert_null(host->requirement);
	assert_int_equal(host->reason, POLICY_REASON_DNSSEC_INVALID);
	assert_says(host->text, "DNSSEC validation failed (no signature)");
	assert_string_equal(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, TLSA)->verdict, "bogus");
}

static void D3_an_error_at_the_first_base_is_not_passed_over(void **state)
{
	(void)state;
	make_alias(DNS_SECURE, DNS_SECURE, NULL);
	fake_dns_set_failed(w.dns, "_25._tcp.box.example.net", DNS_TLSA, false, "SERVFAIL");
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	assert_null(host_of_plan()->requirement);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
}

static void D4_an_insecure_address_means_no_tlsa_question(void **state)
{
	(void)state;
	fake_dns_set(w.dns, HOST, DNS_A, DNS_INSECURE, "192.0.2.1");
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, false, "SERVFAIL");
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
	assert_string_equal(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, HOST)->verdict,
		"not-asked");
}

static void D4_one_insecure_family_is_enough_not_to_ask(void **state)
{
	(void)state;
	fake_dns_set(w.dns, HOST, DNS_AAAA, DNS_INSECURE, "2001:db8::1");
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	fake_dns_set(w.dns, HOST, DNS_A, DNS_INSECURE, "192.0.2.1");
	fake_dns_set(w.dns, HOST, DNS_AAAA, DNS_SECURE, "2001:db8::1");
	plan_service_forget(w.service, DOMAIN);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
}

static void D5_an_insecure_mx_set_still_uses_dane_per_host(void **state)
{
	(void)state;
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "10 " HOST);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->level, POLICY_LEVEL_DANE);
	assert_string_equal(world_dane_names(host), HOST);
	assert_false(host->is_domain_proven);
}

static void D5_dane_only_behind_an_insecure_mx_set_waits(void **state)
{
	static const struct world_rule rules[] = { { .domain = DOMAIN,
						       .level = POLICY_LEVEL_DANE_ONLY },
		{ 0 } };
	(void)state;
	struct policy_rules *strict = world_make_rules(&w, rules);
	plan_service_set_rules(w.service, strict);
	policy_rules_unref(&strict);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_DANE);
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "10 " HOST);
	plan_service_forget(w.service, DOMAIN);
	assert_null(host_of_plan()->requirement);
	assert_int_equal(host_of_plan()->reason, POLICY_REASON_DANE_REQUIRED);
}

static void D7_an_address_literal_has_no_dane(void **state)
{
	static const char *const literals[] = { "[192.0.2.7]", "192.0.2.7", "[IPv6:2001:db8::7]",
		"2001:db8::7" };
	static const char *const names[] = { "192.0.2.7", "192.0.2.7", "2001:db8::7",
		"2001:db8::7" };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct policy_plan *plan = world_plan(&w, literals[i]);
		assert_int_equal(plan->state, POLICY_PLAN_READY);
		assert_string_equal(plan->hosts[0].name, names[i]);
		assert_int_equal(plan->hosts[0].address_count, 1);
		assert_int_equal(plan->hosts[0].addresses[0].port, 25);
		assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_MAY);
	}
	assert_int_equal(fake_dns_count_all(w.dns), 0);
}

static void D8_a_secure_chain_asks_the_expanded_name_first(void **state)
{
	(void)state;
	make_alias(DNS_SECURE, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 1 " OTHER_HASH);
	const struct policy_plan_host *host = host_of_plan();
	assert_string_equal(host->requirement->server_name, "box.example.net");
	assert_string_equal(world_dane_names(host), "box.example.net example.org");
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
	assert_int_equal(fake_dns_count(w.dns, HOST, DNS_CNAME), 0);
}

static void D8_a_secure_chain_asks_the_original_name_next(void **state)
{
	(void)state;
	make_alias(DNS_SECURE, DNS_SECURE, NULL);
	fake_dns_set_none(w.dns, "_25._tcp.box.example.net", DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->level, POLICY_LEVEL_DANE);
	assert_string_equal(host->requirement->server_name, HOST);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.box.example.net", DNS_TLSA), 1);
}

static void D8_an_insecure_expansion_leaves_the_original_name(void **state)
{
	(void)state;
	make_alias(DNS_SECURE, DNS_INSECURE, "3 1 1 " OTHER_HASH);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->level, POLICY_LEVEL_DANE);
	assert_string_equal(host->requirement->server_name, HOST);
	assert_int_equal(fake_dns_count(w.dns, HOST, DNS_CNAME), 1);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.box.example.net", DNS_TLSA), 0);
}

static void D8_an_insecure_alias_has_no_dane(void **state)
{
	(void)state;
	make_alias(DNS_INSECURE, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.box.example.net", DNS_TLSA), 0);
}

static void D8_an_alias_look_up_that_fails_puts_the_host_out(void **state)
{
	(void)state;
	make_alias(DNS_SECURE, DNS_INSECURE, NULL);
	fake_dns_set_failed(w.dns, HOST, DNS_CNAME, true, "signature expired");
	const struct policy_plan_host *host = host_of_plan();
	assert_null(host->requirement);
	assert_int_equal(host->reason, POLICY_REASON_DNSSEC_INVALID);
}

static void D8_names_in_the_middle_are_never_asked(void **state)
{
	(void)state;
	fake_dns_set_alias(w.dns, HOST, "middle.example.net", DNS_SECURE);
	fake_dns_set_alias(w.dns, "middle.example.net", "box.example.net", DNS_SECURE);
	fake_dns_set(w.dns, "box.example.net", DNS_A, DNS_SECURE, "192.0.2.9");
	fake_dns_set(w.dns, "_25._tcp.middle.example.net", DNS_TLSA, DNS_SECURE,
		"3 1 1 " HASH_OF_KEY);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.middle.example.net", DNS_TLSA), 0);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.box.example.net", DNS_TLSA), 1);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 1);
}

static void D9_the_port_is_the_one_that_is_dialled(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 2525 };
	(void)state;
	fake_dns_set(w.dns, "_2525._tcp." HOST, DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_DANE);
	assert_int_equal(plan->hosts[0].addresses[0].port, 2525);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
}

static void D9_an_alias_of_the_records_keeps_the_base(void **state)
{
	(void)state;
	fake_dns_set_alias(w.dns, TLSA, "tlsa.example.net", DNS_SECURE);
	fake_dns_set(w.dns, "tlsa.example.net", DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	assert_string_equal(host_of_plan()->requirement->server_name, HOST);
	plan_service_forget(w.service, DOMAIN);
	/* One insecure link makes it all insecure. */
	fake_dns_set_alias(w.dns, TLSA, "tlsa.example.net", DNS_INSECURE);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
}

static void D10_preference_wins_over_security(void **state)
{
	(void)state;
	add_second_host();
	fake_dns_set(w.dns, "_25._tcp.mx2.example.org", DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_string_equal(plan->hosts[0].name, HOST);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_MAY);
	assert_string_equal(plan->hosts[1].name, "mx2.example.org");
	assert_int_equal(plan->hosts[1].requirement->level, POLICY_LEVEL_DANE);
}

static void D11_usable_records_are_demanded(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE,
		"3 1 1 " HASH_OF_KEY "|1 1 1 " HASH_OF_KEY "|3 1 1 00ff");
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->level, POLICY_LEVEL_DANE);
	assert_int_equal(host->requirement->tlsa_count, 1);
	assert_true(host->is_domain_proven);
	unsigned told = 0;
	for (size_t i = 0; i < w.plan->evidence_count; i++) {
		const struct policy_evidence *e = &w.plan->evidence[i];
		told += e->kind == POLICY_EVIDENCE_TLSA && world_says(e->text, "unusable");
	}
	assert_int_equal(told, 2);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, TLSA)->text, "3 1 1 000102");
}

static void D12_records_none_of_them_usable_want_tls(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "1 1 1 " HASH_OF_KEY);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_ENCRYPT);
}

static void D12_insecure_records_ask_for_nothing(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_INSECURE, "3 1 1 " HASH_OF_KEY);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_MAY);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, TLSA)->text, "without proof");
}

static void D15_D16_names_of_a_trust_anchor(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	assert_string_equal(world_dane_names(host_of_plan()), HOST " " DOMAIN);
}

static void D16_the_expanded_domain_counts_when_it_is_proven(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	fake_dns_set_alias(w.dns, "alias.example", DOMAIN, DNS_SECURE);
	world_plan(&w, "alias.example");
	assert_string_equal(world_dane_names(world_host(w.plan, HOST)),
		HOST " alias.example " DOMAIN);
	fake_dns_set_alias(w.dns, "alias.example", DOMAIN, DNS_INSECURE);
	plan_service_forget(w.service, "alias.example");
	world_plan(&w, "alias.example");
	assert_string_equal(world_dane_names(world_host(w.plan, HOST)), HOST);
}

static void D16_a_next_hop_that_is_the_host_keeps_its_own_name(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = DOMAIN,
		.next_hop = HOST, .port = 25 };
	(void)state;
	make_alias(DNS_SECURE, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_string_equal(world_dane_names(&plan->hosts[0]), "box.example.net " HOST);
}

static void D17_D18_the_base_domain_is_sent_as_server_name(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE, "2 0 1 " HASH_OF_KEY);
	const struct policy_plan_host *host = host_of_plan();
	assert_string_equal(host->requirement->server_name, HOST);
	assert_string_equal(host->requirement->dane_names[0], HOST);
}

static void D19_the_stronger_digest_stands_alone(void **state)
{
	(void)state;
	fake_dns_set(w.dns, TLSA, DNS_TLSA, DNS_SECURE,
		"3 1 1 " HASH_OF_KEY "|3 1 2 " HASH_OF_KEY OTHER_HASH);
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->requirement->tlsa_count, 1);
	assert_int_equal(host->requirement->tlsa[0].matching, POLICY_TLSA_SHA512);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_TLSA, TLSA)->text, "stronger digest");
}

static void D22_a_rule_without_dane_asks_for_no_records_but_to_explain(void **state)
{
	const struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 25 };
	static const struct world_rule rules[] = {
		{ .domain = DOMAIN, .level = POLICY_LEVEL_ENCRYPT, .without_dane = true },
		{ 0 },
	};
	(void)state;
	struct policy_rules *other = world_make_rules(&w, rules);
	plan_service_set_rules(w.service, other);
	policy_rules_unref(&other);
	fake_dns_set_failed(w.dns, TLSA, DNS_TLSA, true, "bogus");
	world_plan_for(&w, &question);
	assert_int_equal(world_host(w.plan, HOST)->requirement->level, POLICY_LEVEL_ENCRYPT);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 0);
	/* What the rule leaves out is shown, and is not obeyed. */
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_ENCRYPT);
	assert_int_equal(fake_dns_count(w.dns, TLSA, DNS_TLSA), 1);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_LOST, HOST)->text, "leaves it out");
}

static void many_and_large_records_are_bounded(void **state)
{
	struct dns_record records[100];
	static char data[100][2000];
	(void)state;
	for (size_t i = 0; i < 100; i++) {
		memset(data[i], (int)i, sizeof(data[i]));
		memcpy(data[i], "\3\1\1", 3);
		records[i] = (struct dns_record){ .data = str_from(data[i], 35) };
	}
	struct dns_answer answer = { .result = DNS_FOUND, .security = DNS_SECURE, .records = records,
		.count = 100, .left_out_count = 7, .ttl_s = 3600 };
	fake_dns_set_answer(w.dns, TLSA, DNS_TLSA, &answer);
	assert_int_equal(host_of_plan()->requirement->tlsa_count, POLICY_TLSA_MOST);
	for (size_t i = 0; i < 100; i++)
		records[i].data.length = 2000;
	plan_service_forget(w.service, DOMAIN);
	fake_dns_set_answer(w.dns, TLSA, DNS_TLSA, &answer);
	assert_null(host_of_plan()->requirement);
	assert_says(w.plan->hosts[0].text, "there are more than our limits allow");
	bool is_told = false;
	for (size_t i = 0; i < w.plan->evidence_count; i++)
		is_told = is_told || world_says(w.plan->evidence[i].text,
			"99 more, not shown; those that are malformed or beyond our limits");
	assert_true(is_told);
}

/* The order of a set is nobody's signature: turned by somebody on the way so that the good record stands
 * behind our limit, it must not become a set without a usable one. */
static void D12_a_set_beyond_our_limits_is_not_unusable(void **state)
{
	struct dns_record records[40];
	static char data[40][35];
	(void)state;
	for (size_t i = 0; i < 40; i++) {
		memset(data[i], (int)i, sizeof(data[i]));
		memcpy(data[i], i < 39 ? "\1\1\1" : "\3\1\1", 3);
		records[i] = (struct dns_record){ .data = str_from(data[i], 35) };
	}
	struct dns_answer answer = { .result = DNS_FOUND, .security = DNS_SECURE, .records = records,
		.count = 40, .ttl_s = 3600 };
	fake_dns_set_answer(w.dns, TLSA, DNS_TLSA, &answer);
	assert_null(host_of_plan()->requirement);
	assert_says(w.plan->hosts[0].text, "there are more than our limits allow");
	assert_in_range(w.plan->expires_s - w.plan->made_s, 1, 30);
	plan_service_forget(w.service, DOMAIN);
	answer.count = 30; /* all of them are seen, none is usable */
	fake_dns_set_answer(w.dns, TLSA, DNS_TLSA, &answer);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_ENCRYPT);
	plan_service_forget(w.service, DOMAIN);
	answer.records = records + 10;
	fake_dns_set_answer(w.dns, TLSA, DNS_TLSA, &answer);
	assert_int_equal(host_of_plan()->requirement->level, POLICY_LEVEL_DANE);
}

/* ---- time ------------------------------------------------------------------------------------- */

static void a_hanging_address_family_is_waited_for_with_patience_only(void **state)
{
	(void)state;
	fake_dns_hold(w.dns, HOST, DNS_AAAA);
	int64_t began_ms = tlsio_loop_now_ms(w.loop);
	const struct policy_plan_host *host = host_of_plan();
	assert_int_equal(host->address_count, 1);
	assert_non_null(host->requirement);
	assert_in_range(tlsio_loop_now_ms(w.loop) - began_ms, 7000, 9000);
}

static void a_late_address_is_still_used_after_patience(void **state)
{
	(void)state;
	fake_dns_hold(w.dns, HOST, DNS_A);
	fake_dns_hold(w.dns, HOST, DNS_AAAA);
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 25 };
	plan_service_ask(w.service, &question, world_on_plan, &w);
	fake_loop_advance(w.loop, 12000);
	assert_int_equal(w.plan_count, 0);
	fake_dns_release(w.dns, HOST, DNS_A);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 1);
	assert_non_null(w.plan->hosts[0].requirement);
}

static void a_hanging_host_is_out_and_the_others_go_on(void **state)
{
	(void)state;
	add_second_host();
	fake_dns_hold(w.dns, HOST, DNS_A);
	fake_dns_hold(w.dns, HOST, DNS_AAAA);
	int64_t began_ms = tlsio_loop_now_ms(w.loop);
	const struct policy_plan_host *host = host_of_plan();
	assert_null(host->requirement);
	assert_says(host->text, "no answer in time");
	assert_non_null(world_host(w.plan, "mx2.example.org")->requirement);
	assert_in_range(tlsio_loop_now_ms(w.loop) - began_ms, 14000, 16000);
}

static void D3_hanging_tlsa_records_put_the_host_out(void **state)
{
	(void)state;
	add_second_host();
	fake_dns_hold(w.dns, TLSA, DNS_TLSA);
	const struct policy_plan_host *host = host_of_plan();
	assert_null(host->requirement);
	assert_says(host->text, "no answer in time");
	assert_non_null(world_host(w.plan, "mx2.example.org")->requirement);
	assert_int_equal(fake_dns_in_flight(w.dns), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(D1_proof_that_there_are_no_records_is_no_error),
		TEST(D3_a_tlsa_look_up_that_fails_puts_out_that_host_only),
		TEST(D3_a_bogus_tlsa_answer_is_told_as_such),
		TEST(D3_an_error_at_the_first_base_is_not_passed_over),
		TEST(D4_an_insecure_address_means_no_tlsa_question),
		TEST(D4_one_insecure_family_is_enough_not_to_ask),
		TEST(D5_an_insecure_mx_set_still_uses_dane_per_host),
		TEST(D5_dane_only_behind_an_insecure_mx_set_waits),
		TEST(D7_an_address_literal_has_no_dane),
		TEST(D8_a_secure_chain_asks_the_expanded_name_first),
		TEST(D8_a_secure_chain_asks_the_original_name_next),
		TEST(D8_an_insecure_expansion_leaves_the_original_name),
		TEST(D8_an_insecure_alias_has_no_dane),
		TEST(D8_an_alias_look_up_that_fails_puts_the_host_out),
		TEST(D8_names_in_the_middle_are_never_asked),
		TEST(D9_the_port_is_the_one_that_is_dialled),
		TEST(D9_an_alias_of_the_records_keeps_the_base),
		TEST(D10_preference_wins_over_security),
		TEST(D11_usable_records_are_demanded),
		TEST(D12_records_none_of_them_usable_want_tls),
		TEST(D12_insecure_records_ask_for_nothing),
		TEST(D15_D16_names_of_a_trust_anchor),
		TEST(D16_the_expanded_domain_counts_when_it_is_proven),
		TEST(D16_a_next_hop_that_is_the_host_keeps_its_own_name),
		TEST(D17_D18_the_base_domain_is_sent_as_server_name),
		TEST(D19_the_stronger_digest_stands_alone),
		TEST(D22_a_rule_without_dane_asks_for_no_records_but_to_explain),
		TEST(many_and_large_records_are_bounded),
		TEST(D12_a_set_beyond_our_limits_is_not_unusable),
		TEST(a_hanging_address_family_is_waited_for_with_patience_only),
		TEST(a_late_address_is_still_used_after_patience),
		TEST(a_hanging_host_is_out_and_the_others_go_on),
		TEST(D3_hanging_tlsa_records_put_the_host_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
