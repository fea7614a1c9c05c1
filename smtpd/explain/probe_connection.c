#include "smtpd/explain/probe_connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_upgrade.h"
#include "policy/policy_names.h"
#include "smtpd/explain/probe_machine.h"

#define INPUT_BYTES (2 * SMTP_REPLY_LINE_BYTES) /* whole lines are always consumed */
#define OUTPUT_BYTES 4096

struct probe_connection {
	struct probe_connection_setup setup;
	struct probe_record *record;
	void (*on_over)(void *ctx);
	void *ctx;
	struct tlsio_stream *stream;
	struct probe_machine machine;
	struct tlsio_timer limit;
	struct tlsio_turn over_turn;
};

static int64_t since_ms(const struct probe_connection *c)
{
	return tlsio_loop_now_ms(c->setup.loop) - c->setup.begun_ms;
}

/* ---- judging --------------------------------------------------------------------------------- */

static void judge_no_starttls(struct probe_connection *c)
{
	struct probe_record *r = c->record;
	if (c->setup.requirement)
		policy_judge_no_starttls(c->setup.requirement, c->setup.host, &r->judgement);
	if (c->setup.testing)
		policy_judge_no_starttls(c->setup.testing, c->setup.host, &r->testing);
	r->is_judged = c->setup.requirement != NULL;
	r->has_testing = c->setup.testing != NULL;
}

static void judge_failed_tls(struct probe_connection *c, const char *why)
{
	struct probe_record *r = c->record;
	if (c->setup.requirement)
		policy_judge_failed_tls(c->setup.requirement, c->setup.host, why, &r->judgement);
	else
		snprintf(r->why, sizeof(r->why), "%s", why);
	if (c->setup.testing)
		policy_judge_failed_tls(c->setup.testing, c->setup.host, why, &r->testing);
	r->is_judged = c->setup.requirement != NULL;
	r->has_testing = c->setup.testing != NULL;
}

static void judge_peer(struct probe_connection *c, const struct tlsio_peer *peer)
{
	struct probe_record *r = c->record;
	probe_record_set_tls(r, peer, c->setup.requirement);
	if (c->setup.requirement)
		policy_judge_peer(c->setup.requirement, c->setup.host, peer, &r->judgement);
	if (c->setup.testing)
		policy_judge_peer(c->setup.testing, c->setup.host, peer, &r->testing);
	r->is_judged = c->setup.requirement != NULL;
	r->has_testing = c->setup.testing != NULL;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void on_trace(void *ctx, const struct tlsio_trace_event *event)
{
	struct probe_connection *c = ctx;
	if (event->kind == TLSIO_TRACE_HANDSHAKE && c->stream)
		probe_record_add_message(c->record, since_ms(c), event);
}

/* Asks as the relay does. */
static struct tlsio_client *make_client(struct probe_connection *c, struct err *err)
{
	const struct policy_requirement *r = c->setup.requirement;
	const struct policy_requirement *testing = c->setup.testing;
	const char **names = mem_array(policy_names_most(r, testing), sizeof(*names));
	struct tlsio_client_wishes wishes = {
		.minimum = r ? r->minimum : TLSIO_VERSION_NONE,
		.server_name = policy_names_server(r, c->setup.host),
		.names = names,
		.name_count = policy_names_reference(r, testing, c->setup.host, names),
		.trust = r && r->trust		  ? r->trust
			: testing && testing->trust ? testing->trust
						    : c->setup.roots,
		.trace = on_trace,
		.trace_ctx = c,
	};
	struct tlsio_client *client = tlsio_client_new(&wishes, err);
	free(names);
	return client;
}

static void tls_failed(struct probe_connection *c, const char *why)
{
	judge_failed_tls(c, why);
	probe_machine_tls_failed(&c->machine);
}

/* The four steps of tlsio_upgrade; our last plaintext, STARTTLS, is long sent. */
static void start_tls(struct probe_connection *c)
{
	struct err err = { 0 };
	char why[300];
	struct tlsio_client *client = make_client(c, &err);
	int result = -1;
	if (client && c->setup.is_tls_first)
		result = tlsio_upgrade_client_at_once(c->stream, client, &err);
	else if (client && tlsio_upgrade_hold(c->stream) != SIZE_MAX) /* it refuses leftovers itself */
		result = tlsio_upgrade_client(c->stream, client, &err);
	if (result < 0) {
		snprintf(why, sizeof(why), "TLS cannot begin: %s", err.text);
		probe_machine_lost(&c->machine, why);
	}
	if (client)
		tlsio_client_unref(&client);
}

/* ---- what the machine wants ------------------------------------------------------------------ */

static void act_say(void *ctx, const char *line)
{
	struct probe_connection *c = ctx;
	probe_record_add_line(c->record, PROBE_SAID, since_ms(c), str_of(line));
	tlsio_stream_write(c->stream, line, strlen(line));
	tlsio_stream_write(c->stream, "\r\n", 2);
}

static void act_heard(void *ctx, int code, struct str text)
{
	struct probe_connection *c = ctx;
	struct buf line = { 0 };
	buf_printf(&line, "%d ", code);
	buf_append_str(&line, text);
	probe_record_add_line(c->record, PROBE_HEARD, since_ms(c), buf_str(&line));
	buf_release(&line);
}

static void act_start_tls(void *ctx)
{
	start_tls(ctx);
}

static void act_no_starttls(void *ctx)
{
	judge_no_starttls(ctx);
}

static void act_tls_refused(void *ctx, const char *why)
{
	judge_failed_tls(ctx, why);
}

static void act_over(void *ctx, const char *why)
{
	struct probe_connection *c = ctx;
	if (why && !c->record->why[0])
		snprintf(c->record->why, sizeof(c->record->why), "%s", why);
	c->record->took_ms = since_ms(c);
	tlsio_timer_stop(&c->limit);
	tlsio_turn_request(&c->over_turn);
}

static const struct probe_machine_actions actions = {
	.say = act_say,
	.heard = act_heard,
	.start_tls = act_start_tls,
	.no_starttls = act_no_starttls,
	.tls_refused = act_tls_refused,
	.over = act_over,
};

/* ---- what the stream tells ------------------------------------------------------------------- */

static void hear(struct probe_connection *c)
{
	do {
		size_t used = probe_machine_read(&c->machine, tlsio_stream_input(c->stream));
		tlsio_stream_consume(c->stream, used);
	} while (probe_machine_act(&c->machine));
}

static void on_input(void *ctx)
{
	hear(ctx);
}

static void on_room(void *ctx)
{
	(void)ctx;
}

static void on_secured(void *ctx)
{
	struct probe_connection *c = ctx;
	if (c->machine.step != PROBE_HANDSHAKE)
		return;
	judge_peer(c, tlsio_stream_peer(c->stream));
	probe_machine_secured(&c->machine);
}

static void end_at(struct probe_connection *c, const char *what)
{
	char why[200];
	snprintf(why, sizeof(why), "%s %s", what, probe_step_name(c->machine.step));
	probe_machine_lost(&c->machine, why);
}

static void on_limit(void *ctx)
{
	struct probe_connection *c = ctx;
	char why[80];
	snprintf(why, sizeof(why), "the handshake did not finish within %lld s",
		(long long)(c->setup.limit_ms / 1000));
	if (c->machine.step == PROBE_HANDSHAKE)
		tls_failed(c, why);
	else
		end_at(c, "the time was up while we waited for");
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct probe_connection *c = ctx;
	hear(c);
	if (c->machine.step == PROBE_HANDSHAKE)
		tls_failed(c, why && why->text[0] ? why->text :
						    "the connection was closed in the handshake");
	else
		end_at(c, end == TLSIO_END_RESET ? "the connection was reset while we waited for" :
				end == TLSIO_END_TLS ? "the TLS session broke while we waited for" :
						       "the connection was closed while we waited for");
}

static const struct tlsio_stream_events stream_events = {
	.on_input = on_input,
	.on_room = on_room,
	.on_secured = on_secured,
	.on_timeout = on_room,
	.on_end = on_end,
};

/* ---- life ------------------------------------------------------------------------------------ */

static void on_over_turn(void *ctx)
{
	struct probe_connection *c = ctx;
	c->on_over(c->ctx);
}

struct probe_connection *probe_connection_new(const struct probe_connection_setup *setup,
	struct tlsio_transport *transport, struct probe_record *record, void (*on_over)(void *ctx),
	void *ctx)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	struct probe_connection *c = mem_zero(sizeof(*c));
	c->setup = *setup;
	c->record = record;
	c->on_over = on_over;
	c->ctx = ctx;
	record->is_connected = true;
	tlsio_turn_init(&c->over_turn, setup->loop, on_over_turn, c);
	tlsio_timer_init(&c->limit, setup->loop, on_limit, c);
	tlsio_timer_start(&c->limit, setup->limit_ms);
	c->stream = tlsio_stream_new(setup->loop, transport, &limits, &stream_events, c);
	probe_machine_begin(&c->machine, setup->hostname, setup->is_tls_first, &actions, c);
	if (setup->is_tls_first)
		start_tls(c);
	return c;
}

static void on_loop_free(void *ctx)
{
	free(ctx);
}

/* The stream still says goodbye and tells the trace of it: so the rest of us stays with the loop. */
void probe_connection_free(struct probe_connection **connection)
{
	struct probe_connection *c = *connection;
	*connection = NULL;
	if (!c)
		return;
	tlsio_timer_stop(&c->limit);
	tlsio_turn_cancel(&c->over_turn);
	tlsio_stream_close(&c->stream);
	probe_machine_clear(&c->machine);
	tlsio_turn_init(&c->over_turn, c->setup.loop, on_loop_free, c);
	tlsio_turn_request_at_free(&c->over_turn);
}
