#include "policy/policy_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))

enum { END_S = 1800000000 };

static int add(struct policy_rules *rules, const char *domain, const struct policy_rule *like,
	enum policy_level level, const char *source, struct err *err)
{
	const struct policy_requirement draft = { .level = level, .source = TEXT(source) };
	struct policy_rule rule = *like;
	rule.requirement = policy_requirement_new(&draft);
	int result = policy_rules_add(rules, str_of(domain), &rule, err);
	policy_requirement_unref(&rule.requirement);
	return result;
}

static const struct policy_rule plain = { .uses_dane = true, .uses_sts = true };

static void add_rule(struct policy_rules *rules, const char *domain, enum policy_level level)
{
	struct err err = { 0 };
	if (add(rules, domain, &plain, level, domain, &err) < 0)
		fail_msg("%s", err.text);
}

static void add_exception(struct policy_rules *rules, const char *domain, int64_t until_s)
{
	const struct policy_rule like = { .is_exception = true, .until_s = until_s,
		.reason = TEXT("a reason") };
	struct err err = { 0 };
	if (add(rules, domain, &like, POLICY_LEVEL_MAY, domain, &err) < 0)
		fail_msg("%s", err.text);
}

/* Where the rule stands that holds: the tests call each by its domain. */
static const char *who(const struct policy_rules *rules, const char *domain, int64_t now_s)
{
	return policy_rules_find(rules, str_of(domain), now_s)->requirement->source;
}

static void without_rules_the_built_in_default_holds(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	const struct policy_rule *rule = policy_rules_find(rules, STR("example.org"), 0);
	assert_string_equal(rule->requirement->source, "built-in default");
	assert_int_equal(rule->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(rule->requirement->minimum, TLSIO_TLS12);
	assert_true(rule->uses_dane && rule->uses_sts);
	assert_false(rule->is_exception);
	assert_ptr_equal(policy_rules_find_without_exceptions(rules, STR("example.org")), rule);
	add_rule(rules, ".example.org", POLICY_LEVEL_ENCRYPT);
	assert_string_equal(who(rules, "example.org", 0), "built-in default");
	assert_string_equal(who(rules, "a.example.org", 0), ".example.org");
	policy_rules_unref(&rules);
	assert_null(rules);
}

static void the_most_specific_rule_wins_wherever_it_stands(void **state)
{
	(void)state;
	static const struct {
		const char *asked, *found;
	} rows[] = {
		{ "example.org", "example.org" },
		{ "EXAMPLE.org.", "example.org" },
		{ "mail.example.org", ".example.org" },
		{ "a.mail.example.org", ".example.org" },
		{ "exact.example.org", "exact.example.org" },
		{ "below.exact.example.org", ".example.org" },
		{ "x.deep.example.org", ".deep.example.org" },
		{ "deep.example.org", ".example.org" },
		{ "example.com", "*" },
		{ "notexample.org", "*" },
		{ "org", "*" },
	};
	static const char *const orders[2][5] = {
		{ "*", ".example.org", "example.org", "exact.example.org", ".deep.example.org" },
		{ ".deep.example.org", "exact.example.org", "example.org", ".example.org", "*" },
	};
	for (size_t order = 0; order < 2; order++) {
		struct policy_rules *rules = policy_rules_new();
		for (size_t i = 0; i < 5; i++)
			add_rule(rules, orders[order][i], POLICY_LEVEL_ENCRYPT);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			assert_string_equal(who(rules, rows[i].asked, 0), rows[i].found);
		policy_rules_unref(&rules);
	}
}

static void names_beyond_ascii_are_found_in_both_forms(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	add_rule(rules, "b\xc3\xbc" "cher.example", POLICY_LEVEL_VERIFY);
	add_rule(rules, ".xn--bcher-kva.example", POLICY_LEVEL_ENCRYPT);
	add_exception(rules, "stra\xc3\x9f" "e.example", END_S);
	assert_string_equal(who(rules, "xn--bcher-kva.example", 0), "b\xc3\xbc" "cher.example");
	assert_string_equal(who(rules, "B\xc3\x9c" "CHER.example", 0), "b\xc3\xbc" "cher.example");
	assert_string_equal(who(rules, "mx.b\xc3\xbc" "cher.example", 0), ".xn--bcher-kva.example");
	assert_true(policy_rules_find(rules, STR("xn--strae-oqa.example"), 0)->is_exception);
	struct err err = { 0 };
	assert_int_equal(add(rules, "xn--bcher-kva.example", &plain, POLICY_LEVEL_MAY, "", &err), -1);
	assert_non_null(strstr(err.text, "domain \"xn--bcher-kva.example\" has a rule already"));
	policy_rules_unref(&rules);
}

static void an_exception_holds_until_its_last_second(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	add_rule(rules, "example.org", POLICY_LEVEL_DANE_ONLY);
	add_exception(rules, "example.org", END_S);
	const struct policy_rule *before = policy_rules_find(rules, STR("example.org"), END_S - 1);
	assert_true(before->is_exception);
	assert_int_equal(before->requirement->level, POLICY_LEVEL_MAY);
	assert_string_equal(before->reason, "a reason");
	assert_int_equal(before->until_s, END_S);
	for (int64_t now_s = END_S; now_s <= END_S + 1; now_s++) {
		const struct policy_rule *after = policy_rules_find(rules, STR("example.org"), now_s);
		assert_false(after->is_exception);
		assert_int_equal(after->requirement->level, POLICY_LEVEL_DANE_ONLY);
	}
	assert_ptr_equal(policy_rules_find_without_exceptions(rules, STR("example.org")),
		policy_rules_find(rules, STR("example.org"), END_S));
	policy_rules_unref(&rules);
}

static void an_exception_stands_above_every_rule_however_specific(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	add_rule(rules, "mail.example.org", POLICY_LEVEL_VERIFY);
	add_exception(rules, ".example.org", END_S);
	assert_true(policy_rules_find(rules, STR("mail.example.org"), 0)->is_exception);
	assert_false(policy_rules_find(rules, STR("example.org"), 0)->is_exception);
	assert_string_equal(who(rules, "mail.example.org", END_S), "mail.example.org");
	policy_rules_unref(&rules);
}

static void the_most_specific_exception_counts_even_when_it_has_ended(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	add_exception(rules, ".example.org", END_S);
	add_exception(rules, "mail.example.org", END_S - 100);
	assert_string_equal(who(rules, "mail.example.org", END_S - 101), "mail.example.org");
	assert_string_equal(who(rules, "mail.example.org", END_S - 100), "built-in default");
	assert_string_equal(who(rules, "www.example.org", END_S - 100), ".example.org");
	policy_rules_unref(&rules);
}

static void refuses_what_is_said_twice_or_of_everybody(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	const struct policy_rule exception = { .is_exception = true, .until_s = END_S };
	struct err err = { 0 };
	add_rule(rules, "*", POLICY_LEVEL_MAY);
	add_rule(rules, "example.org", POLICY_LEVEL_MAY);
	add_exception(rules, "example.org", END_S); /* both have their place */
	assert_int_equal(add(rules, "Example.Org.", &plain, POLICY_LEVEL_VERIFY, "", &err), -1);
	assert_string_equal(err.text, "domain \"example.org\" has a rule already: say each domain once");
	assert_int_equal(add(rules, "example.org", &exception, POLICY_LEVEL_MAY, "", &err), -1);
	assert_string_equal(err.text,
		"domain \"example.org\" has an exception already: say each domain once");
	assert_int_equal(add(rules, "*", &exception, POLICY_LEVEL_MAY, "", &err), -1);
	assert_non_null(strstr(err.text, "switch everything off"));
	assert_int_equal(add(rules, "a..b", &plain, POLICY_LEVEL_MAY, "", &err), -1);
	assert_false(policy_rules_find(rules, STR("example.com"), 0)->is_exception);
	/* What was refused left nothing behind. */
	assert_int_equal(policy_rules_find(rules, STR("example.org"), END_S)->requirement->level,
		POLICY_LEVEL_MAY);
	policy_rules_unref(&rules);
}

static void fingerprint_of(const struct policy_rule *like, enum policy_level level,
	const char *source, char ret[33])
{
	struct policy_rules *rules = policy_rules_new();
	struct err err = { 0 };
	assert_int_equal(add(rules, "example.org", like, level, source, &err), 0);
	memcpy(ret, policy_rules_find(rules, STR("example.org"), 0)->fingerprint, 33);
	policy_rules_unref(&rules);
}

static void rules_that_decide_the_same_have_one_fingerprint(void **state)
{
	(void)state;
	static const struct {
		struct policy_rule like;
		enum policy_level level;
	} different[] = {
		{ { .uses_dane = true, .uses_sts = true }, POLICY_LEVEL_MAY },
		{ { .uses_dane = false, .uses_sts = true }, POLICY_LEVEL_MAY },
		{ { .uses_dane = true, .uses_sts = false }, POLICY_LEVEL_MAY },
		{ { .uses_dane = false, .uses_sts = false }, POLICY_LEVEL_MAY },
		{ { .is_exception = true, .until_s = END_S }, POLICY_LEVEL_MAY },
		{ { .uses_dane = true, .uses_sts = true }, POLICY_LEVEL_DANE },
		{ { .uses_dane = true, .uses_sts = true }, POLICY_LEVEL_DANE_ONLY },
		{ { .uses_dane = true, .uses_sts = true }, POLICY_LEVEL_ENCRYPT },
	};
	enum { COUNT = sizeof(different) / sizeof(different[0]) };
	char prints[COUNT][33], again[33];
	for (size_t i = 0; i < COUNT; i++) {
		fingerprint_of(&different[i].like, different[i].level, "here", prints[i]);
		assert_int_equal(strlen(prints[i]), 32);
		fingerprint_of(&different[i].like, different[i].level, "elsewhere", again);
		assert_string_equal(again, prints[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(prints[i], prints[j]);
	}
	/* Why and until when do not change what holds meanwhile. */
	const struct policy_rule later = { .is_exception = true, .until_s = END_S + 1,
		.reason = TEXT("another") };
	fingerprint_of(&later, POLICY_LEVEL_MAY, "here", again);
	assert_string_equal(again, prints[4]);
	struct policy_rules *rules = policy_rules_new();
	assert_string_equal(policy_rules_find(rules, STR("a"), 0)->fingerprint, prints[0]);
	policy_rules_unref(&rules);
}

static void keeps_copies_and_is_shared(void **state)
{
	(void)state;
	char reason[] = "because";
	const struct policy_requirement draft = { .level = POLICY_LEVEL_ENCRYPT,
		.source = TEXT("postern.conf:3") };
	struct policy_rule rule = { .is_exception = true, .until_s = END_S, .reason = reason,
		.requirement = policy_requirement_new(&draft) };
	struct policy_rules *rules = policy_rules_new(), *second;
	struct err err = { 0 };
	assert_int_equal(policy_rules_add(rules, STR("example.org"), &rule, &err), 0);
	policy_requirement_unref(&rule.requirement);
	memset(reason, 'x', sizeof(reason) - 1);
	second = policy_rules_ref(rules);
	policy_rules_unref(&rules);
	const struct policy_rule *kept = policy_rules_find(second, STR("example.org"), 0);
	assert_string_equal(kept->reason, "because");
	assert_string_equal(kept->requirement->source, "postern.conf:3");
	policy_rules_unref(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_the_built_in_default_holds),
		cmocka_unit_test(the_most_specific_rule_wins_wherever_it_stands),
		cmocka_unit_test(names_beyond_ascii_are_found_in_both_forms),
		cmocka_unit_test(an_exception_holds_until_its_last_second),
		cmocka_unit_test(an_exception_stands_above_every_rule_however_specific),
		cmocka_unit_test(the_most_specific_exception_counts_even_when_it_has_ended),
		cmocka_unit_test(refuses_what_is_said_twice_or_of_everybody),
		cmocka_unit_test(rules_that_decide_the_same_have_one_fingerprint),
		cmocka_unit_test(keeps_copies_and_is_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
