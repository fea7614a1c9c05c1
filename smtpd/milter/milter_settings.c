#include "smtpd/milter/milter_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"

enum { FIELD_NAME_BYTES = 64 };

cfg_opt_t *milter_settings_options(void)
{
	const cfg_opt_t own[] = {
		CFG_STR("mta", "auto", CFGF_NONE),
		CFG_STR("header", NULL, CFGF_NONE),
		CFG_STR("socket-mode", "0660", CFGF_NONE),
		CFG_STR("socket-group", NULL, CFGF_NONE),
		CFG_END(),
	};
	static cfg_opt_t options[INBOUND_SETTINGS_OPTIONS + sizeof(own) / sizeof(own[0])];
	inbound_settings_options(options);
	memcpy(options + INBOUND_SETTINGS_OPTIONS, own, sizeof(own));
	return options;
}

/* "inet:host:port" as Postfix writes it, or "inet:port@host" as libmilter does. */
static int read_inet(struct str words, struct milter_settings *s, struct err *err)
{
	struct netaddr address;
	char turned[2 * NETADDR_TEXT_BYTES], ip[NETADDR_TEXT_BYTES];
	size_t at = str_find(words, '@');
	struct buf text = { 0 };
	if (at < words.length) {
		struct str host = str_skip(words, at + 1);
		bool is_ipv6 = str_find(host, ':') < host.length;
		snprintf(turned, sizeof(turned), is_ipv6 ? "[%.*s]:%.*s" : "%.*s:%.*s",
			(int)(host.length > 45 ? 45 : host.length), host.at, (int)(at > 5 ? 5 : at),
			words.at);
		words = str_of(turned);
	}
	if (netaddr_parse(words, 0, &address, err) < 0)
		return -1;
	if (address.port == 0)
		return err_set(err, ERR_INPUT, "has no port: write \"inet:127.0.0.1:8891\"");
	buf_printf(&text, "%s:%u@%s", address.family == NETADDR_IPV6 ? "inet6" : "inet",
		(unsigned)address.port, netaddr_format_ip(&address, ip));
	s->connection = buf_take(&text);
	return 0;
}

static int read_socket(const char *title, struct milter_settings *s, struct err *err)
{
	struct str words = str_of(title);
	struct sockaddr_un longest;
	s->socket = mem_dup(title);
	if (str_starts(words, STR("inet:")))
		return read_inet(str_skip(words, 5), s, err);
	if (str_starts(words, STR("inet6:")))
		return read_inet(str_skip(words, 6), s, err);
	if (!str_starts(words, STR("unix:/")) || words.at[words.length - 1] == '/')
		return err_set(err, ERR_INPUT,
			"is no socket: write \"unix:/run/postern-milter/milter.sock\" or "
			"\"inet:127.0.0.1:8891\"");
	if (words.length - 5 >= sizeof(longest.sun_path))
		return err_set(err, ERR_INPUT, "the path of a socket has less than %zu letters",
			sizeof(longest.sun_path));
	s->connection = mem_dup(title);
	s->socket_path = mem_dup(title + 5);
	return 0;
}

static int read_mode_bits(cfg_t *section, mode_t *ret, struct err *err)
{
	const char *text = cfg_getstr(section, "socket-mode");
	char *end;
	long bits = strtol(text, &end, 8);
	if (!text[0] || *end || bits < 0 || bits > 0777 || (bits & 0111))
		return conf_error(section, "socket-mode", err,
			"is \"%.20s\": write who may connect as chmod does, \"0660\"", text);
	*ret = (mode_t)bits;
	return 0;
}

/* All incoming fields of the name are taken out, so it must be one that nobody else needs. */
static int read_header(cfg_t *section, struct milter_settings *s, struct err *err)
{
	const char *name = cfg_getstr(section, "header");
	if (!name)
		return 0;
	struct str field = str_of(name);
	bool is_good = field.length > 2 && field.length <= FIELD_NAME_BYTES &&
		(str_starts_nocase(field, STR("X-")) || str_starts_nocase(field, STR("Postern-")));
	for (size_t i = 0; i < field.length; i++) {
		char c = str_lower(field.at[i]);
		is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
	}
	if (!is_good)
		return conf_error(section, "header", err,
			"is \"%.70s\": write the name of a field of our own, which begins with \"X-\" or "
			"\"Postern-\", as \"X-Postern-TLS\"; incoming ones are taken out",
			name);
	s->header = mem_dup(name);
	return 0;
}

static int read_all(cfg_t *section, struct milter_settings *s, struct err *err)
{
	static const char *const mtas[] = { "auto", "postfix", "sendmail", NULL };
	struct err why;
	const char *title = cfg_title(section), *group = cfg_getstr(section, "socket-group");
	int mta;
	if (read_socket(title, s, &why) < 0)
		return conf_error(section, NULL, err, "%s", why.text);
	if (inbound_settings_read(section, &s->inbound, err) < 0 ||
		conf_choice(section, "mta", mtas, &mta, err) < 0 ||
		read_mode_bits(section, &s->socket_mode, err) < 0 || read_header(section, s, err) < 0)
		return -1;
	s->mta = (enum milter_mta)mta;
	s->socket_group = mem_dup(group);
	return 0;
}

int milter_settings_read(cfg_t *section, struct milter_settings *ret, struct err *err)
{
	struct milter_settings s = { 0 };
	if (read_all(section, &s, err) < 0) {
		milter_settings_clear(&s);
		return -1;
	}
	*ret = s;
	return 0;
}

void milter_settings_clear(struct milter_settings *settings)
{
	struct milter_settings *s = settings;
	inbound_settings_clear(&s->inbound);
	free(s->socket);
	free(s->connection);
	free(s->socket_path);
	free(s->socket_group);
	free(s->header);
	*s = (struct milter_settings){ 0 };
}
