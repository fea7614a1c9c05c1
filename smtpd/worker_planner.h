/* worker_planner: relay's questions to postern-policyd: the relay_planner of one worker.
 *
 * For:     worker only, which gives it to its shards.
 * Holds:   one door_client, and the configuration whose authorities a plan may name.
 */
#ifndef SMTPD_WORKER_PLANNER_H
#define SMTPD_WORKER_PLANNER_H

#include "libtlsio/tlsio_loop.h"
#include "smtpd/config/config.h"
#include "smtpd/relay/relay_planner.h"

struct worker_planner;

/* Shares config. No connection is made before the first question. */
struct worker_planner *worker_planner_new(struct tlsio_loop *loop, unsigned number,
	struct config *config);
/* Good as long as the planner lives. */
const struct relay_planner *worker_planner_relay(const struct worker_planner *planner);
/* Plans made under the old configuration are forgotten. */
void worker_planner_reload(struct worker_planner *planner, struct config *config);
/* Nobody may be waiting. Accepts NULL, sets NULL. */
void worker_planner_free(struct worker_planner **planner);

#endif
