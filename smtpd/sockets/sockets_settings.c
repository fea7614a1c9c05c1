#include "smtpd/sockets/sockets_settings.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

static bool is_same(const struct sockets_address *a, const struct sockets_address *b)
{
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	return netaddr_equal(&a->address, &b->address);
}

static void clear(struct sockets_address *a)
{
	free(a->section);
	free(a->text);
	free(a->path);
}

/* "127.0.0.1:8642", "[::1]:8642", "/run/postern-maps/socketmap", "unix:/run/..." */
static int read_address(cfg_t *section, uint16_t port, struct sockets_address *ret, struct err *err)
{
	const char *text = cfg_title(section);
	const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : text;
	struct err why;
	*ret = (struct sockets_address){ .section = mem_dup(section->name), .text = mem_dup(text) };
	if (path[0] == '/') {
		ret->path = mem_dup(path);
		return 0;
	}
	if (path == text && netaddr_parse(str_of(text), port, &ret->address, &why) == 0)
		return 0;
	clear(ret);
	return conf_error(section, NULL, err, "%s: write  %s \"127.0.0.1:%u\" { }  or the path of a "
		"unix socket", path == text ? why.text : "its path begins with no slash", section->name,
		(unsigned)port);
}

const struct sockets_address *sockets_settings_find(const struct sockets_settings *settings,
	const struct sockets_address *address)
{
	for (size_t i = 0; i < settings->count; i++) {
		if (is_same(&settings->all[i], address))
			return &settings->all[i];
	}
	return NULL;
}

int sockets_settings_add(struct sockets_settings *settings, cfg_t *section, uint16_t port,
	struct err *err)
{
	struct sockets_address a;
	if (read_address(section, port, &a, err) < 0)
		return -1;
	const struct sockets_address *same = sockets_settings_find(settings, &a);
	if (same) {
		clear(&a);
		return conf_error(section, NULL, err, "is the same as %s \"%s\" above",
			same->section, same->text);
	}
	settings->all = mem_resize_array(settings->all, settings->count + 1, sizeof(a));
	settings->all[settings->count++] = a;
	return 0;
}

bool sockets_settings_is_open(const struct sockets_address *a)
{
	return !a->path && !netaddr_is_loopback(&a->address);
}

void sockets_settings_clear(struct sockets_settings *settings)
{
	while (settings->count > 0)
		clear(&settings->all[--settings->count]);
	free(settings->all);
	settings->all = NULL;
}
