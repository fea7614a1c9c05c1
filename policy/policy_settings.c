#include "policy/policy_settings.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_cipher.h"
#include "policy/policy_date.h"
#include "policy/policy_domain.h"

enum { REASON_BYTES = 200 }; /* it ends up in explanations and logs */

static cfg_opt_t outbound_options[] = {
	CFG_STR("require", "may", CFGF_NONE),
	CFG_STR("minimum", "TLS1.2", CFGF_NONE),
	CFG_STR_LIST("names", NULL, CFGF_NONE),
	CFG_STR("authority", NULL, CFGF_NONE),
	CFG_STR_LIST("key-pins", NULL, CFGF_NONE),
	CFG_BOOL("dane", cfg_true, CFGF_NONE),
	CFG_BOOL("mta-sts", cfg_true, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t inbound_options[] = {
	CFG_STR("require", NULL, CFGF_NONE),
	CFG_STR("minimum", NULL, CFGF_NONE),
	CFG_INT("minimum-bits", 0, CFGF_NONE),
	CFG_STR_LIST("ciphers", NULL, CFGF_NONE),
	CFG_STR_LIST("refused-ciphers", NULL, CFGF_NONE),
	CFG_STR_LIST("certificate-names", NULL, CFGF_NONE),
	CFG_STR_LIST("key-pins", NULL, CFGF_NONE),
	CFG_STR("mode", NULL, CFGF_NONE),
	CFG_END(),
};

cfg_opt_t *policy_settings_domain_options(void)
{
	static cfg_opt_t options[] = {
		CFG_SEC("outbound", outbound_options, CFGF_NONE),
		CFG_SEC("inbound", inbound_options, CFGF_NONE),
		CFG_SEC("inbound-recipients", inbound_options, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

cfg_opt_t *policy_settings_exception_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("require", NULL, CFGF_NONE),
		CFG_STR("minimum", "TLS1.2", CFGF_NONE),
		CFG_STR("reason", NULL, CFGF_NONE),
		CFG_STR("until", NULL, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

cfg_opt_t *policy_settings_client_options(void)
{
	static cfg_opt_t options[] = {
		CFG_BOOL("relay", cfg_false, CFGF_NONE),
		CFG_BOOL("session-tickets", cfg_true, CFGF_NONE),
		CFG_SEC("inbound", inbound_options, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

cfg_opt_t *policy_settings_daemon_options(void)
{
	static cfg_opt_t options[] = {
		CFG_SEC("inbound", inbound_options, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

cfg_opt_t *policy_settings_relay_certificates_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR_LIST("names", NULL, CFGF_NONE),
		CFG_STR_LIST("key-pins", NULL, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

/* NULL: none given. */
static int read_version(cfg_t *section, enum tlsio_version *ret, struct err *err)
{
	const char *text = cfg_getstr(section, "minimum");
	*ret = TLSIO_VERSION_NONE;
	if (text && !tlsio_version_parse(str_of(text), ret))
		return conf_error(section, "minimum", err,
			"is \"%.40s\": write \"TLS1.2\" or \"TLS1.3\"", text);
	return 0;
}

/* Gives the names, each in its one form; ".example.net" stays one. */
static int read_names(cfg_t *section, const char *option, char ***ret, size_t *ret_count,
	struct err *err)
{
	unsigned count = cfg_size(section, option);
	char **names = count ? mem_array(count, sizeof(*names)) : NULL;
	for (unsigned i = 0; i < count; i++) {
		char name[POLICY_DOMAIN_BYTES];
		struct err why;
		const char *text = cfg_getnstr(section, option, i);
		if (strcmp(text, "*") == 0)
			err_set(&why, ERR_INPUT, "\"*\" would be any name at all");
		if (strcmp(text, "*") == 0 ||
			policy_domain_parse_pattern(str_of(text), name, &why) < 0) {
			while (i > 0)
				free(names[--i]);
			free(names);
			return conf_error(section, option, err, "%s", why.text);
		}
		names[i] = mem_dup(name);
	}
	*ret = names;
	*ret_count = count;
	return 0;
}

static int read_pins(cfg_t *section, struct policy_pin **ret, size_t *ret_count, struct err *err)
{
	unsigned count = cfg_size(section, "key-pins");
	struct policy_pin *pins = count ? mem_array(count, sizeof(*pins)) : NULL;
	for (unsigned i = 0; i < count; i++) {
		struct err why;
		const char *text = cfg_getnstr(section, "key-pins", i);
		if (policy_pin_parse(str_of(text), &pins[i], &why) < 0) {
			free(pins);
			return conf_error(section, "key-pins", err, "%s", why.text);
		}
	}
	*ret = pins;
	*ret_count = count;
	return 0;
}

static void free_names(char **names, size_t count)
{
	while (count > 0)
		free(names[--count]);
	free(names);
}

/* What only verify looks at must not stand where it does nothing: it would look like a promise. */
static int check_outbound(cfg_t *section, enum policy_level level, struct err *err)
{
	static const char *const only_verify[] = { "names", "authority", "key-pins" };
	for (size_t i = 0; level != POLICY_LEVEL_VERIFY && i < 3; i++) {
		bool is_given = i == 1 ? cfg_getstr(section, "authority") != NULL
				       : cfg_size(section, only_verify[i]) > 0;
		if (is_given)
			return conf_error(section, only_verify[i], err,
				"does nothing with require = \"%s\": write require = \"verify\"%s",
				policy_level_name(level),
				level >= POLICY_LEVEL_DANE
					? ", beside which DANE holds wherever there are TLSA records"
					: "");
	}
	if (level >= POLICY_LEVEL_DANE && !cfg_getbool(section, "dane"))
		return conf_error(section, "dane", err,
			"is false, but require = \"%s\": leave dane out, or write require = \"may\"",
			policy_level_name(level));
	return 0;
}

/* option: where the name stands, or what makes one needed. name NULL: none given. */
static int read_authority(cfg_t *section, const char *option, const char *name,
	struct policy_requirement *r, const struct policy_settings_authorities *authorities,
	struct err *err)
{
	/* A pin alone decides unless an authority is asked for too. */
	if (r->level != POLICY_LEVEL_VERIFY || (!name && r->pin_count > 0))
		return 0;
	struct err why;
	name = name ? name : "system";
	r->trust = authorities->load(authorities->ctx, section, name, r->trust_sha256, &why);
	if (!r->trust)
		return conf_error(section, option, err, "%s", why.text);
	r->trust_name = mem_dup(name);
	return 0;
}

int policy_settings_read_outbound(cfg_t *outbound, const char *source,
	const struct policy_settings_authorities *authorities, struct policy_rule *ret,
	struct err *err)
{
	static const char *const levels[] = { "none", "may", "encrypt", "verify", "dane",
		"dane-only", NULL };
	struct policy_requirement r = { .source = mem_dup(source) };
	int level;
	*ret = (struct policy_rule){ .uses_dane = cfg_getbool(outbound, "dane"),
		.uses_sts = cfg_getbool(outbound, "mta-sts") };
	if (conf_choice(outbound, "require", levels, &level, err) == 0 &&
		read_version(outbound, &r.minimum, err) == 0 &&
		check_outbound(outbound, (enum policy_level)level, err) == 0 &&
		read_names(outbound, "names", &r.names, &r.name_count, err) == 0 &&
		read_pins(outbound, &r.pins, &r.pin_count, err) == 0) {
		r.level = (enum policy_level)level;
		if (read_authority(outbound, "authority", cfg_getstr(outbound, "authority"), &r,
			    authorities, err) == 0)
			ret->requirement = policy_requirement_new(&r);
	}
	free_names(r.names, r.name_count);
	free(r.pins);
	free(r.source);
	free(r.trust_name);
	tlsio_trust_unref(&r.trust);
	return ret->requirement ? 0 : -1;
}

static int read_until(cfg_t *exception, int64_t *ret_s, struct err *err)
{
	const char *text = cfg_getstr(exception, "until");
	if (!text || !text[0])
		return conf_error(exception, "until", err,
			"is missing: an exception needs an end, as until = \"2026-12-31\"");
	if (!policy_date_parse_end(str_of(text), ret_s))
		return conf_error(exception, "until", err,
			"is \"%.40s\": write a day like \"2026-12-31\" (all of it, UTC) or a time like "
			"\"2026-12-31T18:00:00Z\"",
			text);
	return 0;
}

static int read_reason(cfg_t *exception, const char **ret, struct err *err)
{
	*ret = cfg_getstr(exception, "reason");
	if (!*ret || !(*ret)[strspn(*ret, " \t")])
		return conf_error(exception, "reason", err,
			"is missing: say for whoever comes next why this exception is there");
	if (strlen(*ret) > REASON_BYTES)
		return conf_error(exception, "reason", err, "is longer than %d bytes", REASON_BYTES);
	return 0;
}

int policy_settings_read_exception(cfg_t *exception, const char *source,
	const struct policy_settings_authorities *authorities, struct policy_rule *ret,
	struct err *err)
{
	static const char *const levels[] = { "none", "may", "encrypt", "verify", NULL };
	struct policy_requirement r = { .origin = POLICY_ORIGIN_EXCEPTION,
		.source = (char *)(uintptr_t)source };
	const char *reason;
	int level;
	*ret = (struct policy_rule){ .is_exception = true };
	if (!cfg_getstr(exception, "require"))
		return conf_error(exception, "require", err,
			"is missing: say what holds instead, as require = \"may\"");
	if (conf_choice(exception, "require", levels, &level, err) < 0 ||
		read_version(exception, &r.minimum, err) < 0 ||
		read_reason(exception, &reason, err) < 0 ||
		read_until(exception, &ret->until_s, err) < 0)
		return -1;
	r.level = (enum policy_level)level;
	if (read_authority(exception, "require", NULL, &r, authorities, err) < 0)
		return -1;
	ret->requirement = policy_requirement_new(&r);
	ret->reason = mem_dup(reason);
	free(r.trust_name);
	tlsio_trust_unref(&r.trust);
	return 0;
}

void policy_settings_clear_rule(struct policy_rule *rule)
{
	policy_requirement_unref(&rule->requirement);
	free(rule->reason);
	rule->reason = NULL;
}

void policy_settings_clear_inbound(struct policy_inbound_demand *demand)
{
	policy_inbound_demand_clear(demand);
}

static int read_mode(cfg_t *section, enum policy_inbound_mode *ret, struct err *err)
{
	static const char *const words[] = { "report", "quarantine", "tempfail", "reject", NULL };
	int mode;
	*ret = POLICY_INBOUND_UNSET;
	if (!cfg_getstr(section, "mode"))
		return 0;
	if (conf_choice(section, "mode", words, &mode, err) < 0)
		return -1;
	*ret = (enum policy_inbound_mode)(mode + POLICY_INBOUND_REPORT);
	return 0;
}

static int read_ciphers(cfg_t *section, const char *option, char ***ret, size_t *ret_count,
	struct err *err)
{
	unsigned count = cfg_size(section, option);
	for (unsigned i = 0; i < count; i++) {
		struct err why;
		if (policy_cipher_check_pattern(cfg_getnstr(section, option, i), &why) < 0)
			return conf_error(section, option, err, "%s", why.text);
	}
	*ret = count ? mem_array(count, sizeof(**ret)) : NULL;
	for (unsigned i = 0; i < count; i++)
		(*ret)[i] = mem_dup(cfg_getnstr(section, option, i));
	*ret_count = count;
	return 0;
}

static int read_demand(cfg_t *inbound, struct policy_inbound_demand *d, struct err *err)
{
	static const char *const words[] = { "none", "tls", "certificate", NULL };
	long bits = 0;
	int require = 0;
	if ((cfg_getstr(inbound, "require") &&
		    conf_choice(inbound, "require", words, &require, err) < 0) ||
		read_version(inbound, &d->minimum, err) < 0 ||
		conf_count(inbound, "minimum-bits", 0, 256, &bits, err) < 0 ||
		read_ciphers(inbound, "ciphers", &d->ciphers, &d->cipher_count, err) < 0 ||
		read_ciphers(inbound, "refused-ciphers", &d->refused_ciphers,
			&d->refused_cipher_count, err) < 0 ||
		read_names(inbound, "certificate-names", &d->names, &d->name_count, err) < 0 ||
		read_pins(inbound, &d->pins, &d->pin_count, err) < 0 ||
		read_mode(inbound, &d->mode, err) < 0)
		return -1;
	d->minimum_bits = (unsigned)bits;
	d->requires_certificate = require == 2 || d->name_count || d->pin_count;
	d->requires_tls = require >= 1 || d->minimum || d->minimum_bits || d->cipher_count ||
		d->refused_cipher_count || d->requires_certificate;
	if (cfg_getstr(inbound, "require") && require == 0 && d->requires_tls)
		return conf_error(inbound, "require", err,
			"is \"none\" beside a minimum, ciphers, certificate-names or key-pins, which "
			"need TLS: write \"tls\" or leave them out");
	if (d->mode && !d->requires_tls)
		return conf_error(inbound, "mode", err,
			"does nothing where nothing is demanded: write require = \"tls\"");
	return 0;
}

int policy_settings_read_inbound(cfg_t *inbound, const char *source,
	struct policy_inbound_demand *ret, struct err *err)
{
	struct policy_inbound_demand d = { .source = mem_dup(source) };
	if (read_demand(inbound, &d, err) < 0) {
		policy_inbound_demand_clear(&d);
		return -1;
	}
	*ret = d;
	return 0;
}

/* An address with a slip of the pen must not become a name that nobody has. */
bool policy_settings_is_client_name(struct str title)
{
	if (title.length > 1 && title.at[title.length - 1] == '.')
		title = str_head(title, title.length - 1);
	size_t dot = str_find_last(title, '.');
	struct str last = dot < title.length ? str_skip(title, dot + 1) : title;
	bool has_letter = false;
	for (size_t i = 0; i < title.length; i++) {
		if (title.at[i] == ':' || title.at[i] == '/')
			return false;
	}
	for (size_t i = 0; i < last.length; i++)
		has_letter = has_letter || last.at[i] < '0' || last.at[i] > '9';
	return has_letter && dot < title.length;
}

int policy_settings_read_client(cfg_t *client, const char *source,
	struct policy_inbound_client *ret, struct err *err)
{
	struct policy_inbound_client c = {
		.may_relay = cfg_getbool(client, "relay"),
		.no_tickets = !cfg_getbool(client, "session-tickets"),
	};
	struct err why;
	if (netaddr_net_parse(str_of(cfg_title(client)), &c.net, &why) < 0)
		return conf_error(client, NULL, err, "%s", why.text);
	if (policy_settings_read_inbound(cfg_getsec(client, "inbound"), source, &c.demand, err) < 0)
		return -1;
	*ret = c;
	return 0;
}

int policy_settings_read_relay_certificates(cfg_t *section, struct policy_inbound *into,
	struct err *err)
{
	char **names = NULL;
	struct policy_pin *pins = NULL;
	size_t name_count = 0, pin_count = 0;
	int result = -1;
	if (read_names(section, "names", &names, &name_count, err) == 0 &&
		read_pins(section, &pins, &pin_count, err) == 0) {
		for (size_t i = 0; i < name_count; i++)
			policy_inbound_add_relay_name(into, names[i]);
		for (size_t i = 0; i < pin_count; i++)
			policy_inbound_add_relay_pin(into, &pins[i]);
		result = 0;
	}
	free_names(names, name_count);
	free(pins);
	return result;
}
