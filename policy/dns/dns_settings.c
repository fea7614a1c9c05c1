#include "policy/dns/dns_settings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/netaddr.h"

enum { NAME_MOST = 253, LABEL_MOST = 63 };

cfg_opt_t *dns_settings_options(void)
{
	static cfg_opt_t stub_options[] = {
		CFG_STR_LIST("servers", NULL, CFGF_NONE),
		CFG_END(),
	};
	static char check[] = "{dnssec-failed.org, rhybar.cz}"; /* wrong on purpose */
	static cfg_opt_t options[] = {
		CFG_STR_LIST("forward", NULL, CFGF_NONE),
		CFG_STR("trust-anchor", "/usr/share/dns/root.key", CFGF_NONE),
		CFG_STR("timeout", "10s", CFGF_NONE),
		CFG_STR("cache-size", "64MiB", CFGF_NONE),
		CFG_STR_LIST("check", check, CFGF_NONE),
		CFG_SEC("stub", stub_options, CFGF_MULTI | CFGF_TITLE),
		CFG_STR_LIST("insecure", NULL, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static char **copy_list(char *const *from)
{
	size_t count = 0;
	while (from && from[count])
		count++;
	char **copy = mem_array(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = mem_dup(from[i]);
	copy[count] = NULL;
	return copy;
}

static bool is_label_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Gives it in lower case without a final dot ("." stays), or NULL. */
static char *read_name(const char *text)
{
	size_t length = strlen(text), label = 0;
	if (strcmp(text, ".") == 0)
		return mem_dup(text);
	if (length && text[length - 1] == '.')
		length--;
	if (length == 0 || length > NAME_MOST)
		return NULL;
	char *name = mem_dup_bytes(text, length);
	str_lower_in_place(name, length);
	for (size_t i = 0; i <= length; i++) {
		if (i == length || name[i] == '.') {
			if (label == 0 || label > LABEL_MOST)
				goto wrong;
			label = 0;
		} else if (is_label_byte(name[i])) {
			label++;
		} else {
			goto wrong;
		}
	}
	return name;
wrong:
	free(name);
	return NULL;
}

/* "192.0.2.53", "2001:db8::53@5353": the form libunbound reads. */
static bool is_server(const char *text)
{
	struct str address = str_of(text);
	size_t at = str_find(address, '@');
	uint64_t port;
	if (at < address.length &&
		(!str_to_u64(str_skip(address, at + 1), 65535, &port) || port == 0))
		return false;
	address = str_head(address, at);
	/* netaddr reads "192.0.2.1:53" and "[::1]:53" too; a port that is still the default was
	 * not written there */
	struct netaddr parsed;
	if (str_find(address, '[') < address.length ||
		netaddr_parse(address, 1, &parsed, NULL) < 0 || parsed.port != 1)
		return false;
	return parsed.family == NETADDR_IPV6 || str_find(address, ':') == address.length;
}

static int read_servers(cfg_t *section, const char *option, char ***ret, struct err *err)
{
	unsigned count = cfg_size(section, option);
	char **list = mem_zero((count + 1) * sizeof(*list));
	for (unsigned i = 0; i < count; i++) {
		const char *text = cfg_getnstr(section, option, i);
		if (!is_server(text)) {
			conf_error(section, option, err,
				"has \"%.60s\": write an address, or an address and a port like "
				"\"192.0.2.53@5353\"",
				text);
			free_list(list);
			return -1;
		}
		list[i] = mem_dup(text);
	}
	*ret = list;
	return 0;
}

static int read_names(cfg_t *section, const char *option, char ***ret, struct err *err)
{
	unsigned count = cfg_size(section, option);
	char **list = mem_zero((count + 1) * sizeof(*list));
	for (unsigned i = 0; i < count; i++) {
		const char *text = cfg_getnstr(section, option, i);
		list[i] = read_name(text);
		if (!list[i]) {
			conf_error(section, option, err,
				"has \"%.60s\", which is no domain name (one beyond ASCII is "
				"written as in the DNS, xn--...)",
				text);
			free_list(list);
			return -1;
		}
	}
	*ret = list;
	return 0;
}

static int read_stub(cfg_t *stub, struct dns_settings *s, struct err *err)
{
	struct dns_stub one = { 0 };
	const char *title = cfg_title(stub);
	if (cfg_size(stub, "servers") == 0)
		return conf_error(stub, NULL, err, "has no servers: say who is asked");
	if (read_servers(stub, "servers", &one.servers, err) < 0)
		return -1;
	one.zone = read_name(title);
	bool is_known = false;
	for (size_t i = 0; one.zone && i < s->stub_count; i++)
		is_known |= strcmp(s->stubs[i].zone, one.zone) == 0;
	if (!one.zone || is_known) {
		free_list(one.servers);
		free(one.zone);
		return conf_error(stub, NULL, err,
			is_known ? "is there twice: put all its servers into one"
				 : "has a title that is no domain name");
	}
	s->stubs = mem_resize_array(s->stubs, s->stub_count + 1, sizeof(*s->stubs));
	s->stubs[s->stub_count++] = one;
	return 0;
}

static int read_anchor(cfg_t *section, char **ret, struct err *err)
{
	const char *path = cfg_getstr(section, "trust-anchor");
	if (!path || path[0] != '/')
		return conf_error(section, "trust-anchor", err,
			"is \"%.60s\": write the whole path of a file with DS or DNSKEY records "
			"(Debian: package dns-root-data)",
			path ? path : "");
	*ret = mem_dup(path);
	return 0;
}

int dns_settings_read(cfg_t *section, struct dns_settings *ret, struct err *err)
{
	struct dns_settings s = { 0 };
	if (read_servers(section, "forward", &s.forward, err) < 0 ||
		read_anchor(section, &s.trust_anchor, err) < 0 ||
		conf_duration(section, "timeout", 1000, 60000, &s.timeout_ms, err) < 0 ||
		conf_size(section, "cache-size", UINT64_C(1) << 20, UINT64_C(1) << 34,
			&s.cache_bytes, err) < 0 ||
		read_names(section, "check", &s.check, err) < 0 ||
		read_names(section, "insecure", &s.insecure, err) < 0)
		goto failed;
	for (unsigned i = 0; i < cfg_size(section, "stub"); i++)
		if (read_stub(cfg_getnsec(section, "stub", i), &s, err) < 0)
			goto failed;
	*ret = s;
	return 0;
failed:
	dns_settings_clear(&s);
	return -1;
}

void dns_settings_copy(const struct dns_settings *from, struct dns_settings *ret)
{
	*ret = (struct dns_settings){
		.forward = copy_list(from->forward),
		.trust_anchor = mem_dup(from->trust_anchor),
		.anchor_text = mem_dup(from->anchor_text),
		.timeout_ms = from->timeout_ms,
		.cache_bytes = from->cache_bytes,
		.check = copy_list(from->check),
		.stubs = mem_array(from->stub_count + 1, sizeof(*ret->stubs)),
		.stub_count = from->stub_count,
		.insecure = copy_list(from->insecure),
	};
	for (size_t i = 0; i < from->stub_count; i++)
		ret->stubs[i] = (struct dns_stub){
			.zone = mem_dup(from->stubs[i].zone),
			.servers = copy_list(from->stubs[i].servers),
		};
}

void dns_settings_clear(struct dns_settings *settings)
{
	free_list(settings->forward);
	free(settings->trust_anchor);
	free(settings->anchor_text);
	free_list(settings->check);
	free_list(settings->insecure);
	for (size_t i = 0; i < settings->stub_count; i++) {
		free(settings->stubs[i].zone);
		free_list(settings->stubs[i].servers);
	}
	free(settings->stubs);
	*settings = (struct dns_settings){ 0 };
}
