#include "libtlsio/tlsio_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "libtlsio/base/buf.h"
#include "tests/fakes/fake_ca.h"

enum { DAY = 86400, MOST = 8 };

static struct fake_ca *root, *below, *twice, *impostor, *late, *stranger, *rsa;

static int set_up(void **state)
{
	(void)state;
	root = fake_ca_new("root");
	below = fake_ca_intermediate(root, "below");
	twice = fake_ca_intermediate(below, "below twice");
	impostor = fake_ca_impostor(root, "no authority");
	late = fake_ca_expired_intermediate(root, "expired");
	stranger = fake_ca_new("root"); /* another of the same name */
	rsa = fake_ca_new_rsa("rsa");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	struct fake_ca **all[] = { &rsa, &stranger, &late, &impostor, &twice, &below, &root };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fake_ca_free(all[i]);
	return 0;
}

/* A peer that showed the certificates of these PEM texts. */
struct shown {
	struct tlsio_peer peer;
	struct tlsio_certificate chain[MOST];
	gnutls_datum_t der[MOST], spki[MOST];
};

static void show(struct shown *ret, const char *const *pems)
{
	struct buf all = { 0 };
	gnutls_x509_crt_t crts[MOST];
	unsigned count = MOST;
	memset(ret, 0, sizeof(*ret));
	for (; *pems; pems++)
		buf_append_text(&all, *pems);
	gnutls_datum_t text = { (unsigned char *)(uintptr_t)buf_str(&all).at,
		(unsigned)all.length };
	assert_true(gnutls_x509_crt_list_import(crts, &count, &text, GNUTLS_X509_FMT_PEM, 0) >= 0);
	for (unsigned i = 0; i < count; i++) {
		gnutls_pubkey_t key;
		assert_int_equal(
			gnutls_x509_crt_export2(crts[i], GNUTLS_X509_FMT_DER, &ret->der[i]), 0);
		gnutls_pubkey_init(&key);
		gnutls_pubkey_import_x509(key, crts[i], 0);
		assert_int_equal(
			gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &ret->spki[i]), 0);
		gnutls_pubkey_deinit(key);
		ret->chain[i].der = str_from(ret->der[i].data, ret->der[i].size);
		ret->chain[i].spki = str_from(ret->spki[i].data, ret->spki[i].size);
		gnutls_x509_crt_deinit(crts[i]);
	}
	ret->peer.chain = ret->chain;
	ret->peer.chain_count = count;
	buf_release(&all);
}
#define SHOW(ret, ...) show(ret, (const char *const[]){ __VA_ARGS__, NULL })

static void hide(struct shown *shown)
{
	for (size_t i = 0; i < shown->peer.chain_count; i++) {
		gnutls_free(shown->der[i].data);
		gnutls_free(shown->spki[i].data);
	}
}

static unsigned faults_to(const struct shown *shown, const struct fake_ca *anchor)
{
	struct shown alone;
	SHOW(&alone, fake_ca_pem(anchor));
	unsigned faults = tlsio_peer_faults_to(&shown->peer, alone.chain[0].der);
	hide(&alone);
	return faults;
}

static unsigned faults_to_key(const struct shown *shown, const struct fake_ca *anchor)
{
	struct shown alone;
	SHOW(&alone, fake_ca_pem(anchor));
	unsigned faults = tlsio_peer_faults_to_key(&shown->peer, alone.chain[0].spki);
	hide(&alone);
	return faults;
}

static void D15_an_anchor_counts_shown_or_not(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(twice, "mx.example.net", NULL);
	struct shown shown;
	SHOW(&shown, leaf.chain_pem); /* leaf, twice, below */
	assert_int_equal(shown.peer.chain_count, 3);
	assert_int_equal(faults_to(&shown, twice), 0);
	assert_int_equal(faults_to(&shown, below), 0);
	assert_int_equal(faults_to(&shown, root), 0);
	assert_int_equal(faults_to_key(&shown, twice), 0);
	assert_int_equal(faults_to_key(&shown, below), 0);
	assert_int_equal(faults_to_key(&shown, root), 0);
	assert_int_equal(tlsio_peer_faults_to(&shown.peer, shown.chain[0].der), 0);
	assert_int_equal(faults_to(&shown, late), TLSIO_CHAIN_UNTRUSTED);
	assert_int_equal(faults_to_key(&shown, late), TLSIO_CHAIN_UNTRUSTED);
	/* a namesake of the root, and its key */
	assert_int_not_equal(faults_to(&shown, stranger), 0);
	assert_int_equal(faults_to_key(&shown, stranger), TLSIO_CHAIN_UNTRUSTED);
	/* the leaf's key signed nothing */
	assert_int_equal(tlsio_peer_faults_to_key(&shown.peer, shown.chain[0].spki),
		TLSIO_CHAIN_UNTRUSTED);
	hide(&shown);
	SHOW(&shown, leaf.chain_pem, fake_ca_pem(root));
	assert_int_equal(faults_to(&shown, root), 0);
	assert_int_equal(faults_to(&shown, twice), 0);
	/* a self-signed certificate is signed by its own key */
	assert_int_equal(faults_to_key(&shown, root), 0);
	hide(&shown);
	fake_leaf_clear(&leaf);
}

static void D15_order_and_strangers_do_not_matter(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(root, "mx.example.net", NULL);
	struct shown shown;
	SHOW(&shown, leaf.chain_pem, fake_ca_pem(rsa), fake_ca_pem(late), fake_ca_pem(root));
	assert_int_equal(faults_to(&shown, root), 0);
	assert_int_equal(faults_to_key(&shown, root), 0);
	assert_int_not_equal(faults_to(&shown, rsa), 0);
	assert_int_not_equal(faults_to(&shown, late), 0);
	assert_int_not_equal(faults_to_key(&shown, rsa), 0);
	hide(&shown);
	fake_leaf_clear(&leaf);
	leaf = fake_ca_issue(rsa, "mx.example.net", NULL);
	SHOW(&shown, leaf.chain_pem);
	assert_int_equal(faults_to(&shown, rsa), 0);
	assert_int_equal(faults_to_key(&shown, rsa), 0);
	hide(&shown);
	fake_leaf_clear(&leaf);
}

/* The leaf is a stranger's; the real authorities' public certificates stand behind it. */
static void D15_appended_authorities_vouch_for_nobody(void **state)
{
	(void)state;
	struct fake_leaf evil = fake_ca_issue(stranger, "mx.example.net", NULL);
	struct shown shown;
	SHOW(&shown, evil.chain_pem, fake_ca_pem(stranger), fake_ca_pem(twice), fake_ca_pem(below),
		fake_ca_pem(root));
	const struct fake_ca *real[] = { twice, below, root };
	for (size_t i = 0; i < 3; i++) {
		assert_true(faults_to(&shown, real[i]) &
			(TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_BROKEN));
		assert_int_not_equal(faults_to_key(&shown, real[i]), 0);
	}
	assert_int_equal(faults_to(&shown, stranger), 0);
	hide(&shown);
	fake_leaf_clear(&evil);
}

static void D15_dates_and_flags_count_below_an_anchor(void **state)
{
	(void)state;
	struct fake_leaf_wishes wishes = { .names = { "mx.example.net" }, .not_before_s = -9 * DAY,
		.not_after_s = -DAY };
	struct fake_leaf leaf = fake_ca_issue_as(below, &wishes);
	struct shown shown;
	SHOW(&shown, leaf.chain_pem);
	assert_int_equal(faults_to(&shown, below), TLSIO_CHAIN_EXPIRED);
	assert_int_equal(faults_to(&shown, root), TLSIO_CHAIN_EXPIRED);
	assert_int_equal(faults_to_key(&shown, root), TLSIO_CHAIN_EXPIRED);
	assert_int_equal(
		tlsio_peer_faults_to(&shown.peer, shown.chain[0].der), TLSIO_CHAIN_EXPIRED);
	hide(&shown);
	fake_leaf_clear(&leaf);
	wishes.not_before_s = DAY;
	wishes.not_after_s = 9 * DAY;
	leaf = fake_ca_issue_as(below, &wishes);
	SHOW(&shown, leaf.chain_pem);
	assert_int_equal(faults_to(&shown, root), TLSIO_CHAIN_NOT_YET_VALID);
	hide(&shown);
	fake_leaf_clear(&leaf);

	leaf = fake_ca_issue(late, "mx.example.net", NULL);
	SHOW(&shown, leaf.chain_pem);
	assert_int_equal(faults_to(&shown, root), TLSIO_CHAIN_EXPIRED);
	assert_int_equal(faults_to(&shown, late), TLSIO_CHAIN_EXPIRED);
	/* the key itself has no date, but what it signed has */
	assert_int_equal(faults_to_key(&shown, root), TLSIO_CHAIN_EXPIRED);
	assert_int_equal(faults_to_key(&shown, late), 0);
	hide(&shown);
	fake_leaf_clear(&leaf);

	leaf = fake_ca_issue(impostor, "mx.example.net", NULL);
	SHOW(&shown, leaf.chain_pem);
	assert_int_equal(faults_to(&shown, root), TLSIO_CHAIN_BROKEN);
	assert_int_equal(faults_to(&shown, impostor), TLSIO_CHAIN_BROKEN);
	assert_int_equal(faults_to_key(&shown, root), TLSIO_CHAIN_BROKEN);
	hide(&shown);
	fake_leaf_clear(&leaf);
}

/* Whoever has a certificate of the authority, of a version that knows no flags, signs with its key. */
static void D15_an_old_customer_of_the_authority_vouches_for_nobody(void **state)
{
	(void)state;
	struct fake_ca *customer = fake_ca_old_customer(root, "customer");
	struct fake_leaf evil = fake_ca_issue(customer, "mx.example.net", NULL);
	struct shown shown;
	SHOW(&shown, evil.chain_pem);
	assert_int_equal(shown.peer.chain_count, 2);
	assert_int_not_equal(faults_to(&shown, root), 0);
	assert_int_not_equal(faults_to_key(&shown, root), 0);
	hide(&shown);
	SHOW(&shown, evil.chain_pem, fake_ca_pem(root));
	assert_int_not_equal(faults_to(&shown, root), 0);
	assert_int_not_equal(faults_to_key(&shown, root), 0);
	hide(&shown);
	fake_leaf_clear(&evil);
	fake_ca_free(&customer);
}

static void D15_purpose_and_strength_count_below_an_anchor(void **state)
{
	(void)state;
	const struct {
		struct fake_leaf_wishes wishes;
		unsigned faults, faults_of_itself;
	} rows[] = {
		{ { .purpose = GNUTLS_KP_TLS_WWW_CLIENT }, TLSIO_CHAIN_WRONG_PURPOSE,
			TLSIO_CHAIN_WRONG_PURPOSE },
		{ { .is_sha1_signed = true }, TLSIO_CHAIN_WEAK, 0 },
		{ { .key = FAKE_RSA_1024 }, TLSIO_CHAIN_WEAK, TLSIO_CHAIN_WEAK },
		{ { .key = FAKE_ED25519 }, 0, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_leaf leaf = fake_ca_issue_as(root, &rows[i].wishes);
		struct shown shown;
		SHOW(&shown, leaf.chain_pem);
		assert_int_equal(faults_to(&shown, root), rows[i].faults);
		assert_int_equal(faults_to_key(&shown, root), rows[i].faults);
		/* a signature that is not looked at cannot be weak */
		assert_int_equal(tlsio_peer_faults_to(&shown.peer, shown.chain[0].der),
			rows[i].faults_of_itself);
		hide(&shown);
		fake_leaf_clear(&leaf);
	}
}

static void nobody_leads_nowhere(void **state)
{
	(void)state;
	struct fake_leaf leaf = fake_ca_issue(root, "mx.example.net", NULL);
	struct tlsio_peer nobody = { 0 };
	struct tlsio_certificate odd = { .der = STR("odd") };
	struct tlsio_peer broken = { .chain = &odd, .chain_count = 1 };
	struct shown shown;
	SHOW(&shown, leaf.chain_pem);
	struct str der = shown.chain[0].der, key = shown.chain[0].spki;
	assert_int_equal(tlsio_peer_faults_to(&nobody, der), TLSIO_CHAIN_ABSENT);
	assert_int_equal(tlsio_peer_faults_to_key(&nobody, key), TLSIO_CHAIN_ABSENT);
	assert_int_equal(tlsio_peer_faults_to(&broken, der), TLSIO_CHAIN_BROKEN);
	assert_int_equal(tlsio_peer_faults_to_key(&broken, key), TLSIO_CHAIN_BROKEN);
	assert_int_equal(tlsio_peer_faults_to(&shown.peer, STR("odd")), TLSIO_CHAIN_UNTRUSTED);
	assert_int_equal(tlsio_peer_faults_to_key(&shown.peer, STR("")), TLSIO_CHAIN_UNTRUSTED);
	assert_false(tlsio_peer_has_name_or_cn(&nobody, "mx.example.net"));
	assert_false(tlsio_peer_has_name_or_cn(&broken, "mx.example.net"));
	assert_true(tlsio_peer_is_certificate(der));
	assert_true(tlsio_peer_is_key(key));
	assert_false(tlsio_peer_is_certificate(key));
	assert_false(tlsio_peer_is_key(der));
	assert_false(tlsio_peer_is_certificate(STR("")));
	assert_false(tlsio_peer_is_key(STR("")));
	hide(&shown);
	fake_leaf_clear(&leaf);
}

static void D17_N2_N4_the_common_name_counts_only_without_dns_names(void **state)
{
	(void)state;
	const struct {
		const char *what;
		struct fake_leaf_wishes wishes;
		bool has_name, has_name_or_cn;
	} rows[] = {
		{ "SAN", { .names = { "mx.example.net" }, .common_name = "x" }, true, true },
		{ "CN alone", { .common_name = "mx.example.net" }, false, true },
		{ "CN in capitals", { .common_name = "MX.Example.Net" }, false, true },
		{ "CN with a wildcard", { .common_name = "*.example.net" }, false, true },
		{ "CN with half a wildcard", { .common_name = "m*.example.net" }, false, false },
		{ "CN with a wide wildcard", { .common_name = "*.net" }, false, false },
		{ "another CN", { .common_name = "mx2.example.net" }, false, false },
		{ "CN in words", { .common_name = "mx.example.net, Example Inc." }, false, false },
		{ "CN beside a SAN", { .names = { "x.example" }, .common_name = "mx.example.net" },
			false, false },
		{ "CN beside a SAN with a NUL",
			{ .odd_name = STR("mx.example.net\0.evil.example"),
				.common_name = "mx.example.net" }, false, false },
		{ "CN beside an empty SAN", { .odd_name = STR("\0"),
			.common_name = "mx.example.net" }, false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_leaf leaf = fake_ca_issue_as(root, &rows[i].wishes);
		struct shown shown;
		SHOW(&shown, leaf.chain_pem);
		static const char *const spellings[] = { "mx.example.net", "MX.EXAMPLE.NET",
			"mx.example.net." };
		for (size_t j = 0; j < 3; j++) {
			if (tlsio_peer_has_name(&shown.peer, spellings[j]) != rows[i].has_name ||
				tlsio_peer_has_name_or_cn(&shown.peer, spellings[j]) !=
					rows[i].has_name_or_cn)
				fail_msg("%s: %s", rows[i].what, spellings[j]);
		}
		assert_false(tlsio_peer_has_name_or_cn(&shown.peer, ""));
		hide(&shown);
		fake_leaf_clear(&leaf);
	}
}

/* Two common names, or one with a NUL in it: by hand. */
static void D17_N4_an_ambiguous_common_name_is_none(void **state)
{
	(void)state;
	const struct str names[][2] = {
		{ STR("mx.example.net"), { NULL, 0 } },
		{ STR("mx.example.net"), STR("evil.example") },
		{ STR("evil.example"), STR("mx.example.net") },
		{ STR("mx.example.net\0.evil.example"), { NULL, 0 } },
		{ STR("mx.example.net\0"), { NULL, 0 } },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		gnutls_x509_crt_t crt;
		gnutls_x509_privkey_t key;
		gnutls_datum_t der;
		gnutls_x509_privkey_init(&key);
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
		gnutls_x509_crt_init(&crt);
		gnutls_x509_crt_set_version(crt, 3);
		gnutls_x509_crt_set_serial(crt, "\1", 1);
		gnutls_x509_crt_set_activation_time(crt, 1000000000);
		gnutls_x509_crt_set_expiration_time(crt, 4000000000);
		for (int j = 0; j < 2 && names[i][j].at; j++)
			assert_int_equal(gnutls_x509_crt_set_dn_by_oid(crt,
				GNUTLS_OID_X520_COMMON_NAME, 0, names[i][j].at,
				(unsigned)names[i][j].length), 0);
		gnutls_x509_crt_set_key(crt, key);
		assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
		gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
		struct tlsio_certificate certificate = { .der = str_from(der.data, der.size) };
		struct tlsio_peer peer = { .chain = &certificate, .chain_count = 1 };
		if (tlsio_peer_has_name_or_cn(&peer, "mx.example.net") != (i == 0))
			fail_msg("row %zu", i);
		gnutls_free(der.data);
		gnutls_x509_crt_deinit(crt);
		gnutls_x509_privkey_deinit(key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D15_an_anchor_counts_shown_or_not),
		cmocka_unit_test(D15_order_and_strangers_do_not_matter),
		cmocka_unit_test(D15_appended_authorities_vouch_for_nobody),
		cmocka_unit_test(D15_dates_and_flags_count_below_an_anchor),
		cmocka_unit_test(D15_an_old_customer_of_the_authority_vouches_for_nobody),
		cmocka_unit_test(D15_purpose_and_strength_count_below_an_anchor),
		cmocka_unit_test(nobody_leads_nowhere),
		cmocka_unit_test(D17_N2_N4_the_common_name_counts_only_without_dns_names),
		cmocka_unit_test(D17_N4_an_ambiguous_common_name_is_none),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
