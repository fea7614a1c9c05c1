/* fake_plan_service: policy/plan/plan_service.h played by a test. Link it before libplan.a.
 *
 * For:     tests of the door, the door's bench.
 * Promise: a question waits until the test answers it; one whose next hop was given to
 *          fake_plan_service_keep is found at once.
 */
#ifndef TESTS_FAKES_FAKE_PLAN_SERVICE_H
#define TESTS_FAKES_FAKE_PLAN_SERVICE_H

#include "policy/plan/plan_service.h"

struct fake_plan_tally {
	size_t count, lost;
	char domain[256], host[256];
	enum policy_reason reason; /* of the first part */
	uint64_t identity;
	char why[256];
};

struct plan_service *fake_plan_service_new(struct tlsio_loop *loop);
/* Shares; one plan a next hop, the newest holds. */
void fake_plan_service_keep(struct plan_service *service, struct policy_plan *plan);
/* Instead of kept ones: every question is found so. Gives a borrowed plan. */
void fake_plan_service_make(struct plan_service *service,
	struct policy_plan *(*make)(void *ctx, const struct policy_question *question), void *ctx);
/* What plan_service_known knows besides. Gives. */
void fake_plan_service_know(struct plan_service *service,
	struct policy_plan_whole *(*known)(void *ctx, const struct policy_question *question),
	void *ctx);
size_t fake_plan_service_waiting(const struct plan_service *service);
/* Answers those waiting for the plan's next hop; returns how many. */
size_t fake_plan_service_answer(struct plan_service *service, struct policy_plan *plan);
const struct fake_plan_tally *fake_plan_service_tally(const struct plan_service *service);

#endif
