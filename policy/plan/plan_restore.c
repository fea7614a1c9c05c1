#include "policy/plan/plan_restore.h"

#include <string.h>

#include "policy/plan/plan_domain.h"
#include "policy/plan/plan_whole.h"

/* A plan from the future tells of a clock that was set back, and not by how much. */
static bool is_odd(const struct plan_service_kept *kept, int64_t now_s)
{
	const struct policy_plan *plan = kept->plan;
	return !plan->whole || plan->state == POLICY_PLAN_DEFER || kept->port == 0 ||
		plan->whole->is_by_mx != (kept->kind == POLICY_BY_MX) ||
		(kept->has_evidence && plan->evidence_count == 0) || plan->made_s < 0 ||
		plan->made_s > now_s || plan->expires_s <= plan->made_s ||
		plan->expires_s - plan->made_s > PLAN_TTL_MOST_S;
}

/* A policy that came to be known after the plan was kept, or one that was told off: of those two the
 * MTA-STS cache knows, which is written and synced at once. */
static bool is_of_known_policy(const struct policy_plan *plan, const struct policy_rule *rule,
	struct sts *sts)
{
	struct sts_policy *policy = NULL;
	if (sts && rule->uses_sts)
		policy = sts_known(sts, plan->next_hop);
	bool is_same = plan_whole_is_of(plan->whole, policy);
	sts_policy_unref(&policy);
	return is_same;
}

/* Most hosts are under the rule itself: one copy for all of them. */
static void share_rule(struct policy_requirement *of_rule, struct policy_requirement **own)
{
	if (!*own || strcmp((*own)->fingerprint, of_rule->fingerprint) != 0 ||
		(*own)->origin != of_rule->origin ||
		strcmp((*own)->source ? (*own)->source : "", of_rule->source ? of_rule->source : "") != 0)
		return;
	policy_requirement_unref(own);
	*own = policy_requirement_ref(of_rule);
}

static void fill_in(struct policy_plan *plan, const struct policy_rule *rule)
{
	struct policy_plan_whole *w = plan->whole;
	policy_requirement_unref(&w->rule);
	w->rule = policy_requirement_ref(rule->requirement);
	w->is_exception = rule->is_exception;
	w->is_general = rule->is_general;
	w->uses_dane = rule->uses_dane;
	for (size_t i = 0; i < plan->host_count; i++)
		share_rule(rule->requirement, &plan->hosts[i].requirement);
}

enum plan_restored plan_restore(const struct plan_service_kept *kept,
	const struct policy_rules *rules, struct sts *sts, int64_t now_s)
{
	struct policy_plan *plan = kept->plan;
	if (is_odd(kept, now_s))
		return PLAN_ODD;
	if (plan->expires_s <= now_s)
		return PLAN_OVER;
	const struct policy_rule *rule = policy_rules_find(rules, str_of(plan->rule_domain), now_s);
	if (strcmp(rule->fingerprint, plan->rule_fingerprint) != 0 ||
		(rule->is_exception && plan->expires_s > rule->until_s))
		return PLAN_OTHER;
	if (!is_of_known_policy(plan, rule, sts))
		return PLAN_OTHER;
	fill_in(plan, rule);
	return PLAN_RESTORED;
}
