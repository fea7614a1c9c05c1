/* session_client: one connection: moves bytes between its stream and its machine, keeps time.
 *
 * For:     session.c.
 * Holds:   stream, machine, the spool's writer; idle less than 1 KB.
 */
#ifndef SMTPD_SESSION_SESSION_CLIENT_H
#define SMTPD_SESSION_SESSION_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_stream.h"
#include "smtpd/session/session_machine.h"
#include "smtpd/session/session_service.h"

struct session_client {
	struct list link;
	struct session_service *service;
	struct session_snapshot *snapshot;
	const struct session_listener *listener;
	struct tlsio_stream *stream;
	struct session_machine machine;
	struct spool_writer *writer;
	struct session_question *question; /* while ASKING */
	struct netaddr remote;
	int64_t began_ms;
	size_t envelope_bytes; /* of the transaction, as counted in the service */
	uint64_t input_bytes; /* taken, commands and content */
	int64_t rate_began_ms; /* content: start of the minute under watch; -1 = none */
	uint64_t rate_bytes;
	bool is_input_over; /* the peer sends no more; what it sent is still answered */
};

/* Takes transport and one use of snapshot. */
void session_client_start(struct session_service *service, struct session_snapshot *snapshot,
	const struct session_listener *listener, struct tlsio_transport *transport,
	const struct netaddr *local, const struct netaddr *remote);
/* Idle: 421 now; a running transaction may finish. May free the client. */
void session_client_drain(struct session_client *client);
void session_client_abort(struct session_client *client); /* frees it */
struct session_facts session_client_facts(const struct session_client *client);
/* The gate answered (session_question). May free the client. */
void session_client_answered(struct session_client *client,
	const struct session_refusal *refusal);
/* The spool answered (session_store). May free the client. */
void session_client_stored(struct session_client *client, uint64_t id, const struct err *why);

#endif
