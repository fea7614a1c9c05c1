#include "policy/door/door_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_stream.h"
#include "policy/door/door_wire.h"

enum {
	CLIENTS_MOST = 1000,
	ASKED_MOST = 1000, /* of one client, unanswered or with an answer that it does not read */
	INPUT_BYTES = 64 * 1024,
	OUTPUT_BYTES = 2 * DOOR_PLAN_BYTES_MOST, /* and a whole plan more fits below the stream's end */
	PATIENCE_MS = 30000, /* for a greeting, or for reading what we said */
};

struct door_server {
	struct tlsio_loop *loop;
	struct tlsio_listener *listener;
	struct plan_service *service;
	struct list clients;
	size_t count;
	struct buf scratch; /* one frame on its way into a stream */
	int64_t started_s;
	bool is_checked;
	int check;
	char *check_words;
};

struct client {
	struct list link;
	struct door_server *server;
	struct tlsio_stream *stream;
	struct tlsio_turn go_on; /* read on what waits in the stream, once there is room */
	struct list asked;	 /* struct asked: of the service */
	struct list answered;	 /* struct asked: with a plan that the stream has no room for yet */
	size_t count;		 /* of both */
	bool is_greeted;
	bool is_full; /* asked for no more room than there is: on_room will come */
};

struct asked {
	struct list link;
	struct client *client;
	uint32_t id;
	struct plan_question *question;
	struct policy_plan *plan;
};

/* ---- one question ------------------------------------------------------------------------------------- */

static void asked_free(struct asked *a)
{
	list_remove(&a->link);
	a->client->count--;
	if (a->question)
		plan_question_cancel(&a->question);
	if (a->plan)
		policy_plan_unref(&a->plan);
	free(a);
}

/* From the scratch into the stream, which sends at the end of the turn. */
static void say(struct client *c)
{
	struct buf *scratch = &c->server->scratch;
	struct str bytes = buf_str(scratch);
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
	buf_clear(scratch);
}

/* False: the client does not read; on_room comes when it does. */
static bool has_room(struct client *c)
{
	if (tlsio_stream_room(c->stream))
		return true;
	if (!c->is_full)
		tlsio_stream_limit_time(c->stream, PATIENCE_MS);
	c->is_full = true;
	return false;
}

static void say_plan(struct client *c, uint32_t id, const struct policy_plan *plan)
{
	door_wire_plan(&c->server->scratch, id, plan);
	say(c);
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct asked *a = ctx;
	struct client *c = a->client;
	a->question = NULL;
	if (!has_room(c)) {
		a->plan = policy_plan_ref(plan);
		list_remove(&a->link);
		list_push_back(&c->answered, &a->link);
		return;
	}
	say_plan(c, a->id, plan);
	asked_free(a);
	tlsio_turn_request(&c->go_on);
}

static void ask(struct client *c, uint32_t id, const struct policy_question *question)
{
	struct policy_plan *kept = plan_service_find(c->server->service, question);
	if (kept && has_room(c)) {
		say_plan(c, id, kept);
		return;
	}
	struct asked *a = mem_zero(sizeof(*a));
	a->client = c;
	a->id = id;
	list_push_back(&c->asked, &a->link);
	c->count++;
	if (kept) {
		list_remove(&a->link);
		list_push_back(&c->answered, &a->link);
		a->plan = policy_plan_ref(kept);
	} else
		a->question = plan_service_ask(c->server->service, question, on_plan, a);
}

/* ---- one client ------------------------------------------------------------------------------------------ */

static void client_free(struct client *c)
{
	while (!list_is_empty(&c->asked))
		asked_free(LIST_OWNER(list_first(&c->asked), struct asked, link));
	while (!list_is_empty(&c->answered))
		asked_free(LIST_OWNER(list_first(&c->answered), struct asked, link));
	tlsio_turn_cancel(&c->go_on);
	tlsio_stream_close(&c->stream);
	list_remove(&c->link);
	c->server->count--;
	free(c);
}

static void say_check(struct client *c)
{
	door_wire_self_check(&c->server->scratch, c->server->check, c->server->check_words);
	say(c);
}

static int take_hello(struct client *c, struct str body)
{
	unsigned format;
	if (door_wire_read_hello(body, &format, NULL) < 0 || c->is_greeted)
		return -1;
	/* Ours was sent already: a client of another version reads there what is the matter. */
	if (format != DOOR_FORMAT)
		return -1;
	c->is_greeted = true;
	tlsio_stream_limit_time(c->stream, 0);
	if (c->server->is_checked)
		say_check(c);
	return 0;
}

static int take_report(struct client *c, const struct door_frame *frame)
{
	struct policy_session session;
	if (door_wire_read_report(frame->body, &session, NULL) < 0)
		return -1;
	plan_service_tally(c->server->service, &session, frame->id);
	return 0;
}

static int take_status(struct client *c, struct str body)
{
	const struct door_server *server = c->server;
	struct plan_service_counts counts;
	if (body.length > 0 || !tlsio_stream_room(c->stream))
		return -1;
	plan_service_count(server->service, &counts);
	struct door_status status = { .pid = (uint32_t)getpid(), .version = PACKAGE_VERSION,
		.uptime_s = tlsio_loop_time_s(server->loop) - server->started_s,
		.check = server->is_checked ? server->check : -1, .clients = server->count,
		.plans = counts.kept, .in_flight = counts.in_flight, .asked = counts.asked,
		.found = counts.found, .made = counts.made, .deferred = counts.deferred,
		.refused = counts.refused };
	str_copy(str_of(server->check_words ? server->check_words : ""), status.check_words,
		sizeof(status.check_words));
	door_wire_status(&c->server->scratch, &status);
	say(c);
	return 0;
}

/* -1: not what a client says. */
static int take(struct client *c, const struct door_frame *frame)
{
	struct policy_question question;
	if (frame->kind == DOOR_HELLO)
		return take_hello(c, frame->body);
	if (!c->is_greeted)
		return -1;
	if (frame->kind == DOOR_REPORT)
		return take_report(c, frame);
	if (frame->kind == DOOR_STATUS)
		return take_status(c, frame->body);
	if (frame->kind != DOOR_ASK || door_wire_read_ask(frame->body, &question, NULL) < 0)
		return -1;
	ask(c, frame->id, &question);
	return 0;
}

/* All whole frames that are there, while the client has not asked too much. */
static void take_input(struct client *c)
{
	struct str in = tlsio_stream_input(c->stream);
	struct door_frame frame;
	size_t used, all = 0;
	int found = 0;
	while (c->count < ASKED_MOST &&
		(found = door_wire_split(
			 str_skip(in, all), DOOR_QUESTION_BYTES_MOST, &frame, &used, NULL)) > 0) {
		all += used;
		found = take(c, &frame);
		if (found < 0)
			break;
	}
	if (found < 0) {
		client_free(c);
		return;
	}
	if (all)
		tlsio_stream_consume(c->stream, all);
}

static void on_input(void *ctx)
{
	take_input(ctx);
}

static void on_room(void *ctx)
{
	struct client *c = ctx;
	c->is_full = false;
	tlsio_stream_limit_time(c->stream, 0);
	while (!list_is_empty(&c->answered) && has_room(c)) {
		struct asked *a = LIST_OWNER(list_first(&c->answered), struct asked, link);
		say_plan(c, a->id, a->plan);
		asked_free(a);
	}
	tlsio_turn_request(&c->go_on);
}

static void on_timeout(void *ctx)
{
	struct client *c = ctx;
	tlsio_stream_abort(&c->stream);
	client_free(c);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)end;
	(void)why;
	client_free(ctx);
}

static const struct tlsio_stream_events stream_events = { .on_input = on_input, .on_room = on_room,
	.on_timeout = on_timeout, .on_end = on_end };

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	struct door_server *server = ctx;
	(void)local;
	(void)remote;
	if (server->count == CLIENTS_MOST) {
		close(fd);
		return;
	}
	struct client *c = mem_zero(sizeof(*c));
	c->server = server;
	list_init(&c->asked);
	list_init(&c->answered);
	tlsio_turn_init(&c->go_on, server->loop, on_input, c);
	c->stream = tlsio_stream_new(server->loop, tlsio_transport_socket(server->loop, fd), &limits,
		&stream_events, c);
	tlsio_stream_limit_time(c->stream, PATIENCE_MS);
	list_push_back(&server->clients, &c->link);
	server->count++;
	door_wire_hello(&server->scratch, "postern-policyd");
	say(c);
}

/* ---- the server -------------------------------------------------------------------------------------------- */

struct door_server *door_server_new(struct tlsio_loop *loop, int listen_fd,
	struct plan_service *service)
{
	static const struct tlsio_listener_events events = { .on_accept = on_accept };
	struct door_server *server = mem_zero(sizeof(*server));
	server->loop = loop;
	server->service = service;
	server->started_s = tlsio_loop_time_s(loop);
	list_init(&server->clients);
	server->listener = tlsio_listener_new(loop, listen_fd, &events, server);
	return server;
}

void door_server_free(struct door_server **pointer)
{
	struct door_server *server = *pointer;
	if (!server)
		return;
	*pointer = NULL;
	tlsio_listener_free(&server->listener);
	while (!list_is_empty(&server->clients))
		client_free(LIST_OWNER(list_first(&server->clients), struct client, link));
	buf_release(&server->scratch);
	free(server->check_words);
	free(server);
}

void door_server_set_service(struct door_server *server, struct plan_service *service)
{
	server->service = service;
	LIST_EACH (node, &server->clients) {
		struct client *c = LIST_OWNER(node, struct client, link);
		door_wire_forget(&server->scratch);
		say(c);
	}
}

void door_server_set_check(struct door_server *server, int result, const char *words)
{
	free(server->check_words);
	server->check_words = mem_dup(words);
	server->check = result;
	server->is_checked = true;
	LIST_EACH (node, &server->clients) {
		struct client *c = LIST_OWNER(node, struct client, link);
		if (c->is_greeted)
			say_check(c);
	}
}

size_t door_server_client_count(const struct door_server *server)
{
	return server->count;
}
