#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "smtpd/socketmap/socketmap_request.h"

static struct socketmap_request read_text(const char *text)
{
	struct socketmap_request r;
	socketmap_request_read(str_of(text), &r);
	return r;
}

static void expect(const char *text, enum policy_question_kind question, const char *next_hop,
	unsigned port)
{
	struct socketmap_request r = read_text(text);
	if (r.kind != SOCKETMAP_ASK)
		fail_msg("%s is not asked: %s", text, r.why ? r.why : "");
	if (r.question != question || r.port != port)
		fail_msg("%s: question %d, port %u", text, r.question, r.port);
	assert_string_equal(r.next_hop, next_hop);
}

static void expect_kind(const char *text, enum socketmap_request_kind kind)
{
	struct socketmap_request r = read_text(text);
	if (r.kind != kind)
		fail_msg("%s: %d", text, r.kind);
	assert_int_equal(kind == SOCKETMAP_REFUSE, r.why != NULL);
}

static void C10_C11_the_maps_have_names(void **state)
{
	(void)state;
	assert_int_equal(read_text("postfix example.org").map, SOCKETMAP_POSTFIX);
	assert_int_equal(read_text("postfix-tlsrpt example.org").map, SOCKETMAP_POSTFIX_TLSRPT);
	assert_int_equal(read_text("sts example.org").map, SOCKETMAP_SENDMAIL);
	expect_kind("QUERY example.org", SOCKETMAP_REFUSE);
	expect_kind("Postfix example.org", SOCKETMAP_REFUSE);
	expect_kind("postfix", SOCKETMAP_REFUSE);
	expect_kind("", SOCKETMAP_REFUSE);
	expect_kind(" example.org", SOCKETMAP_REFUSE);
}

static void C4_domains_in_any_case_and_form(void **state)
{
	(void)state;
	expect("postfix example.org", POLICY_BY_MX, "example.org", 25);
	expect("postfix Example.ORG", POLICY_BY_MX, "example.org", 25);
	expect("postfix example.org.", POLICY_BY_MX, "example.org", 25);
	expect("postfix localhost", POLICY_BY_MX, "localhost", 25);
	expect("postfix b\xc3\xbc" "cher.example", POLICY_BY_MX, "xn--bcher-kva.example", 25);
	expect("postfix B\xc3\x9c" "CHER.example", POLICY_BY_MX, "xn--bcher-kva.example", 25);
	expect("postfix XN--bcher-kva.example", POLICY_BY_MX, "xn--bcher-kva.example", 25);
}

static void C4_brackets_and_ports(void **state)
{
	(void)state;
	expect("postfix example.org:587", POLICY_BY_MX, "example.org", 587);
	expect("postfix example.org:submission", POLICY_BY_MX, "example.org", 587);
	expect("postfix [mx.example.org]", POLICY_BY_HOST, "mx.example.org", 25);
	expect("postfix [LocalHost]:20125", POLICY_BY_HOST, "localhost", 20125);
	expect("postfix [b\xc3\xbc" "cher.example]:smtp", POLICY_BY_HOST, "xn--bcher-kva.example", 25);
	expect_kind("postfix example.org:", SOCKETMAP_REFUSE);
	expect_kind("postfix example.org:0", SOCKETMAP_REFUSE);
	expect_kind("postfix example.org:65536", SOCKETMAP_REFUSE);
	expect_kind("postfix example.org:moon", SOCKETMAP_REFUSE);
	expect_kind("postfix [example.org]x", SOCKETMAP_REFUSE);
	expect_kind("postfix [example.org", SOCKETMAP_NOT_FOUND);
	expect_kind("postfix []", SOCKETMAP_NOT_FOUND);
}

static void C4_a_parent_with_a_dot_is_not_found_at_once(void **state)
{
	(void)state;
	expect_kind("postfix .example.org", SOCKETMAP_NOT_FOUND);
	expect_kind("postfix .org", SOCKETMAP_NOT_FOUND);
	expect_kind("postfix .", SOCKETMAP_NOT_FOUND);
	expect_kind("postfix ", SOCKETMAP_NOT_FOUND);
}

static void M5_addresses_are_no_domains(void **state)
{
	(void)state;
	expect("postfix [192.0.2.1]", POLICY_BY_HOST, "192.0.2.1", 25);
	expect("postfix [192.0.2.1]:587", POLICY_BY_HOST, "192.0.2.1", 587);
	expect("postfix 192.0.2.1", POLICY_BY_HOST, "192.0.2.1", 25);
	expect("postfix [2001:DB8::1]:26", POLICY_BY_HOST, "2001:db8::1", 26);
	expect("postfix [IPv6:2001:db8::1]", POLICY_BY_HOST, "2001:db8::1", 25);
	expect("postfix 2001:db8::1", POLICY_BY_HOST, "2001:db8::1", 25);
}

static void what_is_no_name_is_not_asked(void **state)
{
	static const char *const none[] = { "postfix a..b", "postfix exa{mple.org", "postfix a/b",
		"postfix \xff\xfe.org", "postfix user@example.org", "postfix *" };
	struct socketmap_request r;
	char longest[400];
	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		expect_kind(none[i], SOCKETMAP_NOT_FOUND);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "postfix ", 8);
	longest[sizeof(longest) - 1] = '\0';
	expect_kind(longest, SOCKETMAP_NOT_FOUND);
	expect_kind("postfix example.org extra", SOCKETMAP_REFUSE);
	expect_kind("postfix example.org\n", SOCKETMAP_REFUSE);
	socketmap_request_read(STR("postfix exam\0ple.org"), &r);
	assert_int_equal(r.kind, SOCKETMAP_REFUSE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(C10_C11_the_maps_have_names),
		cmocka_unit_test(C4_domains_in_any_case_and_form),
		cmocka_unit_test(C4_brackets_and_ports),
		cmocka_unit_test(C4_a_parent_with_a_dot_is_not_found_at_once),
		cmocka_unit_test(M5_addresses_are_no_domains),
		cmocka_unit_test(what_is_no_name_is_not_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
