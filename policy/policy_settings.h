/* policy_settings: the sections `domain`, `exception`, `client`, `daemon` and `relay-certificates` of the file.
 *
 * For:     smtpd/config, which puts what is read here into policy_rules and policy_inbound.
 * Errors:  "file:line: in domain "x": 'option' ...", see base/conf.h.
 */
#ifndef POLICY_POLICY_SETTINGS_H
#define POLICY_POLICY_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>

#include "libtlsio/base/err.h"
#include "policy/policy_inbound.h"
#include "policy/policy_rules.h"

/* Where authorities come from; this room reads no file. */
struct policy_settings_authorities {
	/* Gives the trust behind a name as written in `place` (a file, or "system"), with the
	 * SHA-256 of what it holds; NULL and err when there is none. */
	struct tlsio_trust *(*load)(void *ctx, const cfg_t *place, const char *name,
		uint8_t ret_sha256[32], struct err *err);
	void *ctx;
};

/* Tables for CFG_SEC; libConfuse copies them. */
cfg_opt_t *policy_settings_domain_options(void);
cfg_opt_t *policy_settings_exception_options(void);
cfg_opt_t *policy_settings_client_options(void);
cfg_opt_t *policy_settings_daemon_options(void);
cfg_opt_t *policy_settings_relay_certificates_options(void);

/* An `outbound` section. source: where it stands, for the words of a verdict. Copied by
 * policy_rules, so clear it afterwards. */
int policy_settings_read_outbound(cfg_t *outbound, const char *source,
	const struct policy_settings_authorities *authorities, struct policy_rule *ret,
	struct err *err);
/* An `exception` section; the same. Whether it has ended is not looked at. */
int policy_settings_read_exception(cfg_t *exception, const char *source,
	const struct policy_settings_authorities *authorities, struct policy_rule *ret,
	struct err *err);
void policy_settings_clear_rule(struct policy_rule *rule);
/* An `inbound` or `inbound-recipients` section; copied by policy_inbound, so clear it afterwards. */
int policy_settings_read_inbound(cfg_t *inbound, const char *source,
	struct policy_inbound_demand *ret, struct err *err);
void policy_settings_clear_inbound(struct policy_inbound_demand *demand);
/* The title of a `client` section is a name, not an address or a network. */
bool policy_settings_is_client_name(struct str title);
/* The titled `client` section with the `inbound` inside. Clear ret->demand afterwards. */
int policy_settings_read_client(cfg_t *client, const char *source,
	struct policy_inbound_client *ret, struct err *err);
int policy_settings_read_relay_certificates(cfg_t *section, struct policy_inbound *into,
	struct err *err);

#endif
