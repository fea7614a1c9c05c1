#include "smtpd/session/session_client.h"

#include <stdlib.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_upgrade.h"
#include "smtpd/session/session_log.h"
#include "smtpd/session/session_question.h"
#include "smtpd/session/session_reply.h"
#include "smtpd/session/session_store.h"

#define INPUT_BYTES 65536  /* large spans of content; the buffer exists only while it holds some */
#define OUTPUT_BYTES 16384 /* replies; a client that reads none is not served further */
#define DELAY_MS 1000
#define RATE_WINDOW_MS 60000
/* Granted to every message, however much memory others take. */
#define RECIPIENTS_ALWAYS 10

/* ---- the end ---------------------------------------------------------------------------------- */

static void count_envelope(struct session_client *c)
{
	size_t bytes = session_transaction_bytes(c->machine.transaction);
	c->service->envelope_bytes += bytes - c->envelope_bytes;
	c->envelope_bytes = bytes;
}

static void finish(struct session_client *c, const struct err *why, bool is_abort)
{
	struct session_service *service = c->service;
	struct session_snapshot *snapshot = c->snapshot;
	struct netaddr remote = c->remote;
	service->counters.messages += c->machine.accepted;
	service->counters.refused_messages += c->machine.refused;
	session_log_end(c, why);
	session_machine_clear(&c->machine);
	count_envelope(c);
	if (is_abort)
		tlsio_stream_abort(&c->stream);
	else
		tlsio_stream_close(&c->stream);
	list_remove(&c->link);
	free(c);
	session_service_leave(service, snapshot, &remote);
}

/* Ends the machine, whatever its phase. The spool may still be about to answer. */
static void end_machine(struct session_client *c, const char *reason)
{
	if (c->machine.phase == SESSION_PHASE_COMMITTING)
		spool_forget_caller(c->service->spool, c);
	if (c->machine.phase != SESSION_PHASE_ENDED)
		session_machine_end(&c->machine, reason);
}

void session_client_abort(struct session_client *c)
{
	end_machine(c, "aborted");
	finish(c, NULL, true);
}

/* ---- what the machine asks for ---------------------------------------------------------------- */

static void reply(void *ctx, const char *bytes, size_t length)
{
	struct session_client *c = ctx;
	tlsio_stream_write(c->stream, bytes, length);
}

struct session_facts session_client_facts(const struct session_client *c)
{
	return (struct session_facts){ .client = &c->remote,
		.peer = tlsio_stream_peer(c->stream),
		.hello = str_of(c->machine.hello),
		.listener = c->listener->ctx };
}

static bool may_send(void *ctx, struct str sender_domain, struct session_refusal *ret)
{
	struct session_client *c = ctx;
	struct session_facts facts = session_client_facts(c);
	return c->service->gate->may_send(c->service->gate_ctx, &facts, sender_domain, ret);
}

/* Sessions times recipients is more than a machine has: a few recipients for everybody, more while
 * there is room. */
static bool has_room(const struct session_client *c)
{
	return c->machine.transaction->recipient_count < RECIPIENTS_ALWAYS ||
		c->service->envelope_bytes < c->machine.settings->envelopes_bytes;
}

static bool may_receive(void *ctx, struct str recipient, struct str domain,
	struct session_refusal *ret)
{
	struct session_client *c = ctx;
	if (!has_room(c))
		return session_reply_refuse(ret, 452, "4.5.3",
			"no more recipients in one message now");
	struct session_facts facts = session_client_facts(c);
	return c->service->gate->may_receive(c->service->gate_ctx, &facts, recipient, domain, ret);
}

static struct tlsio_server *tls_of(const struct session_client *c)
{
	return c->service->gate->tls_for(c->service->gate_ctx, c->listener->ctx, &c->remote);
}

static bool has_tls(void *ctx)
{
	return tls_of(ctx) != NULL;
}

static void note_refusal(void *ctx, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal)
{
	session_log_refusal(ctx, verb, argument, refusal);
}

static const struct session_actions actions = { .reply = reply,
	.may_send = may_send,
	.ask_sender = session_question_ask,
	.forget_question = session_question_forget,
	.may_receive = may_receive,
	.has_tls = has_tls,
	.store_begin = session_store_begin,
	.store_write = session_store_write,
	.store_commit = session_store_commit,
	.store_abandon = session_store_abandon,
	.note_refusal = note_refusal };

/* ---- time ------------------------------------------------------------------------------------- */

static int64_t now_ms(const struct session_client *c)
{
	return tlsio_loop_now_ms(c->service->loop);
}

static bool is_content(const struct session_client *c)
{
	return c->machine.phase == SESSION_PHASE_DATA || c->machine.phase == SESSION_PHASE_CHUNK;
}

/* At least 1: a limit of 0 would be none. */
static int64_t session_left_ms(const struct session_client *c)
{
	int64_t left = c->began_ms + c->machine.settings->session_ms - now_ms(c);
	return left < 1 ? 1 : left;
}

static bool is_session_over(const struct session_client *c)
{
	return now_ms(c) - c->began_ms >= c->machine.settings->session_ms;
}

/* A new wait begins: how long may it last? */
static void limit_time(struct session_client *c)
{
	const struct session_settings *settings = c->machine.settings;
	int64_t limit = settings->command_ms;
	switch ((enum session_phase)c->machine.phase) {
	case SESSION_PHASE_HANDSHAKE:
	case SESSION_PHASE_UPGRADING:
		limit = settings->tls_ms;
		break;
	case SESSION_PHASE_DATA:
	case SESSION_PHASE_CHUNK:
		limit = settings->data_ms;
		break;
	case SESSION_PHASE_DELAYED:
		limit = DELAY_MS;
		break;
	case SESSION_PHASE_ASKING: /* a question has its own limit */
	case SESSION_PHASE_COMMITTING: /* the spool always answers */
		limit = 0;
		break;
	case SESSION_PHASE_GREETED:
	case SESSION_PHASE_READY:
		if (limit > session_left_ms(c))
			limit = session_left_ms(c);
		break;
	default:
		break;
	}
	tlsio_stream_limit_time(c->stream, limit);
}

/* Content that trickles is given up after a minute of it. */
static void watch_rate(struct session_client *c, size_t used)
{
	if (!is_content(c)) {
		c->rate_began_ms = -1;
		return;
	}
	if (c->rate_began_ms < 0) {
		c->rate_began_ms = now_ms(c);
		c->rate_bytes = 0;
	}
	c->rate_bytes += used;
	int64_t passed_ms = now_ms(c) - c->rate_began_ms;
	if (passed_ms < RATE_WINDOW_MS)
		return;
	uint64_t wanted = c->machine.settings->data_rate_bytes * (uint64_t)passed_ms / 1000;
	c->rate_began_ms = -1;
	if (c->rate_bytes < wanted)
		session_machine_fail(&c->machine, "4.4.2", "the message comes too slowly, closing",
			"too-slow");
}

/* ---- moving bytes ----------------------------------------------------------------------------- */

static void start_upgrade(struct session_client *c)
{
	struct err why;
	struct tlsio_server *tls = tls_of(c);
	size_t leftover_bytes = tlsio_upgrade_hold(c->stream);
	if (leftover_bytes)
		session_log_leftover(c, leftover_bytes);
	session_machine_upgrade(&c->machine, leftover_bytes);
	if (c->machine.phase != SESSION_PHASE_UPGRADING)
		return;
	if (!tls || tlsio_upgrade_server(c->stream, tls, &why) != 0)
		session_machine_end(&c->machine, "tls-refused");
}

/* Takes what there is. True when anything moved. */
static bool take_input(struct session_client *c)
{
	bool has_moved = false;
	while (c->machine.phase != SESSION_PHASE_ENDED && tlsio_stream_room(c->stream)) {
		size_t used = session_machine_input(&c->machine, tlsio_stream_input(c->stream));
		if (used)
			tlsio_stream_consume(c->stream, used);
		c->input_bytes += used;
		count_envelope(c);
		watch_rate(c, used);
		if (c->machine.phase == SESSION_PHASE_UPGRADING && used)
			start_upgrade(c);
		if (!used)
			break;
		has_moved = true;
	}
	return has_moved;
}

/* A running transaction may finish, but not take longer than a whole session might: chunks and
 * recipients can be dripped for ever. */
static void watch_session(struct session_client *c)
{
	static const char words[] = "this session lasted long enough, come again";
	int64_t limit_ms = c->machine.settings->session_ms;
	int64_t passed_ms = now_ms(c) - c->began_ms;
	if (passed_ms < limit_ms || c->machine.phase == SESSION_PHASE_ENDED ||
		c->machine.phase == SESSION_PHASE_COMMITTING)
		return;
	if (passed_ms >= 2 * limit_ms)
		session_machine_fail(&c->machine, "4.3.2", words, "session-limit");
	else if (!c->machine.farewell)
		session_machine_finish(&c->machine, words, "session-limit");
}

/* Somebody in the house will answer, whether or not the peer is still there. */
static bool is_house_at_work(const struct session_client *c)
{
	return c->machine.phase == SESSION_PHASE_ASKING ||
		c->machine.phase == SESSION_PHASE_COMMITTING;
}

/* Everything that can change comes through here. May free the client. */
static void advance(struct session_client *c)
{
	watch_session(c);
	uint8_t before = c->machine.phase;
	bool has_moved = take_input(c);
	/* a peer that sends no more is served to the end of what it sent; its stream has no more
	 * events, so nothing else than an answer of the house may be waited for */
	if (c->is_input_over && !is_house_at_work(c))
		end_machine(c, "client-closed");
	if (c->machine.phase == SESSION_PHASE_ENDED)
		finish(c, NULL, false);
	else if (has_moved || c->machine.phase != before)
		limit_time(c);
}

/* The house answered. */
static void go_on(struct session_client *c)
{
	count_envelope(c);
	if (c->machine.phase != SESSION_PHASE_ENDED)
		limit_time(c);
	advance(c);
}

void session_client_answered(struct session_client *c, const struct session_refusal *refusal)
{
	session_machine_answered(&c->machine, refusal);
	go_on(c);
}

void session_client_stored(struct session_client *c, uint64_t id, const struct err *why)
{
	session_machine_stored(&c->machine, id, why);
	go_on(c);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void on_input(void *ctx)
{
	advance(ctx);
}

static void on_secured(void *ctx)
{
	struct session_client *c = ctx;
	const struct tlsio_peer *peer = tlsio_stream_peer(c->stream);
	c->service->counters.tls_sessions++;
	c->service->counters.tls_resumed += peer->is_resumed;
	session_machine_secured(&c->machine);
	if (c->machine.phase != SESSION_PHASE_ENDED)
		limit_time(c);
	advance(c);
}

static void on_timeout(void *ctx)
{
	struct session_client *c = ctx;
	switch ((enum session_phase)c->machine.phase) {
	case SESSION_PHASE_DELAYED:
		session_machine_resume(&c->machine);
		limit_time(c);
		break;
	case SESSION_PHASE_HANDSHAKE:
	case SESSION_PHASE_UPGRADING:
		c->service->counters.tls_failed++;
		end_machine(c, "tls-timeout");
		finish(c, NULL, true);
		return;
	case SESSION_PHASE_GREETED:
	case SESSION_PHASE_READY:
		if (is_session_over(c))
			break;
		/* fall through */
	default:
		session_machine_fail(&c->machine, "4.4.2",
			is_content(c) ? "timeout while waiting for the message, closing"
				      : "timeout while waiting for a command, closing",
			"timeout");
		break;
	}
	advance(c);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct session_client *c = ctx;
	c->is_input_over = true;
	if (c->machine.phase == SESSION_PHASE_HANDSHAKE ||
		c->machine.phase == SESSION_PHASE_UPGRADING)
		c->service->counters.tls_failed++;
	else if (end == TLSIO_END_CLOSED) {
		advance(c);
		return;
	}
	end_machine(c, end == TLSIO_END_CLOSED ? "client-closed" : tlsio_end_name(end));
	finish(c, why, false); /* no abort: an alert of ours may still have to arrive */
}

static const struct tlsio_stream_events events = { .on_input = on_input,
	.on_room = on_input,
	.on_secured = on_secured,
	.on_timeout = on_timeout,
	.on_end = on_end };

/* ---- the beginning ---------------------------------------------------------------------------- */

void session_client_start(struct session_service *service, struct session_snapshot *snapshot,
	const struct session_listener *listener, struct tlsio_transport *transport,
	const struct netaddr *local, const struct netaddr *remote)
{
	struct session_client *c = mem_zero(sizeof(*c));
	struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	if (limits.input_bytes < snapshot->settings->command_bytes)
		limits.input_bytes = snapshot->settings->command_bytes;
	c->service = service;
	c->snapshot = snapshot;
	c->listener = listener;
	c->remote = *remote;
	c->began_ms = tlsio_loop_now_ms(service->loop);
	c->rate_began_ms = -1;
	list_push_back(&service->clients, &c->link);
	c->stream = tlsio_stream_new(service->loop, transport, &limits, &events, c);
	tlsio_stream_set_addresses(c->stream, local, remote);
	session_machine_init(&c->machine, snapshot->settings, listener, &actions, c);
	session_machine_start(&c->machine);
	if (listener->tls == SESSION_TLS_IMPLICIT) {
		struct err why;
		struct tlsio_server *tls = tls_of(c);
		if (!tls || tlsio_upgrade_server_at_once(c->stream, tls, &why) != 0) {
			service->counters.tls_failed++;
			end_machine(c, "tls-refused");
			finish(c, NULL, true);
			return;
		}
	}
	limit_time(c);
}

void session_client_drain(struct session_client *c)
{
	if (c->machine.phase != SESSION_PHASE_ENDED)
		session_machine_finish(&c->machine, "shutting down, come again", "shutdown");
	if (c->machine.phase == SESSION_PHASE_ENDED)
		finish(c, NULL, false);
}
