/* What a plan says of the domain as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "policy/plan/plan_whole.h"
#include "tests/policy/plan/plan_world.h"

#define DOMAIN "example.org"
#define TLSA(host) "_25._tcp." host "." DOMAIN
#define ENFORCE "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: z.example.org\nmx: *.example.org\n"

static struct world w;

static int open_world(void **state)
{
	static const struct world_rule rules[] = {
		{ .domain = "named.org", .level = POLICY_LEVEL_MAY },
		{ .domain = "without.org", .level = POLICY_LEVEL_ENCRYPT, .without_dane = true,
			.without_sts = true },
		{ .domain = "excepted.org", .level = POLICY_LEVEL_MAY, .reason = "a reason",
			.lasts_s = 86400 },
		{ .domain = "*", .level = POLICY_LEVEL_MAY },
		{ .domain = NULL },
	};
	(void)state;
	world_open(&w, rules, NULL);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static const struct policy_plan_whole *whole_of(const char *domain)
{
	const struct policy_plan *plan = world_plan(&w, domain);
	assert_non_null(plan->whole);
	return plan->whole;
}

static void add_host(const char *label, const char *records)
{
	char host[100], owner[120];
	snprintf(host, sizeof(host), "%s." DOMAIN, label);
	snprintf(owner, sizeof(owner), "_25._tcp.%s", host);
	fake_dns_set(w.dns, host, DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set_none(w.dns, host, DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	if (records)
		fake_dns_set(w.dns, owner, DNS_TLSA, DNS_SECURE, records);
	else
		fake_dns_set_none(w.dns, owner, DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
}

static void hosts_are_counted_by_their_records(void **state)
{
	(void)state;
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_SECURE,
		"1 a.example.org|2 b.example.org|3 c.example.org|4 d.example.org|5 e.example.org|"
		"6 gone.example.org|7 192.0.2.9");
	add_host("a", "3 1 1 " HASH_OF_KEY);
	add_host("b", "3 1 1 " OTHER_HASH);
	add_host("c", "3 1 1 abcd");
	add_host("d", NULL);
	add_host("e", NULL);
	fake_dns_set_failed(w.dns, TLSA("e"), DNS_TLSA, false, "SERVFAIL");
	fake_dns_set_none(w.dns, "gone." DOMAIN, DNS_A, DNS_NO_NAME, DNS_SECURE);
	const struct policy_plan_whole *whole = whole_of(DOMAIN);
	assert_int_equal(whole->dane_hosts, 2);
	assert_int_equal(whole->unusable_hosts, 1);
	assert_int_equal(whole->plain_hosts, 1);
	assert_int_equal(whole->unknown_hosts, 1);
	assert_true(whole->is_mx_known && whole->is_mx_proven && whole->is_by_mx);
	/* an address that cannot be looked up is unknown, too */
	fake_dns_set_failed(w.dns, "d." DOMAIN, DNS_A, false, "SERVFAIL");
	fake_dns_set_failed(w.dns, "d." DOMAIN, DNS_AAAA, false, "SERVFAIL");
	plan_service_forget(w.service, DOMAIN);
	whole = whole_of(DOMAIN);
	assert_int_equal(whole->plain_hosts, 0);
	assert_int_equal(whole->unknown_hosts, 2);
}

static void who_spoke_is_told(void **state)
{
	(void)state;
	world_add_domain(&w, "named.org", DNS_INSECURE);
	world_add_domain(&w, "without.org", DNS_SECURE);
	world_add_domain(&w, "excepted.org", DNS_SECURE);
	world_add_domain(&w, "other.org", DNS_INSECURE);
	fake_dns_set(w.dns, "_25._tcp.mx.without.org", DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	fake_sts_set_policy(w.sts, "without.org", ENFORCE);
	fake_sts_set_policy(w.sts, "excepted.org", ENFORCE);
	const struct policy_plan_whole *whole = whole_of("named.org");
	assert_false(whole->is_general || whole->is_exception || whole->is_mx_proven);
	assert_true(whole->uses_dane && whole->is_mx_known);
	whole = whole_of("without.org");
	assert_int_equal(whole->rule->level, POLICY_LEVEL_ENCRYPT);
	assert_int_equal(whole->dane_hosts, 0);
	assert_int_equal(whole->plain_hosts, 1);
	assert_int_equal(whole->sts_mode, POLICY_STS_NONE);
	assert_false(whole->uses_dane);
	whole = whole_of("excepted.org");
	assert_true(whole->is_exception && !whole->is_general);
	assert_int_equal(whole->sts_mode, POLICY_STS_NONE);
	assert_true(whole_of("other.org")->is_general);
}

static void the_built_in_rule_is_general(void **state)
{
	(void)state;
	world_close(&w);
	world_open(&w, NULL, NULL);
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
	assert_true(whole_of(DOMAIN)->is_general);
}

static void the_policy_comes_with_those_patterns_first_that_matter(void **state)
{
	(void)state;
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE);
	const struct policy_plan_whole *whole = whole_of(DOMAIN);
	assert_int_equal(whole->sts_mode, POLICY_STS_ENFORCE);
	assert_int_equal(whole->sts_mx_count, 2);
	assert_string_equal(whole->sts_mx[0], "*.example.org");
	assert_string_equal(whole->sts_mx[1], "z.example.org");
	assert_string_equal(whole->sts_text, ENFORCE);
}

static void a_large_policy_is_kept_in_part(void **state)
{
	struct buf text = { 0 };
	size_t bytes = 0;
	(void)state;
	buf_append_text(&text, "version: STSv1\nmode: enforce\nmax_age: 86400\n");
	for (int i = 0; i < 900; i++)
		buf_printf(&text, "mx: a-rather-long-name-of-a-host-%d.example.net\n", i);
	buf_append_text(&text, "mx: mx.example.org\n");
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
	fake_sts_set_policy(w.sts, DOMAIN, buf_text(&text));
	const struct policy_plan_whole *whole = whole_of(DOMAIN);
	assert_string_equal(whole->sts_mx[0], "mx.example.org");
	for (size_t i = 0; i < whole->sts_mx_count; i++)
		bytes += strlen(whole->sts_mx[i]) + 1;
	assert_true(bytes <= PLAN_WHOLE_MX_BYTES_MOST && bytes > PLAN_WHOLE_MX_BYTES_MOST / 2);
	size_t length = strlen(whole->sts_text);
	assert_true(length <= PLAN_WHOLE_TEXT_BYTES_MOST && length > PLAN_WHOLE_TEXT_BYTES_MOST / 2);
	assert_string_equal(whole->sts_text + length - 12, ".example.net");
	buf_release(&text);
}

/* Advice of operators: an answer for a domain in trouble is better given from what is in force. */
static void a_failed_mx_look_up_leaves_the_policy_in_force(void **state)
{
	(void)state;
	fake_dns_set_failed(w.dns, DOMAIN, DNS_MX, false, "SERVFAIL");
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE);
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_false(plan->whole->is_mx_known || plan->whole->is_mx_proven);
	assert_int_equal(plan->whole->sts_mode, POLICY_STS_ENFORCE);
}

static void hosts_that_hang_are_unknown_even_if_none_is_left(void **state)
{
	(void)state;
	world_close(&w);
	world_open(&w, NULL, &(struct plan_service_setup){ .limit_ms = 2000 });
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "10 mx." DOMAIN);
	fake_dns_set_silent(w.dns, "mx." DOMAIN, DNS_A);
	fake_dns_set_silent(w.dns, "mx." DOMAIN, DNS_AAAA);
	const struct policy_plan *plan = world_plan(&w, DOMAIN);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_true(plan->whole->is_mx_known);
	assert_int_equal(plan->whole->unknown_hosts, 1);
}

static void a_host_by_name_is_as_good_as_proven(void **state)
{
	const struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 587 };
	(void)state;
	fake_dns_set(w.dns, DOMAIN, DNS_A, DNS_INSECURE, "192.0.2.1");
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE);
	const struct policy_plan_whole *whole = world_plan_for(&w, &question)->whole;
	assert_true(whole->is_mx_known && whole->is_mx_proven && !whole->is_by_mx);
	assert_int_equal(whole->sts_mode, POLICY_STS_ENFORCE);
	assert_int_equal(whole->plain_hosts, 1);
}

static void what_is_known_needs_no_look_up(void **state)
{
	const struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
		.next_hop = DOMAIN, .port = 25 };
	(void)state;
	fake_sts_set_policy(w.sts, DOMAIN, ENFORCE);
	fake_dns_reset_counts(w.dns);
	struct policy_plan *plan = plan_service_known(w.service, &question);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_false(plan->whole->is_mx_known);
	assert_int_equal(plan->whole->sts_mode, POLICY_STS_ENFORCE);
	assert_true(plan->whole->is_general);
	policy_plan_unref(&plan);
	assert_int_equal(fake_dns_count_all(w.dns), 0);
	assert_int_equal(fake_sts_asked(w.sts, DOMAIN), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	static const struct CMUnitTest tests[] = {
		TEST(hosts_are_counted_by_their_records),
		TEST(who_spoke_is_told),
		TEST(the_built_in_rule_is_general),
		TEST(the_policy_comes_with_those_patterns_first_that_matter),
		TEST(a_large_policy_is_kept_in_part),
		TEST(a_failed_mx_look_up_leaves_the_policy_in_force),
		TEST(hosts_that_hang_are_unknown_even_if_none_is_left),
		TEST(a_host_by_name_is_as_good_as_proven),
		TEST(what_is_known_needs_no_look_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
