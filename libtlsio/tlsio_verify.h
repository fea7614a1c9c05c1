/* tlsio_verify: a peer's chain against authorities, purpose, time and names. Internal to libtlsio.
 *
 * For:     tlsio_peer_make; called after the handshake, also after a resumption, where GnuTLS
 *          itself verifies nothing.
 * Promise: facts only. Names by SAN dNSName alone (RFC 9525), but for the one function that says so.
 */
#ifndef LIBTLSIO_TLSIO_VERIFY_H
#define LIBTLSIO_TLSIO_VERIFY_H

#include <stdbool.h>

#include <gnutls/x509.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_trust.h"

/* trust NULL: UNCHECKED. purpose: GNUTLS_KP_TLS_WWW_SERVER or _CLIENT. Returns enum
 * tlsio_chain_fault bits. */
unsigned tlsio_verify_chain(const struct tlsio_trust *trust, const char *purpose,
	gnutls_x509_crt_t *chain, unsigned count);

/* The same against a list of one's own making. */
unsigned tlsio_verify_chain_to(gnutls_x509_trust_list_t trusted, const char *purpose,
	gnutls_x509_crt_t *chain, unsigned count);
/* A certificate that is trusted itself: its dates and purpose are left to look at. */
unsigned tlsio_verify_alone(gnutls_x509_crt_t leaf, const char *purpose);

/* NULL when it is none. */
gnutls_x509_crt_t tlsio_verify_import(struct str der);

bool tlsio_verify_has_dns_names(gnutls_x509_crt_t leaf);
/* "mx.example.net", or ".example.net" for any host below it. */
bool tlsio_verify_name(gnutls_x509_crt_t leaf, const char *name);
/* The same by the subject's only common name, of a leaf whose SAN has no dNSName at all, not even
 * an unusable one. For DANE alone (RFC 7672 3.2.3). */
bool tlsio_verify_common_name(gnutls_x509_crt_t leaf, const char *name);

#endif
