#include "tests/fakes/fake_ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"

enum { DAY_S = 86400 };

struct fake_ca {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
	const struct fake_ca *parent;
	char *pem;
	char *key_pem;
};

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "fake_ca: %s: %s\n", what, gnutls_strerror(rc));
	abort();
}

static gnutls_x509_privkey_t make_key(enum fake_key kind)
{
	static const struct {
		gnutls_pk_algorithm_t algorithm;
		unsigned bits;
	} kinds[] = {
		[FAKE_ECDSA] = { GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) },
		[FAKE_RSA] = { GNUTLS_PK_RSA, 2048 },
		[FAKE_RSA_1024] = { GNUTLS_PK_RSA, 1024 },
		[FAKE_ED25519] = { GNUTLS_PK_EDDSA_ED25519,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519) },
	};
	gnutls_x509_privkey_t key;
	must(gnutls_x509_privkey_init(&key), "key");
	must(gnutls_x509_privkey_generate(key, kinds[kind].algorithm, kinds[kind].bits, 0), "key");
	return key;
}

/* A certificate with what all of them have. */
static gnutls_x509_crt_t begin(const char *common_name, gnutls_x509_privkey_t key,
	int64_t not_before_s, int64_t not_after_s)
{
	gnutls_x509_crt_t crt;
	unsigned char serial[16], id[20];
	size_t id_length = sizeof(id);
	must(gnutls_x509_crt_init(&crt), "certificate");
	must(gnutls_x509_crt_set_version(crt, 3), "version");
	must(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)), "serial");
	serial[0] = (serial[0] & 0x7f) | 1;
	must(gnutls_x509_crt_set_serial(crt, serial, sizeof(serial)), "serial");
	must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
		     (unsigned)strlen(common_name)),
		"name");
	must(gnutls_x509_crt_set_activation_time(crt, time(NULL) + not_before_s), "time");
	must(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + not_after_s), "time");
	must(gnutls_x509_crt_set_key(crt, key), "key");
	must(gnutls_x509_crt_get_key_id(crt, 0, id, &id_length), "key id");
	must(gnutls_x509_crt_set_subject_key_id(crt, id, id_length), "key id");
	return crt;
}

static void sign(
	gnutls_x509_crt_t crt, gnutls_x509_crt_t by, gnutls_x509_privkey_t by_key, bool with_sha1)
{
	unsigned char id[64];
	size_t id_length = sizeof(id);
	gnutls_digest_algorithm_t digest = GNUTLS_DIG_SHA256;
	if (with_sha1)
		digest = GNUTLS_DIG_SHA1;
	else if (gnutls_x509_privkey_get_pk_algorithm(by_key) == GNUTLS_PK_EDDSA_ED25519)
		digest = GNUTLS_DIG_SHA512;
	if (by != crt && gnutls_x509_crt_get_subject_key_id(by, id, &id_length, NULL) == 0)
		must(gnutls_x509_crt_set_authority_key_id(crt, id, id_length), "key id");
	must(gnutls_x509_crt_sign2(crt, by, by_key, digest, 0), "signature");
}

static char *crt_pem(gnutls_x509_crt_t crt)
{
	gnutls_datum_t text;
	must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &text), "PEM");
	char *copy = mem_dup_bytes(text.data, text.size);
	gnutls_free(text.data);
	return copy;
}

static char *key_pem(gnutls_x509_privkey_t key)
{
	gnutls_datum_t text;
	must(gnutls_x509_privkey_export2_pkcs8(
		     key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &text),
		"key");
	char *copy = mem_dup_bytes(text.data, text.size);
	gnutls_free(text.data);
	return copy;
}

static struct fake_ca *authority(const struct fake_ca *parent, const char *name, enum fake_key kind,
	bool is_authority, int64_t not_after_s)
{
	struct fake_ca *ca = mem_zero(sizeof(*ca));
	ca->parent = parent;
	ca->key = make_key(kind);
	ca->crt = begin(name, ca->key, -2 * DAY_S, not_after_s);
	must(gnutls_x509_crt_set_basic_constraints(ca->crt, is_authority, -1), "constraints");
	must(gnutls_x509_crt_set_key_usage(
		     ca->crt, is_authority ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
					   : GNUTLS_KEY_DIGITAL_SIGNATURE),
		"usage");
	sign(ca->crt, parent ? parent->crt : ca->crt, parent ? parent->key : ca->key, false);
	ca->pem = crt_pem(ca->crt);
	ca->key_pem = key_pem(ca->key);
	return ca;
}

struct fake_ca *fake_ca_new(const char *name)
{
	return authority(NULL, name, FAKE_ECDSA, true, 3650 * (int64_t)DAY_S);
}

struct fake_ca *fake_ca_new_rsa(const char *name)
{
	return authority(NULL, name, FAKE_RSA, true, 3650 * (int64_t)DAY_S);
}

struct fake_ca *fake_ca_intermediate(const struct fake_ca *parent, const char *name)
{
	return authority(parent, name, FAKE_ECDSA, true, 365 * (int64_t)DAY_S);
}

struct fake_ca *fake_ca_impostor(const struct fake_ca *parent, const char *name)
{
	return authority(parent, name, FAKE_ECDSA, false, 365 * (int64_t)DAY_S);
}

struct fake_ca *fake_ca_old_customer(const struct fake_ca *parent, const char *name)
{
	struct fake_ca *ca = mem_zero(sizeof(*ca));
	gnutls_datum_t serial = { (unsigned char *)(uintptr_t) "\x11", 1 };
	ca->parent = parent;
	ca->key = make_key(FAKE_ECDSA);
	must(gnutls_x509_crt_init(&ca->crt), "certificate");
	must(gnutls_x509_crt_set_version(ca->crt, 1), "version");
	must(gnutls_x509_crt_set_serial(ca->crt, serial.data, serial.size), "serial");
	must(gnutls_x509_crt_set_dn_by_oid(ca->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
		     (unsigned)strlen(name)),
		"name");
	must(gnutls_x509_crt_set_activation_time(ca->crt, time(NULL) - DAY_S), "time");
	must(gnutls_x509_crt_set_expiration_time(ca->crt, time(NULL) + 90 * DAY_S), "time");
	must(gnutls_x509_crt_set_key(ca->crt, ca->key), "key");
	must(gnutls_x509_crt_sign2(ca->crt, parent->crt, parent->key, GNUTLS_DIG_SHA256, 0),
		"signature");
	ca->pem = crt_pem(ca->crt);
	ca->key_pem = key_pem(ca->key);
	return ca;
}

struct fake_ca *fake_ca_expired_intermediate(const struct fake_ca *parent, const char *name)
{
	return authority(parent, name, FAKE_ECDSA, true, -(int64_t)DAY_S);
}

void fake_ca_free(struct fake_ca **ca)
{
	if (!*ca)
		return;
	gnutls_x509_crt_deinit((*ca)->crt);
	gnutls_x509_privkey_deinit((*ca)->key);
	free((*ca)->pem);
	free((*ca)->key_pem);
	free(*ca);
	*ca = NULL;
}

const char *fake_ca_pem(const struct fake_ca *ca)
{
	return ca->pem;
}

const char *fake_ca_key_pem(const struct fake_ca *ca)
{
	return ca->key_pem;
}

struct tlsio_trust *fake_ca_trust(const struct fake_ca *ca)
{
	struct err err;
	struct tlsio_trust *trust = tlsio_trust_pem("fake authority", str_of(ca->pem), &err);
	must(trust ? 0 : GNUTLS_E_CERTIFICATE_ERROR, "trust");
	return trust;
}

static void add_san(gnutls_x509_crt_t crt, const char *name)
{
	must(gnutls_x509_crt_set_subject_alt_name(
		     crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), GNUTLS_FSAN_APPEND),
		"SAN");
}

/* By hand: GnuTLS would cut the name at a NUL. SEQUENCE { [2] IA5String } in short lengths. */
static void set_odd_san(gnutls_x509_crt_t crt, struct str name)
{
	unsigned char der[128] = { 0x30, (unsigned char)(name.length + 2), 0x82,
		(unsigned char)name.length };
	must(name.length <= 120 ? 0 : GNUTLS_E_INVALID_REQUEST, "odd name");
	memcpy(der + 4, name.at, name.length);
	must(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", der, name.length + 4, 0),
		"SAN");
}

static void add_purposes(gnutls_x509_crt_t crt, const char *purpose)
{
	must(gnutls_x509_crt_set_key_purpose_oid(
		     crt, purpose ? purpose : GNUTLS_KP_TLS_WWW_SERVER, 0),
		"purpose");
	if (!purpose)
		must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0),
			"purpose");
}

static gnutls_x509_crt_t leaf_crt(
	const struct fake_ca *ca, const struct fake_leaf_wishes *wishes, gnutls_x509_privkey_t key)
{
	const char *common_name = wishes->common_name ? wishes->common_name : wishes->names[0];
	bool is_usual = wishes->not_before_s == 0 && wishes->not_after_s == 0;
	gnutls_x509_crt_t crt = begin(common_name ? common_name : "leaf", key,
		is_usual ? -DAY_S : wishes->not_before_s,
		is_usual ? 90 * (int64_t)DAY_S : wishes->not_after_s);
	must(gnutls_x509_crt_set_basic_constraints(crt, 0, -1), "constraints");
	must(gnutls_x509_crt_set_key_usage(
		     crt, wishes->key_usage ? wishes->key_usage : GNUTLS_KEY_DIGITAL_SIGNATURE),
		"usage");
	add_purposes(crt, wishes->purpose);
	for (int i = 0; i < FAKE_LEAF_NAMES && wishes->names[i]; i++)
		add_san(crt, wishes->names[i]);
	if (wishes->odd_name.length > 0)
		set_odd_san(crt, wishes->odd_name);
	if (wishes->is_self_signed)
		sign(crt, crt, key, wishes->is_sha1_signed);
	else
		sign(crt, ca->crt, ca->key, wishes->is_sha1_signed);
	return crt;
}

struct fake_leaf fake_ca_issue_as(const struct fake_ca *ca, const struct fake_leaf_wishes *wishes)
{
	gnutls_x509_privkey_t key = make_key(wishes->key);
	gnutls_x509_crt_t crt = leaf_crt(ca, wishes, key);
	struct buf chain = { 0 };
	char *pem = crt_pem(crt);
	buf_append_text(&chain, pem);
	free(pem);
	if (!wishes->is_self_signed)
		for (const struct fake_ca *at = ca; at->parent; at = at->parent)
			buf_append_text(&chain, at->pem);
	struct fake_leaf leaf = { buf_take(&chain), key_pem(key) };
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return leaf;
}

struct fake_leaf fake_ca_issue(const struct fake_ca *ca, const char *name, const char *name2)
{
	struct fake_leaf_wishes wishes = { .names = { name, name2 } };
	return fake_ca_issue_as(ca, &wishes);
}

void fake_leaf_clear(struct fake_leaf *leaf)
{
	free(leaf->chain_pem);
	free(leaf->key_pem);
	*leaf = (struct fake_leaf){ 0 };
}

struct tlsio_certstore *fake_leaf_certstore(const struct fake_leaf *leaf)
{
	struct err err;
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	if (tlsio_certstore_builder_add(builder, "fake chain", str_of(leaf->chain_pem), "fake key",
		    str_of(leaf->key_pem), &err) < 0) {
		fprintf(stderr, "fake_ca: %s\n", err.text);
		abort();
	}
	return tlsio_certstore_builder_finish(&builder, &err);
}

struct tlsio_certstore *fake_ca_certstore(const struct fake_ca *ca, const char *name)
{
	struct fake_leaf leaf = fake_ca_issue(ca, name, NULL);
	struct tlsio_certstore *store = fake_leaf_certstore(&leaf);
	fake_leaf_clear(&leaf);
	return store;
}
