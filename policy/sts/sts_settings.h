/* sts_settings: the `mta-sts` section.
 *
 *	mta-sts {
 *		cache = "/var/lib/postern/mta-sts.db" # "": in memory only
 *		fetch-timeout = "30s"         # the whole GET; connecting has a third of it
 *		first-contact-wait = "10s"    # how long the first mail to a domain waits for its policy (M23)
 *		private-addresses = false     # fetch from 10.0.0.0/8, ::1 and the like too
 *		authority = "system"          # who may sign the certificate of mta-sts.<domain>: PEM file or "system"
 *		cache-entries = 100000
 *	}
 */
#ifndef POLICY_STS_STS_SETTINGS_H
#define POLICY_STS_STS_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct sts_settings {
	char *cache;		 /* path of the SQLite file; NULL: in memory only */
	int64_t fetch_ms;
	int64_t first_wait_ms;
	bool allows_private;
	char *authority;	 /* as written */
	char *authority_pem;	 /* a file's bytes (config reads it); NULL: the system's roots */
	long entries_most;
};

cfg_opt_t *sts_settings_options(void);
/* Leaves authority_pem NULL. */
int sts_settings_read(cfg_t *section, struct sts_settings *ret, struct err *err);
void sts_settings_copy(const struct sts_settings *from, struct sts_settings *ret);
void sts_settings_clear(struct sts_settings *settings);

#endif
