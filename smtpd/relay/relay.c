#include "smtpd/relay/relay.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_job.h"
#include "smtpd/relay/relay_outcome.h"
#include "smtpd/relay/relay_planned.h"
#include "smtpd/relay/relay_pool.h"
#include "smtpd/relay/relay_report.h"

#define LOOKUP_MS 30000
/* Idle connections of all hops together: what a flood of distinct domains may leave open. */
#define IDLE_MOST 500

struct relay {
	struct tlsio_loop *loop;
	struct spool *spool;
	const struct relay_settings *settings;
	const struct relay_planner *planner; /* may be NULL */
	const struct relay_events *events;
	void *ctx;
	struct relay_resolver *resolver;
	struct relay_pool *pool;
	struct relay_maildirs *maildirs;
	struct list connections; /* all, those that say goodbye included */
	struct list running;	 /* jobs */
	struct list ended;	 /* jobs whose outcome is told at the end of the turn */
	struct tlsio_turn ended_turn;
	size_t job_count;
	bool is_draining;
	bool forgets_plans; /* at the end of the turn: they were made by other rules */
};

static void advance(struct relay_job *job);

/* ---- the end of a job ------------------------------------------------------------------------ */

static void end_job(struct relay_job *job)
{
	struct relay *relay = job->relay;
	assert(relay_job_is_settled(job) && !job->connection);
	list_remove(&job->link);
	list_push_back(&relay->ended, &job->link);
	tlsio_turn_request(&relay->ended_turn);
}

static void fail_job(struct relay_job *job, const struct relay_outcome *outcome)
{
	relay_job_settle_all(job, outcome);
	end_job(job);
}

static void on_ended_turn(void *ctx)
{
	struct relay *relay = ctx;
	struct list *node;
	if (relay->forgets_plans && relay->planner->forget)
		relay->planner->forget(relay->planner->ctx);
	relay->forgets_plans = false;
	while ((node = list_first(&relay->ended)) != NULL) {
		struct relay_job *job = LIST_OWNER(node, struct relay_job, link);
		const struct relay_result result = {
			.outcomes = job->outcomes,
			.count = job->count,
			.destination_failed = job->destination_failed,
			.was_withdrawn = job->was_withdrawn,
			.was_unready = job->was_unready,
		};
		list_remove(node);
		relay->job_count--;
		relay_job_log(job, tlsio_loop_now_ms(relay->loop));
		relay->events->on_outcome(relay->ctx, job->job, &result);
		relay_job_free(&job);
	}
}

/* ---- a connection that is ready -------------------------------------------------------------- */

static size_t limit_of(long ours, uint64_t theirs)
{
	return theirs > 0 && theirs < (uint64_t)ours ? (size_t)theirs : (size_t)ours;
}

static bool is_worn_out(const struct relay *relay, const struct relay_connection *c)
{
	return relay_connection_transaction_count(c) >=
		limit_of(relay->settings->messages_per_connection,
			relay_connection_ehlo(c)->messages_most);
}

static void release(struct relay *relay, struct relay_connection *c)
{
	relay_connection_set_job(c, NULL);
	if (relay->is_draining || relay->settings->idle_ms == 0 || is_worn_out(relay, c) ||
		relay_connection_identity(c) != relay_pool_identity(relay->pool)) {
		relay_connection_quit(c);
		return;
	}
	relay_connection_rest(c);
	struct relay_connection *oldest = relay_pool_put(relay->pool, c);
	if (oldest)
		relay_connection_quit(oldest);
}

static bool is_current(const struct relay_job *job)
{
	const struct relay *relay = job->relay;
	return !relay->events->is_current || relay->events->is_current(relay->ctx, job->job);
}

static void put_off(struct relay_job *job)
{
	struct relay_connection *c = job->connection;
	struct relay_outcome outcome = { 0 };
	relay_outcome_set(&outcome, RELAY_DEFERRED, "4.3.5",
		"the route or rule of this destination was changed before the mail went");
	job->connection = NULL;
	job->was_unready = job->settled_count == 0;
	if (c)
		release(job->relay, c);
	fail_job(job, &outcome);
}

static void run_transaction(struct relay_job *job)
{
	struct relay_connection *c = job->connection;
	if (!is_current(job)) {
		put_off(job);
		return;
	}
	relay_job_next_transaction(job, limit_of(job->relay->settings->recipients_per_message,
		relay_connection_ehlo(c)->recipients_most));
	relay_connection_begin(c, &job->transaction, job->reader);
}

static void attach(struct relay_job *job, struct relay_connection *c)
{
	job->connection = c;
	relay_connection_set_job(c, job);
}

static void on_ready(void *ctx, struct relay_connection *c)
{
	struct relay_job *job = relay_connection_job(c);
	(void)ctx;
	relay_job_see(job, c);
	relay_report_session(job, c);
	run_transaction(job);
}

static void on_transaction_over(void *ctx, struct relay_connection *c)
{
	struct relay *relay = ctx;
	struct relay_job *job = relay_connection_job(c);
	char id[17];
	if (relay_connection_mended_count(c) > 0)
		log_say(LOG_LEVEL_ERROR, "stray-newlines", "message %s held %llu lone CR or LF; "
			"they were sent as blanks", spool_id_format(job->message, id),
			(unsigned long long)relay_connection_mended_count(c));
	relay_job_end_transaction(job);
	if (!relay_job_is_settled(job) && !is_worn_out(relay, c)) {
		run_transaction(job);
		return;
	}
	job->connection = NULL;
	release(relay, c);
	advance(job);
}

/* ---- a connection that is over --------------------------------------------------------------- */

/* Nobody is left to be tried: the job waits for another day. */
static void give_up(struct relay_job *job)
{
	struct relay_outcome outcome = { 0 };
	relay_causes_outcome(&job->causes, job->destination->domain, &outcome);
	job->destination_failed = true;
	fail_job(job, &outcome);
}

/* The current hop is of no use; a refusal by policy is its host's, whatever the address. */
static void try_next(struct relay_job *job, const struct relay_outcome *outcome, bool is_policy)
{
	relay_causes_note(&job->causes, relay_hop_name(job->hop), outcome, is_policy);
	job->stays_in_clear = false;
	if (is_policy)
		relay_candidates_next_host(&job->candidates);
	else
		relay_candidates_next(&job->candidates);
	if (!relay_candidates_current(&job->candidates)) {
		give_up(job);
		return;
	}
	job->facts = (struct relay_job_facts){ 0 }; /* they were that address's */
	advance(job);
}

static void on_over(void *ctx, struct relay_connection *c, const struct relay_machine_end *end)
{
	struct relay *relay = ctx;
	struct relay_job *job = relay_connection_job(c);
	if (end->kind == RELAY_END_REFUSED || end->kind == RELAY_END_IN_CLEAR)
		relay_pool_forget(relay->pool, relay_connection_hop(c));
	if (!job) {
		relay_pool_remove(relay->pool, c);
		return;
	}
	job->connection = NULL;
	switch (end->kind) {
	case RELAY_END_IN_CLEAR:
		relay_report_refused(job, c, end);
		relay_report_session(job, c);
		snprintf(job->facts.note, sizeof(job->facts.note), "%.299s", end->outcome.text);
		job->stays_in_clear = true;
		advance(job);
		return;
	case RELAY_END_REFUSED:
	case RELAY_END_UNUSABLE:
		relay_job_see(job, c);
		if (end->kind == RELAY_END_REFUSED) {
			relay_report_refused(job, c, end);
			relay_report_session(job, c);
		}
		try_next(job, &end->outcome, end->kind == RELAY_END_REFUSED);
		return;
	case RELAY_END_LOST:
	case RELAY_END_QUIT:
		break;
	}
	if (end->is_stale && !job->was_stale) {
		job->was_stale = true;
		job->facts = (struct relay_job_facts){ 0 };
		relay_job_end_transaction(job);
		advance(job);
		return;
	}
	/* RFC 5321 section 5.1: the next host; one that only ever greets must not hold mail up. */
	if (end->is_unsent && relay_candidates_has_next(&job->candidates)) {
		relay_job_end_transaction(job);
		try_next(job, &end->outcome, false);
		return;
	}
	fail_job(job, &end->outcome);
}

static struct tlsio_client *tls_client(void *ctx, struct relay_connection *c, struct err *err)
{
	struct relay *relay = ctx;
	return relay_pool_tls_client(relay->pool, relay_connection_hop(c),
		relay->settings->resume_tls, err);
}

static const struct relay_connection_events connection_events = {
	.tls_client = tls_client,
	.on_ready = on_ready,
	.on_transaction_over = on_transaction_over,
	.on_over = on_over,
};

/* ---- the way to a connection ----------------------------------------------------------------- */

static void on_connected(void *ctx, int fd, size_t index, const struct netaddr *local)
{
	struct relay_job *job = ctx;
	struct relay *relay = job->relay;
	static const struct netaddr unix_socket = { .family = NETADDR_UNIX };
	(void)index;
	job->dial = NULL;
	const struct relay_connection_setup setup = {
		.loop = relay->loop,
		.settings = relay->settings,
		.hop = job->hop,
		.local = local ? local : &unix_socket,
		.stays_in_clear = job->stays_in_clear,
		.identity = relay_pool_identity(relay->pool),
		.all = &relay->connections,
	};
	attach(job, relay_connection_new(&setup, tlsio_transport_socket(relay->loop, fd),
		&connection_events, relay));
	relay_connection_start(job->connection);
}

static void on_dial_failed(void *ctx, const struct err *err)
{
	struct relay_job *job = ctx;
	struct relay_outcome outcome = { 0 };
	job->dial = NULL;
	relay_outcome_set(&outcome, RELAY_DEFERRED, "4.4.1", "no connection to %s: %s",
		relay_hop_name(job->hop), err->text);
	try_next(job, &outcome, false);
}

static const struct tlsio_dial_events dial_events = {
	.on_connected = on_connected,
	.on_failed = on_dial_failed,
};

static void dial(struct relay_job *job)
{
	struct relay *relay = job->relay;
	const struct relay_hop *hop = job->hop;
	if (hop->host)
		job->dial = tlsio_dial_start(relay->loop, &hop->address, 1, NULL,
			relay->settings->connect_ms, &dial_events, job);
	else
		job->dial = tlsio_dial_start_unix(relay->loop, hop->path, &dial_events, job);
}

/* An idle connection to a candidate that is as good as the next one to be tried. */
static struct relay_connection *take_idle(struct relay_job *job)
{
	struct relay_candidates *candidates = &job->candidates;
	size_t count = job->was_stale || job->stays_in_clear ? 0 :
		relay_candidates_equal_count(candidates);
	for (size_t i = 0; i < count; i++) {
		struct relay_connection *c = relay_pool_take(job->relay->pool,
			relay_candidates_at(candidates, i)->key);
		if (!c)
			continue;
		relay_candidates_choose(candidates, i);
		return c;
	}
	return NULL;
}

/* What is to be done next for this job, whatever was before. */
static void advance(struct relay_job *job)
{
	if (relay_job_is_settled(job)) {
		end_job(job);
		return;
	}
	struct relay_connection *c = take_idle(job);
	relay_job_try(job, relay_candidates_current(&job->candidates));
	if (!c) {
		dial(job);
		return;
	}
	attach(job, c);
	relay_job_see(job, c);
	relay_report_session(job, c);
	run_transaction(job);
}

/* ---- the way to candidates: the route's own host, or a plan ---------------------------------- */

static void add_address(struct relay_job *job, const struct netaddr *address)
{
	relay_candidates_add(&job->candidates, relay_hop_of_route(job->destination, address), 0, 0);
}

static void on_answer(void *ctx, enum relay_lookup_result result, const struct netaddr *addresses,
	size_t count, const struct err *why)
{
	struct relay_job *job = ctx;
	struct relay_outcome outcome = { 0 };
	job->lookup = NULL;
	if (result != RELAY_LOOKUP_FOUND) {
		relay_outcome_set(&outcome, RELAY_DEFERRED,
			result == RELAY_LOOKUP_NO_SUCH_HOST ? "4.4.4" : "4.4.3", "%s", why->text);
		job->destination_failed = true;
		fail_job(job, &outcome);
		return;
	}
	size_t most = (size_t)job->relay->settings->addresses_most;
	for (size_t i = 0; i < count && i < most; i++)
		add_address(job, &addresses[i]);
	advance(job);
}

static const struct relay_lookup_events lookup_events = { .on_answer = on_answer };

static void look_up(struct relay_job *job)
{
	const struct relay_destination *d = job->destination;
	struct netaddr address;
	if (d->host && netaddr_parse(str_of(d->host), d->port, &address, NULL) < 0) {
		job->lookup = relay_resolver_ask(job->relay->resolver, d->host, LOOKUP_MS,
			&lookup_events, job);
		return;
	}
	add_address(job, d->host ? &address : NULL);
	advance(job);
}

static uint32_t random_bits(void)
{
	uint32_t bits = 0;
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0)
		bits = (uint32_t)rand();
	return bits;
}

static void on_plan(void *asker, struct policy_plan *plan)
{
	struct relay_job *job = asker;
	struct relay *relay = job->relay;
	struct relay_outcome outcome = { 0 };
	const struct relay_planned_by by = { .destination = job->destination,
		.hostname = relay->settings->hostname, .random = random_bits,
		.attempts_most = (size_t)relay->settings->addresses_most };
	job->asked = NULL;
	if (!is_current(job)) {
		put_off(job);
		return;
	}
	if (plan->state == POLICY_PLAN_READY)
		relay_report_skipped(job, plan);
	else if (plan->state == POLICY_PLAN_DEFER)
		relay_report_unknown(job, plan);
	if (relay_planned_read(plan, &by, &job->candidates, &job->causes, &outcome)) {
		advance(job);
		return;
	}
	bool is_foreign = relay_planned_is_foreign(job->destination, plan);
	relay->forgets_plans |= is_foreign;
	job->was_unready = is_foreign || plan->is_unanswered;
	job->destination_failed = outcome.kind == RELAY_DEFERRED && !job->was_unready;
	fail_job(job, &outcome);
}

static void put_off_unplanned(struct relay_job *job, const char *why)
{
	struct relay_outcome outcome = { 0 };
	relay_outcome_set(&outcome, RELAY_DEFERRED, "4.3.5", "%s", why);
	job->destination_failed = true;
	fail_job(job, &outcome);
}

static void ask_for_plan(struct relay_job *job)
{
	const struct relay_planner *planner = job->relay->planner;
	const struct policy_question question = relay_destination_question(job->destination);
	job->planner = planner;
	if (planner)
		job->asked = planner->ask(planner->ctx, &question, on_plan, job);
	else
		put_off_unplanned(job, "there is nobody to ask which hosts take this mail");
}

/* ---- maildirs: one recipient after the other ------------------------------------------------- */

static void deliver_next(struct relay_job *job);

static void settle_next(struct relay_job *job, const struct relay_outcome *outcome)
{
	struct relay_recipient *r = &job->recipients[job->settled_count++];
	r->state = RELAY_RECIPIENT_SETTLED;
	relay_outcome_copy(r->outcome, outcome);
}

static void on_delivered(void *ctx, const struct err *error, bool is_full)
{
	struct relay_job *job = ctx;
	struct relay_outcome outcome = { 0 };
	job->maildir = NULL;
	if (error)
		relay_outcome_set(&outcome, RELAY_DEFERRED, is_full ? "4.2.2" : "4.3.0", "%s",
			error->text);
	else
		relay_outcome_set(&outcome, RELAY_DELIVERED, "2.0.0", "kept in the maildir");
	settle_next(job, &outcome);
	deliver_next(job);
}

static void deliver_next(struct relay_job *job)
{
	struct relay *relay = job->relay;
	while (!relay_job_is_settled(job)) {
		struct str address = job->recipients[job->settled_count].who->address;
		char *path = relay_maildir_path(job->destination->path, address);
		if (path) {
			spool_reader_rewind(job->reader);
			job->maildir = relay_maildir_deliver(relay->maildirs, path, job->reader,
				address, relay->settings->hostname, on_delivered, job);
			free(path);
			return;
		}
		struct relay_outcome outcome = { 0 };
		relay_outcome_set(&outcome, RELAY_FAILED, "5.1.1",
			"no mailbox can have such a long name");
		settle_next(job, &outcome);
	}
	end_job(job);
}

/* ---- the outside ----------------------------------------------------------------------------- */

static void refuse(struct relay_job *job)
{
	struct relay_outcome outcome = { 0 };
	relay_outcome_refuse(&outcome, job->destination->text);
	fail_job(job, &outcome);
}

void relay_start(struct relay *relay, uint64_t message, struct relay_destination *destination,
	const uint32_t *recipients, size_t count, void *data)
{
	struct relay_job *job =
		relay_job_new(relay->spool, message, destination, recipients, count, data);
	job->relay = relay;
	job->started_ms = tlsio_loop_now_ms(relay->loop);
	list_push_back(&relay->running, &job->link);
	relay->job_count++;
	if (relay_job_is_settled(job))
		end_job(job);
	else if (destination->transport == RELAY_REFUSE)
		refuse(job);
	else if (destination->transport == RELAY_MAILDIR)
		deliver_next(job);
	else if (relay_destination_is_planned(destination))
		ask_for_plan(job);
	else
		look_up(job);
}

struct relay *relay_new(struct tlsio_loop *loop, struct spool *spool,
	const struct relay_settings *settings, struct tlsio_certstore *present,
	const struct relay_planner *planner, const struct relay_events *events, void *ctx)
{
	struct relay *relay = mem_zero(sizeof(*relay));
	relay->loop = loop;
	relay->spool = spool;
	relay->settings = settings;
	relay->planner = planner;
	relay->events = events;
	relay->ctx = ctx;
	relay->resolver = relay_resolver_new(loop, relay_resolver_system);
	relay->pool = relay_pool_new(present, IDLE_MOST);
	relay->maildirs = relay_maildirs_new(loop);
	list_init(&relay->connections);
	list_init(&relay->running);
	list_init(&relay->ended);
	tlsio_turn_init(&relay->ended_turn, loop, on_ended_turn, relay);
	return relay;
}

static void end_idle_connections(struct relay *relay)
{
	struct relay_connection *c;
	while ((c = relay_pool_take_any(relay->pool)) != NULL)
		relay_connection_quit(c);
}

void relay_set_settings(struct relay *relay, const struct relay_settings *settings,
	struct tlsio_certstore *present)
{
	unsigned identity = relay_pool_identity(relay->pool);
	relay->settings = settings;
	relay_pool_set_present(relay->pool, present);
	LIST_EACH (node, &relay->connections)
		relay_connection_set_settings(relay_connection_of_all(node), settings);
	if (identity != relay_pool_identity(relay->pool))
		end_idle_connections(relay);
}

/* Whoever is asked may be on his way out, too: nobody waits for his answer. */
void relay_drain(struct relay *relay)
{
	relay->is_draining = true;
	end_idle_connections(relay);
	LIST_EACH_SAFE (node, &relay->running) {
		struct relay_job *job = LIST_OWNER(node, struct relay_job, link);
		if (!job->asked)
			continue;
		relay_job_cancel_ask(job);
		job->was_withdrawn = true;
		put_off_unplanned(job, "the server stopped before it was known which hosts take "
			"this mail");
	}
}

size_t relay_running_count(const struct relay *relay)
{
	return relay->job_count;
}

static void drop_jobs(struct list *jobs)
{
	struct list *node;
	while ((node = list_first(jobs)) != NULL) {
		struct relay_job *job = LIST_OWNER(node, struct relay_job, link);
		relay_job_free(&job);
	}
}

void relay_free(struct relay **ref)
{
	struct relay *relay = *ref;
	struct list *node;
	if (!relay)
		return;
	*ref = NULL;
	tlsio_turn_cancel(&relay->ended_turn);
	while ((node = list_first(&relay->connections)) != NULL)
		relay_connection_abort(relay_connection_of_all(node));
	drop_jobs(&relay->running);
	drop_jobs(&relay->ended);
	relay_pool_free(&relay->pool);
	relay_maildirs_free(&relay->maildirs);
	relay_resolver_free(&relay->resolver);
	free(relay);
}
