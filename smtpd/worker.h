/* worker: one whole mail path on one loop: session -> spool -> sched -> relay, and dsn.
 *
 * For:     posternd (a process per worker); system tests through it.
 * Holds:   the shards this worker owns, each with its spool, sched and relay; the session service
 *          (new mail goes to the first shard); the door to postern-policyd.
 * Promise: joins rooms, decides nothing: which room answers which question stands in worker.c.
 */
#ifndef SMTPD_WORKER_H
#define SMTPD_WORKER_H

#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/config/config.h"

struct worker;

/* shards: numbers this worker owns (directories <spool>/<number>); listen_fds: one per
 * config->listeners, borrowed. Shares config. Replays before accepting. */
struct worker *worker_new(struct tlsio_loop *loop, unsigned number, const unsigned *shards,
	size_t shard_count, struct config *config, const int *listen_fds, struct err *err);
/* Swap to a checked config (shares). listen_fds as above, for the new listeners. */
void worker_reload(struct worker *worker, struct config *config, const int *listen_fds);
/* Stop accepting; finish running transactions within config's limit; then on_done. */
void worker_drain(struct worker *worker, void (*on_done)(void *ctx), void *ctx);
void worker_free(struct worker **worker);

/* For control. */
struct spool *worker_spool(const struct worker *worker, size_t index); /* NULL: no such */
struct sched *worker_sched(const struct worker *worker, size_t index);
const struct config *worker_config(const struct worker *worker);
struct session_service *worker_sessions(const struct worker *worker);

#endif
