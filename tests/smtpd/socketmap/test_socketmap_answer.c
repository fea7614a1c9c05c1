#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/socketmap/socketmap_answer.h"
#include "tests/smtpd/socketmap/make_whole.h"

#define MX { "a.example.org", "*.b.example.org" }
#define SECURE "OK secure match=a.example.org:.b.example.org servername=hostname"
#define REPORT                                                                                     \
	" policy_type=sts policy_domain=example.org mx_host_pattern=a.example.org "                \
	"mx_host_pattern=*.b.example.org { policy_string = version: STSv1 } "                      \
	"{ policy_string = mode: enforce } { policy_string = mx: a.example.org } "                 \
	"{ policy_string = max_age: 86400 }"
#define PIN "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
#define PIN_WORDS                                                                                  \
	"00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:"  \
	"1D:1E:FF"

static char *answer(enum socketmap_map map, const struct made_whole *from)
{
	struct buf out = { 0 };
	struct policy_plan *plan = make_whole_plan("example.org", from);
	buf_append_text(&out, "before");
	socketmap_answer_write(&out, map, plan);
	policy_plan_unref(&plan);
	buf_consume(&out, 6);
	return buf_take(&out);
}

static void expect_one(const char *row, enum socketmap_map map, const struct made_whole *from,
	const char *wanted)
{
	char *said = answer(map, from);
	if (strcmp(said, wanted) != 0)
		fail_msg("row %s, map %d:\n  said   %s\n  wanted %s", row, map, said, wanted);
	free(said);
}

/* ANSWERS.md, first table: row, what is known, postfix, postfix-tlsrpt (NULL: the same), sts. */
static const struct row {
	const char *number;
	struct made_whole from;
	const char *postfix, *tlsrpt, *sendmail;
} rows[] = {
	{ "2", { .rule = POLICY_LEVEL_MAY, .is_exception = true, .dane = 2, .is_mx_proven = true,
		       .sts = POLICY_STS_ENFORCE, .mx = MX }, "OK may", NULL, "NOTFOUND " },
	{ "2", { .rule = POLICY_LEVEL_NONE, .is_exception = true, .plain = 1 }, "OK none", NULL,
		"NOTFOUND " },
	{ "2", { .rule = POLICY_LEVEL_ENCRYPT, .is_exception = true, .unknown = 1,
		       .state = POLICY_PLAN_DEFER, .is_mx_failed = true }, "OK encrypt", NULL,
		"NOTFOUND " },
	{ "3", { .rule = POLICY_LEVEL_DANE_ONLY, .is_for_domain = true, .plain = 1 }, "OK dane-only",
		NULL, "NOTFOUND " },
	{ "3", { .rule = POLICY_LEVEL_DANE_ONLY, .is_for_domain = true, .is_mx_failed = true,
		       .state = POLICY_PLAN_DEFER }, "OK dane-only", NULL, "NOTFOUND " },
	{ "4", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_DEFER, .is_mx_failed = true,
		       .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE, SECURE REPORT, SECURE },
	{ "5", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_DEFER, .is_mx_failed = true },
		"TEMP so it is", NULL, "TEMP so it is" },
	{ "5", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_DEFER, .is_mx_failed = true,
		       .sts = POLICY_STS_TESTING, .mx = MX, .words = "SERVFAIL\r\nOK \xff none" },
		"TEMP SERVFAIL??OK ? none", NULL, "TEMP SERVFAIL??OK ? none" },
	{ "6 X2", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_NO_MAIL }, "NOTFOUND ", NULL,
		"NOTFOUND " },
	{ "6", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_NO_DOMAIN }, "NOTFOUND ", NULL,
		"NOTFOUND " },
	{ "6", { .rule = POLICY_LEVEL_ENCRYPT, .is_for_domain = true,
		       .state = POLICY_PLAN_NO_DOMAIN }, "OK encrypt", NULL, "NOTFOUND " },
	{ "6", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_NO_MAIL, .sts = POLICY_STS_ENFORCE,
		       .mx = MX }, SECURE, SECURE REPORT, SECURE },
	{ "7", { .rule = POLICY_LEVEL_MAY, .dane = 2, .is_mx_proven = true }, "OK dane-only", NULL,
		"NOTFOUND " },
	{ "7 D3", { .rule = POLICY_LEVEL_MAY, .dane = 1, .unknown = 2, .is_mx_proven = true },
		"OK dane-only", NULL, "NOTFOUND " },
	{ "7 M21", { .rule = POLICY_LEVEL_MAY, .dane = 1, .is_mx_proven = true,
			   .sts = POLICY_STS_ENFORCE, .mx = MX }, "OK dane-only", NULL, SECURE },
	{ "7 minimum", { .rule = POLICY_LEVEL_MAY, .is_for_domain = true, .is_tls13 = true, .dane = 1,
			       .is_mx_proven = true }, "OK dane-only protocols=>=TLSv1.3", NULL,
		"NOTFOUND " },
	{ "7a", { .rule = POLICY_LEVEL_MAY, .dane = 1, .plain = 1, .is_mx_proven = true,
			.sts = POLICY_STS_ENFORCE, .mx = MX }, "OK dane-only", NULL, SECURE },
	{ "7a", { .rule = POLICY_LEVEL_ENCRYPT, .is_for_domain = true, .dane = 1, .plain = 1,
			.is_mx_proven = true }, "OK dane-only", NULL, "NOTFOUND " },
	{ "7b", { .rule = POLICY_LEVEL_MAY, .dane = 1, .plain = 1, .is_mx_proven = true }, "OK dane",
		NULL, "NOTFOUND " },
	{ "7b D12", { .rule = POLICY_LEVEL_MAY, .dane = 1, .unusable = 1, .is_mx_proven = true },
		"OK dane", NULL, "NOTFOUND " },
	{ "8", { .rule = POLICY_LEVEL_MAY, .plain = 2, .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE,
		SECURE REPORT, SECURE },
	{ "8", { .rule = POLICY_LEVEL_VERIFY, .is_for_domain = true, .plain = 2,
		       .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE, SECURE REPORT, SECURE },
	{ "8", { .rule = POLICY_LEVEL_MAY, .unknown = 2, .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE,
		SECURE REPORT, SECURE },
	{ "8", { .rule = POLICY_LEVEL_MAY, .dane = 1, .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE,
		SECURE REPORT, SECURE },
	{ "8", { .rule = POLICY_LEVEL_MAY, .unusable = 1, .is_mx_proven = true,
		       .sts = POLICY_STS_ENFORCE, .mx = MX }, SECURE, SECURE REPORT, SECURE },
	{ "8 minimum", { .rule = POLICY_LEVEL_MAY, .is_tls13 = true, .plain = 1,
			       .sts = POLICY_STS_ENFORCE, .mx = MX },
		SECURE " protocols=>=TLSv1.3", SECURE " protocols=>=TLSv1.3" REPORT, SECURE },
	{ "9", { .rule = POLICY_LEVEL_ENCRYPT, .plain = 1 }, "OK encrypt", NULL, "NOTFOUND " },
	{ "9", { .rule = POLICY_LEVEL_ENCRYPT, .dane = 1 }, "OK encrypt", NULL, "NOTFOUND " },
	{ "9", { .rule = POLICY_LEVEL_VERIFY, .names = { "mail.partner.example" }, .plain = 1,
		       .sts = POLICY_STS_ENFORCE, .mx = MX },
		"OK verify match=mail.partner.example servername=hostname", NULL,
		"OK secure match=mail.partner.example servername=hostname" },
	{ "9 keys", { .rule = POLICY_LEVEL_VERIFY, .pins = { PIN }, .plain = 1, .sts = POLICY_STS_ENFORCE,
			    .mx = MX }, "OK fingerprint match=" PIN_WORDS " servername=hostname", NULL,
		SECURE },
	{ "10 D5", { .rule = POLICY_LEVEL_MAY, .dane = 2 }, "OK dane", NULL, "NOTFOUND " },
	{ "10 D12", { .rule = POLICY_LEVEL_MAY, .unusable = 1, .is_mx_proven = true }, "OK dane", NULL,
		"NOTFOUND " },
	{ "10", { .rule = POLICY_LEVEL_MAY, .unknown = 1, .plain = 2, .is_mx_proven = true },
		"OK dane", NULL, "NOTFOUND " },
	{ "10", { .rule = POLICY_LEVEL_NONE, .is_for_domain = true, .dane = 1 }, "OK dane", NULL,
		"NOTFOUND " },
	{ "10", { .rule = POLICY_LEVEL_MAY, .state = POLICY_PLAN_DEFER, .unknown = 2 }, "OK dane",
		NULL, "NOTFOUND " },
	{ "11 M17", { .rule = POLICY_LEVEL_MAY, .plain = 1, .sts = POLICY_STS_TESTING, .mx = MX },
		"NOTFOUND ", NULL, "NOTFOUND " },
	{ "11 rule", { .rule = POLICY_LEVEL_ENCRYPT, .plain = 1, .sts = POLICY_STS_TESTING, .mx = MX },
		"OK encrypt", NULL, "NOTFOUND " },
	{ "12", { .rule = POLICY_LEVEL_MAY, .is_for_domain = true, .plain = 1 }, "OK may", NULL,
		"NOTFOUND " },
	{ "12", { .rule = POLICY_LEVEL_MAY, .is_without_dane = true, .plain = 1, .unknown = 1 },
		"OK may", NULL, "NOTFOUND " },
	{ "12", { .rule = POLICY_LEVEL_NONE, .is_for_domain = true, .plain = 1 }, "OK none", NULL,
		"NOTFOUND " },
	{ "12 minimum", { .rule = POLICY_LEVEL_MAY, .is_tls13 = true, .plain = 1 },
		"OK may protocols=>=TLSv1.3", NULL, "NOTFOUND " },
	{ "13", { .rule = POLICY_LEVEL_MAY, .plain = 1 }, "NOTFOUND ", NULL, "NOTFOUND " },
	{ "13", { .rule = POLICY_LEVEL_DANE, .plain = 1, .is_mx_proven = true }, "NOTFOUND ", NULL,
		"NOTFOUND " },
};

static void every_row_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		expect_one(r->number, SOCKETMAP_POSTFIX, &r->from, r->postfix);
		expect_one(r->number, SOCKETMAP_POSTFIX_TLSRPT, &r->from,
			r->tlsrpt ? r->tlsrpt : r->postfix);
		expect_one(r->number, SOCKETMAP_SENDMAIL, &r->from, r->sendmail);
	}
}

/* The second table. */
static const struct row levels[] = {
	{ "none", { .rule = POLICY_LEVEL_NONE, .is_tls13 = true }, "OK none", NULL, "NOTFOUND " },
	{ "may", { .rule = POLICY_LEVEL_MAY }, "OK may", NULL, "NOTFOUND " },
	{ "dane", { .rule = POLICY_LEVEL_DANE }, "OK may", NULL, "NOTFOUND " },
	{ "encrypt C8", { .rule = POLICY_LEVEL_ENCRYPT, .is_tls13 = true },
		"OK encrypt protocols=>=TLSv1.3", NULL, "NOTFOUND " },
	{ "names", { .rule = POLICY_LEVEL_VERIFY, .names = { "a.example", ".b.example" } },
		"OK verify match=a.example:.b.example servername=hostname", NULL,
		"OK secure match=a.example:.b.example servername=hostname" },
	{ "proven", { .rule = POLICY_LEVEL_VERIFY, .is_mx_proven = true },
		"OK verify match=hostname servername=hostname", NULL,
		"OK secure match=mx1.example.org:mx2.example.org servername=hostname" },
	{ "not proven", { .rule = POLICY_LEVEL_VERIFY, .is_tls13 = true },
		"OK secure match=example.org:.example.org servername=hostname protocols=>=TLSv1.3", NULL,
		"OK secure match=example.org:.example.org servername=hostname" },
	{ "authority", { .rule = POLICY_LEVEL_VERIFY, .authority = "/etc/own=ca.pem",
			       .names = { "a.example" } },
		"OK verify match=a.example servername=hostname tafile=/etc/own=ca.pem", NULL,
		"NOTFOUND " },
	{ "pins", { .rule = POLICY_LEVEL_VERIFY, .pins = { PIN, PIN } },
		"OK fingerprint match=" PIN_WORDS "|" PIN_WORDS " servername=hostname", NULL,
		"NOTFOUND " },
};

static void every_level_has_its_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct made_whole from = levels[i].from;
		from.plain = 1;
		from.is_for_domain = true;
		expect_one(levels[i].number, SOCKETMAP_POSTFIX, &from, levels[i].postfix);
		expect_one(levels[i].number, SOCKETMAP_SENDMAIL, &from, levels[i].sendmail);
		from.is_exception = true;
		expect_one(levels[i].number, SOCKETMAP_POSTFIX, &from, levels[i].postfix);
	}
}

static void expect_start(const struct made_whole *from, const char *start)
{
	char *said = answer(SOCKETMAP_POSTFIX, from);
	if (strncmp(said, start, strlen(start)) != 0)
		fail_msg("%s", said);
	free(said);
}

static void an_authority_that_cannot_be_told_is_an_error(void **state)
{
	struct made_whole from = { .rule = POLICY_LEVEL_VERIFY, .is_for_domain = true, .plain = 1,
		.authority = "own-ca.pem" };
	(void)state;
	expect_start(&from, "PERM ");
	from.authority = "/etc/{own}.pem";
	expect_start(&from, "PERM ");
	from.authority = "/etc/own ca.pem";
	expect_start(&from, "PERM ");
	from.authority = "/etc/own,ca.pem";
	expect_start(&from, "PERM ");
	from.authority = "/etc/own\n.pem";
	expect_start(&from, "PERM ");
}

static void no_plan_is_a_TEMP(void **state)
{
	struct policy_plan *plan = policy_plan_new("example.org", "example.org");
	struct buf out = { 0 };
	(void)state;
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "too many");
	socketmap_answer_write(&out, SOCKETMAP_POSTFIX, plan);
	assert_string_equal(buf_text(&out), "TEMP too many");
	buf_clear(&out);
	socketmap_answer_write(&out, SOCKETMAP_SENDMAIL, plan);
	assert_string_equal(buf_text(&out), "TEMP too many");
	policy_plan_unref(&plan);
	buf_release(&out);
}

static void C9_values_with_braces_or_control_bytes_are_dropped(void **state)
{
	struct made_whole from = { .rule = POLICY_LEVEL_MAY, .plain = 1, .sts = POLICY_STS_ENFORCE,
		.mx = { "a.example.org" },
		.text = "version: STSv1\n x: } policy_failure=validation-failure {\ny: a\x01" "b\n\n"
			"z: caf\xc3\xa9\n  mode: enforce  \nmax_age: 1" };
	(void)state;
	expect_one("C9", SOCKETMAP_POSTFIX_TLSRPT, &from,
		"OK secure match=a.example.org servername=hostname policy_type=sts "
		"policy_domain=example.org mx_host_pattern=a.example.org "
		"{ policy_string = version: STSv1 } { policy_string = mode: enforce } "
		"{ policy_string = max_age: 1 }");
	from.text = "{}\n";
	expect_one("C9 nothing left", SOCKETMAP_POSTFIX_TLSRPT, &from,
		"OK secure match=a.example.org servername=hostname");
}

static void C7_match_is_never_empty(void **state)
{
	struct made_whole from = { .rule = POLICY_LEVEL_MAY, .plain = 1, .sts = POLICY_STS_ENFORCE,
		.mx = { "a b.example", "{x}", "*" } };
	(void)state;
	expect_start(&from, "PERM ");
	/* C11: PERM is none at all for Sendmail, which would send. */
	expect_one("C11", SOCKETMAP_SENDMAIL, &from,
		"TEMP the MTA-STS policy in force names no host that can be told");
	from.mx[1] = "c.example";
	expect_one("one left", SOCKETMAP_POSTFIX, &from,
		"OK secure match=c.example servername=hostname");
}

static void C2_no_answer_is_longer_than_postfix_reads(void **state)
{
	struct made_whole from = { .rule = POLICY_LEVEL_MAY, .plain = 1, .sts = POLICY_STS_ENFORCE,
		.mx = { "a.example.org" } };
	struct buf text = { 0 };
	(void)state;
	buf_append_text(&text, "version: STSv1\n");
	for (int i = 0; i < 20000; i++)
		buf_append_text(&text, "mx: a.example.org\n");
	from.text = buf_text(&text);
	char *said = answer(SOCKETMAP_POSTFIX_TLSRPT, &from);
	assert_true(strlen(said) <= SOCKETMAP_ANSWER_BYTES_MOST);
	assert_non_null(strstr(said, "{ policy_string = version: STSv1 }"));
	assert_string_equal(said + strlen(said) - 2, " }");
	free(said);
	buf_release(&text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table),
		cmocka_unit_test(every_level_has_its_words),
		cmocka_unit_test(an_authority_that_cannot_be_told_is_an_error),
		cmocka_unit_test(no_plan_is_a_TEMP),
		cmocka_unit_test(C9_values_with_braces_or_control_bytes_are_dropped),
		cmocka_unit_test(C7_match_is_never_empty),
		cmocka_unit_test(C2_no_answer_is_longer_than_postfix_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
