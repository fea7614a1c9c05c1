/* worker_delivery: one running job, and what its outcome means: settle, bounce, try again.
 *
 * For:     worker_shard, which starts deliveries and hears of their end.
 * Promise: a recipient fails for good only after its bounce is durable, or none may be sent; success
 *          is reported before the message may be gone; every delivery ends in on_settled once.
 */
#ifndef SMTPD_WORKER_DELIVERY_H
#define SMTPD_WORKER_DELIVERY_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/config/config.h"
#include "smtpd/relay/relay.h"
#include "smtpd/sched/sched.h"
#include "smtpd/spool/spool.h"

/* What a delivery may use of its shard; config is today's. */
struct worker_rooms {
	struct tlsio_loop *loop;
	struct config *config;
	struct spool *spool;
};

/* Some recipients of one message on their way to one destination. */
struct worker_delivery {
	const struct worker_rooms *rooms; /* borrowed */
	void (*on_settled)(void *ctx, struct worker_delivery *d);
	void *ctx;
	struct sched_job *job; /* NULL: given up without a try */
	struct relay_destination *destination; /* shares; NULL: nothing to do */
	struct spool_reader *reader;	       /* owned; keeps the envelope; NULL: message gone */
	uint64_t message;
	uint32_t *recipients; /* owned; these are in no other delivery meanwhile */
	size_t count;
	unsigned reloads;	/* the shard's count when it started */
	int64_t until_s;	/* the first exception among its rules ends; 0: there is none */
	struct list link;	/* in the list of this message's deliveries */
	struct list ended_link; /* in the shard's list of those that end with this turn */
	/* the verdict, gathered until the bounce (if any) is durable */
	enum sched_result result;
	int64_t due_s; /* earliest of what waits again; 0 = nothing waits */
	struct spool_outcome *failed;
	char *failed_reasons; /* bytes the outcomes' reasons point into */
	size_t failed_count;
	size_t expired_count; /* of them: the next hop might have taken them later */
};

/* The relay's answer: on_settled follows, now or when the bounce is durable. */
void worker_delivery_settle(struct worker_delivery *d, const struct relay_result *result);
void worker_delivery_free(struct worker_delivery *d);

#endif
