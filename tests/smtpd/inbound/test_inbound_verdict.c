#include "smtpd/inbound/inbound_verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void L1_addresses_come_with_brackets(void **state)
{
	(void)state;
	static const struct {
		const char *path, *domain;
	} rows[] = {
		{ "<a@b.example>", "b.example" }, { "a@b.example", "b.example" }, { "<>", "" },
		{ "", "" }, { "<postmaster>", "" }, { "<\"x@y\"@b.example>", "b.example" },
		{ " <a@b.example> ", "b.example" }, { "<a@>", "" }, { "<", "" }, { "@", "" },
		{ "<a@[192.0.2.1]>", "[192.0.2.1]" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(str_equal(inbound_verdict_domain(str_of(rows[i].path)),
			str_of(rows[i].domain)));
}

static void a_host_is_no_name_unless_the_MTA_found_one(void **state)
{
	(void)state;
	static const char *const no_names[] = { "unknown", "UNKNOWN", "[198.51.100.1]", "", NULL };
	for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
		assert_int_equal(inbound_verdict_client_name(str_of(no_names[i])).length, 0);
	assert_true(str_equal(inbound_verdict_client_name(STR("mx.example")), STR("mx.example")));
}

static void E1_requiretls_is_for_tls_whatever_the_rules_say(void **state)
{
	(void)state;
	struct policy_inbound *none = policy_inbound_new();
	struct policy_inbound_facts f = { .default_mode = POLICY_INBOUND_TEMPFAIL };
	struct policy_inbound_refusal no;
	assert_true(inbound_verdict_sender(none, &f, STR("<a@b.example>"),
		INBOUND_REQUIRETLS_NONE, &no));
	assert_false(inbound_verdict_sender(none, &f, STR("<a@b.example>"),
		INBOUND_REQUIRETLS_WANTED, &no));
	assert_int_equal(no.code, 451);
	assert_string_equal(no.source, "RFC 8689");
	f.has_tls = true;
	assert_true(inbound_verdict_sender(none, &f, STR("<a@b.example>"),
		INBOUND_REQUIRETLS_WANTED, &no));
	policy_inbound_unref(&none);
}

/* An MTA completes "info" with its own domain: no way around the rules of that one. */
static void E1_an_address_without_a_domain_meets_every_rule(void **state)
{
	(void)state;
	static const char *const bare[] = { "<info>", "info", "<info@>", "<postmasters>" };
	const struct policy_inbound_demand tls = { .requires_tls = true };
	struct policy_inbound *rules = policy_inbound_new();
	struct policy_inbound_facts f = { .default_mode = POLICY_INBOUND_REJECT };
	struct policy_inbound_refusal no;
	assert_true(inbound_verdict_recipient(rules, &f, STR("<info>"), &no));
	assert_int_equal(policy_inbound_add_recipient_domain(rules, STR("our.example"), &tls,
		NULL), 0);
	assert_int_equal(policy_inbound_add_sender_domain(rules, STR("our.example"), &tls,
		NULL), 0);
	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		struct str address = str_of(bare[i]);
		f.has_tls = false;
		assert_false(inbound_verdict_recipient(rules, &f, address, &no));
		assert_int_equal(no.code, 530);
		assert_false(inbound_verdict_sender(rules, &f, address, INBOUND_REQUIRETLS_NONE, &no));
		f.has_tls = true;
		f.version = 13;
		assert_true(inbound_verdict_recipient(rules, &f, address, &no));
		assert_true(inbound_verdict_sender(rules, &f, address, INBOUND_REQUIRETLS_NONE, &no));
	}
	f.has_tls = false;
	assert_true(inbound_verdict_recipient(rules, &f, STR("<a@other.example>"), &no));
	assert_true(inbound_verdict_recipient(rules, &f, STR("<Postmaster>"), &no));
	assert_true(inbound_verdict_sender(rules, &f, STR("<>"), INBOUND_REQUIRETLS_NONE, &no));
	policy_inbound_unref(&rules);
}

static void Q1_requiretls_is_a_word_without_a_value(void **state)
{
	(void)state;
	static const struct {
		const char *parameter;
		enum inbound_requiretls said;
	} rows[] = {
		{ "REQUIRETLS", INBOUND_REQUIRETLS_WANTED }, { "requireTLS", INBOUND_REQUIRETLS_WANTED },
		{ "REQUIRETLS=", INBOUND_REQUIRETLS_MALFORMED },
		{ "requiretls=no", INBOUND_REQUIRETLS_MALFORMED },
		{ "XREQUIRETLS", INBOUND_REQUIRETLS_NONE }, { "REQUIRETLSX", INBOUND_REQUIRETLS_NONE },
		{ "SIZE=REQUIRETLS", INBOUND_REQUIRETLS_NONE }, { "=", INBOUND_REQUIRETLS_NONE },
		{ "", INBOUND_REQUIRETLS_NONE },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(inbound_verdict_requiretls(str_of(rows[i].parameter)), rows[i].said);
}

static void Q1_a_value_is_refused_as_the_mode_says(void **state)
{
	(void)state;
	static const struct {
		enum policy_inbound_mode mode;
		bool has_tls;
		int code;
		const char *enhanced;
	} rows[] = {
		{ POLICY_INBOUND_REJECT, true, 501, "5.5.4" },
		{ POLICY_INBOUND_TEMPFAIL, true, 451, "4.5.4" },
		{ POLICY_INBOUND_REPORT, true, 501, "5.5.4" },
		{ POLICY_INBOUND_REJECT, false, 530, "5.7.0" },
	};
	struct policy_inbound *none = policy_inbound_new();
	struct policy_inbound_refusal no;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_inbound_facts f = { .default_mode = rows[i].mode,
			.has_tls = rows[i].has_tls };
		assert_false(inbound_verdict_sender(none, &f, STR("<>"),
			INBOUND_REQUIRETLS_MALFORMED, &no));
		assert_int_equal(no.mode, rows[i].mode);
		assert_int_equal(no.code, rows[i].code);
		assert_string_equal(no.enhanced, rows[i].enhanced);
		assert_string_equal(no.source, "RFC 8689");
	}
	policy_inbound_unref(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(L1_addresses_come_with_brackets),
		cmocka_unit_test(a_host_is_no_name_unless_the_MTA_found_one),
		cmocka_unit_test(E1_requiretls_is_for_tls_whatever_the_rules_say),
		cmocka_unit_test(E1_an_address_without_a_domain_meets_every_rule),
		cmocka_unit_test(Q1_requiretls_is_a_word_without_a_value),
		cmocka_unit_test(Q1_a_value_is_refused_as_the_mode_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
