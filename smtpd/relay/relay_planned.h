/* relay_planned: a plan -> the hops to try, or what is to be said at once. Pure.
 *
 * Promise: no hop without a requirement of the plan; a plan made by other rules than ours is not
 *          used; hosts of equal preference in random order (RFC 5321 section 5.1).
 */
#ifndef SMTPD_RELAY_RELAY_PLANNED_H
#define SMTPD_RELAY_RELAY_PLANNED_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/relay/relay_candidates.h"
#include "smtpd/relay/relay_causes.h"

struct relay_planned_by {
	const struct relay_destination *destination;
	const char *hostname;  /* ours: an MX record that names it ends the list */
	size_t attempts_most;  /* connections in all; yet one for each of the first five hosts */
	uint32_t (*random)(void);
};

/* The plan was made by other rules than the destination: ask anew later. */
bool relay_planned_is_foreign(const struct relay_destination *d, const struct policy_plan *plan);
/* True: candidates (empty before) are there to be tried; why other hosts will not do is noted in
 * causes. False: *ret is for every recipient. */
bool relay_planned_read(const struct policy_plan *plan, const struct relay_planned_by *by,
	struct relay_candidates *candidates, struct relay_causes *causes,
	struct relay_outcome *ret);

#endif
