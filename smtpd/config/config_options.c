#include "smtpd/config/config_options.h"

#include <assert.h>
#include <string.h>

#include "policy/dns/dns_settings.h"
#include "policy/policy_settings.h"
#include "policy/sts/sts_settings.h"
#include "policy/tlsrpt/tlsrpt_settings.h"
#include "smtpd/delegation/delegation_settings.h"
#include "smtpd/milter/milter_settings.h"
#include "smtpd/relay/relay_settings.h"
#include "smtpd/sched/sched_settings.h"
#include "smtpd/session/session_settings.h"
#include "smtpd/socketmap/socketmap_settings.h"
#include "smtpd/spool/spool_settings.h"

static cfg_opt_t listen_options[] = {
	CFG_STR("tls", "starttls", CFGF_NONE),
	CFG_BOOL("require-tls", cfg_false, CFGF_NONE),
	CFG_STR("minimum", "TLS1.2", CFGF_NONE),
	CFG_STR_LIST("certificates", NULL, CFGF_NONE),
	CFG_STR("client-authority", NULL, CFGF_NONE),
	CFG_BOOL("session-tickets", cfg_true, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t certificate_options[] = {
	CFG_STR("chain", NULL, CFGF_NONE),
	CFG_STR("key", NULL, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t route_options[] = {
	CFG_STR("to", NULL, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t log_options[] = {
	CFG_STR("target", "stderr", CFGF_NONE),
	CFG_STR("format", "text", CFGF_NONE),
	CFG_STR("level", "info", CFGF_NONE),
	CFG_END(),
};

/* The room's own options and the certificate we show, whose files only config may read. */
static cfg_opt_t *relay_options(void)
{
	enum { CAPACITY = 48 };
	static cfg_opt_t options[CAPACITY];
	const cfg_opt_t own[] = {
		CFG_SEC("client-certificate", certificate_options, CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t *of_room = relay_settings_options();
	size_t count = 0;
	while (of_room[count].name)
		count++;
	assert(count + 2 <= CAPACITY);
	memcpy(options, of_room, count * sizeof(*options));
	memcpy(options + count, own, sizeof(own));
	return options;
}

cfg_opt_t *config_options(void)
{
	const cfg_flag_t titled = CFGF_MULTI | CFGF_TITLE;
	const cfg_opt_t table[] = {
		CFG_STR("hostname", NULL, CFGF_NONE),
		CFG_STR("user", NULL, CFGF_NONE),
		CFG_INT("workers", 0, CFGF_NONE),
		CFG_STR("run-directory", "/run/postern", CFGF_NONE),
		CFG_STR("shutdown", "30s", CFGF_NONE),
		CFG_SEC("listen", listen_options, titled),
		CFG_SEC("certificate", certificate_options, titled),
		CFG_SEC("client", policy_settings_client_options(), titled),
		CFG_SEC("daemon", policy_settings_daemon_options(), titled),
		CFG_SEC("milter", milter_settings_options(), titled),
		CFG_SEC("policy-service", delegation_settings_options(), titled),
		CFG_SEC("relay-certificates", policy_settings_relay_certificates_options(),
			CFGF_NONE),
		CFG_SEC("domain", policy_settings_domain_options(), titled),
		CFG_SEC("exception", policy_settings_exception_options(), titled),
		CFG_SEC("resolver", dns_settings_options(), CFGF_NONE),
		CFG_SEC("mta-sts", sts_settings_options(), CFGF_NONE),
		CFG_SEC("tlsrpt", tlsrpt_settings_options(), CFGF_NONE),
		CFG_SEC("tlsrpt-collector", tlsrpt_settings_collector_options(), titled),
		CFG_SEC("socketmap", socketmap_settings_options(), titled),
		CFG_SEC("route", route_options, titled),
		CFG_SEC("relay", relay_options(), CFGF_NONE),
		CFG_SEC("session", session_settings_options(), CFGF_NONE),
		CFG_SEC("spool", spool_settings_options(), CFGF_NONE),
		CFG_SEC("retry", sched_settings_options(), CFGF_NONE),
		CFG_SEC("log", log_options, CFGF_NONE),
		CFG_END(),
	};
	static cfg_opt_t options[sizeof(table) / sizeof(table[0])];
	memcpy(options, table, sizeof(table));
	return options;
}
