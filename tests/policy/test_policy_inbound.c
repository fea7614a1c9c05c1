#include "policy/policy_inbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_cipher.h"
#include "tests/policy/make_peer.h"

static struct made root, leaf, bare_leaf;
static struct made_peer client, nameless, bare;
static struct policy_pin client_pin;

static int make_world(void **state)
{
	(void)state;
	static const char *const names[] = { "out.partner.example", "*.pool.partner.example", NULL };
	root = make_certificate("root", NULL, true, NULL);
	leaf = make_certificate("cn.partner.example", names, false, &root);
	bare_leaf = make_certificate("nameless", NULL, false, &root);
	make_peer(&client, (const struct made *[]){ &leaf, &root }, 2);
	make_peer(&nameless, (const struct made *[]){ &bare_leaf }, 1);
	make_peer(&bare, NULL, 0);
	memcpy(client_pin.spki_sha256, client.chain[0].spki_sha256, 32);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	free_peer(&client);
	free_peer(&nameless);
	free_peer(&bare);
	free_certificate(&root);
	free_certificate(&leaf);
	free_certificate(&bare_leaf);
	return 0;
}

static struct netaddr address(const char *text)
{
	struct netaddr a;
	assert_int_equal(netaddr_parse(str_of(text), 25, &a, NULL), 0);
	return a;
}

static struct policy_inbound_client network(const char *text)
{
	struct policy_inbound_client c = { 0 };
	struct err err = { 0 };
	if (netaddr_net_parse(str_of(text), &c.net, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static bool may_relay(const struct policy_inbound *p, const char *from, const struct tlsio_peer *peer)
{
	struct netaddr a = address(from);
	return policy_inbound_may_relay(p, &a, peer);
}

static bool may_send(const struct policy_inbound *p, const struct netaddr *from,
	const struct tlsio_peer *peer, struct str domain, struct policy_inbound_refusal *ret)
{
	struct policy_inbound_facts facts;
	policy_inbound_facts_of_peer(from, peer, &facts);
	return policy_inbound_may_send(p, &facts, domain, ret);
}

static void longest_network_decides_who_may_relay(void **state)
{
	(void)state;
	static const struct {
		const char *net;
		bool relay;
	} nets[] = {
		{ "192.0.2.0/24", true },
		{ "192.0.2.128/25", false },
		{ "192.0.2.200", true },
		{ "0.0.0.0/0", false },
		{ "2001:db8::/32", true },
		{ "2001:db8:1::/48", false },
		{ "::/0", false },
	};
	struct policy_inbound *p = policy_inbound_new();
	assert_false(may_relay(p, "192.0.2.1", NULL));
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		struct policy_inbound_client c = network(nets[i].net);
		c.may_relay = nets[i].relay;
		c.no_tickets = nets[i].relay;
		assert_int_equal(policy_inbound_add_client(p, &c, NULL), 0);
		struct err err = { 0 };
		assert_int_equal(policy_inbound_add_client(p, &c, &err), -1);
		assert_non_null(strstr(err.text, "already"));
	}
	static const struct {
		const char *from;
		bool relay;
	} rows[] = {
		{ "192.0.2.1", true },
		{ "192.0.2.127:40000", true },
		{ "192.0.2.128", false },
		{ "192.0.2.200", true },
		{ "192.0.2.201", false },
		{ "192.0.3.1", false },
		{ "::ffff:192.0.2.1", true },
		{ "2001:db8::1", true },
		{ "2001:db8:1::1", false },
		{ "2001:db9::1", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct netaddr a = address(rows[i].from);
		if (policy_inbound_may_relay(p, &a, NULL) != rows[i].relay)
			fail_msg("%s", rows[i].from);
		assert_int_equal(policy_inbound_issues_tickets(p, &a), !rows[i].relay);
	}
	struct netaddr nowhere = { .family = NETADDR_UNIX };
	assert_false(policy_inbound_may_relay(p, &nowhere, NULL));
	assert_true(policy_inbound_issues_tickets(p, &nowhere));
	policy_inbound_unref(&p);
}

static void is_never_an_open_relay(void **state)
{
	(void)state;
	static const char *const everybody[] = { "0.0.0.0/0", "::/0" };
	struct policy_inbound *p = policy_inbound_new();
	for (size_t i = 0; i < 2; i++) {
		struct policy_inbound_client c = network(everybody[i]);
		c.may_relay = true;
		struct err err = { 0 };
		assert_int_equal(policy_inbound_add_client(p, &c, &err), -1);
		assert_non_null(strstr(err.text, "open relay"));
	}
	assert_false(may_relay(p, "192.0.2.1", NULL));
	assert_false(may_relay(p, "192.0.2.1", &client.peer));
	policy_inbound_unref(&p);
}

static void a_verified_certificate_may_relay_by_name(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	policy_inbound_add_relay_name(p, "other.example");
	policy_inbound_add_relay_name(p, "OUT.partner.example");
	assert_true(may_relay(p, "192.0.2.1", &client.peer));
	assert_false(may_relay(p, "192.0.2.1", NULL));
	assert_false(may_relay(p, "192.0.2.1", &bare.peer));
	for (unsigned fault = 1; fault <= TLSIO_CHAIN_UNCHECKED; fault <<= 1) {
		struct tlsio_peer peer = client.peer;
		peer.chain_faults = fault;
		peer.matched_name = "out.partner.example"; /* a client's word; means nothing here */
		assert_false(may_relay(p, "192.0.2.1", &peer));
	}
	struct tlsio_peer forged = bare.peer;
	forged.chain_faults = 0;
	assert_false(may_relay(p, "192.0.2.1", &forged));
	policy_inbound_unref(&p);
}

static void names_of_a_certificate_match_as_rfc_9525_says(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool matches;
	} rows[] = {
		{ "out.partner.example", true },
		{ "Out.Partner.Example", true },
		{ "a.pool.partner.example", true },
		{ "a.b.pool.partner.example", false },
		{ "pool.partner.example", false },
		{ ".partner.example", true },
		{ ".example", true },
		{ ".out.partner.example", false },
		{ "partner.example", false },
		{ "cn.partner.example", false }, /* CN is no name (RFC 9525 section 2) */
		{ "", false },
		{ "*", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (tlsio_peer_has_name(&client.peer, rows[i].name) != rows[i].matches)
			fail_msg("%s", rows[i].name);
		assert_false(tlsio_peer_has_name(&nameless.peer, rows[i].name));
		assert_false(tlsio_peer_has_name(&bare.peer, rows[i].name));
	}
	char text[100];
	assert_string_equal(tlsio_peer_names_text(&client.peer, text, sizeof(text)),
		"out.partner.example, *.pool.partner.example");
	assert_string_equal(tlsio_peer_names_text(&bare.peer, text, sizeof(text)), "");
	tlsio_peer_names_text(&client.peer, text, 45);
	assert_string_equal(text, "out.partner.example and 1 more");
}

static void a_pinned_key_may_relay_whoever_signed(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_pin wrong = { { 1 } }, authority;
	memcpy(authority.spki_sha256, client.chain[1].spki_sha256, 32);
	policy_inbound_add_relay_pin(p, &wrong);
	policy_inbound_add_relay_pin(p, &authority); /* an issuer's key is no client's key */
	assert_false(may_relay(p, "192.0.2.1", &client.peer));
	policy_inbound_add_relay_pin(p, &client_pin);
	struct tlsio_peer peer = client.peer;
	peer.chain_faults = TLSIO_CHAIN_UNTRUSTED;
	assert_true(may_relay(p, "192.0.2.1", &peer));
	assert_false(may_relay(p, "192.0.2.1", &nameless.peer));
	assert_false(may_relay(p, "192.0.2.1", &bare.peer));
	policy_inbound_unref(&p);
}

static void demands_are_judged_by_the_table(void **state)
{
	(void)state;
	static char *names[] = { (char *)(uintptr_t) "out.partner.example" };
	static char *other_names[] = { (char *)(uintptr_t) "x.example" };
	struct policy_pin wrong_pin = { { 1 } };
	struct tlsio_peer old = client.peer, untrusted = client.peer;
	old.version = TLSIO_TLS12;
	untrusted.chain_faults = TLSIO_CHAIN_UNTRUSTED;
	const struct {
		struct policy_inbound_demand demand;
		const struct tlsio_peer *peer;
		int code; /* 0: may send */
		const char *words;
	} rows[] = {
		{ { 0 }, NULL, 0, NULL },
		{ { .requires_tls = true }, NULL, 530, "STARTTLS command first" },
		{ { .requires_tls = true }, &bare.peer, 0, NULL },
		{ { .minimum = TLSIO_TLS13 }, NULL, 530, "STARTTLS command first" },
		{ { .minimum = TLSIO_TLS13 }, &old, 554, "demands TLS1.3 and you speak TLS1.2" },
		{ { .minimum = TLSIO_TLS13 }, &client.peer, 0, NULL },
		{ { .requires_certificate = true }, NULL, 530, "STARTTLS command first" },
		{ { .requires_certificate = true }, &bare.peer, 554, "you showed none" },
		{ { .requires_certificate = true }, &untrusted, 554, "not accepted" },
		{ { .requires_certificate = true }, &client.peer, 0, NULL },
		{ { .requires_certificate = true, .names = names, .name_count = 1 }, &client.peer, 0,
			NULL },
		{ { .requires_certificate = true, .names = names, .name_count = 1 }, &untrusted, 554,
			"not accepted" },
		{ { .requires_certificate = true, .names = other_names, .name_count = 1 },
			&client.peer, 554, "yours is for [out.partner.example" },
		{ { .requires_certificate = true, .pins = &client_pin, .pin_count = 1 }, &untrusted,
			0, NULL },
		{ { .requires_certificate = true, .pins = &wrong_pin, .pin_count = 1 }, &client.peer,
			554, "(its key)" },
		{ { .requires_certificate = true, .names = names, .name_count = 1,
			  .pins = &wrong_pin, .pin_count = 1 },
			&client.peer, 0, NULL },
	};
	struct netaddr inside = address("192.0.2.9"), outside = address("198.51.100.9");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* once as the rule of a network, once as the rule of a sender domain */
		for (int as_domain = 0; as_domain < 2; as_domain++) {
			struct policy_inbound *p = policy_inbound_new();
			struct policy_inbound_client c = network("192.0.2.0/24");
			c.demand = rows[i].demand;
			if (as_domain)
				assert_int_equal(policy_inbound_add_sender_domain(p,
							 STR(".partner.example"),
							 &rows[i].demand, NULL), 0);
			else
				assert_int_equal(policy_inbound_add_client(p, &c, NULL), 0);
			struct policy_inbound_refusal no = { 0 };
			bool may = may_send(p, &inside, rows[i].peer,
				STR("Mail.Partner.example"), &no);
			if (may != (rows[i].code == 0) || no.code != rows[i].code)
				fail_msg("row %zu: %d %s", i, no.code, no.text);
			if (!may) {
				assert_int_equal(no.enhanced[0], '5');
				if (!strstr(no.text, rows[i].words))
					fail_msg("row %zu: %s", i, no.text);
				const char *whose = as_domain ? "mail from Mail.Partner.example"
							      : "clients in 192.0.2.0/24";
				assert_non_null(strstr(no.text, whose));
			}
			/* the others are left alone */
			assert_true(may_send(p, as_domain ? &inside : &outside, NULL,
				as_domain ? STR("partner.example") : STR("mail.partner.example"),
				&no));
			policy_inbound_unref(&p);
		}
	}
}

static void both_rules_must_be_met(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_client c = network("192.0.2.0/24");
	c.demand.requires_tls = true;
	struct policy_inbound_demand d = { .minimum = TLSIO_TLS13 };
	assert_int_equal(policy_inbound_add_client(p, &c, NULL), 0);
	assert_int_equal(policy_inbound_add_sender_domain(p, STR("example.org"), &d, NULL), 0);
	struct err err = { 0 };
	assert_int_equal(policy_inbound_add_sender_domain(p, STR("EXAMPLE.org."), &d, &err), -1);
	assert_non_null(strstr(err.text, "already"));
	assert_int_equal(policy_inbound_add_sender_domain(p, STR("a b"), &d, NULL), -1);
	struct netaddr a = address("192.0.2.9");
	struct tlsio_peer old = client.peer;
	old.version = TLSIO_TLS12;
	struct policy_inbound_refusal no;
	assert_false(may_send(p, &a, NULL, STR("example.com"), &no));
	assert_int_equal(no.code, 530);
	assert_true(may_send(p, &a, &old, STR("example.com"), &no));
	assert_false(may_send(p, &a, &old, STR("example.org"), &no));
	assert_int_equal(no.code, 554);
	assert_true(may_send(p, &a, &client.peer, STR("example.org"), &no));
	policy_inbound_unref(&p);
}

static void the_null_sender_meets_only_the_rule_of_its_network(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand d = { .requires_tls = true };
	assert_int_equal(policy_inbound_add_sender_domain(p, STR("*"), &d, NULL), 0);
	struct netaddr a = address("192.0.2.9");
	struct policy_inbound_refusal no;
	assert_true(may_send(p, &a, NULL, STR(""), &no));
	assert_false(may_send(p, &a, NULL, STR("x.example"), &no));
	/* what is no domain name does not slip past the general rule */
	assert_false(may_send(p, &a, NULL, STR("[192.0.2.9]"), &no));
	assert_false(may_send(p, &a, NULL, STR("a\r\n..b\x80"), &no));
	assert_null(strpbrk(no.text, "\r\n\x80"));
	policy_inbound_unref(&p);
}

static void finds_one_of_many_networks(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	char text[40];
	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.%d.%d.0/24", i / 256, i % 256);
		struct policy_inbound_client c = network(text);
		c.may_relay = i % 2;
		assert_int_equal(policy_inbound_add_client(p, &c, NULL), 0);
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.%d.%d.77", i / 256, i % 256);
		assert_int_equal(may_relay(p, text, NULL), i % 2);
	}
	struct policy_inbound *second = policy_inbound_ref(p);
	policy_inbound_unref(&p);
	assert_true(may_relay(second, "10.0.1.5", NULL));
	policy_inbound_unref(&second);
	policy_inbound_unref(&second);
}

static void a_server_of_ours_knows_its_ciphers(void **state)
{
	(void)state;
	static char *gcm[] = { (char *)(uintptr_t) "*GCM*" }, *none[] = { (char *)(uintptr_t) "*128*" };
	const struct {
		struct policy_inbound_demand demand;
		uint16_t suite;
		bool may;
	} rows[] = {
		{ { .minimum_bits = 256 }, 0x1302, true },
		{ { .minimum_bits = 256 }, 0x1301, false },
		{ { .minimum_bits = 256 }, 0xffff, false },
		{ { .ciphers = gcm, .cipher_count = 1 }, 0x1302, true },
		{ { .ciphers = gcm, .cipher_count = 1 }, 0x1303, false },
		{ { .refused_ciphers = none, .refused_cipher_count = 1 }, 0x1302, true },
		{ { .refused_ciphers = none, .refused_cipher_count = 1 }, 0x1301, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_inbound *p = policy_inbound_new();
		struct policy_inbound_refusal no;
		struct tlsio_peer peer = bare.peer;
		struct netaddr a = address("192.0.2.9");
		const struct policy_cipher *c = policy_cipher_of_id(rows[i].suite);
		peer.suite_id = rows[i].suite;
		peer.suite = c ? c->name : "TLS_NEW";
		policy_inbound_add_sender_domain(p, STR("*"), &rows[i].demand, NULL);
		if (may_send(p, &a, &peer, STR("x.example"), &no) != rows[i].may)
			fail_msg("row %zu", i);
		policy_inbound_unref(&p);
	}
}

/* Postfix tells of the key what it is, and of the certificate only whether it was verified. */
static void a_key_is_enough_where_a_door_sees_no_chain(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_pin pin = client_pin;
	struct policy_inbound_demand d = { .requires_certificate = true, .pins = &pin, .pin_count = 1 };
	struct policy_inbound_refusal no;
	uint8_t other[32] = { 1 };
	struct policy_inbound_facts f = { .has_tls = true, .version = TLSIO_TLS13,
		.certificate = POLICY_INBOUND_CERTIFICATE_UNVERIFIED, .key_sha256 = pin.spki_sha256,
		.certificate_fault = STR("nobody signed it") };
	policy_inbound_add_sender_domain(p, STR("*"), &d, NULL);
	assert_true(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	f.key_sha256 = other;
	assert_false(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	assert_non_null(strstr(no.text, "nobody signed it"));
	f.certificate = POLICY_INBOUND_CERTIFICATE_VERIFIED;
	assert_false(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	assert_non_null(strstr(no.text, "another client certificate (its key)"));
	f.key_sha256 = NULL;
	f.key_fault = STR("nobody told us\n");
	assert_false(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	assert_string_equal(no.text, "Our rule for mail from x.example demands a client certificate by its "
		"key: nobody told us?");
	/* a key is nothing without TLS, and a fault no matter where no key is asked for */
	f.has_tls = false;
	f.key_sha256 = pin.spki_sha256;
	assert_false(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	assert_int_equal(no.code, 530);
	policy_inbound_unref(&p);
	p = policy_inbound_new();
	d.pin_count = 0;
	policy_inbound_add_sender_domain(p, STR("*"), &d, NULL);
	f.has_tls = true;
	f.key_sha256 = NULL;
	assert_true(policy_inbound_may_send(p, &f, STR("x.example"), &no));
	policy_inbound_unref(&p);
}

static void recipients_have_rules_of_their_own(void **state)
{
	(void)state;
	struct policy_inbound *p = policy_inbound_new();
	struct policy_inbound_demand d = { .requires_tls = true, .mode = POLICY_INBOUND_TEMPFAIL };
	struct policy_inbound_facts facts;
	struct policy_inbound_refusal no;
	struct netaddr a = address("192.0.2.9");
	assert_false(policy_inbound_has_recipients(p));
	assert_int_equal(policy_inbound_add_recipient_domain(p, STR("bank.example"), &d, NULL), 0);
	assert_true(policy_inbound_has_recipients(p));
	assert_int_equal(policy_inbound_add_recipient_domain(p, STR("Bank.Example."), &d, NULL), -1);
	policy_inbound_facts_of_peer(&a, NULL, &facts);
	assert_true(policy_inbound_may_send(p, &facts, STR("bank.example"), &no));
	assert_true(policy_inbound_may_receive(p, &facts, STR("other.example"), &no));
	assert_true(policy_inbound_may_receive(p, &facts, STR(""), &no));
	assert_false(policy_inbound_may_receive(p, &facts, STR("bank.example"), &no));
	assert_int_equal(no.code, 451);
	assert_string_equal(no.enhanced, "4.7.0");
	assert_int_equal(no.mode, POLICY_INBOUND_TEMPFAIL);
	policy_inbound_facts_of_peer(&a, &bare.peer, &facts);
	assert_true(policy_inbound_may_receive(p, &facts, STR("bank.example"), &no));
	policy_inbound_unref(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_network_decides_who_may_relay),
		cmocka_unit_test(is_never_an_open_relay),
		cmocka_unit_test(a_verified_certificate_may_relay_by_name),
		cmocka_unit_test(names_of_a_certificate_match_as_rfc_9525_says),
		cmocka_unit_test(a_pinned_key_may_relay_whoever_signed),
		cmocka_unit_test(demands_are_judged_by_the_table),
		cmocka_unit_test(both_rules_must_be_met),
		cmocka_unit_test(the_null_sender_meets_only_the_rule_of_its_network),
		cmocka_unit_test(finds_one_of_many_networks),
		cmocka_unit_test(a_server_of_ours_knows_its_ciphers),
		cmocka_unit_test(a_key_is_enough_where_a_door_sees_no_chain),
		cmocka_unit_test(recipients_have_rules_of_their_own),
	};
	return cmocka_run_group_tests(tests, make_world, free_world);
}
