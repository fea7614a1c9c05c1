/* tlsio_peer_make: the facts of a finished handshake, collected. Internal to libtlsio.
 *
 * For:     tlsio_session.
 * Promise: the chain's DER is GnuTLS's own copy (lives as long as its session); a peer without a
 *          chain costs one small block.
 */
#ifndef LIBTLSIO_TLSIO_PEER_MAKE_H
#define LIBTLSIO_TLSIO_PEER_MAKE_H

#include <gnutls/gnutls.h>

#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trust.h"

struct tlsio_peer_against {
	const struct tlsio_trust *trust; /* NULL = chain UNCHECKED */
	const char *purpose;
	char *const *names; /* borrowed for the peer's life: matched_name points there */
	size_t name_count;
	const char *server_name; /* sent; NULL = take the received one */
};

struct tlsio_peer *tlsio_peer_make(gnutls_session_t tls, const struct tlsio_peer_against *against);
void tlsio_peer_free(struct tlsio_peer **peer);

#endif
