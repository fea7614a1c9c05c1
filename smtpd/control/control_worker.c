#include "smtpd/control/control_worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/control/control_queue.h"
#include "smtpd/control/control_server.h"
#include "smtpd/control/control_spool.h"
#include "smtpd/relay/relay_routes.h"
#include "smtpd/sched/sched.h"
#include "smtpd/session/session.h"
#include "smtpd/spool/spool.h"

struct control_worker {
	struct tlsio_loop *loop;
	struct control_rooms rooms;
	struct control_server *server;
	int64_t started_s;
};

/* ---- status ------------------------------------------------------------------------------------- */

static void put_sessions(struct buf *out, const struct control_rooms *rooms)
{
	struct session_counters c;
	session_service_counters(rooms->sessions(rooms->ctx), &c);
	control_put_number(out, "sessions", (int64_t)c.open_sessions);
	control_put_number(out, "connections", (int64_t)c.connections);
	control_put_number(out, "refused_connections", (int64_t)c.refused_connections);
	control_put_number(out, "received", (int64_t)c.messages);
	control_put_number(out, "refused", (int64_t)c.refused_messages);
	control_put_number(out, "tls_sessions", (int64_t)c.tls_sessions);
	control_put_number(out, "tls_resumed", (int64_t)c.tls_resumed);
	control_put_number(out, "tls_failed", (int64_t)c.tls_failed);
}

static void put_queue(struct buf *out, const struct control_rooms *rooms)
{
	struct spool_summary all = { .is_accepting = true }, one;
	size_t running = 0, waiting = 0, shards = 0;
	for (; control_rooms_spool(rooms, shards); shards++) {
		spool_summarise(control_rooms_spool(rooms, shards), &one);
		all.messages += one.messages;
		all.message_bytes += one.message_bytes;
		all.segments += one.segments;
		all.segment_bytes += one.segment_bytes;
		all.commits += one.commits;
		all.syncs += one.syncs;
		all.is_accepting &= one.is_accepting;
		running += sched_running_count(control_rooms_sched(rooms, shards));
		waiting += sched_waiting_count(control_rooms_sched(rooms, shards));
	}
	control_put_number(out, "shards", (int64_t)shards);
	control_put_number(out, "messages", (int64_t)all.messages);
	control_put_number(out, "message_bytes", (int64_t)all.message_bytes);
	control_put_number(out, "segments", (int64_t)all.segments);
	control_put_number(out, "segment_bytes", (int64_t)all.segment_bytes);
	control_put_number(out, "commits", (int64_t)all.commits);
	control_put_number(out, "syncs", (int64_t)all.syncs);
	control_put_number(out, "accepting", all.is_accepting);
	control_put_number(out, "deliveries_running", (int64_t)running);
	control_put_number(out, "deliveries_waiting", (int64_t)waiting);
}

static void run_status(
	void *ctx, struct control_answer *answer, const struct control_request *request)
{
	(void)request;
	const struct control_worker *c = ctx;
	const struct config *config = c->rooms.config(c->rooms.ctx);
	struct buf *out = control_answer_out(answer);
	control_put_begin(out, "worker");
	control_put_number(out, "worker", c->rooms.number);
	control_put_number(out, "pid", getpid());
	control_put_number(out, "started", c->started_s);
	control_put_number(out, "uptime", tlsio_loop_time_s(c->loop) - c->started_s);
	control_put_text(out, "version", STR(PACKAGE_VERSION));
	control_put_text(out, "hostname", str_of(config->hostname));
	control_put_text(out, "config", str_of(config->path));
	control_put_number(out, "listeners", (int64_t)config->listener_count);
	put_sessions(out, &c->rooms);
	put_queue(out, &c->rooms);
	control_put_number(out, "certificates_expire", config->certificates_not_after_s);
	control_put_end(out);
	control_answer_ok(answer);
}

/* ---- queue, show, cat ----------------------------------------------------------------------------- */

static void run_queue(
	void *ctx, struct control_answer *answer, const struct control_request *request)
{
	(void)request;
	const struct control_worker *c = ctx;
	control_queue_list(answer, &c->rooms, tlsio_loop_time_s(c->loop));
}

/* The one this worker holds. NULL: answered with none found (another worker may have it), or with
 * the error. */
static struct spool_reader *find(const struct control_worker *c, struct control_answer *answer,
	const struct control_request *request, size_t *ret_shard)
{
	uint64_t id;
	struct err err = { .kind = ERR_INPUT };
	if (!spool_id_parse(request->words[1], &id)) {
		control_answer_error(answer,
			"'%.*s' is no message id: it has 16 hexadecimal digits, see `posternctl queue`",
			STR_ARGS(request->words[1]));
		return NULL;
	}
	for (size_t i = 0; control_rooms_spool(&c->rooms, i); i++) {
		struct spool_reader *reader = spool_read(control_rooms_spool(&c->rooms, i), id, &err);
		*ret_shard = i;
		if (reader)
			return reader;
		if (err.kind != ERR_INPUT)
			break;
	}
	if (err.kind == ERR_INPUT)
		control_answer_ok(answer);
	else
		control_answer_error(answer, "%s", err.text);
	return NULL;
}

static void run_show(
	void *ctx, struct control_answer *answer, const struct control_request *request)
{
	const struct control_worker *c = ctx;
	size_t shard;
	struct spool_reader *reader = find(c, answer, request, &shard);
	if (reader)
		control_queue_show(answer, &c->rooms, reader, tlsio_loop_time_s(c->loop));
}

static void run_cat(void *ctx, struct control_answer *answer, const struct control_request *request)
{
	const struct control_worker *c = ctx;
	size_t shard;
	struct spool_reader *reader = find(c, answer, request, &shard);
	if (reader)
		control_queue_cat(answer, reader);
}

/* ---- flush, remove ---------------------------------------------------------------------------------- */

static void answer_count(struct control_answer *answer, const char *name, size_t count)
{
	struct buf *out = control_answer_out(answer);
	control_put_begin(out, name);
	control_put_number(out, "count", (int64_t)count);
	control_put_end(out);
	control_answer_ok(answer);
}

static size_t flush_domain(const struct control_worker *c, struct str domain)
{
	const struct config *config = c->rooms.config(c->rooms.ctx);
	struct relay_destination *d = relay_routes_find(config->routes, config->rules, domain,
		tlsio_loop_time_s(c->loop));
	size_t count = 0;
	for (size_t i = 0; control_rooms_sched(&c->rooms, i); i++)
		count += sched_flush_destination(control_rooms_sched(&c->rooms, i), str_of(d->key));
	relay_destination_unref(&d);
	return count;
}

/* The keys are those of other lines, so that who looks for msg=ID finds this one, too. */
static void log_order(const char *event, const char *key, struct str what, size_t count)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, event);
	log_str(&l, key, what);
	log_number(&l, "count", (int64_t)count);
	log_text(&l, "by", "operator");
	log_end(&l);
}

static void run_flush(
	void *ctx, struct control_answer *answer, const struct control_request *request)
{
	const struct control_worker *c = ctx;
	struct str what = request->words[1];
	bool is_domain = str_equal(what, STR("domain"));
	bool is_all = str_equal(what, STR("all"));
	uint64_t id = 0;
	size_t count = 0;
	if (is_domain != (request->count == 3) ||
		(!is_domain && !is_all && !spool_id_parse(what, &id))) {
		control_answer_error(answer, "flush wants 'all', a message id, or 'domain' and a name");
		return;
	}
	if (is_domain) {
		what = request->words[2];
		count = flush_domain(c, what);
	}
	for (size_t i = 0; !is_domain && control_rooms_sched(&c->rooms, i); i++)
		count += is_all ? sched_flush_all(control_rooms_sched(&c->rooms, i))
				: sched_flush_message(control_rooms_sched(&c->rooms, i), id);
	if (count)
		log_order("flush", is_domain ? "domain" : is_all ? "what" : "msg", what, count);
	answer_count(answer, "flushed", count);
}

static void run_remove(
	void *ctx, struct control_answer *answer, const struct control_request *request)
{
	const struct control_worker *c = ctx;
	size_t shard, count = 0;
	struct spool_reader *reader = find(c, answer, request, &shard);
	if (!reader)
		return;
	const struct spool_envelope *e = spool_reader_envelope(reader);
	struct spool_outcome *outcomes = mem_array(e->recipient_count + 1, sizeof(*outcomes));
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (spool_recipient_is_open(e->recipients[i].state))
			outcomes[count++] = (struct spool_outcome){ .recipient = i,
				.state = SPOOL_RECIPIENT_REMOVED,
				.attempts = e->recipients[i].attempts,
				.reason = STR("removed by the operator") };
	uint64_t id = e->id;
	spool_reader_free(&reader);
	if (count)
		spool_settle(control_rooms_spool(&c->rooms, shard), id, outcomes, count);
	sched_remove(control_rooms_sched(&c->rooms, shard), id);
	free(outcomes);
	log_order("remove", "msg", request->words[1], count);
	answer_count(answer, "removed", count);
}

/* ---- snapshots --------------------------------------------------------------------------------------- */

static void run_pin(void *ctx, struct control_answer *answer, const struct control_request *request)
{
	(void)request;
	const struct control_worker *c = ctx;
	control_spool_pin(answer, &c->rooms);
}

/* ---- the words ----------------------------------------------------------------------------------------- */

static const struct control_command commands[] = {
	{ "status", 0, 0, run_status },
	{ "queue", 0, 0, run_queue },
	{ "show", 1, 1, run_show },
	{ "cat", 1, 1, run_cat },
	{ "flush", 1, 2, run_flush },
	{ "remove", 1, 1, run_remove },
	{ "pin", 0, 0, run_pin },
	{ NULL, 0, 0, NULL },
};

struct control_worker *control_worker_new(
	struct tlsio_loop *loop, int fd, const struct control_rooms *rooms)
{
	struct control_worker *c = mem_zero(sizeof(*c));
	c->loop = loop;
	c->rooms = *rooms;
	c->started_s = tlsio_loop_time_s(loop);
	c->server = control_server_new(loop, fd, commands, c);
	return c;
}

void control_worker_free(struct control_worker **control)
{
	struct control_worker *c = *control;
	if (!c)
		return;
	*control = NULL;
	control_server_free(&c->server);
	free(c);
}
