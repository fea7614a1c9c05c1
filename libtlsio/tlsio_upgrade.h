/* tlsio_upgrade: plaintext becomes TLS in place; THE guard for every STARTTLS (RFC 3207).
 *
 * For:     sessions (server role) and relays (client role).
 * Promise: TLS never starts while a plaintext byte of the peer is buffered: such bytes are what an
 *          attacker injects before the handshake (CVE-2011-0411 class). Four steps, fixed order:
 *            1. tlsio_upgrade_hold: stop reading; how many plaintext bytes are left? Any: refuse.
 *            2. queue our last plaintext ("220 ready" or nothing);
 *            3. tlsio_upgrade_server / _client: flush it, then handshake;
 *            4. at on_secured: forget everything learned in plaintext (the caller's duty).
 *          Steps 3 without 1, or with leftovers, are refused by the call itself.
 */
#ifndef LIBTLSIO_TLSIO_UPGRADE_H
#define LIBTLSIO_TLSIO_UPGRADE_H

#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_stream.h"

/* Stop reading. Returns the number of unconsumed plaintext bytes already received. */
size_t tlsio_upgrade_hold(struct tlsio_stream *s);

/* Start the handshake once queued output is sent. -1 (ERR_PEER) when not held or bytes are left
 * over, the text naming the count; the stream then stays in clear and must be closed. On success
 * on_secured or on_end follows. Shares server / client. */
int tlsio_upgrade_server(struct tlsio_stream *s, struct tlsio_server *server, struct err *err);
int tlsio_upgrade_client(struct tlsio_stream *s, struct tlsio_client *client, struct err *err);

/* Implicit TLS (RFC 8314): the same on a fresh stream that has carried nothing. */
int tlsio_upgrade_server_at_once(struct tlsio_stream *s, struct tlsio_server *server,
	struct err *err);
int tlsio_upgrade_client_at_once(struct tlsio_stream *s, struct tlsio_client *client,
	struct err *err);

#endif
