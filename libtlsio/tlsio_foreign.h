/* tlsio_foreign: a TLS session that another library keeps, looked at as one of our own.
 *
 * For:     users of a library that speaks TLS through GnuTLS itself and shows its session (libcurl's
 *          CURLINFO_TLS_SSL_PTR): the same facts, found the same way, as for our own streams.
 * Promise: states facts, never judges; changes nothing in the session.
 */
#ifndef LIBTLSIO_TLSIO_FOREIGN_H
#define LIBTLSIO_TLSIO_FOREIGN_H

#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_trust.h"

/* session: a gnutls_session_t in the client's role, its handshake done; it must outlive the peer.
 * name: reference name (A-labels); trust: borrowed for the call, NULL = chain UNCHECKED. Gives. */
struct tlsio_peer *tlsio_foreign_peer(void *session, const char *name,
	const struct tlsio_trust *trust);
void tlsio_foreign_free(struct tlsio_peer **peer);

#endif
