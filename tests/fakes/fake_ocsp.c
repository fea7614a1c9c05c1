#include "tests/fakes/fake_ocsp.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#define MUST(call) must((call) >= 0)

static void must(bool is_good)
{
	if (!is_good)
		abort();
}

/* Wraps what *inside holds into an element of this tag, in place. */
static void wrap(struct buf *inside, unsigned char tag)
{
	struct buf whole = { 0 };
	size_t length = inside->length;
	buf_append_byte(&whole, (char)tag);
	if (length >= 256) {
		buf_append_byte(&whole, (char)0x82);
		buf_append_byte(&whole, (char)(length >> 8));
	} else if (length >= 128) {
		buf_append_byte(&whole, (char)0x81);
	}
	buf_append_byte(&whole, (char)length);
	buf_append_str(&whole, buf_str(inside));
	buf_release(inside);
	*inside = whole;
}

/* Appends an element and lets go of it. */
static void take(struct buf *to, struct buf *element)
{
	buf_append_str(to, buf_str(element));
	buf_release(element);
}

static void add(struct buf *to, unsigned char tag, struct str content)
{
	struct buf element = { 0 };
	buf_append_str(&element, content);
	wrap(&element, tag);
	take(to, &element);
}

static void add_time(struct buf *to, int64_t from_now_s)
{
	char text[20];
	struct tm tm;
	time_t at = time(NULL) + from_now_s;
	must(gmtime_r(&at, &tm) != NULL);
	strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
	add(to, 0x18, str_of(text));
}

static gnutls_x509_crt_t read_certificate(const char *pem)
{
	gnutls_x509_crt_t crt;
	gnutls_datum_t text = { (unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem) };
	MUST(gnutls_x509_crt_init(&crt));
	MUST(gnutls_x509_crt_import(crt, &text, GNUTLS_X509_FMT_PEM));
	return crt;
}

static void add_sha1(struct buf *to, gnutls_datum_t bytes)
{
	char digest[20];
	MUST(gnutls_hash_fast(GNUTLS_DIG_SHA1, bytes.data, bytes.size, digest));
	add(to, 0x04, str_from(digest, sizeof(digest)));
}

/* The 65 bytes of a P-256 key stand at the end of its SubjectPublicKeyInfo. */
static void add_key_hash(struct buf *to, gnutls_x509_crt_t issuer)
{
	gnutls_pubkey_t key;
	gnutls_datum_t spki;
	MUST(gnutls_pubkey_init(&key));
	MUST(gnutls_pubkey_import_x509(key, issuer, 0));
	MUST(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki));
	must(spki.size > 65);
	add_sha1(to, (gnutls_datum_t){ spki.data + spki.size - 65, 65 });
	gnutls_free(spki.data);
	gnutls_pubkey_deinit(key);
}

static void add_certificate_id(struct buf *to, gnutls_x509_crt_t issuer, gnutls_x509_crt_t leaf)
{
	struct buf id = { 0 }, algorithm = { 0 };
	gnutls_datum_t name;
	char serial[32];
	size_t serial_length = sizeof(serial);
	add(&algorithm, 0x06, STR("\x2b\x0e\x03\x02\x1a")); /* SHA-1 */
	add(&algorithm, 0x05, STR(""));
	wrap(&algorithm, 0x30);
	take(&id, &algorithm);
	MUST(gnutls_x509_crt_get_raw_issuer_dn(leaf, &name));
	add_sha1(&id, name);
	gnutls_free(name.data);
	add_key_hash(&id, issuer);
	MUST(gnutls_x509_crt_get_serial(leaf, serial, &serial_length));
	add(&id, 0x02, str_from(serial, serial_length));
	wrap(&id, 0x30);
	take(to, &id);
}

static struct buf answers(
	gnutls_x509_crt_t issuer, gnutls_x509_crt_t leaf, const struct fake_ocsp_wishes *wishes)
{
	struct buf one = { 0 }, revoked = { 0 }, next = { 0 };
	add_certificate_id(&one, issuer, leaf);
	if (wishes->status == FAKE_OCSP_REVOKED) {
		add_time(&revoked, -86400);
		wrap(&revoked, 0xa1);
		take(&one, &revoked);
	} else {
		add(&one, wishes->status == FAKE_OCSP_GOOD ? 0x80 : 0x82, STR(""));
	}
	add_time(&one, wishes->this_update_s);
	if (wishes->next_update_s != 0) {
		add_time(&next, wishes->next_update_s);
		wrap(&next, 0xa0);
		take(&one, &next);
	}
	wrap(&one, 0x30);
	wrap(&one, 0x30);
	return one;
}

/* tbsResponseData */
static struct buf data(gnutls_x509_crt_t issuer, gnutls_x509_crt_t leaf, gnutls_x509_crt_t signer,
	const struct fake_ocsp_wishes *wishes)
{
	struct buf all = { 0 }, id = { 0 }, list = answers(issuer, leaf, wishes);
	gnutls_datum_t name;
	MUST(gnutls_x509_crt_get_raw_dn(signer, &name));
	add(&id, 0xa1, str_from(name.data, name.size));
	gnutls_free(name.data);
	take(&all, &id);
	add_time(&all, wishes->this_update_s);
	take(&all, &list);
	wrap(&all, 0x30);
	return all;
}

static void add_signature(struct buf *to, struct str what, const char *key_pem)
{
	gnutls_privkey_t key;
	gnutls_datum_t text = { (unsigned char *)(uintptr_t)key_pem, (unsigned)strlen(key_pem) };
	gnutls_datum_t bytes = { (unsigned char *)(uintptr_t)what.at, (unsigned)what.length };
	gnutls_datum_t signature;
	struct buf algorithm = { 0 }, bits = { 0 };
	MUST(gnutls_privkey_init(&key));
	MUST(gnutls_privkey_import_x509_raw(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0));
	MUST(gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &bytes, &signature));
	add(&algorithm, 0x06, STR("\x2a\x86\x48\xce\x3d\x04\x03\x02"));
	wrap(&algorithm, 0x30);
	take(to, &algorithm);
	buf_append_byte(&bits, 0);
	buf_append(&bits, signature.data, signature.size);
	wrap(&bits, 0x03);
	take(to, &bits);
	gnutls_free(signature.data);
	gnutls_privkey_deinit(key);
}

static struct buf basic_response(gnutls_x509_crt_t issuer, gnutls_x509_crt_t leaf,
	const struct fake_ca *ca, const struct fake_ocsp_wishes *wishes)
{
	const char *pem = wishes->responder ? wishes->responder->chain_pem : fake_ca_pem(ca);
	gnutls_x509_crt_t signer = read_certificate(pem);
	struct buf basic = data(issuer, leaf, signer, wishes), tbs = { 0 };
	buf_append_str(&tbs, buf_str(&basic));
	add_signature(&basic, buf_str(&tbs),
		wishes->responder ? wishes->responder->key_pem : fake_ca_key_pem(ca));
	buf_release(&tbs);
	if (wishes->responder) {
		struct buf certificates = { 0 };
		gnutls_datum_t der;
		MUST(gnutls_x509_crt_export2(signer, GNUTLS_X509_FMT_DER, &der));
		buf_append(&certificates, der.data, der.size);
		gnutls_free(der.data);
		wrap(&certificates, 0x30);
		wrap(&certificates, 0xa0);
		take(&basic, &certificates);
	}
	wrap(&basic, 0x30);
	gnutls_x509_crt_deinit(signer);
	return basic;
}

struct buf fake_ocsp_respond(const struct fake_ca *issuer, const struct fake_leaf *leaf,
	const struct fake_ocsp_wishes *wishes)
{
	struct buf whole = { 0 }, bytes = { 0 };
	add(&whole, 0x0a, wishes->is_try_later ? STR("\3") : STR("\0"));
	if (!wishes->is_try_later) {
		gnutls_x509_crt_t issuer_crt = read_certificate(fake_ca_pem(issuer));
		gnutls_x509_crt_t leaf_crt = read_certificate(leaf->chain_pem);
		struct buf basic = basic_response(
			issuer_crt, leaf_crt, wishes->signer ? wishes->signer : issuer, wishes);
		wrap(&basic, 0x04);
		add(&bytes, 0x06, STR("\x2b\x06\x01\x05\x05\x07\x30\x01\x01"));
		take(&bytes, &basic);
		wrap(&bytes, 0x30);
		wrap(&bytes, 0xa0);
		take(&whole, &bytes);
		gnutls_x509_crt_deinit(leaf_crt);
		gnutls_x509_crt_deinit(issuer_crt);
	}
	wrap(&whole, 0x30);
	return whole;
}
