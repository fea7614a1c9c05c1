/* worker_deadlines: messages whose time has come though nobody tries them.
 *
 * For:     worker_shard. Behind a next hop that rests after failures one message at a time is tried; the
 *          others would never see a try's end, where senders are told and mail is given up.
 * Holds:   for each deadline a cursor into the spool: ids rise with the age of messages, so those
 *          whose time has come since the last look are the next few behind it. Nothing per message.
 * Promise: each message is looked at once for each deadline (after a restart once more), in slices of
 *          2 ms; mail is given up only a while after its own last try was due.
 */
#ifndef SMTPD_WORKER_DEADLINES_H
#define SMTPD_WORKER_DEADLINES_H

#include "smtpd/worker_delivery.h"

struct worker_deadlines;

struct worker_deadlines_events {
	/* In a running delivery: that sees to it. */
	bool (*is_under_way)(void *ctx, uint64_t message, uint32_t recipient);
	/* These recipients waited too long. Takes reader and recipients (malloc). */
	void (*give_up)(void *ctx, struct spool_reader *reader, uint32_t *recipients, size_t count);
};

/* rooms borrowed; spool must be replayed. */
struct worker_deadlines *worker_deadlines_new(const struct worker_rooms *rooms,
	const struct worker_deadlines_events *events, void *ctx);
/* The settings are others now. */
void worker_deadlines_look(struct worker_deadlines *deadlines);
/* Accepts NULL, sets NULL. */
void worker_deadlines_free(struct worker_deadlines **deadlines);

#endif
