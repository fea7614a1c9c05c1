/* delegation_server: Postfix asks, the inbound rules answer.
 *
 * For:     postern-policyd.
 * Holds:   listeners, clients; borrows settings and rules of the configuration in force.
 * Promise: every request is answered, in the order they came, from memory, within the turn. Whoever sends
 *          what is no request is closed without an answer, as SMTPD_POLICY_README wants it: Postfix then does
 *          as smtpd_policy_service_default_action says. Idle clients are kept longer than Postfix
 *          keeps them (300 s); limits as sockets_clients keeps them, nobody else hears of it.
 *          A reload disturbs nobody: the next request is answered by the new rules.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_SERVER_H
#define SMTPD_DELEGATION_DELEGATION_SERVER_H

#include <stdint.h>

#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_transport.h"
#include "policy/policy_inbound.h"
#include "smtpd/inbound/inbound_settings.h"
#include "smtpd/sockets/sockets.h"

enum {
	DELEGATION_CLIENTS_MOST = 2000,	 /* each process smtpd has one */
	DELEGATION_PATIENCE_MS = 30000,	 /* for the rest of a request, or for reading an answer */
	DELEGATION_IDLE_MS = 3600 * 1000,
};

struct delegation_counters {
	uint64_t requests;
	uint64_t rejected, tempfailed; /* replies */
	/* Objections of rules that let mail go on. The sender's rule counts once for each message, however
	 * many recipients it has. */
	uint64_t quarantined, reported;
	uint64_t exempt; /* requests of which no rule was asked */
	uint64_t broken; /* what was no request */
};

struct delegation_server;

struct delegation_server *delegation_server_new(struct tlsio_loop *loop,
	const struct inbound_settings *settings, const struct policy_inbound *rules);
/* From now on these are asked; what was borrowed before is let go. */
void delegation_server_set_rules(struct delegation_server *server,
	const struct inbound_settings *settings, const struct policy_inbound *rules);
/* From now on these are listened to (shares; NULL: none). Those who are connected stay. */
void delegation_server_listen(struct delegation_server *server, struct sockets *sockets);
/* One more client, connected already; takes transport. */
void delegation_server_accept(struct delegation_server *server, struct tlsio_transport *transport);
size_t delegation_server_client_count(const struct delegation_server *server);
const struct delegation_counters *delegation_server_counters(const struct delegation_server *server);
/* Accepts NULL, sets NULL. */
void delegation_server_free(struct delegation_server **server);

#endif
