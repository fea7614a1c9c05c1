#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "smtpd/session/session_settings.h"

static int read_text(const char *text, struct session_settings *ret, struct err *err)
{
	cfg_opt_t top[] = { CFG_SEC("session", session_settings_options(), CFGF_NONE), CFG_END() };
	cfg_t *cfg = cfg_init(top, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(cfg, text), CFG_SUCCESS);
	int rc = session_settings_read(cfg_getsec(cfg, "session"), ret, err);
	cfg_free(cfg);
	return rc;
}

static void an_empty_section_has_the_documented_values(void **state)
{
	(void)state;
	struct session_settings s;
	struct err err = { 0 };
	assert_int_equal(read_text("session {}", &s, &err), 0);
	assert_int_equal(s.command_bytes, 2048);
	assert_int_equal(s.line_bytes, 65536);
	assert_int_equal(s.message_bytes, 50 << 20);
	assert_int_equal(s.recipients, 1000);
	assert_int_equal(s.envelopes_bytes, 256 << 20);
	assert_int_equal(s.messages, 100);
	assert_int_equal(s.errors_soft, 10);
	assert_int_equal(s.errors_hard, 20);
	assert_int_equal(s.hops, 100);
	assert_int_equal(s.connections, 10000);
	assert_int_equal(s.connections_per_client, 50);
	assert_int_equal(s.command_ms, 300000);
	assert_int_equal(s.data_ms, 180000);
	assert_int_equal(s.tls_ms, 60000);
	assert_int_equal(s.session_ms, 3600000);
	assert_int_equal(s.data_rate_bytes, 100);
	assert_int_equal(s.bare_newlines, SESSION_BARE_REFUSE);
	assert_false(s.refuse_null_mx_senders);
	session_settings_clear(&s);
}

static void values_are_read(void **state)
{
	(void)state;
	struct session_settings s;
	struct err err = { 0 };
	assert_int_equal(read_text("session { message-size = 1GiB recipients = 100\n"
				   "bare-newlines = normalise command-timeout = 10s\n"
				   "refuse-null-mx-senders = yes }",
				 &s, &err),
		0);
	assert_int_equal(s.message_bytes, 1 << 30);
	assert_int_equal(s.recipients, 100);
	assert_int_equal(s.bare_newlines, SESSION_BARE_NORMALISE);
	assert_int_equal(s.command_ms, 10000);
	assert_true(s.refuse_null_mx_senders);
	session_settings_clear(&s);
}

static void senseless_values_are_refused_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *word;
	} bad[] = {
		{ "session { message-size = 1KiB }", "message-size" },
		{ "session { command-size = 100 }", "command-size" },
		{ "session { line-size = lots }", "line-size" },
		{ "session { recipients = 99 }", "recipients" },
		{ "session { errors-soft = 21 }", "errors-soft" },
		{ "session { command-timeout = 0 }", "command-timeout" },
		{ "session { bare-newlines = maybe }", "bare-newlines" },
		{ "session { hops = 3 }", "hops" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct session_settings s;
		struct err err = { 0 };
		assert_int_equal(read_text(bad[i].text, &s, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
		if (!strstr(err.text, bad[i].word))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_section_has_the_documented_values),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(senseless_values_are_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
