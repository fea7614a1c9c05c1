/* postern-policyd: the policy brain as a process: plans for posternd's workers and posternctl, and in
 * other words for Postfix and Sendmail; what Postfix tells of its TLS sessions is counted; where Postfix asks
 * whether mail may come in, the inbound rules answer.
 *
 * Joins: config (what is wished), brain (who answers), policy/door and socketmap (who asks), delegation (whom the
 * inbound rules answer), policy/tlsrpt (who tells), supervise (started by posternd) or a small life of its own
 * (beside another MTA). Decides nothing itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "policy/door/door_server.h"
#include "policy/tlsrpt/tlsrpt_collector.h"
#include "smtpd/brain.h"
#include "smtpd/check_config.h"
#include "smtpd/config/config.h"
#include "smtpd/delegation/delegation_log.h"
#include "smtpd/delegation/delegation_server.h"
#include "smtpd/program_options.h"
#include "smtpd/socketmap/socketmap_server.h"
#include "smtpd/supervise/supervise_child.h"
#include "smtpd/supervise/supervise_directories.h"
#include "smtpd/supervise/supervise_seat.h"

#define NAME "postern-policyd"
#define SOCKET "policyd.sock"
#define DESCRIPTORS_WANTED 65536
#define CHECK_AGAIN_MS 60000 /* while the network is not there yet, nothing can be said */

/* The sockets of one configuration. */
struct doors {
	struct sockets *socketmap, *delegation;
	struct tlsrpt_sockets *collectors;
};

struct policyd {
	struct tlsio_loop *loop;
	struct config *config;
	struct brain *brain;
	struct door_server *door;
	struct doors doors; /* alone: opened before the user changes */
	struct socketmap_server *socketmap;
	struct delegation_server *delegation;
	struct tlsrpt_collector *collector;
	long descriptors;
	struct tlsio_timer check_again;
	int check; /* the last result that was logged; -1 none */
	/* alone */
	const char *config_path;
	struct supervise_seat seat;
	struct tlsio_signal signals[4];
};

/* ---- the brain and its door -------------------------------------------------------------------------- */

static void on_warning(void *ctx, const char *words)
{
	(void)ctx;
	log_say(LOG_LEVEL_WARNING, "policy-warning", "%s", words);
}

static const struct brain_events brain_events = { .on_warning = on_warning };

static void log_check(enum dns_check_result result, const char *words)
{
	static const char *const names[] = { [DNS_CHECK_GOOD] = "good",
		[DNS_CHECK_NOT_VALIDATING] = "not-validating", [DNS_CHECK_UNKNOWN] = "unknown" };
	struct log_line l;
	log_begin(&l, result == DNS_CHECK_GOOD ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "dnssec-check");
	log_text(&l, "result", names[result]);
	log_text(&l, "reason", words);
	log_end(&l);
}

static void on_checked(void *ctx, enum dns_check_result result, const char *words)
{
	struct policyd *p = ctx;
	if (p->check != (int)result)
		log_check(result, words);
	p->check = (int)result;
	door_server_set_check(p->door, (int)result, words);
	if (result == DNS_CHECK_UNKNOWN)
		tlsio_timer_start(&p->check_again, CHECK_AGAIN_MS);
	else
		tlsio_timer_stop(&p->check_again);
}

static void on_check_again(void *ctx)
{
	struct policyd *p = ctx;
	brain_check(p->brain, on_checked, p);
}

static void log_listen(const char *event, const char *key, const char *value)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, event);
	log_text(&l, key, value);
	log_end(&l);
}

static void log_doors(const struct config *config)
{
	for (size_t i = 0; i < config->socketmap.count; i++)
		log_listen("socketmap-listen", "address", config->socketmap.all[i].text);
	for (size_t i = 0; i < config->delegation.sockets.count; i++)
		log_listen("policy-service-listen", "address",
			config->delegation.sockets.all[i].text);
	for (size_t i = 0; i < config->tlsrpt.collector_count; i++)
		log_listen("tlsrpt-listen", "path", config->tlsrpt.collectors[i].path);
}

static void close_doors(struct doors *doors)
{
	sockets_unref(&doors->socketmap);
	sockets_unref(&doors->delegation);
	tlsrpt_sockets_unref(&doors->collectors);
}

/* What is open already is shared with it. All or nothing. */
static int open_doors(const struct policyd *p, const struct config *config, struct doors *ret,
	struct err *err)
{
	const struct doors *old = &p->doors;
	*ret = (struct doors){ 0 };
	ret->socketmap = sockets_open(&config->socketmap, old->socketmap, err);
	if (ret->socketmap)
		ret->delegation = sockets_open(&config->delegation.sockets, old->delegation, err);
	if (ret->delegation)
		ret->collectors = tlsrpt_sockets_open(&config->tlsrpt, old->collectors, err);
	if (ret->collectors)
		return 0;
	close_doors(ret);
	return -1;
}

/* Takes what is in doors. */
static void use_doors(struct policyd *p, const struct doors *doors)
{
	close_doors(&p->doors);
	p->doors = *doors;
	socketmap_server_listen(p->socketmap, doors->socketmap);
	delegation_server_listen(p->delegation, doors->delegation);
	tlsrpt_collector_listen(p->collector, doors->collectors);
	log_doors(p->config);
}

/* Only those who ask for plans need DNSSEC. */
static void check_dns(struct policyd *p)
{
	if (p->config->wants_plans)
		brain_check(p->brain, on_checked, p);
	else
		tlsio_timer_stop(&p->check_again);
}

/* Where anybody asked. */
static void log_counters(const struct policyd *p)
{
	const struct delegation_counters *counters = delegation_server_counters(p->delegation);
	if (counters->requests || counters->broken)
		delegation_log_counters(counters);
}

/* Takes config, in any case. */
static int begin(struct policyd *p, struct config *config, int listen_fd, struct err *err)
{
	p->config = config;
	p->check = -1;
	tlsio_timer_init(&p->check_again, p->loop, on_check_again, p);
	p->descriptors = process_raise_descriptors(DESCRIPTORS_WANTED); /* the resolver counts on them */
	/* As who we are by now: a port from 1024 up, a folder of ours; alone they are open already. */
	struct doors doors;
	if (open_doors(p, config, &doors, err) < 0)
		return -1;
	p->brain = brain_new(p->loop, config, STS_CACHE_READ_WRITE, &brain_events, p, err);
	if (!p->brain) {
		close_doors(&doors);
		return -1;
	}
	p->collector = tlsrpt_collector_new(p->loop, brain_tally(p->brain), on_warning, p);
	p->door = door_server_new(p->loop, listen_fd, brain_plans(p->brain));
	p->socketmap = socketmap_server_new(p->loop, brain_plans(p->brain));
	p->delegation =
		delegation_server_new(p->loop, &config->delegation.inbound, config->inbound);
	use_doors(p, &doors);
	check_dns(p);
	return 0;
}

static void log_reload(const struct policyd *p, const char *because)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "policyd-reload");
	log_text(&l, "because", because);
	log_text(&l, "config", p->config->path);
	log_end(&l);
}

/* Takes config, in any case. On failure all stays as it was. */
static int change(struct policyd *p, struct config *config, const char *because, struct err *err)
{
	struct doors doors;
	if (open_doors(p, config, &doors, err) < 0) {
		config_unref(&config);
		return -1;
	}
	if (brain_reload(p->brain, config, err) < 0) {
		close_doors(&doors);
		config_unref(&config);
		return -1;
	}
	log_open(NAME, config->log_target, config->log_format, config->log_level);
	log_counters(p);
	delegation_server_set_rules(p->delegation, &config->delegation.inbound, config->inbound);
	config_unref(&p->config);
	p->config = config;
	door_server_set_service(p->door, brain_plans(p->brain));
	socketmap_server_set_service(p->socketmap, brain_plans(p->brain));
	use_doors(p, &doors);
	check_dns(p);
	log_reload(p, because);
	return 0;
}

static void end(struct policyd *p)
{
	if (p->brain)
		tlsio_timer_stop(&p->check_again);
	door_server_free(&p->door);
	socketmap_server_free(&p->socketmap);
	if (p->delegation)
		log_counters(p);
	delegation_server_free(&p->delegation);
	tlsrpt_collector_free(&p->collector);
	close_doors(&p->doors);
	brain_free(&p->brain);
	config_unref(&p->config);
}

static void log_begin_of(const struct policyd *p, const char *how, const char *user)
{
	struct log_line l;
	struct plan_service_counts counts;
	plan_service_count(brain_plans(p->brain), &counts);
	log_begin(&l, LOG_LEVEL_INFO, "policyd-start");
	log_number(&l, "pid", getpid());
	log_text(&l, "version", PACKAGE_VERSION);
	log_text(&l, "config", p->config->path);
	log_text(&l, "by", how);
	log_text(&l, "user", user);
	log_number(&l, "descriptors", p->descriptors);
	log_number(&l, "plans", (int64_t)counts.kept); /* of the life before */
	log_end(&l);
}

/* ---- started by posternd --------------------------------------------------------------------------------- */

static struct config *receive(const struct supervise_offer *offer, struct err *err)
{
	const struct config_source source = { .read = supervise_bundle_read, .ctx = offer->bundle,
		.skips_keys = true };
	return config_load(supervise_bundle_config_path(offer->bundle), &source, NULL, err);
}

static int on_start(void *ctx, const struct supervise_birth *birth,
	const struct supervise_offer *offer, struct err *err)
{
	struct policyd *p = ctx;
	struct config *config = receive(offer, err);
	if (!config)
		return -1;
	p->loop = birth->loop;
	log_open(NAME, config->log_target, config->log_format, config->log_level);
	if (begin(p, config, birth->control_fd, err) < 0)
		return -1;
	log_begin_of(p, "posternd", NULL);
	return 0;
}

static int on_reload(void *ctx, const struct supervise_offer *offer,
	const struct supervise_offer *old, struct err *err)
{
	(void)old;
	struct config *config = receive(offer, err);
	return config ? change(ctx, config, "posternd", err) : -1;
}

/* Whoever still asks gets no answer, and its mail stays where it is. */
static void on_drain(void *ctx, void (*on_done)(void *ctx), void *on_done_ctx)
{
	(void)ctx;
	on_done(on_done_ctx);
}

static void on_stop(void *ctx)
{
	end(ctx);
}

static int live_supervised(void)
{
	static const struct supervise_child_events events = { .start = on_start,
		.reload = on_reload, .drain = on_drain, .stop = on_stop };
	struct policyd p = { .seat = supervise_seat_none };
	const struct supervise_child child = { .events = &events, .ctx = &p, .name = NAME,
		.parent = getppid() };
	return supervise_child_run(&child, SUPERVISE_CHILD_CHANNEL_FD);
}

/* ---- alone, beside another MTA ------------------------------------------------------------------------------ */

static struct config *load(const struct policyd *p, struct err *err)
{
	struct config_source source = config_source_disk;
	source.skips_keys = true; /* ours are none of them, and strangers are talked to here */
	struct config *config = config_load(p->config_path, &source, NULL, err);
	for (char **warning = config ? config->warnings : NULL; warning && *warning; warning++)
		log_say(LOG_LEVEL_WARNING, "config-warning", "%s", *warning);
	return config;
}

static void on_hangup(void *ctx, int number)
{
	struct policyd *p = ctx;
	struct err err;
	(void)number;
	struct config *config = load(p, &err);
	if (config && change(p, config, "SIGHUP", &err) == 0) {
		process_notify("STATUS=running");
		return;
	}
	log_say(LOG_LEVEL_ERROR, "reload-failed", "%s; the configuration in force stays", err.text);
	process_notify("STATUS=running; the last reload failed, see the log");
}

static void on_terminate(void *ctx, int number)
{
	struct policyd *p = ctx;
	log_say(LOG_LEVEL_INFO, "shutdown", "%s", number == SIGINT ? "SIGINT" : "SIGTERM");
	process_notify("STOPPING=1");
	tlsio_loop_stop(p->loop);
}

static void on_counters_wanted(void *ctx, int number)
{
	(void)number;
	log_counters(ctx);
}

static int find_user(const struct config *config, struct process_identity *identity, struct err *err)
{
	if (!config->user)
		return geteuid() == 0 ? err_set(err, ERR_INPUT, "started as root without 'user': name "
					"the user whom " NAME " shall be") : 0;
	return process_find_user(config->user, identity, err);
}

/* What only root may be able to make: directories, the lock, the socket. */
static int open_place(struct policyd *p, const struct config *config,
	const struct process_identity *identity, struct err *err)
{
	const char *folder_end = config->sts.cache ? strrchr(config->sts.cache, '/') : NULL;
	if (supervise_directories_run(config->run_directory, err) < 0)
		return -1;
	if (folder_end && folder_end != config->sts.cache) {
		char *folder = mem_dup_bytes(config->sts.cache,
			(size_t)(folder_end - config->sts.cache));
		int failed = supervise_directories_state(folder, identity, err);
		free(folder);
		if (failed)
			return -1;
	}
	if (supervise_seat_take(&p->seat, config->run_directory, NAME, SOCKET, identity, err) < 0)
		return -1;
	return open_doors(p, config, &p->doors, err);
}

static int settle(struct policyd *p, struct config *config, struct err *err)
{
	struct process_identity identity = { 0 };
	if (find_user(config, &identity, err) < 0)
		return -1;
	const struct process_identity *other = config->user ? &identity : NULL;
	if (open_place(p, config, other, err) < 0 || (other && process_become(other, err) < 0))
		return -1;
	process_forbid_dumps();
	umask(077);
	p->loop = tlsio_loop_new(err);
	return p->loop ? 0 : -1;
}

static void run(struct policyd *p)
{
	tlsio_signal_start(&p->signals[0], p->loop, SIGHUP, on_hangup, p);
	tlsio_signal_start(&p->signals[1], p->loop, SIGTERM, on_terminate, p);
	tlsio_signal_start(&p->signals[2], p->loop, SIGINT, on_terminate, p);
	tlsio_signal_start(&p->signals[3], p->loop, SIGUSR1, on_counters_wanted, p);
	log_begin_of(p, "itself", p->config->user);
	process_notify("READY=1\nSTATUS=running");
	tlsio_loop_run(p->loop);
	for (size_t i = 0; i < sizeof(p->signals) / sizeof(p->signals[0]); i++)
		tlsio_signal_stop(&p->signals[i]);
}

static int live_alone(const char *config_path)
{
	struct policyd p = { .config_path = config_path, .seat = supervise_seat_none };
	struct err err;
	int status = EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	struct config *config = load(&p, &err);
	if (config)
		log_open(NAME, config->log_target, config->log_format, config->log_level);
	int failed = config ? settle(&p, config, &err) : -1;
	if (failed)
		config_unref(&config);
	else
		failed = begin(&p, config, p.seat.listen_fd, &err);
	if (!failed) {
		run(&p);
		status = EXIT_SUCCESS;
	} else
		log_say(LOG_LEVEL_ERROR, "start-failed", "%s", err.text);
	/* Where the user changed, the files stay behind: the folder is not his. */
	supervise_seat_leave(&p.seat);
	end(&p);
	if (p.loop)
		tlsio_loop_free(&p.loop);
	return status;
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static const char usage[] =
	"usage: " NAME " [-c FILE] [--check]\n"
	"  -c, --config FILE   the configuration (default " CHECK_CONFIG_PATH ")\n"
	"      --check         read the configuration, say what is wrong with it, and end\n"
	"      --foreground    stay in the foreground: the only mode\n"
	"      --help, --version\n"
	"posternd starts it by itself where it needs it; started by hand it serves other programs of\n"
	"this machine. Signals: HUP reloads the configuration; TERM and INT end; USR1 logs\n"
	"what the policy service counted. See " NAME "(8).\n";

int main(int argc, char **argv)
{
	struct program_options options = { .name = NAME, .usage = usage, .may_be_supervised = true };
	int status;
	if (!program_options_read(&options, argc, argv, &status))
		return status;
	process_clean_environment();
	log_open(NAME, LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	if (options.is_supervised)
		return live_supervised();
	return options.is_check ? check_config(options.config_path) : live_alone(options.config_path);
}
