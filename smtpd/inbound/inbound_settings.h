/* inbound_settings: the options that the sections of all doors for other MTAs have: mode, exempt,
 * exempt-daemons.
 *
 * For:     milter_settings and delegation_settings, as a part of their own.
 * Errors:  "file:line: in milter "unix:/x": 'option' ...", see base/conf.h.
 */
#ifndef SMTPD_INBOUND_INBOUND_SETTINGS_H
#define SMTPD_INBOUND_INBOUND_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "policy/policy_inbound_demand.h"

struct inbound_settings {
	enum policy_inbound_mode mode; /* of rules that say none */
	struct netaddr_net *exempt;    /* clients that no rule speaks of */
	size_t exempt_count;
	char **exempt_daemons; /* "name" or ":587" */
	size_t exempt_daemon_count;
};

enum { INBOUND_SETTINGS_OPTIONS = 3 };
/* Into a table with room for that many; CFG_END comes from the caller. */
void inbound_settings_options(cfg_opt_t *into);
int inbound_settings_read(cfg_t *section, struct inbound_settings *ret, struct err *err);
void inbound_settings_clear(struct inbound_settings *settings);

/* No rule speaks of this session: the client's address, or the MTA's service, is exempt. */
bool inbound_settings_exempts(const struct inbound_settings *settings, const struct netaddr *client,
	struct str daemon, uint16_t port);

#endif
