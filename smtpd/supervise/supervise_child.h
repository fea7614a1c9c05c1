/* supervise_child: a worker process from its birth to its end, seen from inside.
 *
 * For:     supervise, which forks; the program says what a worker does through the events.
 * Holds:   the worker's own loop, its end of the channel, the descriptors it was sent.
 * Promise: nothing of the supervisor is left open; start comes once, with privileges dropped;
 *          reload and drain only after start succeeded; a supervisor that is gone means drain.
 */
#ifndef SMTPD_SUPERVISE_CHILD_H
#define SMTPD_SUPERVISE_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/process.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/supervise/supervise_bundle.h"

/* What a configuration comes with. Borrowed; the descriptors stay open until the next one is in
 * force. */
struct supervise_offer {
	struct supervise_bundle *bundle;
	const int *listen_fds; /* in the order of the configuration's listeners */
	size_t listen_count;
};

struct supervise_birth {
	struct tlsio_loop *loop;
	unsigned number;
	const unsigned *shards;
	size_t shard_count;
	int control_fd; /* a listening unix socket; borrowed, for life */
};

struct supervise_child_events {
	int (*start)(void *ctx, const struct supervise_birth *birth,
		const struct supervise_offer *offer, struct err *err);
	/* old: what was in force until now, its descriptors still open. */
	int (*reload)(void *ctx, const struct supervise_offer *offer,
		const struct supervise_offer *old, struct err *err);
	/* Finish what runs, then on_done. */
	void (*drain)(void *ctx, void (*on_done)(void *ctx), void *on_done_ctx);
	/* Free everything. */
	void (*stop)(void *ctx);
};

struct supervise_child {
	const struct supervise_child_events *events;
	void *ctx;
	const char *name; /* for messages of the kernel and ps: "posternd-0" */
	const struct process_identity *identity; /* NULL: stay who we are */
	pid_t parent;
	unsigned number;
	const unsigned *shards;
	size_t shard_count;
	const char *program_path; /* supervise_child_exec: what it becomes */
};

/* Where the program that supervise_child_exec starts finds its channel. */
#define SUPERVISE_CHILD_CHANNEL_FD 3

/* In the forked process: closes everything but channel_fd and the standard descriptors, lives, and
 * returns the exit status. */
int supervise_child_run(const struct supervise_child *child, int channel_fd);
/* In the forked process: closes as above, becomes the identity and then program_path, with the words
 * "--supervised", the channel as its only descriptor besides the standard ones, and no way back to
 * privileges. That program calls supervise_child_run without an identity. Returns only when it
 * failed: the exit status. */
int supervise_child_exec(const struct supervise_child *child, int channel_fd);
/* The program of this name beside the running one, or in the folder for system programs. */
int supervise_child_find_program(const char *name, char *ret_path, size_t capacity, struct err *err);

#endif
