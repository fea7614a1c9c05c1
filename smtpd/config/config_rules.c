#include "smtpd/config/config_loading.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_settings.h"
#include "smtpd/config/config_tree.h"

enum { WEEK_S = 7 * 24 * 3600, YEAR_S = 366 * 24 * 3600 };

static struct tlsio_trust *load_authority(void *ctx, const cfg_t *place, const char *name,
	uint8_t ret_sha256[32], struct err *err)
{
	return config_loading_authority(ctx, place, name, ret_sha256, err);
}

static int add_outbound(struct config_loading *l, cfg_t *domain, const char *source,
	struct err *err)
{
	const struct policy_settings_authorities authorities = { load_authority, l };
	struct err why = { 0 };
	struct policy_rule rule;
	if (policy_settings_read_outbound(cfg_getsec(domain, "outbound"), source, &authorities,
		    &rule, err) < 0)
		return -1;
	if (rule.requirement->level >= POLICY_LEVEL_DANE)
		l->has_dane_rule = true;
	int result = policy_rules_add(l->config->rules, str_of(cfg_title(domain)), &rule, &why);
	policy_settings_clear_rule(&rule);
	return result < 0 ? conf_error(domain, NULL, err, "%s", why.text) : 0;
}

static void warn_of_end(struct config_loading *l, cfg_t *section, int64_t until_s)
{
	int64_t now_s = (int64_t)time(NULL);
	const char *until = cfg_getstr(section, "until"), *title = cfg_title(section);
	if (until_s <= now_s)
		config_loading_warn(l,
			"%s:%d: the exception for \"%s\" is over (until %s) and does nothing any "
			"more: take it out",
			section->filename, section->line, title, until);
	else if (until_s <= now_s + WEEK_S)
		config_loading_warn(l,
			"%s:%d: the exception for \"%s\" ends soon (until %s): then the old demands hold "
			"again",
			section->filename, section->line, title, until);
	else if (until_s > now_s + YEAR_S)
		config_loading_warn(l,
			"%s:%d: the exception for \"%s\" goes on until %s, more than a year: nobody "
			"will remember it",
			section->filename, section->line, title, until);
}

static int read_exception(struct config_loading *l, cfg_t *section, struct err *err)
{
	const struct policy_settings_authorities authorities = { load_authority, l };
	struct err why = { 0 };
	struct policy_rule rule;
	char *source = config_loading_place(section);
	int result = policy_settings_read_exception(section, source, &authorities, &rule, err);
	free(source);
	if (result < 0)
		return -1;
	result = policy_rules_add(l->config->rules, str_of(cfg_title(section)), &rule, &why);
	warn_of_end(l, section, rule.until_s);
	policy_settings_clear_rule(&rule);
	return result < 0 ? conf_error(section, NULL, err, "%s", why.text) : 0;
}

static int read_domain(struct config_loading *l, cfg_t *domain, struct err *err)
{
	bool has_outbound = config_tree_is_given(domain, "outbound");
	bool has_inbound = config_tree_is_given(domain, "inbound") ||
		config_tree_is_given(domain, "inbound-recipients");
	if (!has_outbound && !has_inbound)
		return conf_error(domain, NULL, err,
			"says nothing: put outbound { ... }, inbound { ... } or "
			"inbound-recipients { ... } in it");
	char *source = config_loading_place(domain);
	int result = 0;
	if (has_outbound)
		result = add_outbound(l, domain, source, err);
	if (result == 0 && has_inbound)
		result = config_inbound_read_domain(l, domain, source, err);
	free(source);
	return result;
}

/* Names in certificates and in the DNS are host names; an address is none of them. */
static void warn_of_address(struct config_loading *l, cfg_t *section,
	const struct relay_destination *d)
{
	struct netaddr address;
	const struct policy_requirement *r = d->requirement;
	if (!d->host || netaddr_parse(str_of(d->host), d->port, &address, NULL) < 0)
		return;
	if (r->level == POLICY_LEVEL_VERIFY && r->name_count == 0 && (r->trust || r->pin_count == 0))
		config_loading_warn(l,
			"%s:%d: route \"%s\" leads to an address, and %s demands verify without names: "
			"no certificate will fit; add names = {...} there or route to a host name",
			section->filename, section->line, cfg_title(section), r->source);
	else if (r->level == POLICY_LEVEL_DANE_ONLY)
		config_loading_warn(l,
			"%s:%d: route \"%s\" leads to an address, and %s demands dane-only: an address "
			"has no TLSA records; route to a host name",
			section->filename, section->line, cfg_title(section), r->source);
}

static int read_route(struct config_loading *l, cfg_t *section, struct err *err)
{
	struct err why = { 0 };
	const char *title = cfg_title(section), *words = cfg_getstr(section, "to");
	if (!words || !words[0])
		return conf_error(section, "to", err,
			"is missing: write to = \"mx\", \"smtp host:port\", \"smtps host:port\", "
			"\"lmtp unix:/path\", \"maildir /path\" or \"refuse words\"");
	/* A parent's rule may be another than its hosts': ask for one of them. */
	bool is_rest = strcmp(title, "*") == 0;
	struct buf domain = { 0 };
	buf_printf(&domain, "%s%s", title[0] == '.' ? "any" : "", is_rest ? "" : title);
	struct policy_requirement *r = policy_rules_find_without_exceptions(l->config->rules,
		buf_str(&domain))->requirement;
	struct relay_destination *d = relay_destination_parse(str_of(words), r, &why);
	l->has_route = true;
	buf_release(&domain);
	if (!d)
		return conf_error(section, "to", err, "is \"%.60s\": %s", words, why.text);
	if (relay_routes_add(l->config->routes, str_of(title), str_of(words), &why) < 0) {
		relay_destination_unref(&d);
		return conf_error(section, NULL, err, "%s", why.text);
	}
	l->has_mx_route = l->has_mx_route || d->by_mx;
	l->has_host_route = l->has_host_route || d->host;
	warn_of_address(l, section, d);
	relay_destination_unref(&d);
	return 0;
}

int config_rules_read(struct config_loading *l, struct err *err)
{
	l->config->rules = policy_rules_new();
	l->config->routes = relay_routes_new();
	if (config_parse_each(l, "domain", read_domain, err) < 0 ||
		config_parse_each(l, "exception", read_exception, err) < 0 ||
		config_parse_each(l, "route", read_route, err) < 0)
		return -1;
	if (!l->has_route && l->config->listener_count > 0)
		config_loading_warn(l, "%s: no route section: no mail can be accepted or sent on",
			l->config->path);
	return 0;
}
