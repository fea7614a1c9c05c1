#include "policy/tlsrpt/tlsrpt_settings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

enum { MIB = 1024 * 1024 };

cfg_opt_t *tlsrpt_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("tally", NULL, CFGF_NONE),
		CFG_INT("keep-days", 10, CFGF_NONE),
		CFG_INT("rows-per-day", 100000, CFGF_NONE),
		CFG_STR("size", "256MiB", CFGF_NONE),
		CFG_END(),
	};
	return options;
}

cfg_opt_t *tlsrpt_settings_collector_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("group", NULL, CFGF_NONE),
		CFG_STR("mode", "0660", CFGF_NONE),
		CFG_END(),
	};
	return options;
}

/* "/var/lib/postern/mta-sts.db" -> "/var/lib/postern/tlsrpt.db" */
static char *neighbour(const char *of)
{
	struct buf path = { 0 };
	const char *slash = of ? strrchr(of, '/') : NULL;
	if (!slash)
		return NULL;
	buf_append(&path, of, (size_t)(slash + 1 - of));
	buf_append_text(&path, "tlsrpt.db");
	return buf_take(&path);
}

int tlsrpt_settings_read(cfg_t *section, const char *beside, struct tlsrpt_settings *ret,
	struct err *err)
{
	const char *tally = cfg_getstr(section, "tally");
	if (conf_count(section, "keep-days", 1, 366, &ret->days, err) < 0 ||
		conf_count(section, "rows-per-day", 100, 10000000, &ret->rows_most, err) < 0 ||
		conf_size(section, "size", MIB, UINT64_C(1024) * 1024 * MIB, &ret->bytes_most, err) <
			0)
		return -1;
	if (tally && tally[0] != '/' && tally[0] != '\0')
		return conf_error(section, "tally", err,
			"is \"%.80s\": write a path from the root, or \"\" to count in memory only",
			tally);
	ret->tally = !tally ? neighbour(beside) : tally[0] ? mem_dup(tally) : NULL;
	return 0;
}

static int read_mode(cfg_t *section, unsigned *ret, struct err *err)
{
	const char *text = cfg_getstr(section, "mode");
	char *end = NULL;
	unsigned long mode = strtoul(text, &end, 8);
	if (text[0] < '0' || text[0] > '7' || *end || mode > 0777)
		return conf_error(section, "mode", err,
			"is \"%.20s\": write it in octal digits, as \"0660\"", text);
	*ret = (unsigned)mode;
	return 0;
}

int tlsrpt_settings_add_collector(struct tlsrpt_settings *settings, cfg_t *section, struct err *err)
{
	struct tlsrpt_collector_settings c = { 0 };
	const char *path = cfg_title(section), *group = cfg_getstr(section, "group");
	if (path[0] != '/')
		return conf_error(section, NULL, err,
			"is no path from the root: write  tlsrpt-collector \"/path/tlsrpt.sock\" { }");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return conf_error(section, NULL, err,
			"is too long for a socket: its path has at most %zu letters",
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (read_mode(section, &c.mode, err) < 0)
		return -1;
	c.path = mem_dup(path);
	c.group = group && group[0] ? mem_dup(group) : NULL;
	settings->collectors = mem_resize_array(
		settings->collectors, settings->collector_count + 1, sizeof(c));
	settings->collectors[settings->collector_count++] = c;
	return 0;
}

void tlsrpt_settings_clear(struct tlsrpt_settings *settings)
{
	for (size_t i = 0; i < settings->collector_count; i++) {
		free(settings->collectors[i].path);
		free(settings->collectors[i].group);
	}
	free(settings->collectors);
	free(settings->tally);
	*settings = (struct tlsrpt_settings){ 0 };
}
