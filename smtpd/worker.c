#include "smtpd/worker.h"

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "policy/policy_null_mx.h"
#include "smtpd/relay/relay_outcome.h"
#include "smtpd/session/session.h"
#include "smtpd/worker_planner.h"
#include "smtpd/worker_shard.h"

struct worker_listener {
	struct worker *worker;
	const struct config_listener *config;
	struct tlsio_listener *listener;
};

struct worker {
	struct tlsio_loop *loop;
	unsigned number;
	struct config *config;
	struct worker_planner *planner;
	struct worker_shard **shards;
	size_t shard_count;
	struct session_service *sessions;
	struct policy_null_mx *null_mx; /* once somebody asks */
	struct worker_listener *listeners;
	size_t listener_count;
	struct tlsio_timer drain_timer;
	bool is_draining;
	bool sessions_are_idle;
	void (*on_drained)(void *ctx);
	void *on_drained_ctx;
};

/* ---- the questions a session asks: policy and routes answer ------------------------------------- */

static const struct config *config_of(const void *listener)
{
	const struct config_listener *l = listener;
	return l->config;
}

/* False where the mail is refused; of a rule that only reports, a line in the log. */
static bool goes_on(const struct policy_inbound_refusal *refusal, const struct netaddr *client,
	struct session_refusal *ret)
{
	if (refusal->mode == POLICY_INBOUND_REPORT) {
		char text[NETADDR_TEXT_BYTES];
		struct log_line l;
		log_begin(&l, LOG_LEVEL_INFO, "inbound-report");
		log_text(&l, "client", netaddr_format(client, text));
		log_text(&l, "rule", refusal->source);
		log_text(&l, "reason", refusal->text);
		log_end(&l);
		return true;
	}
	ret->code = refusal->code;
	str_copy(str_of(refusal->enhanced), ret->enhanced, sizeof(ret->enhanced));
	str_copy(str_of(refusal->text), ret->text, sizeof(ret->text));
	return false;
}

static bool may_send(void *ctx, const struct session_facts *facts, struct str sender_domain,
	struct session_refusal *ret)
{
	(void)ctx;
	struct policy_inbound_facts shown;
	struct policy_inbound_refusal refusal;
	policy_inbound_facts_of_peer(facts->client, facts->peer, &shown);
	return policy_inbound_may_send(config_of(facts->listener)->inbound, &shown, sender_domain,
		       &refusal) ||
		goes_on(&refusal, facts->client, ret);
}

static void on_null_mx_answer(void *ctx, enum policy_null_mx_result result)
{
	static const struct session_refusal refusal = { .code = 550, .enhanced = "5.7.27",
		.text = "the sender's domain takes no mail (null MX), so none is taken from it" };
	session_question_answer(ctx, result == POLICY_NULL_MX_YES ? &refusal : NULL);
}

/* Those who may relay are ours: what their senders' domains say is no business of this server. */
static void *ask_sender(void *ctx, const struct session_facts *facts, struct str sender_domain,
	struct session_question *question)
{
	struct worker *w = ctx;
	if (policy_inbound_may_relay(config_of(facts->listener)->inbound, facts->client,
		    facts->peer))
		return NULL;
	if (!w->null_mx)
		w->null_mx = policy_null_mx_new(w->loop, policy_null_mx_system);
	return policy_null_mx_ask(w->null_mx, sender_domain, on_null_mx_answer, question);
}

static void forget_question(void *ctx, void *asked)
{
	struct policy_null_mx_question *question = asked;
	(void)ctx;
	policy_null_mx_cancel(&question);
}

/* What no route leads to is refused at once: taken and bounced it would hit whoever the sender's
 * address belongs to. */
static bool is_refused_by_route(const struct config *config, struct str domain, int64_t now_s,
	struct session_refusal *ret)
{
	struct relay_destination *d =
		relay_routes_find(config->routes, config->rules, domain, now_s);
	bool is_refused = d->transport == RELAY_REFUSE;
	if (is_refused) {
		struct relay_outcome outcome = { 0 };
		relay_outcome_refuse(&outcome, d->text);
		ret->code = outcome.kind == RELAY_FAILED ? 550 : 450;
		str_copy(str_of(outcome.enhanced), ret->enhanced, sizeof(ret->enhanced));
		snprintf(ret->text, sizeof(ret->text), "%.290s", outcome.text);
		for (char *c = ret->text; *c; c++)
			*c = (*c & 0x80) ? '?' : *c;
	}
	relay_destination_unref(&d);
	return is_refused;
}

static bool is_shown_enough(const struct config *config, const struct session_facts *facts,
	struct str recipient_domain, struct session_refusal *ret)
{
	struct policy_inbound_facts shown;
	struct policy_inbound_refusal refusal;
	policy_inbound_facts_of_peer(facts->client, facts->peer, &shown);
	return policy_inbound_may_receive(config->inbound, &shown, recipient_domain, &refusal) ||
		goes_on(&refusal, facts->client, ret);
}

static bool may_receive(void *ctx, const struct session_facts *facts, struct str recipient,
	struct str recipient_domain, struct session_refusal *ret)
{
	const struct worker *w = ctx;
	(void)recipient;
	const struct config *config = config_of(facts->listener);
	if (relay_routes_is_ours(config->routes, recipient_domain) ||
		policy_inbound_may_relay(config->inbound, facts->client, facts->peer))
		return is_shown_enough(config, facts, recipient_domain, ret) &&
			!is_refused_by_route(config, recipient_domain,
				tlsio_loop_time_s(w->loop), ret);
	ret->code = 550;
	str_copy(STR("5.7.1"), ret->enhanced, sizeof(ret->enhanced));
	snprintf(ret->text, sizeof(ret->text),
		"this server takes no mail for that domain, and you may not relay through it");
	return false;
}

static struct tlsio_server *tls_for(void *ctx, const void *listener, const struct netaddr *client)
{
	(void)ctx;
	const struct config_listener *l = listener;
	return policy_inbound_issues_tickets(l->config->inbound, client) ? l->tls
									  : l->tls_no_tickets;
}

static const struct session_gate gate = { .may_send = may_send,
	.may_receive = may_receive,
	.tls_for = tls_for,
	.ask_sender = ask_sender,
	.forget_question = forget_question };

/* ---- listeners ---------------------------------------------------------------------------------- */

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct worker_listener *l = ctx;
	session_service_accept(l->worker->sessions, &l->config->session, fd, local, remote);
}

static void on_listener_trouble(void *ctx, const struct err *err)
{
	const struct worker_listener *l = ctx;
	struct log_line line;
	log_begin(&line, LOG_LEVEL_ERROR, "accept-trouble");
	log_text(&line, "listen", l->config->text);
	log_text(&line, "reason", err->text);
	log_end(&line);
}

static const struct tlsio_listener_events listener_events = { .on_accept = on_accept,
	.on_trouble = on_listener_trouble };

static void close_listeners(struct worker *w)
{
	for (size_t i = 0; i < w->listener_count; i++)
		tlsio_listener_free(&w->listeners[i].listener);
	free(w->listeners);
	w->listeners = NULL;
	w->listener_count = 0;
}

static void open_listeners(struct worker *w, const int *fds)
{
	w->listener_count = w->config->listener_count;
	w->listeners = mem_array(w->listener_count, sizeof(*w->listeners));
	for (size_t i = 0; i < w->listener_count; i++) {
		struct worker_listener *l = &w->listeners[i];
		l->worker = w;
		l->config = &w->config->listeners[i];
		l->listener = tlsio_listener_new(w->loop, fds[i], &listener_events, l);
	}
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* The last session that began under this config ended. */
static void on_config_unused(void *ctx)
{
	struct config *config = ctx;
	config_unref(&config);
}

static void look_if_drained(struct worker *w, bool is_time_up)
{
	if (!w->is_draining)
		return;
	size_t running = 0;
	for (size_t i = 0; i < w->shard_count; i++)
		running += worker_shard_running_count(w->shards[i]);
	if (!is_time_up && (running || !w->sessions_are_idle))
		return;
	if (is_time_up)
		log_say(LOG_LEVEL_WARNING, "drain-cut",
			"%zu deliveries and some sessions were still running after %llds; "
			"unacknowledged mail stays with its sender, queued mail in the spool",
			running, (long long)w->config->shutdown_ms / 1000);
	tlsio_timer_stop(&w->drain_timer);
	w->is_draining = false;
	w->on_drained(w->on_drained_ctx);
}

static void on_shard_quiet(void *ctx)
{
	look_if_drained(ctx, false);
}

static void on_sessions_idle(void *ctx)
{
	struct worker *w = ctx;
	w->sessions_are_idle = true;
	look_if_drained(w, false);
}

static void on_drain_time(void *ctx)
{
	look_if_drained(ctx, true);
}

struct worker *worker_new(struct tlsio_loop *loop, unsigned number, const unsigned *shards,
	size_t shard_count, struct config *config, const int *listen_fds, struct err *err)
{
	struct worker *w = mem_zero(sizeof(*w));
	w->loop = loop;
	w->number = number;
	w->config = config_ref(config);
	w->planner = worker_planner_new(loop, number, config);
	w->shards = mem_array(shard_count, sizeof(struct worker_shard *));
	tlsio_timer_init(&w->drain_timer, loop, on_drain_time, w);
	for (size_t i = 0; i < shard_count; i++) {
		w->shards[i] = worker_shard_new(loop, shards[i], config,
			worker_planner_relay(w->planner), on_shard_quiet, w, err);
		if (!w->shards[i]) {
			worker_free(&w);
			return NULL;
		}
		w->shard_count++;
	}
	w->sessions = session_service_new(loop, worker_spool(w, 0), &config->session, &gate, w);
	session_service_set_settings(w->sessions, &config->session, on_config_unused,
		config_ref(config));
	open_listeners(w, listen_fds);
	return w;
}

void worker_reload(struct worker *w, struct config *config, const int *listen_fds)
{
	struct config *old = w->config;
	w->config = config_ref(config);
	worker_planner_reload(w->planner, config);
	for (size_t i = 0; i < w->shard_count; i++)
		worker_shard_reload(w->shards[i], config);
	session_service_set_settings(w->sessions, &config->session, on_config_unused,
		config_ref(config));
	close_listeners(w);
	open_listeners(w, listen_fds);
	config_unref(&old);
}

void worker_drain(struct worker *w, void (*on_done)(void *ctx), void *ctx)
{
	w->on_drained = on_done;
	w->on_drained_ctx = ctx;
	w->is_draining = true;
	close_listeners(w);
	for (size_t i = 0; i < w->shard_count; i++)
		worker_shard_drain(w->shards[i]);
	tlsio_timer_start(&w->drain_timer, w->config->shutdown_ms);
	session_service_drain(w->sessions, on_sessions_idle, w);
}

void worker_free(struct worker **worker)
{
	struct worker *w = *worker;
	if (!w)
		return;
	*worker = NULL;
	tlsio_timer_stop(&w->drain_timer);
	close_listeners(w);
	if (w->sessions)
		session_service_free(&w->sessions);
	policy_null_mx_free(&w->null_mx);
	for (size_t i = 0; i < w->shard_count; i++)
		worker_shard_free(&w->shards[i]);
	free(w->shards);
	worker_planner_free(&w->planner);
	config_unref(&w->config);
	free(w);
}

struct spool *worker_spool(const struct worker *w, size_t index)
{
	return index < w->shard_count ? worker_shard_spool(w->shards[index]) : NULL;
}

struct sched *worker_sched(const struct worker *w, size_t index)
{
	return index < w->shard_count ? worker_shard_sched(w->shards[index]) : NULL;
}

const struct config *worker_config(const struct worker *w)
{
	return w->config;
}

struct session_service *worker_sessions(const struct worker *w)
{
	return w->sessions;
}
