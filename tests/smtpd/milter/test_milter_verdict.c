/* From the macros of an MTA to the verdict. */
#include "smtpd/inbound/inbound_verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/milter/milter_facts.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static char *partner_names[] = { TEXT("out.partner.example"), TEXT(".pool.partner.example") };
static char *only_gcm[] = { TEXT("*GCM*") }, *no_cbc[] = { TEXT("*CBC*"), TEXT("TLS_RSA_*") };

static struct inbound_settings settings = { .mode = POLICY_INBOUND_REJECT };

static struct milter_client from(const char *ip)
{
	struct milter_client client = { .name = STR("mx.partner.example"), .daemon = STR("smtpd"),
		.port = 25 };
	assert_int_equal(netaddr_parse(str_of(ip), 0, &client.address, NULL), 0);
	return client;
}

static struct milter_facts session(const char *version, const char *cipher, const char *bits,
	const char *name)
{
	struct milter_macros macros = { .tls_version = version, .cipher = cipher,
		.cipher_bits = bits, .cert_subject = name, .cert_issuer = name ? "CA" : NULL };
	struct milter_facts facts;
	milter_facts_read(&macros, MILTER_MTA_POSTFIX, &facts);
	return facts;
}

static bool may_send(const struct inbound_settings *s, const struct policy_inbound *rules,
	const struct milter_client *client, const struct milter_facts *facts, struct str sender,
	enum inbound_requiretls requiretls, struct policy_inbound_refusal *ret)
{
	struct policy_inbound_facts shown = milter_facts_shown(facts, client, s->mode);
	return inbound_verdict_sender(rules, &shown, sender, requiretls, ret);
}

static bool may_receive(const struct inbound_settings *s, const struct policy_inbound *rules,
	const struct milter_client *client, const struct milter_facts *facts, struct str recipient,
	struct policy_inbound_refusal *ret)
{
	struct policy_inbound_facts shown = milter_facts_shown(facts, client, s->mode);
	return inbound_verdict_recipient(rules, &shown, recipient, ret);
}

static const enum inbound_requiretls NONE = INBOUND_REQUIRETLS_NONE,
				    WANTED = INBOUND_REQUIRETLS_WANTED;
static const char aes256[] = "TLS_AES_256_GCM_SHA384", aes128[] = "ECDHE-RSA-AES128-SHA";

static void E1_demands_by_the_table(void **state)
{
	(void)state;
	const struct {
		struct policy_inbound_demand demand;
		const char *version, *cipher, *bits, *name;
		int code; /* 0: goes on */
		const char *enhanced, *words;
	} rows[] = {
		{ { 0 }, NULL, NULL, NULL, NULL, 0, NULL, NULL },
		{ { .requires_tls = true }, NULL, NULL, NULL, NULL, 530, "5.7.0",
			"Must issue a STARTTLS command first" },
		{ { .requires_tls = true }, "TLSv1.2", aes128, "128", NULL, 0, NULL, NULL },
		/* 1.2 is the floor of every rule, here as in posternd */
		{ { .requires_tls = true }, "TLSv1.1", aes128, "128", NULL, 554, "5.7.0",
			"demands TLS1.2 and you speak TLS1.1" },
		{ { .requires_tls = true }, "SSLv3", aes128, "128", NULL, 554, "5.7.0",
			"an unknown version" },
		{ { .minimum = TLSIO_TLS13 }, "TLSv1.2", aes128, "128", NULL, 554, "5.7.0",
			"demands TLS1.3 and you speak TLS1.2" },
		{ { .minimum = TLSIO_TLS13 }, "TLSv1.3", aes256, "256", NULL, 0, NULL, NULL },
		{ { .minimum = TLSIO_TLS13 }, "TLSv1.4", aes256, "256", NULL, 0, NULL, NULL },
		{ { .minimum_bits = 256 }, NULL, NULL, NULL, NULL, 530, "5.7.0", "STARTTLS" },
		{ { .minimum_bits = 256 }, "TLSv1.2", aes128, "128", NULL, 554, "5.7.0",
			"demands a cipher of 256 bits and yours, ECDHE-RSA-AES128-SHA, has 128" },
		{ { .minimum_bits = 256 }, "TLSv1.3", aes256, "256", NULL, 0, NULL, NULL },
		{ { .minimum_bits = 128 }, "TLSv1.3", "NEW", NULL, NULL, 554, "5.7.0", "has 0" },
		{ { .ciphers = only_gcm, .cipher_count = 1 }, "TLSv1.2", aes128, "128", NULL, 554,
			"5.7.0", "does not admit the cipher ECDHE-RSA-AES128-SHA" },
		{ { .ciphers = only_gcm, .cipher_count = 1 }, "TLSv1.3", aes256, "256", NULL, 0,
			NULL, NULL },
		{ { .ciphers = only_gcm, .cipher_count = 1 }, "TLSv1.3", NULL, "256", NULL, 554,
			"5.7.0", "an unknown cipher" },
		/* IANA's name says CBC, OpenSSL's does not */
		{ { .refused_ciphers = no_cbc, .refused_cipher_count = 2 }, "TLSv1.2", aes128, "128",
			NULL, 554, "5.7.0", "offer another" },
		{ { .refused_ciphers = no_cbc, .refused_cipher_count = 2 }, "TLSv1.2",
			"AES128-GCM-SHA256", "128", NULL, 554, "5.7.0", "offer another" },
		{ { .refused_ciphers = no_cbc, .refused_cipher_count = 2 }, "TLSv1.2",
			"ECDHE-RSA-AES128-GCM-SHA256", "128", NULL, 0, NULL, NULL },
		{ { .requires_certificate = true }, NULL, NULL, NULL, NULL, 530, "5.7.0",
			"STARTTLS" },
		{ { .requires_certificate = true }, "TLSv1.3", aes256, "256", NULL, 554, "5.7.1",
			"showed none that we trust" },
		{ { .requires_certificate = true }, "TLSv1.3", aes256, "256", "any", 0, NULL, NULL },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "Out.Partner.Example", 0, NULL, NULL },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "a.b.pool.partner.example", 0, NULL, NULL },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "*.partner.example", 0, NULL, NULL },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "pool.partner.example", 554, "5.7.1",
			"yours is for [pool.partner.example]" },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "evil.example", 554, "5.7.1", "another client" },
		{ { .requires_certificate = true, .names = partner_names, .name_count = 2 },
			"TLSv1.3", aes256, "256", "*.example", 554, "5.7.1", "another client" },
	};
	struct milter_client client = from("192.0.2.9");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_inbound *p = policy_inbound_new();
		struct policy_inbound_refusal no = { 0 };
		struct milter_facts f = session(rows[i].version, rows[i].cipher, rows[i].bits,
			rows[i].name);
		assert_int_equal(policy_inbound_add_sender_domain(p, STR("partner.example"),
					 &rows[i].demand, NULL), 0);
		bool goes_on = may_send(&settings, p, &client, &f,
			STR("<joe@Partner.example>"), NONE, &no);
		if (goes_on != (rows[i].code == 0) || no.code != rows[i].code)
			fail_msg("row %zu: %d %s", i, no.code, no.text);
		if (!goes_on) {
			assert_string_equal(no.enhanced, rows[i].enhanced);
			assert_non_null(strstr(no.text, "mail from Partner.example"));
			if (!strstr(no.text, rows[i].words))
				fail_msg("row %zu: %s", i, no.text);
		}
		/* other senders are left alone, and bounces */
		struct milter_facts clear = session(NULL, NULL, NULL, NULL);
		assert_true(may_send(&settings, p, &client, &clear, STR("<a@b.example>"),
			NONE, &no));
		assert_true(may_send(&settings, p, &client, &clear, STR("<>"), NONE,
			&no));
		policy_inbound_unref(&p);
	}
}

static void P2_sendmail_certificates_count_when_verified(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand d = { .requires_certificate = true, .names = partner_names,
		.name_count = 1 };
	assert_int_equal(policy_inbound_add_sender_domain(p, STR("partner.example"), &d, NULL), 0);
	struct milter_macros macros = { .tls_version = "TLSv1.3", .cipher = aes256,
		.cert_subject = "/CN=out.partner.example", .cn_subject = "out.partner.example",
		.cert_issuer = "/CN=out.partner.example", .verify = "FAIL" };
	struct milter_facts f;
	struct policy_inbound_refusal no;
	struct milter_client client = from("192.0.2.9");
	milter_facts_read(&macros, MILTER_MTA_SENDMAIL, &f);
	assert_false(may_send(&settings, p, &client, &f, STR("<a@partner.example>"),
		NONE, &no));
	assert_non_null(strstr(no.text, "yours is not accepted: FAIL"));
	macros.verify = "OK";
	milter_facts_read(&macros, MILTER_MTA_SENDMAIL, &f);
	assert_true(may_send(&settings, p, &client, &f, STR("<a@partner.example>"),
		NONE, &no));
	policy_inbound_unref(&p);
}

static void E1_one_recipient_is_refused_the_others_are_kept(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand d = { .requires_tls = true, .source = TEXT("f:3 domain") };
	assert_int_equal(policy_inbound_add_recipient_domain(p, STR(".bank.example"), &d, NULL), 0);
	struct milter_facts clear = session(NULL, NULL, NULL, NULL);
	struct milter_facts tls = session("TLSv1.3", aes256, "256", NULL);
	struct milter_client client = from("192.0.2.9");
	struct policy_inbound_refusal no;
	assert_true(may_send(&settings, p, &client, &clear, STR("<a@x.bank.example>"),
		NONE, &no)); /* of recipients only */
	assert_false(may_receive(&settings, p, &client, &clear,
		STR("<joe@Mail.Bank.example>"), &no));
	assert_int_equal(no.code, 530);
	assert_string_equal(no.source, "f:3 domain");
	assert_non_null(strstr(no.text, "mail to Mail.Bank.example"));
	assert_true(may_receive(&settings, p, &client, &clear,
		STR("<joe@other.example>"), &no));
	assert_true(may_receive(&settings, p, &client, &clear, STR("<postmaster>"),
		&no));
	assert_true(may_receive(&settings, p, &client, &tls,
		STR("<joe@mail.bank.example>"), &no));
	policy_inbound_unref(&p);
}

static void E1_clients_by_address_and_by_name(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_client net = { .demand = { .minimum = TLSIO_TLS13 } };
	struct policy_inbound_demand d = { .requires_tls = true };
	assert_int_equal(netaddr_net_parse(STR("192.0.2.0/24"), &net.net, NULL), 0);
	assert_int_equal(policy_inbound_add_client(p, &net, NULL), 0);
	assert_int_equal(policy_inbound_add_client_name(p, STR(".partner.example"), &d, NULL), 0);
	assert_int_equal(policy_inbound_add_client_name(p, STR("*"), &d, NULL), -1);
	struct milter_facts clear = session(NULL, NULL, NULL, NULL);
	struct milter_facts old = session("TLSv1.2", aes128, "128", NULL);
	struct policy_inbound_refusal no;
	struct milter_client inside = from("192.0.2.9"), outside = from("198.51.100.1");
	assert_false(may_send(&settings, p, &inside, &old, STR("<>"), NONE, &no));
	assert_non_null(strstr(no.text, "clients in 192.0.2.0/24"));
	assert_false(may_send(&settings, p, &outside, &clear, STR("<>"), NONE, &no));
	assert_non_null(strstr(no.text, "the client mx.partner.example"));
	assert_true(may_send(&settings, p, &outside, &old, STR("<>"), NONE, &no));
	static const char *const no_names[] = { "unknown", "[198.51.100.1]", "", NULL };
	for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++) {
		outside.name = inbound_verdict_client_name(str_of(no_names[i]));
		assert_int_equal(outside.name.length, 0);
		assert_true(may_send(&settings, p, &outside, &clear, STR("<>"), NONE,
			&no));
	}
	policy_inbound_unref(&p);
}

static void P9_daemons_by_name_and_port(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand tls = { .requires_tls = true },
				     certificate = { .requires_certificate = true };
	struct err err;
	assert_int_equal(policy_inbound_add_daemon(p, STR("partners"), &certificate, NULL), 0);
	assert_int_equal(policy_inbound_add_daemon(p, STR(":587"), &tls, NULL), 0);
	assert_int_equal(policy_inbound_add_daemon(p, STR(":587"), &tls, &err), -1);
	assert_int_equal(policy_inbound_add_daemon(p, STR(":0"), &tls, &err), -1);
	assert_int_equal(policy_inbound_add_daemon(p, STR(":x"), &tls, &err), -1);
	assert_int_equal(policy_inbound_add_daemon(p, STR(""), &tls, &err), -1);
	struct milter_facts clear = session(NULL, NULL, NULL, NULL);
	struct milter_facts good = session("TLSv1.3", aes256, "256", NULL);
	struct policy_inbound_refusal no;
	struct milter_client client = from("192.0.2.9");
	assert_true(may_send(&settings, p, &client, &clear, STR("<a@b.c>"), NONE,
		&no));
	client.port = 587;
	assert_false(may_send(&settings, p, &client, &clear, STR("<a@b.c>"), NONE,
		&no));
	assert_non_null(strstr(no.text, "our port 587"));
	client.daemon = STR("partners");
	assert_false(may_send(&settings, p, &client, &good, STR("<a@b.c>"), NONE,
		&no));
	assert_int_equal(no.code, 554);
	assert_non_null(strstr(no.text, "our service partners"));
	policy_inbound_unref(&p);
}

static void E4_modes_soften_and_the_strictest_wins(void **state)
{
	(void)state;
	static const struct {
		enum policy_inbound_mode of_milter, of_sender, of_daemon, expected;
		int code;
		const char *whose;
	} rows[] = {
		{ POLICY_INBOUND_REJECT, 0, 0, POLICY_INBOUND_REJECT, 530, "our port" },
		{ POLICY_INBOUND_TEMPFAIL, 0, 0, POLICY_INBOUND_TEMPFAIL, 451, "our port" },
		{ POLICY_INBOUND_REPORT, 0, 0, POLICY_INBOUND_REPORT, 530, "our port" },
		{ POLICY_INBOUND_QUARANTINE, 0, 0, POLICY_INBOUND_QUARANTINE, 530, "our port" },
		{ POLICY_INBOUND_REPORT, POLICY_INBOUND_REJECT, 0, POLICY_INBOUND_REJECT, 530,
			"mail from" },
		{ POLICY_INBOUND_REJECT, POLICY_INBOUND_TEMPFAIL, POLICY_INBOUND_REPORT,
			POLICY_INBOUND_TEMPFAIL, 451, "mail from" },
		{ POLICY_INBOUND_REJECT, POLICY_INBOUND_REPORT, POLICY_INBOUND_QUARANTINE,
			POLICY_INBOUND_QUARANTINE, 530, "our port" },
		{ POLICY_INBOUND_REPORT, 0, POLICY_INBOUND_TEMPFAIL, POLICY_INBOUND_TEMPFAIL, 451,
			"our port" },
		{ 0, 0, 0, POLICY_INBOUND_REJECT, 530, "our port" },
	};
	struct milter_facts clear = session(NULL, NULL, NULL, NULL);
	struct milter_client client = from("192.0.2.9");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_inbound *p = policy_inbound_new();
		struct policy_inbound_refusal no;
		struct inbound_settings s = { .mode = rows[i].of_milter };
		struct policy_inbound_demand sender = { .requires_tls = true,
			.mode = rows[i].of_sender };
		struct policy_inbound_demand daemon = { .requires_tls = true,
			.mode = rows[i].of_daemon };
		policy_inbound_add_sender_domain(p, STR("*"), &sender, NULL);
		policy_inbound_add_daemon(p, STR(":25"), &daemon, NULL);
		assert_false(may_send(&s, p, &client, &clear, STR("<a@b.example>"),
			NONE, &no));
		if (no.mode != rows[i].expected || no.code != rows[i].code ||
			!strstr(no.text, rows[i].whose))
			fail_msg("row %zu: %s %d %s", i, policy_inbound_mode_name(no.mode), no.code,
				no.text);
		/* 4yz goes with 4.y.z, or the MTA drops the words (L1) */
		assert_int_equal(no.enhanced[0], '0' + no.code / 100);
		assert_true(policy_inbound_has_mode(p, rows[i].of_sender));
		policy_inbound_unref(&p);
	}
}

static void E1_requiretls_is_for_tls_only(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_refusal no;
	struct inbound_settings s = { .mode = POLICY_INBOUND_TEMPFAIL };
	struct milter_client client = from("192.0.2.9");
	struct milter_facts clear = session(NULL, NULL, NULL, NULL);
	struct milter_facts tls = session("TLSv1.2", aes128, "128", NULL);
	assert_false(may_send(&settings, p, &client, &clear, STR("<a@b.example>"), WANTED,
		&no));
	assert_int_equal(no.code, 530);
	assert_non_null(strstr(no.text, "REQUIRETLS is for TLS only"));
	assert_false(may_send(&s, p, &client, &clear, STR("<a@b.example>"), WANTED, &no));
	assert_int_equal(no.code, 451);
	assert_true(may_send(&settings, p, &client, &tls, STR("<a@b.example>"), WANTED,
		&no));
	/* a stricter rule speaks first */
	struct policy_inbound_demand d = { .requires_tls = true, .mode = POLICY_INBOUND_REJECT };
	policy_inbound_add_sender_domain(p, STR("b.example"), &d, NULL);
	assert_false(may_send(&s, p, &client, &clear, STR("<a@b.example>"), WANTED, &no));
	assert_int_equal(no.code, 530);
	assert_non_null(strstr(no.text, "mail from b.example"));
	policy_inbound_unref(&p);
}

static void replies_are_one_line_of_ascii(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand d = { .minimum_bits = 256 };
	struct policy_inbound_refusal no;
	struct milter_client client = from("192.0.2.9");
	struct milter_facts f = session("TLSv1.2", "bad\r\n\x80", "128", NULL);
	policy_inbound_add_sender_domain(p, STR("*"), &d, NULL);
	assert_false(may_send(&settings, p, &client, &f,
		STR("<a@evil\r\n250 ok\xc3\xa4>"), NONE, &no));
	for (const char *c = no.text; *c; c++)
		assert_true(*c >= ' ' && *c < 0x7f);
	policy_inbound_unref(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(E1_demands_by_the_table),
		cmocka_unit_test(P2_sendmail_certificates_count_when_verified),
		cmocka_unit_test(E1_one_recipient_is_refused_the_others_are_kept),
		cmocka_unit_test(E1_clients_by_address_and_by_name),
		cmocka_unit_test(P9_daemons_by_name_and_port),
		cmocka_unit_test(E4_modes_soften_and_the_strictest_wins),
		cmocka_unit_test(E1_requiretls_is_for_tls_only),
		cmocka_unit_test(replies_are_one_line_of_ascii),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
