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
/* MTA-STS in testing mode (RFC 8461 section 5): the connection is judged by that policy too, whatever
 * becomes of it; the planner counts it, and a failure is logged as "sts-testing". */
void relay_report_testing(const struct relay_job *job, const struct relay_connection *c);

#endif
