#include "smtpd/config/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"
#include "smtpd/config/config_loading.h"

enum { MOST_WORKERS = 256 };

static int read_disk(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	(void)ctx;
	return file_read(path, max_bytes, ret, err);
}

static bool is_exposed_on_disk(void *ctx, const char *path)
{
	struct stat status;
	(void)ctx;
	return stat(path, &status) == 0 && (status.st_mode & S_IRWXO) != 0;
}

const struct config_source config_source_disk = {
	.read = read_disk,
	.is_exposed = is_exposed_on_disk,
};

static int read_hostname(struct config_loading *l, struct err *err)
{
	char name[POLICY_DOMAIN_BYTES], own[POLICY_DOMAIN_BYTES] = "";
	struct err why = { 0 };
	const char *text = cfg_getstr(l->cfg, "hostname");
	if (!text && gethostname(own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	if (!text && !strchr(own, '.'))
		return conf_error(l->cfg, NULL, err,
			"hostname is missing, and this machine calls itself \"%.60s\", which is no full "
			"name: write hostname = \"mx.example.org\"",
			own);
	if (policy_domain_parse(str_of(text ? text : own), name, &why) < 0)
		return conf_error(l->cfg, "hostname", err, "%s", why.text);
	if (!strchr(name, '.'))
		return conf_error(l->cfg, "hostname", err,
			"is \"%.60s\": servers want a full name with a dot, as \"mx.example.org\"",
			name);
	l->config->hostname = mem_dup(name);
	return 0;
}

static int read_house(struct config_loading *l, struct err *err)
{
	static const char *const targets[] = { "stderr", "syslog", NULL };
	static const char *const formats[] = { "text", "json", NULL };
	static const char *const levels[] = { "error", "warning", "info", "debug", NULL };
	struct config *config = l->config;
	cfg_t *log = cfg_getsec(l->cfg, "log");
	int target, format, level;
	if (read_hostname(l, err) < 0 ||
		conf_count(l->cfg, "workers", 0, MOST_WORKERS, &config->workers, err) < 0 ||
		conf_duration(l->cfg, "shutdown", 0, 3600 * 1000, &config->shutdown_ms, err) < 0 ||
		conf_choice(log, "target", targets, &target, err) < 0 ||
		conf_choice(log, "format", formats, &format, err) < 0 ||
		conf_choice(log, "level", levels, &level, err) < 0)
		return -1;
	const char *directory = cfg_getstr(l->cfg, "run-directory");
	if (directory[0] != '/')
		return conf_error(l->cfg, "run-directory", err,
			"is \"%.60s\": write a path that begins with a slash", directory);
	const char *user = cfg_getstr(l->cfg, "user");
	if (user && !user[0])
		return conf_error(l->cfg, "user", err, "is empty: leave it out to stay who we are");
	if (config->workers == 0) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);
		config->workers = cores < 1 ? 1 : cores > MOST_WORKERS ? MOST_WORKERS : cores;
	}
	config->run_directory = mem_dup(directory);
	config->user = mem_dup(user);
	config->log_target = (enum log_target)target;
	config->log_format = (enum log_format)format;
	config->log_level = (enum log_level)level;
	return 0;
}

static int read_rooms(struct config_loading *l, struct err *err)
{
	struct config *config = l->config;
	if (session_settings_read(cfg_getsec(l->cfg, "session"), &config->session, err) < 0 ||
		spool_settings_read(cfg_getsec(l->cfg, "spool"), &config->spool, err) < 0 ||
		sched_settings_read(cfg_getsec(l->cfg, "retry"), &config->sched, err) < 0 ||
		relay_settings_read(cfg_getsec(l->cfg, "relay"), &config->relay, err) < 0)
		return -1;
	config->session.hostname = mem_dup(config->hostname);
	config->relay.hostname = mem_dup(config->hostname);
	return 0;
}

struct config *config_load(const char *path, const struct config_source *source,
	const uint8_t *ticket_secret, struct err *err)
{
	struct config *config = mem_zero(sizeof(*config));
	struct config_loading l = { .config = config, .source = source,
		.ticket_secret = ticket_secret };
	config->references = 1;
	config->path = mem_dup(path);
	config->files = mem_zero(sizeof(*config->files));
	config->warnings = mem_zero(sizeof(*config->warnings));
	if (config_parse(&l, path, err) < 0 || read_house(&l, err) < 0 || read_rooms(&l, err) < 0 ||
		config_tls_read(&l, err) < 0 || config_doors_read(&l, err) < 0 ||
		config_rules_read(&l, err) < 0 || config_inbound_read(&l, err) < 0 ||
		config_brain_read(&l, err) < 0)
		config_unref(&config);
	config_loading_clear(&l);
	return config;
}

struct tlsio_trust *config_find_authority(const struct config *config, const char *name,
	const uint8_t sha256[32])
{
	bool is_system = strcmp(name, "system") == 0;
	for (size_t i = 0; i < config->authority_count; i++) {
		const struct config_authority *a = &config->authorities[i];
		if (strcmp(a->name, name) == 0 &&
			(is_system || memcmp(a->sha256, sha256, sizeof(a->sha256)) == 0))
			return a->trust;
	}
	return NULL;
}

struct config *config_ref(struct config *config)
{
	config->references++;
	return config;
}

static void free_texts(char **texts)
{
	for (char **text = texts; text && *text; text++)
		free(*text);
	free(texts);
}

static void free_authorities(struct config *config)
{
	for (size_t i = 0; i < config->authority_count; i++) {
		free(config->authorities[i].name);
		tlsio_trust_unref(&config->authorities[i].trust);
	}
	free(config->authorities);
}

void config_unref(struct config **ref)
{
	struct config *config = *ref;
	*ref = NULL;
	if (!config || --config->references > 0)
		return;
	for (size_t i = 0; i < config->listener_count; i++) {
		tlsio_server_unref(&config->listeners[i].tls);
		tlsio_server_unref(&config->listeners[i].tls_no_tickets);
		free(config->listeners[i].text);
	}
	free(config->listeners);
	session_settings_clear(&config->session);
	spool_settings_clear(&config->spool);
	relay_settings_clear(&config->relay);
	relay_routes_unref(&config->routes);
	policy_rules_unref(&config->rules);
	policy_inbound_unref(&config->inbound);
	tlsio_certstore_unref(&config->present);
	milter_settings_clear(&config->milter);
	delegation_settings_clear(&config->delegation);
	sockets_settings_clear(&config->socketmap);
	dns_settings_clear(&config->dns);
	sts_settings_clear(&config->sts);
	tlsrpt_settings_clear(&config->tlsrpt);
	tlsio_trust_unref(&config->sts_trust);
	free_authorities(config);
	free_texts(config->files);
	free_texts(config->warnings);
	free(config->run_directory);
	free(config->hostname);
	free(config->user);
	free(config->path);
	free(config);
}
