/* delegation_log: what the operator reads of the policy service, one line each.
 *
 * For:     delegation_server; postern-policyd for the counters.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_LOG_H
#define SMTPD_DELEGATION_DELEGATION_LOG_H

#include "smtpd/delegation/delegation_facts.h"
#include "smtpd/delegation/delegation_server.h"

void delegation_log_objection(const struct delegation_request *request,
	const struct delegation_facts *facts, const struct policy_inbound_refusal *refusal);
/* Somebody sent what is no request. */
void delegation_log_broken(const char *why);
void delegation_log_counters(const struct delegation_counters *counters);

#endif
