/* probe_connection: one probe of one address: greeting, EHLO, STARTTLS, handshake, judgement, EHLO,
 * QUIT.
 *
 * For:     probe, which dials.
 * Holds:   a stream, the machine, a timer over all of it.
 * Promise: everything that is seen goes into the record; one on_over, later, within limit_ms and a
 *          moment; judged by policy_judge with the facts that the relay would have.
 */
#ifndef SMTPD_EXPLAIN_PROBE_CONNECTION_H
#define SMTPD_EXPLAIN_PROBE_CONNECTION_H

#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_transport.h"
#include "policy/policy_requirement.h"
#include "smtpd/explain/probe_record.h"

struct probe_connection;

struct probe_connection_setup { /* all borrowed for the connection's life */
	struct tlsio_loop *loop;
	const char *hostname;	/* ours */
	const char *host;	/* theirs, for SNI, names and words */
	const struct policy_requirement *requirement; /* NULL: nothing to judge by */
	const struct policy_requirement *testing;     /* NULL none */
	struct tlsio_trust *roots; /* to look at a chain that no authority is demanded for; may be NULL */
	bool is_tls_first;	/* port 465 */
	int64_t begun_ms;	/* of the loop's clock: when dialling began */
	int64_t limit_ms;	/* for the whole dialogue, from now */
};

/* Takes transport. record: filled, borrowed. */
struct probe_connection *probe_connection_new(const struct probe_connection_setup *setup,
	struct tlsio_transport *transport, struct probe_record *record, void (*on_over)(void *ctx),
	void *ctx);
/* No event any more; some bytes of it go with the loop. Accepts NULL, sets NULL. */
void probe_connection_free(struct probe_connection **connection);

#endif
