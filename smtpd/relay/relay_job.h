/* relay_job: one relay_start on its way: recipients, outcomes, what was seen of the peer.
 *
 * For:     relay only. Data and its bookkeeping; relay.c says what happens next.
 * Promise: every recipient is settled exactly once; recipients[0..settled_count) are settled,
 *          [settled_count..settled_count+transaction.count) are in the running transaction.
 */
#ifndef SMTPD_RELAY_RELAY_JOB_H
#define SMTPD_RELAY_RELAY_JOB_H

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_dial.h"
#include "smtpd/relay/relay_candidates.h"
#include "smtpd/relay/relay_causes.h"
#include "smtpd/relay/relay_connection.h"
#include "smtpd/relay/relay_maildir.h"
#include "smtpd/relay/relay_planner.h"
#include "smtpd/relay/relay_resolver.h"
#include "smtpd/relay/relay_transaction.h"

/* How the connection looked, for the log line; the strings are static. */
struct relay_job_facts {
	const char *tls; /* "TLS1.3", "none"; NULL: no connection came so far */
	const char *suite;
	const char *group;
	bool is_resumed;
	bool is_verified;
	struct netaddr remote;
	char note[300]; /* why in clear, what MAY put up with; "" nothing to say */
};

struct relay_job {
	struct relay *relay;
	struct list link; /* relay's running or ended jobs */
	void *job;	  /* the caller's */
	uint64_t message;
	struct relay_destination *destination;
	struct spool_reader *reader;
	struct relay_outcome *outcomes; /* in the order given */
	struct relay_recipient *recipients;
	size_t count;
	size_t settled_count;
	struct relay_transaction transaction; /* count 0: none runs */
	bool destination_failed;
	bool was_withdrawn, was_unready;
	int64_t started_ms;
	/* on the way to a connection */
	const struct relay_planner *planner; /* may be NULL */
	void *asked;			     /* the planner's, while a plan is awaited */
	struct relay_lookup *lookup;
	struct tlsio_dial *dial;
	struct relay_candidates candidates;
	struct relay_causes causes; /* why those before would not do */
	struct relay_hop *hop;	    /* shares; the last that was tried, NULL none */
	bool stays_in_clear;	    /* with the current candidate */
	bool was_stale;		    /* a pooled connection was dead once: only fresh ones now */
	struct relay_connection *connection;
	struct relay_maildir *maildir;
	struct relay_job_facts facts;
};

/* recipients copied; reader from the spool when it can be read: -1 otherwise, all settled. */
struct relay_job *relay_job_new(struct spool *spool, uint64_t message,
	struct relay_destination *destination, const uint32_t *recipients, size_t count, void *job);
void relay_job_free(struct relay_job **job);

/* Every recipient that is not settled gets this outcome. */
void relay_job_settle_all(struct relay_job *job, const struct relay_outcome *outcome);
/* The next transaction of at most `most` recipients. */
void relay_job_next_transaction(struct relay_job *job, size_t most);
/* The running transaction is over: those to be tried again wait. */
void relay_job_end_transaction(struct relay_job *job);
bool relay_job_is_settled(const struct relay_job *job);

/* No plan is awaited any more. */
void relay_job_cancel_ask(struct relay_job *job);
/* This is the hop it is at now. */
void relay_job_try(struct relay_job *job, struct relay_hop *hop);
void relay_job_see(struct relay_job *job, const struct relay_connection *connection);
/* One line per group of recipients with the same outcome. */
void relay_job_log(const struct relay_job *job, int64_t now_ms);

#endif
