#include "smtpd/delegation/delegation_facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/smtpd/delegation/make_request.h"

#define CHANGES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static struct buf text;
static const struct inbound_settings settings = { .mode = POLICY_INBOUND_TEMPFAIL };

static int forget(void **state)
{
	(void)state;
	buf_release(&text);
	return 0;
}

static void read_facts(const char *const *changes, struct delegation_facts *ret)
{
	struct delegation_request r;
	buf_clear(&text);
	make_request(&text, changes);
	assert_int_equal(delegation_request_read(buf_str(&text), &r, NULL), 0);
	delegation_facts_read(&r, &settings, ret);
}

static void the_client_as_Postfix_knows_it(void **state)
{
	(void)state;
	struct delegation_facts f;
	char ip[NETADDR_TEXT_BYTES];
	read_facts(CHANGES("server_port=587", "policy_context=partners"), &f);
	assert_string_equal(netaddr_format_ip(&f.shown.client, ip), "192.0.2.9");
	assert_true(str_equal(f.shown.client_name, STR("mx.partner.example")));
	assert_true(str_equal(f.shown.daemon, STR("partners")));
	assert_int_equal(f.shown.port, 587);
	assert_false(f.shown.has_tls);
	assert_int_equal(f.shown.default_mode, POLICY_INBOUND_TEMPFAIL);
	/* a name that does not lead back to the address is only in reverse_client_name */
	read_facts(CHANGES("client_name=unknown", "client_address=2001:db8::9", "server_port=x"), &f);
	assert_int_equal(f.shown.client_name.length, 0);
	assert_string_equal(netaddr_format_ip(&f.shown.client, ip), "2001:db8::9");
	assert_int_equal(f.shown.port, 0);
	read_facts(CHANGES("client_address=unknown"), &f);
	assert_int_equal(f.shown.client.family, NETADDR_NONE);
}

static void E5_the_session_as_Postfix_tells_it(void **state)
{
	(void)state;
	struct delegation_facts f;
	read_facts(CHANGES(MAKE_REQUEST_TLS), &f);
	assert_true(f.shown.has_tls);
	assert_int_equal(f.shown.version, 13);
	assert_int_equal(f.shown.bits, 256);
	assert_true(str_equal(f.shown.cipher, STR("TLS_AES_256_GCM_SHA384")));
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_NONE);
	assert_null(f.shown.key_sha256);
	/* facts of TLS without TLS are none */
	read_facts(CHANGES("encryption_cipher=TLS_AES_256_GCM_SHA384", "encryption_keysize=256",
			   MAKE_REQUEST_VERIFIED), &f);
	assert_false(f.shown.has_tls);
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_NONE);
	assert_null(f.shown.key_sha256);
	assert_int_equal(f.shown.common_name.length, 0);
}

static void P2_names_count_when_Postfix_verified(void **state)
{
	(void)state;
	struct delegation_facts f;
	read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED), &f);
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_true(str_equal(f.shown.common_name, STR("out.partner.example")));
	assert_string_equal(f.issuer, "Some CA");
	read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED), &f);
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_UNVERIFIED);
	assert_int_equal(f.shown.common_name.length, 0);
	/* verified, and without a name */
	read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, "ccert_subject="), &f);
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_VERIFIED);
	assert_int_equal(f.shown.common_name.length, 0);
	/* a name that cannot be compared */
	read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, "ccert_subject=a+00b"), &f);
	assert_int_equal(f.shown.common_name.length, 0);
	assert_string_equal(f.common_name, "a?b");
}

static void E5_keys_count_by_sha256_alone(void **state)
{
	(void)state;
	struct delegation_facts f;
	read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED), &f);
	assert_non_null(f.shown.key_sha256);
	assert_int_equal(f.shown.key_sha256[0], 0x6e);
	assert_int_equal(f.shown.key_sha256[31], 0xb9);
	assert_int_equal(f.shown.key_fault.length, 0);
	static const char *const others[] = {
		"ccert_pubkey_fingerprint=01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF", /* md5 */
		"ccert_pubkey_fingerprint=01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67",
		"ccert_pubkey_fingerprint=" MAKE_REQUEST_KEY ":00",
		"ccert_pubkey_fingerprint=6Ex" "F9:D0:31:8E:2C:EC:0C:9F:E1:C9:13:B1:1F:45:9C:EA:8D:B5:17"
		":DD:F1:CC:C6:7E:54:58:78:FB:45:D1:B9",
		"ccert_pubkey_fingerprint=6G:F9:D0:31:8E:2C:EC:0C:9F:E1:C9:13:B1:1F:45:9C:EA:8D:B5:17"
		":DD:F1:CC:C6:7E:54:58:78:FB:45:D1:B9",
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		read_facts(CHANGES(MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, others[i]), &f);
		assert_null(f.shown.key_sha256);
		assert_non_null(strstr(f.shown.key_fault.at, "smtpd_tls_fingerprint_digest = sha256"));
	}
	/* in small letters, too */
	read_facts(CHANGES(MAKE_REQUEST_TLS, "ccert_pubkey_fingerprint="
		"6e:f9:d0:31:8e:2c:ec:0c:9f:e1:c9:13:b1:1f:45:9c:ea:8d:b5:17:dd:f1:cc:c6:7e:54:58:78"
		":fb:45:d1:b9"), &f);
	assert_non_null(f.shown.key_sha256);
	assert_int_equal(f.shown.certificate, POLICY_INBOUND_CERTIFICATE_UNVERIFIED);
}

static void P4_stages(void **state)
{
	(void)state;
	static const struct {
		const char *state;
		enum delegation_stage stage;
	} rows[] = {
		{ "protocol_state=CONNECT", DELEGATION_STAGE_EARLY },
		{ "protocol_state=EHLO", DELEGATION_STAGE_EARLY },
		{ "protocol_state=HELO", DELEGATION_STAGE_EARLY },
		{ "protocol_state=", DELEGATION_STAGE_EARLY },
		{ "protocol_state=VRFY", DELEGATION_STAGE_EARLY },
		{ "protocol_state=ETRN", DELEGATION_STAGE_EARLY },
		{ "protocol_state=NEW", DELEGATION_STAGE_EARLY },
		{ "protocol_state=MAIL", DELEGATION_STAGE_MAIL },
		{ "protocol_state=RCPT", DELEGATION_STAGE_RECIPIENT },
		{ "protocol_state=DATA", DELEGATION_STAGE_RECIPIENT },
		{ "protocol_state=BDAT", DELEGATION_STAGE_RECIPIENT },
		{ "protocol_state=END-OF-MESSAGE", DELEGATION_STAGE_RECIPIENT },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct delegation_facts f;
		read_facts(CHANGES(rows[i].state), &f);
		assert_int_equal(f.stage, rows[i].stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_as_Postfix_knows_it),
		cmocka_unit_test(E5_the_session_as_Postfix_tells_it),
		cmocka_unit_test(P2_names_count_when_Postfix_verified),
		cmocka_unit_test(E5_keys_count_by_sha256_alone),
		cmocka_unit_test(P4_stages),
	};
	return cmocka_run_group_tests(tests, NULL, forget);
}
