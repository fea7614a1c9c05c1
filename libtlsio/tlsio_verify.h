/* tlsio_verify: a peer's chain against authorities, purpose, time and names. Internal to libtlsio.
 *
 * For:     tlsio_peer_make; called after the handshake, also after a resumption, where GnuTLS
 *          itself verifies nothing.
 * Promise: facts only. Names by SAN dNSName alone, never the subject's common name (RFC 9525).
 */
#ifndef LIBTLSIO_TLSIO_VERIFY_H
#define LIBTLSIO_TLSIO_VERIFY_H

#include <stdbool.h>

#include <gnutls/x509.h>

#include "libtlsio/tlsio_trust.h"

/* trust NULL: UNCHECKED. purpose: GNUTLS_KP_TLS_WWW_SERVER or _CLIENT. Returns enum
 * tlsio_chain_fault bits. */
unsigned tlsio_verify_chain(const struct tlsio_trust *trust, const char *purpose,
	gnutls_x509_crt_t *chain, unsigned count);

bool tlsio_verify_has_dns_names(gnutls_x509_crt_t leaf);
/* "mx.example.net", or ".example.net" for any host below it. */
bool tlsio_verify_name(gnutls_x509_crt_t leaf, const char *name);

#endif
