/* spool_settings: the `spool` section. */
#ifndef SMTPD_SPOOL_SPOOL_SETTINGS_H
#define SMTPD_SPOOL_SPOOL_SETTINGS_H

#include <confuse.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct spool_settings {
	char *directory;	     /* owned; default /var/spool/postern */
	uint64_t segment_bytes;	     /* default 64 MiB; 1 MiB..1 GiB */
	uint64_t minimum_free_bytes; /* below it: 452; default 256 MiB */
	uint64_t maximum_messages;   /* per shard; above it: 452; default 1,000,000 */
};

/* Options of the section, for CFG_SEC("spool", spool_settings_options(), CFGF_NONE). */
cfg_opt_t *spool_settings_options(void);
int spool_settings_read(cfg_t *section, struct spool_settings *ret, struct err *err);
void spool_settings_clear(struct spool_settings *settings);

#endif
