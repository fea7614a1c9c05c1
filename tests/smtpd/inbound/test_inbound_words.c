#include "smtpd/inbound/inbound_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void P7_versions_as_OpenSSL_writes_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned version;
	} rows[] = {
		{ "TLSv1", 10 }, { "TLSv1.1", 11 }, { "TLSv1.2", 12 }, { "TLSv1.3", 13 },
		{ "SSLv3", 0 }, { "", 0 }, { "TLSv", 0 }, { "TLSv1.", 0 }, { "TLSv1.3.1", 0 },
		{ "TLSv1.x", 0 }, { "tlsv1.3", 0 }, { "TLSv10.3", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(inbound_words_version(str_of(rows[i].text)), rows[i].version);
}

static void bits_that_are_not_told_are_the_ciphers(void **state)
{
	(void)state;
	assert_int_equal(inbound_words_bits(STR("256"), STR("AES128-SHA")), 256);
	assert_int_equal(inbound_words_bits(STR(""), STR("TLS_AES_128_GCM_SHA256")), 128);
	assert_int_equal(inbound_words_bits(STR(""), STR("NEW")), 0);
	assert_int_equal(inbound_words_bits(STR("many"), STR("TLS_AES_128_GCM_SHA256")), 0);
	assert_int_equal(inbound_words_bits(STR("5000"), STR("")), 0);
}

static void P2_names_with_escapes_undone(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool has_escapes;
		const char *name;
		bool is_whole;
	} rows[] = {
		{ "mx.example", true, "mx.example", true },
		{ "A+20CA", true, "A CA", true },
		{ "A+20CA", false, "A+20CA", true },
		{ "x+2By", true, "x+y", true },
		{ "x+2", true, "x+2", true },
		{ "x+", true, "x+", true },
		{ "x+00y", true, "x?y", false },
		{ "x+0Ay", true, "x\ny", false },
		{ "", true, "", true },
		{ "0123456789abcdef", true, "0123456789abcde", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[16];
		bool is_whole = inbound_words_name(str_of(rows[i].text), rows[i].has_escapes, name,
			sizeof(name));
		assert_string_equal(name, rows[i].name);
		assert_int_equal(is_whole, rows[i].is_whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(P7_versions_as_OpenSSL_writes_them),
		cmocka_unit_test(bits_that_are_not_told_are_the_ciphers),
		cmocka_unit_test(P2_names_with_escapes_undone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
