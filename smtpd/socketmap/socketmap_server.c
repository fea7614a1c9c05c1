#include "smtpd/socketmap/socketmap_server.h"

#include <stdlib.h>
#include <unistd.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream.h"
#include "smtpd/socketmap/socketmap_answer.h"
#include "smtpd/socketmap/socketmap_netstring.h"
#include "smtpd/socketmap/socketmap_request.h"
#include "smtpd/sockets/sockets_listeners.h"

enum {
	INPUT_BYTES = 32 * 1024,
	OUTPUT_BYTES = 2 * SOCKETMAP_ANSWER_BYTES_MOST,
	BATCH_BYTES = 64 * 1024, /* collected, then handed to the stream */
};

struct socketmap_server {
	struct tlsio_loop *loop;
	struct plan_service *service;
	struct sockets_listeners listeners;
	struct list clients; /* the longest idle first */
	size_t client_count;
	size_t in_flight;
	struct list waiting; /* clients who wait for others' questions to end */
	struct buf words, batch;
};

enum limit { LIMIT_NONE, LIMIT_IDLE, LIMIT_PATIENCE };

struct client {
	struct list link;
	struct list waiting;
	struct socketmap_server *server;
	struct tlsio_stream *stream;
	struct tlsio_turn go_on;
	struct list asked; /* in order; the first is not answered yet */
	size_t count;
	int64_t used_ms;
	enum limit limit;
	bool is_full;  /* on_room will come */
	bool is_ended; /* sends no more; what it asked is still answered */
};

struct asked {
	struct list link;
	struct client *client;
	struct socketmap_request request; /* ASK is over once there is a plan */
	struct plan_question *question;
	struct policy_plan *plan;
	struct tlsio_timer timer;
};

static void take_input(void *ctx);

/* ---- one request ---------------------------------------------------------------------------------- */

/* Somebody's question is over: who waited longest for a place goes on. */
static void leave_place(struct socketmap_server *server)
{
	server->in_flight--;
	struct list *node = list_first(&server->waiting);
	if (!node)
		return;
	list_remove(node);
	tlsio_turn_request(&LIST_OWNER(node, struct client, waiting)->go_on);
}

static void asked_free(struct asked *a)
{
	list_remove(&a->link);
	a->client->count--;
	tlsio_timer_stop(&a->timer);
	if (a->question) {
		plan_question_cancel(&a->question);
		leave_place(a->client->server);
	}
	policy_plan_unref(&a->plan);
	free(a);
}

static void flush(struct client *c)
{
	struct str bytes = buf_str(&c->server->batch);
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
	buf_clear(&c->server->batch);
}

/* Into the batch; plan NULL: the request has its answer in itself. */
static void say(struct client *c, const struct socketmap_request *request,
	const struct policy_plan *plan)
{
	struct buf *words = &c->server->words;
	buf_clear(words);
	if (plan)
		socketmap_answer_write(words, request->map, plan);
	else if (request->kind == SOCKETMAP_REFUSE)
		socketmap_answer_refuse(words, request->why);
	else
		socketmap_answer_not_found(words);
	socketmap_netstring_write(&c->server->batch, buf_str(words));
	if (c->server->batch.length >= BATCH_BYTES)
		flush(c);
}

static bool has_room(struct client *c)
{
	if (tlsio_stream_room(c->stream) > c->server->batch.length)
		return true;
	c->is_full = true;
	return false;
}

static bool is_answered(const struct asked *a)
{
	return a->plan || a->request.kind != SOCKETMAP_ASK;
}

/* All that is answered and stands first. */
static void say_answered(struct client *c)
{
	while (!list_is_empty(&c->asked)) {
		struct asked *a = LIST_OWNER(list_first(&c->asked), struct asked, link);
		if (!is_answered(a) || !has_room(c))
			break;
		say(c, &a->request, a->plan);
		asked_free(a);
	}
	flush(c);
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct asked *a = ctx;
	struct client *c = a->client;
	a->question = NULL;
	a->plan = policy_plan_ref(plan);
	tlsio_timer_stop(&a->timer);
	leave_place(c->server);
	tlsio_turn_request(&c->go_on);
}

static struct policy_question question_of(const struct socketmap_request *r)
{
	return (struct policy_question){ .kind = r->question, .rule_domain = r->next_hop,
		.next_hop = r->next_hop, .port = r->port };
}

/* It does not wait any longer. What is not known by now is taken for absent (RFC 8461 App. B): an
 * error would keep back the mail of every domain with one host that does not answer. */
static void on_late(void *ctx)
{
	struct asked *a = ctx;
	struct client *c = a->client;
	struct policy_question question = question_of(&a->request);
	plan_question_cancel(&a->question);
	leave_place(c->server);
	a->plan = plan_service_known(c->server->service, &question);
	policy_plan_end(a->plan, POLICY_PLAN_READY, POLICY_REASON_NONE, "known so far");
	tlsio_turn_request(&c->go_on);
}

static void ask_later(struct client *c, const struct socketmap_request *request,
	struct policy_plan *kept)
{
	struct asked *a = mem_zero(sizeof(*a));
	a->client = c;
	a->request = *request;
	list_push_back(&c->asked, &a->link);
	c->count++;
	tlsio_timer_init(&a->timer, c->server->loop, on_late, a);
	if (kept) {
		a->plan = policy_plan_ref(kept);
	} else if (request->kind == SOCKETMAP_ASK) {
		struct policy_question question = question_of(&a->request);
		c->server->in_flight++;
		a->question = plan_service_ask(c->server->service, &question, on_plan, a);
		if (request->map == SOCKETMAP_SENDMAIL)
			tlsio_timer_start(&a->timer, SOCKETMAP_SENDMAIL_MS);
	}
}

static void take(struct client *c, struct str payload)
{
	struct socketmap_request request;
	struct policy_plan *kept = NULL;
	socketmap_request_read(payload, &request);
	if (request.kind == SOCKETMAP_ASK) {
		struct policy_question question = question_of(&request);
		kept = plan_service_find(c->server->service, &question);
	}
	bool is_known = kept || request.kind != SOCKETMAP_ASK;
	if (is_known && list_is_empty(&c->asked) && has_room(c))
		say(c, &request, kept);
	else
		ask_later(c, &request, kept);
}

/* ---- one client ------------------------------------------------------------------------------------ */

static void client_close(struct client *c)
{
	while (!list_is_empty(&c->asked))
		asked_free(LIST_OWNER(list_first(&c->asked), struct asked, link));
	tlsio_turn_cancel(&c->go_on);
	tlsio_stream_close(&c->stream);
	list_remove(&c->link);
	list_remove(&c->waiting);
	c->server->client_count--;
	free(c);
}

static void set_limit(struct client *c, bool has_rest)
{
	enum limit limit = c->is_full || has_rest ? LIMIT_PATIENCE
		: c->count			  ? LIMIT_NONE
						  : LIMIT_IDLE;
	static const int64_t times_ms[] = { [LIMIT_NONE] = 0, [LIMIT_IDLE] = SOCKETMAP_IDLE_MS,
		[LIMIT_PATIENCE] = SOCKETMAP_PATIENCE_MS };
	if (c->limit == limit && limit != LIMIT_NONE)
		return;
	c->limit = limit;
	tlsio_stream_limit_time(c->stream, times_ms[limit]);
}

static void note_use(struct client *c)
{
	c->used_ms = tlsio_loop_now_ms(c->server->loop);
	list_remove(&c->link);
	list_push_back(&c->server->clients, &c->link);
}

/* False: the client may ask more once something of what is asked has been answered. */
static bool may_ask(struct client *c)
{
	if (c->is_full || c->count >= SOCKETMAP_ASKED_MOST)
		return false;
	if (c->server->in_flight < SOCKETMAP_IN_FLIGHT_MOST)
		return true;
	if (!list_is_linked(&c->waiting))
		list_push_back(&c->server->waiting, &c->waiting);
	return false;
}

static void refuse(struct client *c, const char *why)
{
	const struct socketmap_request broken = { .kind = SOCKETMAP_REFUSE, .why = why };
	say(c, &broken, NULL);
	flush(c);
	client_close(c);
}

/* All whole requests that are there. The client may be gone on return. */
static void take_requests(struct client *c)
{
	struct str payload;
	size_t used, all = 0;
	int found = 0;
	bool may = true;
	while ((may = may_ask(c)) &&
		(found = socketmap_netstring_split(str_skip(tlsio_stream_input(c->stream), all),
			 SOCKETMAP_REQUEST_BYTES_MOST, &payload, &used, NULL)) > 0) {
		take(c, payload);
		all += used;
	}
	flush(c);
	if (may && found < 0) {
		refuse(c, "this is no request: a netstring of at most 10000 bytes is wanted");
		return;
	}
	bool has_rest = may && all < tlsio_stream_input(c->stream).length;
	if (all) {
		tlsio_stream_consume(c->stream, all);
		note_use(c);
		c->limit = LIMIT_NONE; /* it goes on: patience begins anew */
	}
	/* Nobody tells of room any more, nor brings the rest of a request. */
	if (c->is_ended && (c->is_full || (may && !c->count)))
		client_close(c);
	else
		set_limit(c, has_rest);
}

static void take_input(void *ctx)
{
	struct client *c = ctx;
	say_answered(c);
	take_requests(c);
}

static void on_room(void *ctx)
{
	struct client *c = ctx;
	c->is_full = false;
	c->limit = LIMIT_NONE;
	tlsio_turn_request(&c->go_on);
}

static void on_timeout(void *ctx)
{
	struct client *c = ctx;
	int64_t idle_ms = tlsio_loop_now_ms(c->server->loop) - c->used_ms;
	if (c->limit == LIMIT_IDLE && idle_ms < SOCKETMAP_IDLE_MS) {
		tlsio_stream_limit_time(c->stream, SOCKETMAP_IDLE_MS - idle_ms);
		return;
	}
	if (c->limit == LIMIT_PATIENCE)
		tlsio_stream_abort(&c->stream);
	client_close(c);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct client *c = ctx;
	(void)why;
	c->is_ended = true;
	if (end == TLSIO_END_CLOSED)
		take_input(c);
	else
		client_close(c);
}

static const struct tlsio_stream_events stream_events = { .on_input = take_input,
	.on_room = on_room, .on_timeout = on_timeout, .on_end = on_end };

/* ---- the server -------------------------------------------------------------------------------------- */

static bool make_place(struct socketmap_server *server)
{
	if (server->client_count < SOCKETMAP_CLIENTS_MOST)
		return true;
	LIST_EACH_SAFE (node, &server->clients) {
		struct client *c = LIST_OWNER(node, struct client, link);
		if (c->count || list_is_linked(&c->waiting))
			continue;
		client_close(c);
		return true;
	}
	return false;
}

void socketmap_server_accept(struct socketmap_server *server, struct tlsio_transport *transport)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	if (!make_place(server)) {
		transport->kind->free(transport);
		return;
	}
	struct client *c = mem_zero(sizeof(*c));
	c->server = server;
	list_init(&c->asked);
	tlsio_turn_init(&c->go_on, server->loop, take_input, c);
	c->stream = tlsio_stream_new(server->loop, transport, &limits, &stream_events, c);
	list_push_back(&server->clients, &c->link);
	server->client_count++;
	note_use(c);
	set_limit(c, false);
}

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct socketmap_server *server = ctx;
	(void)local;
	(void)remote;
	socketmap_server_accept(server, tlsio_transport_socket(server->loop, fd));
}

struct socketmap_server *socketmap_server_new(struct tlsio_loop *loop, struct plan_service *service)
{
	struct socketmap_server *server = mem_zero(sizeof(*server));
	server->loop = loop;
	server->service = service;
	list_init(&server->clients);
	list_init(&server->waiting);
	return server;
}

void socketmap_server_listen(struct socketmap_server *server, struct sockets *sockets)
{
	static const struct tlsio_listener_events events = { .on_accept = on_accept };
	sockets_listeners_change(&server->listeners, server->loop, sockets, &events, server);
}

void socketmap_server_set_service(struct socketmap_server *server, struct plan_service *service)
{
	server->service = service;
}

size_t socketmap_server_client_count(const struct socketmap_server *server)
{
	return server->client_count;
}

void socketmap_server_free(struct socketmap_server **pointer)
{
	struct socketmap_server *server = *pointer;
	if (!server)
		return;
	*pointer = NULL;
	while (!list_is_empty(&server->clients))
		client_close(LIST_OWNER(list_first(&server->clients), struct client, link));
	sockets_listeners_clear(&server->listeners);
	buf_release(&server->words);
	buf_release(&server->batch);
	free(server);
}
