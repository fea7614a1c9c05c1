/* What Postfix sends, and what nobody should (C12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/tlsrpt/tlsrpt_datagram.h"

/* A session as one text: "domain|record" and per policy "|ok POLICY-TEXT{FAILURE}{FAILURE}". */
static void on_session(void *ctx, const struct tlsrpt_session *s)
{
	struct buf *into = ctx;
	buf_printf(into, "%s|%s", s->domain, s->record);
	for (size_t i = 0; i < s->outcome_count; i++) {
		const struct tlsrpt_outcome *o = &s->outcomes[i];
		buf_printf(into, "|%s ", o->is_success ? "ok" : "failed");
		assert_true(tlsrpt_policy_write(&o->policy, into));
		for (size_t f = 0; f < o->failure_count; f++) {
			buf_append_byte(into, '{');
			assert_true(tlsrpt_failure_write(&o->failures[f], into));
			buf_append_byte(into, '}');
		}
	}
}

static int read(const char *text, struct buf *into, struct err *err)
{
	buf_clear(into);
	/* at the very end of a block: nothing behind it is looked at */
	char *copy = mem_alloc(strlen(text) + 1);
	memcpy(copy, text, strlen(text));
	int result = tlsrpt_datagram_read(str_from(copy, strlen(text)), on_session, into, err);
	free(copy);
	return result;
}

static void C12_reads_what_libtlsrpt_writes(void **state)
{
	struct buf got = { 0 };
	struct err err = { 0 };
	(void)state;
	/* As libtlsrpt 0.5 puts its blanks. */
	assert_int_equal(read("{\"dpv\": \"1\",\"d\": \"Company-Y.example\",\"pr\": "
		"\"v=TLSRPTv1;rua=mailto:r@company-y.example\",\"policies\":[{\"policy-type\":2,"
		"\"policy-domain\": \"company-y.example\",\"policy-string\":[\"version: STSv1\","
		"\"mode: testing\",\"mx: *.mail.company-y.example\",\"max_age: 86400\"],\"mx-host\":["
		"\"*.mail.company-y.example\"],\"failure-details\":[{\"c\":303,\"s\": \"192.0.2.1\","
		"\"n\": \"MailIn.example.com.\",\"h\": \"ehlo.example.com\",\"r\": \"2001:db8::25\",\"a\": "
		"\"info\",\"f\": \"999 TEST\"},{\"c\":205}],\"t\":2,\"f\":1},{\"policy-type\":1,"
		"\"policy-domain\": \"mx.company-y.example\",\"policy-string\":[\"3 1 1 AB\"],\"t\":0,"
		"\"f\":0}]}", &got, &err), 0);
	assert_string_equal(buf_text(&got),
		"company-y.example|v=TLSRPTv1;rua=mailto:r@company-y.example|failed "
		"sts\tcompany-y.example\ns\tversion: STSv1\ns\tmode: testing\n"
		"s\tmx: *.mail.company-y.example\ns\tmax_age: 86400\nm\t*.mail.company-y.example\n"
		"{sts-webpki-invalid\t192.0.2.1\tmailin.example.com\tehlo.example.com\t2001:db8::25\tinfo\t"
		"999 TEST}{validation-failure\t\t\t\t\t\t}|ok tlsa\tmx.company-y.example\ns\t3 1 1 AB\n");
	buf_release(&got);
}

#define HEAD "{\"d\":\"d.example\",\"policies\":["

/* Whole, from Postfix 3.10.13 with libtlsrpt 0.5.0rc1 (no version), and 3.11.7 with 0.5.1. */
static void C12_reads_what_postfix_really_sends(void **state)
{
	static const struct {
		const char *text, *want;
	} real[] = {
		{ "{\"d\": \"sts-name.org\",\"pr\": \"v=TLSRPTv1; rua=mailto:tls@sts-name.org\",\"policies\":"
		  "[{\"policy-type\":2,\"policy-domain\": \"sts-name.org\",\"policy-string\":[\"version: STSv1\","
		  "\"mode: enforce\",\"mx: mx.sts-name.org\"],\"mx-host\":[\"mx.sts-name.org\"],"
		  "\"failure-details\":[{\"c\":202,\"s\": \"11.5.0.6\",\"n\": \"mx.sts-name.org\",\"h\": "
		  "\"250-fakehop.test\\r\\n250-PIPELINING\\r\\n250 STARTTLS\",\"r\": \"11.5.0.6\"}],\"t\":1,\"f\":1}]}",
			"sts-name.org|v=TLSRPTv1; rua=mailto:tls@sts-name.org|failed sts\tsts-name.org\n"
			"s\tversion: STSv1\ns\tmode: enforce\ns\tmx: mx.sts-name.org\nm\tmx.sts-name.org\n"
			"{certificate-host-mismatch\t11.5.0.6\tmx.sts-name.org\tfakehop.test\t11.5.0.6\t\t}" },
		{ "{\"dpv\": \"1\",\"d\": \"old.org\",\"pr\": \"v=TLSRPTv1; rua=mailto:tls@old.org\",\"policies\":"
		  "[{\"policy-type\":9,\"policy-domain\": \"old.org\",\"failure-details\":[{\"c\":205,\"s\": "
		  "\"11.5.0.54\",\"n\": \"mx.old.org\",\"h\": \"250 mx.old.org greets you\",\"r\": \"11.5.0.54\","
		  "\"f\": \"tls-handshake-failure\"}],\"t\":1,\"f\":1}]}",
			"old.org|v=TLSRPTv1; rua=mailto:tls@old.org|failed no-policy-found\told.org\n"
			"{validation-failure\t11.5.0.54\tmx.old.org\tmx.old.org\t11.5.0.54\t\ttls-handshake-failure}" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{\"c\":201,\"h\":\"250-\\u001b[2J\\r\\n\"}]}]}",
			"d.example||failed no-policy-found\td.example\n{starttls-not-supported\t\t\t\t\t\t}" },
	};
	struct buf got = { 0 };
	struct err err = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
		assert_int_equal(read(real[i].text, &got, &err), 0);
		assert_string_equal(buf_text(&got), real[i].want);
	}
	buf_release(&got);
}

static void takes_a_datagram_without_the_version_and_without_a_policy_domain(void **state)
{
	struct buf got = { 0 };
	struct err err = { 0 };
	(void)state;
	assert_int_equal(read("{\"d\":\"b\xc3\xbc" "cher.example\",\"pr\":\"v=TLSRPTv1;rua=mailto:a@b\","
		"\"policies\":[{\"policy-type\":9,\"t\":0,\"f\":0}],\"new\":{}}", &got, &err), 0);
	assert_string_equal(buf_text(&got), "xn--bcher-kva.example|v=TLSRPTv1;rua=mailto:a@b|ok "
		"no-policy-found\txn--bcher-kva.example\n");
	buf_release(&got);
}

#define GOOD "{\"policy-type\":9,\"f\":0}"

static void refuses_whole_and_says_why(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "it is no JSON" },
		{ "{", "it is no JSON" },
		{ "\xff\xfe", "it is no JSON" },
		{ "[]", "it is no JSON object" },
		{ "{} {}", "it is no JSON" },
		{ "{\"d\":\"a.example\",\"d\":\"b.example\"}", "it is no JSON" },
		{ "{\"dpv\":\"2\",\"d\":\"d.example\",\"policies\":[" GOOD "]}", "version 1" },
		{ "{\"dpv\":1,\"d\":\"d.example\",\"policies\":[" GOOD "]}", "\"dpv\" is no text" },
		{ "{\"policies\":[" GOOD "]}", "\"d\" is no domain name" },
		{ "{\"d\":\"a b\",\"policies\":[" GOOD "]}", "\"d\" is no domain name" },
		{ "{\"d\":\"d.example\",\"pr\":\"a\\nb\",\"policies\":[" GOOD "]}", "\"pr\" holds control" },
		{ "{\"d\":\"d.example\",\"pr\":\"\xc2\x85\",\"policies\":[" GOOD "]}", "\"pr\" holds control" },
		{ "{\"d\":\"d.example\"}", "no policies" },
		{ HEAD "]}", "no policies" },
		{ HEAD GOOD "," GOOD "," GOOD "," GOOD "," GOOD "," GOOD "," GOOD "," GOOD "," GOOD "]}",
			"more than 8 policies" },
		{ HEAD GOOD ",7]}", "a policy is no object" },
		{ HEAD "{\"f\":0}]}", "\"policy-type\" is absent" },
		{ HEAD "{\"policy-type\":3,\"f\":0}]}", "\"policy-type\" is unknown" },
		{ HEAD "{\"policy-type\":\"1\",\"f\":0}]}", "\"policy-type\" is out of place" },
		{ HEAD "{\"policy-type\":9}]}", "\"f\" is absent" },
		{ HEAD "{\"policy-type\":9,\"f\":2}]}", "\"f\" is out of place" },
		{ HEAD "{\"policy-type\":9,\"f\":1.0}]}", "\"f\" is out of place" },
		{ HEAD "{\"policy-type\":9,\"f\":0,\"t\":-1}]}", "\"t\" is out of place" },
		{ HEAD "{\"policy-type\":9,\"f\":0,\"policy-domain\":\"a b\"}]}", "\"policy-domain\" is no name" },
		{ HEAD "{\"policy-type\":9,\"f\":0,\"policy-string\":\"a\"}]}", "\"policy-string\" is no list" },
		{ HEAD "{\"policy-type\":9,\"f\":0,\"mx-host\":[1]}]}", "\"mx-host\" has an entry" },
		{ HEAD "{\"policy-type\":9,\"f\":0,\"mx-host\":[\"a\\tb\"]}]}", "\"mx-host\" has an entry" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{}]}]}", "\"c\" is absent" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{\"c\":901}]}]}", "unknown result" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{\"c\":201,\"n\":\"a\\u00a0b\"}]}]}",
			"\"n\" is no name" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{\"c\":201,\"a\":\"x\\u0000y\"}]}]}",
			"it is no JSON" },
		{ HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":{}}]}", "\"failure-details\" is no list" },
		{ "[[[[[[[[[]]]]]]]]]", "nested deeper" },
	};
	struct buf got = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { 0 };
		assert_int_equal(read(bad[i].text, &got, &err), -1);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%s: %s, not %s", bad[i].text, err.text, bad[i].why);
		assert_int_equal(got.length, 0);
	}
	buf_release(&got);
}

static void bounds_every_list_and_text(void **state)
{
	struct buf text = { 0 }, got = { 0 };
	struct err err = { 0 };
	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		buf_clear(&text);
		buf_append_text(&text, HEAD "{\"policy-type\":9,\"f\":1,\"failure-details\":[{\"c\":201}");
		for (int i = 1; i < TLSRPT_FAILURES_MOST + extra; i++)
			buf_append_text(&text, ",{\"c\":201}");
		buf_append_text(&text, "]}]}");
		assert_int_equal(read(buf_text(&text), &got, &err), extra ? -1 : 0);
		buf_clear(&text);
		buf_append_text(&text, HEAD "{\"policy-type\":9,\"f\":1,\"policy-string\":[\"\"");
		for (int i = 1; i < TLSRPT_STRINGS_MOST + extra; i++)
			buf_append_text(&text, ",\"\"");
		buf_append_text(&text, "]}]}");
		assert_int_equal(read(buf_text(&text), &got, &err), extra ? -1 : 0);
		buf_clear(&text);
		buf_append_text(&text, "{\"d\":\"d.example\",\"pr\":\"");
		for (int i = 0; i < TLSRPT_RECORD_BYTES_MOST + extra; i++)
			buf_append_byte(&text, 'a');
		buf_append_text(&text, "\",\"policies\":[" GOOD "]}");
		assert_int_equal(read(buf_text(&text), &got, &err), extra ? -1 : 0);
	}
	buf_clear(&text);
	buf_append_text(&text, HEAD GOOD "]}");
	while (text.length <= TLSRPT_DATAGRAM_BYTES_MOST)
		buf_append_byte(&text, ' ');
	assert_int_equal(read(buf_text(&text), &got, &err), -1);
	assert_string_equal(err.text, "it is longer than 65536 bytes");
	buf_release(&text);
	buf_release(&got);
}

/* R6 and libtlsrpt's numbers, whole. */
static void R7_every_reason_has_its_result_and_number(void **state)
{
	static const struct {
		enum policy_reason reason;
		int code;
		const char *name;
	} table[] = {
		{ POLICY_REASON_STARTTLS_NOT_SUPPORTED, 201, "starttls-not-supported" },
		{ POLICY_REASON_CERTIFICATE_HOST_MISMATCH, 202, "certificate-host-mismatch" },
		{ POLICY_REASON_CERTIFICATE_NOT_TRUSTED, 203, "certificate-not-trusted" },
		{ POLICY_REASON_CERTIFICATE_EXPIRED, 204, "certificate-expired" },
		{ POLICY_REASON_VALIDATION_FAILURE, 205, "validation-failure" },
		{ POLICY_REASON_STS_POLICY_FETCH_ERROR, 301, "sts-policy-fetch-error" },
		{ POLICY_REASON_STS_POLICY_INVALID, 302, "sts-policy-invalid" },
		{ POLICY_REASON_STS_WEBPKI_INVALID, 303, "sts-webpki-invalid" },
		{ POLICY_REASON_TLSA_INVALID, 304, "tlsa-invalid" },
		{ POLICY_REASON_DNSSEC_INVALID, 305, "dnssec-invalid" },
		{ POLICY_REASON_DANE_REQUIRED, 306, "dane-required" },
	};
	enum policy_reason reason;
	(void)state;
	assert_int_equal(sizeof(table) / sizeof(table[0]), TLSRPT_REASONS - 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(tlsrpt_result_of_code(table[i].code, &reason));
		assert_int_equal(reason, table[i].reason);
		assert_true(tlsrpt_result_parse(str_of(table[i].name), &reason));
		assert_int_equal(reason, table[i].reason);
		assert_true(strlen(tlsrpt_result_words(reason)) > 10);
	}
	assert_false(tlsrpt_result_of_code(0, &reason));
	assert_false(tlsrpt_result_of_code(901, &reason));
	assert_false(tlsrpt_result_parse(STR("none"), &reason));
}

static void texts_of_policies_and_failures_read_back(void **state)
{
	const char *strings[] = { "3 1 1 ab", "2 0 1 cd" };
	const struct tlsrpt_policy policy = { .type = POLICY_REPORT_TLSA, .domain = "mx.example",
		.strings = strings, .string_count = 2 };
	struct buf text = { 0 };
	struct str domain, lines, value;
	enum policy_report_type type;
	(void)state;
	assert_true(tlsrpt_policy_write(&policy, &text));
	assert_true(tlsrpt_policy_read(buf_str(&text), &type, &domain, &lines));
	assert_true(type == POLICY_REPORT_TLSA && str_equal(domain, STR("mx.example")));
	assert_int_equal(tlsrpt_policy_next(&lines, &value), 's');
	assert_true(str_equal(value, STR("3 1 1 ab")));
	assert_int_equal(tlsrpt_policy_next(&lines, &value), 's');
	assert_int_equal(tlsrpt_policy_next(&lines, &value), '\0');
	assert_false(tlsrpt_policy_read(STR("tlsa mx.example\n"), &type, &domain, &lines));
	assert_false(tlsrpt_policy_read(STR("spf\tmx.example\n"), &type, &domain, &lines));
	assert_false(tlsrpt_policy_read(STR("tlsa\tmx.example"), &type, &domain, &lines));
	struct tlsrpt_failure_read failure;
	assert_false(tlsrpt_failure_read(STR("tlsa-invalid\ta\tb\tc\td\te"), &failure));
	assert_false(tlsrpt_failure_read(STR("tlsa-invalid\ta\tb\tc\td\te\tf\tg"), &failure));
	assert_true(tlsrpt_failure_read(STR("tlsa-invalid\ta\tb\tc\td\te\tf"), &failure));
	assert_true(str_equal(failure.reason_code, STR("f")));
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C12_reads_what_libtlsrpt_writes),
		cmocka_unit_test(C12_reads_what_postfix_really_sends),
		cmocka_unit_test(takes_a_datagram_without_the_version_and_without_a_policy_domain),
		cmocka_unit_test(refuses_whole_and_says_why),
		cmocka_unit_test(bounds_every_list_and_text),
		cmocka_unit_test(R7_every_reason_has_its_result_and_number),
		cmocka_unit_test(texts_of_policies_and_failures_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
