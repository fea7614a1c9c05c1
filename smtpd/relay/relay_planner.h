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
	/* A session with a host of a plan, judged by the policies it is reported under (RFC 8460). NULL:
	 * nobody counts. */
	void (*report)(void *ctx, const struct policy_session *session);
	/* A plan came that was made by other rules than ours: plans that are kept are of no use.
	 * NULL: none are kept. */
	void (*forget)(void *ctx);
	void *ctx;
};

#endif
