#include "smtpd/supervise/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "libtlsio/tlsio_certwatch.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_resume.h"
#include "smtpd/supervise/supervise_control.h"
#include "smtpd/supervise/supervise_directories.h"
#include "smtpd/supervise/supervise_member.h"
#include "smtpd/supervise/supervise_plan.h"
#include "smtpd/supervise/supervise_seat.h"
#include "smtpd/supervise/supervise_shards.h"
#include "smtpd/supervise/supervise_sockets.h"

/* on top of shutdown_ms, for a worker to close its spool */
#define SHUTDOWN_GRACE_MS 3000
#define DESCRIPTORS_WANTED 1048576
#define POLICYD_SOCKET "policyd.sock"

enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_STOPPING };

struct supervise {
	const struct supervise_program *program;
	struct tlsio_loop *loop;
	enum phase phase;
	bool reload_waits; /* asked for while starting */
	int status;
	struct supervise_plan plan;
	bool has_identity;
	struct process_identity identity;
	uint8_t secret[SUPERVISE_SECRET_BYTES];
	int pid_file;
	char *pid_path;

	struct supervise_sockets *sockets;
	struct supervise_control *control;
	int bundle_fd;
	uint32_t generation;
	size_t awaited, refused; /* answers to this generation: to come, and bad ones */

	struct supervise_member *members;
	struct supervise_member policyd;
	struct supervise_seat seat; /* policyd's; none: not wanted */
	int policyd_bundle_fd;
	bool policyd_drains;
	struct supervise_shards shards;
	struct tlsio_signal signals[5];
	struct tlsio_timer shutdown_timer, secret_timer;
	struct tlsio_certwatch *watch;
};

/* ---- a configuration comes into force --------------------------------------------------------- */

static void watch_files(struct supervise *s)
{
	if (!s->watch)
		return;
	tlsio_certwatch_clear(s->watch);
	/* A configuration file that is being edited is not ready until the operator says so. */
	for (size_t i = 0; i < supervise_bundle_count(s->plan.bundle); i++)
		if (strcmp(supervise_bundle_path(s->plan.bundle, i), s->program->config_path) != 0)
			tlsio_certwatch_add(s->watch, supervise_bundle_path(s->plan.bundle, i));
}

/* Everything that can fail, without changing anything: the first of the two phases. */
struct candidate {
	struct supervise_plan plan;
	struct supervise_sockets *sockets;
	int bundle_fd;
	struct supervise_seat seat; /* none: there is one already, or none is wanted */
	int policyd_bundle_fd;
};

static const struct candidate no_candidate = { .bundle_fd = -1, .policyd_bundle_fd = -1,
	.seat = { .listen_fd = -1, .lock_fd = -1 } };

static void candidate_clear(struct candidate *c)
{
	supervise_seat_leave(&c->seat);
	supervise_plan_clear(&c->plan);
	supervise_sockets_free(&c->sockets);
	if (c->bundle_fd >= 0)
		close(c->bundle_fd);
	if (c->policyd_bundle_fd >= 0)
		close(c->policyd_bundle_fd);
}

static int load(struct supervise *s, struct supervise_plan *ret, struct err *err)
{
	const struct supervise_program *p = s->program;
	if (p->load(p->ctx, p->config_path, s->secret, ret, err) < 0)
		return -1;
	supervise_bundle_set_secret(ret->bundle, s->secret);
	return 0;
}

static const struct process_identity *identity_of(const struct supervise *s)
{
	return s->has_identity ? &s->identity : NULL;
}

/* What policyd needs before it can run: a place for what it learns, and its socket. */
static int candidate_make_policyd(struct supervise *s, struct candidate *ret, struct err *err)
{
	char path[4096];
	struct supervise_plan *plan = &ret->plan;
	plan->wants_policyd = plan->wants_policyd && s->program->policyd;
	if (!plan->wants_policyd)
		return 0;
	if (plan->state_directory &&
		supervise_directories_state(plan->state_directory, identity_of(s), err) < 0)
		return -1;
	ret->policyd_bundle_fd = supervise_bundle_to_memfd(plan->policyd_bundle, err);
	if (ret->policyd_bundle_fd < 0 || s->seat.listen_fd >= 0)
		return ret->policyd_bundle_fd < 0 ? -1 : 0;
	/* Better no start than a queue that nobody plans for. */
	if (supervise_child_find_program(s->program->policyd, path, sizeof(path), err) < 0)
		return -1;
	return supervise_seat_take(&ret->seat, plan->run_directory, s->program->policyd,
		POLICYD_SOCKET, identity_of(s), err);
}

static int candidate_make(
	struct supervise *s, unsigned workers, struct candidate *ret, struct err *err)
{
	const size_t most = SUPERVISE_CHANNEL_DESCRIPTORS_MOST - 2;
	if (ret->plan.address_count > most)
		return err_set(err, ERR_LIMIT, "more than %zu listeners", most);
	ret->sockets = supervise_sockets_new(
		s->sockets, ret->plan.addresses, ret->plan.address_count, workers, err);
	if (!ret->sockets)
		return -1;
	ret->bundle_fd = supervise_bundle_to_memfd(ret->plan.bundle, err);
	return ret->bundle_fd < 0 ? -1 : candidate_make_policyd(s, ret, err);
}

static void log_start(const struct supervise *s)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "start");
	log_number(&l, "pid", getpid());
	log_text(&l, "version", PACKAGE_VERSION);
	log_text(&l, "config", s->program->config_path);
	log_number(&l, "workers", s->plan.workers);
	log_text(&l, "user", s->has_identity ? s->identity.name : NULL);
	log_number(&l, "descriptors", process_raise_descriptors(DESCRIPTORS_WANTED));
	log_end(&l);
}

/* The second phase: cannot fail. Takes what the candidate holds. */
static void put_in_force(struct supervise *s, struct candidate *c)
{
	struct candidate old = { .plan = s->plan, .sockets = s->sockets, .bundle_fd = s->bundle_fd,
		.seat = supervise_seat_none, .policyd_bundle_fd = s->policyd_bundle_fd };
	s->plan = c->plan;
	s->sockets = c->sockets;
	s->bundle_fd = c->bundle_fd;
	s->policyd_bundle_fd = c->policyd_bundle_fd;
	if (c->seat.listen_fd >= 0)
		s->seat = c->seat;
	s->generation++;
	if (s->program->in_force)
		s->program->in_force(s->program->ctx);
	if (s->generation == 1)
		log_start(s);
	supervise_sockets_log(s->sockets, old.sockets);
	candidate_clear(&old);
	watch_files(s);
}

static void await(struct supervise *s, struct supervise_member *m)
{
	m->is_awaited = m->pid != 0;
	s->awaited += m->is_awaited;
}

static void send_to_workers(struct supervise *s)
{
	s->awaited = 0;
	s->refused = 0;
	for (unsigned i = 0; i < s->plan.workers; i++) {
		await(s, &s->members[i]);
		supervise_member_configure(&s->members[i]);
	}
	s->policyd.is_awaited = false;
}

static void send_to_all(struct supervise *s)
{
	send_to_workers(s);
	if (s->plan.wants_policyd) {
		await(s, &s->policyd);
		supervise_member_configure(&s->policyd);
	}
}

/* ---- postern-policyd ------------------------------------------------------------------------------ */

static void start_policyd(struct supervise *s)
{
	char path[4096];
	struct err err;
	struct supervise_child child = { .name = s->program->policyd, .identity = identity_of(s),
		.parent = getpid(), .program_path = path };
	if (supervise_child_find_program(s->program->policyd, path, sizeof(path), &err) < 0 ||
		supervise_member_start(&s->policyd, &child, &err) < 0) {
		log_say(LOG_LEVEL_ERROR, "policyd-start-failed", "%s; tried again in 5s", err.text);
		tlsio_timer_start(&s->policyd.delay, 5000);
		return;
	}
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "policyd-start");
	log_number(&l, "pid", s->policyd.pid);
	log_text(&l, "program", path);
	log_end(&l);
}

/* As the plan that came into force says. */
static void begin_or_end_policyd(struct supervise *s)
{
	if (s->plan.wants_policyd) {
		if (s->policyd.pid || tlsio_timer_is_active(&s->policyd.delay))
			return;
		start_policyd(s);
		if (s->phase == PHASE_RUNNING)
			await(s, &s->policyd);
		return;
	}
	supervise_member_retire(&s->policyd);
	if (s->policyd.pid)
		supervise_member_drain(&s->policyd);
	supervise_seat_leave(&s->seat);
}

/* ---- reload -------------------------------------------------------------------------------------- */

static void reload(struct supervise *s, const char *why)
{
	struct candidate c = no_candidate;
	struct err err;
	struct log_line l;
	if (s->phase != PHASE_RUNNING) {
		s->reload_waits = s->phase == PHASE_STARTING;
		return;
	}
	bool failed = load(s, &c.plan, &err) < 0;
	if (!failed) {
		supervise_plan_keep(&c.plan, &s->plan);
		failed = candidate_make(s, s->plan.workers, &c, &err) < 0;
	}
	if (failed) {
		candidate_clear(&c);
		log_begin(&l, LOG_LEVEL_ERROR, "reload-failed");
		log_text(&l, "because", why);
		log_text(&l, "reason", err.text);
		log_text(&l, "result", "the configuration in force stays");
		log_end(&l);
		process_notify("STATUS=running; the last reload failed, see the log");
		return;
	}
	put_in_force(s, &c);
	send_to_all(s);
	begin_or_end_policyd(s);
	log_begin(&l, LOG_LEVEL_INFO, "reload");
	log_text(&l, "because", why);
	log_number(&l, "generation", s->generation);
	log_number(&l, "files", (int64_t)supervise_bundle_count(s->plan.bundle));
	log_end(&l);
	process_notify("STATUS=running");
}

static void on_files_changed(void *ctx)
{
	reload(ctx, "files changed");
}

static void on_secret_due(void *ctx)
{
	struct supervise *s = ctx;
	struct err err;
	uint8_t fresh[SUPERVISE_SECRET_BYTES];
	tlsio_timer_start(&s->secret_timer, s->program->secret_ms);
	if (s->phase != PHASE_RUNNING)
		return;
	tlsio_tickets_make_secret(fresh);
	supervise_bundle_set_secret(s->plan.bundle, fresh);
	int fd = supervise_bundle_to_memfd(s->plan.bundle, &err);
	if (fd < 0) {
		supervise_bundle_set_secret(s->plan.bundle, s->secret);
		log_say(LOG_LEVEL_ERROR, "ticket-secret-failed", "%s", err.text);
		return;
	}
	memcpy(s->secret, fresh, sizeof(fresh));
	explicit_bzero(fresh, sizeof(fresh));
	close(s->bundle_fd);
	s->bundle_fd = fd;
	s->generation++;
	send_to_workers(s);
	log_say(LOG_LEVEL_INFO, "ticket-secret-renewed", "once in %lld h",
		(long long)(s->program->secret_ms / 3600000));
}

/* ---- workers ------------------------------------------------------------------------------------- */

static void on_forked(void *ctx)
{
	struct supervise *s = ctx;
	for (size_t i = 0; i < sizeof(s->signals) / sizeof(s->signals[0]); i++)
		tlsio_signal_stop(&s->signals[i]);
}

static void on_configuration(
	void *ctx, const struct supervise_member *m, struct supervise_message *ret)
{
	const struct supervise *s = ctx;
	ret->generation = s->generation;
	if (m == &s->policyd) {
		ret->fds[ret->fd_count++] = s->policyd_bundle_fd;
		ret->fds[ret->fd_count++] = s->seat.listen_fd;
		return;
	}
	ret->fds[ret->fd_count++] = s->bundle_fd;
	ret->fds[ret->fd_count++] = supervise_control_fd(s->control, m->number);
	for (size_t i = 0; i < supervise_sockets_count(s->sockets); i++)
		ret->fds[ret->fd_count++] = supervise_sockets_fd(s->sockets, i, m->number);
}

static void start_member(struct supervise *s, struct supervise_member *m)
{
	unsigned shards[SUPERVISE_SHARDS_MOST];
	char name[16];
	struct err err;
	struct log_line l;
	snprintf(name, sizeof(name), "%.10s-%u", s->program->name, m->number);
	struct supervise_child child = { .events = s->program->child, .ctx = s->program->ctx,
		.name = name, .identity = identity_of(s),
		.parent = getpid(), .number = m->number, .shards = shards,
		.shard_count = supervise_shards_of(
			&s->shards, m->number, s->plan.workers, shards) };
	if (supervise_member_start(m, &child, &err) < 0) {
		log_say(LOG_LEVEL_ERROR, "worker-start-failed", "%s; tried again in 5s", err.text);
		tlsio_timer_start(&m->delay, 5000);
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, "worker-start");
	log_number(&l, "worker", m->number);
	log_number(&l, "pid", m->pid);
	log_number(&l, "shards", (int64_t)child.shard_count);
	log_end(&l);
}

static void on_due(void *ctx, struct supervise_member *m)
{
	struct supervise *s = ctx;
	if (s->phase == PHASE_STOPPING)
		return;
	if (m == &s->policyd)
		start_policyd(s);
	else
		start_member(s, m);
}

static bool all_are_ready(const struct supervise *s)
{
	for (unsigned i = 0; i < s->plan.workers; i++)
		if (!s->members[i].is_ready)
			return false;
	return true;
}

static void log_if_answered(const struct supervise *s)
{
	if (s->awaited)
		return;
	if (s->refused)
		log_say(LOG_LEVEL_ERROR, "reload-failed",
			"%zu of %u processes keep the configuration they had", s->refused,
			s->plan.workers + s->plan.wants_policyd);
	else
		log_say(LOG_LEVEL_INFO, "reload-done", "every worker lives by it");
}

static void log_answer(const struct supervise_member *m, const struct supervise_message *answer)
{
	struct log_line l;
	char event[24];
	bool is_refused = answer->kind == SUPERVISE_REFUSED;
	snprintf(event, sizeof(event), "%s-%s", m->role, is_refused ? "refused" : "ready");
	log_begin(&l, is_refused ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, event);
	log_number(&l, m->role, m->number);
	log_number(&l, "generation", answer->generation);
	if (is_refused)
		log_text(&l, "reason", answer->text);
	log_end(&l);
}

static void count_answer(struct supervise *s, struct supervise_member *m, bool is_refused)
{
	if (!m->is_awaited)
		return;
	m->is_awaited = false;
	s->refused += is_refused;
	s->awaited--;
	log_if_answered(s);
}

static void on_answered(
	void *ctx, struct supervise_member *m, const struct supervise_message *answer)
{
	struct supervise *s = ctx;
	struct log_line l;
	log_answer(m, answer);
	if (s->phase == PHASE_STARTING && all_are_ready(s)) {
		s->phase = PHASE_RUNNING;
		process_notify("READY=1\nSTATUS=running");
		log_begin(&l, LOG_LEVEL_INFO, "ready");
		log_number(&l, "workers", s->plan.workers);
		log_number(&l, "listeners", (int64_t)supervise_sockets_count(s->sockets));
		log_end(&l);
		if (s->reload_waits)
			reload(s, "asked for while starting");
	} else if (answer->generation == s->generation)
		count_answer(s, m, answer->kind == SUPERVISE_REFUSED);
}

static bool none_is_alive(const struct supervise *s)
{
	for (unsigned i = 0; i < s->plan.workers; i++)
		if (s->members[i].pid)
			return false;
	return true;
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void on_shutdown_time(void *ctx)
{
	struct supervise *s = ctx;
	log_say(LOG_LEVEL_WARNING, "shutdown-cut", "killing workers that did not finish in time");
	for (unsigned i = 0; i < s->plan.workers; i++)
		supervise_member_kill(&s->members[i]);
	supervise_member_kill(&s->policyd);
}

/* Workers first: until the last of them is gone policyd answers their questions. */
static void end_if_over(struct supervise *s)
{
	if (!none_is_alive(s))
		return;
	if (!s->policyd.pid)
		tlsio_loop_stop(s->loop);
	else if (!s->policyd_drains)
		supervise_member_drain(&s->policyd);
	s->policyd_drains = true;
}

static void stop(struct supervise *s, const char *why, bool at_once)
{
	bool is_first = s->phase != PHASE_STOPPING;
	s->phase = PHASE_STOPPING;
	if (is_first) {
		process_notify("STOPPING=1");
		struct log_line l;
		log_begin(&l, LOG_LEVEL_INFO, "shutdown");
		log_text(&l, "because", why);
		log_end(&l);
		supervise_sockets_free(&s->sockets);
		tlsio_timer_start(&s->shutdown_timer, s->plan.shutdown_ms + SHUTDOWN_GRACE_MS);
	}
	for (unsigned i = 0; i < s->plan.workers; i++) {
		supervise_member_retire(&s->members[i]);
		if (at_once || !is_first)
			supervise_member_kill(&s->members[i]);
		else
			supervise_member_drain(&s->members[i]);
	}
	supervise_member_retire(&s->policyd);
	if (at_once || !is_first)
		supervise_member_kill(&s->policyd);
	end_if_over(s);
}

static bool on_ended(void *ctx, struct supervise_member *m, int wait_status)
{
	struct supervise *s = ctx;
	if (m == &s->policyd && s->phase != PHASE_STOPPING) {
		count_answer(s, m, true);
		return s->plan.wants_policyd;
	}
	if (s->phase == PHASE_STARTING && WIFEXITED(wait_status)) {
		s->status = EXIT_FAILURE;
		stop(s, "a worker could not start", false);
	}
	if (s->phase != PHASE_STOPPING)
		return true;
	end_if_over(s);
	return false;
}

static const struct supervise_member_events member_events = { .forked = on_forked,
	.configuration = on_configuration, .answered = on_answered, .ended = on_ended,
	.due = on_due };

static void on_child(void *ctx, int number)
{
	struct supervise *s = ctx;
	(void)number;
	for (unsigned i = 0; i < s->plan.workers; i++)
		supervise_member_look(&s->members[i]);
	supervise_member_look(&s->policyd);
}

static void on_hangup(void *ctx, int number)
{
	(void)number;
	reload(ctx, "SIGHUP");
}

static void on_terminate(void *ctx, int number)
{
	stop(ctx, number == SIGINT ? "SIGINT" : "SIGTERM", false);
}

static void on_quit(void *ctx, int number)
{
	(void)number;
	stop(ctx, "SIGQUIT", true);
}

/* ---- the beginning ---------------------------------------------------------------------------------- */

static int prepare(struct supervise *s, struct candidate *c, struct err *err)
{
	if (load(s, &c->plan, err) < 0)
		return -1;
	if (c->plan.workers < 1 || c->plan.workers > SUPERVISE_SHARDS_MOST)
		return err_set(err, ERR_INPUT, "workers must be 1..%d", SUPERVISE_SHARDS_MOST);
	s->has_identity = c->plan.user != NULL;
	int failed = supervise_plan_identity(&c->plan, &s->identity, err);
	const struct process_identity *identity = identity_of(s);
	if (failed || supervise_directories_run(c->plan.run_directory, err) < 0 ||
		supervise_directories_spool(c->plan.spool_directory, identity, err) < 0)
		return -1;
	struct buf path = { 0 };
	buf_printf(&path, "%s/%s.pid", c->plan.run_directory, s->program->name);
	s->pid_path = buf_take(&path);
	s->pid_file = process_lock_pid_file(s->pid_path, err);
	if (s->pid_file < 0)
		return -1;
	if (supervise_shards_scan(c->plan.spool_directory, &s->shards, err) < 0)
		return -1;
	s->control = supervise_control_open(
		c->plan.run_directory, c->plan.workers, identity, err);
	return s->control ? candidate_make(s, c->plan.workers, c, err) : -1;
}

static void listen_to_signals(struct supervise *s)
{
	static const struct {
		int number;
		void (*on_signal)(void *ctx, int number);
	} table[] = { { SIGCHLD, on_child }, { SIGHUP, on_hangup }, { SIGTERM, on_terminate },
		{ SIGINT, on_terminate }, { SIGQUIT, on_quit } };
	_Static_assert(sizeof(table) / sizeof(table[0]) ==
			       sizeof(s->signals) / sizeof(s->signals[0]), "one for each");
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		tlsio_signal_start(
			&s->signals[i], s->loop, table[i].number, table[i].on_signal, s);
}

static void start_all(struct supervise *s)
{
	s->members = mem_array(s->plan.workers, sizeof(*s->members));
	for (unsigned i = 0; i < s->plan.workers; i++)
		supervise_member_init(&s->members[i], "worker", i, s->loop, &member_events, s);
	for (unsigned i = 0; i < s->plan.workers; i++)
		start_member(s, &s->members[i]);
	begin_or_end_policyd(s);
	if (s->program->watch_ms) {
		s->watch = tlsio_certwatch_new(s->loop, s->program->watch_ms, on_files_changed, s);
		watch_files(s);
	}
	if (s->program->secret_ms)
		tlsio_timer_start(&s->secret_timer, s->program->secret_ms);
}

static void clean_up(struct supervise *s)
{
	for (size_t i = 0; s->members && i < sizeof(s->signals) / sizeof(s->signals[0]); i++)
		tlsio_signal_stop(&s->signals[i]);
	tlsio_certwatch_free(&s->watch);
	supervise_control_close(&s->control);
	supervise_seat_leave(&s->seat);
	supervise_sockets_free(&s->sockets);
	if (s->pid_file >= 0) {
		unlink(s->pid_path);
		close(s->pid_file);
	}
	free(s->pid_path);
	if (s->bundle_fd >= 0)
		close(s->bundle_fd);
	if (s->policyd_bundle_fd >= 0)
		close(s->policyd_bundle_fd);
	free(s->members);
	supervise_plan_clear(&s->plan);
	explicit_bzero(s->secret, sizeof(s->secret));
	if (s->loop)
		tlsio_loop_free(&s->loop);
}

int supervise_run(const struct supervise_program *program)
{
	struct supervise s = { .program = program, .bundle_fd = -1, .pid_file = -1,
		.seat = supervise_seat_none, .policyd_bundle_fd = -1 };
	struct candidate c = no_candidate;
	struct err err;
	process_forbid_dumps(); /* we read all keys, and may be of the workers' user */
	tlsio_tickets_make_secret(s.secret);
	s.loop = tlsio_loop_new(&err);
	if (!s.loop || prepare(&s, &c, &err) < 0) {
		log_say(LOG_LEVEL_ERROR, "start-failed", "%s", err.text);
		candidate_clear(&c);
		clean_up(&s);
		return EXIT_FAILURE;
	}
	tlsio_timer_init(&s.shutdown_timer, s.loop, on_shutdown_time, &s);
	tlsio_timer_init(&s.secret_timer, s.loop, on_secret_due, &s);
	supervise_member_init(&s.policyd, "policyd", 0, s.loop, &member_events, &s);
	put_in_force(&s, &c);
	listen_to_signals(&s);
	start_all(&s);
	tlsio_loop_run(s.loop);
	tlsio_timer_stop(&s.shutdown_timer);
	tlsio_timer_stop(&s.secret_timer);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "end");
	log_number(&l, "status", s.status);
	log_end(&l);
	clean_up(&s);
	return s.status;
}
