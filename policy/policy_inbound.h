/* policy_inbound: what a client must show to hand us mail, and who may relay. Pure, immutable.
 *
 * For:     the worker joins it to session's gate; the milter asks the same rules.
 * Rules:   by client network (`client "192.0.2.0/24" { ... }`, longest prefix wins), by client name
 *          (`client ".example.net"`), by the MTA's service (`daemon`), by sender domain (`domain "x" {
 *          inbound { ... } }`, as policy_rules) and by recipient domain (`inbound-recipients`); all that
 *          hold must be met. Where several are not, the strictest mode decides, then this order.
 * Threads: questions only read; references are not counted atomically.
 */
#ifndef POLICY_POLICY_INBOUND_H
#define POLICY_POLICY_INBOUND_H

#include <stdbool.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "policy/policy_inbound_demand.h"
#include "policy/policy_requirement.h"

struct policy_inbound;

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
int policy_inbound_add_recipient_domain(struct policy_inbound *p, struct str domain,
	const struct policy_inbound_demand *demand, struct err *err);
/* By the name that the MTA found for the client's address, "mx.example.net" or ".example.net". */
int policy_inbound_add_client_name(struct policy_inbound *p, struct str name,
	const struct policy_inbound_demand *demand, struct err *err);
/* By the MTA's name for the service that took the session, or ":587" for its port. */
int policy_inbound_add_daemon(struct policy_inbound *p, struct str daemon,
	const struct policy_inbound_demand *demand, struct err *err);
/* A client certificate that may relay: CA-verified with this SAN name, or this key. One of both. */
void policy_inbound_add_relay_name(struct policy_inbound *p, const char *name);
void policy_inbound_add_relay_pin(struct policy_inbound *p, const struct policy_pin *pin);
struct policy_inbound *policy_inbound_ref(struct policy_inbound *p);
void policy_inbound_unref(struct policy_inbound **p);

bool policy_inbound_may_relay(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer);
bool policy_inbound_issues_tickets(const struct policy_inbound *p, const struct netaddr *client);

/* True when the client may hand us mail of this sender domain (empty for <>, of which only the
 * rules of clients and daemons speak). False also where the mode is REPORT: the caller acts by it. */
bool policy_inbound_may_send(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct str sender_domain,
	struct policy_inbound_refusal *ret_refusal);
/* True when the client may hand us mail for this recipient domain; only the rule of that domain is
 * asked, and not of an empty one. */
bool policy_inbound_may_receive(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct str recipient_domain,
	struct policy_inbound_refusal *ret_refusal);
/* The same for an address without a domain that is not empty ("info"): the MTA completes it with a domain of
 * its own, which nobody here knows; so every rule of sender (or recipient) domains is asked. */
bool policy_inbound_may_send_bare(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct policy_inbound_refusal *ret_refusal);
bool policy_inbound_may_receive_bare(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct policy_inbound_refusal *ret_refusal);
/* There are rules of recipient domains: without, policy_inbound_may_receive need not be asked. */
bool policy_inbound_has_recipients(const struct policy_inbound *p);
/* A rule somewhere says this mode. */
bool policy_inbound_has_mode(const struct policy_inbound *p, enum policy_inbound_mode mode);

#endif
