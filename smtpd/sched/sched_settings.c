#include "smtpd/sched/sched_settings.h"

#include <string.h>

#include "libtlsio/base/conf.h"

enum { SECOND_MS = 1000, HOUR_MS = 3600 * SECOND_MS };
#define DAY_MS (INT64_C(24) * HOUR_MS)

cfg_opt_t *sched_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("first", "5m", CFGF_NONE),
		CFG_STR("longest", "4h", CFGF_NONE),
		CFG_STR("give-up", "5d", CFGF_NONE),
		CFG_STR("give-up-bounce", "1d", CFGF_NONE),
		CFG_STR("notice", "4h", CFGF_NONE),
		CFG_STR("notice-policy", "1h", CFGF_NONE),
		CFG_STR("pause", "60s", CFGF_NONE),
		CFG_INT("concurrency-start", 5, CFGF_NONE),
		CFG_INT("concurrency-most", 20, CFGF_NONE),
		CFG_INT("running-most", 500, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

static int read_notice(cfg_t *section, const char *option, int64_t *ret_ms, struct err *err)
{
	const char *text = cfg_getstr(section, option);
	*ret_ms = 0;
	if (text && strcmp(text, "never") == 0)
		return 0;
	return conf_duration(section, option, SECOND_MS, 60 * DAY_MS, ret_ms, err);
}

int sched_settings_read(cfg_t *section, struct sched_settings *ret, struct err *err)
{
	struct sched_settings s;
	if (conf_duration(section, "first", SECOND_MS, DAY_MS, &s.first_ms, err) < 0 ||
		conf_duration(section, "longest", SECOND_MS, 7 * DAY_MS, &s.longest_ms, err) < 0 ||
		conf_duration(section, "give-up", SECOND_MS, 60 * DAY_MS, &s.give_up_ms, err) < 0 ||
		conf_duration(section, "give-up-bounce", SECOND_MS, 60 * DAY_MS,
			&s.give_up_bounce_ms, err) < 0 ||
		read_notice(section, "notice", &s.notice_ms, err) < 0 ||
		read_notice(section, "notice-policy", &s.notice_policy_ms, err) < 0 ||
		conf_duration(section, "pause", SECOND_MS, DAY_MS, &s.pause_ms, err) < 0 ||
		conf_count(section, "concurrency-start", 1, 1000, &s.concurrency_start, err) < 0 ||
		conf_count(section, "concurrency-most", 1, 1000, &s.concurrency_most, err) < 0 ||
		conf_count(section, "running-most", 1, 100000, &s.running_most, err) < 0)
		return -1;
	if (s.longest_ms < s.first_ms)
		return conf_error(section, "longest", err, "is shorter than 'first'");
	if (s.concurrency_most < s.concurrency_start)
		return conf_error(
			section, "concurrency-most", err, "is less than 'concurrency-start'");
	*ret = s;
	return 0;
}
