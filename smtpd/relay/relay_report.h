/* relay_report: what the log and the planner hear of a host that was tried.
 *
 * For:     relay only; the line of a delivery itself is relay_job's.
 */
#ifndef SMTPD_RELAY_RELAY_REPORT_H
#define SMTPD_RELAY_RELAY_REPORT_H

#include "smtpd/relay/relay_job.h"

/* "policy-refused" or "tls-failed": this connection will not carry the job. */
void relay_report_refused(const struct relay_job *job, const struct relay_connection *c,
	const struct relay_machine_end *end);
/* "host-skipped": hosts of the plan that are not even tried. */
void relay_report_skipped(const struct relay_job *job, const struct policy_plan *plan);
/* A plan that is none since DNSSEC proves its records wrong. */
void relay_report_unknown(const struct relay_job *job, const struct policy_plan *plan);
/* Judged by the policies that sessions with this host are reported under (RFC 8460), MTA-STS in testing
 * mode (RFC 8461 section 5) among them, whatever becomes of the connection: the planner counts it; a
 * failure in testing mode is logged as "sts-testing". Once for a connection and domain; not when the
 * peer just fell silent. */
void relay_report_session(const struct relay_job *job, struct relay_connection *c);

#endif
