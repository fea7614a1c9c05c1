/* sched_backoff: when to try again, when to give up. Pure.
 *
 * Default: 5 min doubling to 4 h, +-10 % jitter; mail is given up after 5 days, bounces after 1.
 */
#ifndef SMTPD_SCHED_SCHED_BACKOFF_H
#define SMTPD_SCHED_SCHED_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/sched/sched_settings.h"

/* Due time of the next try after `attempts` failures (>= 1). random: any 32 random bits. Never
 * later than the moment the message expires, so that the last try comes then. */
int64_t sched_backoff_due_s(const struct sched_settings *settings, int64_t now_s,
	int64_t received_s, bool is_bounce, unsigned attempts, uint32_t random);
/* Where it was we who were not ready: no attempt, so no growing pause: 10 to 20 s, never above `first`. */
int64_t sched_backoff_soon_s(const struct sched_settings *settings, int64_t now_s, uint32_t random);
/* When the message is given up. */
int64_t sched_backoff_expires_s(const struct sched_settings *settings, int64_t received_s,
	bool is_bounce);
bool sched_backoff_is_expired(const struct sched_settings *settings, int64_t now_s,
	int64_t received_s, bool is_bounce);

#endif
