#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "smtpd/smtp/smtp_address.h"

static void takes_good_paths_apart(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		const char *text;
		const char *local;
		const char *domain;
		const char *rest;
	} paths[] = {
		{ "<a@b.example>", "a@b.example", "a", "b.example", "" },
		{ "<a@b.example> SIZE=1", "a@b.example", "a", "b.example", " SIZE=1" },
		{ "<>", "", "", "", "" },
		{ "<postmaster>", "postmaster", "postmaster", "", "" },
		{ "<PostMaster>", "PostMaster", "PostMaster", "", "" },
		{ "<a.b+c=d@e>", "a.b+c=d@e", "a.b+c=d", "e", "" },
		{ "<\"a b\"@c.example>", "\"a b\"@c.example", "\"a b\"", "c.example", "" },
		{ "<\"a@b\"@c.example>", "\"a@b\"@c.example", "\"a@b\"", "c.example", "" },
		{ "<\"a\\\"b\\\\\"@c>", "\"a\\\"b\\\\\"@c", "\"a\\\"b\\\\\"", "c", "" },
		{ "<\"\"@c>", "\"\"@c", "\"\"", "c", "" },
		{ "<\">\"@c>", "\">\"@c", "\">\"", "c", "" },
		{ "<a@[192.0.2.1]>", "a@[192.0.2.1]", "a", "[192.0.2.1]", "" },
		{ "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", "" },
		{ "<@x.example:a@b>", "a@b", "a", "b", "" },
		{ "<@x,@y.example:a@b>", "a@b", "a", "b", "" },
		{ "<a%b@c>", "a%b@c", "a%b", "c", "" },
		{ "<b!a@c>", "b!a@c", "b!a", "c", "" },
		{ "<\xc3\xbc@\xc3\xbc.example>", "\xc3\xbc@\xc3\xbc.example", "\xc3\xbc",
			"\xc3\xbc.example", "" },
		{ "<a@b_c.example>", "a@b_c.example", "a", "b_c.example", "" },
		{ "<a@3com>", "a@3com", "a", "3com", "" },
	};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct smtp_address a;
		struct err err = { 0 };
		struct str rest = str_of(paths[i].path);
		int rc = smtp_address_parse_path(&rest,
			SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_POSTMASTER, &a, &err);
		if (rc != 0)
			fail_msg("%s: %s", paths[i].path, err.text);
		assert_true(str_equal(a.text, str_of(paths[i].text)));
		assert_true(str_equal(a.local, str_of(paths[i].local)));
		assert_true(str_equal(a.domain, str_of(paths[i].domain)));
		assert_true(str_equal(rest, str_of(paths[i].rest)));
		assert_int_equal(a.has_route, paths[i].path[1] == '@');
		assert_int_equal(a.is_ascii, str_is_ascii(str_of(paths[i].text)));
	}
}

static void refuses_bad_paths(void **state)
{
	(void)state;
	static const char *const paths[] = { "", "a@b", "<", "<a", "<a>", "<a@>", "<@b>", "<a@b",
		"< a@b>", "<a@b >", "<a b@c>", "<.a@b>", "<a.@b>", "<a..b@c>", "<a@.b>", "<a@b.>",
		"<a@b..c>", "<a@-b>", "<a@b->", "<a@b-.c>", "<a@b@c>", "<a@b c>", "<\"a@b>",
		"<\"a\"b@c>", "<\"a\\\"@b>", "<a@[1.2.3]>", "<a@[1.2.3.4>", "<a@[1.2.3.4:25]>",
		"<a@[1.2.3.4:0]>", "<a@[IPv6:1.2.3.4]>", "<a@[IPv6:1.2.3.4:0]>", "<a@[IPv6:]>",
		"<a@[]>", "<a@[IPv6:[::1]]>", "<a@[::1]>", "<a@[x]>", "<a@[1.2.3.4]x>", "<@x a@b>",
		"<@x:>", "<@x,a@b>", "<@:a@b>", "<@x:@y:a@b>", "<a@b\x01>", "<a\x7f@b>",
		"<\"a\x01\"@b>", "<\xff@b>", "<a@\xc3>", "<a(b)@c>", "<a@b(c)>", "<a,b@c>",
		"<postmasters>", "<\xc3\x28@b>", "<\xed\xa0\x80@b>", "<\"\\\xc3\xbc\"@b>" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct smtp_address a;
		struct str rest = str_of(paths[i]);
		struct err err = { 0 };
		if (smtp_address_parse_path(&rest, SMTP_ADDRESS_ALLOW_POSTMASTER, &a, &err) == 0)
			fail_msg("accepted: %s", paths[i]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_true(str_equal(rest, str_of(paths[i])));
	}
	struct smtp_address a;
	struct str nul_inside = STR("<a@[IPv6:::1\0]>");
	assert_int_equal(smtp_address_parse_path(&nul_inside, 0, &a, NULL), -1);
	struct str null = STR("<>"), postmaster = STR("<postmaster>");
	assert_int_equal(smtp_address_parse_path(&null, 0, &a, NULL), -1);
	assert_int_equal(smtp_address_parse_path(&postmaster, SMTP_ADDRESS_ALLOW_NULL, &a, NULL), -1);
}

static int parse_sized(size_t local, size_t label, size_t labels)
{
	struct buf text = { 0 };
	struct smtp_address a;
	for (size_t i = 0; i < local; i++)
		buf_append_byte(&text, 'l');
	buf_append_byte(&text, '@');
	for (size_t k = 0; k < labels; k++) {
		if (k)
			buf_append_byte(&text, '.');
		for (size_t i = 0; i < label; i++)
			buf_append_byte(&text, 'd');
	}
	int rc = smtp_address_parse(buf_str(&text), &a, NULL);
	buf_release(&text);
	return rc;
}

static void keeps_to_the_sizes_of_the_rfc(void **state)
{
	(void)state;
	assert_int_equal(parse_sized(64, 10, 1), 0);
	assert_int_equal(parse_sized(65, 10, 1), -1);
	assert_int_equal(parse_sized(1, 63, 3), 0);
	assert_int_equal(parse_sized(1, 64, 1), -1);
	assert_int_equal(parse_sized(62, 63, 3), 0);  /* 62 + 1 + 191 = 254 */
	assert_int_equal(parse_sized(63, 63, 3), -1); /* 255 */
	assert_int_equal(parse_sized(1, 63, 5), -1);
}

static void domains_become_lower_case_a_labels(void **state)
{
	(void)state;
	static const struct {
		const char *domain;
		const char *ascii; /* NULL: refused */
	} domains[] = {
		{ "Example.COM", "example.com" },
		{ "example.com.", "example.com" },
		{ "m\xc3\xbcller.example", "xn--mller-kva.example" },
		{ "M\xc3\x9cLLER.example", "xn--mller-kva.example" },
		{ "xn--mller-kva.EXAMPLE", "xn--mller-kva.example" },
		{ "stra\xc3\x9f" "e.example", "xn--strae-oqa.example" },
		{ "[192.0.2.1]", "[192.0.2.1]" },
		{ "[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]" },
		{ "", NULL },
		{ ".", NULL },
		{ "a..b", NULL },
		{ "a b", NULL },
		{ "x:a", NULL },
		{ "\xe2\x98\x83\xff.example", NULL },
		{ "\xef\xbc\xbc" "6.example", NULL }, /* maps to a backslash */
		{ "\xef\xbc\xa0" "a.example", NULL }, /* to an "@" */
		{ "a\xe3\x80\x82" "example", "a.example" }, /* to a dot */
	};
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		char ascii[SMTP_ADDRESS_DOMAIN_BYTES + 1];
		int rc = smtp_address_domain_ascii(str_of(domains[i].domain), ascii, NULL);
		assert_int_equal(rc, domains[i].ascii ? 0 : -1);
		if (domains[i].ascii)
			assert_string_equal(ascii, domains[i].ascii);
	}
}

static void tells_where_else_a_local_part_may_lead(void **state)
{
	(void)state;
	static const struct {
		const char *local;
		const char *domains; /* joined with blanks; NULL: none */
	} locals[] = {
		{ "a", NULL }, { "a+b=c", NULL }, { "\"a b\"", NULL },
		{ "a%b.example", "b.example" },
		{ "b.example!a", "b.example" },
		{ "\"a@b.example\"", "b.example" },
		{ "\"a\\@b.example\"", "b.example" },
		{ "a%b%c", "b c" },
		{ "c!b!a", "c b" },
		{ "b!a%c", "b c" },
		{ "100%", "" },
		{ "!a", "" },
		{ "\"@x:a@y\"", "x:a y" },
	};
	for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
		char plain[SMTP_ADDRESS_LOCAL_BYTES];
		struct str unquoted = smtp_address_unquote(str_of(locals[i].local), plain);
		struct buf found = { 0 };
		struct str domain;
		size_t cursor = 0, count = 0;
		while (smtp_address_next_hidden_domain(unquoted, &cursor, &domain)) {
			if (count++)
				buf_append_byte(&found, ' ');
			buf_append_str(&found, domain);
		}
		assert_int_equal(count > 0, locals[i].domains != NULL);
		if (locals[i].domains)
			assert_string_equal(buf_text(&found), locals[i].domains);
		buf_release(&found);
	}
}

static void knows_utf8_from_noise(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool is_utf8;
	} texts[] = {
		{ STR(""), true }, { STR("abc"), true }, { STR("\xc3\xbc"), true },
		{ STR("\xe2\x82\xac"), true }, { STR("\xf0\x9f\x98\x80"), true },
		{ STR("\xf4\x8f\xbf\xbf"), true }, { STR("\x80"), false }, { STR("\xc0\x80"), false },
		{ STR("\xc1\xbf"), false }, { STR("\xe0\x80\x80"), false },
		{ STR("\xed\xa0\x80"), false }, { STR("\xf0\x80\x80\x80"), false },
		{ STR("\xf4\x90\x80\x80"), false }, { STR("\xf5\x80\x80\x80"), false },
		{ STR("\xc3"), false }, { STR("\xe2\x82"), false }, { STR("\xe2\x28\xa1"), false },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(smtp_address_is_utf8(texts[i].text), texts[i].is_utf8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_good_paths_apart),
		cmocka_unit_test(refuses_bad_paths),
		cmocka_unit_test(keeps_to_the_sizes_of_the_rfc),
		cmocka_unit_test(domains_become_lower_case_a_labels),
		cmocka_unit_test(tells_where_else_a_local_part_may_lead),
		cmocka_unit_test(knows_utf8_from_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
