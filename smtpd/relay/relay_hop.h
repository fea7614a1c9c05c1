/* relay_hop: one host at one address where a connection may end, and what it must show there.
 *
 * For:     relay tries them in order; connection, pool and log lines speak of them. Immutable,
 *          shared by reference.
 * Promise: key says everything a connection's worth depends on: transport, host, address, port,
 *          requirement, and whatever else shapes the handshake. Two domains that share MX hosts
 *          share connections and TLS sessions exactly when their keys agree.
 */
#ifndef SMTPD_RELAY_RELAY_HOP_H
#define SMTPD_RELAY_RELAY_HOP_H

#include <stdbool.h>

#include "libtlsio/base/netaddr.h"
#include "policy/policy_plan.h"
#include "smtpd/relay/relay_destination.h"

struct relay_hop {
	unsigned references;
	char *key;
	enum relay_transport transport; /* SMTP or LMTP */
	char *host;		/* name or address; NULL: the socket at path */
	char *path;
	struct netaddr address; /* with the port; NETADDR_UNIX: the socket at path */
	bool implicit_tls;
	struct policy_requirement *requirement; /* shares */
	/* of a plan */
	bool is_planned;
	bool is_domain_proven; /* a good certificate proves the domain, not only the host */
	struct policy_requirement *testing; /* shares, may be NULL: judged besides, never obeyed */
	enum policy_reason testing_reason;  /* without testing: that verdict, or NONE */
	struct policy_report reports[POLICY_REPORTS_MOST]; /* a session with it is reported under */
	size_t report_count;
};

/* Copies everything but references and key, shares the requirements. Gives. */
struct relay_hop *relay_hop_new(const struct relay_hop *from);
/* The route's own host at this address (NULL: its socket), under its rule alone. Gives. */
struct relay_hop *relay_hop_of_route(const struct relay_destination *d,
	const struct netaddr *address);
/* A host of a plan; it has a requirement. Gives. */
struct relay_hop *relay_hop_of_plan(const struct relay_destination *d,
	const struct policy_plan_host *host, const struct netaddr *address);
struct relay_hop *relay_hop_ref(struct relay_hop *hop);
void relay_hop_unref(struct relay_hop **hop);

/* Host or path, for words. */
const char *relay_hop_name(const struct relay_hop *hop);
/* What a good certificate proves there, for the log. "yes": the host the operator named. */
const char *relay_hop_proof(const struct relay_hop *hop, bool is_verified);

#endif
