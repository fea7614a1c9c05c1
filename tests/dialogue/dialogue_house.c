#include "tests/dialogue/dialogue_house.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_upgrade.h"
#include "smtpd/session/session_reply.h"
#include "tests/dialogue/dialogue_tls.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_spool.h"

#define WIRE_BYTES 65536 /* as a socket's buffer */

/* ---- the gate --------------------------------------------------------------------------------- */

static bool may_send(void *ctx, const struct session_facts *facts, struct str domain,
	struct session_refusal *ret)
{
	(void)ctx;
	if (str_equal(domain, STR("refused.example")))
		return session_reply_refuse(ret, 550, "5.7.1", "that sender is refused here");
	if (str_equal(domain, STR("later.example")))
		return session_reply_refuse(ret, 450, "4.7.1", "that sender may try later");
	if (str_equal(domain, STR("strict.example")) &&
		!(facts->peer && facts->peer->version == TLSIO_TLS13))
		return session_reply_refuse(ret, 554, "5.7.0", "that sender must use TLS 1.3");
	return true;
}

static bool may_receive(void *ctx, const struct session_facts *facts, struct str recipient,
	struct str domain, struct session_refusal *ret)
{
	(void)ctx;
	assert(recipient.length > domain.length);
	if (str_equal(domain, STR("ours.example")) || str_equal(domain, STR("mx.example")) ||
		str_equal(domain, STR("[192.0.2.25]")) ||
		str_equal(domain, STR("xn--bcher-kva.example")))
		return true;
	if (facts->client->family == NETADDR_IPV4 && facts->client->bytes[0] == 10)
		return true;
	return session_reply_refuse(ret, 550, "5.7.1", "relaying is refused");
}

static struct tlsio_server *tls_for(void *ctx, const void *listener, const struct netaddr *client)
{
	struct dialogue_house *house = ctx;
	(void)listener;
	(void)client;
	return house->tls;
}

static void *ask_sender(void *ctx, const struct session_facts *facts, struct str domain,
	struct session_question *question)
{
	struct dialogue_house *house = ctx;
	assert(domain.length && domain.at[0] != '[');
	if (facts->client->family == NETADDR_IPV4 && facts->client->bytes[0] == 10)
		return NULL;
	struct dialogue_question *q = mem_zero(sizeof(*q));
	q->question = question;
	q->is_null_mx = str_equal(domain, STR("null.example"));
	list_push_back(&house->questions, &q->link);
	tlsio_turn_request(&house->answer_turn);
	return q;
}

static void forget_question(void *ctx, void *asked)
{
	struct dialogue_house *house = ctx;
	struct dialogue_question *q = asked;
	house->forgotten++;
	list_remove(&q->link);
	free(q);
}

static void on_answer_turn(void *ctx)
{
	struct dialogue_house *house = ctx;
	struct session_refusal refusal;
	struct list *node;
	session_reply_refuse(&refusal, 550, "5.7.27", "that sender takes no mail");
	while (!house->holds_answers && (node = list_first(&house->questions)) != NULL) {
		struct dialogue_question *q = LIST_OWNER(node, struct dialogue_question, link);
		list_remove(node);
		session_question_answer(q->question, q->is_null_mx ? &refusal : NULL);
		free(q);
	}
}

size_t dialogue_house_waiting(const struct dialogue_house *house)
{
	size_t count = 0;
	LIST_EACH (node, &house->questions)
		count++;
	return count;
}

void dialogue_house_hold_answers(struct dialogue_house *house, bool is_held)
{
	house->holds_answers = is_held;
	tlsio_turn_request(&house->answer_turn);
	dialogue_house_settle(house);
}

static const struct session_gate gate = { .may_send = may_send,
	.may_receive = may_receive,
	.tls_for = tls_for,
	.ask_sender = ask_sender,
	.forget_question = forget_question };

/* ---- opening and closing ---------------------------------------------------------------------- */

static void on_log_line(void *ctx, const char *line)
{
	struct dialogue_house *house = ctx;
	buf_append_text(&house->log, line);
	buf_append_byte(&house->log, '\n');
}

static void on_unused(void *ctx)
{
	struct dialogue_house *house = ctx;
	house->is_unused = true;
}

void dialogue_house_open(struct dialogue_house *house)
{
	*house = (struct dialogue_house){ .listener = { .tls = SESSION_TLS_STARTTLS } };
	house->settings = (struct session_settings){ .hostname = mem_dup("mx.example"),
		.command_bytes = 2048,
		.line_bytes = 65536,
		.message_bytes = 50 << 20,
		.recipients = 1000,
		.envelopes_bytes = 256 << 20,
		.messages = 100,
		.errors_soft = 10,
		.errors_hard = 20,
		.hops = 100,
		.connections = 10000,
		.connections_per_client = 50,
		.command_ms = 300000,
		.data_ms = 180000,
		.tls_ms = 60000,
		.session_ms = 3600000,
		.data_rate_bytes = 100 };
	log_open("dialogue", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	log_capture(on_log_line, house);
	house->loop = tlsio_loop_new(NULL);
	list_init(&house->questions);
	tlsio_turn_init(&house->answer_turn, house->loop, on_answer_turn, house);
	house->spool = fake_spool_new(house->loop, NULL, NULL);
	house->service = session_service_new(house->loop, house->spool, &house->settings, &gate,
		house);
	session_service_set_settings(house->service, &house->settings, on_unused, house);
}

static uint64_t open_sessions(const struct dialogue_house *house)
{
	struct session_counters counters;
	session_service_counters(house->service, &counters);
	return counters.open_sessions;
}

/* With its clients gone only commits that the spool holds back may still have a session. */
static void close_service(struct dialogue_house *house)
{
	assert(open_sessions(house) == 0 || fake_spool_waiting(house->spool));
	fake_spool_release(house->spool);
	dialogue_house_pass(house, 10000);
	assert(open_sessions(house) == 0);
	assert(!house->is_unused);
	session_service_free(&house->service);
	assert(house->is_unused);
}

void dialogue_house_close(struct dialogue_house *house)
{
	for (size_t i = 0; i < house->client_count; i++) {
		tlsio_stream_abort(&house->clients[i].stream);
		buf_release(&house->clients[i].received);
	}
	dialogue_house_settle(house);
	if (house->service)
		close_service(house);
	assert(list_is_empty(&house->questions));
	tlsio_turn_cancel(&house->answer_turn);
	spool_close(&house->spool);
	dialogue_house_pass(house, 10000);
	dialogue_tls_free(&house->tls);
	tlsio_loop_free(&house->loop);
	session_settings_clear(&house->settings);
	log_capture(NULL, NULL);
	buf_release(&house->log);
}

void dialogue_house_use_tls(struct dialogue_house *house)
{
	if (!house->tls)
		house->tls = dialogue_tls_server();
}

/* ---- clients ---------------------------------------------------------------------------------- */

static void on_input(void *ctx)
{
	struct dialogue_client *c = ctx;
	struct str input = tlsio_stream_input(c->stream);
	buf_append_str(&c->received, input);
	tlsio_stream_consume(c->stream, input.length);
}

static void on_secured(void *ctx)
{
	struct dialogue_client *c = ctx;
	c->is_secured = true;
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct dialogue_client *c = ctx;
	(void)end;
	(void)why;
	c->is_over = true;
}

static const struct tlsio_stream_events events = { .on_input = on_input,
	.on_secured = on_secured,
	.on_end = on_end };

struct dialogue_client *dialogue_house_connect(struct dialogue_house *house, const char *address)
{
	struct tlsio_transport *ends[2];
	struct tlsio_stream_limits limits = { .input_bytes = 1 << 20, .output_bytes = 64 << 20 };
	struct netaddr local, remote;
	assert(house->client_count < DIALOGUE_CLIENTS);
	struct dialogue_client *c = &house->clients[house->client_count++];
	if (netaddr_parse(STR("192.0.2.25:25"), 25, &local, NULL) != 0 ||
		netaddr_parse(str_of(address), 40000, &remote, NULL) != 0)
		assert(!"a bad address");
	tlsio_transport_memory_pair(house->loop, WIRE_BYTES, ends);
	c->stream = tlsio_stream_new(house->loop, ends[0], &limits, &events, c);
	session_service_accept_transport(house->service, &house->listener, ends[1], &local, &remote);
	dialogue_house_settle(house);
	return c;
}

bool dialogue_house_secure(struct dialogue_house *house, struct dialogue_client *c)
{
	struct tlsio_client *wishes = dialogue_tls_client();
	int rc;
	if (house->listener.tls == SESSION_TLS_IMPLICIT) {
		rc = tlsio_upgrade_client_at_once(c->stream, wishes, NULL);
	} else {
		tlsio_upgrade_hold(c->stream);
		rc = tlsio_upgrade_client(c->stream, wishes, NULL);
	}
	dialogue_house_settle(house);
	tlsio_client_unref(&wishes);
	return rc == 0 && c->is_secured;
}

void dialogue_house_say(struct dialogue_house *house, struct dialogue_client *c, struct str bytes)
{
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
	dialogue_house_settle(house);
}

void dialogue_house_settle(struct dialogue_house *house)
{
	fake_loop_advance(house->loop, 0);
}

void dialogue_house_pass(struct dialogue_house *house, int64_t ms)
{
	fake_loop_advance(house->loop, ms);
}
