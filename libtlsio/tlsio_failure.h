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
	int rc;			    /* GnuTLS's */
	int broken;		    /* errno of the transport; 0 none */
	bool is_server;
	bool is_handshake;
	enum tlsio_version minimum; /* ours */
	uint16_t offered;	    /* the highest version in the peer's ClientHello; 0 unknown */
};

/* Nothing the peer offers reaches our minimum version. */
bool tlsio_failure_is_version(const struct tlsio_failure *f);
/* Returns -1. Transport trouble is ERR_SYSTEM, all else ERR_TLS. */
int tlsio_failure_tell(const struct tlsio_failure *f, gnutls_session_t tls, struct err *err);

/* The highest version a ClientHello (without its handshake header) offers; 0 when it is not one.
 * RFC 8446 4.2.1: supported_versions counts where present, else legacy_version. */
uint16_t tlsio_failure_highest_offer(const gnutls_datum_t *client_hello);

#endif
