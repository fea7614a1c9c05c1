#include "smtpd/socketmap/socketmap_server.h"

#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "smtpd/socketmap/socketmap_answer.h"
#include "smtpd/socketmap/socketmap_netstring.h"
#include "smtpd/socketmap/socketmap_request.h"
#include "smtpd/sockets/sockets_clients.h"

enum {
	INPUT_BYTES = 32 * 1024,
	OUTPUT_BYTES = 2 * SOCKETMAP_ANSWER_BYTES_MOST,
	BATCH_BYTES = 64 * 1024, /* collected, then handed to the stream */
};

struct socketmap_server {
	struct plan_service *service;
	struct sockets_clients clients;
	size_t in_flight;
	struct list waiting; /* clients who wait for others' questions to end */
	struct buf words, batch;
};

struct client {
	struct sockets_client connection;
	struct list waiting;
	struct socketmap_server *server;
	struct list asked; /* in order; the first is not answered yet */
	size_t count;
	bool is_broken; /* sent what is no request: told so behind all answers, then closed */
};

struct asked {
	struct list link;
	struct client *client;
	struct socketmap_request request; /* ASK is over once there is a plan */
	struct plan_question *question;
	struct policy_plan *plan;
	struct tlsio_timer timer;
};

/* ---- one request ---------------------------------------------------------------------------------- */

/* Somebody's question is over: who waited longest for a place goes on. */
static void leave_place(struct socketmap_server *server)
{
	server->in_flight--;
	struct list *node = list_first(&server->waiting);
	if (!node)
		return;
	list_remove(node);
	tlsio_turn_request(&LIST_OWNER(node, struct client, waiting)->connection.go_on);
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
	tlsio_stream_write(c->connection.stream, bytes.at, bytes.length);
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
	return sockets_client_has_room(&c->connection, c->server->batch.length);
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
	tlsio_turn_request(&c->connection.go_on);
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
	tlsio_turn_request(&c->connection.go_on);
}

static void ask_later(struct client *c, const struct socketmap_request *request,
	struct policy_plan *kept)
{
	struct asked *a = mem_zero(sizeof(*a));
	a->client = c;
	a->request = *request;
	list_push_back(&c->asked, &a->link);
	c->count++;
	tlsio_timer_init(&a->timer, c->server->clients.loop, on_late, a);
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

static struct client *client_of(const struct sockets_client *connection)
{
	return LIST_OWNER(connection, struct client, connection);
}

static void gone(struct sockets_client *connection)
{
	struct client *c = client_of(connection);
	while (!list_is_empty(&c->asked))
		asked_free(LIST_OWNER(list_first(&c->asked), struct asked, link));
	list_remove(&c->waiting);
	free(c);
}

/* False: the client may ask more once something of what is asked has been answered. */
static bool may_ask(struct client *c)
{
	if (c->connection.is_full || c->is_broken || c->count >= SOCKETMAP_ASKED_MOST)
		return false;
	if (c->server->in_flight < SOCKETMAP_IN_FLIGHT_MOST)
		return true;
	if (!list_is_linked(&c->waiting))
		list_push_back(&c->server->waiting, &c->waiting);
	return false;
}

/* In its order: an error in the place of another answer would be taken for that. */
static void refuse_all(struct client *c)
{
	static const struct socketmap_request broken = { .kind = SOCKETMAP_REFUSE,
		.why = "this is no request: a netstring of at most 10000 bytes is wanted" };
	c->is_broken = true;
	ask_later(c, &broken, NULL);
	say_answered(c);
}

/* All whole requests that are there. The client may be gone on return. */
static void take_requests(struct client *c)
{
	struct str payload;
	size_t used, all = 0;
	int found = 0;
	bool may = true;
	struct tlsio_stream *stream = c->connection.stream;
	while ((may = may_ask(c)) &&
		(found = socketmap_netstring_split(str_skip(tlsio_stream_input(stream), all),
			 SOCKETMAP_REQUEST_BYTES_MOST, &payload, &used, NULL)) > 0) {
		take(c, payload);
		all += used;
	}
	flush(c);
	if (may && found < 0) {
		refuse_all(c);
		may = false;
	}
	bool has_rest = may && !c->connection.is_ended && all < tlsio_stream_input(stream).length;
	sockets_client_consume(&c->connection, all);
	if (c->is_broken && !c->count)
		sockets_client_close(&c->connection);
	else
		sockets_client_settle(&c->connection, has_rest ? SOCKETS_WAIT_REST
				: !may || c->count ? SOCKETS_WAIT_ANSWER
						   : SOCKETS_WAIT_REQUEST);
}

static void take_all(struct sockets_client *connection)
{
	struct client *c = client_of(connection);
	say_answered(c);
	take_requests(c);
}

static struct sockets_client *make(void *ctx)
{
	struct client *c = mem_zero(sizeof(*c));
	c->server = ctx;
	list_init(&c->asked);
	return &c->connection;
}

static bool is_busy(const struct sockets_client *connection)
{
	const struct client *c = client_of(connection);
	return c->count || list_is_linked(&c->waiting);
}

/* ---- the server -------------------------------------------------------------------------------------- */

void socketmap_server_accept(struct socketmap_server *server, struct tlsio_transport *transport)
{
	sockets_clients_accept(&server->clients, transport);
}

struct socketmap_server *socketmap_server_new(struct tlsio_loop *loop, struct plan_service *service)
{
	static const struct sockets_clients_kind kind = {
		.stream = { .input_bytes = INPUT_BYTES, .output_bytes = OUTPUT_BYTES },
		.clients_most = SOCKETMAP_CLIENTS_MOST,
		.patience_ms = SOCKETMAP_PATIENCE_MS,
		.idle_ms = SOCKETMAP_IDLE_MS,
		.make = make,
		.take = take_all,
		.gone = gone,
		.is_busy = is_busy,
	};
	struct socketmap_server *server = mem_zero(sizeof(*server));
	server->service = service;
	sockets_clients_init(&server->clients, loop, &kind, server);
	list_init(&server->waiting);
	return server;
}

void socketmap_server_listen(struct socketmap_server *server, struct sockets *sockets)
{
	sockets_clients_listen(&server->clients, sockets);
}

void socketmap_server_set_service(struct socketmap_server *server, struct plan_service *service)
{
	server->service = service;
}

size_t socketmap_server_client_count(const struct socketmap_server *server)
{
	return server->clients.count;
}

void socketmap_server_free(struct socketmap_server **pointer)
{
	struct socketmap_server *server = *pointer;
	if (!server)
		return;
	*pointer = NULL;
	sockets_clients_clear(&server->clients);
	buf_release(&server->words);
	buf_release(&server->batch);
	free(server);
}
