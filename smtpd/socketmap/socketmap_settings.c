#include "smtpd/socketmap/socketmap_settings.h"

cfg_opt_t *socketmap_settings_options(void)
{
	static cfg_opt_t options[] = { CFG_END() };
	return options;
}
