#include "libtlsio/tlsio_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libtlsio/tlsio_digest.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

enum issuer { ROOT, BELOW, BELOW_TWICE, IMPOSTOR, EXPIRED_BELOW, STRANGER, ISSUERS };

static struct fake_ca *cas[ISSUERS];
static struct tlsio_trust *trust;

static int set_up(void **state)
{
	(void)state;
	cas[ROOT] = fake_ca_new("root");
	cas[BELOW] = fake_ca_intermediate(cas[ROOT], "below");
	cas[BELOW_TWICE] = fake_ca_intermediate(cas[BELOW], "below twice");
	cas[IMPOSTOR] = fake_ca_impostor(cas[ROOT], "no authority");
	cas[EXPIRED_BELOW] = fake_ca_expired_intermediate(cas[ROOT], "expired");
	cas[STRANGER] = fake_ca_new("stranger");
	trust = fake_ca_trust(cas[ROOT]);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_trust_unref(&trust);
	for (int i = ISSUERS; i-- > 0;)
		fake_ca_free(&cas[i]);
	return 0;
}

/* A client of these names meets a server with this leaf. The peer is the client's view. */
static const struct tlsio_peer *meet(struct session_pair *p, const struct fake_leaf *leaf,
	struct tlsio_trust *client_trust, const char *const *names, size_t name_count)
{
	struct tlsio_certstore *store = fake_leaf_certstore(leaf);
	struct tlsio_server_wishes server_wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = {
		.server_name = "mx.example.net",
		.names = names,
		.name_count = name_count,
		.trust = client_trust,
	};
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	session_pair_connect(p, server, client);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_certstore_unref(&store);
	return session_pair_peer(p, PAIR_CLIENT);
}

enum { DAY = 86400 };
#define MX .names = { "mx.example.net" }

static const struct {
	const char *what;
	enum issuer issuer;
	struct fake_leaf_wishes leaf;
	unsigned faults;
	size_t chain_count;
} fault_cases[] = {
	{ "good", ROOT, { MX }, 0, 1 },
	{ "good, RSA", ROOT, { MX, .key = FAKE_RSA }, 0, 1 },
	{ "good, Ed25519", ROOT, { MX, .key = FAKE_ED25519 }, 0, 1 },
	{ "good, one intermediate", BELOW, { MX }, 0, 2 },
	{ "good, two intermediates", BELOW_TWICE, { MX }, 0, 3 },
	{ "server purpose alone", ROOT, { MX, .purpose = GNUTLS_KP_TLS_WWW_SERVER }, 0, 1 },
	{ "any purpose", ROOT, { MX, .purpose = GNUTLS_KP_ANY }, 0, 1 },
	{ "unknown authority", STRANGER, { MX }, TLSIO_CHAIN_UNTRUSTED, 1 },
	{ "self-signed", ROOT, { MX, .is_self_signed = true }, TLSIO_CHAIN_UNTRUSTED, 1 },
	{ "expired", ROOT, { MX, .not_before_s = -9 * DAY, .not_after_s = -DAY },
		TLSIO_CHAIN_EXPIRED, 1 },
	{ "not yet valid", ROOT, { MX, .not_before_s = DAY, .not_after_s = 9 * DAY },
		TLSIO_CHAIN_NOT_YET_VALID, 1 },
	{ "expired and unknown authority", STRANGER,
		{ MX, .not_before_s = -9 * DAY, .not_after_s = -DAY },
		TLSIO_CHAIN_EXPIRED | TLSIO_CHAIN_UNTRUSTED, 1 },
	{ "expired intermediate", EXPIRED_BELOW, { MX }, TLSIO_CHAIN_EXPIRED, 2 },
	{ "client purpose alone", ROOT, { MX, .purpose = GNUTLS_KP_TLS_WWW_CLIENT },
		TLSIO_CHAIN_WRONG_PURPOSE, 1 },
	{ "mail signing purpose, unknown authority", STRANGER,
		{ MX, .purpose = GNUTLS_KP_EMAIL_PROTECTION },
		TLSIO_CHAIN_WRONG_PURPOSE | TLSIO_CHAIN_UNTRUSTED, 1 },
	{ "issuer is no authority", IMPOSTOR, { MX }, TLSIO_CHAIN_BROKEN, 2 },
	{ "RSA of 1024 bits", ROOT, { MX, .key = FAKE_RSA_1024 }, TLSIO_CHAIN_WEAK, 1 },
	{ "SHA-1 signature", ROOT, { MX, .is_sha1_signed = true }, TLSIO_CHAIN_WEAK, 1 },
};

static const struct {
	const char *san[4];
	const char *common_name;
	const char *wanted;
	bool matches;
	bool has_dns_names;
} name_cases[] = {
	{ { "mx.example.net" }, NULL, "mx.example.net", true, true },
	{ { "MX.Example.NET" }, NULL, "mx.example.net", true, true },
	{ { "mx.example.net" }, NULL, "MX.EXAMPLE.NET.", true, true },
	{ { "a.example", "b.example", "mx.example.net" }, NULL, "mx.example.net", true, true },
	{ { "mx.example.net" }, NULL, "mx2.example.net", false, true },
	{ { "mx.example.net" }, NULL, "example.net", false, true },
	{ { "example.net" }, NULL, "mx.example.net", false, true },
	{ { "mx.example.net" }, NULL, "xmx.example.net", false, true },
	/* RFC 9525 6.3: the common name is no name */
	{ { NULL }, "mx.example.net", "mx.example.net", false, false },
	{ { "other.example" }, "mx.example.net", "mx.example.net", false, true },
	/* a wildcard is the whole left-most label and stands for exactly one */
	{ { "*.example.net" }, NULL, "mx.example.net", true, true },
	{ { "*.example.net" }, NULL, "a.mx.example.net", false, true },
	{ { "*.example.net" }, NULL, "example.net", false, true },
	{ { "m*.example.net" }, NULL, "mx.example.net", false, true },
	{ { "*x.example.net" }, NULL, "mx.example.net", false, true },
	{ { "mx.*.net" }, NULL, "mx.example.net", false, true },
	{ { "*.*.net" }, NULL, "mx.example.net", false, true },
	{ { "*" }, NULL, "mx.example.net", false, true },
	{ { "*.net" }, NULL, "mx.example.net", false, true },
	/* ".example.net": any host below */
	{ { "mx.example.net" }, NULL, ".example.net", true, true },
	{ { "a.b.example.net" }, NULL, ".example.net", true, true },
	{ { "*.example.net" }, NULL, ".example.net", true, true },
	{ { "*.b.example.net" }, NULL, ".example.net", true, true },
	{ { "example.net" }, NULL, ".example.net", false, true },
	{ { "badexample.net" }, NULL, ".example.net", false, true },
	{ { "*.net" }, NULL, ".example.net", false, true },
	{ { "mx.example.net" }, NULL, ".", false, true },
	{ { "mx.example.net" }, NULL, "", false, true },
	/* IDNA: A-labels compare as they are */
	{ { "xn--bcher-kva.example" }, NULL, "xn--bcher-kva.example", true, true },
};

static void finds_every_fault_of_a_chain(void **state)
{
	(void)state;
	static const char *const names[] = { "mx.example.net" };
	for (size_t i = 0; i < sizeof(fault_cases) / sizeof(fault_cases[0]); i++) {
		struct fake_leaf leaf =
			fake_ca_issue_as(cas[fault_cases[i].issuer], &fault_cases[i].leaf);
		struct session_pair p;
		const struct tlsio_peer *seen = meet(&p, &leaf, trust, names, 1);
		if (seen->chain_faults != fault_cases[i].faults)
			fail_msg("%s: faults %#x, not %#x", fault_cases[i].what, seen->chain_faults,
				fault_cases[i].faults);
		assert_int_equal(seen->chain_count, fault_cases[i].chain_count);
		/* Names and chain are told apart. */
		assert_string_equal(seen->matched_name, "mx.example.net");
		session_pair_close(&p);
		fake_leaf_clear(&leaf);
	}
}

static void N2_N3_N4_matches_names_as_rfc_9525_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(name_cases) / sizeof(name_cases[0]); i++) {
		struct fake_leaf_wishes wishes = { .common_name = name_cases[i].common_name };
		for (int j = 0; j < 4; j++)
			wishes.names[j] = name_cases[i].san[j];
		struct fake_leaf leaf = fake_ca_issue_as(cas[ROOT], &wishes);
		struct session_pair p;
		const struct tlsio_peer *seen = meet(&p, &leaf, trust, &name_cases[i].wanted, 1);
		if ((seen->matched_name != NULL) != name_cases[i].matches)
			fail_msg("%s against %s: matched %s", name_cases[i].san[0],
				name_cases[i].wanted,
				seen->matched_name ? seen->matched_name : "nothing");
		assert_int_equal(seen->has_dns_names, name_cases[i].has_dns_names);
		assert_int_equal(seen->chain_faults, 0);
		session_pair_close(&p);
		fake_leaf_clear(&leaf);
	}
}

static void N4_refuses_a_name_with_a_nul_inside(void **state)
{
	(void)state;
	static const char *const names[] = { "mx.example.net", ".example.net", ".example" };
	struct fake_leaf_wishes wishes = {
		.common_name = "leaf",
		.odd_name = STR("mx.example.net\0.evil.example"),
	};
	struct fake_leaf leaf = fake_ca_issue_as(cas[ROOT], &wishes);
	struct session_pair p;
	const struct tlsio_peer *seen = meet(&p, &leaf, trust, names, 3);
	assert_null(seen->matched_name);
	assert_false(seen->has_dns_names);
	session_pair_close(&p);
	fake_leaf_clear(&leaf);
}

static void names_the_first_reference_that_matches(void **state)
{
	(void)state;
	static const char *const names[] = { "none.example", "mx2.example.net", ".example.net",
		"mx.example.net" };
	struct fake_leaf leaf = fake_ca_issue(cas[ROOT], "mx.example.net", NULL);
	struct session_pair p;
	assert_string_equal(meet(&p, &leaf, trust, names, 4)->matched_name, ".example.net");
	session_pair_close(&p);
	assert_null(meet(&p, &leaf, trust, names, 2)->matched_name);
	session_pair_close(&p);
	assert_null(meet(&p, &leaf, trust, NULL, 0)->matched_name);
	session_pair_close(&p);
	fake_leaf_clear(&leaf);
}

static void says_unchecked_without_trust(void **state)
{
	(void)state;
	static const char *const names[] = { "mx.example.net" };
	struct fake_leaf leaf = fake_ca_issue(cas[ROOT], "mx.example.net", NULL);
	struct session_pair p;
	const struct tlsio_peer *seen = meet(&p, &leaf, NULL, names, 1);
	assert_int_equal(seen->chain_faults, TLSIO_CHAIN_UNCHECKED);
	assert_string_equal(seen->matched_name, "mx.example.net");
	session_pair_close(&p);
	fake_leaf_clear(&leaf);
}

static void trusts_a_leaf_that_is_itself_the_authority_given(void **state)
{
	(void)state;
	struct fake_leaf_wishes wishes = { MX, .is_self_signed = true };
	struct fake_leaf leaf = fake_ca_issue_as(cas[ROOT], &wishes);
	struct tlsio_trust *own = tlsio_trust_pem("own", str_of(leaf.chain_pem), NULL);
	struct session_pair p;
	assert_non_null(own);
	assert_int_equal(meet(&p, &leaf, own, NULL, 0)->chain_faults, 0);
	session_pair_close(&p);
	tlsio_trust_unref(&own);
	fake_leaf_clear(&leaf);
}

static void gives_the_chain_and_its_fingerprints(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(cas[BELOW], "mx.example.net", NULL);
	struct session_pair p;
	const struct tlsio_peer *seen = meet(&p, &leaf, trust, NULL, 0);
	assert_int_equal(seen->chain_count, 2);

	/* Against GnuTLS's own reading of the PEM. */
	gnutls_x509_crt_t *crts;
	unsigned count;
	gnutls_datum_t pem = { (unsigned char *)leaf.chain_pem, (unsigned)strlen(leaf.chain_pem) };
	assert_int_equal(
		gnutls_x509_crt_list_import2(&crts, &count, &pem, GNUTLS_X509_FMT_PEM, 0), 0);
	assert_int_equal(count, 2);
	for (unsigned i = 0; i < count; i++) {
		gnutls_datum_t der;
		uint8_t digest[32];
		size_t length = sizeof(digest);
		assert_int_equal(gnutls_x509_crt_export2(crts[i], GNUTLS_X509_FMT_DER, &der), 0);
		assert_int_equal(der.size, seen->chain[i].der.length);
		assert_memory_equal(der.data, seen->chain[i].der.at, der.size);
		gnutls_free(der.data);
		assert_int_equal(gnutls_x509_crt_get_fingerprint(
					 crts[i], GNUTLS_DIG_SHA256, digest, &length),
			0);
		assert_memory_equal(digest, seen->chain[i].sha256, 32);
		assert_int_equal(gnutls_x509_crt_get_key_id(
					 crts[i], GNUTLS_KEYID_USE_SHA256, digest, &length),
			0);
		assert_memory_equal(digest, seen->chain[i].spki_sha256, 32);
		tlsio_digest_sha256(seen->chain[i].spki, digest);
		assert_memory_equal(digest, seen->chain[i].spki_sha256, 32);
		gnutls_x509_crt_deinit(crts[i]);
	}
	gnutls_free(crts);
	assert_string_equal(seen->subject, "CN=mx.example.net");
	assert_string_equal(seen->issuer, "CN=below");
	int64_t days = (seen->not_after_s - time(NULL)) / DAY;
	assert_true(days == 89 || days == 90);
	session_pair_close(&p);
	fake_leaf_clear(&leaf);
}

static void speaks_plainly_of_faults(void **state)
{
	(void)state;
	char text[400];
	assert_string_equal(tlsio_chain_faults_text(0, text, sizeof(text)), "valid");
	assert_string_equal(tlsio_chain_faults_text(TLSIO_CHAIN_EXPIRED | TLSIO_CHAIN_UNTRUSTED,
				    text, sizeof(text)),
		"issuer is not trusted; certificate has expired");
	for (unsigned fault = 1; fault <= TLSIO_CHAIN_UNCHECKED; fault <<= 1)
		assert_true(strlen(tlsio_chain_faults_text(fault, text, sizeof(text))) > 10);
	/* Cut, never overrun. */
	assert_string_equal(tlsio_chain_faults_text(0x1ff, text, 12), "no certific");
}

static void reads_and_writes_versions(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum tlsio_version version; /* 0 = refused */
	} cases[] = {
		{ "1.2", TLSIO_TLS12 },
		{ "1.3", TLSIO_TLS13 },
		{ "TLS1.2", TLSIO_TLS12 },
		{ "TLSv1.2", TLSIO_TLS12 },
		{ "tls1.3", TLSIO_TLS13 },
		{ "TLSv1.3", TLSIO_TLS13 },
		{ "1.1", 0 },
		{ "1.0", 0 },
		{ "TLSv1", 0 },
		{ "SSL3", 0 },
		{ "", 0 },
		{ "TLS", 0 },
		{ "1.30", 0 },
		{ "TLSv", 0 },
		{ "1", 0 },
		{ "TLS 1.3", 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum tlsio_version got = TLSIO_VERSION_NONE;
		assert_int_equal(
			tlsio_version_parse(str_of(cases[i].text), &got), cases[i].version != 0);
		assert_int_equal(got, cases[i].version);
	}
	assert_string_equal(tlsio_version_name(TLSIO_TLS12), "TLS1.2");
	assert_string_equal(tlsio_version_name(TLSIO_TLS13), "TLS1.3");
	assert_string_equal(tlsio_version_name(TLSIO_VERSION_NONE), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_every_fault_of_a_chain),
		cmocka_unit_test(N2_N3_N4_matches_names_as_rfc_9525_says),
		cmocka_unit_test(N4_refuses_a_name_with_a_nul_inside),
		cmocka_unit_test(names_the_first_reference_that_matches),
		cmocka_unit_test(says_unchecked_without_trust),
		cmocka_unit_test(trusts_a_leaf_that_is_itself_the_authority_given),
		cmocka_unit_test(gives_the_chain_and_its_fingerprints),
		cmocka_unit_test(speaks_plainly_of_faults),
		cmocka_unit_test(reads_and_writes_versions),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
