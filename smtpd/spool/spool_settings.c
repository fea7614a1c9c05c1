#include "smtpd/spool/spool_settings.h"

#include <stdlib.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

enum { MAXIMUM_MESSAGES_MOST = 100000000 };

cfg_opt_t *spool_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("directory", "/var/spool/postern", CFGF_NONE),
		CFG_STR("segment-size", "64MiB", CFGF_NONE),
		CFG_STR("minimum-free", "256MiB", CFGF_NONE),
		CFG_INT("maximum-messages", 1000000, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

int spool_settings_read(cfg_t *section, struct spool_settings *ret, struct err *err)
{
	struct spool_settings settings = { 0 };
	long messages;
	const char *directory = cfg_getstr(section, "directory");
	if (!directory || directory[0] != '/')
		return conf_error(section, "directory", err,
			"is \"%s\": write a path that begins with a slash",
			directory ? directory : "");
	if (conf_size(section, "segment-size", UINT64_C(1) << 20, UINT64_C(1) << 30,
		    &settings.segment_bytes, err) < 0 ||
		conf_size(section, "minimum-free", 0, UINT64_C(1) << 50,
			&settings.minimum_free_bytes, err) < 0 ||
		conf_count(section, "maximum-messages", 1, MAXIMUM_MESSAGES_MOST, &messages, err) <
			0)
		return -1;
	settings.maximum_messages = (uint64_t)messages;
	settings.directory = mem_dup(directory);
	*ret = settings;
	return 0;
}

void spool_settings_clear(struct spool_settings *settings)
{
	free(settings->directory);
	*settings = (struct spool_settings){ 0 };
}
