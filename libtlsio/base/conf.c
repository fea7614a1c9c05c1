#include "libtlsio/base/conf.h"

#include <stdarg.h>
#include <stdio.h>

bool conf_parse_duration(struct str text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 }, { "", 1000 } };
	size_t digits = 0;
	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	uint64_t value;
	if (!str_to_u64(str_head(text, digits), 1000000000, &value))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (str_equal(str_skip(text, digits), str_of(units[i].unit))) {
			*ret_ms = (int64_t)value * units[i].ms;
			return true;
		}
	}
	return false;
}

bool conf_parse_size(struct str text, uint64_t *ret_bytes)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = { { "", 0 }, { "B", 0 }, { "K", 10 }, { "KiB", 10 }, { "M", 20 },
		{ "MiB", 20 }, { "G", 30 }, { "GiB", 30 }, { "T", 40 }, { "TiB", 40 } };
	size_t digits = 0;
	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	uint64_t value;
	if (!str_to_u64(str_head(text, digits), UINT64_C(1) << 23, &value) &&
		!(digits == text.length && str_to_u64(text, UINT64_C(1) << 60, &value)))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (str_equal(str_skip(text, digits), str_of(units[i].unit))) {
			*ret_bytes = value << units[i].shift;
			return true;
		}
	}
	return false;
}

int conf_error(cfg_t *section, const char *option, struct err *err, const char *format, ...)
{
	char words[200];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	cfg_opt_t *opt = option ? cfg_getopt(section, option) : NULL;
	const char *title = cfg_title(section);
	char place[160];
	if (opt && opt->comment)
		snprintf(place, sizeof(place), "%s", opt->comment);
	else
		snprintf(place, sizeof(place), "%s:%d",
			section->filename ? section->filename : "settings", section->line);
	/* The whole file is called "root" by libConfuse. */
	bool is_root = section->name && strcmp(section->name, "root") == 0;
	return err_set(err, ERR_INPUT, "%s: %s%s%s%s%s%s%s%s%s%s", place, is_root ? "" : "in ",
		is_root ? "" : section->name ? section->name : "settings", title ? " \"" : "",
		title ? title : "", title ? "\"" : "", is_root ? "" : ": ", opt ? "'" : "",
		opt ? opt->name : "", opt ? "' " : "", words);
}

int conf_duration(cfg_t *section, const char *option, int64_t min_ms, int64_t max_ms,
	int64_t *ret_ms, struct err *err)
{
	const char *text = cfg_getstr(section, option);
	int64_t value;
	if (!text || !conf_parse_duration(str_of(text), &value))
		return conf_error(section, option, err,
			"is \"%s\": write a time like \"90s\", \"5m\", \"4h\" or \"5d\"",
			text ? text : "");
	if (value < min_ms || value > max_ms)
		return conf_error(section, option, err,
			"is \"%s\": must lie between %llds and %llds", text,
			(long long)min_ms / 1000, (long long)max_ms / 1000);
	*ret_ms = value;
	return 0;
}

int conf_size(cfg_t *section, const char *option, uint64_t min_bytes, uint64_t max_bytes,
	uint64_t *ret_bytes, struct err *err)
{
	const char *text = cfg_getstr(section, option);
	uint64_t value;
	if (!text || !conf_parse_size(str_of(text), &value))
		return conf_error(section, option, err,
			"is \"%s\": write a size like \"64KiB\", \"50MiB\" or \"2GiB\"",
			text ? text : "");
	if (value < min_bytes || value > max_bytes)
		return conf_error(section, option, err,
			"is \"%s\": must lie between %llu and %llu bytes", text,
			(unsigned long long)min_bytes, (unsigned long long)max_bytes);
	*ret_bytes = value;
	return 0;
}

int conf_count(cfg_t *section, const char *option, long min, long max, long *ret, struct err *err)
{
	long value = cfg_getint(section, option);
	if (value < min || value > max)
		return conf_error(section, option, err, "is %ld: must lie between %ld and %ld",
			value, min, max);
	*ret = value;
	return 0;
}

int conf_choice(cfg_t *section, const char *option, const char *const words[], int *ret_index,
	struct err *err)
{
	const char *text = cfg_getstr(section, option);
	char all[120] = "";
	for (int i = 0; words[i]; i++) {
		if (text && strcmp(text, words[i]) == 0) {
			*ret_index = i;
			return 0;
		}
		size_t used = strlen(all);
		snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", words[i]);
	}
	return conf_error(section, option, err, "is \"%s\": must be one of %s", text ? text : "",
		all);
}
