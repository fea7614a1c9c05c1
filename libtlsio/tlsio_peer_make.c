#include "libtlsio/tlsio_peer_make.h"

#include <stdlib.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"
#include "libtlsio/tlsio_iana.h"
#include "libtlsio/tlsio_ocsp.h"
#include "libtlsio/tlsio_verify.h"

enum { MAX_CHAIN = 16, MAX_SERVER_NAME_BYTES = 255 };

struct made_peer {
	struct tlsio_peer peer; /* first: what others see */
	struct tlsio_certificate *chain;
	char *server_name;
	char *subject;
	char *issuer;
};

static void describe_session(struct tlsio_peer *peer, gnutls_session_t tls)
{
	switch (gnutls_protocol_get_version(tls)) {
	case GNUTLS_TLS1_2:
		peer->version = TLSIO_TLS12;
		break;
	case GNUTLS_TLS1_3:
		peer->version = TLSIO_TLS13;
		break;
	default:
		break;
	}
	peer->suite = gnutls_ciphersuite_get(tls);
	if (peer->suite)
		peer->suite_id = tlsio_iana_suite_id(peer->suite);
	gnutls_group_t group = gnutls_group_get(tls);
	const char *group_name = group ? gnutls_group_get_name(group) : NULL;
	peer->group = group_name ? tlsio_iana_group(group_name) : NULL;
	peer->is_resumed = gnutls_session_is_resumed(tls) != 0;
}

/* Peer-controlled text that goes to logs: host name characters or nothing. */
static char *received_server_name(gnutls_session_t tls)
{
	char text[MAX_SERVER_NAME_BYTES + 1];
	size_t length = sizeof(text);
	unsigned type;
	if (gnutls_server_name_get(tls, text, &length, &type, 0) < 0 || type != GNUTLS_NAME_DNS ||
		length == 0)
		return NULL;
	length = strnlen(text, length);
	for (size_t i = 0; i < length; i++) {
		char c = str_lower(text[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
			c != '_')
			return NULL;
	}
	return length ? mem_dup_bytes(text, length) : NULL;
}

static char *name_text(
	gnutls_x509_crt_t crt, int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
	gnutls_datum_t text = { NULL, 0 };
	if (get(crt, &text, 0) < 0)
		return NULL;
	char *copy = mem_dup_bytes(text.data, text.size);
	gnutls_free(text.data);
	return copy;
}

/* As GnuTLS read and uses it, written anew, never cut out of the certificate's bytes: a certificate
 * that two parsers read differently could show one key to pins and DANE and use another. Some have a
 * key that GnuTLS cannot read: then there is no SPKI to pin. */
static void describe_key(struct tlsio_certificate *into, gnutls_x509_crt_t crt)
{
	gnutls_pubkey_t key;
	gnutls_datum_t spki = { NULL, 0 };
	if (gnutls_pubkey_init(&key) < 0)
		abort();
	if (gnutls_pubkey_import_x509(key, crt, 0) == 0 &&
		gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki) == 0) {
		into->spki = str_from(mem_dup_bytes(spki.data, spki.size), spki.size);
		tlsio_digest_sha256(into->spki, into->spki_sha256);
		gnutls_free(spki.data);
	}
	gnutls_pubkey_deinit(key);
}

/* A server's staple; a fact for the log and a fault when it says revoked. */
static void describe_staple(struct tlsio_peer *peer, gnutls_session_t tls,
	gnutls_x509_crt_t *chain, unsigned count, const struct tlsio_peer_against *against)
{
	if (strcmp(against->purpose, GNUTLS_KP_TLS_WWW_SERVER) != 0)
		return;
	peer->ocsp = tlsio_ocsp_of_session(tls, chain, count, against->trust);
	if (peer->ocsp == TLSIO_OCSP_REVOKED)
		peer->chain_faults |= TLSIO_CHAIN_REVOKED;
}

static void describe_leaf(
	struct made_peer *made, gnutls_x509_crt_t leaf, const struct tlsio_peer_against *against)
{
	made->subject = name_text(leaf, gnutls_x509_crt_get_dn3);
	made->issuer = name_text(leaf, gnutls_x509_crt_get_issuer_dn3);
	made->peer.subject = made->subject;
	made->peer.issuer = made->issuer;
	made->peer.not_after_s = gnutls_x509_crt_get_expiration_time(leaf);
	made->peer.has_dns_names = tlsio_verify_has_dns_names(leaf);
	for (size_t i = 0; i < against->name_count && !made->peer.matched_name; i++)
		if (tlsio_verify_name(leaf, against->names[i]))
			made->peer.matched_name = against->names[i];
}

/* Returns how many could be parsed. */
static unsigned import_chain(const gnutls_datum_t *raw, unsigned count, gnutls_x509_crt_t *ret)
{
	for (unsigned i = 0; i < count; i++) {
		if (gnutls_x509_crt_init(&ret[i]) < 0)
			abort();
		if (gnutls_x509_crt_import(ret[i], &raw[i], GNUTLS_X509_FMT_DER) < 0) {
			gnutls_x509_crt_deinit(ret[i]);
			return i;
		}
	}
	return count;
}

static void describe_chain(
	struct made_peer *made, gnutls_session_t tls, const struct tlsio_peer_against *against)
{
	unsigned count = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(tls, &count);
	if (!raw || count == 0) {
		made->peer.chain_faults = TLSIO_CHAIN_ABSENT;
		return;
	}
	unsigned shown = count < MAX_CHAIN ? count : MAX_CHAIN;
	gnutls_x509_crt_t parsed[MAX_CHAIN];
	unsigned good = import_chain(raw, shown, parsed);

	made->chain = mem_zero(shown * sizeof(*made->chain));
	made->peer.chain = made->chain;
	made->peer.chain_count = shown;
	for (unsigned i = 0; i < shown; i++) {
		made->chain[i].der = str_from(raw[i].data, raw[i].size);
		tlsio_digest_sha256(made->chain[i].der, made->chain[i].sha256);
		if (i < good)
			describe_key(&made->chain[i], parsed[i]);
	}
	if (good > 0) {
		describe_leaf(made, parsed[0], against);
		made->peer.chain_faults =
			tlsio_verify_chain(against->trust, against->purpose, parsed, good);
		describe_staple(&made->peer, tls, parsed, good, against);
	}
	if (good < count)
		made->peer.chain_faults |= TLSIO_CHAIN_BROKEN;
	while (good > 0)
		gnutls_x509_crt_deinit(parsed[--good]);
}

struct tlsio_peer *tlsio_peer_make(gnutls_session_t tls, const struct tlsio_peer_against *against)
{
	struct made_peer *made = mem_zero(sizeof(*made));
	describe_session(&made->peer, tls);
	made->server_name =
		against->server_name ? mem_dup(against->server_name) : received_server_name(tls);
	made->peer.server_name = made->server_name;
	describe_chain(made, tls, against);
	return &made->peer;
}

void tlsio_peer_free(struct tlsio_peer **peer)
{
	struct made_peer *made = (struct made_peer *)*peer;
	*peer = NULL;
	if (!made)
		return;
	for (size_t i = 0; i < made->peer.chain_count; i++)
		free((char *)(uintptr_t)made->chain[i].spki.at);
	free(made->chain);
	free(made->server_name);
	free(made->subject);
	free(made->issuer);
	free(made);
}
