#include "policy/policy_requirement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_rules.h"

static void reads_pins_in_hexadecimal_and_base64(void **state)
{
	(void)state;
	static const char *const same[] = {
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
		"SHA256:00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:"
		"19:1a:1b:1c:1d:1e:1f",
		"sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct policy_pin pin;
		struct err err = { 0 };
		if (policy_pin_parse(str_of(same[i]), &pin, &err) < 0)
			fail_msg("%s", err.text);
		for (int b = 0; b < 32; b++)
			assert_int_equal(pin.spki_sha256[b], b);
	}
}

static void refuses_what_is_no_pin(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"sha256:",
		"sha1:000102030405060708090a0b0c0d0e0f10111213",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
		"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", /* stray bits */
		"sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
		"sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-=",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct policy_pin pin;
		struct err err = { 0 };
		if (policy_pin_parse(str_of(bad[i]), &pin, &err) == 0)
			fail_msg("accepted %s", bad[i]);
		assert_non_null(strstr(err.text, "64 hexadecimal digits"));
	}
}

static void names_levels_both_ways(void **state)
{
	(void)state;
	for (enum policy_level l = POLICY_LEVEL_NONE; l <= POLICY_LEVEL_DANE_ONLY; l++) {
		enum policy_level back;
		assert_true(policy_level_parse(str_of(policy_level_name(l)), &back));
		assert_int_equal(back, l);
	}
	enum policy_level level;
	assert_false(policy_level_parse(STR("Verify"), &level));
	assert_false(policy_level_parse(STR(""), &level));
}

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static char *names_ab[] = { TEXT("a.example"), TEXT("B.example.") };
static char *names_ba[] = { TEXT("b.example"), TEXT("A.example") };
static char *names_a[] = { TEXT("a.example") };
static struct policy_pin pins_12[] = { { { 1 } }, { { 2 } } };
static struct policy_pin pins_21[] = { { { 2 } }, { { 1 } } };

static void fingerprints(const struct policy_requirement *from, char ret[33])
{
	struct policy_requirement *r = policy_requirement_new(from);
	memcpy(ret, r->fingerprint, 33);
	policy_requirement_unref(&r);
}

static void equal_demands_have_equal_fingerprints(void **state)
{
	(void)state;
	const struct policy_requirement one = { .level = POLICY_LEVEL_VERIFY, .minimum = 0,
		.names = names_ab, .name_count = 2, .pins = pins_12, .pin_count = 2,
		.trust_name = TEXT("system"), .source = TEXT("postern.conf:1 domain \"x\"") };
	const struct policy_requirement other = { .level = POLICY_LEVEL_VERIFY,
		.minimum = TLSIO_TLS12, .names = names_ba, .name_count = 2, .pins = pins_21,
		.pin_count = 2, .trust_name = TEXT("system"), .source = TEXT("elsewhere") };
	char a[33], b[33];
	fingerprints(&one, a);
	fingerprints(&other, b);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 32);
}

static void different_demands_have_different_fingerprints(void **state)
{
	(void)state;
	const struct policy_requirement rows[] = {
		{ .level = POLICY_LEVEL_NONE },
		{ .level = POLICY_LEVEL_MAY },
		{ .level = POLICY_LEVEL_ENCRYPT },
		{ .level = POLICY_LEVEL_ENCRYPT, .minimum = TLSIO_TLS13 },
		{ .level = POLICY_LEVEL_VERIFY },
		{ .level = POLICY_LEVEL_VERIFY, .trust_name = TEXT("system") },
		{ .level = POLICY_LEVEL_VERIFY, .trust_name = TEXT("/ca.pem") },
		{ .level = POLICY_LEVEL_VERIFY, .trust_name = TEXT("/ca.pem"), .trust_sha256 = { 1 } },
		{ .level = POLICY_LEVEL_VERIFY, .names = names_a, .name_count = 1 },
		{ .level = POLICY_LEVEL_VERIFY, .names = names_ab, .name_count = 2 },
		{ .level = POLICY_LEVEL_VERIFY, .pins = pins_12, .pin_count = 1 },
		{ .level = POLICY_LEVEL_VERIFY, .pins = pins_12, .pin_count = 2 },
		{ .level = POLICY_LEVEL_VERIFY, .pins = pins_21, .pin_count = 1 },
	};
	enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
	char prints[COUNT][33];
	for (size_t i = 0; i < COUNT; i++) {
		fingerprints(&rows[i], prints[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(prints[i], prints[j]);
	}
}

static struct policy_tlsa tlsa_12[] = { { 3, 1, 1, STR("one") }, { 2, 0, 1, STR("two") } };
static struct policy_tlsa tlsa_21[] = { { 2, 0, 1, STR("two") }, { 3, 1, 1, STR("one") } };
static struct policy_tlsa tlsa_usage[] = { { 2, 1, 1, STR("one") } };
static struct policy_tlsa tlsa_selector[] = { { 3, 0, 1, STR("one") } };
static struct policy_tlsa tlsa_matching[] = { { 3, 1, 2, STR("one") } };
static struct policy_tlsa tlsa_data[] = { { 3, 1, 1, STR("onf") } };
static struct policy_tlsa tlsa_longer[] = { { 3, 1, 1, STR("onetlsa") } };

#define DANE .level = POLICY_LEVEL_DANE

static void dane_demands_have_their_own_fingerprints(void **state)
{
	(void)state;
	const struct policy_requirement rows[] = {
		{ .level = POLICY_LEVEL_DANE_ONLY, .tlsa = tlsa_12, .tlsa_count = 1 },
		{ DANE },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 2 },
		{ DANE, .tlsa = tlsa_21, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_usage, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_selector, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_matching, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_data, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_longer, .tlsa_count = 1 },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1, .dane_names = names_a,
			.dane_name_count = 1 },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1, .dane_names = names_ab,
			.dane_name_count = 2 },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1, .names = names_a, .name_count = 1 },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1, .server_name = TEXT("a.example") },
		{ DANE, .tlsa = tlsa_12, .tlsa_count = 1, .server_name = TEXT("b.example") },
	};
	enum { COUNT = sizeof(rows) / sizeof(rows[0]) };
	char prints[COUNT][33];
	for (size_t i = 0; i < COUNT; i++) {
		fingerprints(&rows[i], prints[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(prints[i], prints[j]);
	}
	const struct policy_requirement one = { DANE, .tlsa = tlsa_12, .tlsa_count = 2,
		.dane_names = names_ab, .dane_name_count = 2, .server_name = TEXT("A.example.") };
	const struct policy_requirement other = { DANE, .tlsa = tlsa_21, .tlsa_count = 2,
		.dane_names = names_ba, .dane_name_count = 2, .server_name = TEXT("a.example") };
	fingerprints(&one, prints[0]);
	fingerprints(&other, prints[1]);
	assert_string_equal(prints[0], prints[1]);
}

static void copies_records_and_their_names(void **state)
{
	(void)state;
	char data[] = "data", name[] = "MX.Example.", server_name[] = "Base.Example";
	char *names[] = { name };
	struct policy_tlsa tlsa = { 3, 1, 1, str_from(data, 4) };
	const struct policy_requirement from = { DANE, .tlsa = &tlsa, .tlsa_count = 1,
		.dane_names = names, .dane_name_count = 1, .server_name = server_name };
	struct policy_requirement *r = policy_requirement_new(&from);
	memset(data, 'x', 4);
	memset(name, 'x', sizeof(name) - 1);
	memset(server_name, 'x', sizeof(server_name) - 1);
	tlsa.usage = 0;
	assert_int_equal(r->tlsa_count, 1);
	assert_int_equal(r->tlsa[0].usage, 3);
	assert_true(str_equal(r->tlsa[0].data, STR("data")));
	assert_string_equal(r->dane_names[0], "mx.example");
	assert_string_equal(r->server_name, "base.example");
	policy_requirement_unref(&r);
}

static void copies_all_it_is_given(void **state)
{
	(void)state;
	char name[] = "MX.Example.", source[] = "here";
	char *names[] = { name };
	struct policy_pin pin = { { 7 } };
	const struct policy_requirement from = { .level = POLICY_LEVEL_VERIFY, .names = names,
		.name_count = 1, .pins = &pin, .pin_count = 1, .source = source };
	struct policy_requirement *r = policy_requirement_new(&from);
	memset(name, 'x', sizeof(name) - 1);
	memset(source, 'x', sizeof(source) - 1);
	pin.spki_sha256[0] = 0;
	assert_int_equal(r->references, 1);
	assert_string_equal(r->names[0], "mx.example");
	assert_string_equal(r->source, "here");
	assert_int_equal(r->pins[0].spki_sha256[0], 7);
	assert_int_equal(r->minimum, TLSIO_TLS12);
	struct policy_requirement *second = policy_requirement_ref(r);
	policy_requirement_unref(&r);
	assert_null(r);
	assert_string_equal(second->names[0], "mx.example");
	policy_requirement_unref(&second);
	policy_requirement_unref(&second);
}

static struct policy_requirement *rule(const char *source)
{
	const struct policy_requirement from = { .level = POLICY_LEVEL_ENCRYPT,
		.source = (char *)(uintptr_t)source };
	return policy_requirement_new(&from);
}

static void rules_give_the_most_specific_or_the_default(void **state)
{
	(void)state;
	struct policy_rules *rules = policy_rules_new();
	struct policy_requirement *found = policy_rules_find(rules, STR("example.org"), 0)->requirement;
	assert_int_equal(found->level, POLICY_LEVEL_MAY);
	assert_int_equal(found->minimum, TLSIO_TLS12);
	assert_string_equal(found->source, "built-in default");

	static const char *const patterns[] = { "Example.org", ".example.org", "*" };
	for (size_t i = 0; i < 3; i++) {
		struct policy_requirement *r = rule(patterns[i]);
		assert_int_equal(policy_rules_add(rules, str_of(patterns[i]),
			&(struct policy_rule){ .requirement = r }, NULL), 0);
		struct err err = { 0 };
		assert_int_equal(policy_rules_add(rules, str_of(patterns[i]),
			&(struct policy_rule){ .requirement = r }, &err), -1);
		assert_non_null(strstr(err.text, "already"));
		assert_int_equal(r->references, 2);
		policy_requirement_unref(&r);
	}
	struct policy_rules *second = policy_rules_ref(rules);
	policy_rules_unref(&rules);
	assert_string_equal(policy_rules_find(second, STR("EXAMPLE.org"), 0)->requirement->source, "Example.org");
	assert_string_equal(policy_rules_find(second, STR("a.example.org"), 0)->requirement->source, ".example.org");
	assert_string_equal(policy_rules_find(second, STR("example.com"), 0)->requirement->source, "*");
	struct policy_requirement *r = rule("x");
	assert_int_equal(policy_rules_add(second, STR("a b"),
		&(struct policy_rule){ .requirement = r }, NULL), -1);
	policy_requirement_unref(&r);
	policy_rules_unref(&second);
	policy_rules_unref(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_pins_in_hexadecimal_and_base64),
		cmocka_unit_test(refuses_what_is_no_pin),
		cmocka_unit_test(names_levels_both_ways),
		cmocka_unit_test(equal_demands_have_equal_fingerprints),
		cmocka_unit_test(different_demands_have_different_fingerprints),
		cmocka_unit_test(dane_demands_have_their_own_fingerprints),
		cmocka_unit_test(copies_records_and_their_names),
		cmocka_unit_test(copies_all_it_is_given),
		cmocka_unit_test(rules_give_the_most_specific_or_the_default),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
