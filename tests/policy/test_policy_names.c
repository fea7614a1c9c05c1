#include "policy/policy_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NAME(text) ((char *)(uintptr_t)(text))

static char *rule_names[] = { NAME(".below.example"), NAME("mx.example"), NAME("old.example") };
static char *dane_names[] = { NAME("base.example"), NAME("domain.example") };
static char *testing_names[] = { NAME("host.example") };
static const struct policy_requirement plain = { .level = POLICY_LEVEL_MAY };
static const struct policy_requirement ruled = { .level = POLICY_LEVEL_VERIFY,
	.names = rule_names, .name_count = 3 };
static const struct policy_requirement dane = { .level = POLICY_LEVEL_DANE,
	.dane_names = dane_names, .dane_name_count = 2, .server_name = NAME("base.example") };
static const struct policy_requirement both = { .level = POLICY_LEVEL_DANE, .names = rule_names,
	.name_count = 3, .dane_names = dane_names, .dane_name_count = 2,
	.server_name = NAME("base.example") };
static const struct policy_requirement testing = { .level = POLICY_LEVEL_VERIFY,
	.names = testing_names, .name_count = 1 };
static const struct policy_requirement testing_host = { .level = POLICY_LEVEL_VERIFY };

static void D18_M15_asks_for_the_base_domain_or_the_host_or_a_name_of_the_rule(void **state)
{
	(void)state;
	assert_string_equal(policy_names_server(&dane, "host.example"), "base.example");
	assert_string_equal(policy_names_server(&ruled, "host.example"), "host.example");
	assert_string_equal(policy_names_server(NULL, "host.example"), "host.example");
	assert_string_equal(policy_names_server(&ruled, "192.0.2.1"), "mx.example");
	assert_string_equal(policy_names_server(&ruled, NULL), "mx.example");
	assert_null(policy_names_server(&plain, "2001:db8::1"));
	assert_null(policy_names_server(NULL, NULL));
}

static void reference_names_are_the_most_wanted_first(void **state)
{
	(void)state;
	static const struct {
		const struct policy_requirement *r, *testing;
		const char *host, *words;
	} rows[] = {
		{ &ruled, NULL, "host.example", ".below.example mx.example old.example " },
		{ &dane, NULL, "host.example", "base.example domain.example " },
		{ &both, NULL, "host.example", ".below.example mx.example old.example " },
		{ &plain, NULL, "host.example", "host.example " },
		{ &plain, &testing, "host.example", "host.example " },
		{ &ruled, &testing, "host.example",
			".below.example mx.example old.example host.example " },
		{ &dane, &testing_host, "host.example",
			"base.example domain.example host.example " },
		{ NULL, NULL, "host.example", "host.example " },
		{ &plain, NULL, "192.0.2.1", "" },
		{ NULL, &testing, NULL, "host.example " },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *names[16];
		char words[200] = "";
		size_t count = policy_names_reference(
			rows[i].r, rows[i].testing, rows[i].host, names);
		assert_true(count <= policy_names_most(rows[i].r, rows[i].testing));
		for (size_t k = 0; k < count; k++)
			strcat(strcat(words, names[k]), " ");
		assert_string_equal(words, rows[i].words);
	}
}

static void a_domain_with_its_hosts_is_told_from_other_names(void **state)
{
	(void)state;
	char *names[] = { NAME("a.example"), NAME(".a.example"), NAME("b.example") };
	char *others[] = { NAME("a.example"), NAME(".b.example") };
	assert_true(policy_names_are_domain(
		&(struct policy_requirement){ .names = names, .name_count = 2 }));
	assert_false(policy_names_are_domain(
		&(struct policy_requirement){ .names = names, .name_count = 3 }));
	assert_false(policy_names_are_domain(
		&(struct policy_requirement){ .names = others, .name_count = 2 }));
	assert_false(policy_names_are_domain(&plain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D18_M15_asks_for_the_base_domain_or_the_host_or_a_name_of_the_rule),
		cmocka_unit_test(a_domain_with_its_hosts_is_told_from_other_names),
		cmocka_unit_test(reference_names_are_the_most_wanted_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
