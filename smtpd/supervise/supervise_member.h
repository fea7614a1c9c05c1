/* supervise_member: one worker (or postern-policyd) as the supervisor sees it: its process, channel and fate.
 *
 * For:     supervise only.
 * Promise: a configuration is sent once the channel has room, the newest one only; a message from
 *          the worker is believed no more than it must be.
 */
#ifndef SMTPD_SUPERVISE_MEMBER_H
#define SMTPD_SUPERVISE_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/supervise/supervise_channel.h"
#include "smtpd/supervise/supervise_child.h"
#include "smtpd/supervise/supervise_restart.h"

struct supervise_member;

struct supervise_member_events {
	/* In the new process, before anything else: let go of what is the supervisor's. */
	void (*forked)(void *ctx);
	/* Fill the message that configures this member with what is in force now. */
	void (*configuration)(void *ctx, const struct supervise_member *member,
		struct supervise_message *ret);
	void (*answered)(void *ctx, struct supervise_member *member,
		const struct supervise_message *answer);
	/* It ended by itself; true = start it again after its delay. */
	bool (*ended)(void *ctx, struct supervise_member *member, int wait_status);
	/* The delay is over: supervise_member_start it. */
	void (*due)(void *ctx, struct supervise_member *member);
};

struct supervise_member {
	const char *role; /* "worker", "policyd": begins the events of its log lines */
	unsigned number;
	pid_t pid; /* 0: not running */
	bool is_ready;
	int channel_fd;
	bool wants_configuration;
	bool is_awaited; /* its answer to the newest configuration, for the supervisor to count */
	struct tlsio_loop *loop;
	struct tlsio_watch channel;
	struct tlsio_timer delay;
	struct supervise_restart restart;
	int64_t started_ms;
	const struct supervise_member_events *events;
	void *ctx;
};

void supervise_member_init(struct supervise_member *m, const char *role, unsigned number,
	struct tlsio_loop *loop, const struct supervise_member_events *events, void *ctx);
/* Forks; the configuration follows by itself. */
int supervise_member_start(
	struct supervise_member *m, const struct supervise_child *child, struct err *err);
/* Send the configuration that is in force (again). */
void supervise_member_configure(struct supervise_member *m);
void supervise_member_drain(struct supervise_member *m);
void supervise_member_kill(struct supervise_member *m);
/* Never start it again. */
void supervise_member_retire(struct supervise_member *m);
/* A child died: was it this one? */
void supervise_member_look(struct supervise_member *m);

#endif
