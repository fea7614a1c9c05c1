/* tlsio_session_parts: what a session holds. Internal to libtlsio.
 *
 * For:     tlsio_session.c (its life) and tlsio_session_make.c (its beginning).
 */
#ifndef LIBTLSIO_TLSIO_SESSION_PARTS_H
#define LIBTLSIO_TLSIO_SESSION_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "libtlsio/tlsio_parts.h"
#include "libtlsio/tlsio_session.h"
#include "libtlsio/tlsio_wire.h"

struct tlsio_session {
	gnutls_session_t tls;
	struct tlsio_server *server; /* shares; one of the two */
	struct tlsio_client *client;
	struct tlsio_peer *peer; /* made when first asked for */
	struct tlsio_wire wire;
	int read_rc;       /* how reading ended, told again and again; 0 = it has not */
	int handshake_rc;  /* GNUTLS_E_AGAIN until the handshake is over */
	unsigned offered;  /* versions in the peer's ClientHello */
	uint8_t wants;     /* what the last AGAIN waits for */
	uint8_t warnings;  /* alerts of that level received */
	bool owes_tickets; /* a server's, until it first writes */
	bool has_said_bye;
	bool has_stored; /* this session is in the client's cache */
};

static inline int64_t tlsio_session_steady_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static inline struct str tlsio_session_cache_key(const struct tlsio_client *client)
{
	return str_from(client->cache_key, client->cache_key_length);
}

#endif
