#include "smtpd/sched/sched_backoff.h"

#define SOON_S 10

int64_t sched_backoff_expires_s(const struct sched_settings *settings, int64_t received_s,
	bool is_bounce)
{
	return received_s +
	       (is_bounce ? settings->give_up_bounce_ms : settings->give_up_ms) / 1000;
}

int64_t sched_backoff_due_s(const struct sched_settings *settings, int64_t now_s,
	int64_t received_s, bool is_bounce, unsigned attempts, uint32_t random)
{
	int64_t pause_ms = settings->first_ms;
	for (unsigned i = 1; i < attempts && pause_ms < settings->longest_ms; i++)
		pause_ms *= 2;
	if (pause_ms > settings->longest_ms)
		pause_ms = settings->longest_ms;
	/* +-10 %, so that what failed together does not come back together */
	int64_t jitter_ms = pause_ms / 5 * (int64_t)(random % 1001) / 1000 - pause_ms / 10;
	int64_t due_s = now_s + (pause_ms + jitter_ms + 999) / 1000;
	int64_t last_s = sched_backoff_expires_s(settings, received_s, is_bounce);
	if (now_s < last_s && due_s > last_s)
		return last_s;
	return due_s;
}

int64_t sched_backoff_soon_s(const struct sched_settings *settings, int64_t now_s, uint32_t random)
{
	int64_t pause_s = SOON_S + random % (SOON_S + 1);
	int64_t first_s = (settings->first_ms + 999) / 1000;
	return now_s + (pause_s < first_s ? pause_s : first_s);
}

bool sched_backoff_is_expired(const struct sched_settings *settings, int64_t now_s,
	int64_t received_s, bool is_bounce)
{
	return now_s >= sched_backoff_expires_s(settings, received_s, is_bounce);
}
