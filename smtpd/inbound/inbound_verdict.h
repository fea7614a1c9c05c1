/* inbound_verdict: may this message go on, by the rules? Pure.
 *
 * For:     milter_callbacks and delegation_answer, at MAIL and at each RCPT.
 * Rules:   those of policy_inbound; and RFC 8689 4.2.1: REQUIRETLS is a promise that only TLS can carry.
 */
#ifndef SMTPD_INBOUND_INBOUND_VERDICT_H
#define SMTPD_INBOUND_INBOUND_VERDICT_H

#include <stdbool.h>

#include "libtlsio/base/str.h"
#include "policy/policy_inbound.h"

/* Of a MAIL command. */
enum inbound_requiretls {
	INBOUND_REQUIRETLS_NONE,
	INBOUND_REQUIRETLS_WANTED,
	INBOUND_REQUIRETLS_MALFORMED, /* it has a value, and may not (RFC 8689 2) */
};
/* What one parameter of MAIL says. */
enum inbound_requiretls inbound_verdict_requiretls(struct str parameter);

/* True: nothing to object. facts with the door's mode as default_mode; sender and recipient as in the
 * SMTP command, with or without <>. */
bool inbound_verdict_sender(const struct policy_inbound *rules,
	const struct policy_inbound_facts *facts, struct str sender,
	enum inbound_requiretls requiretls, struct policy_inbound_refusal *ret_refusal);
bool inbound_verdict_recipient(const struct policy_inbound *rules,
	const struct policy_inbound_facts *facts, struct str recipient,
	struct policy_inbound_refusal *ret_refusal);

/* What an MTA's word for a client's host says ("mx.example.net", "[192.0.2.1]", "unknown"): empty where
 * that is no name. */
struct str inbound_verdict_client_name(struct str host);
/* The domain of "<local@Domain>"; empty where there is none. */
struct str inbound_verdict_domain(struct str path);

#endif
