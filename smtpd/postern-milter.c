/* postern-milter: the inbound TLS rules, asked by Postfix or Sendmail.
 *
 * Joins: config (what is wished), milter (who answers, in libmilter's threads). This thread keeps the
 * loop and the signals: HUP swaps the rules for sessions to come, TERM ends.
 */
#include <errno.h>
#include <grp.h>
#include <libmilter/mfapi.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/check_config.h"
#include "smtpd/config/config.h"
#include "smtpd/milter/milter_callbacks.h"
#include "smtpd/milter/milter_snapshot.h"
#include "smtpd/program_options.h"
#include "smtpd/supervise/supervise_directories.h"

#define NAME "postern-milter"
#define DESCRIPTORS_WANTED 65536
#define KNOCK_MS 10

struct program {
	struct tlsio_loop *loop;
	const char *config_path;
	char *socket;	   /* as it is open: a reload cannot move it */
	char *socket_path; /* NULL: an inet socket */
	char *lock_path;
	int lock_fd;
	struct sockaddr_storage address; /* of libmilter's listener */
	socklen_t address_size;		 /* 0: not known */
	pthread_t thread, stopper;
	bool is_running, is_told_to_end, is_stopper_running;
	struct tlsio_timer knock;
	atomic_int result; /* of smfi_main */
	struct tlsio_wake ended;
	struct tlsio_signal signals[4];
};

/* ---- rules ----------------------------------------------------------------------------------------- */

static struct config *load(const struct program *p, struct err *err)
{
	struct config_source source = config_source_disk;
	source.skips_keys = true; /* ours are none of them */
	struct config *config = config_load(p->config_path, &source, NULL, err);
	for (char **warning = config ? config->warnings : NULL; warning && *warning; warning++)
		log_say(LOG_LEVEL_WARNING, "config-warning", "%s", *warning);
	if (config && !config->milter.socket) {
		config_unref(&config);
		err_set(err, ERR_INPUT,
			"%s: no section milter: add  milter \"inet:127.0.0.1:8891\" { }", p->config_path);
	}
	return config;
}

/* From whichever thread held it last; nobody else knows this config any more. */
static void on_unused(void *ctx)
{
	struct config *config = ctx;
	config_unref(&config);
}

/* Takes config. */
static void use(struct config *config)
{
	const struct milter_snapshot snapshot = { .settings = &config->milter,
		.rules = config->inbound, .hostname = config->hostname, .on_unused = on_unused,
		.ctx = config };
	milter_snapshot_swap(&snapshot);
}

static void log_counters(void)
{
	struct milter_counters c;
	struct log_line l;
	milter_callbacks_counters(&c);
	log_begin(&l, LOG_LEVEL_INFO, "milter-counters");
	log_number(&l, "sessions", (int64_t)c.sessions);
	log_number(&l, "messages", (int64_t)c.messages);
	log_number(&l, "rejected", (int64_t)c.rejected);
	log_number(&l, "tempfailed", (int64_t)c.tempfailed);
	log_number(&l, "quarantined", (int64_t)c.quarantined);
	log_number(&l, "reported", (int64_t)c.reported);
	log_number(&l, "exempt", (int64_t)c.exempt);
	log_number(&l, "forged", (int64_t)c.forged);
	log_end(&l);
}

static void log_config(const char *event, const struct config *config)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, event);
	log_number(&l, "pid", getpid());
	log_text(&l, "version", PACKAGE_VERSION);
	log_text(&l, "config", config->path);
	log_text(&l, "socket", config->milter.socket);
	log_text(&l, "mode", policy_inbound_mode_name(config->milter.inbound.mode));
	log_text(&l, "user", config->user);
	log_end(&l);
}

/* ---- signals ------------------------------------------------------------------------------------------ */

static void on_hangup(void *ctx, int number)
{
	struct program *p = ctx;
	struct err err;
	(void)number;
	struct config *config = load(p, &err);
	if (!config) {
		log_say(LOG_LEVEL_ERROR, "reload-failed", "%s; the configuration in force stays",
			err.text);
		process_notify("STATUS=running; the last reload failed, see the log");
		return;
	}
	if (strcmp(config->milter.socket, p->socket) != 0)
		log_say(LOG_LEVEL_WARNING, "config-warning",
			"the socket stays %s until a restart: libmilter opens one only once", p->socket);
	log_config("milter-reload", config);
	log_counters();
	use(config);
	process_notify("STATUS=running");
}

/* smfi_stop waits for libmilter's listener, which looks every five seconds whether it shall end, or when
 * somebody comes. So another thread waits, and this one comes until it is over. */
static void *stop_libmilter(void *ctx)
{
	(void)ctx;
	smfi_stop();
	return NULL;
}

static void on_knock(void *ctx)
{
	struct program *p = ctx;
	int fd = socket(p->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody there: then it has ended already. */
	if (connect(fd, (struct sockaddr *)&p->address, p->address_size) == 0 || errno == EINPROGRESS)
		tlsio_timer_start(&p->knock, KNOCK_MS);
	close(fd);
}

static void on_terminate(void *ctx, int number)
{
	struct program *p = ctx;
	if (p->is_told_to_end)
		return;
	p->is_told_to_end = true;
	log_say(LOG_LEVEL_INFO, "shutdown", "%s", number == SIGINT ? "SIGINT" : "SIGTERM");
	process_notify("STOPPING=1");
	p->is_stopper_running = pthread_create(&p->stopper, NULL, stop_libmilter, NULL) == 0;
	if (p->is_stopper_running && p->address_size > 0)
		tlsio_timer_start(&p->knock, KNOCK_MS);
	else if (!p->is_stopper_running)
		smfi_stop();
}

static void on_user(void *ctx, int number)
{
	(void)ctx;
	(void)number;
	log_counters();
}

/* ---- libmilter's life ----------------------------------------------------------------------------------- */

static void *serve(void *ctx)
{
	struct program *p = ctx;
	p->result = smfi_main();
	tlsio_wake_send(&p->ended);
	return NULL;
}

static void on_ended(void *ctx)
{
	struct program *p = ctx;
	tlsio_loop_stop(p->loop);
}

/* libmilter has a thread that waits for HUP, TERM and INT and takes each for an end; now and then, on a busy
 * machine, it would be there before us. It calls this instead of libc's, since a program's names come first,
 * and waits for good: all its signals are blocked. Nobody else here calls sigwait. */
int sigwait(const sigset_t *set, int *ret_number)
{
	(void)set;
	(void)ret_number;
	for (;;)
		pause();
}

/* The signals stay with this thread. */
static int start_thread(struct program *p, struct err *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&p->thread, NULL, serve, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	p->is_running = failed == 0;
	return failed ? err_system(err, failed, "cannot start a thread") : 0;
}

static int run(struct program *p, struct err *err)
{
	tlsio_wake_start(&p->ended, p->loop, on_ended, p);
	tlsio_timer_init(&p->knock, p->loop, on_knock, p);
	tlsio_signal_start(&p->signals[0], p->loop, SIGHUP, on_hangup, p);
	tlsio_signal_start(&p->signals[1], p->loop, SIGTERM, on_terminate, p);
	tlsio_signal_start(&p->signals[2], p->loop, SIGINT, on_terminate, p);
	tlsio_signal_start(&p->signals[3], p->loop, SIGUSR1, on_user, p);
	int result = start_thread(p, err);
	if (result == 0) {
		process_notify("READY=1\nSTATUS=running");
		tlsio_loop_run(p->loop);
		pthread_join(p->thread, NULL);
		if (p->is_stopper_running)
			pthread_join(p->stopper, NULL);
		log_counters();
		if (p->result != MI_SUCCESS || !p->is_told_to_end)
			result = err_set(err, ERR_SYSTEM, "libmilter ended by itself; see its own "
							  "words in the log of mail");
	}
	for (size_t i = 0; i < sizeof(p->signals) / sizeof(p->signals[0]); i++)
		tlsio_signal_stop(&p->signals[i]);
	tlsio_timer_stop(&p->knock);
	tlsio_wake_stop(&p->ended);
	return result;
}

/* ---- the socket ------------------------------------------------------------------------------------------- */

static int find_user(const struct config *config, struct process_identity *identity, struct err *err)
{
	if (!config->user)
		return geteuid() == 0 ? err_set(err, ERR_INPUT, "started as root without 'user': name "
					"the user whom " NAME " shall be") : 0;
	return process_find_user(config->user, identity, err);
}

/* Its folder, if it is not there; and a lock, since libmilter takes a socket away from whoever has it. */
static int prepare_place(struct program *p, struct err *err)
{
	struct stat st;
	struct buf lock = { 0 };
	const char *end = strrchr(p->socket_path, '/');
	char *folder = mem_dup_bytes(p->socket_path, (size_t)(end - p->socket_path));
	int result = 0;
	if (folder[0] && stat(folder, &st) < 0)
		result = supervise_directories_run(folder, err);
	free(folder);
	if (result < 0)
		return -1;
	buf_printf(&lock, "%s.pid", p->socket_path);
	p->lock_path = buf_take(&lock);
	p->lock_fd = process_lock_pid_file(p->lock_path, err);
	if (p->lock_fd < 0)
		return -1;
	if (lstat(p->socket_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(err, ERR_INPUT, "%s is there already and no socket", p->socket_path);
	return 0;
}

static int give_socket(const struct program *p, const struct config *config,
	const struct process_identity *identity, struct err *err)
{
	uid_t user = identity ? identity->uid : (uid_t)-1;
	gid_t gid = identity ? identity->gid : (gid_t)-1;
	const char *name = config->milter.socket_group;
	struct group *group = name ? getgrnam(name) : NULL;
	if (name && !group)
		return err_set(err, ERR_INPUT, "'socket-group': there is no group \"%.60s\"", name);
	if (group)
		gid = group->gr_gid;
	if (lchown(p->socket_path, user, gid) < 0)
		return err_system(err, errno, "cannot give %s to its user and group", p->socket_path);
	return 0;
}

/* libmilter keeps it to itself. It is the only one of ours that listens. -1: not found. */
static int find_listener(void)
{
	for (int fd = STDERR_FILENO + 1; fd < 64; fd++) {
		int listens = 0;
		socklen_t size = sizeof(listens);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
			return fd;
	}
	return -1;
}

static void tune_listener(struct program *p)
{
	int one = 1, fd = find_listener();
	p->address_size = sizeof(p->address);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&p->address, &p->address_size) < 0) {
		p->address_size = 0;
		return;
	}
	/* Every connection has it from its listener; a unix socket knows none. Without it the second of two
	 * short replies waits until the MTA's kernel deigns to acknowledge the first: 40 ms for each
	 * message that gets a header. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int open_socket(struct program *p, const struct config *config,
	const struct process_identity *identity, struct err *err)
{
	char *words = mem_dup(config->milter.connection);
	if (p->socket_path && prepare_place(p, err) < 0) {
		free(words);
		return -1;
	}
	umask(0777 & ~config->milter.socket_mode);
	int result = milter_callbacks_register(err);
	if (result == 0 && (smfi_setconn(words) != MI_SUCCESS || smfi_opensocket(true) != MI_SUCCESS))
		result = err_set(err, ERR_SYSTEM, "cannot open the socket %s: %s",
			config->milter.socket, strerror(errno));
	umask(077);
	free(words); /* smfi_setconn has made a copy */
	if (result == 0)
		tune_listener(p);
	if (result == 0 && p->socket_path)
		result = give_socket(p, config, identity, err);
	return result;
}

static int settle(struct program *p, const struct config *config, struct err *err)
{
	struct process_identity identity = { 0 };
	if (find_user(config, &identity, err) < 0)
		return -1;
	const struct process_identity *other = config->user ? &identity : NULL;
	p->socket = mem_dup(config->milter.socket);
	p->socket_path = mem_dup(config->milter.socket_path);
	process_raise_descriptors(DESCRIPTORS_WANTED);
	if (open_socket(p, config, other, err) < 0 || (other && process_become(other, err) < 0))
		return -1;
	process_forbid_dumps();
	p->loop = tlsio_loop_new(err);
	return p->loop ? 0 : -1;
}

/* Where the user changed, the files stay behind: the folder is not his. */
static void leave(struct program *p)
{
	milter_snapshot_swap(NULL);
	if (p->lock_fd >= 0) {
		unlink(p->socket_path);
		unlink(p->lock_path);
		close(p->lock_fd);
	}
	if (p->loop)
		tlsio_loop_free(&p->loop);
	free(p->socket);
	free(p->socket_path);
	free(p->lock_path);
}

static int live(const char *config_path)
{
	struct program p = { .config_path = config_path, .lock_fd = -1 };
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	struct config *config = load(&p, &err);
	int failed = config ? 0 : -1;
	if (config)
		log_open(NAME, config->log_target, config->log_format, config->log_level);
	if (!failed && settle(&p, config, &err) < 0) {
		config_unref(&config);
		failed = -1;
	}
	if (!failed) {
		log_config("milter-start", config);
		use(config);
		failed = run(&p, &err);
	}
	if (failed)
		log_say(LOG_LEVEL_ERROR, p.is_running ? "milter-failed" : "start-failed", "%s",
			err.text);
	leave(&p);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the command line ------------------------------------------------------------------------------------------ */

static const char usage[] =
	"usage: " NAME " [-c FILE] [--check]\n"
	"  -c, --config FILE   the configuration (default " CHECK_CONFIG_PATH ")\n"
	"      --check         read the configuration, say what is wrong with it, and end\n"
	"      --foreground    stay in the foreground: the only mode\n"
	"      --help, --version\n"
	"It serves Postfix (smtpd_milters) or Sendmail (INPUT_MAIL_FILTER). Signals: HUP reloads the\n"
	"configuration; USR1 logs the counters; TERM and INT end. See " NAME "(8).\n";

int main(int argc, char **argv)
{
	struct program_options options = { .name = NAME, .usage = usage };
	int status;
	if (!program_options_read(&options, argc, argv, &status))
		return status;
	process_clean_environment();
	log_open(NAME, LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	return options.is_check ? check_config(options.config_path) : live(options.config_path);
}
