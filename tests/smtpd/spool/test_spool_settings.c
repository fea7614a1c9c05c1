#include "smtpd/spool/spool_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static int read_text(const char *text, struct spool_settings *ret, struct err *err)
{
	cfg_opt_t options[] = { CFG_SEC("spool", spool_settings_options(), CFGF_NONE), CFG_END() };
	cfg_t *file = cfg_init(options, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(file, text), CFG_SUCCESS);
	int result = spool_settings_read(cfg_getsec(file, "spool"), ret, err);
	cfg_free(file);
	return result;
}

static void has_the_documented_defaults(void **state)
{
	struct spool_settings s;
	(void)state;
	assert_int_equal(read_text("", &s, NULL), 0);
	assert_string_equal(s.directory, "/var/spool/postern");
	assert_int_equal(s.segment_bytes, 64 << 20);
	assert_int_equal(s.minimum_free_bytes, 256 << 20);
	assert_int_equal(s.maximum_messages, 1000000);
	spool_settings_clear(&s);
	assert_null(s.directory);
}

static void refuses_what_makes_no_sense(void **state)
{
	static const struct {
		const char *text, *word;
	} wrong[] = {
		{ "spool { directory = \"spool\" }", "directory" },
		{ "spool { segment-size = \"1000\" }", "segment-size" },
		{ "spool { segment-size = \"2GiB\" }", "segment-size" },
		{ "spool { minimum-free = \"much\" }", "minimum-free" },
		{ "spool { maximum-messages = 0 }", "maximum-messages" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct spool_settings s;
		struct err err = { 0 };
		assert_int_equal(read_text(wrong[i].text, &s, &err), -1);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_non_null(strstr(err.text, wrong[i].word));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_defaults),
		cmocka_unit_test(refuses_what_makes_no_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
