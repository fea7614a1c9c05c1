#include "smtpd/supervise/supervise_member.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libtlsio/base/log.h"

static void on_delay_over(void *ctx)
{
	struct supervise_member *m = ctx;
	m->events->due(m->ctx, m);
}

void supervise_member_init(struct supervise_member *m, const char *role, unsigned number,
	struct tlsio_loop *loop, const struct supervise_member_events *events, void *ctx)
{
	memset(m, 0, sizeof(*m));
	m->role = role;
	m->number = number;
	m->channel_fd = -1;
	m->loop = loop;
	m->events = events;
	m->ctx = ctx;
	tlsio_timer_init(&m->delay, loop, on_delay_over, m);
}

static void close_channel(struct supervise_member *m)
{
	if (m->channel_fd < 0)
		return;
	tlsio_watch_set(&m->channel, 0);
	close(m->channel_fd);
	m->channel_fd = -1;
	m->wants_configuration = false;
}

static void send_configuration(struct supervise_member *m)
{
	struct supervise_message message = { .kind = SUPERVISE_CONFIGURE };
	m->events->configuration(m->ctx, m, &message);
	enum supervise_io io = supervise_channel_send(m->channel_fd, &message);
	m->wants_configuration = io == SUPERVISE_IO_AGAIN;
	if (io == SUPERVISE_IO_GONE)
		close_channel(m); /* its death will be told by the kernel */
	else
		tlsio_watch_set(&m->channel,
			TLSIO_READ | (m->wants_configuration ? TLSIO_WRITE : 0u));
}

static void on_channel(void *ctx, unsigned events)
{
	struct supervise_member *m = ctx;
	struct supervise_message message;
	if (m->wants_configuration && (events & TLSIO_WRITE))
		send_configuration(m);
	if (m->channel_fd < 0 || !(events & TLSIO_READ))
		return;
	switch (supervise_channel_receive(m->channel_fd, 0, &message)) {
	case SUPERVISE_IO_AGAIN:
		break;
	case SUPERVISE_IO_GONE:
		close_channel(m);
		break;
	case SUPERVISE_IO_DONE:
		if (message.kind == SUPERVISE_READY)
			m->is_ready = true;
		if (message.kind == SUPERVISE_READY || message.kind == SUPERVISE_REFUSED)
			m->events->answered(m->ctx, m, &message);
		break;
	}
}

int supervise_member_start(
	struct supervise_member *m, const struct supervise_child *child, struct err *err)
{
	int pair[2];
	if (supervise_channel_pair(pair, err) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0) {
		int why = errno;
		close(pair[0]);
		close(pair[1]);
		return err_system(err, why, "cannot fork");
	}
	if (pid == 0) {
		m->events->forked(m->ctx);
		/* exit, not _exit: what a worker forgot to free shall be seen where sanitizers look */
		exit(child->program_path ? supervise_child_exec(child, pair[1])
					 : supervise_child_run(child, pair[1]));
	}
	close(pair[1]);
	m->pid = pid;
	m->is_ready = false;
	m->started_ms = tlsio_loop_now_ms(m->loop);
	m->channel_fd = pair[0];
	tlsio_watch_init(&m->channel, m->loop, m->channel_fd, on_channel, m);
	send_configuration(m);
	return 0;
}

void supervise_member_configure(struct supervise_member *m)
{
	if (m->channel_fd >= 0)
		send_configuration(m);
}

void supervise_member_drain(struct supervise_member *m)
{
	struct supervise_message message = { .kind = SUPERVISE_DRAIN };
	/* a channel that is full or broken does not excuse it */
	if (m->pid && (m->channel_fd < 0 ||
			      supervise_channel_send(m->channel_fd, &message) != SUPERVISE_IO_DONE))
		kill(m->pid, SIGTERM);
}

void supervise_member_kill(struct supervise_member *m)
{
	if (m->pid)
		kill(m->pid, SIGKILL);
}

void supervise_member_retire(struct supervise_member *m)
{
	tlsio_timer_stop(&m->delay);
}

static void log_end_of(const struct supervise_member *m, pid_t pid, int status, bool is_expected, int64_t delay_ms)
{
	struct log_line l;
	char event[24];
	snprintf(event, sizeof(event), "%s-exit", m->role);
	log_begin(&l, is_expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, event);
	log_number(&l, m->role, m->number);
	log_number(&l, "pid", pid);
	if (WIFSIGNALED(status))
		log_text(&l, "signal", strsignal(WTERMSIG(status)));
	else
		log_number(&l, "status", WEXITSTATUS(status));
	if (delay_ms >= 0)
		log_number(&l, "restart_in_ms", delay_ms);
	log_end(&l);
}

void supervise_member_look(struct supervise_member *m)
{
	int status;
	pid_t pid = m->pid;
	if (!pid || waitpid(pid, &status, WNOHANG) != pid)
		return;
	/* the last words of a worker that refused are still in the channel */
	if (m->channel_fd >= 0)
		on_channel(m, TLSIO_READ);
	close_channel(m);
	m->pid = 0;
	m->is_ready = false;
	int64_t delay_ms = -1;
	int64_t lived_ms = tlsio_loop_now_ms(m->loop) - m->started_ms;
	if (m->events->ended(m->ctx, m, status)) {
		delay_ms = supervise_restart_after_ms(&m->restart, lived_ms);
		tlsio_timer_start(&m->delay, delay_ms);
	}
	bool is_expected = delay_ms < 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	log_end_of(m, pid, status, is_expected, delay_ms);
}
