#include "policy/policy_domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LABEL63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static void brings_names_into_one_form(void **state)
{
	(void)state;
	static const struct {
		const char *text, *form;
	} rows[] = {
		{ "example.org", "example.org" },
		{ "Example.ORG.", "example.org" },
		{ "localhost", "localhost" },
		{ "_dmarc.a-b.example", "_dmarc.a-b.example" },
		{ "B\303\274cher.example", "xn--bcher-kva.example" },
		{ "xn--bcher-kva.EXAMPLE", "xn--bcher-kva.example" },
		{ LABEL63 ".example", LABEL63 ".example" },
		{ LABEL63 "." LABEL63 "." LABEL63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi",
			LABEL63 "." LABEL63 "." LABEL63 "." "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char form[POLICY_DOMAIN_BYTES];
		struct err err = { 0 };
		if (policy_domain_parse(str_of(rows[i].text), form, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_string_equal(form, rows[i].form);
	}
}

static void refuses_what_is_no_name(void **state)
{
	(void)state;
	static const struct {
		const char *text, *word;
	} rows[] = {
		{ "", "empty" },
		{ ".", "empty" },
		{ "..", "empty" },
		{ "a..b", "empty" },
		{ ".a", "empty" },
		{ "a..", "empty" },
		{ "a b", "byte" },
		{ "a/b", "byte" },
		{ "*", "byte" },
		{ "[192.0.2.1]", "byte" },
		{ LABEL63 "x.example", "63" },
		{ LABEL63 "." LABEL63 "." LABEL63 "." LABEL63, "" },
		{ "b\374cher.example", "" }, /* Latin-1 is not UTF-8 */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char form[POLICY_DOMAIN_BYTES];
		struct err err = { 0 };
		if (policy_domain_parse(str_of(rows[i].text), form, &err) == 0)
			fail_msg("accepted %s", rows[i].text);
		assert_int_equal(err.kind, ERR_INPUT);
		if (!strstr(err.text, rows[i].word))
			fail_msg("%s: %s", rows[i].text, err.text);
	}
	char form[POLICY_DOMAIN_BYTES];
	assert_int_equal(policy_domain_parse(STR("a\0b.example"), form, NULL), -1);
	assert_int_equal(policy_domain_parse(STR("\303\274\0b.example"), form, NULL), -1);
}

static void reads_patterns(void **state)
{
	(void)state;
	char form[POLICY_DOMAIN_BYTES];
	assert_int_equal(policy_domain_parse_pattern(STR("*"), form, NULL), 0);
	assert_string_equal(form, "*");
	assert_int_equal(policy_domain_parse_pattern(STR(".Example.net."), form, NULL), 0);
	assert_string_equal(form, ".example.net");
	assert_int_equal(policy_domain_parse_pattern(STR(".b\303\274cher.example"), form, NULL), 0);
	assert_string_equal(form, ".xn--bcher-kva.example");
	assert_int_equal(policy_domain_parse_pattern(STR("*.example.net"), form, NULL), -1);
	assert_int_equal(policy_domain_parse_pattern(STR("."), form, NULL), -1);
	assert_int_equal(policy_domain_parse_pattern(STR("..example"), form, NULL), -1);
}

static bool add(struct policy_domain_table *t, const char *pattern, const char *value)
{
	return policy_domain_table_add(t, pattern, (void *)(uintptr_t)value);
}

static const char *find(const struct policy_domain_table *t, const char *domain)
{
	const char *value = policy_domain_table_find(t, str_of(domain));
	return value ? value : "(none)";
}

static void gives_the_most_specific(void **state)
{
	(void)state;
	static const char *const patterns[] = { "example.org", ".example.org", ".a.example.org",
		"mail.a.example.org", ".org", "xn--bcher-kva.example", "*" };
	static const struct {
		const char *domain, *pattern;
	} rows[] = {
		{ "example.org", "example.org" },
		{ "EXAMPLE.org.", "example.org" },
		{ "b.example.org", ".example.org" },
		{ "c.b.example.org", ".example.org" },
		{ "a.example.org", ".example.org" }, /* ".a.example.org" is below a, not a itself */
		{ "b.a.example.org", ".a.example.org" },
		{ "mail.a.example.org", "mail.a.example.org" },
		{ "other.org", ".org" },
		{ "org", "*" },
		{ "notexample.org", ".org" },
		{ "b\303\274cher.example", "xn--bcher-kva.example" },
		{ "example.net", "*" },
		{ "[192.0.2.1]", "*" },
		{ "a..example.org", "*" },
		{ "", "*" },
	};
	struct policy_domain_table *t = policy_domain_table_new();
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		assert_true(add(t, patterns[i], patterns[i]));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(find(t, rows[i].domain), rows[i].pattern);
	assert_null(policy_domain_table_find_named(t, STR("example.net")));
	assert_string_equal(policy_domain_table_find_named(t, STR("x.example.org")), ".example.org");
	policy_domain_table_free(&t, NULL);
	assert_null(t);
}

static void is_empty_without_patterns(void **state)
{
	(void)state;
	struct policy_domain_table *t = policy_domain_table_new();
	assert_null(policy_domain_table_find(t, STR("example.org")));
	policy_domain_table_free(&t, NULL);
}

static void refuses_a_pattern_said_twice(void **state)
{
	(void)state;
	struct policy_domain_table *t = policy_domain_table_new();
	assert_true(add(t, "example.org", "1"));
	assert_false(add(t, "example.org", "2"));
	assert_true(add(t, ".example.org", "3"));
	assert_true(add(t, "*", "4"));
	assert_false(add(t, "*", "5"));
	assert_string_equal(find(t, "example.org"), "1");
	assert_string_equal(find(t, "x"), "4");
	policy_domain_table_free(&t, NULL);
}

static int freed;
static void count_free(void *value)
{
	(void)value;
	freed++;
}

static void frees_every_value_once(void **state)
{
	(void)state;
	struct policy_domain_table *t = policy_domain_table_new();
	add(t, "a", "1");
	add(t, ".a", "1");
	add(t, "*", "1");
	policy_domain_table_free(&t, count_free);
	assert_int_equal(freed, 3);
	policy_domain_table_free(&t, count_free);
	assert_int_equal(freed, 3);
}

static void holds_a_hundred_thousand(void **state)
{
	(void)state;
	struct policy_domain_table *t = policy_domain_table_new();
	char name[POLICY_DOMAIN_BYTES];
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%sd%d.example", i % 2 ? "." : "", i);
		assert_true(add(t, name, "x"));
	}
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%sd%d.example", i % 2 ? "a.b.c." : "", i);
		assert_non_null(policy_domain_table_find(t, str_of(name)));
	}
	assert_null(policy_domain_table_find(t, STR("d100000.example")));
	policy_domain_table_free(&t, NULL);
}

static void note(void *ctx, const char *pattern, void *value)
{
	char *seen = ctx;
	strcat(strcat(strcat(strcat(seen, pattern), "="), value), " ");
}

static void gives_all_in_order(void **state)
{
	(void)state;
	struct policy_domain_table *t = policy_domain_table_new();
	char seen[100] = "";
	add(t, "*", "rest");
	add(t, "b.example", "1");
	add(t, ".a.example", "2");
	policy_domain_table_each(t, note, seen);
	assert_string_equal(seen, "b.example=1 .a.example=2 *=rest ");
	policy_domain_table_free(&t, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brings_names_into_one_form),
		cmocka_unit_test(refuses_what_is_no_name),
		cmocka_unit_test(reads_patterns),
		cmocka_unit_test(gives_the_most_specific),
		cmocka_unit_test(is_empty_without_patterns),
		cmocka_unit_test(refuses_a_pattern_said_twice),
		cmocka_unit_test(frees_every_value_once),
		cmocka_unit_test(gives_all_in_order),
		cmocka_unit_test(holds_a_hundred_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
