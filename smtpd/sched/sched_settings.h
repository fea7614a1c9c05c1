/* sched_settings: the `retry` section. */
#ifndef SMTPD_SCHED_SCHED_SETTINGS_H
#define SMTPD_SCHED_SCHED_SETTINGS_H

#include <confuse.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct sched_settings {
	int64_t first_ms;	    /* first pause; default 5m */
	int64_t longest_ms;	    /* default 4h */
	int64_t give_up_ms;	    /* default 5d */
	int64_t give_up_bounce_ms;  /* default 1d */
	int64_t notice_ms;	    /* the sender is told of a delay; 0 never; default 4h */
	int64_t notice_policy_ms;   /* the same where TLS policy keeps it; default 1h */
	int64_t pause_ms;	    /* a destination that failed rests; doubles up to longest_ms; 60s */
	long concurrency_start;	    /* per destination; default 5 */
	long concurrency_most;	    /* default 20 */
	long running_most;	    /* all destinations together, per worker; default 500 */
};

cfg_opt_t *sched_settings_options(void);
int sched_settings_read(cfg_t *section, struct sched_settings *ret, struct err *err);

#endif
