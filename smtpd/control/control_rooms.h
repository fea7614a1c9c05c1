/* control_rooms: the rooms of one worker that the operator may ask about.
 *
 * For:     control_worker and control_queue; posternd says where the rooms are.
 */
#ifndef SMTPD_CONTROL_ROOMS_H
#define SMTPD_CONTROL_ROOMS_H

#include <stddef.h>

#include "smtpd/config/config.h"
#include "smtpd/sched/sched.h"
#include "smtpd/session/session.h"
#include "smtpd/spool/spool.h"

struct control_rooms {
	unsigned number;
	const void *ctx;
	/* One of each per shard; NULL behind the last. */
	struct spool *(*spool)(const void *ctx, size_t index);
	struct sched *(*sched)(const void *ctx, size_t index);
	const struct session_service *(*sessions)(const void *ctx);
	const struct config *(*config)(const void *ctx); /* in force now */
};

static inline struct spool *control_rooms_spool(const struct control_rooms *rooms, size_t index)
{
	return rooms->spool(rooms->ctx, index);
}

static inline struct sched *control_rooms_sched(const struct control_rooms *rooms, size_t index)
{
	return rooms->sched(rooms->ctx, index);
}

#endif
