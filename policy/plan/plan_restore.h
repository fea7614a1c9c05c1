/* plan_restore: may a plan of a life before be used in this one? Pure, but for a look into the MTA-STS
 * cache.
 *
 * For:     plan_service.
 */
#ifndef POLICY_PLAN_PLAN_RESTORE_H
#define POLICY_PLAN_PLAN_RESTORE_H

#include "policy/plan/plan_service.h"

/* RESTORED: its whole and its requirements are those of the rule in force. sts NULL: off. */
enum plan_restored plan_restore(const struct plan_service_kept *kept,
	const struct policy_rules *rules, struct sts *sts, int64_t now_s);

#endif
