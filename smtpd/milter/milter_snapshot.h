/* milter_snapshot: settings and rules that threads share, and how the next ones take their place.
 *
 * For:     milter_callbacks: a session takes the current one and keeps it to its end, so a reload disturbs
 *          nobody.
 * Holds:   the current snapshot of this process (libmilter gives callbacks nothing of their owner).
 * Threads: any; counted under one mutex. What is inside is only read while anybody holds it.
 */
#ifndef SMTPD_MILTER_MILTER_SNAPSHOT_H
#define SMTPD_MILTER_MILTER_SNAPSHOT_H

#include "policy/policy_inbound.h"
#include "smtpd/milter/milter_settings.h"

struct milter_snapshot {
	const struct milter_settings *settings;
	const struct policy_inbound *rules;
	const char *hostname;
	/* Once nobody holds it any more; from the thread that let go last. */
	void (*on_unused)(void *ctx);
	void *ctx;
	unsigned holders; /* inside */
};

/* The current one from now on: copies the struct (holders aside), lets go of the one before. NULL: none. */
void milter_snapshot_swap(const struct milter_snapshot *next);
/* NULL when there is none. */
struct milter_snapshot *milter_snapshot_take(void);
/* Accepts NULL, sets NULL. */
void milter_snapshot_release(struct milter_snapshot **snapshot);

#endif
