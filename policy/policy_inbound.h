/* policy_inbound: what a client must show to hand us mail, and who may relay. Pure, immutable.
 *
 * For:     the worker joins it to session's gate; the milter will use the same rules.
 * Rules:   by client network (`client "192.0.2.0/24" { ... }`, longest prefix wins) and by sender
 *          domain (`domain "x" { inbound { ... } }`, as policy_rules); both must be met.
 */
#ifndef POLICY_POLICY_INBOUND_H
#define POLICY_POLICY_INBOUND_H

#include <stdbool.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "policy/policy_requirement.h"

struct policy_inbound;

struct policy_inbound_demand {
	bool requires_tls;
	enum tlsio_version minimum;	/* 0 = any (1.2 is the floor) */
	/* One of the names (CA-verified) or one of the pins (the leaf's key); with neither given
	 * any CA-verified certificate. A minimum or a certificate implies TLS. */
	bool requires_certificate;
	char **names;			/* with requires_certificate: SAN dNSNames, any of */
	size_t name_count;
	struct policy_pin *pins;
	size_t pin_count;
	char *source;
};

struct policy_inbound_client {
	struct netaddr_net net;
	bool may_relay;	    /* by address alone */
	bool no_tickets;    /* do not issue TLS session tickets to these clients */
	struct policy_inbound_demand demand;
};

struct policy_inbound *policy_inbound_new(void);
/* Both copy. Before the first question only. */
int policy_inbound_add_client(struct policy_inbound *p, const struct policy_inbound_client *client,
	struct err *err);
int policy_inbound_add_sender_domain(struct policy_inbound *p, struct str domain,
	const struct policy_inbound_demand *demand, struct err *err);
/* A client certificate that may relay: CA-verified with this SAN name, or this key. One of both. */
void policy_inbound_add_relay_name(struct policy_inbound *p, const char *name);
void policy_inbound_add_relay_pin(struct policy_inbound *p, const struct policy_pin *pin);
struct policy_inbound *policy_inbound_ref(struct policy_inbound *p);
void policy_inbound_unref(struct policy_inbound **p);

bool policy_inbound_may_relay(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer);
bool policy_inbound_issues_tickets(const struct policy_inbound *p, const struct netaddr *client);

struct policy_inbound_refusal {
	int code;		/* 530 "STARTTLS first" (RFC 3207 4), 554 too weak, no certificate */
	const char *enhanced;	/* "5.7.0", "5.7.1"; static */
	char text[300];		/* what is missing and how to mend it; ASCII, one line */
};
/* True when the client may hand us mail of this sender domain (empty for <>, of which only the
 * client's rule speaks). peer NULL = clear. */
bool policy_inbound_may_send(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer, struct str sender_domain,
	struct policy_inbound_refusal *ret_refusal);

#endif
