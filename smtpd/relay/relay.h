/* relay: we talk to a next hop: SMTP, LMTP, or a Maildir.
 *
 * For:     the worker: sched says start, relay answers with an outcome per recipient.
 * Holds:   connections, used and idle, pooled by the key of their hop; the client TLS session cache;
 *          one thread for host names (the system resolver blocks).
 * Promise: exactly one on_outcome per relay_start, with every recipient named once; a connection
 *          that does not meet its hop's requirement carries no byte of mail; the body is
 *          streamed from the spool; nothing sent onward has a bare CR or LF.
 */
#ifndef SMTPD_RELAY_RELAY_H
#define SMTPD_RELAY_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/relay/relay_destination.h"
#include "smtpd/relay/relay_planner.h"
#include "smtpd/relay/relay_settings.h"
#include "smtpd/spool/spool.h"

struct relay;

enum relay_outcome_kind {
	RELAY_DELIVERED,
	RELAY_DEFERRED,	   /* 4xx or policy or network: try again */
	RELAY_FAILED,	   /* 5xx: bounce */
};

struct relay_outcome {
	uint32_t recipient;	   /* index in the envelope */
	enum relay_outcome_kind kind;
	char enhanced[12];	   /* "2.0.0", "4.7.5" */
	char text[400];		   /* the peer's reply or our sentence; one line, printable */
	char host[128];		   /* who said it, for the DSN's Remote-MTA; "" = we */
	bool is_dsn_passed_on;	   /* DELIVERED: the next hop took our DSN parameters (RFC 3461),
				    * so reporting success is its business now */
	bool is_smtp_reply;	   /* text is the peer's words with its code */
	enum spool_cause cause;	   /* of a DEFERRED one, for the queue */
};

struct relay_result {
	const struct relay_outcome *outcomes;
	size_t count;
	bool destination_failed;   /* nothing was tried with these recipients: connect, TLS, EHLO */
	bool was_withdrawn;	   /* drained before anything was tried: no attempt at all */
	bool was_unready;	   /* we had no plan for it, or one by other rules: no attempt, nothing
				    * was learned of the destination, and it may go soon */
};

struct relay_events {
	/* Asked in front of each transaction: do routes and rules still send this job where it goes?
	 * False: whoever is left is put off. NULL: always. */
	bool (*is_current)(void *ctx, void *job);
	void (*on_outcome)(void *ctx, void *job, const struct relay_result *result);
};

/* settings borrowed and swapped by relay_set_settings; `present` (shares, may be NULL) is our
 * client certificate. planner: borrowed; NULL: destinations that need a plan are put off. */
struct relay *relay_new(struct tlsio_loop *loop, struct spool *spool,
	const struct relay_settings *settings, struct tlsio_certstore *present,
	const struct relay_planner *planner, const struct relay_events *events, void *ctx);
void relay_set_settings(struct relay *relay, const struct relay_settings *settings,
	struct tlsio_certstore *present);
/* Deliver these recipients of the message to the destination (shares). recipients copied.
 * on_outcome comes later, never inside this call. job is passed through. */
void relay_start(struct relay *relay, uint64_t message, struct relay_destination *destination,
	const uint32_t *recipients, size_t count, void *job);
/* Close idle connections; finish what runs; who still waits for a plan is withdrawn. */
void relay_drain(struct relay *relay);
size_t relay_running_count(const struct relay *relay);
void relay_free(struct relay **relay);

#endif
