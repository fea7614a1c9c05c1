/* plan_report: what sessions with a host are reported under (RFC 8460), and the words of it. Pure, but
 * for the tally that is told the words.
 *
 * For:     plan_domain.
 * Table:   DANE with usable records: tlsa, judged by them. All records unusable: tlsa, tlsa-invalid.
 *          Look-up bogus, or dane-only without records: tlsa, dnssec-invalid or dane-required.
 *          MTA-STS that decides: sts, judged by it; in testing mode the same, beside DANE too. A host
 *          that an enforced policy does not name: sts, validation-failure. A record whose policy could
 *          not be had: sts, with what went wrong; beside the one in force, if there is one.
 *          None of these, and both were looked for: no-policy-found, judged by TLS alone.
 *          Not evaluated because a rule or an exception stood above it: nothing.
 */
#ifndef POLICY_PLAN_PLAN_REPORT_H
#define POLICY_PLAN_PLAN_REPORT_H

#include "policy/plan/plan_host.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts.h"
#include "policy/tlsrpt/tlsrpt_tally.h"

struct plan_report_facts {
	const struct policy_rule *rule;
	const char *next_hop; /* a name: of the domain, or of a host that is one by itself */
	const struct sts_answer *sts; /* NULL: not asked */
	struct tlsrpt_tally *tally;   /* NULL: words are not kept */
};

/* from: looked up. host: made of it by policy_combine. Words go to whole, too. */
void plan_report_host(const struct plan_report_facts *facts, const struct plan_host *from,
	struct policy_plan_host *host, struct policy_plan_whole *whole);

#endif
