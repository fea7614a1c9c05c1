#include "smtpd/delegation/delegation_server.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "smtpd/delegation/delegation_answer.h"
#include "smtpd/delegation/delegation_log.h"
#include "smtpd/sockets/sockets_clients.h"

enum {
	INPUT_BYTES = DELEGATION_REQUEST_BYTES_MOST,
	OUTPUT_BYTES = 64 * 1024,
	BATCH_BYTES = 32 * 1024, /* collected, then handed to the stream */
	INSTANCE_BYTES = 80,
};

struct delegation_server {
	const struct inbound_settings *settings;
	const struct policy_inbound *rules;
	struct sockets_clients clients;
	struct delegation_counters counters;
	struct buf batch;
};

/* What was said of a message already: smtpd asks for its recipients one by one, at one connection. */
struct said {
	char instance[INSTANCE_BYTES]; /* Postfix's name for the message; empty: none */
	struct policy_inbound_refusal refusal;
};

struct client {
	struct sockets_client connection;
	struct delegation_server *server;
	size_t scanned; /* of the request that is not whole yet */
	struct said *said; /* NULL until something was */
};

/* ---- one request ---------------------------------------------------------------------------------- */

static bool was_said(struct client *c, struct str instance,
	const struct policy_inbound_refusal *refusal)
{
	if (instance.length == 0 || instance.length >= INSTANCE_BYTES)
		return false;
	if (!c->said)
		c->said = mem_zero(sizeof(*c->said));
	if (str_equal(instance, str_of(c->said->instance)) &&
		c->said->refusal.mode == refusal->mode &&
		strcmp(c->said->refusal.text, refusal->text) == 0)
		return true;
	str_copy(instance, c->said->instance, sizeof(c->said->instance));
	c->said->refusal = *refusal;
	c->said->refusal.source = NULL; /* of rules that may go */
	return false;
}

static void count(struct delegation_counters *counters, enum policy_inbound_mode mode)
{
	uint64_t *const of_mode[] = { [POLICY_INBOUND_REPORT] = &counters->reported,
		[POLICY_INBOUND_QUARANTINE] = &counters->quarantined,
		[POLICY_INBOUND_TEMPFAIL] = &counters->tempfailed,
		[POLICY_INBOUND_REJECT] = &counters->rejected };
	(*of_mode[mode])++;
}

static void answer(struct client *c, const struct delegation_request *request)
{
	struct delegation_server *server = c->server;
	struct delegation_facts facts;
	struct policy_inbound_refusal refusal;
	bool is_of_recipient;
	delegation_facts_read(request, server->settings, &facts);
	server->counters.requests++;
	server->counters.exempt += facts.is_exempt;
	if (!delegation_answer_objects(server->rules, request, &facts, &refusal, &is_of_recipient)) {
		delegation_answer_write(NULL, &server->batch);
		return;
	}
	bool goes_on = refusal.mode < POLICY_INBOUND_TEMPFAIL;
	struct str instance = delegation_request_value(request, DELEGATION_INSTANCE);
	bool is_new = !goes_on || is_of_recipient || !was_said(c, instance, &refusal);
	if (is_new) {
		count(&server->counters, refusal.mode);
		delegation_log_objection(request, &facts, &refusal);
	}
	/* A report is one line of Postfix's log; a message is held only where each request says so. */
	bool is_silent = !is_new && refusal.mode == POLICY_INBOUND_REPORT;
	delegation_answer_write(is_silent ? NULL : &refusal, &server->batch);
}

/* ---- one client ------------------------------------------------------------------------------------ */

static struct client *client_of(struct sockets_client *connection)
{
	return LIST_OWNER(connection, struct client, connection);
}

static void flush(struct client *c)
{
	struct str bytes = buf_str(&c->server->batch);
	tlsio_stream_write(c->connection.stream, bytes.at, bytes.length);
	buf_clear(&c->server->batch);
}

/* The next whole request of `in` is answered: its length; 0: it is not whole yet; -1: it never will be one. */
static long take_one(struct client *c, struct str in, struct err *err)
{
	struct delegation_request request;
	size_t length = delegation_request_length(in, &c->scanned);
	if (length == 0 && in.length >= DELEGATION_REQUEST_BYTES_MOST)
		return err_set(err, ERR_LIMIT, "it has more than %d bytes",
			DELEGATION_REQUEST_BYTES_MOST);
	if (length == 0)
		return 0;
	if (delegation_request_read(str_head(in, length), &request, err) < 0)
		return -1;
	answer(c, &request);
	if (c->server->batch.length >= BATCH_BYTES)
		flush(c);
	return (long)length;
}

static void take(struct sockets_client *connection)
{
	struct client *c = client_of(connection);
	struct err why;
	size_t used = 0, all = tlsio_stream_input(connection->stream).length;
	long length = 0;
	while (used < all && sockets_client_has_room(connection, c->server->batch.length) &&
		(length = take_one(c, str_skip(tlsio_stream_input(connection->stream), used),
			 &why)) > 0)
		used += (size_t)length;
	bool has_rest = used < all;
	flush(c);
	if (length < 0) {
		c->server->counters.broken++;
		delegation_log_broken(why.text);
		sockets_client_close(connection);
		return;
	}
	sockets_client_consume(connection, used);
	sockets_client_settle(connection, has_rest ? SOCKETS_WAIT_REST : SOCKETS_WAIT_REQUEST);
}

static struct sockets_client *make(void *ctx)
{
	struct client *c = mem_zero(sizeof(*c));
	c->server = ctx;
	return &c->connection;
}

static void gone(struct sockets_client *connection)
{
	struct client *c = client_of(connection);
	free(c->said);
	free(c);
}

/* ---- the server -------------------------------------------------------------------------------------- */

struct delegation_server *delegation_server_new(struct tlsio_loop *loop,
	const struct inbound_settings *settings, const struct policy_inbound *rules)
{
	static const struct sockets_clients_kind kind = {
		.stream = { .input_bytes = INPUT_BYTES, .output_bytes = OUTPUT_BYTES },
		.clients_most = DELEGATION_CLIENTS_MOST,
		.patience_ms = DELEGATION_PATIENCE_MS,
		.idle_ms = DELEGATION_IDLE_MS,
		.make = make,
		.take = take,
		.gone = gone,
	};
	struct delegation_server *server = mem_zero(sizeof(*server));
	sockets_clients_init(&server->clients, loop, &kind, server);
	delegation_server_set_rules(server, settings, rules);
	return server;
}

void delegation_server_set_rules(struct delegation_server *server,
	const struct inbound_settings *settings, const struct policy_inbound *rules)
{
	server->settings = settings;
	server->rules = rules;
}

void delegation_server_listen(struct delegation_server *server, struct sockets *sockets)
{
	sockets_clients_listen(&server->clients, sockets);
}

void delegation_server_accept(struct delegation_server *server, struct tlsio_transport *transport)
{
	sockets_clients_accept(&server->clients, transport);
}

size_t delegation_server_client_count(const struct delegation_server *server)
{
	return server->clients.count;
}

const struct delegation_counters *delegation_server_counters(const struct delegation_server *server)
{
	return &server->counters;
}

void delegation_server_free(struct delegation_server **pointer)
{
	struct delegation_server *server = *pointer;
	*pointer = NULL;
	if (!server)
		return;
	sockets_clients_clear(&server->clients);
	buf_release(&server->batch);
	free(server);
}
