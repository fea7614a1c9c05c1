#include "policy/policy_cipher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_suite_has_two_names(void **state)
{
	(void)state;
	const struct policy_cipher *c = policy_cipher_find(STR("ecdhe-rsa-aes128-gcm-sha256"));
	assert_non_null(c);
	assert_ptr_equal(c, policy_cipher_find(STR("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")));
	assert_ptr_equal(c, policy_cipher_of_id(0xc02f));
	assert_int_equal(c->bits, 128);
	assert_int_equal(policy_cipher_find(STR("DES-CBC3-SHA"))->bits, 112);
	assert_int_equal(policy_cipher_find(STR("TLS_CHACHA20_POLY1305_SHA256"))->bits, 256);
	assert_null(policy_cipher_find(STR("")));
	assert_null(policy_cipher_find(STR("ECDHE-RSA-AES128-GCM-SHA25")));
	assert_null(policy_cipher_of_id(0));
}

static void patterns_fit_either_name(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
		{ "TLS_AES_256_GCM_SHA384", "tls_aes_256_gcm_sha384", true },
		{ "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", true },
		{ "AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA", true },
		{ "AES128-SHA", "AES128-SHA256", false },
		{ "*CBC*", "ECDHE-RSA-AES128-SHA", true },
		{ "*cbc*", "ECDHE-RSA-AES128-GCM-SHA256", false },
		{ "TLS_RSA_*", "AES128-GCM-SHA256", true },
		{ "TLS_RSA_*", "ECDHE-RSA-AES128-SHA", false },
		{ "ECDHE-*", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", true },
		{ "*", "anything at all", true },
		{ "*", "", true },
		{ "", "", true },
		{ "**A*B**", "xxAyyBzz", true },
		{ "*A*B", "AAAAAAAAAAAAAAAAAAAAC", false },
		{ "*ab", "aab", true },
		{ "NEW-*", "NEW-SUITE", true },
		{ "NEW", "NEW-SUITE", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (policy_cipher_matches(rows[i].pattern, str_of(rows[i].name)) != rows[i].fits)
			fail_msg("%s %s", rows[i].pattern, rows[i].name);
	}
}

static void a_pattern_that_fits_nothing_is_a_mistake(void **state)
{
	(void)state;
	static const char *const good[] = { "*", "*CBC*", "ECDHE-RSA-AES128-SHA", "tls_aes_*" };
	static const char *const bad[] = { "", "ECDHE-RSA-AES128-SHAA", "*CBCC*", "HIGH", "!RC4" };
	struct err err;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(policy_cipher_check_pattern(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(policy_cipher_check_pattern(bad[i], &err), -1);
		assert_non_null(strstr(err.text, "fits no cipher suite"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_suite_has_two_names),
		cmocka_unit_test(patterns_fit_either_name),
		cmocka_unit_test(a_pattern_that_fits_nothing_is_a_mistake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
