#include "smtpd/supervise/supervise_restart.h"

#define YOUNG_MS 60000

int64_t supervise_restart_after_ms(struct supervise_restart *restart, int64_t lived_ms)
{
	static const int64_t delays_ms[] = { 0, 1000, 2000, 4000, 8000, 16000, 30000 };
	const unsigned last = sizeof(delays_ms) / sizeof(delays_ms[0]) - 1;
	if (lived_ms >= YOUNG_MS)
		restart->young_deaths = 0;
	int64_t delay_ms = delays_ms[restart->young_deaths < last ? restart->young_deaths : last];
	restart->young_deaths++;
	return delay_ms;
}
