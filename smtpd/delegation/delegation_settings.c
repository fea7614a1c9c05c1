#include "smtpd/delegation/delegation_settings.h"

cfg_opt_t *delegation_settings_options(void)
{
	static cfg_opt_t options[INBOUND_SETTINGS_OPTIONS + 1];
	const cfg_opt_t end = CFG_END();
	inbound_settings_options(options);
	options[INBOUND_SETTINGS_OPTIONS] = end;
	return options;
}

int delegation_settings_read(cfg_t *section, struct delegation_settings *ret, struct err *err)
{
	if (sockets_settings_add(&ret->sockets, section, DELEGATION_PORT, err) < 0)
		return -1;
	if (inbound_settings_read(section, &ret->inbound, err) == 0)
		return 0;
	delegation_settings_clear(ret);
	return -1;
}

void delegation_settings_clear(struct delegation_settings *settings)
{
	sockets_settings_clear(&settings->sockets);
	inbound_settings_clear(&settings->inbound);
}
