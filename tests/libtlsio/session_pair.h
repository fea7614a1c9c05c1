/* session_pair: a TLS server and a TLS client, their sessions driven by hand over a memory pair.
 *
 * For:     the tests of tlsio_session and of what its wishes hold.
 */
#ifndef TESTS_LIBTLSIO_SESSION_PAIR_H
#define TESTS_LIBTLSIO_SESSION_PAIR_H

#include <stdbool.h>

#include "libtlsio/tlsio_session.h"
#include "libtlsio/tlsio_transport.h"

enum { PAIR_SERVER, PAIR_CLIENT };

struct session_pair {
	struct tlsio_loop *loop;
	struct tlsio_transport *ends[2];
	struct tlsio_session *sessions[2];
	enum tlsio_io io[2]; /* how each side's handshake ended */
	struct err err[2];
};

/* Both sides set up, nothing sent. capacity_bytes of each direction. */
void session_pair_open(struct session_pair *p, struct tlsio_server *server,
	struct tlsio_client *client, size_t capacity_bytes);
/* Until both are done or one failed; io and err say how. True when both are DONE. */
bool session_pair_handshake(struct session_pair *p);
/* The server writes nothing, with its tickets; the client reads what came and expects no data. */
void session_pair_settle(struct session_pair *p);
/* All of it from one side to the other, whatever the back-pressure; aborts the test when it does not
 * arrive whole. */
void session_pair_carry(struct session_pair *p, int from, const void *bytes, size_t length);
void session_pair_close(struct session_pair *p);

/* open, handshake (must succeed), settle */
void session_pair_connect(
	struct session_pair *p, struct tlsio_server *server, struct tlsio_client *client);
const struct tlsio_peer *session_pair_peer(struct session_pair *p, int of);

#endif
