#include "smtpd/config/config_loading.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "smtpd/config/config_tree.h"
#include "smtpd/socketmap/socketmap_settings.h"

enum { ANCHOR_BYTES = 1 << 20 };

/* Without an anchor nothing can be proven. That the default is missing matters only to those who need
 * it; a file that is named must be there. */
static int read_anchor(struct config_loading *l, cfg_t *section, struct err *err)
{
	struct dns_settings *dns = &l->config->dns;
	struct buf text = { 0 };
	struct err why = { 0 };
	if (config_loading_read(l, dns->trust_anchor, ANCHOR_BYTES, &text, &why) == 0) {
		dns->anchor_text = buf_take(&text);
		return 0;
	}
	buf_release(&text);
	if (config_tree_is_given(section, "trust-anchor"))
		return conf_error(section, "trust-anchor", err, "%s", why.text);
	if (l->config->wants_plans)
		config_loading_warn(l,
			"%s: DANE is off, since DNSSEC has no trust anchor: %s; install the package "
			"dns-root-data, or name the file in  resolver { trust-anchor = ... }%s",
			l->config->path, why.text,
			l->has_dane_rule ? ". Until then no host meets a rule that says dane-only" : "");
	return 0;
}

static int read_authority(struct config_loading *l, cfg_t *section, struct err *err)
{
	struct sts_settings *sts = &l->config->sts;
	bool is_system = strcmp(sts->authority, "system") == 0;
	struct err why = { 0 };
	if (is_system && !l->config->wants_plans)
		return 0;
	l->config->sts_trust = config_loading_authority(l, section, sts->authority,
		l->config->sts_sha256, &why);
	if (why.kind != ERR_NONE && !is_system)
		return conf_error(section, "authority", err, "%s", why.text);
	if (why.kind != ERR_NONE)
		config_loading_warn(l,
			"%s: no MTA-STS policy can be fetched: %s; install the package ca-certificates",
			l->config->path, why.text);
	if (is_system)
		return 0;
	struct buf pem = { 0 };
	char *path = config_text_path(section->filename ? section->filename : "", sts->authority);
	int result = config_loading_read(l, path, CONFIG_AUTHORITY_BYTES, &pem, err);
	if (result == 0)
		sts->authority_pem = buf_take(&pem);
	buf_release(&pem);
	free(path);
	return result;
}

static int read_socketmap(struct config_loading *l, struct err *err)
{
	struct sockets_settings *settings = &l->config->socketmap;
	for (unsigned i = 0; i < cfg_size(l->cfg, "socketmap"); i++) {
		cfg_t *section = cfg_getnsec(l->cfg, "socketmap", i);
		if (sockets_settings_add(settings, section, SOCKETMAP_PORT, err) < 0)
			return -1;
		if (sockets_settings_find(&l->config->delegation.sockets, &settings->all[i]))
			return conf_error(section, NULL, err,
				"is the address of policy-service, too: each needs its own");
		if (sockets_settings_is_open(&settings->all[i]))
			config_loading_warn(l,
				"%s:%d: socketmap \"%s\" can be asked from other machines: whoever asks sees "
				"your rules, and the answers travel in clear; better 127.0.0.1",
				section->filename, section->line, settings->all[i].text);
	}
	return 0;
}

static int read_tlsrpt(struct config_loading *l, struct err *err)
{
	struct tlsrpt_settings *settings = &l->config->tlsrpt;
	for (unsigned i = 0; i < cfg_size(l->cfg, "tlsrpt-collector"); i++) {
		cfg_t *section = cfg_getnsec(l->cfg, "tlsrpt-collector", i);
		if (tlsrpt_settings_add_collector(settings, section, err) < 0)
			return -1;
		if (settings->collectors[i].mode & 0002)
			config_loading_warn(l,
				"%s:%d: everybody on this machine may send to tlsrpt-collector \"%s\", and so "
				"put false counts into your reports; better a group, and mode 0660",
				section->filename, section->line, settings->collectors[i].path);
	}
	return tlsrpt_settings_read(cfg_getsec(l->cfg, "tlsrpt"), l->config->sts.cache, settings, err);
}

int config_brain_read(struct config_loading *l, struct err *err)
{
	cfg_t *resolver = cfg_getsec(l->cfg, "resolver"), *sts = cfg_getsec(l->cfg, "mta-sts");
	struct config *config = l->config;
	if (read_socketmap(l, err) < 0 || sts_settings_read(sts, &config->sts, err) < 0 ||
		read_tlsrpt(l, err) < 0)
		return -1;
	bool has_service = config->delegation.sockets.count > 0;
	/* A file for postern-milter is for nobody else, unless it says so. */
	bool is_for_milter = cfg_size(l->cfg, "milter") > 0;
	config->wants_plans = l->has_mx_route || (l->has_dane_rule && l->has_host_route) ||
		(config->listener_count == 0 && !has_service && !is_for_milter) ||
		config->socketmap.count > 0 || config->tlsrpt.collector_count > 0;
	config->wants_policyd = config->wants_plans || has_service;
	if (dns_settings_read(resolver, &config->dns, err) < 0)
		return -1;
	return read_anchor(l, resolver, err) < 0 || read_authority(l, sts, err) < 0 ? -1 : 0;
}

struct tlsio_trust *config_sts_authority(const struct config *config, uint8_t ret_sha256[32],
	struct err *err)
{
	if (config->sts_trust) {
		memcpy(ret_sha256, config->sts_sha256, sizeof(config->sts_sha256));
		return tlsio_trust_ref(config->sts_trust);
	}
	/* "system", in a file that has no need of it. */
	struct tlsio_trust *trust = tlsio_trust_system(err);
	if (trust)
		tlsio_trust_sha256(trust, ret_sha256);
	return trust;
}
