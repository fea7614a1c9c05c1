#include "policy/sts/sts_settings.h"

#include <stdlib.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS };

cfg_opt_t *sts_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("cache", "/var/lib/postern/mta-sts.db", CFGF_NONE),
		CFG_STR("fetch-timeout", "30s", CFGF_NONE),
		CFG_STR("first-contact-wait", "10s", CFGF_NONE),
		CFG_BOOL("private-addresses", cfg_false, CFGF_NONE),
		CFG_STR("authority", "system", CFGF_NONE),
		CFG_INT("cache-entries", 100000, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

int sts_settings_read(cfg_t *section, struct sts_settings *ret, struct err *err)
{
	struct sts_settings s = { .allows_private = cfg_getbool(section, "private-addresses") };
	const char *cache = cfg_getstr(section, "cache");
	const char *authority = cfg_getstr(section, "authority");
	if (conf_duration(section, "fetch-timeout", SECOND_MS, 5 * MINUTE_MS, &s.fetch_ms, err) <
			0 ||
		conf_duration(section, "first-contact-wait", 0, MINUTE_MS, &s.first_wait_ms, err) <
			0 ||
		conf_count(section, "cache-entries", 100, 10000000, &s.entries_most, err) < 0)
		return -1;
	if (cache && cache[0] != '/' && cache[0] != '\0')
		return conf_error(section, "cache", err,
			"is \"%.80s\": write a path from the root, or \"\" to keep policies in "
			"memory only",
			cache);
	if (!authority || !authority[0])
		return conf_error(section, "authority", err,
			"is empty: write \"system\" or a file of PEM certificates");
	s.cache = cache && cache[0] ? mem_dup(cache) : NULL;
	s.authority = mem_dup(authority);
	*ret = s;
	return 0;
}

void sts_settings_copy(const struct sts_settings *from, struct sts_settings *ret)
{
	struct sts_settings s = *from;
	s.cache = mem_dup(from->cache);
	s.authority = mem_dup(from->authority);
	s.authority_pem = mem_dup(from->authority_pem);
	*ret = s;
}

void sts_settings_clear(struct sts_settings *settings)
{
	free(settings->cache);
	free(settings->authority);
	free(settings->authority_pem);
	*settings = (struct sts_settings){ 0 };
}
