/* milter_verdict: may this message go on, by the rules? Pure.
 *
 * For:     milter_callbacks, at MAIL and at each RCPT.
 * Rules:   those of policy_inbound; and RFC 8689 4.2.1: REQUIRETLS is a promise that only TLS can carry.
 */
#ifndef SMTPD_MILTER_MILTER_VERDICT_H
#define SMTPD_MILTER_MILTER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/netaddr.h"
#include "policy/policy_inbound.h"
#include "smtpd/milter/milter_facts.h"
#include "smtpd/milter/milter_settings.h"

/* Of one connection. */
struct milter_client {
	struct netaddr address;
	struct str name;   /* as the MTA resolved it; empty: unknown */
	struct str daemon; /* {daemon_name} */
	uint16_t port;	   /* {daemon_port} */
};

/* True: nothing to object. sender and recipient as in the SMTP command, with or without <>. */
bool milter_verdict_sender(const struct milter_settings *settings,
	const struct policy_inbound *rules, const struct milter_client *client,
	const struct milter_facts *facts, struct str sender, bool wants_requiretls,
	struct policy_inbound_refusal *ret_refusal);
bool milter_verdict_recipient(const struct milter_settings *settings,
	const struct policy_inbound *rules, const struct milter_client *client,
	const struct milter_facts *facts, struct str recipient,
	struct policy_inbound_refusal *ret_refusal);

/* What libmilter knows of a client by its word for the host ("mx.example.net", "[192.0.2.1]",
 * "unknown"): empty where that is no name. */
struct str milter_verdict_client_name(const char *host);
/* The domain of "<local@Domain>"; empty where there is none. */
struct str milter_verdict_domain(struct str path);

#endif
