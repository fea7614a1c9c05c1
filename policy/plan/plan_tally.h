/* plan_tally: what MTA-STS policies in testing mode would have come to, per domain (M17).
 *
 * Promise: at most PLAN_TALLY_MOST domains; the one longest unheard of goes first.
 */
#ifndef POLICY_PLAN_PLAN_TALLY_H
#define POLICY_PLAN_PLAN_TALLY_H

#include "policy/policy_plan.h"

enum { PLAN_TALLY_MOST = 10000 };

struct plan_tally;

struct plan_tally *plan_tally_new(void);
void plan_tally_free(struct plan_tally **tally);
/* reason NONE: it would have passed. Names of any case; what is longer than a name is ignored. */
void plan_tally_add(struct plan_tally *tally, const char *domain, const char *host,
	enum policy_reason reason, int64_t now_s);
/* Adds one POLICY_EVIDENCE_STS_TALLY line when there is something to tell. */
void plan_tally_show(const struct plan_tally *tally, const char *domain, int64_t now_s,
	struct policy_plan *plan);

#endif
