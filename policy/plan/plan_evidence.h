/* plan_evidence: the inputs of a plan in words, for those who want to see why.
 *
 * For:     plan_domain.
 */
#ifndef POLICY_PLAN_PLAN_EVIDENCE_H
#define POLICY_PLAN_PLAN_EVIDENCE_H

#include "policy/dns/dns.h"
#include "policy/policy_plan.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts.h"

/* The rule in force; an exception, and the rule that it suspends. */
void plan_evidence_rule(struct policy_plan *plan, const struct policy_rules *rules,
	const struct policy_rule *rule, const char *rule_domain);
void plan_evidence_mx(struct policy_plan *plan, const char *domain, const struct dns_answer *answer);
/* answer NULL: not asked, why says why. */
void plan_evidence_sts(struct policy_plan *plan, const char *domain,
	const struct sts_answer *answer, const char *why, int64_t now_s);
/* Moves nothing: copies the lines of notes (NULL: none) to plan. */
void plan_evidence_copy(struct policy_plan *plan, const struct policy_plan *notes);

#endif
