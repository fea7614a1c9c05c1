#include "smtpd/config/config_loading.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "smtpd/config/config_text.h"
#include "smtpd/config/config_tree.h"

enum {
	CHAIN_BYTES = 1 << 20,
	KEY_BYTES = 256 << 10,
	WARN_DAYS = 14,
	DAY_S = 86400,
	TICKET_LIFETIME_S = 6 * 3600,
};

/* A certificate section, read. */
struct certificate {
	cfg_t *section;
	char *chain_path, *key_path;
	struct buf chain_pem, key_pem;
};

struct certificates {
	struct certificate *all;
	size_t count;
	struct tlsio_certstore *default_store; /* all of them */
	struct tlsio_tickets *tickets;
};

static void clear_certificate(struct certificate *c)
{
	if (c->key_pem.data)
		explicit_bzero(c->key_pem.data, c->key_pem.capacity);
	buf_release(&c->key_pem);
	buf_release(&c->chain_pem);
	free(c->chain_path);
	free(c->key_path);
}

static void warn_of_key(struct config_loading *l, const struct certificate *c)
{
	if (l->source->is_exposed && l->source->is_exposed(l->source->ctx, c->key_path))
		config_loading_warn(l,
			"%s:%d: everybody on this machine may read the private key %s: chmod o-rwx it",
			c->section->filename, c->section->line, c->key_path);
}

static void warn_of_expiry(struct config_loading *l, const struct certificate *c,
	int64_t not_after_s)
{
	struct tm tm;
	char day[16] = "?";
	time_t at = (time_t)not_after_s;
	int64_t left_s = not_after_s - (int64_t)time(NULL);
	if (gmtime_r(&at, &tm))
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	if (left_s < 0)
		config_loading_warn(l,
			"%s:%d: the certificate %s expired on %s: renew it, peers that verify "
			"refuse it",
			c->section->filename, c->section->line, c->chain_path, day);
	else if (left_s < WARN_DAYS * DAY_S)
		config_loading_warn(l, "%s:%d: the certificate %s expires on %s: renew it",
			c->section->filename, c->section->line, c->chain_path, day);
}

static int add_to(struct tlsio_certstore_builder *builder, const struct certificate *c,
	struct err *err)
{
	return tlsio_certstore_builder_add(builder, c->chain_path, buf_str(&c->chain_pem),
		c->key_path, buf_str(&c->key_pem), err);
}

/* Alone in a store: so a fault is told with its section, and an expiry with its certificate. */
static int check_certificate(struct config_loading *l, const struct certificate *c,
	struct err *err)
{
	struct err why = { 0 };
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	struct tlsio_certstore *store = NULL;
	if (add_to(builder, c, &why) == 0)
		store = tlsio_certstore_builder_finish(&builder, &why);
	tlsio_certstore_builder_free(&builder);
	if (!store)
		return conf_error(c->section, NULL, err, "%s", why.text);
	int64_t not_after_s = tlsio_certstore_not_after_s(store);
	tlsio_certstore_unref(&store);
	if (!l->config->certificates_not_after_s || not_after_s < l->config->certificates_not_after_s)
		l->config->certificates_not_after_s = not_after_s;
	warn_of_expiry(l, c, not_after_s);
	warn_of_key(l, c);
	return 0;
}

static int read_pem(struct config_loading *l, cfg_t *section, const char *option, size_t max_bytes,
	char **ret_path, struct buf *ret, struct err *err)
{
	struct err why = { 0 };
	const char *path = cfg_getstr(section, option);
	if (!path || !path[0])
		return conf_error(section, option, err, "is missing: name the PEM file");
	*ret_path = config_text_path(section->filename ? section->filename : "", path);
	if (config_loading_read(l, *ret_path, max_bytes, ret, &why) < 0)
		return conf_error(section, option, err, "%s", why.text);
	return 0;
}

static int read_certificate(struct config_loading *l, cfg_t *section, struct certificate *ret,
	struct err *err)
{
	*ret = (struct certificate){ .section = section };
	if (read_pem(l, section, "chain", CHAIN_BYTES, &ret->chain_path, &ret->chain_pem, err) < 0 ||
		read_pem(l, section, "key", KEY_BYTES, &ret->key_path, &ret->key_pem, err) < 0 ||
		check_certificate(l, ret, err) < 0) {
		clear_certificate(ret);
		return -1;
	}
	return 0;
}

static int read_certificates(struct config_loading *l, struct certificates *c, struct err *err)
{
	unsigned count = cfg_size(l->cfg, "certificate");
	c->all = count ? mem_array(count, sizeof(*c->all)) : NULL;
	for (unsigned i = 0; i < count; i++) {
		if (read_certificate(l, cfg_getnsec(l->cfg, "certificate", i), &c->all[i], err) < 0)
			return -1;
		c->count++;
	}
	return 0;
}

static void clear_certificates(struct certificates *c)
{
	for (size_t i = 0; i < c->count; i++)
		clear_certificate(&c->all[i]);
	free(c->all);
	tlsio_certstore_unref(&c->default_store);
	tlsio_tickets_unref(&c->tickets);
}

/* The certificates named by the listener, in its order; all when it names none. Gives. */
static struct tlsio_certstore *choose_certificates(struct certificates *c, cfg_t *section,
	struct err *err)
{
	unsigned named = cfg_size(section, "certificates");
	if (named == 0 && c->default_store)
		return tlsio_certstore_ref(c->default_store);
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	struct tlsio_certstore *store = NULL;
	int result = 0;
	for (size_t i = 0; result == 0 && i < (named ? named : c->count); i++) {
		const char *title = named ? cfg_getnstr(section, "certificates", (unsigned)i) : NULL;
		size_t at = named ? 0 : i;
		while (title && at < c->count && strcmp(cfg_title(c->all[at].section), title) != 0)
			at++;
		if (at == c->count)
			result = conf_error(section, "certificates", err,
				"names \"%.60s\", but there is no section  certificate \"%.60s\"", title,
				title);
		else
			result = add_to(builder, &c->all[at], err);
	}
	if (result == 0)
		store = tlsio_certstore_builder_finish(&builder, err);
	tlsio_certstore_builder_free(&builder);
	if (store && named == 0)
		c->default_store = tlsio_certstore_ref(store);
	return store;
}

static int check_tls_off(cfg_t *section, struct err *err)
{
	static const char *const options[] = { "minimum", "certificates", "client-authority",
		"session-tickets" };
	if (cfg_getbool(section, "require-tls"))
		return conf_error(section, "require-tls", err,
			"is true, but tls = \"off\": nobody could meet it");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (config_tree_is_given(section, options[i]))
			return conf_error(section, options[i], err, "does nothing with tls = \"off\"");
	}
	return 0;
}

static int make_servers(struct config_loading *l, struct certificates *c, cfg_t *section,
	struct config_listener *ret, struct err *err)
{
	struct tlsio_server_wishes wishes = { 0 };
	const char *minimum = cfg_getstr(section, "minimum");
	const char *authority = cfg_getstr(section, "client-authority");
	struct err why = { 0 };
	uint8_t sha256[32];
	if (!tlsio_version_parse(str_of(minimum), &wishes.minimum))
		return conf_error(section, "minimum", err,
			"is \"%.40s\": write \"TLS1.2\" or \"TLS1.3\"", minimum);
	if (c->count == 0)
		return conf_error(section, NULL, err,
			"TLS needs a certificate: add  certificate \"name\" { chain = ... key = ... }, "
			"or write tls = \"off\" here");
	if (authority) {
		wishes.client_trust = config_loading_authority(l, section, authority, sha256, &why);
		if (!wishes.client_trust)
			return conf_error(section, "client-authority", err, "%s", why.text);
	}
	int result = -1;
	wishes.certificates = choose_certificates(c, section, err);
	if (wishes.certificates) {
		ret->tls_no_tickets = tlsio_server_new(&wishes, &why);
		wishes.tickets = cfg_getbool(section, "session-tickets") ? c->tickets : NULL;
		ret->tls = ret->tls_no_tickets ? tlsio_server_new(&wishes, &why) : NULL;
		result = ret->tls ? 0 : conf_error(section, NULL, err, "%s", why.text);
	}
	tlsio_certstore_unref(&wishes.certificates);
	tlsio_trust_unref(&wishes.client_trust);
	return result;
}

static int read_listener(struct config_loading *l, struct certificates *c, cfg_t *section,
	struct config_listener *ret, struct err *err)
{
	static const char *const modes[] = { "off", "starttls", "implicit", NULL };
	struct err why = { 0 };
	int mode;
	ret->config = l->config;
	ret->session.ctx = ret;
	ret->text = mem_dup(cfg_title(section));
	if (netaddr_parse(str_of(ret->text), 25, &ret->address, &why) < 0)
		return conf_error(section, NULL, err, "%s", why.text);
	if (conf_choice(section, "tls", modes, &mode, err) < 0)
		return -1;
	ret->session.tls = (enum session_tls_mode)mode;
	ret->session.requires_tls = cfg_getbool(section, "require-tls");
	if (ret->session.tls == SESSION_TLS_OFF)
		return check_tls_off(section, err);
	return make_servers(l, c, section, ret, err);
}

static int check_twice(struct config *config, size_t index, cfg_t *section, struct err *err)
{
	const struct config_listener *l = &config->listeners[index];
	for (size_t i = 0; l->address.port != 0 && i < index; i++) {
		if (netaddr_equal(&config->listeners[i].address, &l->address))
			return conf_error(section, NULL, err,
				"is the same address as listen \"%s\" above",
				config->listeners[i].text);
	}
	return 0;
}

static int read_listeners(struct config_loading *l, struct certificates *c, struct err *err)
{
	struct config *config = l->config;
	unsigned count = cfg_size(l->cfg, "listen");
	config->listeners = mem_zero((count + 1) * sizeof(*config->listeners));
	if (count == 0 && cfg_size(l->cfg, "milter") == 0)
		config_loading_warn(l,
			"%s: no listen section: this file is good for postern-policyd alone; for "
			"posternd add  listen \"0.0.0.0:25\" { }",
			config->path);
	for (unsigned i = 0; i < count; i++) {
		cfg_t *section = cfg_getnsec(l->cfg, "listen", i);
		config->listener_count = i + 1;
		if (read_listener(l, c, section, &config->listeners[i], err) < 0 ||
			check_twice(config, i, section, err) < 0)
			return -1;
	}
	return 0;
}

/* The certificate we show as a client: relay { client-certificate { ... } }. */
static int read_present(struct config_loading *l, struct err *err)
{
	cfg_t *relay = cfg_getsec(l->cfg, "relay");
	struct certificate c;
	if (!config_tree_is_given(relay, "client-certificate"))
		return 0;
	cfg_t *section = cfg_getsec(relay, "client-certificate");
	if (read_certificate(l, section, &c, err) < 0)
		return -1;
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	if (add_to(builder, &c, err) == 0)
		l->config->present = tlsio_certstore_builder_finish(&builder, err);
	tlsio_certstore_builder_free(&builder);
	clear_certificate(&c);
	return l->config->present ? 0 : -1;
}

int config_tls_read(struct config_loading *l, struct err *err)
{
	struct certificates c = { 0 };
	if (l->source->skips_keys)
		return 0;
	if (l->ticket_secret)
		c.tickets = tlsio_tickets_new(l->ticket_secret, TICKET_LIFETIME_S);
	int result = 0;
	if (read_certificates(l, &c, err) < 0 || read_listeners(l, &c, err) < 0 ||
		read_present(l, err) < 0)
		result = -1;
	clear_certificates(&c);
	return result;
}
