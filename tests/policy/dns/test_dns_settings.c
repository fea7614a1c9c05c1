/* The `resolver` section: what is taken, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/dns/dns_settings.h"

static int read_text(const char *body, struct dns_settings *ret, struct err *err)
{
	cfg_opt_t top[] = { CFG_SEC("resolver", dns_settings_options(), CFGF_NONE), CFG_END() };
	char text[2000];
	snprintf(text, sizeof(text), "resolver {\n%s\n}\n", body);
	cfg_t *cfg = cfg_init(top, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(cfg, text), CFG_SUCCESS);
	int result = dns_settings_read(cfg_getsec(cfg, "resolver"), ret, err);
	cfg_free(cfg);
	return result;
}

static void nothing_said_means_the_roots_and_the_system_s_anchor(void **state)
{
	(void)state;
	struct dns_settings s;
	struct err err;
	assert_int_equal(read_text("", &s, &err), 0);
	assert_null(s.forward[0]);
	assert_string_equal(s.trust_anchor, "/usr/share/dns/root.key");
	assert_null(s.anchor_text);
	assert_int_equal(s.timeout_ms, 10000);
	assert_int_equal(s.cache_bytes, 64 << 20);
	assert_string_equal(s.check[0], "dnssec-failed.org");
	assert_string_equal(s.check[1], "rhybar.cz");
	assert_null(s.check[2]);
	assert_int_equal(s.stub_count, 0);
	assert_null(s.insecure[0]);
	dns_settings_clear(&s);
}

static void everything_said_is_read_and_copied(void **state)
{
	(void)state;
	struct dns_settings s, copy;
	struct err err;
	assert_int_equal(read_text("forward = { \"127.0.0.1\", \"2001:db8::53@5353\" }\n"
				   "trust-anchor = \"/etc/anchor\" timeout = \"4s\" cache-size = \"8MiB\"\n"
				   "check = {} insecure = { \"Corp.Example.\" }\n"
				   "stub \"corp.example\" { servers = { \"192.0.2.53@53\" } }\n"
				   "stub \".\" { servers = { \"192.0.2.54\" } }",
				 &s, &err),
		0);
	s.anchor_text = strdup("x");
	dns_settings_copy(&s, &copy);
	dns_settings_clear(&s);
	assert_string_equal(copy.forward[0], "127.0.0.1");
	assert_string_equal(copy.forward[1], "2001:db8::53@5353");
	assert_null(copy.forward[2]);
	assert_string_equal(copy.trust_anchor, "/etc/anchor");
	assert_string_equal(copy.anchor_text, "x");
	assert_int_equal(copy.timeout_ms, 4000);
	assert_int_equal(copy.cache_bytes, 8 << 20);
	assert_null(copy.check[0]);
	assert_string_equal(copy.insecure[0], "corp.example");
	assert_int_equal(copy.stub_count, 2);
	assert_string_equal(copy.stubs[0].zone, "corp.example");
	assert_string_equal(copy.stubs[0].servers[0], "192.0.2.53@53");
	assert_null(copy.stubs[0].servers[1]);
	assert_string_equal(copy.stubs[1].zone, ".");
	dns_settings_clear(&copy);
	assert_null(copy.stubs);
}

static void what_cannot_work_is_refused_with_a_remedy(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{ "forward = { \"ns.example\" }", "write an address" },
		{ "forward = { \"192.0.2.1:53\" }", "write an address" },
		{ "forward = { \"[2001:db8::1]:53\" }", "write an address" },
		{ "forward = { \"192.0.2.1@0\" }", "write an address" },
		{ "forward = { \"192.0.2.1@65536\" }", "write an address" },
		{ "forward = { \"192.0.2.1@\" }", "write an address" },
		{ "forward = { \"192.0.2.1:1\" }", "write an address" },
		{ "trust-anchor = \"\"", "package dns-root-data" },
		{ "trust-anchor = \"root.key\"", "whole path" },
		{ "timeout = \"0s\"", "between 1s and 60s" },
		{ "timeout = \"61s\"", "between 1s and 60s" },
		{ "cache-size = \"1K\"", "must lie between" },
		{ "check = { \"a..b\" }", "no domain name" },
		{ "check = { \"\" }", "no domain name" },
		{ "insecure = { \"b\xc3\xbc.example\" }", "xn--" },
		{ "insecure = { \"a b\" }", "no domain name" },
		{ "stub \"corp.example\" { }", "no servers" },
		{ "stub \"corp example\" { servers = { \"192.0.2.1\" } }", "title" },
		{ "stub \"corp.example\" { servers = { \"x\" } }", "write an address" },
		{ "stub \"a.example\" { servers = { \"192.0.2.1\" } }\n"
		  "stub \"A.example.\" { servers = { \"192.0.2.1\" } }",
			"twice" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_settings s;
		struct err err;
		if (read_text(cases[i].text, &s, &err) == 0)
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(err.text, cases[i].words))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
}

static void labels_and_names_have_the_lengths_of_the_dns(void **state)
{
	(void)state;
	char text[600], label[65];
	struct dns_settings s;
	struct err err;
	for (int length = 63; length <= 64; length++) {
		memset(label, 'a', sizeof(label));
		label[length] = '\0';
		snprintf(text, sizeof(text), "check = { \"%s.example\" }", label);
		assert_int_equal(read_text(text, &s, &err), length == 63 ? 0 : -1);
		if (length == 63)
			dns_settings_clear(&s);
	}
	label[63] = '\0';
	/* 3 * 64 + 61 = 253, the longest; one more is too long */
	snprintf(text, sizeof(text), "check = { \"%s.%s.%s.%.61s\" }", label, label, label, label);
	assert_int_equal(read_text(text, &s, &err), 0);
	dns_settings_clear(&s);
	snprintf(text, sizeof(text), "check = { \"%s.%s.%s.%.62s\" }", label, label, label, label);
	assert_int_equal(read_text(text, &s, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_means_the_roots_and_the_system_s_anchor),
		cmocka_unit_test(everything_said_is_read_and_copied),
		cmocka_unit_test(what_cannot_work_is_refused_with_a_remedy),
		cmocka_unit_test(labels_and_names_have_the_lengths_of_the_dns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
