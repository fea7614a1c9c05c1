#include "smtpd/relay/relay_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_upgrade.h"
#include "smtpd/relay/relay_body.h"

/* Two of the longest reply lines: whole lines are always consumed. */
#define INPUT_BYTES (2 * SMTP_REPLY_LINE_BYTES)
#define OUTPUT_BYTES (64 * 1024)
#define GOODBYE_MS 5000

struct relay_connection {
	const struct relay_connection_events *events;
	void *ctx;
	void *job;
	const struct relay_settings *settings;
	struct relay_hop *hop;
	unsigned identity;
	bool stays_in_clear;
	struct tlsio_stream *stream;
	struct relay_machine *machine;
	struct tlsio_turn free_turn;
	struct list all_link;
	struct list link;
	struct list age_link;
	bool is_over; /* only the goodbye is left */
	bool is_silent;
	char *tls_fault, *counted_for; /* NULL: none */
	struct spool_reader *reader;
	struct relay_body body;
	bool body_is_ended;
	uint64_t body_bytes; /* read from the spool so far */
	uint64_t body_size_bytes;
};

/* ---- time ------------------------------------------------------------------------------------ */

static int64_t limit_ms(const struct relay_connection *c, enum relay_phase phase)
{
	const struct relay_settings *s = c->settings;
	switch (phase) {
	case RELAY_PHASE_STARTTLS:
	case RELAY_PHASE_UPGRADING:
		return s->tls_ms;
	case RELAY_PHASE_RSET:
	case RELAY_PHASE_MAIL:
	case RELAY_PHASE_RCPT:
		return s->command_ms;
	case RELAY_PHASE_DATA:
	case RELAY_PHASE_BDAT:
	case RELAY_PHASE_EMPTY:
		return s->data_ms;
	case RELAY_PHASE_BODY:
		return s->block_ms;
	case RELAY_PHASE_FINAL:
		return s->final_ms;
	case RELAY_PHASE_READY:
		return s->idle_ms;
	default:
		return s->greeting_ms;
	}
}

static void limit_wait(struct relay_connection *c)
{
	if (!c->is_over)
		tlsio_stream_limit_time(c->stream,
			limit_ms(c, relay_machine_waiting_for(c->machine)));
}

static void on_timeout(void *ctx)
{
	struct relay_connection *c = ctx;
	char why[120];
	if (c->is_over) {
		tlsio_turn_request(&c->free_turn);
		return;
	}
	enum relay_phase phase = relay_machine_waiting_for(c->machine);
	int seconds = (int)(limit_ms(c, phase) / 1000);
	if (phase == RELAY_PHASE_READY) {
		relay_machine_quit(c->machine);
		return;
	}
	if (phase == RELAY_PHASE_UPGRADING) {
		snprintf(why, sizeof(why), "the handshake did not finish within %d s", seconds);
		c->is_silent = true;
		c->tls_fault = mem_dup(why);
		relay_machine_tls_failed(c->machine, why);
		return;
	}
	if (phase == RELAY_PHASE_BODY)
		snprintf(why, sizeof(why), "it took nothing of the message for %d s", seconds);
	else if (phase == RELAY_PHASE_GREETING)
		snprintf(why, sizeof(why), "no greeting within %d s", seconds);
	else if (phase == RELAY_PHASE_FINAL)
		snprintf(why, sizeof(why), "no answer to the message within %d s; it may have been "
			"taken", seconds);
	else
		snprintf(why, sizeof(why), "no answer to %s within %d s", relay_phase_name(phase),
			seconds);
	relay_machine_lost(c->machine, why);
}

/* ---- the body -------------------------------------------------------------------------------- */

/* More of the message into c->body. False: the transaction is given up. */
static bool read_piece(struct relay_connection *c)
{
	struct str piece;
	struct err err = { 0 };
	if (spool_reader_next(c->reader, &piece, &err) < 0) {
		relay_machine_body_failed(c->machine, err.text);
		return false;
	}
	c->body_bytes += piece.length;
	if (piece.length > 0 && c->body_bytes <= c->body_size_bytes) {
		relay_body_give(&c->body, piece);
		return true;
	}
	if (c->body_bytes != c->body_size_bytes) { /* BDAT has announced the size */
		relay_machine_body_failed(c->machine, "the stored message has another size than "
			"its envelope says");
		return false;
	}
	relay_body_give_end(&c->body);
	c->body_is_ended = true;
	return true;
}

static void pump(struct relay_connection *c)
{
	while (!c->is_over && relay_machine_phase(c->machine) == RELAY_PHASE_BODY) {
		size_t room = tlsio_stream_room(c->stream);
		struct str span;
		if (room == 0)
			return; /* on_room comes */
		if (relay_body_next(&c->body, room, &span))
			tlsio_stream_write(c->stream, span.at, span.length);
		else if (c->body_is_ended)
			relay_machine_body_sent(c->machine);
		else if (!read_piece(c))
			return;
	}
}

static void on_room(void *ctx)
{
	struct relay_connection *c = ctx;
	if (c->is_over)
		return;
	pump(c);
	limit_wait(c);
}

/* ---- what the machine wants ------------------------------------------------------------------ */

static void act_say(void *ctx, struct str bytes)
{
	struct relay_connection *c = ctx;
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
}

/* The four steps of tlsio_upgrade; our last plaintext, STARTTLS, is long sent. */
static void act_start_tls(void *ctx)
{
	struct relay_connection *c = ctx;
	struct err err = { 0 };
	char why[300];
	size_t left = tlsio_upgrade_hold(c->stream);
	struct tlsio_client *client = c->events->tls_client(c->ctx, c, &err);
	(void)left; /* upgrade_client refuses leftovers and names their count */
	if (!client || tlsio_upgrade_client(c->stream, client, &err) < 0) {
		snprintf(why, sizeof(why), "TLS cannot begin: %s", err.text);
		relay_machine_lost(c->machine, why);
	}
	if (client)
		tlsio_client_unref(&client);
}

static void act_ready(void *ctx)
{
	struct relay_connection *c = ctx;
	c->events->on_ready(c->ctx, c);
}

static void act_body_wanted(void *ctx, bool doubles_dots)
{
	struct relay_connection *c = ctx;
	relay_body_begin(&c->body, doubles_dots);
	c->body_is_ended = false;
	c->body_bytes = 0;
	pump(c);
}

static void act_transaction_over(void *ctx)
{
	struct relay_connection *c = ctx;
	relay_body_clear(&c->body);
	c->reader = NULL;
	c->events->on_transaction_over(c->ctx, c);
}

static void act_over(void *ctx, const struct relay_machine_end *end)
{
	struct relay_connection *c = ctx;
	c->is_over = true;
	c->reader = NULL;
	relay_body_clear(&c->body);
	if (end->is_quitting)
		tlsio_stream_limit_time(c->stream, GOODBYE_MS);
	else
		tlsio_turn_request(&c->free_turn);
	c->events->on_over(c->ctx, c, end);
}

static const struct relay_machine_actions actions = {
	.say = act_say,
	.start_tls = act_start_tls,
	.ready = act_ready,
	.body_wanted = act_body_wanted,
	.transaction_over = act_transaction_over,
	.over = act_over,
};

/* ---- what the stream tells ------------------------------------------------------------------- */

static void hear(struct relay_connection *c)
{
	for (;;) {
		size_t used = relay_machine_read(c->machine, tlsio_stream_input(c->stream));
		tlsio_stream_consume(c->stream, used);
		if (!relay_machine_act(c->machine))
			return;
		limit_wait(c);
	}
}

static void on_input(void *ctx)
{
	struct relay_connection *c = ctx;
	if (c->is_over) /* the answer to QUIT, most likely */
		tlsio_turn_request(&c->free_turn);
	else
		hear(c);
}

static void on_secured(void *ctx)
{
	struct relay_connection *c = ctx;
	if (c->is_over)
		return;
	relay_machine_secured(c->machine, tlsio_stream_peer(c->stream));
	limit_wait(c);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct relay_connection *c = ctx;
	char text[320];
	if (!c->is_over)
		hear(c);
	if (c->is_over) {
		tlsio_turn_request(&c->free_turn);
		return;
	}
	const char *words = why && why->text[0] ? why->text : NULL;
	if (relay_machine_phase(c->machine) == RELAY_PHASE_UPGRADING) {
		snprintf(text, sizeof(text), "%s", words ? words :
			"the connection was closed in the handshake");
		c->tls_fault = mem_dup(text);
		relay_machine_tls_failed(c->machine, text);
		return;
	}
	snprintf(text, sizeof(text), "the connection was %s while we waited for %s%s%s%s",
		end == TLSIO_END_RESET ? "reset" : end == TLSIO_END_TRUNCATED ? "cut off" :
		end == TLSIO_END_TLS ? "broken" : "closed",
		relay_machine_phase(c->machine) == RELAY_PHASE_BODY ? "it to take the message" :
		relay_phase_name(relay_machine_waiting_for(c->machine)), words ? " (" : "",
		words ? words : "", words ? ")" : "");
	relay_machine_lost(c->machine, text);
}

static const struct tlsio_stream_events stream_events = {
	.on_input = on_input,
	.on_room = on_room,
	.on_secured = on_secured,
	.on_timeout = on_timeout,
	.on_end = on_end,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void free_connection(struct relay_connection *c)
{
	tlsio_turn_cancel(&c->free_turn);
	list_remove(&c->all_link);
	list_remove(&c->link);
	list_remove(&c->age_link);
	relay_machine_free(&c->machine);
	relay_hop_unref(&c->hop);
	relay_body_clear(&c->body);
	free(c->tls_fault);
	free(c->counted_for);
	free(c);
}

static void on_free_turn(void *ctx)
{
	struct relay_connection *c = ctx;
	tlsio_stream_close(&c->stream);
	free_connection(c);
}

struct relay_connection *relay_connection_new(const struct relay_connection_setup *setup,
	struct tlsio_transport *transport, const struct relay_connection_events *events, void *ctx)
{
	const struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	struct relay_connection *c = mem_zero(sizeof(*c));
	const struct relay_hop *hop = setup->hop;
	c->events = events;
	c->ctx = ctx;
	c->settings = setup->settings;
	c->hop = relay_hop_ref(setup->hop);
	c->identity = setup->identity;
	c->stays_in_clear = setup->stays_in_clear;
	list_push_back(setup->all, &c->all_link);
	tlsio_turn_init(&c->free_turn, setup->loop, on_free_turn, c);
	c->stream = tlsio_stream_new(setup->loop, transport, &limits, &stream_events, c);
	tlsio_stream_set_addresses(c->stream, setup->local, &hop->address);
	const struct relay_machine_setup machine = {
		.hostname = setup->settings->hostname,
		.host = relay_hop_name(hop),
		.is_lmtp = hop->transport == RELAY_LMTP,
		.is_tls_first = hop->implicit_tls,
		.stays_in_clear = setup->stays_in_clear,
		.requirement = hop->requirement,
	};
	c->machine = relay_machine_new(&machine, &actions, c);
	return c;
}

void relay_connection_start(struct relay_connection *c)
{
	limit_wait(c);
	if (c->hop->implicit_tls) {
		struct err err = { 0 };
		struct tlsio_client *client = c->events->tls_client(c->ctx, c, &err);
		if (!client || tlsio_upgrade_client_at_once(c->stream, client, &err) < 0)
			relay_machine_lost(c->machine, err.text);
		if (client)
			tlsio_client_unref(&client);
	}
}

void relay_connection_set_settings(struct relay_connection *c,
	const struct relay_settings *settings)
{
	c->settings = settings;
}

void relay_connection_set_job(struct relay_connection *c, void *job)
{
	c->job = job;
}

void *relay_connection_job(const struct relay_connection *c)
{
	return c->job;
}

struct relay_hop *relay_connection_hop(const struct relay_connection *c)
{
	return c->hop;
}

unsigned relay_connection_identity(const struct relay_connection *c)
{
	return c->identity;
}

bool relay_connection_stays_in_clear(const struct relay_connection *c)
{
	return c->stays_in_clear;
}

void relay_connection_begin(struct relay_connection *c, struct relay_transaction *transaction,
	struct spool_reader *reader)
{
	c->reader = reader;
	c->body_size_bytes = transaction->envelope->size_bytes;
	relay_machine_begin(c->machine, transaction);
	limit_wait(c);
}

void relay_connection_rest(struct relay_connection *c)
{
	assert(relay_machine_phase(c->machine) == RELAY_PHASE_READY);
	limit_wait(c);
}

void relay_connection_quit(struct relay_connection *c)
{
	relay_machine_quit(c->machine);
}

void relay_connection_abort(struct relay_connection *c)
{
	tlsio_stream_abort(&c->stream);
	free_connection(c);
}

const struct tlsio_peer *relay_connection_peer(const struct relay_connection *c)
{
	return tlsio_stream_peer(c->stream);
}

const struct policy_judgement *relay_connection_judgement(const struct relay_connection *c)
{
	return relay_machine_judgement(c->machine);
}

const struct smtp_ehlo *relay_connection_ehlo(const struct relay_connection *c)
{
	return relay_machine_ehlo(c->machine);
}

const struct netaddr *relay_connection_remote(const struct relay_connection *c)
{
	return tlsio_stream_remote(c->stream);
}

const struct netaddr *relay_connection_local(const struct relay_connection *c)
{
	return tlsio_stream_local(c->stream);
}

const char *relay_connection_tls_fault(const struct relay_connection *c)
{
	const struct policy_judgement *j = relay_machine_judgement(c->machine);
	if (c->tls_fault || relay_connection_peer(c))
		return c->tls_fault;
	return j->reason == POLICY_REASON_VALIDATION_FAILURE ? "STARTTLS was refused" : NULL;
}

bool relay_connection_is_silent(const struct relay_connection *c)
{
	return c->is_silent;
}

bool relay_connection_count_for(struct relay_connection *c, const char *domain)
{
	if (c->counted_for && strcmp(c->counted_for, domain) == 0)
		return false;
	free(c->counted_for);
	c->counted_for = mem_dup(domain);
	return true;
}

unsigned relay_connection_transaction_count(const struct relay_connection *c)
{
	return relay_machine_transaction_count(c->machine);
}

uint64_t relay_connection_mended_count(const struct relay_connection *c)
{
	return c->body.mended_count;
}

struct relay_connection *relay_connection_of_all(struct list *node)
{
	return LIST_OWNER(node, struct relay_connection, all_link);
}

struct list *relay_connection_link(struct relay_connection *c)
{
	return &c->link;
}

struct relay_connection *relay_connection_of_link(struct list *node)
{
	return LIST_OWNER(node, struct relay_connection, link);
}

struct list *relay_connection_age_link(struct relay_connection *c)
{
	return &c->age_link;
}

struct relay_connection *relay_connection_of_age_link(struct list *node)
{
	return LIST_OWNER(node, struct relay_connection, age_link);
}
