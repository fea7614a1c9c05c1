/* socketmap_server: who asks by socketmap, and the answers.
 *
 * For:     postern-policyd.
 * Holds:   one listener for each socket, the clients, their questions in flight.
 * Promise: every request is answered, in the order they came; what is known is answered at once, a
 *          whole buffer of requests by one write. Whoever breaks the protocol, does not read, or
 *          stops in the middle of a request is closed, and nobody else hears of it. Idle clients are
 *          kept (they come back every few seconds); beyond SOCKETMAP_CLIENTS_MOST the longest idle
 *          one makes room. Questions in flight are bounded, for each client and for all together:
 *          beyond that requests wait in the kernel, so that a flood here leaves the plan service room
 *          for others.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_SERVER_H
#define SMTPD_SOCKETMAP_SOCKETMAP_SERVER_H

#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_transport.h"
#include "policy/plan/plan_service.h"
#include "smtpd/sockets/sockets.h"

enum {
	SOCKETMAP_CLIENTS_MOST = 2000,
	SOCKETMAP_ASKED_MOST = 100,	/* unanswered, of one client */
	SOCKETMAP_IN_FLIGHT_MOST = 2000, /* questions, of all clients */
	SOCKETMAP_PATIENCE_MS = 30000,	/* for the rest of a request, or for reading an answer */
	SOCKETMAP_IDLE_MS = 3600 * 1000,
	SOCKETMAP_SENDMAIL_MS = 4000, /* Sendmail waits for 5 s */
};

struct socketmap_server;

struct socketmap_server *socketmap_server_new(struct tlsio_loop *loop, struct plan_service *service);
/* From now on these are listened to (shares; NULL: none). Those who are connected stay. */
void socketmap_server_listen(struct socketmap_server *server, struct sockets *sockets);
/* One more client, connected already; takes transport. */
void socketmap_server_accept(struct socketmap_server *server, struct tlsio_transport *transport);
/* After a reload. What was asked of the old one is still answered by it. */
void socketmap_server_set_service(struct socketmap_server *server, struct plan_service *service);
size_t socketmap_server_client_count(const struct socketmap_server *server);
/* Before the plan service. Accepts NULL, sets NULL. */
void socketmap_server_free(struct socketmap_server **server);

#endif
