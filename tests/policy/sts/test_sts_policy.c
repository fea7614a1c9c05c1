/* The policy file of MTA-STS, RFC 8461 sections 3.2 and 4.1. */
#include "policy/sts/sts_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 86400\n"

static struct sts_policy *good_bytes(struct str text)
{
	struct err err = { 0 };
	struct sts_policy *p = sts_policy_parse(text, &err);
	if (!p)
		fail_msg("refused: %s", err.text);
	return p;
}

static struct sts_policy *good(const char *text)
{
	return good_bytes(str_of(text));
}

static void is_good(const char *text)
{
	struct sts_policy *p = good(text);
	sts_policy_unref(&p);
}

/* Refused, and the words hold this. */
static void is_bad_bytes(struct str text, const char *words)
{
	struct err err = { 0 };
	struct sts_policy *p = sts_policy_parse(text, &err);
	if (p)
		fail_msg("taken: %.*s", STR_ARGS(text));
	if (!strstr(err.text, words))
		fail_msg("\"%s\" instead of \"%s\"", err.text, words);
}

static void is_bad(const char *text, const char *words)
{
	is_bad_bytes(str_of(text), words);
}

static void M11_the_example_of_the_standard_is_understood(void **state)
{
	static const char text[] = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n"
				   "mx: *.Example.net\r\nmx: backupmx.example.com\r\n"
				   "max_age: 604800\r\n";
	struct sts_policy *p = good(text);
	(void)state;
	assert_int_equal(p->mode, POLICY_STS_ENFORCE);
	assert_int_equal(p->mx_count, 3);
	assert_string_equal(p->mx[0], "mail.example.com");
	assert_string_equal(p->mx[1], "*.example.net");
	assert_string_equal(p->mx[2], "backupmx.example.com");
	assert_int_equal(p->max_age_s, 604800);
	assert_int_equal(p->text_bytes, sizeof(text) - 1);
	assert_string_equal(p->text, text);
	sts_policy_unref(&p);
	assert_null(p);
	sts_policy_unref(&p);
}

static void M11_lines_end_in_lf_or_crlf_in_any_order(void **state)
{
	(void)state;
	is_good("max_age: 1\nmx: a.example\r\nmode: testing\nversion: STSv1");
	is_good("mx:a.example\nversion:STSv1\nmode:none\nmax_age:0\n");
	is_good("version: \t STSv1 \t\nmode:\tnone\nmax_age: 5 \t");
	is_bad(HEAD "mx: a.example\r", "line 4");
	is_bad("version: STSv1\rmode: none\rmax_age: 1\r", "line 1");
	is_bad("version: STSv1\r\r\nmode: none\nmax_age: 1", "line 1");
}

static void M11_a_blank_line_is_refused(void **state)
{
	(void)state;
	is_bad("", "line 1 is empty");
	is_bad("\n" HEAD "mx: a.example\n", "line 1 is empty");
	is_bad("version: STSv1\n\nmode: none\nmax_age: 1\n", "line 2 is empty");
	is_bad(HEAD "mx: a.example\n\n", "line 5 is empty");
	is_bad(HEAD "mx: a.example\r\n\r\n", "line 5 is empty");
	is_bad(HEAD "mx: a.example\n \n", "line 5");
}

static void M11_version_mode_and_max_age_are_required(void **state)
{
	(void)state;
	is_bad("mode: none\nmax_age: 1\n", "without a line \"version:\"");
	is_bad("version: STSv1\nmax_age: 1\n", "without a line \"mode:\"");
	is_bad("version: STSv1\nmode: none\n", "without a line \"max_age:\"");
	is_bad("version: STSv2\nmode: none\nmax_age: 1\n", "line 1: version is \"STSv2\"");
	is_bad("version: stsv1\nmode: none\nmax_age: 1\n", "line 1");
	is_bad("version: STSv1 \x01\nmode: none\nmax_age: 1\n", "line 1");
	is_bad("version: STSv1\nmode: Enforce\nmax_age: 1\n", "line 2: mode is \"Enforce\"");
	is_bad("version: STSv1\nmode: report\nmax_age: 1\n", "line 2");
	is_bad("Version: STSv1\nmode: none\nmax_age: 1\n", "version");
	is_bad("version: STSv1\nMode: none\nmax_age: 1\n", "mode");
}

static void M11_mx_is_required_unless_the_mode_is_none(void **state)
{
	(void)state;
	is_bad(HEAD, "without a line \"mx:\", and its mode is enforce");
	is_bad("version: STSv1\nmode: testing\nmax_age: 1", "its mode is testing");
	is_bad(HEAD "MX: a.example\n", "mx:");
	struct sts_policy *p = good("version: STSv1\nmode: none\nmax_age: 86400\n");
	assert_int_equal(p->mode, POLICY_STS_NONE);
	assert_int_equal(p->mx_count, 0);
	assert_false(sts_policy_names(p, "a.example"));
	sts_policy_unref(&p);
}

static void M11_of_fields_with_one_name_the_first_counts_but_every_mx(void **state)
{
	struct sts_policy *p = good("version: STSv1\nmode: testing\nmax_age: 10\nmx: a.example\n"
				    "mode: enforce\nmax_age: -3\nversion: STSv9\nmode: nonsense\n"
				    "mx: b.example\nmx: a.example\n");
	(void)state;
	assert_int_equal(p->mode, POLICY_STS_TESTING);
	assert_int_equal(p->max_age_s, 10);
	assert_int_equal(p->mx_count, 3);
	sts_policy_unref(&p);
	is_bad("mode: nonsense\nmode: none\nversion: STSv1\nmax_age: 1\n", "line 1");
}

static void M11_unknown_fields_are_ignored_when_well_formed(void **state)
{
	(void)state;
	is_good(HEAD "mx: a.example\nx-note: caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x93\xa7 : \"=;\n");
	is_good(HEAD "mx: a.example\n0a_b-c.d: 1\nMx: 1.2.3.4\nabcdefghijklmnopqrstuvwxyz012345: x");
	is_bad(HEAD "mx: a.example\nabcdefghijklmnopqrstuvwxyz0123456: x", "line 5");
	is_bad(HEAD "mx: a.example\n_x: 1\n", "line 5");
	is_bad(HEAD "mx: a.example\nx y: 1\n", "line 5");
	is_bad(HEAD "mx: a.example\nx : 1\n", "line 5");
	is_bad(HEAD "mx: a.example\n x: 1\n", "line 5");
	is_bad(HEAD "mx: a.example\n: 1\n", "line 5");
	is_bad(HEAD "mx: a.example\nnonsense\n", "line 5");
	is_bad(HEAD "mx: a.example\nx: \t \n", "line 5: the value of x is missing");
	is_bad(HEAD "mx: a.example\nx:\n", "line 5: the value of x is missing");
	is_bad("\xef\xbb\xbfversion: STSv1\nmode: none\nmax_age: 1\n", "line 1");
}

static void M11_values_hold_no_controls_and_good_utf8_only(void **state)
{
	static const char *const wrong[] = { "a\tb", "a\x01", "a\x7f", "\x80", "\xc3", "\xc0\xaf",
		"\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xe2\x82", "\xff", "\xe2\x28\xa1" };
	char text[200];
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), HEAD "mx: a.example\nx: %s\n", wrong[i]);
		is_bad(text, "line 5: the value of x is not printable UTF-8");
	}
	is_bad_bytes(STR(HEAD "mx: a.example\nx: a\0b\n"), "line 5");
	is_bad_bytes(STR(HEAD "mx: a.example\n\0"), "line 5");
	/* the words are fit for a log line */
	is_bad("version: \xc3\xa4\"x\nmode: none\nmax_age: 1\n", "version is \"???x\"");
}

static void M12_max_age_has_1_to_10_digits_and_is_capped(void **state)
{
	static const struct {
		const char *text;
		uint32_t age_s;
	} ages[] = { { "0", 0 }, { "1", 1 }, { "31557600", 31557600 }, { "31557601", 31557600 },
		{ "9999999999", 31557600 }, { "4294967296", 31557600 }, { "0000000086", 86 } };
	static const char *const wrong[] = { "12345678901", "00000000001", "-1", "+1", "1.5", "1d",
		"0x10", "1 000", "ten" };
	char text[200];
	(void)state;
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		snprintf(text, sizeof(text), "version: STSv1\nmode: none\nmax_age: %s\n",
			ages[i].text);
		struct sts_policy *p = good(text);
		assert_int_equal(p->max_age_s, ages[i].age_s);
		sts_policy_unref(&p);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "version: STSv1\nmode: none\nmax_age: %s\n", wrong[i]);
		is_bad(text, "line 3: max_age is");
	}
}

static void M13_mx_is_a_host_or_one_star_and_a_host(void **state)
{
#define L63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-123456789"
	static const char *const right[] = { "a", "mail.example.org", "*.example.org",
		"xn--mller-kva.example", "*.xn--mller-kva.example", "1.example", "A-B.Example.ORG",
		L63 ".example", "10.in-addr.arpa" };
	static const char *const wrong[] = { "*", "*.", "*.*.example.org", "**.example.org",
		"a.*.example.org", "a*.example.org", "*example.org", ".example.org", "a..b",
		"192.0.2.1", "[192.0.2.1]", "2001:db8::1", "[IPv6:2001:db8::1]", "*.0.2.1",
		"m\xc3\xbcller.example", "a_b.example", "-a.example", "a-.example", "a.example.",
		"a example", "a.example, b.example", L63 "x.example",
		L63 "." L63 "." L63 "." L63 /* 255 bytes */ };
	char text[400];
	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		snprintf(text, sizeof(text), HEAD "mx: %s\n", right[i]);
		is_good(text);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), HEAD "mx: good.example\nmx: %s\n", wrong[i]);
		is_bad(text, "line 5: mx is");
	}
	/* not even where none is needed */
	is_bad("version: STSv1\nmode: none\nmax_age: 1\nmx: *\n", "line 4");
}

static void M14_a_star_is_exactly_one_label_and_case_does_not_matter(void **state)
{
	struct sts_policy *p = good(HEAD "mx: *.example.com\nmx: MX.example.NET\n");
	(void)state;
	assert_true(sts_policy_names(p, "mail.example.com"));
	assert_true(sts_policy_names(p, "MAIL.Example.COM"));
	assert_true(sts_policy_names(p, "mail.example.com."));
	assert_false(sts_policy_names(p, "example.com"));
	assert_false(sts_policy_names(p, "a.b.example.com"));
	assert_false(sts_policy_names(p, ".example.com"));
	assert_false(sts_policy_names(p, "mailexample.com"));
	assert_false(sts_policy_names(p, "mail.example.com.."));
	assert_true(sts_policy_names(p, "mx.example.net"));
	assert_true(sts_policy_names(p, "Mx.Example.Net."));
	assert_false(sts_policy_names(p, "a.mx.example.net"));
	assert_false(sts_policy_names(p, "example.net"));
	assert_false(sts_policy_names(p, "mx.example.netx"));
	assert_false(sts_policy_names(p, ""));
	assert_false(sts_policy_names(p, "."));
	assert_false(sts_policy_names(p, "*.example.comx"));
	sts_policy_unref(&p);
}

static void M9_65536_bytes_are_taken_and_65537_refused(void **state)
{
	struct buf text = { 0 };
	(void)state;
	buf_append_text(&text, HEAD "mx: a.example\nx: ");
	while (text.length < STS_POLICY_BYTES_MOST)
		buf_append_byte(&text, 'x');
	struct sts_policy *p = good_bytes(buf_str(&text));
	assert_int_equal(p->text_bytes, 65536);
	sts_policy_unref(&p);
	buf_append_byte(&text, 'x');
	is_bad_bytes(buf_str(&text), "more than 65536 bytes");
	buf_release(&text);
}

static void a_thousand_mx_lines_are_enough(void **state)
{
	struct buf text = { 0 };
	(void)state;
	buf_append_text(&text, HEAD);
	for (int i = 0; i < STS_MX_MOST; i++)
		buf_printf(&text, "mx: a%d.example\n", i);
	struct sts_policy *p = good_bytes(buf_str(&text));
	assert_int_equal(p->mx_count, STS_MX_MOST);
	assert_true(sts_policy_names(p, "a999.example"));
	sts_policy_unref(&p);
	buf_append_text(&text, "mx: b.example\n");
	is_bad_bytes(buf_str(&text), "line 1004: more than 1000 mx lines");
	buf_release(&text);
}

static void is_shared_by_reference(void **state)
{
	struct sts_policy *p = good(HEAD "mx: a.example\n");
	struct sts_policy *other = sts_policy_ref(p);
	(void)state;
	sts_policy_unref(&p);
	assert_true(sts_policy_names(other, "a.example"));
	sts_policy_unref(&other);
	assert_string_equal(sts_mode_name(POLICY_STS_NONE), "none");
	assert_string_equal(sts_mode_name(POLICY_STS_TESTING), "testing");
	assert_string_equal(sts_mode_name(POLICY_STS_ENFORCE), "enforce");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M9_65536_bytes_are_taken_and_65537_refused),
		cmocka_unit_test(M11_the_example_of_the_standard_is_understood),
		cmocka_unit_test(M11_lines_end_in_lf_or_crlf_in_any_order),
		cmocka_unit_test(M11_a_blank_line_is_refused),
		cmocka_unit_test(M11_version_mode_and_max_age_are_required),
		cmocka_unit_test(M11_mx_is_required_unless_the_mode_is_none),
		cmocka_unit_test(M11_of_fields_with_one_name_the_first_counts_but_every_mx),
		cmocka_unit_test(M11_unknown_fields_are_ignored_when_well_formed),
		cmocka_unit_test(M11_values_hold_no_controls_and_good_utf8_only),
		cmocka_unit_test(M12_max_age_has_1_to_10_digits_and_is_capped),
		cmocka_unit_test(M13_mx_is_a_host_or_one_star_and_a_host),
		cmocka_unit_test(M14_a_star_is_exactly_one_label_and_case_does_not_matter),
		cmocka_unit_test(a_thousand_mx_lines_are_enough),
		cmocka_unit_test(is_shared_by_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
