#include "smtpd/inbound/inbound_settings.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

void inbound_settings_options(cfg_opt_t *into)
{
	static char loopback[] = "{\"127.0.0.0/8\", \"::1\"}";
	const cfg_opt_t options[INBOUND_SETTINGS_OPTIONS] = {
		CFG_STR("mode", "reject", CFGF_NONE),
		CFG_STR_LIST("exempt", loopback, CFGF_NONE),
		CFG_STR_LIST("exempt-daemons", NULL, CFGF_NONE),
	};
	memcpy(into, options, sizeof(options));
}

static int read_networks(cfg_t *section, struct inbound_settings *s, struct err *err)
{
	unsigned count = cfg_size(section, "exempt");
	s->exempt = count ? mem_array(count, sizeof(*s->exempt)) : NULL;
	for (unsigned i = 0; i < count; i++) {
		struct err why;
		if (netaddr_net_parse(str_of(cfg_getnstr(section, "exempt", i)), &s->exempt[i],
			    &why) < 0)
			return conf_error(section, "exempt", err, "%s", why.text);
	}
	s->exempt_count = count;
	return 0;
}

static int read_daemons(cfg_t *section, struct inbound_settings *s, struct err *err)
{
	unsigned count = cfg_size(section, "exempt-daemons");
	s->exempt_daemons = count ? mem_array(count, sizeof(*s->exempt_daemons)) : NULL;
	for (unsigned i = 0; i < count; i++) {
		const char *name = cfg_getnstr(section, "exempt-daemons", i);
		uint64_t port;
		s->exempt_daemons[s->exempt_daemon_count++] = mem_dup(name);
		if (!name[0] || (name[0] == ':' && !str_to_u64(str_of(name + 1), 65535, &port)))
			return conf_error(section, "exempt-daemons", err,
				"is \"%.40s\": write a daemon's name or a port like \":10025\"", name);
	}
	return 0;
}

static int read_all(cfg_t *section, struct inbound_settings *s, struct err *err)
{
	static const char *const modes[] = { "report", "quarantine", "tempfail", "reject", NULL };
	int mode;
	if (conf_choice(section, "mode", modes, &mode, err) < 0 ||
		read_networks(section, s, err) < 0 || read_daemons(section, s, err) < 0)
		return -1;
	s->mode = (enum policy_inbound_mode)(mode + POLICY_INBOUND_REPORT);
	return 0;
}

int inbound_settings_read(cfg_t *section, struct inbound_settings *ret, struct err *err)
{
	struct inbound_settings s = { 0 };
	if (read_all(section, &s, err) < 0) {
		inbound_settings_clear(&s);
		return -1;
	}
	*ret = s;
	return 0;
}

void inbound_settings_clear(struct inbound_settings *s)
{
	for (size_t i = 0; i < s->exempt_daemon_count; i++)
		free(s->exempt_daemons[i]);
	free(s->exempt_daemons);
	free(s->exempt);
	*s = (struct inbound_settings){ 0 };
}

bool inbound_settings_exempts(const struct inbound_settings *settings, const struct netaddr *client,
	struct str daemon, uint16_t port)
{
	for (size_t i = 0; i < settings->exempt_count; i++) {
		if (netaddr_net_contains(&settings->exempt[i], client))
			return true;
	}
	for (size_t i = 0; i < settings->exempt_daemon_count; i++) {
		const char *name = settings->exempt_daemons[i];
		uint64_t number;
		if (name[0] == ':' ? port && str_to_u64(str_of(name + 1), 65535, &number) &&
					number == port
				   : str_equal(str_of(name), daemon))
			return true;
	}
	return false;
}
