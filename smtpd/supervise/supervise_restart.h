/* supervise_restart: how long a dead worker waits before it is started again. Pure.
 *
 * A worker that lived for a while comes back at once; one that keeps dying young comes back after
 * 0, 1, 2, 4, 8, 16, then every 30 seconds, so that a broken disk does not become a busy loop.
 */
#ifndef SMTPD_SUPERVISE_RESTART_H
#define SMTPD_SUPERVISE_RESTART_H

#include <stdint.h>

struct supervise_restart {
	unsigned young_deaths; /* in a row */
};

/* Tells of a death after lived_ms; returns the delay. */
int64_t supervise_restart_after_ms(struct supervise_restart *restart, int64_t lived_ms);

#endif
