#include "smtpd/delegation/delegation_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/smtpd/delegation/make_request.h"

#define KIND "request=smtpd_access_policy\n"

static void E5_a_request_of_Postfix_is_read(void **state)
{
	(void)state;
	const char *const changes[] = { "sender=a=b@c.example", "policy_context=partners",
		"tls_sni=mx.example", "something_new=1", MAKE_REQUEST_TLS, NULL };
	struct buf text = { 0 };
	struct delegation_request r;
	struct err err;
	size_t scanned = 0;
	make_request(&text, changes);
	assert_int_equal(delegation_request_length(buf_str(&text), &scanned), text.length);
	assert_int_equal(delegation_request_read(buf_str(&text), &r, &err), 0);
	static const struct {
		enum delegation_attribute attribute;
		const char *value;
	} rows[] = {
		{ DELEGATION_PROTOCOL_STATE, "RCPT" },
		{ DELEGATION_CLIENT_ADDRESS, "192.0.2.9" },
		{ DELEGATION_CLIENT_NAME, "mx.partner.example" },
		{ DELEGATION_CLIENT_PORT, "54978" },
		{ DELEGATION_SERVER_PORT, "25" },
		{ DELEGATION_SENDER, "a=b@c.example" },
		{ DELEGATION_RECIPIENT, "x@bank.example" },
		{ DELEGATION_QUEUE_ID, "" },
		{ DELEGATION_ENCRYPTION_PROTOCOL, "TLSv1.3" },
		{ DELEGATION_ENCRYPTION_KEYSIZE, "256" },
		{ DELEGATION_POLICY_CONTEXT, "partners" },
		{ DELEGATION_TLS_SNI, "mx.example" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(str_equal(delegation_request_value(&r, rows[i].attribute),
			str_of(rows[i].value)));
	buf_release(&text);
}

static void what_is_not_sent_is_empty_in_any_order(void **state)
{
	(void)state;
	struct delegation_request r;
	assert_int_equal(delegation_request_read(STR("sender=x\nprotocol_state=MAIL\n" KIND "\n"), &r,
				 NULL), 0);
	assert_null(r.values[DELEGATION_RECIPIENT].at);
	assert_int_equal(delegation_request_value(&r, DELEGATION_RECIPIENT).length, 0);
	assert_true(str_equal(delegation_request_value(&r, DELEGATION_SENDER), STR("x")));
	assert_true(str_equal(delegation_request_value(&r, DELEGATION_PROTOCOL_STATE), STR("MAIL")));
}

static void hostile_requests_are_none(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *words;
	} rows[] = {
		{ { "\n", 1 }, "it does not say request=smtpd_access_policy" },
		{ { "sender=a\n\n", 10 }, "it does not say request=smtpd_access_policy" },
		{ { "request=other\n\n", 15 }, "it does not say request=smtpd_access_policy" },
		{ { KIND KIND "\n", 2 * sizeof(KIND) - 1 }, "it says request twice" },
		{ { KIND "sender=a\nsender=a\n\n", sizeof(KIND) + 18 }, "it says sender twice" },
		{ { KIND "sender=\nsender=a\n\n", sizeof(KIND) + 17 }, "it says sender twice" },
		{ { KIND "sender\n\n", sizeof(KIND) + 7 }, "no name=value" },
		{ { KIND "=x\n\n", sizeof(KIND) + 3 }, "no name=value" },
		{ { KIND "sender=a\0b\n\n", sizeof(KIND) + 11 }, "a control byte" },
		{ { KIND "sender=a\r\n\n", sizeof(KIND) + 10 }, "a control byte" },
		{ { KIND "other=\x7f\n\n", sizeof(KIND) + 8 }, "a control byte" },
		{ { "GET / HTTP/1.0\n\n", 16 }, "no name=value" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct delegation_request r;
		struct err err;
		size_t scanned = 0;
		assert_int_equal(delegation_request_length(rows[i].text, &scanned),
			rows[i].text.length);
		if (delegation_request_read(rows[i].text, &r, &err) != -1)
			fail_msg("row %zu is read", i);
		if (!strstr(err.text, rows[i].words))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void the_end_is_found_byte_by_byte(void **state)
{
	(void)state;
	const char *const none[] = { NULL };
	struct buf text = { 0 };
	size_t scanned = 0;
	make_request(&text, none);
	size_t one = text.length;
	make_request(&text, none);
	for (size_t i = 0; i < one; i++)
		assert_int_equal(delegation_request_length(str_head(buf_str(&text), i), &scanned), 0);
	assert_int_equal(delegation_request_length(str_head(buf_str(&text), one), &scanned), one);
	assert_int_equal(scanned, 0);
	assert_int_equal(delegation_request_length(str_skip(buf_str(&text), one), &scanned), one);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(E5_a_request_of_Postfix_is_read),
		cmocka_unit_test(what_is_not_sent_is_empty_in_any_order),
		cmocka_unit_test(hostile_requests_are_none),
		cmocka_unit_test(the_end_is_found_byte_by_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
