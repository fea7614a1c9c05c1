/* delegation_settings: the section  policy-service "127.0.0.1:8643" { }  of the file. Pure.
 *
 * For:     smtpd/config reads it, postern-policyd opens its socket, delegation_server acts by it.
 * Errors:  "file:line: in policy-service "x": 'option' ...", see base/conf.h.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_SETTINGS_H
#define SMTPD_DELEGATION_DELEGATION_SETTINGS_H

#include <confuse.h>

#include "libtlsio/base/err.h"
#include "smtpd/inbound/inbound_settings.h"
#include "smtpd/sockets/sockets_settings.h"

enum { DELEGATION_PORT = 8643 };

struct delegation_settings {
	struct sockets_settings sockets; /* none: the file has no such section */
	struct inbound_settings inbound;
};

cfg_opt_t *delegation_settings_options(void);
/* ret is all zero before, and on an error. */
int delegation_settings_read(cfg_t *section, struct delegation_settings *ret, struct err *err);
void delegation_settings_clear(struct delegation_settings *settings);

#endif
