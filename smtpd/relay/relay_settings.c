#include "smtpd/relay/relay_settings.h"

#include <stdlib.h>

#include "libtlsio/base/conf.h"

#define HOUR_MS 3600000

cfg_opt_t *relay_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("connect-timeout", "30s", CFGF_NONE),
		CFG_STR("greeting-timeout", "5m", CFGF_NONE),
		CFG_STR("tls-timeout", "60s", CFGF_NONE),
		CFG_STR("command-timeout", "5m", CFGF_NONE),
		CFG_STR("data-timeout", "2m", CFGF_NONE),
		CFG_STR("block-timeout", "3m", CFGF_NONE),
		CFG_STR("final-timeout", "10m", CFGF_NONE),
		CFG_STR("idle-timeout", "5s", CFGF_NONE),
		CFG_INT("messages-per-connection", 100, CFGF_NONE),
		CFG_INT("recipients-per-message", 50, CFGF_NONE),
		CFG_INT("addresses", 5, CFGF_NONE),
		CFG_BOOL("resume-tls", cfg_true, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

int relay_settings_read(cfg_t *section, struct relay_settings *ret, struct err *err)
{
	struct relay_settings s = { .resume_tls = cfg_getbool(section, "resume-tls") };
	const struct {
		const char *option;
		int64_t min_ms;
		int64_t *ret_ms;
	} times[] = {
		{ "connect-timeout", 1000, &s.connect_ms },
		{ "greeting-timeout", 1000, &s.greeting_ms },
		{ "tls-timeout", 1000, &s.tls_ms },
		{ "command-timeout", 1000, &s.command_ms },
		{ "data-timeout", 1000, &s.data_ms },
		{ "block-timeout", 1000, &s.block_ms },
		{ "final-timeout", 1000, &s.final_ms },
		{ "idle-timeout", 0, &s.idle_ms },
	};
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		if (conf_duration(section, times[i].option, times[i].min_ms, HOUR_MS,
			    times[i].ret_ms, err) < 0)
			return -1;
	}
	if (conf_count(section, "messages-per-connection", 1, 1000000, &s.messages_per_connection,
		    err) < 0 ||
		conf_count(section, "recipients-per-message", 1, 10000, &s.recipients_per_message,
			err) < 0 ||
		conf_count(section, "addresses", 1, 32, &s.addresses_most, err) < 0)
		return -1;
	*ret = s;
	return 0;
}

void relay_settings_clear(struct relay_settings *settings)
{
	free(settings->hostname);
	*settings = (struct relay_settings){ 0 };
}
