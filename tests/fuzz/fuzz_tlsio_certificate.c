#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A P-256 key (SubjectPublicKeyInfo) that signed nothing. */
static const uint8_t key[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
	0x04, 0xf1, 0x95, 0xdd, 0xa4, 0x51, 0xb1, 0xc7, 0xc3, 0xff, 0x23, 0xf6, 0xb2, 0x56, 0x14,
	0x9a, 0xc6, 0x31, 0xb9, 0xfc, 0x2e, 0x99, 0x3f, 0x08, 0xac, 0xa9, 0xf6, 0xa3, 0xb5, 0x0b,
	0x7a, 0xa7, 0x13, 0xd2, 0x8c, 0xb5, 0x44, 0x9e, 0x66, 0x5e, 0xd5, 0x67, 0x4d, 0xe0, 0xfd,
	0x25, 0xaa, 0xe0, 0xb4, 0x2c, 0x53, 0x41, 0x1e, 0x60, 0x67, 0x84, 0xf0, 0x84, 0xe4, 0xd9,
	0x71, 0x5a, 0x0d, 0x75, 0xf7 };

/* A peer's leaf, as DER: names, dates and purpose of whatever parses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gnutls_x509_crt_t leaf;
	gnutls_datum_t der = { (unsigned char *)(uintptr_t)data, (unsigned)size };
	struct tlsio_certificate certificate = { .der = str_from(data, size) };
	struct tlsio_peer peer = { .chain = &certificate, .chain_count = 1 };
	char text[120];

	assert(strlen(tlsio_peer_names_text(&peer, text, sizeof(text))) < sizeof(text));
	bool peer_has = tlsio_peer_has_name(&peer, "mx.example.net");
	assert(!peer_has || tlsio_peer_has_name_or_cn(&peer, "mx.example.net"));
	tlsio_peer_faults_to(&peer, certificate.der);
	/* The key is another's: what it checks is the shape. */
	assert(tlsio_peer_faults_to_key(&peer, str_from(key, sizeof(key))) != 0);
	if (gnutls_x509_crt_init(&leaf) < 0)
		return 0;
	if (gnutls_x509_crt_import(leaf, &der, GNUTLS_X509_FMT_DER) == 0) {
		bool has_names = tlsio_verify_has_dns_names(leaf);
		bool is_host = tlsio_verify_name(leaf, "mx.example.net");
		assert(is_host == peer_has);
		/* Who is that host is below its domain; who has no name is nobody. */
		if (is_host)
			assert(has_names && tlsio_verify_name(leaf, ".example.net"));
		unsigned faults = tlsio_verify_chain(NULL, GNUTLS_KP_TLS_WWW_SERVER, &leaf, 1);
		assert(faults & TLSIO_CHAIN_UNCHECKED);
	} else {
		assert(!peer_has);
	}
	gnutls_x509_crt_deinit(leaf);
	return 0;
}
