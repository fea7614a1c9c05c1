#include "libtlsio/tlsio_certstore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

static struct fake_ca *ca;
static struct fake_ca *below;

static int set_up(void **state)
{
	(void)state;
	ca = fake_ca_new("root");
	below = fake_ca_intermediate(ca, "below");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_ca_free(&below);
	fake_ca_free(&ca);
	return 0;
}

static int add(struct tlsio_certstore_builder *b, const struct fake_leaf *leaf, struct err *err)
{
	return tlsio_certstore_builder_add(
		b, "chain.pem", str_of(leaf->chain_pem), "key.pem", str_of(leaf->key_pem), err);
}

static void add_wish(struct tlsio_certstore_builder *b, const struct fake_leaf_wishes *wishes)
{
	struct err err;
	struct fake_leaf leaf = fake_ca_issue_as(ca, wishes);
	if (add(b, &leaf, &err) < 0)
		fail_msg("%s", err.text);
	fake_leaf_clear(&leaf);
}

/* The subject a client of this SNI and these words sees. */
static void expect(struct tlsio_certstore *store, const char *server_name, const char *words,
	const char *subject)
{
	struct session_pair p;
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = {
		.server_name = server_name,
		.priority = words,
	};
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	session_pair_connect(&p, server, client);
	if (strcmp(session_pair_peer(&p, PAIR_CLIENT)->subject, subject) != 0)
		fail_msg("%s (%s): %s, not %s", server_name ? server_name : "no name",
			words ? words : "any", session_pair_peer(&p, PAIR_CLIENT)->subject,
			subject);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
}

static void T7_picks_the_chain_by_server_name(void **state)
{
	(void)state;
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	add_wish(b, &(struct fake_leaf_wishes){ .common_name = "first",
			    .names = { "mx.example.net", "mail.example.net" } });
	add_wish(b, &(struct fake_leaf_wishes){
			    .common_name = "wild", .names = { "*.example.org", "example.org" } });
	add_wish(b, &(struct fake_leaf_wishes){ .common_name = "exact",
			    .names = { "mx.example.org", "Mixed.Example.COM" } });
	add_wish(b, &(struct fake_leaf_wishes){ .common_name = "late",
			    .names = { "mx.example.net", "only-here.example.net" } });
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, NULL);
	assert_null(b);
	static const struct {
		const char *server_name, *subject;
	} cases[] = {
		{ "mx.example.net", "CN=first" }, /* the first one added wins a name */
		{ "mail.example.net", "CN=first" },
		{ "MAIL.example.NET", "CN=first" },
		{ "only-here.example.net", "CN=late" },
		{ "a.example.org", "CN=wild" },
		{ "example.org", "CN=wild" },
		{ "mx.example.org", "CN=exact" },
		{ "mixed.example.com", "CN=exact" },
		/* RFC 7672 8.1: unknown or none gets the fallback, never an abort */
		{ "a.b.example.org", "CN=first" },
		{ "unknown.example", "CN=first" },
		{ "localhost", "CN=first" },
		{ NULL, "CN=first" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect(store, cases[i].server_name, NULL, cases[i].subject);
		expect(store, cases[i].server_name, "-VERS-TLS1.3", cases[i].subject);
	}
	tlsio_certstore_unref(&store);
}

/* Words of a client that can verify RSA signatures alone. */
#define RSA_ONLY "-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256:-KX-ALL:+ECDHE-RSA"

static void gives_ecdsa_to_those_who_can_and_rsa_to_the_rest(void **state)
{
	(void)state;
	for (int rsa_first = 0; rsa_first < 2; rsa_first++) {
		struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
		for (int i = 0; i < 2; i++) {
			bool is_rsa = i != rsa_first;
			add_wish(b,
				&(struct fake_leaf_wishes){ .common_name = is_rsa ? "rsa" : "ecdsa",
					.key = is_rsa ? FAKE_RSA : FAKE_ECDSA,
					.names = { "mx.example.net" } });
		}
		struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, NULL);
		static const char *const names[] = { "mx.example.net", "unknown.example", NULL };
		for (int i = 0; i < 3; i++) {
			expect(store, names[i], NULL, "CN=ecdsa");
			expect(store, names[i], "-VERS-TLS1.3", "CN=ecdsa");
			expect(store, names[i], RSA_ONLY, "CN=rsa");
			expect(store, names[i], RSA_ONLY ":-VERS-TLS1.3", "CN=rsa");
		}
		tlsio_certstore_unref(&store);
	}
}

/* An RSA chain of another name is not mixed in. */
static void keeps_the_chains_of_different_names_apart(void **state)
{
	(void)state;
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	add_wish(b, &(struct fake_leaf_wishes){
			    .common_name = "rsa", .key = FAKE_RSA, .names = { "*.example.net" } });
	add_wish(b, &(struct fake_leaf_wishes){
			    .common_name = "ecdsa", .names = { "mx.example.org" } });
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, NULL);
	expect(store, "mx.example.net", NULL, "CN=rsa");
	expect(store, "mx.example.net", "-VERS-TLS1.3", "CN=rsa");
	expect(store, NULL, NULL, "CN=rsa");
	expect(store, "mx.example.org", NULL, "CN=ecdsa");
	tlsio_certstore_unref(&store);
}

static void serves_three_hundred_names(void **state)
{
	(void)state;
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	char name[40], subject[60];
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "mx%d.example.net", i);
		add_wish(b, &(struct fake_leaf_wishes){ .names = { name } });
	}
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, NULL);
	for (int i = 299; i >= 0; i -= 23) {
		snprintf(name, sizeof(name), "mx%d.example.net", i);
		snprintf(subject, sizeof(subject), "CN=%s", name);
		expect(store, name, NULL, subject);
	}
	expect(store, "mx300.example.net", NULL, "CN=mx0.example.net");
	tlsio_certstore_unref(&store);
}

static void sends_the_intermediates(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(below, "mx.example.net", NULL);
	struct tlsio_certstore *store = fake_leaf_certstore(&leaf);
	struct tlsio_trust *trust = fake_ca_trust(ca);
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = { .trust = trust };
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	struct session_pair p;
	session_pair_connect(&p, server, client);
	assert_int_equal(session_pair_peer(&p, PAIR_CLIENT)->chain_count, 2);
	assert_int_equal(session_pair_peer(&p, PAIR_CLIENT)->chain_faults, 0);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_trust_unref(&trust);
	tlsio_certstore_unref(&store);
	fake_leaf_clear(&leaf);
}

/* Whoever reads a refusal must know which file and what to do. */
static void refuses_what_cannot_serve(void **state)
{
	(void)state;
	struct fake_leaf good = fake_ca_issue(below, "mx.example.net", NULL);
	struct fake_leaf other = fake_ca_issue(ca, "mx.example.net", NULL);
	struct fake_leaf mute =
		fake_ca_issue_as(ca, &(struct fake_leaf_wishes){ .names = { "mx.example.net" },
					     .key = FAKE_RSA,
					     .key_usage = GNUTLS_KEY_KEY_ENCIPHERMENT });
	struct buf reversed = { 0 };
	buf_append_text(&reversed, fake_ca_pem(below));
	buf_append_text(&reversed, other.chain_pem);
	char *cut = mem_dup_bytes(good.chain_pem, strlen(good.chain_pem) / 3);
	const struct {
		const char *chain, *key, *words;
	} cases[] = {
		{ good.chain_pem, other.key_pem,
			"key.pem: the key does not belong to the "
			"certificate chain.pem" },
		{ buf_text(&reversed), other.key_pem, "chain.pem: the chain is not in order" },
		{ "", good.key_pem, "chain.pem: not a PEM certificate chain" },
		{ "garbage", good.key_pem, "chain.pem: not a PEM certificate chain" },
		{ cut, good.key_pem, "chain.pem: not a PEM certificate chain" },
		{ good.key_pem, good.key_pem, "chain.pem: not a PEM certificate chain" },
		{ good.chain_pem, "", "key.pem: not a PEM private key" },
		{ good.chain_pem, good.chain_pem, "key.pem: not a PEM private key" },
		{ mute.chain_pem, mute.key_pem, "chain.pem: its key usage lacks digitalSignature" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
		assert_int_equal(tlsio_certstore_builder_add(b, "chain.pem", str_of(cases[i].chain),
					 "key.pem", str_of(cases[i].key), &err),
			-1);
		assert_int_equal(err.kind, ERR_INPUT);
		if (!strstr(err.text, cases[i].words))
			fail_msg("%zu: %s", i, err.text);
		/* Nothing is left of it in the builder. */
		assert_null(tlsio_certstore_builder_finish(&b, &err));
		assert_string_equal(err.text, "no certificate was given");
	}
	free(cut);
	buf_release(&reversed);
	fake_leaf_clear(&mute);
	fake_leaf_clear(&other);
	fake_leaf_clear(&good);
}

static void refuses_an_encrypted_key_with_the_reason(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(ca, "mx.example.net", NULL);
	gnutls_x509_privkey_t key;
	gnutls_datum_t plain = { (unsigned char *)leaf.key_pem, (unsigned)strlen(leaf.key_pem) };
	gnutls_datum_t closed;
	struct err err;
	gnutls_x509_privkey_init(&key);
	assert_int_equal(gnutls_x509_privkey_import2(key, &plain, GNUTLS_X509_FMT_PEM, NULL, 0), 0);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, "secret",
				 GNUTLS_PKCS_PBES2_AES_256, &closed),
		0);
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	assert_int_equal(tlsio_certstore_builder_add(b, "chain.pem", str_of(leaf.chain_pem),
				 "key.pem", str_from(closed.data, closed.size), &err),
		-1);
	assert_non_null(strstr(err.text, "the key is encrypted"));
	tlsio_certstore_builder_free(&b);
	gnutls_free(closed.data);
	gnutls_x509_privkey_deinit(key);
	fake_leaf_clear(&leaf);
}

static void knows_the_soonest_expiry(void **state)
{
	(void)state;
	struct tlsio_certstore_builder *b = tlsio_certstore_builder_new();
	enum { DAY = 86400 };
	add_wish(b, &(struct fake_leaf_wishes){ .names = { "a.example" } });
	add_wish(b,
		&(struct fake_leaf_wishes){
			.names = { "b.example" }, .not_before_s = -DAY, .not_after_s = 3 * DAY });
	add_wish(b, &(struct fake_leaf_wishes){ .names = { "c.example" } });
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&b, NULL);
	int64_t left_s = tlsio_certstore_not_after_s(store) - time(NULL);
	assert_true(left_s > 3 * DAY - 60 && left_s <= 3 * DAY);
	tlsio_certstore_unref(&store);
}

/* GnuTLS does not count references; we must. */
static void lives_as_long_as_a_session_that_uses_it(void **state)
{
	(void)state;
	struct tlsio_certstore *store = fake_ca_certstore(ca, "mx.example.net");
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = { .server_name = "mx.example.net" };
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	struct session_pair p;
	session_pair_open(&p, server, client, 65536);
	/* The owner reloads before the handshake. */
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_certstore_unref(&store);
	assert_true(session_pair_handshake(&p));
	session_pair_carry(&p, PAIR_SERVER, "still there", 11);
	session_pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(T7_picks_the_chain_by_server_name),
		cmocka_unit_test(gives_ecdsa_to_those_who_can_and_rsa_to_the_rest),
		cmocka_unit_test(keeps_the_chains_of_different_names_apart),
		cmocka_unit_test(serves_three_hundred_names),
		cmocka_unit_test(sends_the_intermediates),
		cmocka_unit_test(refuses_what_cannot_serve),
		cmocka_unit_test(refuses_an_encrypted_key_with_the_reason),
		cmocka_unit_test(knows_the_soonest_expiry),
		cmocka_unit_test(lives_as_long_as_a_session_that_uses_it),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
