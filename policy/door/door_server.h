/* door_server: postern-policyd's native socket.
 *
 * Promise: a client that sends garbage, too much, or reads nothing loses its connection and nothing
 *          else; at most 1000 clients, 1000 questions in flight of one client (beyond: not read until
 *          some are answered); answers of one turn leave in one write.
 */
#ifndef POLICY_DOOR_DOOR_SERVER_H
#define POLICY_DOOR_DOOR_SERVER_H

#include "libtlsio/tlsio_loop.h"
#include "policy/plan/plan_service.h"

struct door_server;

/* Borrows listen_fd (unix stream, listening) and service. */
struct door_server *door_server_new(struct tlsio_loop *loop, int listen_fd,
	struct plan_service *service);
void door_server_free(struct door_server **server);
/* New questions go there (borrowed); those in flight stay with the service they were asked of. Every
 * client is told to forget its plans: call it after every change of rules, with the same service too. */
void door_server_set_service(struct door_server *server, struct plan_service *service);
/* What the start-up self-check found (enum dns_check_result): told to every client. */
void door_server_set_check(struct door_server *server, int result, const char *words);
size_t door_server_client_count(const struct door_server *server);

#endif
