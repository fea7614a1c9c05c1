/* tlsrpt_settings: the sections `tlsrpt` and `tlsrpt-collector`. Pure.
 *
 *	tlsrpt {
 *		tally = "/var/lib/postern/tlsrpt.db" # "": in memory only; default: beside the MTA-STS cache
 *		keep-days = 10            # finished days
 *		rows-per-day = 100000     # of domain, TXT record and policy
 *		size = "256MiB"           # of the file
 *	}
 *	tlsrpt-collector "/var/spool/postfix/postern/tlsrpt.sock" {
 *		group = "postfix"         # whose it is; default: ours
 *		mode = "0660"             # who may send
 *	}
 */
#ifndef POLICY_TLSRPT_TLSRPT_SETTINGS_H
#define POLICY_TLSRPT_TLSRPT_SETTINGS_H

#include <confuse.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct tlsrpt_collector_settings {
	char *path;
	char *group;   /* NULL: as it comes */
	unsigned mode;
};

struct tlsrpt_settings {
	char *tally; /* path; NULL: in memory only */
	long days, rows_most;
	uint64_t bytes_most;
	struct tlsrpt_collector_settings *collectors;
	size_t collector_count;
};

cfg_opt_t *tlsrpt_settings_options(void);
cfg_opt_t *tlsrpt_settings_collector_options(void);
/* beside: the MTA-STS cache, in whose folder the tally lies unless the section says otherwise; NULL: in
 * memory only. Leaves the collectors alone. */
int tlsrpt_settings_read(cfg_t *section, const char *beside, struct tlsrpt_settings *ret,
	struct err *err);
/* Appends. */
int tlsrpt_settings_add_collector(struct tlsrpt_settings *settings, cfg_t *section, struct err *err);
void tlsrpt_settings_clear(struct tlsrpt_settings *settings);

#endif
