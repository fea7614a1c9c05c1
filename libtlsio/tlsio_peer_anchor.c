/* Does a chain lead to this one authority? A fresh list with it alone: nothing else may help. */
#include "libtlsio/tlsio_peer.h"

#include <stdlib.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_verify.h"

enum { MOST_SIGNED = 4 }; /* by one key, in one chain */

struct parsed_chain {
	gnutls_x509_crt_t *crts;
	size_t count; /* up to the first that cannot be parsed */
};

static struct parsed_chain parse_chain(const struct tlsio_peer *peer)
{
	struct parsed_chain chain = { mem_array(peer->chain_count, sizeof(*chain.crts)), 0 };
	while (chain.count < peer->chain_count &&
		(chain.crts[chain.count] = tlsio_verify_import(peer->chain[chain.count].der)))
		chain.count++;
	return chain;
}

static void free_chain(struct parsed_chain *chain)
{
	while (chain->count > 0)
		gnutls_x509_crt_deinit(chain->crts[--chain->count]);
	free(chain->crts);
}

static bool verifies_to(gnutls_x509_crt_t *path, unsigned count, gnutls_x509_crt_t anchor)
{
	gnutls_x509_trust_list_t list;
	if (gnutls_x509_trust_list_init(&list, 1) < 0)
		return false;
	unsigned status = 0;
	bool is_good = gnutls_x509_trust_list_add_cas(list, &anchor, 1, 0) == 1 &&
		       gnutls_x509_trust_list_verify_crt2(
			       list, path, count, NULL, 0, 0, &status, NULL) == 0 &&
		       status == 0;
	gnutls_x509_trust_list_deinit(list, 0);
	return is_good;
}

bool tlsio_peer_leads_to(const struct tlsio_peer *peer, size_t index)
{
	if (index >= peer->chain_count)
		return false;
	if (index == 0)
		return true;
	struct parsed_chain chain = parse_chain(peer);
	bool leads =
		chain.count > index && verifies_to(chain.crts, (unsigned)index, chain.crts[index]);
	free_chain(&chain);
	return leads;
}

static bool is_strong_key(int algorithm, unsigned bits)
{
	return algorithm > 0 && gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)algorithm,
					bits) >= GNUTLS_SEC_PARAM_MEDIUM;
}

/* The leaf is its own anchor: nobody's signature counts, but its dates, purpose and key do. */
static unsigned faults_of_itself(gnutls_x509_crt_t leaf)
{
	unsigned bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf, &bits);
	return tlsio_verify_alone(leaf, GNUTLS_KP_TLS_WWW_SERVER) |
	       (is_strong_key(algorithm, bits) ? 0 : TLSIO_CHAIN_WEAK);
}

/* The chain up to the anchor, as GnuTLS sorts it (a peer may send it in any order and with strangers
 * among it, RFC 8446 4.4.2): UNTRUSTED where it does not come there. */
static unsigned faults_up_to(const struct parsed_chain *chain, gnutls_x509_crt_t anchor)
{
	if (gnutls_x509_crt_equals(chain->crts[0], anchor))
		return faults_of_itself(anchor);
	gnutls_x509_trust_list_t list;
	if (gnutls_x509_trust_list_init(&list, 1) < 0 ||
		gnutls_x509_trust_list_add_cas(list, &anchor, 1, 0) != 1)
		abort();
	unsigned faults = tlsio_verify_chain_to(
		list, GNUTLS_KP_TLS_WWW_SERVER, chain->crts, (unsigned)chain->count);
	/* Its issuer may be the anchor while what was sent besides it leads elsewhere. */
	if (faults && chain->count > 1) {
		unsigned direct =
			tlsio_verify_chain_to(list, GNUTLS_KP_TLS_WWW_SERVER, chain->crts, 1);
		if (!(direct & (TLSIO_CHAIN_UNTRUSTED | TLSIO_CHAIN_BROKEN)))
			faults = direct;
	}
	gnutls_x509_trust_list_deinit(list, 0);
	return faults;
}

unsigned tlsio_peer_faults_to(const struct tlsio_peer *peer, struct str anchor_der)
{
	if (peer->chain_count == 0)
		return TLSIO_CHAIN_ABSENT;
	gnutls_x509_crt_t anchor = tlsio_verify_import(anchor_der);
	if (!anchor)
		return TLSIO_CHAIN_UNTRUSTED;
	struct parsed_chain chain = parse_chain(peer);
	unsigned faults = chain.count ? faults_up_to(&chain, anchor) : TLSIO_CHAIN_BROKEN;
	free_chain(&chain);
	gnutls_x509_crt_deinit(anchor);
	return faults;
}

static gnutls_pubkey_t import_key(struct str spki_der)
{
	gnutls_datum_t der = { (unsigned char *)(uintptr_t)spki_der.at, (unsigned)spki_der.length };
	gnutls_pubkey_t key;
	if (spki_der.length == 0 || gnutls_pubkey_init(&key) < 0)
		return NULL;
	if (gnutls_pubkey_import(key, &der, GNUTLS_X509_FMT_DER) < 0) {
		gnutls_pubkey_deinit(key);
		return NULL;
	}
	return key;
}

/* Takes the SEQUENCE at the front of *from: the whole of it and what is inside. Only definite lengths
 * of up to three bytes: DER knows no others, and no certificate is larger. */
static bool take_sequence(struct str from, struct str *ret_whole, struct str *ret_inside)
{
	const unsigned char *at = (const unsigned char *)from.at;
	if (from.length < 2 || at[0] != 0x30)
		return false;
	size_t header = 2, length = at[1];
	if (length & 0x80) {
		size_t count = length & 0x7f;
		if (count == 0 || count > 3 || from.length < 2 + count)
			return false;
		length = 0;
		for (size_t i = 0; i < count; i++)
			length = length << 8 | at[2 + i];
		header += count;
	}
	if (length > from.length - header)
		return false;
	*ret_whole = str_head(from, header + length);
	*ret_inside = str_skip(*ret_whole, header);
	return true;
}

/* TBSCertificate (RFC 5280 4.1), the first element of a certificate; GnuTLS does not give it. */
static bool signed_part(struct str der, struct str *ret)
{
	struct str whole, inside, fields;
	return take_sequence(der, &whole, &inside) && take_sequence(inside, ret, &fields);
}

/* The certificate carries a signature of the key; *ret_faults: WEAK or 0. */
static bool is_signed_by(
	gnutls_x509_crt_t crt, struct str der, gnutls_pubkey_t key, unsigned *ret_faults)
{
	struct str covered;
	unsigned char bytes[1024]; /* RSA of 8192 bits */
	size_t length = sizeof(bytes);
	int algorithm = gnutls_x509_crt_get_signature_algorithm(crt);
	if (algorithm <= 0 || !signed_part(der, &covered) ||
		gnutls_x509_crt_get_signature(crt, (char *)bytes, &length) < 0)
		return false;
	gnutls_datum_t data = { (unsigned char *)(uintptr_t)covered.at, (unsigned)covered.length };
	gnutls_datum_t signature = { bytes, (unsigned)length };
	if (gnutls_pubkey_verify_data2(key, (gnutls_sign_algorithm_t)algorithm,
		    GNUTLS_VERIFY_ALLOW_BROKEN, &data, &signature) < 0)
		return false;
	unsigned bits = 0;
	int kind = gnutls_pubkey_get_pk_algorithm(key, &bits);
	bool is_strong = is_strong_key(kind, bits) &&
			 gnutls_sign_is_secure2((gnutls_sign_algorithm_t)algorithm,
				 GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS);
	*ret_faults = is_strong ? 0 : TLSIO_CHAIN_WEAK;
	return true;
}

/* What the key signed is trusted only as far as it says: to GnuTLS a certificate of version 1, which
 * any customer of the authority may have, is an authority once it is trusted. */
static unsigned faults_below(const struct parsed_chain *chain, size_t index)
{
	unsigned critical;
	bool is_authority = gnutls_x509_crt_get_ca_status(chain->crts[index], &critical) > 0;
	return index > 0 && !is_authority ? TLSIO_CHAIN_BROKEN
					  : faults_up_to(chain, chain->crts[index]);
}

/* A good way there, or else the faults of the first one. An authority signs the leaf or one issuer
 * above it; a chain with more of its signatures is made to cost time. */
static unsigned faults_up_to_key(
	const struct tlsio_peer *peer, const struct parsed_chain *chain, gnutls_pubkey_t key)
{
	unsigned best = TLSIO_CHAIN_UNTRUSTED;
	size_t tried = 0;
	for (size_t i = 0; i < chain->count && best && tried < MOST_SIGNED; i++) {
		unsigned faults = 0;
		if (!is_signed_by(chain->crts[i], peer->chain[i].der, key, &faults))
			continue;
		tried++;
		faults |= faults_below(chain, i);
		if (best == TLSIO_CHAIN_UNTRUSTED || faults == 0)
			best = faults;
	}
	return best;
}

unsigned tlsio_peer_faults_to_key(const struct tlsio_peer *peer, struct str spki_der)
{
	if (peer->chain_count == 0)
		return TLSIO_CHAIN_ABSENT;
	gnutls_pubkey_t key = import_key(spki_der);
	if (!key)
		return TLSIO_CHAIN_UNTRUSTED;
	struct parsed_chain chain = parse_chain(peer);
	unsigned faults = chain.count ? faults_up_to_key(peer, &chain, key) : TLSIO_CHAIN_BROKEN;
	free_chain(&chain);
	gnutls_pubkey_deinit(key);
	return faults;
}

bool tlsio_peer_is_certificate(struct str der)
{
	gnutls_x509_crt_t crt = tlsio_verify_import(der);
	if (crt)
		gnutls_x509_crt_deinit(crt);
	return crt != NULL;
}

bool tlsio_peer_is_key(struct str spki_der)
{
	gnutls_pubkey_t key = import_key(spki_der);
	if (key)
		gnutls_pubkey_deinit(key);
	return key != NULL;
}
