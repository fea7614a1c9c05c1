/* relay_connection: one connection to a next hop: a machine on a stream.
 *
 * For:     relay, which makes them, gives them transactions and keeps idle ones.
 * Holds:   the stream, the machine, the body that is under way.
 * Promise: exactly one on_over; afterwards the connection says its goodbye and frees itself.
 *          Every wait has a time limit; the body is read only as fast as the peer takes it.
 */
#ifndef SMTPD_RELAY_RELAY_CONNECTION_H
#define SMTPD_RELAY_RELAY_CONNECTION_H

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_transport.h"
#include "smtpd/relay/relay_hop.h"
#include "smtpd/relay/relay_machine.h"
#include "smtpd/relay/relay_settings.h"
#include "smtpd/spool/spool.h"

struct relay_connection;

struct relay_connection_events {
	/* The TLS wishes for this connection; gives a reference, NULL with err. */
	struct tlsio_client *(*tls_client)(void *ctx, struct relay_connection *c,
		struct err *err);
	/* Judged, passed, READY for the first transaction. */
	void (*on_ready)(void *ctx, struct relay_connection *c);
	/* READY again; call relay_connection_begin, _rest or _quit. */
	void (*on_transaction_over)(void *ctx, struct relay_connection *c);
	/* Forget it. The facts (peer, judgement) are good for the call. */
	void (*on_over)(void *ctx, struct relay_connection *c,
		const struct relay_machine_end *end);
};

struct relay_connection_setup {
	struct tlsio_loop *loop;
	const struct relay_settings *settings; /* borrowed: see relay_connection_set_settings */
	struct relay_hop *hop;		       /* shares */
	const struct netaddr *local;
	bool stays_in_clear;
	unsigned identity; /* relay_pool_identity when it was dialled */
	struct list *all; /* the connection is on this list while it lives, goodbye included */
};

/* Takes transport. */
struct relay_connection *relay_connection_new(const struct relay_connection_setup *setup,
	struct tlsio_transport *transport, const struct relay_connection_events *events, void *ctx);
void relay_connection_set_settings(struct relay_connection *c,
	const struct relay_settings *settings);
/* Begins: no event before this call. */
void relay_connection_start(struct relay_connection *c);
/* The owner's pointer: whose transaction it carries; NULL while idle. */
void relay_connection_set_job(struct relay_connection *c, void *job);
void *relay_connection_job(const struct relay_connection *c);
/* The one it was made for; a job that finds it in the pool has its own with the same key. */
struct relay_hop *relay_connection_hop(const struct relay_connection *c);
unsigned relay_connection_identity(const struct relay_connection *c);
/* In clear because TLS failed before (level may). */
bool relay_connection_stays_in_clear(const struct relay_connection *c);

/* Both borrowed until on_transaction_over or on_over; reader at the start of the message. */
void relay_connection_begin(struct relay_connection *c, struct relay_transaction *transaction,
	struct spool_reader *reader);
/* Idle: goes by itself after idle_ms. */
void relay_connection_rest(struct relay_connection *c);
void relay_connection_quit(struct relay_connection *c);
/* At once, without an event. */
void relay_connection_abort(struct relay_connection *c);

const struct tlsio_peer *relay_connection_peer(const struct relay_connection *c); /* NULL: clear */
const struct policy_judgement *relay_connection_judgement(const struct relay_connection *c);
const struct smtp_ehlo *relay_connection_ehlo(const struct relay_connection *c);
const struct netaddr *relay_connection_remote(const struct relay_connection *c);
const struct netaddr *relay_connection_local(const struct relay_connection *c);
/* TLS was begun, or asked for, and did not come up: why; NULL: it was not asked for, or is there. */
const char *relay_connection_tls_fault(const struct relay_connection *c);
/* ... since the peer fell silent: that says nothing of its TLS. */
bool relay_connection_is_silent(const struct relay_connection *c);
/* False: it was called for this domain before, the last time. */
bool relay_connection_count_for(struct relay_connection *c, const char *domain);
unsigned relay_connection_transaction_count(const struct relay_connection *c);
/* Stray CR and LF that were made blanks in the last body: none, unless the spool is wrong. */
uint64_t relay_connection_mended_count(const struct relay_connection *c);

/* On the owner's list `all`; and the pool's two: idle ones of a key, all idle ones by age. */
struct relay_connection *relay_connection_of_all(struct list *node);
struct list *relay_connection_link(struct relay_connection *c);
struct relay_connection *relay_connection_of_link(struct list *node);
struct list *relay_connection_age_link(struct relay_connection *c);
struct relay_connection *relay_connection_of_age_link(struct list *node);

#endif
