/* posternd: the mail transfer agent: a supervisor and its workers.
 *
 * Joins: config (what is wished), supervise (processes, sockets, reload), worker (the mail path) and
 * control (the operator's questions). Decides nothing itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "smtpd/check_config.h"
#include "smtpd/config/config.h"
#include "smtpd/control/control_worker.h"
#include "smtpd/program_options.h"
#include "smtpd/supervise/supervise.h"
#include "smtpd/worker.h"

#define WATCH_MS 10000
#define SECRET_MS (24 * 3600 * 1000)

struct daemon {
	struct config *config; /* the supervisor: the last one loaded; a worker: in force */
	struct tlsio_loop *loop;
	struct worker *worker;
	struct control_worker *control;
	char log_name[32];
};

/* ---- the supervisor's side ------------------------------------------------------------------------------ */

static bool is_exposed(void *ctx, const char *path)
{
	(void)ctx;
	return config_source_disk.is_exposed(NULL, path);
}

/* NULL: no file is kept, or not by an absolute path. */
static char *folder_of(const char *path)
{
	const char *end = path ? strrchr(path, '/') : NULL;
	return end && end != path ? mem_dup_bytes(path, (size_t)(end - path)) : NULL;
}

static void plan(const struct config *config, struct supervise_plan *ret)
{
	ret->workers = (unsigned)config->workers;
	ret->user = mem_dup(config->user);
	ret->run_directory = mem_dup(config->run_directory);
	ret->spool_directory = mem_dup(config->spool.directory);
	ret->shutdown_ms = config->shutdown_ms;
	ret->wants_policyd = config->wants_policyd;
	ret->state_directory = folder_of(config->sts.cache);
	ret->address_count = config->listener_count;
	ret->addresses = mem_array(config->listener_count + 1, sizeof(*ret->addresses));
	for (size_t i = 0; i < config->listener_count; i++)
		ret->addresses[i] = config->listeners[i].address;
}

/* From what was read already, and noted in another bundle. */
struct excerpt {
	struct supervise_bundle *from, *into;
};

static int read_excerpt(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	const struct excerpt *e = ctx;
	struct str content;
	if (supervise_bundle_read(e->from, path, max_bytes, ret, err) < 0)
		return -1;
	if (!supervise_bundle_find(e->from, path, &content))
		return err_set(err, ERR_SYSTEM, "%s is not at hand", path);
	return supervise_bundle_add(e->into, path, content, err);
}

/* For postern-policyd, which talks to strangers: the files of the same load without any key. */
static int excerpt(struct supervise_plan *plan, const char *path, struct err *err)
{
	plan->policyd_bundle = supervise_bundle_new(path);
	struct excerpt e = { plan->bundle, plan->policyd_bundle };
	const struct config_source source = { .read = read_excerpt, .ctx = &e, .skips_keys = true };
	struct config *config = config_load(path, &source, NULL, err);
	if (!config)
		return -1;
	config_unref(&config);
	return 0;
}

static int load(void *ctx, const char *path, const uint8_t *ticket_secret,
	struct supervise_plan *ret, struct err *err)
{
	struct daemon *d = ctx;
	ret->bundle = supervise_bundle_new(path);
	const struct config_source source = { .read = supervise_bundle_record, .ctx = ret->bundle,
		.is_exposed = is_exposed };
	struct config *config = config_load(path, &source, ticket_secret, err);
	if (!config)
		return -1;
	if (config->listener_count == 0) {
		config_unref(&config);
		return err_set(err, ERR_INPUT,
			"%s: no listen section: add  listen \"0.0.0.0:25\" { }", path);
	}
	for (char **warning = config->warnings; *warning; warning++)
		log_say(LOG_LEVEL_WARNING, "config-warning", "%s", *warning);
	plan(config, ret);
	if (ret->wants_policyd && excerpt(ret, path, err) < 0) {
		config_unref(&config);
		return -1;
	}
	config_unref(&d->config);
	d->config = config;
	return 0;
}

static void in_force(void *ctx)
{
	const struct daemon *d = ctx;
	log_open("posternd", d->config->log_target, d->config->log_format, d->config->log_level);
}

/* ---- a worker's side --------------------------------------------------------------------------------------- */

static struct config *receive(struct daemon *d, const struct supervise_offer *offer, struct err *err)
{
	const struct config_source source = { .read = supervise_bundle_read, .ctx = offer->bundle };
	struct config *config = config_load(supervise_bundle_config_path(offer->bundle), &source,
		supervise_bundle_secret(offer->bundle), err);
	if (!config)
		return NULL;
	if (config->listener_count != offer->listen_count) {
		err_set(err, ERR_SYSTEM, "%zu sockets came for %zu listeners", offer->listen_count,
			config->listener_count);
		config_unref(&config);
		return NULL;
	}
	log_open(d->log_name, config->log_target, config->log_format, config->log_level);
	return config;
}

static struct spool *spool_of(const void *ctx, size_t index)
{
	return worker_spool(ctx, index);
}

static struct sched *sched_of(const void *ctx, size_t index)
{
	return worker_sched(ctx, index);
}

static const struct session_service *sessions_of(const void *ctx)
{
	return worker_sessions(ctx);
}

static const struct config *config_of(const void *ctx)
{
	return worker_config(ctx);
}

static int start(void *ctx, const struct supervise_birth *birth,
	const struct supervise_offer *offer, struct err *err)
{
	struct daemon *d = ctx;
	snprintf(d->log_name, sizeof(d->log_name), "posternd-%u", birth->number);
	config_unref(&d->config); /* the supervisor's copy came along with the fork */
	d->loop = birth->loop;
	d->config = receive(d, offer, err);
	if (!d->config)
		return -1;
	d->worker = worker_new(birth->loop, birth->number, birth->shards, birth->shard_count,
		d->config, offer->listen_fds, err);
	if (!d->worker)
		return -1;
	const struct control_rooms rooms = { .number = birth->number, .ctx = d->worker,
		.spool = spool_of, .sched = sched_of, .sessions = sessions_of, .config = config_of };
	d->control = control_worker_new(birth->loop, birth->control_fd, &rooms);
	return 0;
}

static bool listens_on(const struct config *config, const struct netaddr *address)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (netaddr_equal(&config->listeners[i].address, address))
			return true;
	return false;
}

/* Who already waits at an address that is given up is still let in. */
static void let_in(struct daemon *d, const struct config_listener *listener, int fd)
{
	struct sockaddr_storage from, to;
	struct netaddr local = listener->address, remote;
	for (;;) {
		socklen_t from_size = sizeof(from), to_size = sizeof(to);
		int client = accept4(
			fd, (struct sockaddr *)&from, &from_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (client < 0)
			return;
		if (getsockname(client, (struct sockaddr *)&to, &to_size) == 0)
			netaddr_from_sockaddr((struct sockaddr *)&to, &local);
		netaddr_from_sockaddr((struct sockaddr *)&from, &remote);
		session_service_accept(
			worker_sessions(d->worker), &listener->session, client, &local, &remote);
	}
}

static int reload(void *ctx, const struct supervise_offer *offer, const struct supervise_offer *old,
	struct err *err)
{
	struct daemon *d = ctx;
	struct config *config = receive(d, offer, err);
	if (!config)
		return -1;
	for (size_t i = 0; i < d->config->listener_count; i++)
		if (!listens_on(config, &d->config->listeners[i].address))
			let_in(d, &d->config->listeners[i], old->listen_fds[i]);
	worker_reload(d->worker, config, offer->listen_fds);
	config_unref(&d->config);
	d->config = config;
	return 0;
}

static void drain(void *ctx, void (*on_done)(void *ctx), void *on_done_ctx)
{
	struct daemon *d = ctx;
	worker_drain(d->worker, on_done, on_done_ctx);
}

static void stop(void *ctx)
{
	struct daemon *d = ctx;
	control_worker_free(&d->control);
	worker_free(&d->worker);
	config_unref(&d->config);
}

static const struct supervise_child_events child_events = { .start = start, .reload = reload,
	.drain = drain, .stop = stop };

/* ---- the command line ---------------------------------------------------------------------------------------- */

static const char usage[] =
	"usage: posternd [-c FILE] [--check]\n"
	"  -c, --config FILE   the configuration (default " CHECK_CONFIG_PATH ")\n"
	"      --check         read the configuration, say what is wrong with it, and end\n"
	"      --foreground    stay in the foreground: the only mode\n"
	"      --help, --version\n"
	"Signals: HUP reloads the configuration; TERM and INT finish what runs and end; QUIT ends at\n"
	"once. See posternd(8).\n";

int main(int argc, char **argv)
{
	struct program_options options = { .name = "posternd", .usage = usage };
	int status;
	if (!program_options_read(&options, argc, argv, &status))
		return status;
	struct daemon d = { 0 };
	struct supervise_program program = { .name = "posternd", .config_path = options.config_path,
		.policyd = "postern-policyd",
		.load = load, .in_force = in_force, .child = &child_events, .ctx = &d,
		.watch_ms = WATCH_MS, .secret_ms = SECRET_MS };
	process_clean_environment();
	log_open("posternd", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	if (options.is_check)
		return check_config(options.config_path);
	status = supervise_run(&program);
	config_unref(&d.config);
	return status;
}
