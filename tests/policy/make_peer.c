#include "tests/policy/make_peer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libtlsio/tlsio_digest.h"

#define CHECKED(call) assert_good((call))

static void assert_good(int status)
{
	if (status < 0)
		abort();
}

struct made make_certificate(const char *common_name, const char *const *names, bool is_authority,
	const struct made *issuer)
{
	return make_certificate_as(
		&(struct make_wishes){ common_name, names, is_authority, issuer, 0, false });
}

struct made make_certificate_until(const char *common_name, const char *const *names,
	bool is_authority, const struct made *issuer, time_t until)
{
	return make_certificate_as(
		&(struct make_wishes){ common_name, names, is_authority, issuer, until, false });
}

struct made make_certificate_as(const struct make_wishes *wishes)
{
	static unsigned char serial;
	struct made made;
	const struct made *issuer = wishes->issuer;
	time_t until = wishes->until ? wishes->until : time(NULL) + 365 * 86400;
	CHECKED(gnutls_x509_privkey_init(&made.key));
	CHECKED(gnutls_x509_privkey_generate(made.key, GNUTLS_PK_ECDSA,
		GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	CHECKED(gnutls_x509_crt_init(&made.crt));
	CHECKED(gnutls_x509_crt_set_version(made.crt, 3));
	serial++;
	CHECKED(gnutls_x509_crt_set_serial(made.crt, &serial, 1));
	CHECKED(gnutls_x509_crt_set_activation_time(made.crt, until - 400 * 86400));
	CHECKED(gnutls_x509_crt_set_expiration_time(made.crt, until));
	CHECKED(gnutls_x509_crt_set_dn_by_oid(made.crt, GNUTLS_OID_X520_COMMON_NAME, 0,
		wishes->common_name, (unsigned)strlen(wishes->common_name)));
	CHECKED(gnutls_x509_crt_set_key(made.crt, made.key));
	for (const char *const *names = wishes->names; names && *names; names++)
		CHECKED(gnutls_x509_crt_set_subject_alt_name(made.crt, GNUTLS_SAN_DNSNAME, *names,
			(unsigned)strlen(*names), GNUTLS_FSAN_APPEND));
	CHECKED(gnutls_x509_crt_set_basic_constraints(made.crt, wishes->is_authority, -1));
	CHECKED(gnutls_x509_crt_set_key_usage(made.crt,
		wishes->is_authority ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE));
	CHECKED(gnutls_x509_crt_sign2(made.crt, issuer ? issuer->crt : made.crt,
		issuer ? issuer->key : made.key,
		wishes->is_sha1_signed ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256, 0));
	return made;
}

void free_certificate(struct made *made)
{
	gnutls_x509_crt_deinit(made->crt);
	gnutls_x509_privkey_deinit(made->key);
}

static struct str spki_of(gnutls_x509_crt_t crt)
{
	gnutls_pubkey_t key;
	gnutls_datum_t der;
	CHECKED(gnutls_pubkey_init(&key));
	CHECKED(gnutls_pubkey_import_x509(key, crt, 0));
	CHECKED(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der));
	gnutls_pubkey_deinit(key);
	return str_from(der.data, der.size);
}

void make_peer(struct made_peer *ret, const struct made *const *chain, size_t count)
{
	assert(count <= MADE_PEER_MOST);
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < count; i++) {
		gnutls_datum_t der;
		CHECKED(gnutls_x509_crt_export2(chain[i]->crt, GNUTLS_X509_FMT_DER, &der));
		ret->chain[i].der = str_from(der.data, der.size);
		ret->chain[i].spki = spki_of(chain[i]->crt);
		tlsio_digest_sha256(ret->chain[i].der, ret->chain[i].sha256);
		tlsio_digest_sha256(ret->chain[i].spki, ret->chain[i].spki_sha256);
	}
	ret->peer.version = TLSIO_TLS13;
	ret->peer.chain = ret->chain;
	ret->peer.chain_count = count;
	ret->peer.not_after_s = time(NULL) + 86400;
	if (count == 0)
		ret->peer.chain_faults = TLSIO_CHAIN_ABSENT;
}

void free_peer(struct made_peer *made)
{
	for (size_t i = 0; i < made->peer.chain_count; i++) {
		gnutls_free((void *)(uintptr_t)made->chain[i].der.at);
		gnutls_free((void *)(uintptr_t)made->chain[i].spki.at);
	}
}
