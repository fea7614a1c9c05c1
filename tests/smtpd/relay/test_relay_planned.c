/* From a plan to hops in order, or to what is said at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_combine.h"
#include "smtpd/relay/relay_outcome.h"
#include "smtpd/relay/relay_planned.h"
#include "tests/fakes/fake_planner.h"

struct fixture {
	struct policy_requirement *may, *verify;
	struct relay_destination *destination;
	struct policy_plan *plan;
	struct relay_planned_by by;
	struct relay_candidates candidates;
	struct relay_causes causes;
	struct relay_outcome outcome;
	char text[600];
};

/* The random numbers of the test, one per host of the plan in its order. */
static const uint32_t *dice;

static uint32_t roll(void)
{
	return dice ? *dice++ : 0;
}

static struct policy_requirement *requirement(enum policy_level level, const char *source)
{
	struct policy_requirement from = { .level = level, .source = (char *)(uintptr_t)source };
	return policy_requirement_new(&from);
}

static struct relay_destination *destination(struct fixture *f, const char *words,
	const char *domain)
{
	const struct policy_rule rule = { .requirement = f->may, .fingerprint = "rule" };
	struct relay_destination *d = relay_destination_new(str_of(words), domain, &rule, NULL);
	assert_non_null(d);
	return d;
}

static int set_up(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .may = requirement(POLICY_LEVEL_MAY, "postern.conf:1"),
		.verify = requirement(POLICY_LEVEL_VERIFY, "postern.conf:2") };
	f.destination = destination(&f, "mx", "example.org");
	f.plan = policy_plan_new("example.org", "example.org");
	strcpy(f.plan->rule_fingerprint, "rule");
	f.by = (struct relay_planned_by){ .destination = f.destination, .hostname = "us.test",
		.attempts_most = 5, .random = roll };
	dice = NULL;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	relay_candidates_clear(&f->candidates);
	relay_causes_clear(&f->causes);
	policy_plan_unref(&f->plan);
	relay_destination_unref(&f->destination);
	policy_requirement_unref(&f->may);
	policy_requirement_unref(&f->verify);
	return 0;
}

static struct policy_plan_host *add(struct fixture *f, const char *name, unsigned preference,
	unsigned addresses, struct policy_requirement *r)
{
	struct policy_plan_host *host = fake_planner_host(f->plan, name, preference, NULL, r);
	for (unsigned i = 0; i < addresses; i++) {
		struct netaddr a = { .family = NETADDR_IPV4, .port = 25,
			.bytes = { 192, 0, 2, (uint8_t)(i + 1) } };
		fake_planner_add_address(host, &a);
	}
	return host;
}

static bool is_ready(struct fixture *f)
{
	return relay_planned_read(f->plan, &f->by, &f->candidates, &f->causes, &f->outcome);
}

/* "mx1.test.1 mx1.test.2 mx2.test.1": hosts and the last byte of their address, as tried. */
static const char *tried(struct fixture *f)
{
	size_t used = 0;
	f->text[0] = '\0';
	assert_true(is_ready(f));
	for (size_t i = 0; i < f->candidates.count; i++) {
		const struct relay_hop *hop = f->candidates.items[i].hop;
		used += (size_t)snprintf(f->text + used, sizeof(f->text) - used, "%s%s.%u",
			i ? " " : "", hop->host, hop->address.bytes[3]);
	}
	return f->text;
}

static void D10_preference_orders_hosts_whatever_they_must_show(void **state)
{
	struct fixture *f = *state;
	add(f, "c.test", 30, 1, f->verify);
	add(f, "a.test", 10, 1, f->may);
	add(f, "b.test", 20, 1, f->verify);
	assert_string_equal(tried(f), "a.test.1 b.test.1 c.test.1");
}

static void hosts_of_equal_preference_are_shuffled(void **state)
{
	static const struct {
		uint32_t dice[4];
		const char *order;
	} rows[] = {
		{ { 9, 1, 2, 3 }, "z.test.1 a.test.1 b.test.1 c.test.1" },
		{ { 0, 3, 2, 1 }, "z.test.1 c.test.1 b.test.1 a.test.1" },
		{ { 5, 2, 3, 1 }, "z.test.1 c.test.1 a.test.1 b.test.1" },
	};
	struct fixture *f = *state;
	add(f, "z.test", 5, 1, f->may);
	add(f, "a.test", 10, 1, f->may);
	add(f, "b.test", 10, 1, f->may);
	add(f, "c.test", 10, 1, f->may);
	for (size_t i = 0; i < 3; i++) {
		dice = rows[i].dice;
		assert_string_equal(tried(f), rows[i].order);
		relay_candidates_clear(&f->candidates);
	}
}

static void attempts_are_shared_out(void **state)
{
	static const struct {
		unsigned hosts, addresses, most;
		const char *order;
	} rows[] = {
		{ 1, 3, 5, "a.test.1 a.test.2 a.test.3" },
		{ 1, 3, 2, "a.test.1 a.test.2" },
		{ 2, 3, 3, "a.test.1 a.test.2 b.test.1" },
		{ 2, 3, 5, "a.test.1 a.test.2 a.test.3 b.test.1 b.test.2" },
		{ 3, 2, 1, "a.test.1 b.test.1 c.test.1" },
		{ 7, 2, 1, "a.test.1 b.test.1 c.test.1 d.test.1 e.test.1" },
		{ 7, 1, 6, "a.test.1 b.test.1 c.test.1 d.test.1 e.test.1 f.test.1" },
	};
	static const char *const names[] = { "a.test", "b.test", "c.test", "d.test", "e.test",
		"f.test", "g.test" };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy_plan_unref(&f->plan);
		f->plan = policy_plan_new("example.org", "example.org");
		strcpy(f->plan->rule_fingerprint, "rule");
		for (unsigned h = 0; h < rows[i].hosts; h++)
			add(f, names[h], h, rows[i].addresses, f->may);
		f->by.attempts_most = rows[i].most;
		assert_string_equal(tried(f), rows[i].order);
		relay_candidates_clear(&f->candidates);
	}
}

/* M16: hosts that the policy does not name are passed over, in their place, without a second pass. */
static void M14_M16_hosts_without_a_requirement_are_passed_over(void **state)
{
	struct fixture *f = *state;
	struct policy_plan_host *host = add(f, "evil.test", 5, 1, NULL);
	host->reason = POLICY_REASON_VALIDATION_FAILURE;
	host->text = strdup("evil.test is not used: the MTA-STS policy of example.org does not "
			    "name it");
	add(f, "mx.test", 10, 1, f->verify);
	assert_string_equal(tried(f), "mx.test.1");
	relay_causes_outcome(&f->causes, "example.org", &f->outcome);
	assert_string_equal(f->outcome.enhanced, "4.7.5");
	assert_string_equal(f->outcome.text, f->plan->hosts[0].text);
}

static void no_host_that_may_be_used_is_deferred_with_their_words(void **state)
{
	static const struct {
		enum policy_reason reason;
		const char *enhanced;
	} rows[] = { { POLICY_REASON_DANE_REQUIRED, "4.7.5" }, { POLICY_REASON_NONE, "4.4.3" } };
	struct fixture *f = *state;
	struct policy_plan_host *host = add(f, "mx1.test", 10, 1, NULL);
	for (size_t i = 0; i < 2; i++) {
		host->reason = rows[i].reason;
		free(host->text);
		host->text = strdup("its TLSA records could not be found out");
		assert_false(is_ready(f));
		assert_int_equal(f->outcome.kind, RELAY_DEFERRED);
		assert_string_equal(f->outcome.enhanced, rows[i].enhanced);
		assert_string_equal(f->outcome.text,
			"mx1.test: its TLSA records could not be found out");
		relay_causes_clear(&f->causes);
	}
	add(f, "mx2.test", 20, 0, f->may); /* no address */
	assert_false(is_ready(f));
	assert_string_equal(f->outcome.text, "no host of example.org will do: mx1.test: its TLSA "
		"records could not be found out; mx2.test: it has no address");
}

static void a_plan_without_hosts_is_deferred(void **state)
{
	struct fixture *f = *state;
	assert_false(is_ready(f));
	assert_int_equal(f->outcome.kind, RELAY_DEFERRED);
}

static void what_is_certain_is_said_at_once(void **state)
{
	static const struct {
		const char *route;
		enum policy_plan_state state;
		enum policy_reason reason;
		enum relay_outcome_kind kind;
		const char *enhanced, *text;
	} rows[] = {
		{ "mx", POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, RELAY_FAILED, "5.1.10",
			"it is so" },
		{ "mx", POLICY_PLAN_NO_DOMAIN, POLICY_REASON_NONE, RELAY_FAILED, "5.1.2",
			"it is so" },
		{ "mx", POLICY_PLAN_DEFER, POLICY_REASON_NONE, RELAY_DEFERRED, "4.4.3",
			"it is so" },
		{ "mx", POLICY_PLAN_DEFER, POLICY_REASON_DNSSEC_INVALID, RELAY_DEFERRED, "4.7.5",
			"it is so" },
		/* the operator's own word leads there: it can be mended */
		{ "mx smart.test", POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, RELAY_DEFERRED, "4.4.4",
			"the route of this mail leads nowhere: it is so" },
		{ "mx smart.test", POLICY_PLAN_NO_DOMAIN, POLICY_REASON_NONE, RELAY_DEFERRED,
			"4.4.4", "the route of this mail leads nowhere: it is so" },
		{ "smtp host.test", POLICY_PLAN_NO_DOMAIN, POLICY_REASON_NONE, RELAY_DEFERRED,
			"4.4.4", "the route of this mail leads nowhere: it is so" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct relay_destination *d = destination(f, rows[i].route, "example.org");
		f->by.destination = d;
		policy_plan_end(f->plan, rows[i].state, rows[i].reason, "it is so");
		assert_false(is_ready(f));
		assert_int_equal(f->outcome.kind, rows[i].kind);
		assert_string_equal(f->outcome.enhanced, rows[i].enhanced);
		assert_string_equal(f->outcome.text, rows[i].text);
		relay_destination_unref(&d);
	}
}

static void a_domain_without_mx_and_address_has_its_own_code(void **state)
{
	struct fixture *f = *state;
	add(f, "example.org", 0, 0, NULL);
	policy_plan_end(f->plan, POLICY_PLAN_NO_DOMAIN, POLICY_REASON_NONE, "neither");
	assert_false(is_ready(f));
	assert_string_equal(f->outcome.enhanced, "5.4.4");
}

static void a_plan_of_other_rules_is_not_used(void **state)
{
	struct fixture *f = *state;
	add(f, "mx.test", 10, 1, f->may);
	strcpy(f->plan->rule_fingerprint, "other");
	assert_true(relay_planned_is_foreign(f->destination, f->plan));
	assert_false(is_ready(f));
	assert_int_equal(f->outcome.kind, RELAY_DEFERRED);
	assert_string_equal(f->outcome.text,
		"postern-policyd works by other rules than this process; tried again shortly");
	assert_int_equal(f->candidates.count, 0);
	policy_plan_end(f->plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "policyd is down");
	assert_false(relay_planned_is_foreign(f->destination, f->plan));
}

static void this_server_in_the_list_ends_it(void **state)
{
	struct fixture *f = *state;
	add(f, "mx1.test", 10, 1, f->may);
	add(f, "US.test", 20, 1, f->may);
	add(f, "mx2.test", 20, 1, f->may);
	add(f, "mx3.test", 30, 1, f->may);
	assert_string_equal(tried(f), "mx1.test.1");
	relay_candidates_clear(&f->candidates);
	f->by.hostname = "mx1.test";
	assert_false(is_ready(f));
	assert_int_equal(f->outcome.kind, RELAY_DEFERRED);
	assert_string_equal(f->outcome.enhanced, "4.4.6");
	assert_non_null(strstr(f->outcome.text, "lead to this server (mx1.test) itself"));
}

/* ---- candidates -------------------------------------------------------------------------------- */

static void a_refused_host_is_tried_again_only_behind_all_others(void **state)
{
	struct fixture *f = *state;
	add(f, "a.test", 10, 2, f->may);
	add(f, "b.test", 10, 2, f->may);
	assert_string_equal(tried(f), "a.test.1 a.test.2 b.test.1 b.test.2");
	relay_candidates_next_host(&f->candidates);
	static const char *const rest[] = { "b.test", "b.test", "a.test" };
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(relay_candidates_current(&f->candidates)->host, rest[i]);
		relay_candidates_next(&f->candidates);
	}
	assert_null(relay_candidates_current(&f->candidates));
}

static void only_equally_good_ones_may_be_chosen_first(void **state)
{
	struct fixture *f = *state;
	add(f, "a.test", 10, 1, f->may);
	add(f, "b.test", 10, 2, f->may);
	add(f, "c.test", 20, 1, f->may);
	tried(f);
	assert_int_equal(relay_candidates_equal_count(&f->candidates), 3);
	relay_candidates_choose(&f->candidates, 2);
	assert_int_equal(relay_candidates_current(&f->candidates)->address.bytes[3], 2);
	relay_candidates_next(&f->candidates);
	assert_string_equal(relay_candidates_current(&f->candidates)->host, "a.test");
	relay_candidates_next(&f->candidates);
	relay_candidates_next(&f->candidates);
	assert_int_equal(relay_candidates_equal_count(&f->candidates), 1);
	relay_candidates_next(&f->candidates);
	assert_int_equal(relay_candidates_equal_count(&f->candidates), 0);
}

/* ---- causes ------------------------------------------------------------------------------------ */

static void note(struct fixture *f, const char *host, const char *enhanced, bool is_policy,
	const char *text)
{
	struct relay_outcome o = { 0 };
	relay_outcome_set(&o, RELAY_DEFERRED, enhanced, "%s", text);
	relay_causes_note(&f->causes, host, &o, is_policy);
}

static void S13_policy_words_come_first_and_a_host_says_one_thing(void **state)
{
	struct fixture *f = *state;
	note(f, "a.test", "4.4.1", false, "no connection to a.test: refused");
	note(f, "b.test", "4.7.5", true, "the certificate of b.test has expired");
	note(f, "b.test", "4.4.1", false, "no connection to b.test: refused");
	relay_causes_outcome(&f->causes, "", &f->outcome);
	assert_string_equal(f->outcome.enhanced, "4.7.5");
	assert_int_equal(f->outcome.kind, RELAY_DEFERRED);
	assert_string_equal(f->outcome.text, "the certificate of b.test has expired; "
		"no connection to a.test: refused");
}

static void many_hosts_fit_one_sentence(void **state)
{
	struct fixture *f = *state;
	char host[20];
	for (int i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "mx%d.test", i);
		note(f, host, "4.4.1", false, "no answer to EHLO within 300 s");
	}
	relay_causes_outcome(&f->causes, "example.org", &f->outcome);
	assert_true(strlen(f->outcome.text) < sizeof(f->outcome.text));
	assert_non_null(strstr(f->outcome.text, "no host of example.org will do: mx0.test: no"));
	const char *rest = strstr(f->outcome.text, "; and ");
	assert_non_null(rest);
	/* those named and those counted are all */
	int named = 0, counted = atoi(rest + 6);
	for (const char *at = f->outcome.text; (at = strstr(at, ".test: ")) != NULL; at++)
		named++;
	assert_int_equal(named + counted, 20);
	assert_non_null(strstr(rest, "more hosts"));
}

static void a_very_long_cause_leaves_room_for_the_count(void **state)
{
	struct fixture *f = *state;
	char text[400];
	memset(text, 'x', sizeof(text));
	text[399] = '\0';
	note(f, "a.test", "4.4.1", false, text);
	note(f, "b.test", "4.4.1", false, text);
	relay_causes_outcome(&f->causes, "example.org", &f->outcome);
	assert_non_null(strstr(f->outcome.text, "; and 1 more host"));
}

static void a_single_host_speaks_for_itself(void **state)
{
	struct fixture *f = *state;
	struct relay_outcome o = { .kind = RELAY_DEFERRED, .enhanced = "4.3.2",
		.text = "421 busy", .host = "a.test", .is_smtp_reply = true };
	relay_causes_note(&f->causes, "a.test", &o, false);
	relay_causes_outcome(&f->causes, "example.org", &f->outcome);
	assert_true(f->outcome.is_smtp_reply);
	assert_string_equal(f->outcome.text, "421 busy");
	note(f, "b.test", "4.4.1", false, "no connection to b.test");
	relay_causes_outcome(&f->causes, "example.org", &f->outcome);
	assert_false(f->outcome.is_smtp_reply);
	assert_non_null(strstr(f->outcome.text, "a.test said \"421 busy\""));
}

/* ---- hops -------------------------------------------------------------------------------------- */

/* T5: everything a connection's worth depends on is in the key, and nothing else. */
static void T5_the_key_of_a_hop_says_all_that_matters(void **state)
{
	struct fixture *f = *state;
	struct policy_requirement *same = requirement(POLICY_LEVEL_MAY, "another.conf:7");
	struct relay_hop base = { .transport = RELAY_SMTP, .host = (char *)"mx.test",
		.address = { .family = NETADDR_IPV4, .port = 25, .bytes = { 192, 0, 2, 1 } },
		.requirement = f->may, .is_planned = true };
	struct relay_hop others[8];
	for (size_t i = 0; i < 8; i++)
		others[i] = base;
	others[0].requirement = same; /* said elsewhere, the same demand */
	others[1].is_domain_proven = true;
	others[2].requirement = f->verify;
	others[3].address.bytes[3] = 2;
	others[4].address.port = 26;
	others[5].host = (char *)"mx2.test";
	others[6].testing = f->verify;
	others[7].implicit_tls = true;
	struct relay_hop *hop = relay_hop_new(&base);
	for (size_t i = 0; i < 8; i++) {
		struct relay_hop *other = relay_hop_new(&others[i]);
		assert_int_equal(strcmp(hop->key, other->key) == 0, i < 2);
		relay_hop_unref(&other);
	}
	relay_hop_unref(&hop);
	policy_requirement_unref(&same);
}

static void who_decided_is_told_apart(void **state)
{
	static const uint8_t digest[32] = { 1 };
	const struct policy_tlsa record = { 3, 1, 1, { (const char *)digest, 32 } };
	const char *name = "mx.test";
	struct fixture *f = *state;
	const struct policy_rule rule = { .requirement = f->may, .uses_dane = true,
		.uses_sts = true };
	struct policy_combine from = { .rule = &rule, .rule_domain = "example.org",
		.next_hop = "example.org", .host = name, .is_by_mx = true, .is_mx_secure = true,
		.dane = { .base = name, .names = &name, .name_count = 1 },
		.sts = { .domain = "example.org", .is_mx_named = true, .roots_name = "system" } };
	static const struct {
		enum policy_dane_state dane;
		enum policy_sts_mode sts;
		const char *word;
	} rows[] = {
		{ POLICY_DANE_USABLE, POLICY_STS_NONE, "dane" },
		{ POLICY_DANE_UNUSABLE, POLICY_STS_NONE, "dane" },
		{ POLICY_DANE_ABSENT, POLICY_STS_ENFORCE, "sts" },
		{ POLICY_DANE_ABSENT, POLICY_STS_TESTING, "rule" },
		{ POLICY_DANE_ABSENT, POLICY_STS_NONE, "rule" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_plan_host *host = add(f, name, (unsigned)i, 1, NULL);
		from.dane.state = rows[i].dane;
		from.dane.records = &record;
		from.dane.record_count = rows[i].dane == POLICY_DANE_USABLE;
		from.sts.mode = rows[i].sts;
		policy_combine_host(&from, f->plan, host, false);
		assert_non_null(host->requirement);
		struct relay_hop *hop =
			relay_hop_of_plan(f->destination, host, &host->addresses[0]);
		assert_string_equal(policy_origin_name(hop->requirement->origin), rows[i].word);
		assert_string_equal(relay_hop_proof(hop, true), "domain");
		assert_string_equal(relay_hop_proof(hop, false), "no");
		relay_hop_unref(&hop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(D10_preference_orders_hosts_whatever_they_must_show),
		T(hosts_of_equal_preference_are_shuffled),
		T(attempts_are_shared_out),
		T(M14_M16_hosts_without_a_requirement_are_passed_over),
		T(no_host_that_may_be_used_is_deferred_with_their_words),
		T(a_plan_without_hosts_is_deferred),
		T(what_is_certain_is_said_at_once),
		T(a_domain_without_mx_and_address_has_its_own_code),
		T(a_plan_of_other_rules_is_not_used),
		T(this_server_in_the_list_ends_it),
		T(a_refused_host_is_tried_again_only_behind_all_others),
		T(only_equally_good_ones_may_be_chosen_first),
		T(S13_policy_words_come_first_and_a_host_says_one_thing),
		T(many_hosts_fit_one_sentence),
		T(a_very_long_cause_leaves_room_for_the_count),
		T(a_single_host_speaks_for_itself),
		T(T5_the_key_of_a_hop_says_all_that_matters),
		T(who_decided_is_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
