/* Questions joined, plans kept, bounds kept: the service as its askers see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/plan/plan_world.h"

#define DOMAIN "example.org"
#define HOST   "mx.example.org"

static struct world w;

static const struct policy_question plain = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
	.next_hop = DOMAIN, .port = 25 };
static const struct policy_question with_evidence = { .kind = POLICY_BY_MX, .rule_domain = DOMAIN,
	.next_hop = DOMAIN, .port = 25, .wants_evidence = true };

static void open_with(const struct plan_service_setup *bounds)
{
	world_open(&w, NULL, bounds);
	world_add_domain(&w, DOMAIN, DNS_INSECURE);
}

static int open_world(void **state)
{
	(void)state;
	open_with(NULL);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static struct plan_service_counts counts(void)
{
	struct plan_service_counts ret;
	plan_service_count(w.service, &ret);
	return ret;
}

static struct plan_question *ask(const struct policy_question *question)
{
	return plan_service_ask(w.service, question, world_on_plan, &w);
}

/* ---- kept ------------------------------------------------------------------------------------- */

static void a_plan_is_kept_until_the_shortest_ttl_is_over(void **state)
{
	(void)state;
	fake_dns_set_ttl(w.dns, HOST, DNS_A, 100);
	assert_null(plan_service_find(w.service, &plain));
	const struct policy_plan *plan = world_plan_for(&w, &plain);
	assert_int_equal(plan->expires_s - plan->made_s, 100);
	fake_dns_reset_counts(w.dns);
	assert_ptr_equal(plan_service_find(w.service, &plain), plan);
	assert_ptr_equal(world_plan_for(&w, &plain), plan);
	fake_loop_advance(w.loop, 99000);
	assert_ptr_equal(plan_service_find(w.service, &plain), plan);
	assert_int_equal(fake_dns_count_all(w.dns), 0);
	fake_loop_advance(w.loop, 1000);
	assert_null(plan_service_find(w.service, &plain));
	world_plan_for(&w, &plain);
	assert_int_equal(fake_dns_count(w.dns, DOMAIN, DNS_MX), 1);
	assert_int_equal(counts().kept, 1);
}

static void times_to_live_stay_between_five_seconds_and_a_day(void **state)
{
	(void)state;
	fake_dns_set_ttl(w.dns, DOMAIN, DNS_MX, 0);
	const struct policy_plan *plan = world_plan_for(&w, &plain);
	assert_int_equal(plan->expires_s - plan->made_s, 5);
	plan = world_plan(&w, "192.0.2.1");
	assert_int_equal(plan->expires_s - plan->made_s, 86400);
}

static void a_wall_clock_set_back_does_not_prolong_a_plan(void **state)
{
	(void)state;
	fake_dns_set_ttl(w.dns, HOST, DNS_A, 100);
	world_plan_for(&w, &plain);
	fake_loop_set_time_s(w.loop, tlsio_loop_time_s(w.loop) - 86400);
	assert_non_null(plan_service_find(w.service, &plain));
	fake_loop_advance(w.loop, 100000);
	assert_null(plan_service_find(w.service, &plain));
}

static void a_wall_clock_set_forward_ends_what_is_over_by_it(void **state)
{
	(void)state;
	world_plan_for(&w, &plain);
	fake_loop_set_time_s(w.loop, tlsio_loop_time_s(w.loop) + 3600);
	assert_null(plan_service_find(w.service, &plain));
}

static void evidence_is_kept_only_where_it_was_asked_for(void **state)
{
	(void)state;
	assert_int_equal(world_plan_for(&w, &plain)->evidence_count, 0);
	assert_null(plan_service_find(w.service, &with_evidence));
	assert_true(world_plan_for(&w, &with_evidence)->evidence_count > 0);
	assert_non_null(plan_service_find(w.service, &with_evidence));
	/* and it serves those who do not ask for it */
	assert_ptr_equal(plan_service_find(w.service, &plain), w.plan);
	assert_int_equal(counts().kept, 1);
}

static void other_questions_are_not_mixed_up(void **state)
{
	struct policy_question other = plain;
	(void)state;
	world_plan_for(&w, &plain);
	other.port = 26;
	assert_null(plan_service_find(w.service, &other));
	other = plain;
	other.kind = POLICY_BY_HOST;
	assert_null(plan_service_find(w.service, &other));
	other = plain;
	other.rule_domain = "else.example";
	assert_null(plan_service_find(w.service, &other));
	other = plain;
	other.next_hop = "else.example";
	assert_null(plan_service_find(w.service, &other));
	other = plain;
	other.rule_domain = other.next_hop = "Example.ORG.";
	assert_non_null(plan_service_find(w.service, &other));
}

static void the_longest_unused_plan_makes_room(void **state)
{
	static const struct plan_service_setup bounds = { .plans_most = 2 };
	struct policy_question a = plain, b = plain, c = plain;
	(void)state;
	open_with(&bounds);
	a.rule_domain = a.next_hop = "a.example";
	b.rule_domain = b.next_hop = "b.example";
	c.rule_domain = c.next_hop = "c.example";
	world_plan_for(&w, &a);
	world_plan_for(&w, &b);
	assert_non_null(plan_service_find(w.service, &a)); /* used again */
	world_plan_for(&w, &c);
	assert_non_null(plan_service_find(w.service, &a));
	assert_null(plan_service_find(w.service, &b));
	assert_non_null(plan_service_find(w.service, &c));
	assert_int_equal(counts().kept, 2);
	world_close(&w);
}

static void a_changed_policy_forgets_that_domain_only(void **state)
{
	struct policy_question other = plain;
	(void)state;
	other.rule_domain = other.next_hop = "other.example";
	world_add_domain(&w, "other.example", DNS_INSECURE);
	world_plan_for(&w, &plain);
	world_plan_for(&w, &other);
	plan_service_forget(w.service, "Example.org");
	assert_null(plan_service_find(w.service, &plain));
	assert_non_null(plan_service_find(w.service, &other));
}

static void forgetting_is_exact_among_many(void **state)
{
	char name[32];
	(void)state;
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "10.1.%d.%d", i / 250, i % 250);
		struct policy_question question = { .kind = POLICY_BY_HOST, .rule_domain = DOMAIN,
			.next_hop = name, .port = 25 };
		ask(&question);
		if (i % 100 == 0)
			fake_loop_advance(w.loop, 0);
	}
	fake_loop_advance(w.loop, 0);
	assert_int_equal(counts().kept, 20000);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "10.1.%d.7", i);
		plan_service_forget(w.service, name);
	}
	assert_int_equal(counts().kept, 19990);
}

static void what_changes_while_the_plan_is_made_keeps_it_from_being_kept(void **state)
{
	(void)state;
	fake_dns_hold(w.dns, HOST, DNS_A);
	ask(&plain);
	fake_loop_advance(w.loop, 0);
	plan_service_forget(w.service, DOMAIN);
	fake_dns_release(w.dns, HOST, DNS_A);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 1);
	assert_null(plan_service_find(w.service, &plain));
	assert_int_equal(w.plan->expires_s, w.plan->made_s); /* nor is it for the askers to keep */

	/* not yet told of the policy: then the plan has the new one */
	fake_sts_set_delay(w.sts, DOMAIN, 1000);
	ask(&plain);
	fake_loop_advance(w.loop, 0);
	plan_service_forget(w.service, DOMAIN);
	fake_loop_advance(w.loop, 1000);
	assert_int_equal(w.plan_count, 2);
	assert_non_null(plan_service_find(w.service, &plain));
}

/* ---- joined ----------------------------------------------------------------------------------- */

static void equal_questions_in_flight_are_asked_once(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		ask(&plain);
	assert_int_equal(counts().in_flight, 1);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 100);
	assert_int_equal(fake_dns_count(w.dns, DOMAIN, DNS_MX), 1);
	assert_int_equal(fake_sts_asked(w.sts, DOMAIN), 1);
	assert_int_equal(counts().in_flight, 0);
	assert_int_equal(counts().made, 1);
}

static void one_in_flight_with_evidence_serves_those_without(void **state)
{
	(void)state;
	ask(&with_evidence);
	ask(&plain);
	assert_int_equal(counts().in_flight, 1);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 2);
	plan_service_forget(w.service, DOMAIN);
	ask(&plain);
	ask(&with_evidence);
	assert_int_equal(counts().in_flight, 2);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 4);
}

static void cancelled_questions_are_not_told(void **state)
{
	(void)state;
	struct plan_question *first = ask(&plain), *second = ask(&plain);
	plan_question_cancel(&first);
	assert_null(first);
	assert_int_equal(counts().in_flight, 1);
	plan_question_cancel(&second);
	/* nobody waits: nothing is looked up any more */
	assert_int_equal(counts().in_flight, 0);
	assert_int_equal(fake_dns_in_flight(w.dns), 0);
	assert_int_equal(fake_sts_open(w.sts), 0);
	fake_loop_advance(w.loop, 60000);
	assert_int_equal(w.plan_count, 0);

	world_plan_for(&w, &plain);
	first = ask(&plain); /* answered already, not yet told */
	assert_int_equal(counts().in_flight, 0);
	assert_true(counts().has_untold);
	plan_question_cancel(&first);
	assert_false(counts().has_untold);
	plan_question_cancel(&first);
	fake_loop_advance(w.loop, 60000);
	assert_int_equal(w.plan_count, 1);
}

static struct plan_question *victim;

static void cancel_the_other(void *ctx, struct policy_plan *plan)
{
	(void)ctx;
	(void)plan;
	plan_question_cancel(&victim);
	ask(&plain);
}

static void a_question_may_be_cancelled_while_another_is_told(void **state)
{
	(void)state;
	plan_service_ask(w.service, &plain, cancel_the_other, NULL);
	victim = ask(&plain);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 1); /* the one asked in between */
}

static void the_service_may_end_at_any_moment(void **state)
{
	(void)state;
	ask(&plain);
	ask(&plain);
	fake_dns_hold(w.dns, HOST, DNS_AAAA);
	fake_loop_advance(w.loop, 0);
	ask(&with_evidence);
	struct policy_question other = plain;
	other.kind = POLICY_BY_HOST;
	other.next_hop = HOST;
	ask(&other);
	plan_service_free(&w.service);
	assert_int_equal(fake_dns_in_flight(w.dns), 0);
	assert_int_equal(fake_sts_open(w.sts), 0);
	assert_int_equal(w.plan_count, 0);
}

static void other_rules_begin_anew(void **state)
{
	static const struct world_rule strict[] = { { .domain = DOMAIN,
							.level = POLICY_LEVEL_ENCRYPT },
		{ 0 } };
	(void)state;
	world_plan(&w, "192.0.2.1");
	fake_dns_hold(w.dns, HOST, DNS_A);
	ask(&plain);
	fake_loop_advance(w.loop, 0);
	struct policy_rules *rules = world_make_rules(&w, strict);
	plan_service_set_rules(w.service, rules);
	policy_rules_unref(&rules);
	policy_rules_unref(&w.rules);
	w.rules = policy_rules_new();
	assert_int_equal(counts().kept, 0);
	fake_dns_release(w.dns, HOST, DNS_A);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 2);
	assert_int_equal(w.plan->hosts[0].requirement->level, POLICY_LEVEL_ENCRYPT);
}

/* ---- bounds ----------------------------------------------------------------------------------- */

static void every_question_ends_within_the_limit(void **state)
{
	static const struct plan_service_setup bounds = { .limit_ms = 12000 };
	(void)state;
	open_with(&bounds);
	fake_dns_hold(w.dns, DOMAIN, DNS_MX);
	fake_sts_set_delay(w.sts, DOMAIN, -1);
	ask(&plain);
	fake_loop_advance(w.loop, 11999);
	assert_int_equal(w.plan_count, 0);
	fake_loop_advance(w.loop, 1);
	assert_int_equal(w.plan->state, POLICY_PLAN_DEFER);
	assert_string_equal(w.plan->text, "no answer within 12 s: MX of example.org");
	assert_int_equal(w.plan->expires_s - w.plan->made_s, 30);
	assert_int_equal(fake_dns_in_flight(w.dns), 0);
	assert_int_equal(fake_sts_open(w.sts), 0);
	assert_int_equal(counts().deferred, 1);
	world_close(&w);
}

static void at_the_limit_a_known_host_is_enough(void **state)
{
	static const struct plan_service_setup bounds = { .limit_ms = 5000 };
	(void)state;
	open_with(&bounds);
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_INSECURE, "10 slow.example|20 " HOST);
	fake_dns_hold(w.dns, "slow.example", DNS_A);
	const struct policy_plan *plan = world_plan_for(&w, &plain);
	assert_int_equal(plan->state, POLICY_PLAN_READY);
	assert_null(plan->hosts[0].requirement);
	assert_says(plan->hosts[0].text, "no answer in time");
	assert_non_null(plan->hosts[1].requirement);
	world_close(&w);
}

static void at_the_limit_without_a_host_the_open_look_ups_are_told(void **state)
{
	static const struct plan_service_setup bounds = { .limit_ms = 5000 };
	(void)state;
	open_with(&bounds);
	fake_dns_set(w.dns, DOMAIN, DNS_MX, DNS_SECURE, "10 slow.example|20 " HOST);
	fake_dns_hold(w.dns, "slow.example", DNS_A);
	fake_dns_set(w.dns, HOST, DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_hold(w.dns, "_25._tcp." HOST, DNS_TLSA);
	const struct policy_plan *plan = world_plan_for(&w, &plain);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_says(plan->text, "slow.example A, _25._tcp.mx.example.org TLSA");
	world_close(&w);
}

static void at_the_limit_an_unknown_policy_is_not_taken_for_none(void **state)
{
	static const struct plan_service_setup bounds = { .limit_ms = 5000 };
	(void)state;
	open_with(&bounds);
	fake_sts_set_delay(w.sts, DOMAIN, -1);
	const struct policy_plan *plan = world_plan_for(&w, &plain);
	assert_int_equal(plan->state, POLICY_PLAN_DEFER);
	assert_says(plan->text, "MTA-STS policy of example.org");
	world_close(&w);
}

static void beyond_the_bound_questions_are_deferred_at_once(void **state)
{
	static const struct plan_service_setup bounds = { .in_flight_most = 3 };
	char name[32];
	struct policy_question question = plain;
	(void)state;
	open_with(&bounds);
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		question.rule_domain = question.next_hop = name;
		fake_dns_hold(w.dns, name, DNS_MX);
		ask(&question);
	}
	assert_int_equal(counts().in_flight, 3);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 2);
	assert_int_equal(w.plan->state, POLICY_PLAN_DEFER);
	assert_says(w.plan->text, "too many domains");
	assert_int_equal(counts().refused, 2);
	assert_int_equal(counts().kept, 0);
	fake_loop_advance(w.loop, 45000);
	assert_int_equal(w.plan_count, 5);
	world_close(&w);
}

/* Domains of twenty silent hosts each: they share the places, and those who come in between wait for
 * a place, but those who are known do not. */
static void silent_hosts_leave_the_resolver_room_for_others(void **state)
{
	enum { DOMAINS = 30, IN_FLIGHT = 100, PLACES = 40 };
	static const struct plan_service_setup bounds = { .in_flight_most = IN_FLIGHT };
	struct policy_question question = plain, stranger = plain;
	char name[32], mx[1000], host[48];
	(void)state;
	open_with(&bounds);
	world_plan_for(&w, &plain);
	fake_loop_advance(w.loop, 3600 * 1000); /* known, but its plan is over */
	for (int i = 0; i < DOMAINS; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		mx[0] = '\0';
		for (int j = 0; j < POLICY_PLAN_HOSTS_MOST; j++) {
			snprintf(host, sizeof(host), "mx%d.%s", j, name);
			fake_dns_hold(w.dns, host, DNS_A);
			fake_dns_hold(w.dns, host, DNS_AAAA);
			snprintf(mx + strlen(mx), sizeof(mx) - strlen(mx), "%s10 %s", j ? "|" : "",
				host);
		}
		fake_dns_set(w.dns, name, DNS_MX, DNS_INSECURE, mx);
		question.rule_domain = question.next_hop = name;
		ask(&question);
	}
	fake_loop_advance(w.loop, 0);
	assert_int_equal(fake_dns_in_flight(w.dns), PLACES * 2);
	assert_int_equal(w.plan_count, 1);
	ask(&plain);
	fake_loop_advance(w.loop, 0);
	assert_int_equal(w.plan_count, 2);
	assert_int_equal(w.plan->state, POLICY_PLAN_READY);
	/* a stranger waits, and is told why it was in vain */
	world_add_domain(&w, "stranger.example", DNS_INSECURE);
	stranger.rule_domain = stranger.next_hop = "stranger.example";
	ask(&stranger);
	fake_loop_advance(w.loop, 14000);
	assert_int_equal(w.plan_count, 2);
	for (int second = 0; second < 46; second++) {
		fake_loop_advance(w.loop, 1000);
		assert_true(fake_dns_in_flight(w.dns) <= PLACES * 2);
	}
	assert_int_equal(w.plan_count, DOMAINS + 3);
	assert_int_equal(counts().in_flight, 0);
	assert_int_equal(fake_dns_in_flight(w.dns), 0);
	/* every place came back */
	world_plan_for(&w, &stranger);
	assert_int_equal(w.plan->state, POLICY_PLAN_READY);
	world_close(&w);
}

static void who_waits_for_a_place_gets_the_next_one(void **state)
{
	enum { PLACES = 20 };
	static const struct plan_service_setup bounds = { .in_flight_most = 10 };
	struct policy_question question = plain;
	char name[32];
	(void)state;
	open_with(&bounds);
	for (int i = 0; i < 3; i++) {
		char mx[1000] = "", host[48];
		snprintf(name, sizeof(name), "d%d.example", i);
		for (int j = 0; j < 12; j++) {
			snprintf(host, sizeof(host), "mx%02d.%s", j, name);
			fake_dns_hold(w.dns, host, DNS_A);
			fake_dns_set(w.dns, host, DNS_A, DNS_INSECURE, "192.0.2.1");
			snprintf(mx + strlen(mx), sizeof(mx) - strlen(mx), "%s10 %s", j ? "|" : "",
				host);
		}
		fake_dns_set(w.dns, name, DNS_MX, DNS_INSECURE, mx);
		question.rule_domain = question.next_hop = name;
		ask(&question);
		fake_loop_advance(w.loop, 0);
	}
	ask(&plain); /* unknown: the last in the line */
	fake_loop_advance(w.loop, 0);
	assert_int_equal(fake_dns_count(w.dns, "mx11.d0.example", DNS_A), 1);
	assert_int_equal(fake_dns_count(w.dns, "mx09.d2.example", DNS_A), 0);
	assert_int_equal(fake_dns_count(w.dns, HOST, DNS_A), 0);
	/* two by two: d1 keeps its place in the line until it has all it wants */
	for (int j = 0; j < 12; j += 2) {
		for (int k = j; k < j + 2; k++) {
			snprintf(name, sizeof(name), "mx%02d.d0.example", k);
			fake_dns_release(w.dns, name, DNS_A);
		}
		fake_loop_advance(w.loop, 0);
		snprintf(name, sizeof(name), j < 4 ? "mx%02d.d1.example" : "mx%02d.d2.example",
			j < 4 ? j + 9 : j - 3);
		assert_int_equal(fake_dns_count(w.dns, name, DNS_A), 1);
		assert_int_equal(fake_dns_count(w.dns, "mx00.d2.example", DNS_A), j < 4 ? 0 : 1);
	}
	assert_int_equal(w.plan_count, 1);
	assert_string_equal(w.plan->next_hop, "d0.example");
	assert_int_equal(fake_dns_count(w.dns, HOST, DNS_A), 0);
	fake_loop_advance(w.loop, 45000);
	assert_int_equal(w.plan_count, 4);
	world_close(&w);
}

/* 100,000 names nobody has heard of, none of them answered: those who are known still get through. */
static void a_flood_of_domains_costs_bounded_memory_and_harms_no_neighbour(void **state)
{
	enum { NAMES = 100000, PER_TURN = 1000, IN_FLIGHT = 800, KEPT = 2000 };
	static const struct plan_service_setup bounds = { .plans_most = KEPT,
		.in_flight_most = IN_FLIGHT };
	struct policy_question question = plain;
	char name[64];
	unsigned refused_neighbours = 0;
	(void)state;
	open_with(&bounds);
	fake_dns_set_ttl(w.dns, HOST, DNS_A, 5); /* the neighbour must be asked again and again */
	world_plan_for(&w, &plain);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "d%d.flood.example", i);
		question.rule_domain = question.next_hop = name;
		if (i % 2)
			fake_dns_hold(w.dns, name, DNS_MX);
		ask(&question);
		if (i % PER_TURN)
			continue;
		/* The fifth part of a second: twenty seconds for all. */
		assert_true(counts().in_flight <= IN_FLIGHT);
		assert_true(counts().kept <= KEPT);
		assert_true(fake_dns_in_flight(w.dns) <= IN_FLIGHT);
		fake_loop_advance(w.loop, 200);
		struct policy_question neighbour = plain;
		ask(&neighbour);
		fake_loop_advance(w.loop, 0);
		refused_neighbours += w.plan->state != POLICY_PLAN_READY;
	}
	assert_int_equal(refused_neighbours, 0);
	fake_loop_advance(w.loop, 60000);
	assert_int_equal(counts().in_flight, 0);
	assert_true(counts().refused > 0);
	assert_int_equal(world_plan_for(&w, &plain)->state, POLICY_PLAN_READY);
	assert_int_equal(w.plan_count, NAMES + NAMES / PER_TURN + 2);
	world_close(&w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		TEST(a_plan_is_kept_until_the_shortest_ttl_is_over),
		TEST(times_to_live_stay_between_five_seconds_and_a_day),
		TEST(a_wall_clock_set_back_does_not_prolong_a_plan),
		TEST(a_wall_clock_set_forward_ends_what_is_over_by_it),
		TEST(evidence_is_kept_only_where_it_was_asked_for),
		TEST(other_questions_are_not_mixed_up),
		cmocka_unit_test(the_longest_unused_plan_makes_room),
		TEST(a_changed_policy_forgets_that_domain_only),
		TEST(forgetting_is_exact_among_many),
		TEST(what_changes_while_the_plan_is_made_keeps_it_from_being_kept),
		TEST(equal_questions_in_flight_are_asked_once),
		TEST(one_in_flight_with_evidence_serves_those_without),
		TEST(cancelled_questions_are_not_told),
		TEST(a_question_may_be_cancelled_while_another_is_told),
		TEST(the_service_may_end_at_any_moment),
		TEST(other_rules_begin_anew),
		cmocka_unit_test(every_question_ends_within_the_limit),
		cmocka_unit_test(at_the_limit_a_known_host_is_enough),
		cmocka_unit_test(at_the_limit_without_a_host_the_open_look_ups_are_told),
		cmocka_unit_test(at_the_limit_an_unknown_policy_is_not_taken_for_none),
		cmocka_unit_test(beyond_the_bound_questions_are_deferred_at_once),
		cmocka_unit_test(silent_hosts_leave_the_resolver_room_for_others),
		cmocka_unit_test(who_waits_for_a_place_gets_the_next_one),
		cmocka_unit_test(a_flood_of_domains_costs_bounded_memory_and_harms_no_neighbour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
