/* tlsio_failure: why a handshake or a record failed, in words that say which side lacked what.
 * Internal to libtlsio.
 *
 * For:     tlsio_session.
 */
#ifndef LIBTLSIO_TLSIO_FAILURE_H
#define LIBTLSIO_TLSIO_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_peer.h"

struct tlsio_failure {
	int rc;     /* GnuTLS's */
	int broken; /* errno of the transport; 0 none */
	bool is_server;
	bool is_handshake;
	enum tlsio_version minimum; /* ours */
	unsigned accepted;          /* TLSIO_PRIORITY_BIT of each version we take */
	unsigned offered;           /* the same of the peer's ClientHello; 0 unknown */
};

/* No version in common. */
bool tlsio_failure_is_version(const struct tlsio_failure *f);
/* Returns -1. Transport trouble is ERR_SYSTEM, all else ERR_TLS. */
int tlsio_failure_tell(const struct tlsio_failure *f, gnutls_session_t tls, struct err *err);

/* The versions a ClientHello (without its handshake header) offers, as TLSIO_PRIORITY_BITs; 0 when
 * it is not one. RFC 8446 4.2.1: supported_versions counts where present, else legacy_version. */
unsigned tlsio_failure_offered_versions(const gnutls_datum_t *client_hello);

#endif
