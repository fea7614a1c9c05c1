#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libtlsio/tlsio_der.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	struct str to_be_signed, spki;
	bool has_parts = tlsio_der_certificate(certificate.der, &to_be_signed, &spki);
	assert(has_parts == (spki.length > 0) && spki.length <= to_be_signed.length);
	tlsio_peer_faults_to(&peer, certificate.der);
	tlsio_peer_faults_to_key(&peer, spki);
	if (gnutls_x509_crt_init(&leaf) < 0)
		return 0;
	if (gnutls_x509_crt_import(leaf, &der, GNUTLS_X509_FMT_DER) == 0) {
		assert(has_parts);
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
