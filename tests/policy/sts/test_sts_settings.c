/* The `mta-sts` section. */
#include "policy/sts/sts_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "libtlsio/base/mem.h"

static int read_text(const char *text, struct sts_settings *ret, struct err *err)
{
	cfg_opt_t options[] = { CFG_SEC("mta-sts", sts_settings_options(), CFGF_NONE), CFG_END() };
	cfg_t *file = cfg_init(options, CFGF_NONE);
	assert_int_equal(cfg_parse_buf(file, text), CFG_SUCCESS);
	int result = sts_settings_read(cfg_getsec(file, "mta-sts"), ret, err);
	cfg_free(file);
	return result;
}

static void has_the_documented_defaults(void **state)
{
	struct sts_settings s;
	(void)state;
	assert_int_equal(read_text("", &s, NULL), 0);
	assert_string_equal(s.cache, "/var/lib/postern/mta-sts.db");
	assert_int_equal(s.fetch_ms, 30000);
	assert_int_equal(s.first_wait_ms, 10000);
	assert_false(s.allows_private);
	assert_string_equal(s.authority, "system");
	assert_null(s.authority_pem);
	assert_int_equal(s.entries_most, 100000);
	sts_settings_clear(&s);
}

static void a_copy_stands_by_itself(void **state)
{
	struct sts_settings s, copy;
	(void)state;
	assert_int_equal(read_text("mta-sts { cache = \"\" private-addresses = true "
				   "first-contact-wait = 0 authority = \"/etc/roots.pem\" }",
				 &s, NULL),
		0);
	assert_null(s.cache);
	s.authority_pem = mem_dup("PEM");
	sts_settings_copy(&s, &copy);
	sts_settings_clear(&s);
	assert_null(s.authority);
	assert_null(copy.cache);
	assert_true(copy.allows_private);
	assert_int_equal(copy.first_wait_ms, 0);
	assert_string_equal(copy.authority, "/etc/roots.pem");
	assert_string_equal(copy.authority_pem, "PEM");
	sts_settings_clear(&copy);
	sts_settings_clear(&copy);
}

static void refuses_what_makes_no_sense(void **state)
{
	static const struct {
		const char *text, *word;
	} wrong[] = {
		{ "mta-sts { fetch-timeout = \"soon\" }", "fetch-timeout" },
		{ "mta-sts { fetch-timeout = \"1h\" }", "fetch-timeout" },
		{ "mta-sts { first-contact-wait = \"2m\" }", "first-contact-wait" },
		{ "mta-sts { cache = \"here.db\" }", "cache" },
		{ "mta-sts { authority = \"\" }", "authority" },
		{ "mta-sts { cache-entries = 0 }", "cache-entries" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct sts_settings s;
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
		cmocka_unit_test(a_copy_stands_by_itself),
		cmocka_unit_test(refuses_what_makes_no_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
