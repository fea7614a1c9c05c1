/* Which hosts take a domain's mail: RFC 5321 5.1, RFC 7505; look-ups that fail (D1, D2, D6, N4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/plan/plan_world.h"

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w, NULL, NULL);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void add_address(const char *host, const char *address)
{
	fake_dns_set(w.dns, host, DNS_A, DNS_INSECURE, address);
	fake_dns_set_none(w.dns, host, DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
}

static void hosts_stand_in_order_of_preference_each_once(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE,
		"30 c.example|10 b.example|20 a.example|40 b.example");
	add_address("a.example", "192.0.2.1");
	add_address("b.example", "192.0.2.2");
	add_address("c.example", "192.0.2.3");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_int_equal(plan->host_count, 3);
	assert_string_equal(plan->hosts[0].name, "b.example");
	assert_int_equal(plan->hosts[0].preference, 10);
	assert_string_equal(plan->hosts[1].name, "a.example");
	assert_string_equal(plan->hosts[2].name, "c.example");
	for (size_t i = 0; i < 3; i++) {
		assert_non_null(plan->hosts[i].requirement);
		assert_int_equal(plan->hosts[i].requirement->level, POLICY_LEVEL_MAY);
		assert_int_equal(plan->hosts[i].addresses[0].port, 25);
	}
	const struct policy_evidence *mx = world_evidence(plan, POLICY_EVIDENCE_MX, "example.org");
	assert_string_equal(mx->verdict, "insecure");
	assert_int_equal(mx->ttl_s, 3600);
}

static void families_alternate_and_addresses_are_bounded(void **state)
{
	char many[1000] = "192.0.2.100";
	(void)state;
	for (int i = 1; i < 40; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "|192.0.2.%d", i);
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 mx.example");
	fake_dns_set(w.dns, "mx.example", DNS_A, DNS_INSECURE, many);
	fake_dns_set(w.dns, "mx.example", DNS_AAAA, DNS_INSECURE, "2001:db8::1|2001:db8::2");
	const struct policy_plan_host *host = &world_plan(&w, "example.org")->hosts[0];
	assert_int_equal(host->address_count, POLICY_PLAN_ADDRESSES_MOST);
	assert_int_equal(host->addresses[0].family, NETADDR_IPV6);
	assert_int_equal(host->addresses[1].family, NETADDR_IPV4);
	assert_int_equal(host->addresses[2].family, NETADDR_IPV6);
	assert_int_equal(host->addresses[3].family, NETADDR_IPV4);
	assert_int_equal(host->addresses[4].family, NETADDR_IPV4);
}

static void twenty_hosts_are_looked_at_and_the_rest_is_told(void **state)
{
	char many[2000] = "";
	(void)state;
	for (int i = 30; i > 0; i--) {
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s%d mx%d.example",
			i < 30 ? "|" : "", i, i);
	}
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, many);
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->host_count, POLICY_PLAN_HOSTS_MOST);
	assert_string_equal(plan->hosts[0].name, "mx1.example");
	assert_string_equal(plan->hosts[19].name, "mx20.example");
	assert_says(world_evidence(plan, POLICY_EVIDENCE_NOTE, "example.org")->text, "10 hosts");
}

static void X1_a_null_mx_alone_takes_no_mail(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 .");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_NO_MAIL);
	assert_says(plan->text, "example.org takes no mail");
	assert_int_equal(plan->host_count, 0);
}

static void enforce(const char *domain)
{
	fake_sts_set_policy(w.sts, domain,
		"version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n");
}

static void assert_waits(const char *domain)
{
	const struct policy_plan *plan = world_plan(&w, domain);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_int_equal(plan->reason, POLICY_REASON_NONE);
	assert_says(plan->text, "MTA-STS policy of example.org is in force");
	assert_int_equal(plan->expires_s - plan->made_s, 30);
	plan_service_forget(w.service, domain);
}

/* Who forges answers must not make mail bounce that he may not read. */
static void M18_while_a_policy_is_enforced_mail_bounces_only_where_DNSSEC_says_so(void **state)
{
	static const enum dns_result nothing[] = { DNS_NO_NAME, DNS_NO_DATA };
	(void)state;
	enforce("example.org");
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 .");
	assert_waits("example.org");
	assert_says(w.plan->text, "example.org takes no mail (null MX)");
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_SECURE, "0 .");
	assert_int_equal(world_plan(&w, "example.org")->state, POLICY_PLAN_NO_MAIL);
	for (size_t i = 0; i < 2; i++) {
		plan_service_forget(w.service, "example.org");
		fake_dns_set_none(w.dns, "example.org", DNS_A, DNS_NO_DATA, DNS_SECURE);
		fake_dns_set_none(w.dns, "example.org", DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
		fake_dns_set_none(w.dns, "example.org", DNS_MX, nothing[i], DNS_INSECURE);
		assert_waits("example.org");
		fake_dns_set_none(w.dns, "example.org", DNS_MX, nothing[i], DNS_SECURE);
		assert_int_equal(world_plan(&w, "example.org")->state, POLICY_PLAN_NO_DOMAIN);
	}
	/* without MX and with one family forged */
	plan_service_forget(w.service, "example.org");
	fake_dns_set_none(w.dns, "example.org", DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
	assert_waits("example.org");
}

static void a_policy_that_does_not_count_keeps_no_mail_from_bouncing(void **state)
{
	static const struct world_rule without[] = { { .domain = "example.org",
		.level = POLICY_LEVEL_MAY, .without_sts = true }, { 0 } };
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 .");
	fake_sts_set_policy(w.sts, "example.org",
		"version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n");
	assert_int_equal(world_plan(&w, "example.org")->state, POLICY_PLAN_NO_MAIL);
	world_close(&w);
	world_open(&w, without, NULL);
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 .");
	enforce("example.org");
	assert_int_equal(world_plan(&w, "example.org")->state, POLICY_PLAN_NO_MAIL);
}

static void X1_a_null_mx_beside_others_is_ignored(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "0 .|10 mx.example");
	add_address("mx.example", "192.0.2.1");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_int_equal(plan->host_count, 1);
	assert_string_equal(plan->hosts[0].name, "mx.example");
}

static void X2_nothing_more_is_asked_of_a_null_mx_domain(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_SECURE, "0 .");
	fake_sts_set_delay(w.sts, "example.org", -1);
	assert_int_equal(world_plan(&w, "example.org")->state, POLICY_PLAN_NO_MAIL);
	assert_int_equal(fake_dns_count_all(w.dns), 1);
	assert_int_equal(fake_sts_asked(w.sts, "example.org"), 0);
	assert_says(world_evidence(w.plan, POLICY_EVIDENCE_STS_POLICY, NULL)->text, "no host");
}

static void D1_an_answer_that_nothing_is_there_is_an_answer(void **state)
{
	(void)state;
	fake_dns_set_none(w.dns, "example.org", DNS_MX, DNS_NO_NAME, DNS_SECURE);
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_NO_DOMAIN);
	assert_says(plan->text, "there is no domain example.org");
	assert_int_equal(plan->host_count, 0);
	assert_int_equal(fake_dns_count_all(w.dns), 1);
}

static void D2_an_mx_look_up_that_fails_delays_the_whole_domain(void **state)
{
	(void)state;
	fake_dns_set_failed(w.dns, "example.org", DNS_MX, false, "SERVFAIL from 192.0.2.53");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_int_equal(plan->reason, POLICY_REASON_NONE);
	assert_says(plan->text, "SERVFAIL from 192.0.2.53");
	assert_int_equal(plan->expires_s - plan->made_s, 30);
	assert_int_equal(fake_dns_count(w.dns, "example.org", DNS_A), 0);
}

static void D2_a_bogus_mx_set_is_told_as_such(void **state)
{
	(void)state;
	fake_dns_set_failed(w.dns, "example.org", DNS_MX, true, "signature expired");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_int_equal(plan->reason, POLICY_REASON_DNSSEC_INVALID);
	assert_says(plan->text, "signature expired");
}

static void D2_an_address_look_up_that_fails_puts_out_that_host_only(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE,
		"10 broken.example|20 good.example|30 bogus.example");
	fake_dns_set_failed(w.dns, "broken.example", DNS_A, false, "SERVFAIL");
	fake_dns_set_none(w.dns, "broken.example", DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set_failed(w.dns, "bogus.example", DNS_A, false, "SERVFAIL");
	fake_dns_set_failed(w.dns, "bogus.example", DNS_AAAA, true, "no signature");
	add_address("good.example", "192.0.2.2");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_null(plan->hosts[0].requirement);
	assert_says(plan->hosts[0].text, "the address of host broken.example could not be looked up");
	assert_says(plan->hosts[0].text, "SERVFAIL");
	assert_int_equal(plan->hosts[0].reason, POLICY_REASON_NONE);
	assert_non_null(plan->hosts[1].requirement);
	assert_null(plan->hosts[2].requirement);
	assert_int_equal(plan->hosts[2].reason, POLICY_REASON_DNSSEC_INVALID);
	assert_says(plan->hosts[2].text, "no signature");
	assert_int_equal(plan->expires_s - plan->made_s, 30);
}

static void addresses_of_this_machine_are_not_taken_from_mx_records(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1", "224.0.0.1",
		"255.255.255.255" };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[100];
		fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "10 here.example|20 good.example");
		fake_dns_set(w.dns, "here.example", DNS_A, DNS_INSECURE, bad[i]);
		fake_dns_set(w.dns, "here.example", DNS_AAAA, DNS_INSECURE, i % 2 ? "::1" : "fe80::1");
		snprintf(text, sizeof(text), "10.0.0.1|%s", bad[i]); /* networks of our own are */
		fake_dns_set(w.dns, "good.example", DNS_A, DNS_INSECURE, text);
		fake_dns_set_none(w.dns, "good.example", DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
		plan_service_forget(w.service, "example.org");
		const struct policy_plan *plan = world_plan(&w, "example.org");
		assert_int_equal(plan->state, POLICY_PLAN_READY);
		assert_null(plan->hosts[0].requirement);
		assert_says(plan->hosts[0].text, "no address that leads away from this machine");
		assert_non_null(plan->hosts[1].requirement);
		assert_int_equal(plan->hosts[1].address_count, 1);
		assert_int_equal(plan->hosts[1].addresses[0].bytes[0], 10);
	}
}

static void an_operator_may_name_a_host_of_this_machine(void **state)
{
	const struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = "example.org",
		.next_hop = "here.example", .port = 25, .wants_evidence = true };
	(void)state;
	fake_dns_set(w.dns, "here.example", DNS_A, DNS_SECURE, "127.0.0.1");
	fake_dns_set_none(w.dns, "here.example", DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set_none(w.dns, "_25._tcp.here.example", DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
	assert_int_equal(world_plan_for(&w, &question)->hosts[0].address_count, 1);
}

static void D2_one_family_that_fails_does_not_block_the_host(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "10 mx.example|20 six.example");
	fake_dns_set(w.dns, "mx.example", DNS_A, DNS_INSECURE, "192.0.2.1");
	fake_dns_set_failed(w.dns, "mx.example", DNS_AAAA, false, "SERVFAIL");
	fake_dns_set_failed(w.dns, "six.example", DNS_A, true, "bogus");
	fake_dns_set(w.dns, "six.example", DNS_AAAA, DNS_INSECURE, "2001:db8::1");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_non_null(plan->hosts[0].requirement);
	assert_int_equal(plan->hosts[0].address_count, 1);
	assert_non_null(plan->hosts[1].requirement);
	assert_int_equal(plan->hosts[1].addresses[0].family, NETADDR_IPV6);
}

static void a_host_without_address_is_out(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_INSECURE, "10 gone.example|20 mx.example");
	add_address("mx.example", "192.0.2.1");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_null(plan->hosts[0].requirement);
	assert_says(plan->hosts[0].text, "there is no host gone.example");
	assert_non_null(plan->hosts[1].requirement);
}

static void D6_without_mx_records_the_domain_itself_is_the_host(void **state)
{
	(void)state;
	fake_dns_set_none(w.dns, "example.org", DNS_MX, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set(w.dns, "example.org", DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set_none(w.dns, "example.org", DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set(w.dns, "_25._tcp.example.org", DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_string_equal(plan->hosts[0].name, "example.org");
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_DANE);
	assert_string_equal(world_dane_names(&plan->hosts[0]), "example.org");
	assert_true(plan->hosts[0].is_domain_proven);
}

static void D6_neither_mx_nor_address_is_no_domain(void **state)
{
	(void)state;
	fake_dns_set_none(w.dns, "example.org", DNS_MX, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set_none(w.dns, "example.org", DNS_A, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set_none(w.dns, "example.org", DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_NO_DOMAIN);
	assert_says(plan->text, "neither MX nor address");
	/* tells it from a domain that is not there: 5.4.4, not 5.1.2 */
	assert_int_equal(plan->host_count, 1);
	assert_null(plan->hosts[0].requirement);
}

static void D6_an_implicit_mx_that_cannot_be_looked_up_is_no_missing_domain(void **state)
{
	(void)state;
	fake_dns_set_none(w.dns, "example.org", DNS_MX, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set_failed(w.dns, "example.org", DNS_A, false, "SERVFAIL");
	fake_dns_set_none(w.dns, "example.org", DNS_AAAA, DNS_NO_DATA, DNS_INSECURE);
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_null(plan->hosts[0].requirement);
}

static void N4_an_mx_record_that_names_an_address_is_out(void **state)
{
	(void)state;
	fake_dns_set(w.dns, "example.org", DNS_MX, DNS_SECURE, "10 192.0.2.9|15 a b|20 mx.example");
	add_address("mx.example", "192.0.2.1");
	const struct policy_plan *plan = world_plan(&w, "example.org");
	assert_null(plan->hosts[0].requirement);
	assert_int_equal(plan->hosts[0].address_count, 0);
	assert_says(plan->hosts[0].text, "names an address (192.0.2.9)");
	assert_null(plan->hosts[1].requirement);
	assert_says(plan->hosts[1].text, "not the name of a host");
	assert_non_null(plan->hosts[2].requirement);
	assert_int_equal(fake_dns_count(w.dns, "_25._tcp.192.0.2.9", DNS_TLSA), 0);
	assert_int_equal(fake_dns_count(w.dns, "192.0.2.9", DNS_A), 0);
}

static void a_smart_host_that_is_not_there_sends_no_mail_back(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = "example.org",
		.next_hop = "typo.example", .port = 25 };
	(void)state;
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_says(plan->text, "typo.example");
	assert_says(plan->text, "mail of example.org");
	question.next_hop = "null.example";
	fake_dns_set(w.dns, "null.example", DNS_MX, DNS_SECURE, "0 .");
	assert_int_equal(world_plan_for(&w, &question)->state, POLICY_PLAN_DEFER);
}

static void by_host_asks_no_mx_and_the_policy_of_the_host(void **state)
{
	struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = "example.org",
		.next_hop = "smart.example", .port = 587 };
	(void)state;
	fake_dns_set(w.dns, "smart.example", DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set_none(w.dns, "smart.example", DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set(w.dns, "_587._tcp.smart.example", DNS_TLSA, DNS_SECURE, "3 1 1 " HASH_OF_KEY);
	const struct policy_plan *plan = world_plan_for(&w, &question);
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_int_equal(plan->hosts[0].addresses[0].port, 587);
	assert_int_equal(plan->hosts[0].requirement->level, POLICY_LEVEL_DANE);
	assert_int_equal(fake_dns_count(w.dns, "smart.example", DNS_MX), 0);
	assert_int_equal(fake_sts_asked(w.sts, "smart.example"), 1);
	assert_int_equal(fake_sts_asked(w.sts, "example.org"), 0);
}

static void names_that_are_none_are_refused_in_words(void **state)
{
	char longer[400];
	(void)state;
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(world_plan(&w, longer)->state, POLICY_PLAN_DEFER);
	assert_int_equal(world_plan(&w, "a..b")->state, POLICY_PLAN_NO_DOMAIN);
	assert_says(w.plan->text, "a label is empty");
	assert_int_equal(fake_dns_count_all(w.dns), 0);
}

static void names_are_asked_in_their_one_form(void **state)
{
	(void)state;
	world_add_domain(&w, "xn--exmple-cua.org", DNS_INSECURE);
	assert_int_equal(world_plan(&w, "EX\xc3\xa4MPLE.org.")->state, POLICY_PLAN_READY);
	assert_string_equal(w.plan->hosts[0].name, "mx.xn--exmple-cua.org");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(hosts_stand_in_order_of_preference_each_once),
		TEST(families_alternate_and_addresses_are_bounded),
		TEST(twenty_hosts_are_looked_at_and_the_rest_is_told),
		TEST(X1_a_null_mx_alone_takes_no_mail),
		TEST(M18_while_a_policy_is_enforced_mail_bounces_only_where_DNSSEC_says_so),
		TEST(a_policy_that_does_not_count_keeps_no_mail_from_bouncing),
		TEST(X1_a_null_mx_beside_others_is_ignored),
		TEST(X2_nothing_more_is_asked_of_a_null_mx_domain),
		TEST(D1_an_answer_that_nothing_is_there_is_an_answer),
		TEST(D2_an_mx_look_up_that_fails_delays_the_whole_domain),
		TEST(D2_a_bogus_mx_set_is_told_as_such),
		TEST(D2_an_address_look_up_that_fails_puts_out_that_host_only),
		TEST(addresses_of_this_machine_are_not_taken_from_mx_records),
		TEST(an_operator_may_name_a_host_of_this_machine),
		TEST(D2_one_family_that_fails_does_not_block_the_host),
		TEST(a_host_without_address_is_out),
		TEST(D6_without_mx_records_the_domain_itself_is_the_host),
		TEST(D6_neither_mx_nor_address_is_no_domain),
		TEST(D6_an_implicit_mx_that_cannot_be_looked_up_is_no_missing_domain),
		TEST(N4_an_mx_record_that_names_an_address_is_out),
		TEST(a_smart_host_that_is_not_there_sends_no_mail_back),
		TEST(by_host_asks_no_mx_and_the_policy_of_the_host),
		TEST(names_that_are_none_are_refused_in_words),
		TEST(names_are_asked_in_their_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
