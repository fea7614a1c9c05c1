#include "smtpd/supervise/supervise_child.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/supervise/supervise_channel.h"

#define CHANNEL_FD SUPERVISE_CHILD_CHANNEL_FD
/* in a CONFIGURE: */
enum { AT_BUNDLE, AT_CONTROL, AT_LISTENERS };

/* One configuration as it came: the message owns the descriptors. */
struct given {
	struct supervise_message message;
	struct supervise_offer offer;
};

struct life {
	const struct supervise_child *child;
	struct tlsio_loop *loop;
	struct tlsio_watch channel;
	struct tlsio_signal on_terminate;
	struct given *current; /* NULL until started */
	int control_fd;
	bool is_draining;
	int status;
};

static void given_free(struct given **given)
{
	struct given *g = *given;
	if (!g)
		return;
	*given = NULL;
	supervise_message_close(&g->message);
	free(g);
}

static void on_drained(void *ctx)
{
	struct life *life = ctx;
	tlsio_loop_stop(life->loop);
}

/* Nobody accepts any more: a client that still waits here shall be told at once. */
static void close_listeners(struct supervise_message *message)
{
	while (message->fd_count > AT_LISTENERS)
		close(message->fds[--message->fd_count]);
}

static void drain(struct life *life)
{
	if (life->is_draining)
		return;
	life->is_draining = true;
	if (!life->current) {
		tlsio_loop_stop(life->loop);
		return;
	}
	life->child->events->drain(life->child->ctx, on_drained, life);
	close_listeners(&life->current->message);
}

static void answer(enum supervise_message_kind kind, uint32_t generation,
	const char *text)
{
	struct supervise_message m = { .kind = kind, .generation = generation };
	str_copy(str_of(text), m.text, sizeof(m.text));
	supervise_channel_send(CHANNEL_FD, &m);
}

static int begin(struct life *life, struct given *given, struct err *err)
{
	life->control_fd = fcntl(given->message.fds[AT_CONTROL], F_DUPFD_CLOEXEC, 0);
	if (life->control_fd < 0)
		return err_system(err, errno, "cannot keep the control socket");
	struct supervise_birth birth = { .loop = life->loop, .number = life->child->number,
		.shards = life->child->shards, .shard_count = life->child->shard_count,
		.control_fd = life->control_fd };
	return life->child->events->start(life->child->ctx, &birth, &given->offer, err);
}

static void configure(struct life *life, struct given *given)
{
	struct err err = { 0 };
	int failed = given->message.fd_count < AT_LISTENERS
			     ? err_set(&err, ERR_SYSTEM, "the supervisor sent too few descriptors")
			     : 0;
	if (!failed) {
		given->offer.listen_fds = given->message.fds + AT_LISTENERS;
		given->offer.listen_count = given->message.fd_count - AT_LISTENERS;
		given->offer.bundle =
			supervise_bundle_from_memfd(given->message.fds[AT_BUNDLE], &err);
		failed = !given->offer.bundle;
	}
	if (!failed && life->current)
		failed = life->child->events->reload(life->child->ctx, &given->offer,
			&life->current->offer, &err);
	else if (!failed)
		failed = begin(life, given, &err);
	supervise_bundle_free(&given->offer.bundle);
	if (!failed) {
		/* Before the answer: who hears that the reload is done may count on closed sockets. */
		given_free(&life->current);
		life->current = given;
	}
	answer(failed ? SUPERVISE_REFUSED : SUPERVISE_READY, given->message.generation,
		err.text);
	if (!failed)
		return;
	given_free(&given);
	if (life->current)
		return; /* the old one stays in force */
	log_say(LOG_LEVEL_ERROR, "worker-failed", "%s", err.text);
	life->status = EXIT_FAILURE;
	tlsio_loop_stop(life->loop);
}

static void on_channel(void *ctx, unsigned events)
{
	(void)events;
	struct life *life = ctx;
	struct given *given = mem_zero(sizeof(*given));
	enum supervise_io io = supervise_channel_receive(
		CHANNEL_FD, SUPERVISE_CHANNEL_DESCRIPTORS_MOST, &given->message);
	if (io == SUPERVISE_IO_DONE && given->message.kind == SUPERVISE_CONFIGURE &&
		!life->is_draining) {
		configure(life, given); /* takes it */
		return;
	}
	enum supervise_message_kind kind = given->message.kind;
	given_free(&given);
	if (io == SUPERVISE_IO_GONE) {
		tlsio_watch_set(&life->channel, 0);
		log_say(LOG_LEVEL_ERROR, "supervisor-gone", "this worker finishes and ends");
		drain(life);
	} else if (io == SUPERVISE_IO_DONE && kind == SUPERVISE_DRAIN)
		drain(life);
}

static void on_terminate(void *ctx, int number)
{
	(void)number;
	drain(ctx);
}

static void settle_in(struct life *life, const struct supervise_child *child, int channel_fd)
{
	closelog(); /* its descriptor goes with the others; the worker's log_open makes a new one */
	dup2(channel_fd, CHANNEL_FD);
	fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC); /* dup2 cleared it, or did nothing */
	process_close_from(CHANNEL_FD + 1);
	prctl(PR_SET_NAME, child->name);
	umask(077);
	/* a terminal's ^C and ^\ and a reload by `kill -HUP 0` are for the supervisor */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	unsetenv("NOTIFY_SOCKET");
	life->child = child;
}

static int become(const struct supervise_child *child, struct err *err)
{
	if (child->identity && process_become(child->identity, err) < 0)
		return -1;
	process_forbid_dumps();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!process_die_with_parent(SIGTERM, child->parent))
		return err_set(err, ERR_SYSTEM, "the supervisor is gone");
	return 0;
}

int supervise_child_run(const struct supervise_child *child, int channel_fd)
{
	struct life life = { 0 };
	struct err err;
	settle_in(&life, child, channel_fd);
	if (become(child, &err) < 0 || !(life.loop = tlsio_loop_new(&err))) {
		log_say(LOG_LEVEL_ERROR, "worker-failed", "%s", err.text);
		answer(SUPERVISE_REFUSED, 0, err.text);
		return EXIT_FAILURE;
	}
	tlsio_signal_start(&life.on_terminate, life.loop, SIGTERM, on_terminate, &life);
	tlsio_watch_init(&life.channel, life.loop, CHANNEL_FD, on_channel, &life);
	tlsio_watch_set(&life.channel, TLSIO_READ);
	tlsio_loop_run(life.loop);

	tlsio_watch_set(&life.channel, 0);
	tlsio_signal_stop(&life.on_terminate);
	child->events->stop(child->ctx);
	given_free(&life.current);
	if (life.control_fd > 0)
		close(life.control_fd);
	tlsio_loop_free(&life.loop);
	return life.status;
}

/* ---- a child that is another program ------------------------------------------------------------- */

int supervise_child_find_program(const char *name, char *ret_path, size_t capacity, struct err *err)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length > 0) {
		/* " (deleted)" behind the name of a program that was upgraded does not matter here */
		self[length] = '\0';
		snprintf(ret_path, capacity, "%s/%s", dirname(self), name);
		if (access(ret_path, X_OK) == 0)
			return 0;
	}
	snprintf(ret_path, capacity, "%s/%s", POSTERN_SBINDIR, name);
	if (access(ret_path, X_OK) == 0)
		return 0;
	return err_system(err, errno, "cannot find the program %s beside this one, nor as %s", name,
		ret_path);
}

int supervise_child_exec(const struct supervise_child *child, int channel_fd)
{
	struct life life = { 0 };
	struct err err;
	char word[] = "--supervised";
	char *const arguments[] = { (char *)(uintptr_t)child->name, word, NULL };
	settle_in(&life, child, channel_fd);
	/* Opened before the user changes: the folder it lies in need not be open to that one. */
	int fd = open(child->program_path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		err_system(&err, errno, "cannot open %s", child->program_path);
	else if (become(child, &err) == 0) {
		fcntl(CHANNEL_FD, F_SETFD, 0);
		fexecve(fd, arguments, environ);
		err_system(&err, errno, "cannot start %s", child->program_path);
	}
	log_say(LOG_LEVEL_ERROR, "start-failed", "%s", err.text);
	answer(SUPERVISE_REFUSED, 0, err.text);
	return EXIT_FAILURE;
}
