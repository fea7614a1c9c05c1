/* What clients must show: client, daemon, the inbound sections of domains, and those who ask for it:
 * milter, policy-service. */
#include "smtpd/config/config_loading.h"

#include <stdlib.h>

#include "libtlsio/base/conf.h"
#include "policy/policy_settings.h"
#include "smtpd/config/config_tree.h"

static void note_certificate_wish(struct config_loading *l, cfg_t *section, bool wants)
{
	struct buf place = { 0 };
	if (!wants || l->wants_client_certificates)
		return;
	buf_printf(&place, "%s:%d", section->filename, section->line);
	l->wants_client_certificates = buf_take(&place);
}

static bool has_listeners(const struct config_loading *l)
{
	return cfg_size(l->cfg, "listen") > 0;
}

/* What one of the doors cannot do must not stand where that door would pass it by. */
static int check_doors(const struct config_loading *l, cfg_t *inbound,
	const struct policy_inbound_demand *d, struct err *err)
{
	if (d->mode == POLICY_INBOUND_QUARANTINE && has_listeners(l))
		return conf_error(inbound, "mode", err,
			"is \"quarantine\", which only a milter's MTA can do, and posternd takes mail "
			"by this file, too: write reject, tempfail or report");
	if (d->pin_count > 0 && d->name_count == 0 && l->config->milter.socket)
		return conf_error(inbound, "key-pins", err,
			"cannot be met through postern-milter: an MTA tells a milter no keys; add "
			"certificate-names = {...}, or let Postfix ask policy-service instead of it");
	return 0;
}

static int read_demand(struct config_loading *l, cfg_t *inbound, const char *source,
	struct policy_inbound_demand *ret, struct err *err)
{
	if (policy_settings_read_inbound(inbound, source, ret, err) < 0)
		return -1;
	if (check_doors(l, inbound, ret, err) < 0) {
		policy_settings_clear_inbound(ret);
		return -1;
	}
	note_certificate_wish(l, inbound, ret->requires_certificate);
	return 0;
}

typedef int add_demand(struct policy_inbound *p, struct str title,
	const struct policy_inbound_demand *demand, struct err *err);

/* The section `name` inside of a titled one, by one of policy_inbound_add_*. */
static int add_inbound(struct config_loading *l, cfg_t *titled, const char *name,
	const char *source, add_demand *add, struct err *err)
{
	struct err why = { 0 };
	struct policy_inbound_demand demand;
	if (read_demand(l, cfg_getsec(titled, name), source, &demand, err) < 0)
		return -1;
	int result = add(l->config->inbound, str_of(cfg_title(titled)), &demand, &why);
	policy_settings_clear_inbound(&demand);
	return result < 0 ? conf_error(titled, NULL, err, "%s", why.text) : 0;
}

int config_inbound_read_domain(struct config_loading *l, cfg_t *domain, const char *source,
	struct err *err)
{
	if (config_tree_is_given(domain, "inbound") &&
		add_inbound(l, domain, "inbound", source, policy_inbound_add_sender_domain, err) < 0)
		return -1;
	if (config_tree_is_given(domain, "inbound-recipients") &&
		add_inbound(l, domain, "inbound-recipients", source,
			policy_inbound_add_recipient_domain, err) < 0)
		return -1;
	return 0;
}

static int check_relay_network(struct config_loading *l, cfg_t *section,
	const struct policy_inbound_client *c, struct err *err)
{
	bool is_ipv4 = c->net.address.family == NETADDR_IPV4;
	if (!c->may_relay)
		return 0;
	if (c->net.prefix_bits == 0)
		return conf_error(section, "relay", err,
			"is true for every address of the Internet: that makes an open relay. Name the "
			"networks that may relay");
	if (c->net.prefix_bits < (is_ipv4 ? 8 : 16))
		config_loading_warn(l,
			"%s:%d: client \"%s\" may relay: that is a great part of the Internet",
			section->filename, section->line, cfg_title(section));
	return 0;
}

static int read_client_network(struct config_loading *l, cfg_t *section, const char *source,
	struct err *err)
{
	struct policy_inbound_client c;
	struct err why = { 0 };
	if (policy_settings_read_client(section, source, &c, err) < 0)
		return -1;
	note_certificate_wish(l, section, c.demand.requires_certificate);
	int result = check_doors(l, cfg_getsec(section, "inbound"), &c.demand, err);
	if (result == 0)
		result = check_relay_network(l, section, &c, err);
	if (result == 0 && policy_inbound_add_client(l->config->inbound, &c, &why) < 0)
		result = conf_error(section, NULL, err, "%s", why.text);
	policy_settings_clear_inbound(&c.demand);
	return result;
}

/* A name is found by asking the DNS for it: posternd does not, and nobody should relay by one. */
static int read_client_name(struct config_loading *l, cfg_t *section, const char *source,
	struct err *err)
{
	if (has_listeners(l))
		return conf_error(section, NULL, err,
			"is a name, and posternd, which takes mail by this file, knows clients by "
			"address only: write their network; names are for milter and policy-service");
	if (cfg_getbool(section, "relay") || !cfg_getbool(section, "session-tickets"))
		return conf_error(section, cfg_getbool(section, "relay") ? "relay"
									  : "session-tickets",
			err, "goes by address: write the network of these clients");
	return add_inbound(l, section, "inbound", source, policy_inbound_add_client_name, err);
}

static int read_client(struct config_loading *l, cfg_t *section, struct err *err)
{
	char *source = config_loading_place(section);
	int result = policy_settings_is_client_name(str_of(cfg_title(section)))
		? read_client_name(l, section, source, err)
		: read_client_network(l, section, source, err);
	free(source);
	return result;
}

static int read_daemon(struct config_loading *l, cfg_t *section, struct err *err)
{
	if (has_listeners(l))
		return conf_error(section, NULL, err,
			"is for milter and policy-service, and posternd takes mail by this file, too: say "
			"require-tls and minimum in its section listen");
	char *source = config_loading_place(section);
	int result = add_inbound(l, section, "inbound", source, policy_inbound_add_daemon, err);
	free(source);
	return result;
}

static int read_daemons(struct config_loading *l, struct err *err)
{
	unsigned count = cfg_size(l->cfg, "daemon");
	for (unsigned i = 0; i < count; i++) {
		if (read_daemon(l, cfg_getnsec(l->cfg, "daemon", i), err) < 0)
			return -1;
	}
	return 0;
}

static int read_relay_certificates(struct config_loading *l, struct err *err)
{
	cfg_t *section = cfg_getsec(l->cfg, "relay-certificates");
	note_certificate_wish(l, section,
		cfg_size(section, "names") > 0 || cfg_size(section, "key-pins") > 0);
	return policy_settings_read_relay_certificates(section, l->config->inbound, err);
}

static bool has_other_MTA(const struct config *config)
{
	return config->milter.socket || config->delegation.sockets.count > 0;
}

/* A server asks for a certificate only where it has an authority to check it against. Behind another MTA that
 * is the MTA's to set. */
static int check_client_certificates(struct config_loading *l, struct err *err)
{
	unsigned count = cfg_size(l->cfg, "listen");
	if (!l->wants_client_certificates || (count == 0 && has_other_MTA(l->config)))
		return 0;
	for (unsigned i = 0; i < count; i++) {
		if (cfg_getstr(cfg_getnsec(l->cfg, "listen", i), "client-authority"))
			return 0;
	}
	return err_set(err, ERR_INPUT,
		"%s: a client's certificate is demanded, but no listen section asks clients for one: "
		"add client-authority = \"/path/ca.pem\" (or \"system\") there",
		l->wants_client_certificates);
}

static int read_policy_service(struct config_loading *l, struct err *err)
{
	unsigned count = cfg_size(l->cfg, "policy-service");
	struct delegation_settings *settings = &l->config->delegation;
	if (count > 1)
		return conf_error(cfg_getnsec(l->cfg, "policy-service", 1), NULL, err,
			"is the second: postern-policyd has one; a smtpd of its own kind names itself by "
			"policy_context, which a section daemon knows");
	if (count == 0)
		return 0;
	cfg_t *section = cfg_getnsec(l->cfg, "policy-service", 0);
	if (delegation_settings_read(section, settings, err) < 0)
		return -1;
	if (sockets_settings_is_open(&settings->sockets.all[0]))
		config_loading_warn(l,
			"%s:%d: policy-service \"%s\" can be asked from other machines: whoever asks sees "
			"your rules, and senders and recipients travel in clear; better 127.0.0.1",
			section->filename, section->line, settings->sockets.all[0].text);
	return 0;
}

int config_doors_read(struct config_loading *l, struct err *err)
{
	unsigned count = cfg_size(l->cfg, "milter");
	l->config->inbound = policy_inbound_new();
	if (count > 1)
		return conf_error(cfg_getnsec(l->cfg, "milter", 1), NULL, err,
			"is the second: postern-milter has one socket");
	if (count == 1 &&
		milter_settings_read(cfg_getnsec(l->cfg, "milter", 0), &l->config->milter, err) < 0)
		return -1;
	return read_policy_service(l, err);
}

int config_inbound_read(struct config_loading *l, struct err *err)
{
	if (config_parse_each(l, "client", read_client, err) < 0 || read_daemons(l, err) < 0 ||
		read_relay_certificates(l, err) < 0 || check_client_certificates(l, err) < 0)
		return -1;
	return 0;
}
