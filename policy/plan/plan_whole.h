/* plan_whole: one domain's rule, DANE and MTA-STS summed up, for struct policy_plan_whole. Pure, but
 * for a look into the MTA-STS cache.
 *
 * For:     plan_domain, plan_service.
 */
#ifndef POLICY_PLAN_PLAN_WHOLE_H
#define POLICY_PLAN_PLAN_WHOLE_H

#include "policy/plan/plan_host.h"
#include "policy/policy_plan.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts.h"

enum { PLAN_WHOLE_MX_BYTES_MOST = 8192, PLAN_WHOLE_TEXT_BYTES_MOST = 8192 };

struct plan_whole_facts {
	const struct policy_rule *rule;
	const char *next_hop;
	bool is_by_mx, is_mx_known, is_mx_secure;
	struct plan_host *const *hosts; /* none of them open */
	size_t host_count;
	struct sts *sts; /* NULL: off */
	/* sts was asked, and policy (borrowed; NULL: none) is the answer; otherwise what it knows. */
	bool has_policy;
	struct sts_policy *policy;
};

/* Was whole made while this policy (NULL: none) was in force? */
bool plan_whole_is_of(const struct policy_plan_whole *whole, const struct sts_policy *policy);
/* Gives. */
struct policy_plan_whole *plan_whole_new(const struct plan_whole_facts *facts);

#endif
