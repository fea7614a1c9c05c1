/* worker_shard: one shard's straight line: spool -> sched -> relay -> spool, and dsn.
 *
 * For:     worker only.
 * Holds:   the shard's spool, sched and relay, and a delivery for each running job.
 * Promise: an outcome is in the spool before the job ends; a recipient fails for good only after
 *          its bounce is durable (or none may be sent); no recipient is in two running deliveries.
 */
#ifndef SMTPD_WORKER_SHARD_H
#define SMTPD_WORKER_SHARD_H

#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/config/config.h"
#include "smtpd/relay/relay.h"
#include "smtpd/sched/sched.h"
#include "smtpd/spool/spool.h"

struct worker_shard;

/* Opens <config's spool directory>/<number> and replays it. Shares config, borrows planner (who says
 * which hosts take a domain's mail). on_quiet runs whenever the last running delivery ended. */
struct worker_shard *worker_shard_new(struct tlsio_loop *loop, unsigned number,
	struct config *config, const struct relay_planner *planner, void (*on_quiet)(void *ctx),
	void *ctx, struct err *err);
void worker_shard_reload(struct worker_shard *shard, struct config *config);
/* Start no new delivery; running ones finish. */
void worker_shard_drain(struct worker_shard *shard);
size_t worker_shard_running_count(const struct worker_shard *shard);
struct spool *worker_shard_spool(const struct worker_shard *shard);
struct sched *worker_shard_sched(const struct worker_shard *shard);
void worker_shard_free(struct worker_shard **shard);

#endif
