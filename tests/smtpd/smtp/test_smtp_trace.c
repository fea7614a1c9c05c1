#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtpd/smtp/smtp_trace.h"

static void writes_the_field_of_a_tls_session(void **state)
{
	(void)state;
	struct netaddr client;
	assert_int_equal(netaddr_parse(STR("2001:db8::7"), 25, &client, NULL), 0);
	struct smtp_trace trace = { .hello = STR("mx.sender.example"),
		.client = &client,
		.by = STR("mx.example"),
		.id = STR("0123456789abcdef"),
		.recipient = STR("bob@example.com"),
		.is_extended = true,
		.is_tls = true,
		.suite = "TLS_AES_256_GCM_SHA384",
		.group = "x25519",
		.time_s = 1136214245 };
	struct buf field = { 0 };
	smtp_trace_append(&trace, &field);
	assert_string_equal(buf_text(&field),
		"Received: from mx.sender.example ([IPv6:2001:db8::7])\r\n"
		"\tby mx.example with ESMTPS id 0123456789abcdef\r\n"
		"\tfor <bob@example.com>\r\n"
		"\ttls TLS_AES_256_GCM_SHA384 group x25519;\r\n"
		"\tMon, 02 Jan 2006 15:04:05 +0000\r\n");
	buf_clear(&field);
	trace.suite = NULL;
	trace.suite_id = 0x1302;
	trace.group = NULL;
	trace.recipient = STR("");
	trace.client = NULL;
	smtp_trace_append(&trace, &field);
	assert_string_equal(buf_text(&field),
		"Received: from mx.sender.example\r\n"
		"\tby mx.example with ESMTPS id 0123456789abcdef\r\n"
		"\ttls 0x1302;\r\n"
		"\tMon, 02 Jan 2006 15:04:05 +0000\r\n");
	buf_release(&field);
}

static void names_the_protocol(void **state)
{
	(void)state;
	static const struct {
		struct smtp_trace trace;
		const char *with;
	} rows[] = {
		{ { .is_extended = false }, "SMTP" },
		{ { .is_extended = true }, "ESMTP" },
		{ { .is_extended = true, .is_tls = true }, "ESMTPS" },
		{ { .is_extended = false, .is_tls = true }, "ESMTPS" },
		{ { .is_extended = true, .is_smtputf8 = true }, "UTF8SMTP" },
		{ { .is_extended = true, .is_smtputf8 = true, .is_tls = true }, "UTF8SMTPS" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(smtp_trace_with(&rows[i].trace), rows[i].with);
}

static void formats_dates(void **state)
{
	(void)state;
	char text[32];
	assert_string_equal(smtp_trace_date(0, text), "Thu, 01 Jan 1970 00:00:00 +0000");
	assert_string_equal(smtp_trace_date(1709251199, text), "Thu, 29 Feb 2024 23:59:59 +0000");
	assert_string_equal(smtp_trace_date(1798761599, text), "Thu, 31 Dec 2026 23:59:59 +0000");
}

static void counts_hops_whatever_the_pieces(void **state)
{
	(void)state;
	static const struct {
		struct str content;
		unsigned received;
		bool is_done;
	} rows[] = {
		{ STR("Received: a\r\n\tb\r\nreceived:c\r\nReceived : d\r\nSubject: x\r\n\r\n"
		      "Received: not a field\r\n"), 3, true },
		{ STR("Received-SPF: x\r\nX-Received: y\r\nReceive: z\r\n Received: folded\r\n\r\n"),
			0, true },
		{ STR("Received: a\r\n"), 1, false },
		{ STR("\r\nReceived: a\r\n"), 0, true },
		{ STR("Receivedd: a\r\nReceived\r\nRECEIVED\t:x\r\n"), 1, false },
		{ STR(""), 0, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 1; piece <= rows[i].content.length + 1; piece++) {
			struct smtp_trace_scan scan = { 0 };
			struct str rest = rows[i].content;
			while (rest.length) {
				size_t n = rest.length < piece ? rest.length : piece;
				smtp_trace_scan(&scan, str_head(rest, n));
				rest = str_skip(rest, n);
			}
			assert_int_equal(scan.received, rows[i].received);
			assert_int_equal(scan.is_done, rows[i].is_done);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_field_of_a_tls_session),
		cmocka_unit_test(names_the_protocol),
		cmocka_unit_test(formats_dates),
		cmocka_unit_test(counts_hops_whatever_the_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
