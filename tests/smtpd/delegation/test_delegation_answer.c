#include "smtpd/delegation/delegation_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/smtpd/delegation/make_request.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal))
#define CHANGES(...) { __VA_ARGS__, NULL }
#define OLD "encryption_protocol=TLSv1.2", "encryption_cipher=ECDHE-RSA-AES128-SHA", "encryption_keysize=128"
#define MD5 "ccert_pubkey_fingerprint=01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF"
#define OTHER "ccert_pubkey_fingerprint=00:F9:D0:31:8E:2C:EC:0C:9F:E1:C9:13:B1:1F:45:9C:EA:8D:B5:17:DD:F1:CC:C6:7E:54:58:78:FB:45:D1:B9"

static struct policy_inbound *rules;

static int make_rules(void **state)
{
	(void)state;
	static char *names[] = { TEXT("out.partner.example") };
	static struct policy_pin pin = { { 0x6e, 0xf9, 0xd0, 0x31, 0x8e, 0x2c, 0xec, 0x0c, 0x9f, 0xe1,
		0xc9, 0x13, 0xb1, 0x1f, 0x45, 0x9c, 0xea, 0x8d, 0xb5, 0x17, 0xdd, 0xf1, 0xcc, 0xc6,
		0x7e, 0x54, 0x58, 0x78, 0xfb, 0x45, 0xd1, 0xb9 } };
	const struct {
		const char *domain;
		struct policy_inbound_demand demand;
	} senders[] = {
		{ "tls.example", { .requires_tls = true } },
		{ "modern.example", { .minimum = TLSIO_TLS13 } },
		{ "bits.example", { .minimum_bits = 256 } },
		{ "named.example", { .requires_certificate = true, .names = names, .name_count = 1 } },
		{ "pinned.example", { .requires_certificate = true, .pins = &pin, .pin_count = 1 } },
		{ "any.example", { .requires_certificate = true } },
		{ "later.example", { .requires_tls = true, .mode = POLICY_INBOUND_TEMPFAIL } },
		{ "kept.example", { .requires_tls = true, .mode = POLICY_INBOUND_QUARANTINE } },
		{ "watched.example", { .requires_tls = true, .mode = POLICY_INBOUND_REPORT } },
	};
	const struct policy_inbound_demand tls = { .requires_tls = true },
					   certificate = { .requires_certificate = true },
					   watched = { .minimum = TLSIO_TLS13,
						   .mode = POLICY_INBOUND_REPORT };
	rules = policy_inbound_new();
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++)
		assert_int_equal(policy_inbound_add_sender_domain(rules, str_of(senders[i].domain),
					 &senders[i].demand, NULL), 0);
	policy_inbound_add_recipient_domain(rules, STR("secret.example"), &tls, NULL);
	policy_inbound_add_recipient_domain(rules, STR("seen.example"), &watched, NULL);
	policy_inbound_add_daemon(rules, STR("partners"), &certificate, NULL);
	policy_inbound_add_daemon(rules, STR(":465"), &tls, NULL);
	policy_inbound_add_client_name(rules, STR(".strict.example"), &tls, NULL);
	return 0;
}

static int free_rules(void **state)
{
	(void)state;
	policy_inbound_unref(&rules);
	return 0;
}

/* The answer to a request; wanted: its beginning, behind "action=". */
static void expect(size_t row, const struct inbound_settings *settings, const char *const *changes,
	const char *wanted, const char *words)
{
	struct buf text = { 0 }, answer = { 0 };
	struct delegation_request r;
	struct delegation_facts f;
	struct policy_inbound_refusal no;
	bool is_of_recipient;
	make_request(&text, changes);
	assert_int_equal(delegation_request_read(buf_str(&text), &r, NULL), 0);
	delegation_facts_read(&r, settings, &f);
	bool objects = delegation_answer_objects(rules, &r, &f, &no, &is_of_recipient);
	delegation_answer_write(objects ? &no : NULL, &answer);
	struct str a = buf_str(&answer);
	char action[80];
	str_copy(str_of("action="), action, sizeof(action));
	str_copy(str_of(wanted), action + 7, sizeof(action) - 7);
	if (!str_starts(a, str_of(action)) || !strstr(buf_text(&answer), words))
		fail_msg("row %zu: %s", row, buf_text(&answer));
	/* one line, an empty one, nothing else */
	assert_int_equal(str_find(a, '\n'), a.length - 2);
	assert_int_equal(a.at[a.length - 1], '\n');
	for (size_t i = 0; i + 2 < a.length; i++)
		assert_true(a.at[i] >= ' ' && a.at[i] < 0x7f);
	buf_release(&text);
	buf_release(&answer);
}

static void E1_E4_requests_and_their_answers(void **state)
{
	(void)state;
	static const struct inbound_settings settings = { .mode = POLICY_INBOUND_REJECT };
	static const struct {
		const char *changes[12];
		const char *action, *words;
	} rows[] = {
		{ CHANGES("sender=a@other.example"), "DUNNO\n", "" },
		{ CHANGES("sender="), "DUNNO\n", "" },
		{ CHANGES("sender=a@tls.example"), "530 5.7.0 Must issue a STARTTLS command first",
			"mail from tls.example" },
		{ CHANGES("sender=a@tls.example", MAKE_REQUEST_TLS), "DUNNO\n", "" },
		{ CHANGES("sender=a@tls.example", OLD), "DUNNO\n", "" },
		{ CHANGES("sender=a@tls.example", OLD, "encryption_protocol=TLSv1.1"),
			"554 5.7.0 ", "demands TLS1.2 and you speak TLS1.1" },
		{ CHANGES("sender=a@modern.example"), "530 5.7.0 ", "STARTTLS" },
		{ CHANGES("sender=a@modern.example", OLD), "554 5.7.0 ", "demands TLS1.3" },
		{ CHANGES("sender=a@modern.example", MAKE_REQUEST_TLS), "DUNNO\n", "" },
		{ CHANGES("sender=a@bits.example", OLD), "554 5.7.0 ", "has 128: offer a stronger one" },
		{ CHANGES("sender=a@bits.example", MAKE_REQUEST_TLS), "DUNNO\n", "" },
		/* by name: only of a certificate that Postfix verified */
		{ CHANGES("sender=a@named.example", MAKE_REQUEST_TLS), "554 5.7.1 ", "showed none" },
		{ CHANGES("sender=a@named.example", MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED),
			"554 5.7.1 ", "yours is not accepted: no authority that we trust" },
		{ CHANGES("sender=a@named.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED),
			"DUNNO\n", "" },
		{ CHANGES("sender=a@named.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED,
			  "ccert_subject=50%25off%s%n.example"), "554 5.7.1 ",
			"yours is for [50%25off%s%n.example]" },
		{ CHANGES("sender=a@named.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED,
			  "ccert_subject=out.partner.example+0Aaction=OK"), "554 5.7.1 ", "another" },
		/* by key: of any certificate, by SHA-256 alone */
		{ CHANGES("sender=a@pinned.example"), "530 5.7.0 ", "STARTTLS" },
		{ CHANGES("sender=a@pinned.example", MAKE_REQUEST_TLS), "554 5.7.1 ", "showed none" },
		{ CHANGES("sender=a@pinned.example", MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED),
			"DUNNO\n", "" },
		{ CHANGES("sender=a@pinned.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, OTHER),
			"554 5.7.1 ", "demands another client certificate (its key)" },
		{ CHANGES("sender=a@pinned.example", MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED, OTHER),
			"554 5.7.1 ", "yours is not accepted" },
		{ CHANGES("sender=a@pinned.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, MD5),
			"554 5.7.1 ", "smtpd_tls_fingerprint_digest = sha256" },
		{ CHANGES("sender=a@any.example", MAKE_REQUEST_TLS, MAKE_REQUEST_VERIFIED, MD5),
			"DUNNO\n", "" },
		{ CHANGES("sender=a@any.example", MAKE_REQUEST_TLS, MAKE_REQUEST_UNVERIFIED),
			"554 5.7.1 ", "not accepted" },
		/* modes */
		{ CHANGES("sender=a@later.example"), "451 4.7.0 Must issue", "" },
		{ CHANGES("sender=a@kept.example"), "HOLD Must issue", "" },
		{ CHANGES("sender=a@watched.example"), "WARN Must issue", "" },
		/* recipients, alone and with the sender's rule: the strictest mode decides */
		{ CHANGES("recipient=x@secret.example"), "530 5.7.0 ", "mail to secret.example" },
		{ CHANGES("recipient=x@secret.example", OLD), "DUNNO\n", "" },
		{ CHANGES("sender=a@watched.example", "recipient=x@secret.example"), "530 5.7.0 ",
			"mail to secret.example" },
		{ CHANGES("sender=a@later.example", "recipient=x@seen.example"), "451 4.7.0 ",
			"mail from later.example" },
		{ CHANGES("sender=a@watched.example", "recipient=x@seen.example"), "WARN ",
			"mail from watched.example" },
		{ CHANGES("recipient=x@seen.example", OLD), "WARN ", "TLS1.3" },
		{ CHANGES("recipient=", "sender=a@b.example"), "DUNNO\n", "" },
		/* services and clients */
		{ CHANGES("policy_context=partners", MAKE_REQUEST_TLS), "554 5.7.1 ",
			"our service partners" },
		{ CHANGES("server_port=465"), "530 5.7.0 ", "our port 465" },
		{ CHANGES("client_name=mx.strict.example"), "530 5.7.0 ", "the client" },
		{ CHANGES("client_name=unknown", "reverse_client_name=mx.strict.example"), "DUNNO\n", "" },
		{ CHANGES("client_name=mx.strict.example", "sender="), "530 5.7.0 ", "the client" },
		/* stages */
		{ CHANGES("protocol_state=CONNECT", "server_port=465", "sender=", "recipient="),
			"DUNNO\n", "" },
		{ CHANGES("protocol_state=EHLO", "server_port=465", "sender=", "recipient="),
			"DUNNO\n", "" },
		{ CHANGES("protocol_state=HELO", "server_port=465", "sender=", "recipient="),
			"DUNNO\n", "" },
		{ CHANGES("protocol_state=MAIL", "sender=a@tls.example", "recipient="), "530 5.7.0 ",
			"" },
		{ CHANGES("protocol_state=MAIL", "recipient=x@secret.example"), "DUNNO\n", "" },
		{ CHANGES("protocol_state=DATA", "sender=a@tls.example", "recipient="), "530 5.7.0 ",
			"" },
		{ CHANGES("protocol_state=END-OF-MESSAGE", "recipient=x@secret.example"), "530 5.7.0 ",
			"" },
		{ CHANGES("protocol_state=VRFY", "recipient=x@secret.example"), "DUNNO\n", "" },
		{ CHANGES("protocol_state=ETRN", "sender=a@tls.example"), "DUNNO\n", "" },
		/* words of strangers */
		{ CHANGES("sender=a@tls.example\xc3\xa4 ok"), "DUNNO\n", "" },
		{ CHANGES("sender=a@modern.example", OLD, "encryption_protocol=TLSv9\xff"),
			"554 5.7.0 ", "an unknown version" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(i, &settings, rows[i].changes, rows[i].action, rows[i].words);
}

static void P9_exemptions_and_the_mode_of_the_section(void **state)
{
	(void)state;
	struct netaddr_net net;
	char *daemons[] = { TEXT("reinject"), TEXT(":10025") };
	assert_int_equal(netaddr_net_parse(STR("192.0.2.0/24"), &net, NULL), 0);
	const struct inbound_settings by_net = { .mode = POLICY_INBOUND_REJECT, .exempt = &net,
		.exempt_count = 1 };
	const struct inbound_settings by_daemon = { .mode = POLICY_INBOUND_QUARANTINE,
		.exempt_daemons = daemons, .exempt_daemon_count = 2 };
	const struct {
		const struct inbound_settings *settings;
		const char *changes[4];
		const char *action;
	} rows[] = {
		{ &by_net, CHANGES("sender=a@tls.example"), "DUNNO\n" },
		{ &by_net, CHANGES("sender=a@tls.example", "client_address=198.51.100.1"), "530 " },
		{ &by_daemon, CHANGES("sender=a@tls.example"), "HOLD " },
		{ &by_daemon, CHANGES("sender=a@tls.example", "policy_context=reinject"), "DUNNO\n" },
		{ &by_daemon, CHANGES("sender=a@tls.example", "server_port=10025"), "DUNNO\n" },
		{ &by_daemon, CHANGES("sender=a@later.example"), "451 " },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(i, rows[i].settings, rows[i].changes, rows[i].action, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(E1_E4_requests_and_their_answers),
		cmocka_unit_test(P9_exemptions_and_the_mode_of_the_section),
	};
	return cmocka_run_group_tests(tests, make_rules, free_rules);
}
