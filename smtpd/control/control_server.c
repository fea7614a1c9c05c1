#include "smtpd/control/control_server.h"

#include <assert.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_stream.h"

#define CLIENTS_MOST 16
#define CLIENT_MS 30000
#define GROUPS_MOST 1024

struct control_server {
	struct tlsio_loop *loop;
	struct tlsio_listener *listener;
	const struct control_command *commands;
	void *ctx;
	struct list answers;
	size_t count;
};

struct control_answer {
	struct list link;
	struct control_server *server;
	struct tlsio_stream *stream;
	struct tlsio_timer next_slice;
	struct buf out;
	bool is_over;
	int64_t pause_ms; /* before the next slice */
	void (*step)(void *state, struct control_answer *answer);
	void (*end_state)(void *state);
	void *state;
};

static void answer_free(struct control_answer *a)
{
	if (a->end_state)
		a->end_state(a->state);
	tlsio_timer_stop(&a->next_slice);
	tlsio_stream_close(&a->stream);
	buf_release(&a->out);
	list_remove(&a->link);
	a->server->count--;
	free(a);
}

/* ---- for commands ------------------------------------------------------------------------------------ */

struct buf *control_answer_out(struct control_answer *a)
{
	return &a->out;
}

void control_answer_ok(struct control_answer *a)
{
	control_put_ok(&a->out);
	a->is_over = true;
}

void control_answer_error(struct control_answer *a, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	control_put_error(&a->out, str_of(text));
	a->is_over = true;
}

void control_answer_more(struct control_answer *a,
	void (*step)(void *state, struct control_answer *answer), void (*end_state)(void *state),
	void *state)
{
	a->step = step;
	a->end_state = end_state;
	a->state = state;
}

void control_answer_pause(struct control_answer *a, int64_t ms)
{
	a->pause_ms = ms;
}

/* ---- one client --------------------------------------------------------------------------------------- */

/* Sends what was made; true when the answer (and a) is gone. */
static bool send_slice(struct control_answer *a)
{
	struct str out = buf_str(&a->out);
	if (out.length)
		tlsio_stream_write(a->stream, out.at, out.length);
	buf_clear(&a->out);
	if (!a->is_over)
		return false;
	answer_free(a);
	return true;
}

static void go_on(struct control_answer *a)
{
	tlsio_stream_limit_time(a->stream, CLIENT_MS);
	if (tlsio_stream_room(a->stream) && !tlsio_timer_is_active(&a->next_slice))
		tlsio_timer_start(&a->next_slice, a->pause_ms);
}

static void on_next_slice(void *ctx)
{
	struct control_answer *a = ctx;
	a->pause_ms = 0;
	a->step(a->state, a);
	if (!send_slice(a))
		go_on(a);
}

static const struct control_command *find(const struct control_server *server, struct str name)
{
	for (const struct control_command *c = server->commands; c->name; c++)
		if (str_equal(str_of(c->name), name))
			return c;
	return NULL;
}

static void run(struct control_answer *a, struct str line)
{
	struct control_request request;
	struct err err;
	if (control_request_parse(line, &request, &err) < 0) {
		control_answer_error(a, "%s", err.text);
		return;
	}
	const struct control_command *command = find(a->server, request.words[0]);
	size_t arguments = request.count - 1;
	if (!command)
		control_answer_error(a, "unknown request '%.*s': is posternctl of the same version?",
			STR_ARGS(request.words[0]));
	else if (arguments < command->arguments_least || arguments > command->arguments_most)
		control_answer_error(a, "'%s' has a wrong number of arguments", command->name);
	else
		command->run(a->server->ctx, a, &request);
	assert(a->is_over || a->step);
}

static void on_input(void *ctx)
{
	struct control_answer *a = ctx;
	struct str in = tlsio_stream_input(a->stream);
	size_t end = str_find(in, '\n');
	if (end == in.length && end < CONTROL_REQUEST_BYTES)
		return;
	if (end == in.length)
		control_answer_error(a, "the request is too long");
	else
		run(a, str_head(in, end));
	tlsio_stream_consume(a->stream, end == in.length ? end : end + 1);
	/* One request is answered. That a client has closed its side is not looked at before the answer
	 * is out: behind an end there would be no more events, no room and no limit of time. */
	tlsio_stream_pause(a->stream);
	if (!send_slice(a))
		go_on(a);
}

static void on_room(void *ctx)
{
	struct control_answer *a = ctx;
	if (a->step && !a->is_over)
		go_on(a);
}

static void on_timeout(void *ctx)
{
	struct control_answer *a = ctx;
	tlsio_stream_abort(&a->stream);
	answer_free(a);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)end;
	(void)why;
	answer_free(ctx);
}

static const struct tlsio_stream_events stream_events = { .on_input = on_input, .on_room = on_room,
	.on_timeout = on_timeout, .on_end = on_end };

/* ---- the door -------------------------------------------------------------------------------------------- */

static bool is_in_our_group(int fd, gid_t primary)
{
	gid_t groups[GROUPS_MOST], ours = getegid();
	socklen_t size = sizeof(groups);
	if (primary == ours)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(gid_t); i++)
		if (groups[i] == ours)
			return true;
	return false;
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || is_in_our_group(fd, peer.gid);
}

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = CONTROL_REQUEST_BYTES,
		.output_bytes = 4 * CONTROL_SLICE_BYTES };
	(void)local;
	(void)remote;
	struct control_server *server = ctx;
	bool may = may_ask(fd);
	if (!may || server->count == CLIENTS_MOST) {
		if (!may)
			log_say(LOG_LEVEL_WARNING, "control-refused",
				"a process that is not root, our user or of our group");
		close(fd);
		return;
	}
	struct control_answer *a = mem_zero(sizeof(*a));
	a->server = server;
	a->stream = tlsio_stream_new(server->loop, tlsio_transport_socket(server->loop, fd), &limits,
		&stream_events, a);
	tlsio_timer_init(&a->next_slice, server->loop, on_next_slice, a);
	tlsio_stream_limit_time(a->stream, CLIENT_MS);
	list_push_back(&server->answers, &a->link);
	server->count++;
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	log_say(LOG_LEVEL_WARNING, "control-trouble", "%s", err->text);
}

static const struct tlsio_listener_events listener_events = { .on_accept = on_accept,
	.on_trouble = on_trouble };

struct control_server *control_server_new(struct tlsio_loop *loop, int fd,
	const struct control_command *commands, void *ctx)
{
	struct control_server *server = mem_zero(sizeof(*server));
	server->loop = loop;
	server->commands = commands;
	server->ctx = ctx;
	list_init(&server->answers);
	server->listener = tlsio_listener_new(loop, fd, &listener_events, server);
	return server;
}

void control_server_free(struct control_server **pointer)
{
	struct control_server *server = *pointer;
	if (!server)
		return;
	*pointer = NULL;
	tlsio_listener_free(&server->listener);
	LIST_EACH_SAFE(node, &server->answers)
		answer_free(LIST_OWNER(node, struct control_answer, link));
	free(server);
}
