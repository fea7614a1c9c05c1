/* The sections `tlsrpt` and `tlsrpt-collector`. */
#include "policy/tlsrpt/tlsrpt_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static int read_text(const char *text, const char *beside, struct tlsrpt_settings *ret, struct err *err)
{
	cfg_opt_t options[] = { CFG_SEC("tlsrpt", tlsrpt_settings_options(), CFGF_NONE),
		CFG_SEC("tlsrpt-collector", tlsrpt_settings_collector_options(),
			CFGF_MULTI | CFGF_TITLE),
		CFG_END() };
	cfg_t *file = cfg_init(options, CFGF_NONE);
	*ret = (struct tlsrpt_settings){ 0 };
	assert_int_equal(cfg_parse_buf(file, text), CFG_SUCCESS);
	int result = tlsrpt_settings_read(cfg_getsec(file, "tlsrpt"), beside, ret, err);
	for (unsigned i = 0; result == 0 && i < cfg_size(file, "tlsrpt-collector"); i++)
		result = tlsrpt_settings_add_collector(
			ret, cfg_getnsec(file, "tlsrpt-collector", i), err);
	cfg_free(file);
	return result;
}

static void has_the_documented_defaults(void **state)
{
	struct tlsrpt_settings s;
	(void)state;
	assert_int_equal(read_text("tlsrpt-collector \"/run/t.sock\" { }", "/var/lib/postern/mta-sts.db",
				 &s, NULL),
		0);
	assert_string_equal(s.tally, "/var/lib/postern/tlsrpt.db");
	assert_int_equal(s.days, 10);
	assert_int_equal(s.rows_most, 100000);
	assert_true(s.bytes_most == UINT64_C(256) << 20);
	assert_int_equal(s.collector_count, 1);
	assert_string_equal(s.collectors[0].path, "/run/t.sock");
	assert_null(s.collectors[0].group);
	assert_int_equal(s.collectors[0].mode, 0660);
	tlsrpt_settings_clear(&s);
	/* Where policies are in memory only, so is the tally. */
	assert_int_equal(read_text("", NULL, &s, NULL), 0);
	assert_null(s.tally);
	assert_int_equal(read_text("tlsrpt { tally = \"\" }", "/a/b", &s, NULL), 0);
	assert_null(s.tally);
	assert_int_equal(read_text("tlsrpt { tally = \"/c/d.db\" keep-days = 3 size = \"1MiB\" }\n"
				   "tlsrpt-collector \"/run/t.sock\" { group = \"mail\" mode = \"0620\" }",
				 NULL, &s, NULL),
		0);
	assert_string_equal(s.tally, "/c/d.db");
	assert_string_equal(s.collectors[0].group, "mail");
	assert_int_equal(s.collectors[0].mode, 0620);
	tlsrpt_settings_clear(&s);
}

static void says_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "tlsrpt { tally = \"tlsrpt.db\" }", "write a path from the root" },
		{ "tlsrpt { keep-days = 0 }", "keep-days" },
		{ "tlsrpt { rows-per-day = 1 }", "rows-per-day" },
		{ "tlsrpt { size = \"4KiB\" }", "size" },
		{ "tlsrpt-collector \"t.sock\" { }", "is no path from the root" },
		{ "tlsrpt-collector \"/ten-letters/ten-letters/ten-letters/ten-letters/ten-letters/"
		  "ten-letters/ten-letters/ten-letters/ten-letters\" { }",
			"at most 107 letters" },
		{ "tlsrpt-collector \"/t\" { mode = \"rw\" }", "write it in octal digits" },
		{ "tlsrpt-collector \"/t\" { mode = \"01777\" }", "write it in octal digits" },
		{ "tlsrpt-collector \"/t\" { mode = \"068\" }", "write it in octal digits" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tlsrpt_settings s;
		struct err err = { 0 };
		assert_int_equal(read_text(bad[i].text, "/a/b", &s, &err), -1);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%s: %s", bad[i].text, err.text);
		tlsrpt_settings_clear(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_defaults),
		cmocka_unit_test(says_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
