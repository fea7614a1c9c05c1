#include "smtpd/milter/milter_facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define POSTFIX_TLS .tls_version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .cipher_bits = "256"

static struct milter_facts read(enum milter_mta mta, struct milter_macros macros)
{
	struct milter_facts facts;
	memset(&facts, 0xff, sizeof(facts));
	milter_facts_read(&macros, mta, &facts);
	return facts;
}

static void without_tls_version_there_is_no_tls(void **state)
{
	(void)state;
	struct milter_facts f = read(MILTER_MTA_POSTFIX, (struct milter_macros){ 0 });
	assert_false(f.is_tls);
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_NONE);
	/* leftovers do not make a session a TLS session */
	f = read(MILTER_MTA_POSTFIX, (struct milter_macros){ .tls_version = "", .cipher = "x",
		.cipher_bits = "256", .cert_subject = "mx.example", .cert_issuer = "CA" });
	assert_false(f.is_tls);
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_NONE);
	assert_string_equal(f.common_name, "");
}

static void P7_versions_are_openssls(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned version;
	} rows[] = {
		{ "TLSv1", 10 }, { "TLSv1.1", 11 }, { "TLSv1.2", 12 }, { "TLSv1.3", 13 },
		{ "TLSv1.4", 14 }, { "TLSv2", 20 }, { "SSLv3", 0 }, { "unknown", 0 }, { "TLSv", 0 },
		{ "TLSv1.", 0 }, { "TLSv1.33", 0 }, { "TLSv1.2x", 0 }, { "TLSv-1", 0 },
		{ "DTLSv1.2", 0 }, { "tlsv1.3", 0 }, { "TLSv1.3.1", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct milter_facts f = read(MILTER_MTA_POSTFIX,
			(struct milter_macros){ .tls_version = rows[i].text });
		assert_true(f.is_tls);
		if (f.version != rows[i].version)
			fail_msg("%s: %u", rows[i].text, f.version);
	}
}

static void bits_are_a_number_or_what_the_cipher_has(void **state)
{
	(void)state;
	static const struct {
		const char *bits, *cipher;
		unsigned expected;
	} rows[] = {
		{ "256", "TLS_AES_256_GCM_SHA384", 256 },
		{ "128", "TLS_AES_256_GCM_SHA384", 128 }, /* the MTA knows better */
		{ NULL, "ECDHE-RSA-AES128-GCM-SHA256", 128 },
		{ "", "TLS_CHACHA20_POLY1305_SHA256", 256 },
		{ NULL, "SOMETHING-NEW", 0 },
		{ NULL, NULL, 0 },
		{ "-1", "TLS_AES_256_GCM_SHA384", 0 },
		{ "99999999999999999999", "TLS_AES_256_GCM_SHA384", 0 },
		{ "256 ", "TLS_AES_256_GCM_SHA384", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct milter_facts f = read(MILTER_MTA_POSTFIX,
			(struct milter_macros){ .tls_version = "TLSv1.2", .cipher = rows[i].cipher,
				.cipher_bits = rows[i].bits });
		if (f.bits != rows[i].expected)
			fail_msg("row %zu: %u", i, f.bits);
	}
}

static void P2_postfix_tells_of_verified_certificates_only(void **state)
{
	(void)state;
	struct milter_facts f = read(MILTER_MTA_POSTFIX, (struct milter_macros){ POSTFIX_TLS,
		.cert_subject = "out.partner.example", .cert_issuer = "Partner CA" });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_string_equal(f.common_name, "out.partner.example");
	assert_string_equal(f.issuer, "Partner CA");
	assert_string_equal(f.version_text, "TLSv1.3");
	assert_string_equal(f.cipher, "TLS_AES_256_GCM_SHA384");
	/* shown or not: it does not say */
	f = read(MILTER_MTA_POSTFIX, (struct milter_macros){ POSTFIX_TLS });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_UNSEEN);
	/* one without common name: verified, but nameless */
	f = read(MILTER_MTA_POSTFIX, (struct milter_macros){ POSTFIX_TLS, .cert_issuer = "CA" });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_string_equal(f.common_name, "");
	/* a plus is a plus there */
	f = read(MILTER_MTA_POSTFIX,
		(struct milter_macros){ POSTFIX_TLS, .cert_subject = "a+2Eb.example" });
	assert_string_equal(f.common_name, "a+2Eb.example");
}

static void P2_sendmail_must_say_verify_ok(void **state)
{
	(void)state;
	static const struct {
		const char *verify;
		enum policy_inbound_certificate certificate;
	} rows[] = {
		{ "OK", POLICY_INBOUND_CERTIFICATE_VERIFIED },
		{ NULL, POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "FAIL", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "NOT", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "TEMP", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "ok", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
		{ "OK ", POLICY_INBOUND_CERTIFICATE_UNVERIFIED },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct milter_facts f = read(MILTER_MTA_SENDMAIL, (struct milter_macros){ POSTFIX_TLS,
			.verify = rows[i].verify, .cert_subject = "/O=Partner/CN=out.partner.example",
			.cert_issuer = "/CN=CA", .cn_subject = "out.partner.example" });
		if (f.certificate != rows[i].certificate)
			fail_msg("row %zu", i);
		assert_string_equal(f.common_name,
			f.certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED ? "out.partner.example"
									      : "");
	}
	struct milter_facts f = read(MILTER_MTA_SENDMAIL,
		(struct milter_macros){ POSTFIX_TLS, .verify = "NO" });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_NONE);
}

static void P2_sendmail_escapes_are_undone(void **state)
{
	(void)state;
	static const struct {
		const char *given, *subject;
	} rows[] = {
		{ "/C=SE/O=Big+20Partner/CN=x.example", "/C=SE/O=Big Partner/CN=x.example" },
		{ "/O=a+2Bb+3cc+3E", "/O=a+b<c>" },
		{ "/O=plus+", "/O=plus+" },
		{ "/O=plus+2", "/O=plus+2" },
		{ "/O=plus+zz", "/O=plus+zz" },
		{ "/O=+00", "/O=?" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct milter_facts f = read(MILTER_MTA_SENDMAIL,
			(struct milter_macros){ POSTFIX_TLS, .verify = "OK",
				.cert_subject = rows[i].given });
		assert_string_equal(f.subject, rows[i].subject);
	}
}

static void P2_a_name_within_another_part_is_no_name(void **state)
{
	(void)state;
	struct milter_facts f = read(MILTER_MTA_SENDMAIL, (struct milter_macros){ POSTFIX_TLS,
		.verify = "OK", .cert_subject = "/O=x/CN=out.partner.example" });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_string_equal(f.common_name, "");
	static const char *const bad[] = { "BadCertificateContainsNUL", "BadCertificateUnknown",
		"BadCertificateTooLong", "a+0Ab", "a+00.partner.example" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f = read(MILTER_MTA_SENDMAIL, (struct milter_macros){ POSTFIX_TLS, .verify = "OK",
			.cert_subject = "/CN=x", .cn_subject = bad[i] });
		if (f.common_name[0])
			fail_msg("%s", bad[i]);
	}
}

static void what_is_too_long_proves_nothing(void **state)
{
	(void)state;
	char name[MILTER_FACTS_TEXT + 20];
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	struct milter_facts f = read(MILTER_MTA_POSTFIX, (struct milter_macros){
		.tls_version = "TLSv1.3", .cipher = name, .cert_subject = name });
	assert_int_equal(f.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_string_equal(f.common_name, "");
	assert_string_equal(f.cipher, "");
	name[MILTER_FACTS_TEXT - 1] = '\0'; /* just fits */
	f = read(MILTER_MTA_POSTFIX,
		(struct milter_macros){ .tls_version = "TLSv1.3", .cert_subject = name });
	assert_string_equal(f.common_name, name);
}

static void P2_who_is_not_known_as_postfix_must_verify(void **state)
{
	(void)state;
	static const struct {
		enum milter_mta wanted;
		const char *version;
		enum milter_mta mta;
	} rows[] = {
		{ MILTER_MTA_AUTO, "Postfix 3.7.11", MILTER_MTA_POSTFIX },
		{ MILTER_MTA_AUTO, "8.17.1.9", MILTER_MTA_SENDMAIL },
		{ MILTER_MTA_AUTO, NULL, MILTER_MTA_SENDMAIL },
		{ MILTER_MTA_AUTO, "", MILTER_MTA_SENDMAIL },
		{ MILTER_MTA_AUTO, "My Mailer", MILTER_MTA_SENDMAIL },
		{ MILTER_MTA_POSTFIX, "My Mailer", MILTER_MTA_POSTFIX },
		{ MILTER_MTA_SENDMAIL, "Postfix 3.7.11", MILTER_MTA_SENDMAIL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(milter_facts_mta(rows[i].wanted, rows[i].version), rows[i].mta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_tls_version_there_is_no_tls),
		cmocka_unit_test(P7_versions_are_openssls),
		cmocka_unit_test(bits_are_a_number_or_what_the_cipher_has),
		cmocka_unit_test(P2_postfix_tells_of_verified_certificates_only),
		cmocka_unit_test(P2_sendmail_must_say_verify_ok),
		cmocka_unit_test(P2_sendmail_escapes_are_undone),
		cmocka_unit_test(P2_a_name_within_another_part_is_no_name),
		cmocka_unit_test(what_is_too_long_proves_nothing),
		cmocka_unit_test(P2_who_is_not_known_as_postfix_must_verify),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
