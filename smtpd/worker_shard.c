#include "smtpd/worker_shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uthash.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_outcome.h"
#include "smtpd/worker_deadlines.h"
#include "smtpd/worker_delivery.h"

#define UNTRIED "the next hop could not be reached in all this time"

enum { REROUTE_SLICE_MS = 2, REROUTE_PAUSE_MS = 10 };

/* The deliveries of one message that run now. */
struct running {
	uint64_t message;
	struct list deliveries;
	UT_hash_handle hh;
};

struct worker_shard {
	struct worker_rooms rooms;
	struct config *spool_config; /* the spool borrows its settings for life */
	unsigned number;
	struct sched *sched;
	struct relay *relay;
	struct worker_deadlines *deadlines;
	struct running *running;
	size_t running_count;
	struct list ended;
	struct tlsio_turn ended_turn;
	/* after a reload every message is asked where it goes now, a slice at a time */
	unsigned reloads;
	uint64_t rerouted; /* the last that was asked */
	struct tlsio_timer reroute_timer;
	void (*on_quiet)(void *ctx);
	void *ctx;
};

static struct str domain_of(struct str address)
{
	size_t at = str_find_last(address, '@');
	return at < address.length ? str_skip(address, at + 1) : STR("");
}

static struct relay_destination *destination_of(struct worker_shard *s, struct str address)
{
	const struct config *config = s->rooms.config;
	return relay_routes_find(config->routes, config->rules, domain_of(address),
		tlsio_loop_time_s(s->rooms.loop));
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Which recipients are in a running delivery; NULL: none. Gives. */
static bool *find_under_way(struct worker_shard *s, const struct spool_envelope *e)
{
	struct running *running;
	HASH_FIND(hh, s->running, &e->id, sizeof(e->id), running);
	if (!running)
		return NULL;
	bool *under_way = mem_zero(e->recipient_count);
	LIST_EACH (node, &running->deliveries) {
		const struct worker_delivery *d = LIST_OWNER(node, struct worker_delivery, link);
		for (size_t i = 0; i < d->count; i++)
			under_way[d->recipients[i]] = true;
	}
	return under_way;
}

/* ---- spool committed -> sched ------------------------------------------------------------------ */

/* One job per destination, due with its earliest recipient; sched keeps one per (message,
 * destination), and a running one comes again. Recipients under way are left alone: whatever ends
 * their delivery sees to them. */
static void schedule(struct worker_shard *s, const struct spool_envelope *e)
{
	struct relay_destination *last = NULL;
	int64_t last_due_s = 0;
	bool *under_way = find_under_way(s, e);
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct spool_recipient *r = &e->recipients[i];
		if (r->state != SPOOL_RECIPIENT_WAITING || (under_way && under_way[i]))
			continue;
		struct relay_destination *d = destination_of(s, r->address);
		if (d != last || r->due_s < last_due_s)
			sched_add(s->sched, e->id, str_of(d->key), r->due_s);
		relay_destination_unref(&last);
		last = d;
		last_due_s = r->due_s;
	}
	relay_destination_unref(&last);
	free(under_way);
}

/* By today's routes and rules, and today's state of its recipients. */
static void schedule_anew(struct worker_shard *s, uint64_t message)
{
	struct spool_reader *reader = spool_read(s->rooms.spool, message, NULL);
	if (reader)
		schedule(s, spool_reader_envelope(reader));
	spool_reader_free(&reader);
}

/* The routes may have changed: a job holds only the name of the destination it once had. */
static void on_reroute_due(void *ctx)
{
	struct worker_shard *s = ctx;
	int64_t until_ms = now_ms() + REROUTE_SLICE_MS;
	do {
		s->rerouted = spool_next_id(s->rooms.spool, s->rerouted);
		if (s->rerouted == 0)
			return;
		schedule_anew(s, s->rerouted);
	} while (now_ms() < until_ms);
	tlsio_timer_start(&s->reroute_timer, REROUTE_PAUSE_MS);
}

static void on_message(void *ctx, const struct spool_envelope *envelope)
{
	schedule(ctx, envelope);
}

static void on_trouble(void *ctx, const struct err *err)
{
	const struct worker_shard *s = ctx;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_ERROR, "spool-trouble");
	log_number(&l, "shard", s->number);
	log_text(&l, "reason", err->text);
	log_end(&l);
}

/* ---- sched start -> relay ---------------------------------------------------------------------- */

static void remember(struct worker_shard *s, struct worker_delivery *d)
{
	struct running *running;
	HASH_FIND(hh, s->running, &d->message, sizeof(d->message), running);
	if (!running) {
		running = mem_zero(sizeof(*running));
		running->message = d->message;
		list_init(&running->deliveries);
		HASH_ADD(hh, s->running, message, sizeof(running->message), running);
	}
	list_push_back(&running->deliveries, &d->link);
	s->running_count++;
}

static void forget(struct worker_shard *s, struct worker_delivery *d)
{
	struct running *running;
	HASH_FIND(hh, s->running, &d->message, sizeof(d->message), running);
	list_remove(&d->link);
	s->running_count--;
	if (list_is_empty(&running->deliveries)) {
		HASH_DEL(s->running, running);
		free(running);
	}
}

/* What waits behind a next hop that rests would keep its job until that wakes. */
static void drop_jobs_of_the_gone(struct worker_shard *s, uint64_t message)
{
	struct spool_reader *reader = spool_read(s->rooms.spool, message, NULL);
	if (!reader)
		sched_remove(s->sched, message);
	spool_reader_free(&reader);
}

static void on_settled(void *ctx, struct worker_delivery *d)
{
	struct worker_shard *s = ctx;
	forget(s, d);
	if (d->job)
		sched_finish(s->sched, d->job, d->due_s ? d->result : SCHED_SETTLED, d->due_s);
	else
		drop_jobs_of_the_gone(s, d->message);
	/* The routes changed under this job: who still waits may do so for another destination. */
	if (d->reader && (!d->destination || d->reloads != s->reloads))
		schedule_anew(s, d->message);
	worker_delivery_free(d);
	if (s->running_count == 0)
		s->on_quiet(s->ctx);
}

static void on_end_of_turn(void *ctx)
{
	struct worker_shard *s = ctx;
	struct list *node;
	while ((node = list_first(&s->ended)) != NULL) {
		list_remove(node);
		on_settled(s, LIST_OWNER(node, struct worker_delivery, ended_link));
	}
}

/* The waiting recipients that go to this destination today and are not under way. After a reload
 * the job's destination may be nobody's any more: then there are none. */
static void pick(struct worker_shard *s, struct worker_delivery *d, struct str key)
{
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool *under_way = find_under_way(s, e);
	d->recipients = mem_array(e->recipient_count, sizeof(*d->recipients));
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].state != SPOOL_RECIPIENT_WAITING || (under_way && under_way[i]))
			continue;
		struct relay_destination *to = destination_of(s, e->recipients[i].address);
		if (to == d->destination || str_equal(str_of(to->key), key)) {
			d->recipients[d->count++] = i;
			if (to->until_s && (!d->until_s || to->until_s < d->until_s))
				d->until_s = to->until_s;
			if (!d->destination)
				d->destination = relay_destination_ref(to);
		}
		relay_destination_unref(&to);
	}
	free(under_way);
}

/* sched wants its answer later, never inside start. */
static void end_with_turn(struct worker_shard *s, struct worker_delivery *d,
	enum sched_result result, int64_t due_s)
{
	d->result = result;
	d->due_s = due_s;
	list_push_back(&s->ended, &d->ended_link);
	tlsio_turn_request(&s->ended_turn);
}

static void on_start(void *ctx, struct sched_job *job)
{
	struct worker_shard *s = ctx;
	struct err err = { 0 };
	struct worker_delivery *d = mem_zero(sizeof(*d));
	d->rooms = &s->rooms;
	d->on_settled = on_settled;
	d->ctx = s;
	d->job = job;
	d->message = sched_job_message(job);
	d->reloads = s->reloads;
	d->reader = spool_read(s->rooms.spool, d->message, &err);
	if (!d->reader) {
		/* Settled or removed meanwhile is ordinary; damage is not: try again much later. */
		bool is_gone = err.kind == ERR_INPUT;
		if (!is_gone)
			on_trouble(s, &err);
		remember(s, d);
		end_with_turn(s, d, is_gone ? SCHED_SETTLED : SCHED_RETRY,
			is_gone ? 0 : tlsio_loop_time_s(s->rooms.loop) +
					      s->rooms.config->sched.longest_ms / 1000);
		return;
	}
	pick(s, d, sched_job_destination(job));
	remember(s, d);
	if (d->count)
		relay_start(s->relay, d->message, d->destination, d->recipients, d->count, d);
	else
		end_with_turn(s, d, SCHED_SETTLED, 0);
}

/* A reload, or the end of an exception, may have tightened the rule while this delivery was on its
 * way to a connection, or between two transactions. */
static bool is_current(void *ctx, void *job)
{
	struct worker_shard *s = ctx;
	const struct worker_delivery *d = job;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool is_over = d->until_s && tlsio_loop_time_s(s->rooms.loop) >= d->until_s;
	bool may_differ = d->reloads != s->reloads || is_over;
	bool is_same = true;
	for (size_t i = 0; may_differ && is_same && i < d->count; i++) {
		struct relay_destination *to =
			destination_of(s, e->recipients[d->recipients[i]].address);
		is_same = strcmp(to->key, d->destination->key) == 0;
		relay_destination_unref(&to);
	}
	return is_same;
}

/* ---- given up without a try ------------------------------------------------------------------------- */

static bool is_under_way(void *ctx, uint64_t message, uint32_t recipient)
{
	struct worker_shard *s = ctx;
	struct running *running;
	HASH_FIND(hh, s->running, &message, sizeof(message), running);
	if (!running)
		return false;
	LIST_EACH (node, &running->deliveries) {
		const struct worker_delivery *d = LIST_OWNER(node, struct worker_delivery, link);
		for (size_t i = 0; i < d->count; i++)
			if (d->recipients[i] == recipient)
				return true;
	}
	return false;
}

/* As if it had been tried once more, in vain, with what was said last. */
static void give_up(void *ctx, struct spool_reader *reader, uint32_t *recipients, size_t count)
{
	struct worker_shard *s = ctx;
	const struct spool_envelope *e = spool_reader_envelope(reader);
	struct relay_outcome *outcomes = mem_array(count, sizeof(*outcomes));
	struct worker_delivery *d = mem_zero(sizeof(*d));
	d->rooms = &s->rooms;
	d->on_settled = on_settled;
	d->ctx = s;
	d->message = e->id;
	d->reloads = s->reloads;
	d->reader = reader;
	d->recipients = recipients;
	d->count = count;
	d->destination = destination_of(s, e->recipients[recipients[0]].address);
	for (size_t i = 0; i < count; i++) {
		const struct spool_recipient *r = &e->recipients[recipients[i]];
		outcomes[i].recipient = recipients[i];
		relay_outcome_set(&outcomes[i], RELAY_DEFERRED, "4.4.7", "%.*s",
			r->reason.length ? (int)r->reason.length : (int)strlen(UNTRIED),
			r->reason.length ? r->reason.at : UNTRIED);
	}
	remember(s, d);
	const struct relay_result result = { .outcomes = outcomes, .count = count };
	worker_delivery_settle(d, &result);
	free(outcomes);
}

static const struct worker_deadlines_events deadlines_events = { .is_under_way = is_under_way,
	.give_up = give_up };

/* ---- life -------------------------------------------------------------------------------------- */

static const struct spool_events spool_events = { .on_message = on_message,
	.on_trouble = on_trouble };
static const struct sched_events sched_events = { .start = on_start };
static void on_outcome(void *ctx, void *job, const struct relay_result *result)
{
	(void)ctx;
	worker_delivery_settle(job, result);
}

static const struct relay_events relay_events = { .is_current = is_current,
	.on_outcome = on_outcome };

struct worker_shard *worker_shard_new(struct tlsio_loop *loop, unsigned number,
	struct config *config, const struct relay_planner *planner, void (*on_quiet)(void *ctx),
	void *ctx, struct err *err)
{
	struct worker_shard *s = mem_zero(sizeof(*s));
	char directory[4096];
	s->rooms.loop = loop;
	s->number = number;
	s->rooms.config = config_ref(config);
	s->spool_config = config_ref(config);
	s->on_quiet = on_quiet;
	s->ctx = ctx;
	list_init(&s->ended);
	tlsio_turn_init(&s->ended_turn, loop, on_end_of_turn, s);
	tlsio_timer_init(&s->reroute_timer, loop, on_reroute_due, s);
	snprintf(directory, sizeof(directory), "%s/%u", config->spool.directory, number);
	if (file_make_directories(directory, 0700, err) < 0)
		goto failed;
	s->rooms.spool = spool_open(loop, directory, number, &s->spool_config->spool, NULL,
		&spool_events, s, err);
	if (!s->rooms.spool)
		goto failed;
	s->sched = sched_new(loop, &config->sched, &sched_events, s);
	s->relay = relay_new(loop, s->rooms.spool, &config->relay, config->present, planner,
		&relay_events, s);
	if (spool_replay(s->rooms.spool, err) < 0)
		goto failed;
	s->deadlines = worker_deadlines_new(&s->rooms, &deadlines_events, s);
	return s;
failed:
	worker_shard_free(&s);
	return NULL;
}

void worker_shard_reload(struct worker_shard *s, struct config *config)
{
	struct config *old = s->rooms.config;
	s->rooms.config = config_ref(config);
	sched_set_settings(s->sched, &config->sched);
	relay_set_settings(s->relay, &config->relay, config->present);
	config_unref(&old);
	s->reloads++;
	s->rerouted = 0;
	tlsio_timer_start(&s->reroute_timer, 0);
	worker_deadlines_look(s->deadlines);
}

void worker_shard_drain(struct worker_shard *s)
{
	tlsio_timer_stop(&s->reroute_timer);
	worker_deadlines_free(&s->deadlines);
	sched_stop(s->sched);
	relay_drain(s->relay);
}

size_t worker_shard_running_count(const struct worker_shard *s)
{
	return s->running_count;
}

struct spool *worker_shard_spool(const struct worker_shard *s)
{
	return s->rooms.spool;
}

struct sched *worker_shard_sched(const struct worker_shard *s)
{
	return s->sched;
}

/* Deliveries cut off here simply wait in the spool for the next start. */
static void drop_deliveries(struct worker_shard *s)
{
	struct running *running, *next;
	HASH_ITER (hh, s->running, running, next) {
		LIST_EACH_SAFE (node, &running->deliveries) {
			struct worker_delivery *d = LIST_OWNER(node, struct worker_delivery, link);
			spool_forget_caller(s->rooms.spool, d);
			worker_delivery_free(d);
		}
		HASH_DEL(s->running, running);
		free(running);
	}
}

void worker_shard_free(struct worker_shard **shard)
{
	struct worker_shard *s = *shard;
	if (!s)
		return;
	*shard = NULL;
	tlsio_turn_cancel(&s->ended_turn);
	tlsio_timer_stop(&s->reroute_timer);
	worker_deadlines_free(&s->deadlines);
	if (s->relay)
		relay_free(&s->relay);
	if (s->rooms.spool) {
		drop_deliveries(s);
		spool_forget_caller(s->rooms.spool, s);
	}
	if (s->sched)
		sched_free(&s->sched);
	if (s->rooms.spool)
		spool_close(&s->rooms.spool);
	config_unref(&s->rooms.config);
	config_unref(&s->spool_config);
	free(s);
}
