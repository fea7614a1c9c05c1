#include "libtlsio/tlsio_peer.h"

#include <stdio.h>

#include <gnutls/x509.h>

#include "libtlsio/tlsio_verify.h"

enum { MAX_NAMES = 200, NAME_CAPACITY = 256 };

/* The index-th SAN when it is a dNSName that fits; *ret_end when there are no more. */
static bool dns_name(gnutls_x509_crt_t crt, unsigned index, char text[NAME_CAPACITY], bool *ret_end)
{
	size_t length = NAME_CAPACITY - 1;
	int kind = gnutls_x509_crt_get_subject_alt_name(crt, index, text, &length, NULL);
	*ret_end = kind == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
	if (kind != GNUTLS_SAN_DNSNAME)
		return false;
	text[length] = '\0';
	/* "mx.example.org\0.evil.example": a name with a NUL is no name. */
	return length > 0 && memchr(text, '\0', length) == NULL;
}

bool tlsio_peer_has_name(const struct tlsio_peer *peer, const char *name)
{
	gnutls_x509_crt_t crt = peer->chain_count ? tlsio_verify_import(peer->chain[0].der) : NULL;
	if (!crt)
		return false;
	bool found = tlsio_verify_name(crt, name);
	gnutls_x509_crt_deinit(crt);
	return found;
}

bool tlsio_peer_has_name_or_cn(const struct tlsio_peer *peer, const char *name)
{
	gnutls_x509_crt_t crt = peer->chain_count ? tlsio_verify_import(peer->chain[0].der) : NULL;
	if (!crt)
		return false;
	bool found = tlsio_verify_name(crt, name) || tlsio_verify_common_name(crt, name);
	gnutls_x509_crt_deinit(crt);
	return found;
}

const char *tlsio_peer_names_text(const struct tlsio_peer *peer, char *text, size_t capacity)
{
	gnutls_x509_crt_t crt = peer->chain_count ? tlsio_verify_import(peer->chain[0].der) : NULL;
	size_t used = 0;
	unsigned shown = 0, more = 0;
	bool end = !crt;
	text[0] = '\0';
	for (unsigned i = 0; !end && i < MAX_NAMES; i++) {
		char name[NAME_CAPACITY];
		if (!dns_name(crt, i, name, &end))
			continue;
		for (char *c = name; *c; c++)
			*c = (*c > ' ' && *c < 0x7f) ? *c : '?';
		if (shown == 3 || used + strlen(name) + 24 > capacity) {
			more++;
			continue;
		}
		used += (size_t)snprintf(text + used, capacity - used, "%s%s", shown++ ? ", " : "",
			name);
	}
	if (more && capacity - used > 16)
		snprintf(text + used, capacity - used, "%s%u more", shown ? " and " : "", more);
	if (crt)
		gnutls_x509_crt_deinit(crt);
	return text;
}
