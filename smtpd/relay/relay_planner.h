/* relay_planner: who tells the relay where mail of a domain goes: hosts and what each must show.
 *
 * For:     relay asks; the worker joins it to policy/door (postern-policyd); tests to a fake.
 * Promise: one on_plan per question, later, never inside ask, unless cancelled; it comes in bounded
 *          time, with a DEFER plan if need be.
 */
#ifndef SMTPD_RELAY_RELAY_PLANNER_H
#define SMTPD_RELAY_RELAY_PLANNER_H

#include "policy/policy_plan.h"

struct relay_planner {
	/* plan is borrowed for the call. Returns what cancel takes. */
	void *(*ask)(void *ctx, const struct policy_question *question,
		void (*on_plan)(void *asker, struct policy_plan *plan), void *asker);
	void (*cancel)(void *ctx, void *asked);
	/* A host under a policy in testing mode was judged by it; NONE: it passed (RFC 8461 5). */
	void (*report)(void *ctx, const char *domain, const char *host, enum policy_reason reason);
	/* A plan came that was made by other rules than ours: plans that are kept are of no use.
	 * NULL: none are kept. */
	void (*forget)(void *ctx);
	void *ctx;
};

#endif
