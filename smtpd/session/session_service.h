/* session_service: what the sessions of one worker share. Inside of the room.
 *
 * For:     session.c (owner), session_client, session_store.
 */
#ifndef SMTPD_SESSION_SESSION_SERVICE_H
#define SMTPD_SESSION_SESSION_SERVICE_H

#include "libtlsio/base/list.h"
#include "smtpd/session/session.h"
#include "smtpd/session/session_limits.h"

/* Settings with the count of sessions that began with them. */
struct session_snapshot {
	const struct session_settings *settings;
	void (*on_unused)(void *ctx);
	void *ctx;
	size_t uses; /* sessions, and one while it is the current one */
};

struct session_service {
	struct tlsio_loop *loop;
	struct spool *spool;
	const struct session_gate *gate;
	void *gate_ctx;
	struct session_snapshot *current;
	struct session_limits *limits;
	struct list clients;
	int descriptors_most; /* clients get those below */
	struct session_counters counters;
	size_t envelope_bytes; /* of all transactions under way */
	struct tlsio_turn idle_turn;
	void (*on_idle)(void *ctx); /* set while draining */
	void *on_idle_ctx;
	bool is_draining;
};

/* A client is over: its place is free, its settings may be unused now. */
void session_service_leave(struct session_service *service, struct session_snapshot *snapshot,
	const struct netaddr *client);

#endif
