#include "smtpd/milter/milter_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void tells_what_the_session_showed(void **state)
{
	(void)state;
	const struct milter_facts tls = { .is_tls = true, .version = 13, .bits = 256,
		.version_text = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384",
		.certificate = POLICY_INBOUND_CERTIFICATE_VERIFIED,
		.common_name = "out.partner.example" };
	const struct milter_facts plain_tls = { .is_tls = true, .version_text = "TLSv1.2",
		.certificate = POLICY_INBOUND_CERTIFICATE_UNSEEN };
	const struct milter_facts clear = { 0 };
	const struct policy_inbound_refusal refusal = { .mode = POLICY_INBOUND_REPORT,
		.text = "Must issue \"STARTTLS\" first" };
	const struct {
		const struct milter_facts *facts;
		const struct policy_inbound_refusal *refusal;
		const char *value;
	} rows[] = {
		{ &tls, NULL,
			"mx.example; version=TLSv1.3; cipher=TLS_AES_256_GCM_SHA384; bits=256;\n\t"
			"certificate=verified;\n\tname=\"out.partner.example\"; policy=pass" },
		{ &plain_tls, NULL,
			"mx.example; version=TLSv1.2; cipher=unknown; bits=0;\n\t"
			"certificate=none-verified; policy=pass" },
		{ &clear, NULL, "mx.example; version=none; policy=pass" },
		{ &clear, &refusal,
			"mx.example; version=none;\n\tpolicy=report;\n\t"
			"reason=\"Must issue \\\"STARTTLS\\\" first\"" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf value = { 0 };
		milter_header_value("mx.example", rows[i].facts, rows[i].refusal, &value);
		char *text = buf_take(&value);
		assert_string_equal(text, rows[i].value);
		free(text);
	}
}

static void what_came_from_outside_cannot_leave_its_quotes(void **state)
{
	(void)state;
	struct milter_facts f = { .is_tls = true, .version_text = "x; policy", .cipher = "a\"b c",
		.certificate = POLICY_INBOUND_CERTIFICATE_VERIFIED,
		.common_name = "a\"; policy=pass\r\nX-Evil: 1\\\xc3\xa4" };
	struct buf value = { 0 };
	milter_header_value("mx.example", &f, NULL, &value);
	char *text = buf_take(&value);
	assert_non_null(strstr(text, "version=x??policy; cipher=a?b?c;"));
	assert_non_null(strstr(text, "name=\"a\\\"; policy=pass??X-Evil: 1\\\\??\"; policy=pass"));
	for (const char *line = text; *line; line++) {
		if (*line == '\n')
			assert_int_equal(line[1], '\t');
		else
			assert_true(*line == '\t' || (*line >= ' ' && *line < 0x7f));
	}
	free(text);
}

static void incoming_copies_are_known(void **state)
{
	(void)state;
	assert_true(milter_header_is("X-Postern-TLS", "X-Postern-TLS"));
	assert_true(milter_header_is("x-postern-tls", "X-Postern-TLS"));
	assert_true(milter_header_is("X-POSTERN-TLS \t", "X-Postern-TLS"));
	assert_false(milter_header_is("X-Postern-TLS2", "X-Postern-TLS"));
	assert_false(milter_header_is("X-Postern", "X-Postern-TLS"));
	assert_false(milter_header_is("", "X-Postern-TLS"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_the_session_showed),
		cmocka_unit_test(what_came_from_outside_cannot_leave_its_quotes),
		cmocka_unit_test(incoming_copies_are_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
