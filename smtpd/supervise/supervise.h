/* supervise: one supervisor, N workers.
 *
 * For:     posternd, which says how a configuration is loaded and what a worker does.
 * Holds:   listening sockets, control sockets, the current bundle, a channel per worker.
 * Promise: never reads a byte from the network; a worker that dies is started again and inherits
 *          its sockets with the clients that wait there; so does postern-policyd, whose death ends
 *          no worker and no start; a configuration that does not load
 *          changes nothing; after the end signal workers get shutdown_ms to finish.
 * Signals: HUP reload; TERM, INT drain and end; QUIT, or the second TERM or INT, end at once.
 */
#ifndef SMTPD_SUPERVISE_SUPERVISE_H
#define SMTPD_SUPERVISE_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "smtpd/supervise/supervise_bundle.h"
#include "smtpd/supervise/supervise_child.h"

/* What the supervisor must know of a configuration. */
struct supervise_plan {
	unsigned workers;
	char *user; /* NULL: stay who we are */
	char *run_directory;
	char *spool_directory;
	int64_t shutdown_ms;
	bool wants_policyd;    /* the program's policyd shall run beside the workers */
	char *state_directory; /* for what policyd keeps; NULL: it keeps nothing on disk */
	struct netaddr *addresses;
	size_t address_count;
	struct supervise_bundle *bundle; /* everything that was read */
	/* What policyd is given; NULL when it is not wanted. Files in it are in bundle, too. */
	struct supervise_bundle *policyd_bundle;
};
void supervise_plan_clear(struct supervise_plan *plan);

struct supervise_program {
	const char *name; /* "posternd" */
	const char *config_path;
	/* Reads, checks all of it, and gives a plan. Reads files only through bundle->record, so that
	 * workers see the very bytes that were checked. */
	int (*load)(void *ctx, const char *path, const uint8_t *ticket_secret,
		struct supervise_plan *ret, struct err *err);
	/* A plan of load is now in force (the place to open the log as it says). */
	void (*in_force)(void *ctx);
	const struct supervise_child_events *child;
	void *ctx;
	/* File name of the program that runs beside the workers when a plan wants it; it lies where
	 * this one does. */
	const char *policyd;
	int64_t watch_ms;  /* how often the files are looked at for changes; 0 never */
	int64_t secret_ms; /* how often the ticket secret is renewed; 0 never */
};

/* Runs until told to end; returns the exit status. */
int supervise_run(const struct supervise_program *program);

#endif
