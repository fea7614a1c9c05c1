/* config_options: every option of the file, as one libConfuse table. */
#ifndef SMTPD_CONFIG_CONFIG_OPTIONS_H
#define SMTPD_CONFIG_CONFIG_OPTIONS_H

#include <confuse.h>

/* Static; cfg_init copies it. */
cfg_opt_t *config_options(void);

#endif
