/* supervise_plan: what the supervisor asks of a plan. Internal to the room.
 */
#ifndef SMTPD_SUPERVISE_PLAN_H
#define SMTPD_SUPERVISE_PLAN_H

#include "libtlsio/base/process.h"
#include "smtpd/supervise/supervise.h"

/* What only a restart can change stays in now as it is in kept, and the log says so. */
void supervise_plan_keep(struct supervise_plan *now, const struct supervise_plan *kept);
/* Who the children shall be; nothing is written where no user is named and we may stay who we are. */
int supervise_plan_identity(const struct supervise_plan *plan, struct process_identity *ret,
	struct err *err);

#endif
