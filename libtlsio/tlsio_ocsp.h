/* tlsio_ocsp: what a stapled OCSP response says of the leaf. Internal to libtlsio.
 *
 * For:     tlsio_peer_make. GnuTLS itself looks at a staple only when it verifies within the
 *          handshake, which we never let it do.
 * Promise: GOOD and REVOKED are the issuer's own words, or those of a responder whose certificate
 *          the issuer signed for this (RFC 6960 4.2.2.2), and fresh. Costs nothing without a staple.
 */
#ifndef LIBTLSIO_TLSIO_OCSP_H
#define LIBTLSIO_TLSIO_OCSP_H

#include <gnutls/x509.h>

#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trust.h"

/* The chain as shown, leaf first, count > 0. trust (may be NULL): its issuers count too, where the
 * leaf's own is not shown. */
enum tlsio_ocsp tlsio_ocsp_of_session(gnutls_session_t tls, gnutls_x509_crt_t *chain,
	unsigned count, const struct tlsio_trust *trust);

#endif
