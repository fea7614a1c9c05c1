/* What an operator may name: domains, addresses of people, hosts with a port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/explain/explain_target.h"

static void targets_are_read_in_all_their_forms(void **state)
{
	static const struct {
		const char *text, *domain;
		unsigned port; /* 0: no host */
	} rows[] = {
		{ "example.org", "example.org", 0 },
		{ "Example.ORG.", "example.org", 0 },
		{ "user@example.org", "example.org", 0 },
		{ "a@b@example.org", "example.org", 0 },
		{ "b\303\274cher.example", "xn--bcher-kva.example", 0 },
		{ "user@[192.0.2.1]", "[192.0.2.1]", 0 },
		{ "[192.0.2.1]", "[192.0.2.1]", 0 },
		{ "[IPv6:2001:db8::1]", "[2001:db8::1]", 0 },
		{ "mx.example.org:25", "mx.example.org", 25 },
		{ "MX.example.org:465", "mx.example.org", 465 },
		{ "[192.0.2.1]:587", "192.0.2.1", 587 },
		{ "[2001:db8::1]:65535", "2001:db8::1", 65535 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct explain_target target;
		struct err err = { 0 };
		if (explain_target_parse(str_of(rows[i].text), &target, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_string_equal(target.domain, rows[i].domain);
		assert_int_equal(target.port, rows[i].port);
		assert_int_equal(target.is_host, rows[i].port != 0);
	}
}

static void everything_else_is_refused_with_words(void **state)
{
	static const char *const rows[] = { "", "user@", "bad..name", "192.0.2.1", "2001:db8::1",
		"mx.example.org:0", "mx.example.org:65536", "mx.example.org:", ":25", "[192.0.2.1",
		"[192.0.2.1]x", "[nothing]:25", "[192.0.2.1]:99999", "user@mx.example.org:25",
		"user@[192.0.2.1]:25", "exa mple.org", "[::1]:" };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct explain_target target;
		struct err err = { 0 };
		if (explain_target_parse(str_of(rows[i]), &target, &err) == 0)
			fail_msg("\"%s\" is taken as %s", rows[i], target.domain);
		assert_true(err.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_read_in_all_their_forms),
		cmocka_unit_test(everything_else_is_refused_with_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
