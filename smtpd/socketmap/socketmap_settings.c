#include "smtpd/socketmap/socketmap_settings.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

cfg_opt_t *socketmap_settings_options(void)
{
	static cfg_opt_t options[] = { CFG_END() };
	return options;
}

static bool is_same(const struct socketmap_address *a, const struct socketmap_address *b)
{
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	return netaddr_equal(&a->address, &b->address);
}

static void clear(struct socketmap_address *a)
{
	free(a->text);
	free(a->path);
}

/* "127.0.0.1:8642", "[::1]:8642", "/run/postern-maps/socketmap", "unix:/run/..." */
static int read_address(cfg_t *section, struct socketmap_address *ret, struct err *err)
{
	const char *text = cfg_title(section);
	const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : text;
	struct err why;
	*ret = (struct socketmap_address){ .text = mem_dup(text) };
	if (path[0] == '/') {
		ret->path = mem_dup(path);
		return 0;
	}
	if (path == text && netaddr_parse(str_of(text), SOCKETMAP_PORT, &ret->address, &why) == 0)
		return 0;
	clear(ret);
	return conf_error(section, NULL, err, "%s: write  socketmap \"127.0.0.1:8642\" { }  or the "
		"path of a unix socket", path == text ? why.text : "its path begins with no slash");
}

int socketmap_settings_add(struct socketmap_settings *settings, cfg_t *section, struct err *err)
{
	struct socketmap_address a;
	if (read_address(section, &a, err) < 0)
		return -1;
	for (size_t i = 0; i < settings->count; i++) {
		if (!is_same(&settings->all[i], &a))
			continue;
		clear(&a);
		return conf_error(section, NULL, err, "is the same as socketmap \"%s\" above",
			settings->all[i].text);
	}
	settings->all = mem_resize_array(settings->all, settings->count + 1, sizeof(a));
	settings->all[settings->count++] = a;
	return 0;
}

bool socketmap_settings_is_open(const struct socketmap_address *a)
{
	return !a->path && !netaddr_is_loopback(&a->address);
}

void socketmap_settings_clear(struct socketmap_settings *settings)
{
	while (settings->count > 0)
		clear(&settings->all[--settings->count]);
	free(settings->all);
	settings->all = NULL;
}
