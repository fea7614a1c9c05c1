#include "libtlsio/tlsio_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include <gnutls/x509.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_verify.h"

enum { MAX_NAMES = 200, NAME_CAPACITY = 256 };

static gnutls_x509_crt_t parse(const struct tlsio_certificate *certificate)
{
	gnutls_datum_t der = { (unsigned char *)(uintptr_t)certificate->der.at,
		(unsigned)certificate->der.length };
	gnutls_x509_crt_t crt;
	if (gnutls_x509_crt_init(&crt) < 0)
		return NULL;
	if (gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) < 0) {
		gnutls_x509_crt_deinit(crt);
		return NULL;
	}
	return crt;
}

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
	gnutls_x509_crt_t crt = peer->chain_count ? parse(&peer->chain[0]) : NULL;
	if (!crt)
		return false;
	bool found = tlsio_verify_name(crt, name);
	gnutls_x509_crt_deinit(crt);
	return found;
}

const char *tlsio_peer_names_text(const struct tlsio_peer *peer, char *text, size_t capacity)
{
	gnutls_x509_crt_t crt = peer->chain_count ? parse(&peer->chain[0]) : NULL;
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

static bool verifies_to(gnutls_x509_crt_t *path, unsigned count, gnutls_x509_crt_t anchor)
{
	gnutls_x509_trust_list_t list;
	if (gnutls_x509_trust_list_init(&list, 1) < 0)
		return false;
	unsigned status = 0;
	bool is_good = gnutls_x509_trust_list_add_cas(list, &anchor, 1, 0) == 1 &&
		gnutls_x509_trust_list_verify_crt2(list, path, count, NULL, 0, 0, &status, NULL) ==
			0 &&
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
	gnutls_x509_crt_t *path = mem_array(index + 1, sizeof(*path));
	size_t count = 0;
	while (count <= index && (path[count] = parse(&peer->chain[count])) != NULL)
		count++;
	bool leads = count == index + 1 && verifies_to(path, (unsigned)index, path[index]);
	while (count > 0)
		gnutls_x509_crt_deinit(path[--count]);
	free(path);
	return leads;
}
