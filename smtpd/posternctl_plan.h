/* posternctl_plan: where mail of a domain goes, asked of a running postern-policyd, or worked out
 * here where there is none.
 *
 * For:     posternctl explain and probe: blocks, within a minute and a bit.
 */
#ifndef SMTPD_POSTERNCTL_PLAN_H
#define SMTPD_POSTERNCTL_PLAN_H

#include "smtpd/config/config.h"
#include "smtpd/explain/explain.h"
#include "smtpd/explain/explain_target.h"
#include "smtpd/relay/relay_destination.h"

struct posternctl_plan {
	struct tlsio_loop *loop;
	struct config *config;
	struct relay_destination *destination;
	struct policy_plan *plan;	/* NULL: the route and the rule are all */
	char *next_hop;			/* in words */
	char warning[400];
	struct explain explained;	/* borrows from the rest */
};

/* Reads the configuration without its keys: an operator need not be able to read those. path NULL:
 * the usual one; where that is missing, one that sends everything by MX. */
struct config *posternctl_plan_config(const char *path, struct err *err);
/* Takes config. is_fresh: worked out here even where postern-policyd runs; run_directory NULL: as
 * configured; port 0: as routed. Says on standard error when it works alone. */
int posternctl_plan_make(struct posternctl_plan *p, struct config *config,
	const struct explain_target *target, bool is_fresh, const char *run_directory, uint16_t port,
	struct err *err);
void posternctl_plan_clear(struct posternctl_plan *p);

#endif
