#include "smtpd/worker_shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include <uthash.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/dsn/dsn.h"
#include "smtpd/sched/sched_backoff.h"

/* One running job: some recipients of one message on their way to one destination. */
struct delivery {
	struct worker_shard *shard;
	struct sched_job *job;
	struct relay_destination *destination; /* NULL: nothing to do, ends at the end of the turn */
	struct spool_reader *reader;	       /* keeps the envelope for the outcome; NULL: gone */
	uint64_t message;
	uint32_t *recipients; /* these: in no other delivery meanwhile */
	size_t count;
	unsigned reloads;	/* the shard's count when it started */
	struct list link;	/* in the list of this message's deliveries */
	struct list ended_link; /* in the shard's list of those that end with this turn */
	/* the verdict, gathered until the bounce (if any) is durable */
	enum sched_result result;
	int64_t due_s; /* earliest of what waits again; 0 = nothing waits */
	struct spool_outcome *failed;
	char *failed_reasons; /* bytes the outcomes' reasons point into */
	size_t failed_count;
};

enum { REROUTE_SLICE_MS = 2, REROUTE_PAUSE_MS = 10 };

/* The deliveries of one message that run now. */
struct running {
	uint64_t message;
	struct list deliveries;
	UT_hash_handle hh;
};

struct worker_shard {
	struct tlsio_loop *loop;
	struct config *config;
	struct config *spool_config; /* the spool borrows its settings for life */
	unsigned number;
	struct spool *spool;
	struct sched *sched;
	struct relay *relay;
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
	return relay_routes_find(s->config->routes, s->config->rules, domain_of(address));
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
		const struct delivery *d = LIST_OWNER(node, struct delivery, link);
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
	struct spool_reader *reader = spool_read(s->spool, message, NULL);
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
		s->rerouted = spool_next_id(s->spool, s->rerouted);
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

static void remember(struct worker_shard *s, struct delivery *d)
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

static void forget(struct worker_shard *s, struct delivery *d)
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

/* The waiting recipients that go to this destination today and are not under way. After a reload
 * the job's destination may be nobody's any more: then there are none. */
static void pick(struct delivery *d, struct str key)
{
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool *under_way = find_under_way(d->shard, e);
	d->recipients = mem_array(e->recipient_count, sizeof(*d->recipients));
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].state != SPOOL_RECIPIENT_WAITING || (under_way && under_way[i]))
			continue;
		struct relay_destination *to = destination_of(d->shard, e->recipients[i].address);
		if (to == d->destination || str_equal(str_of(to->key), key)) {
			d->recipients[d->count++] = i;
			if (!d->destination)
				d->destination = relay_destination_ref(to);
		}
		relay_destination_unref(&to);
	}
	free(under_way);
}

/* sched wants its answer later, never inside start. */
static void end_with_turn(struct delivery *d, enum sched_result result, int64_t due_s)
{
	d->result = result;
	d->due_s = due_s;
	list_push_back(&d->shard->ended, &d->ended_link);
	tlsio_turn_request(&d->shard->ended_turn);
}

static void on_start(void *ctx, struct sched_job *job)
{
	struct worker_shard *s = ctx;
	struct err err = { 0 };
	struct delivery *d = mem_zero(sizeof(*d));
	d->shard = s;
	d->job = job;
	d->message = sched_job_message(job);
	d->reloads = s->reloads;
	d->reader = spool_read(s->spool, d->message, &err);
	if (!d->reader) {
		/* Settled or removed meanwhile is ordinary; damage is not: try again much later. */
		bool is_gone = err.kind == ERR_INPUT;
		if (!is_gone)
			on_trouble(s, &err);
		remember(s, d);
		end_with_turn(d, is_gone ? SCHED_SETTLED : SCHED_RETRY,
			is_gone ? 0 : tlsio_loop_time_s(s->loop) + s->config->sched.longest_ms / 1000);
		return;
	}
	pick(d, sched_job_destination(job));
	remember(s, d);
	if (d->count)
		relay_start(s->relay, d->message, d->destination, d->recipients, d->count, d);
	else
		end_with_turn(d, SCHED_SETTLED, 0);
}

/* ---- relay outcome -> spool, dsn, sched -------------------------------------------------------- */

static void free_delivery(struct delivery *d)
{
	spool_reader_free(&d->reader);
	relay_destination_unref(&d->destination);
	free(d->recipients);
	free(d->failed);
	free(d->failed_reasons);
	free(d);
}

static void finish(struct delivery *d)
{
	struct worker_shard *s = d->shard;
	forget(s, d);
	sched_finish(s->sched, d->job, d->due_s ? d->result : SCHED_SETTLED, d->due_s);
	/* The routes changed under this job: who still waits may do so for another destination. */
	if (d->reader && (!d->destination || d->reloads != s->reloads))
		schedule_anew(s, d->message);
	free_delivery(d);
	if (s->running_count == 0)
		s->on_quiet(s->ctx);
}

static void on_end_of_turn(void *ctx)
{
	struct worker_shard *s = ctx;
	struct list *node;
	while ((node = list_first(&s->ended)) != NULL) {
		list_remove(node);
		finish(LIST_OWNER(node, struct delivery, ended_link));
	}
}

static uint32_t random_bits(void)
{
	uint32_t bits = 0;
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0)
		bits = (uint32_t)rand();
	return bits;
}

static int64_t next_try_s(struct worker_shard *s, const struct spool_envelope *e, unsigned attempts)
{
	return sched_backoff_due_s(&s->config->sched, tlsio_loop_time_s(s->loop), e->received_s,
		(e->flags & SPOOL_FLAG_BOUNCE) != 0, attempts, random_bits());
}

static void wait_again(struct delivery *d, struct spool_outcome *o)
{
	o->state = SPOOL_RECIPIENT_WAITING;
	o->due_s = next_try_s(d->shard, spool_reader_envelope(d->reader), o->attempts);
	if (d->due_s == 0 || o->due_s < d->due_s)
		d->due_s = o->due_s;
}

/* The bounce is durable (error NULL), or could not be kept: then the recipients wait again, since
 * a failure nobody is told of is lost mail. */
static void on_bounce_done(void *ctx, uint64_t dsn_id, const struct err *error)
{
	struct delivery *d = ctx;
	struct worker_shard *s = d->shard;
	char id[17], dsn[17];
	for (size_t i = 0; i < d->failed_count; i++) {
		if (error)
			wait_again(d, &d->failed[i]);
		else
			d->failed[i].state = SPOOL_RECIPIENT_FAILED;
	}
	spool_settle(s->spool, d->message, d->failed, d->failed_count);
	struct log_line l;
	log_begin(&l, error ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "bounce");
	log_text(&l, "msg", spool_id_format(d->message, id));
	log_number(&l, "recipients", (int64_t)d->failed_count);
	if (error)
		log_format(&l, "reason", "not kept, tried again later: %s", error->text);
	else if (dsn_id)
		log_text(&l, "dsn", spool_id_format(dsn_id, dsn));
	else
		log_text(&l, "dsn", "none");
	log_end(&l);
	finish(d);
}

static void go_on_without_bounce(struct delivery *d, const struct err *error)
{
	if (error->kind == ERR_INPUT) /* the operator removed the message meanwhile */
		finish(d);
	else
		on_bounce_done(d, 0, error);
}

static struct dsn_recipient dsn_recipient_of(const struct relay_outcome *o)
{
	return (struct dsn_recipient){
		.recipient = o->recipient,
		.enhanced = o->enhanced,
		.text = o->text,
		.host = o->host,
		.is_smtp_reply = o->is_smtp_reply,
	};
}

static void on_success_report_done(void *ctx, uint64_t dsn_id, const struct err *error)
{
	(void)ctx;
	(void)dsn_id;
	if (error)
		log_say(LOG_LEVEL_WARNING, "success-report-lost", "%s", error->text);
}

static void report_success(struct delivery *d, const struct relay_result *result)
{
	struct worker_shard *s = d->shard;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	struct dsn_recipient *delivered = mem_array(result->count, sizeof(*delivered));
	struct err err = { 0 };
	enum dsn_kind kind = d->destination->transport == RELAY_SMTP ? DSN_RELAYED : DSN_DELIVERED;
	size_t count = 0;
	for (size_t i = 0; i < result->count; i++)
		if (result->outcomes[i].kind == RELAY_DELIVERED &&
			!result->outcomes[i].is_dsn_passed_on &&
			dsn_is_wanted(e, result->outcomes[i].recipient, kind))
			delivered[count++] = dsn_recipient_of(&result->outcomes[i]);
	if (count && dsn_send(s->spool, d->message, kind, delivered, count, s->config->hostname,
			     tlsio_loop_time_s(s->loop), on_success_report_done, s, &err) < 0)
		on_success_report_done(s, 0, &err);
	free(delivered);
}

/* Failed for good: remembered with their reasons until the bounce is durable. */
static void bounce(struct delivery *d, const struct relay_outcome *const *failed, size_t count)
{
	struct worker_shard *s = d->shard;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	struct dsn_recipient *told = mem_array(count, sizeof(*told));
	size_t told_count = 0;
	struct err err = { 0 };
	d->failed = mem_array(count, sizeof(*d->failed));
	d->failed_reasons = mem_array(count, sizeof(failed[0]->text));
	d->failed_count = count;
	for (size_t i = 0; i < count; i++) {
		char *reason = d->failed_reasons + i * sizeof(failed[0]->text);
		memcpy(reason, failed[i]->text, sizeof(failed[0]->text));
		d->failed[i] = (struct spool_outcome){
			.recipient = failed[i]->recipient,
			.attempts = (uint16_t)(e->recipients[failed[i]->recipient].attempts + 1),
			.reason = str_of(reason),
		};
		if (dsn_is_wanted(e, failed[i]->recipient, DSN_FAILED))
			told[told_count++] = dsn_recipient_of(failed[i]);
	}
	if (told_count == 0)
		on_bounce_done(d, 0, NULL);
	else if (dsn_send(s->spool, d->message, DSN_FAILED, told, told_count, s->config->hostname,
			 tlsio_loop_time_s(s->loop), on_bounce_done, d, &err) < 0)
		go_on_without_bounce(d, &err);
	free(told);
}

static void on_outcome(void *ctx, void *job, const struct relay_result *result)
{
	struct worker_shard *s = ctx;
	struct delivery *d = job;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool is_expired = sched_backoff_is_expired(&s->config->sched, tlsio_loop_time_s(s->loop),
		e->received_s, (e->flags & SPOOL_FLAG_BOUNCE) != 0);
	struct spool_outcome *now = mem_array(result->count, sizeof(*now));
	const struct relay_outcome **failed = mem_array(result->count, sizeof(*failed));
	size_t now_count = 0, failed_count = 0, delivered_count = 0;

	d->result = result->destination_failed ? SCHED_UNREACHABLE : SCHED_RETRY;
	for (size_t i = 0; i < result->count; i++) {
		const struct relay_outcome *o = &result->outcomes[i];
		struct spool_outcome outcome = {
			.recipient = o->recipient,
			.attempts = (uint16_t)(e->recipients[o->recipient].attempts + 1),
			.reason = str_of(o->text),
		};
		if (o->kind == RELAY_FAILED || (o->kind == RELAY_DEFERRED && is_expired)) {
			failed[failed_count++] = o;
			continue;
		}
		if (o->kind == RELAY_DELIVERED) {
			outcome.state = SPOOL_RECIPIENT_DELIVERED;
			delivered_count++;
		} else {
			wait_again(d, &outcome);
		}
		now[now_count++] = outcome;
	}
	/* first the report: with its last recipient settled the message is gone */
	if (delivered_count)
		report_success(d, result);
	if (now_count)
		spool_settle(s->spool, d->message, now, now_count);
	if (failed_count)
		bounce(d, failed, failed_count); /* finishes d */
	else
		finish(d);
	free(now);
	free(failed);
}

/* A reload may have tightened the rule while this delivery was on its way to a connection, or
 * between two transactions. */
static bool is_current(void *ctx, void *job)
{
	struct worker_shard *s = ctx;
	const struct delivery *d = job;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool is_same = true;
	for (size_t i = 0; d->reloads != s->reloads && is_same && i < d->count; i++) {
		struct relay_destination *to =
			destination_of(s, e->recipients[d->recipients[i]].address);
		is_same = strcmp(to->key, d->destination->key) == 0;
		relay_destination_unref(&to);
	}
	return is_same;
}

/* ---- life -------------------------------------------------------------------------------------- */

static const struct spool_events spool_events = { .on_message = on_message,
	.on_trouble = on_trouble };
static const struct sched_events sched_events = { .start = on_start };
static const struct relay_events relay_events = { .is_current = is_current,
	.on_outcome = on_outcome };

struct worker_shard *worker_shard_new(struct tlsio_loop *loop, unsigned number,
	struct config *config, void (*on_quiet)(void *ctx), void *ctx, struct err *err)
{
	struct worker_shard *s = mem_zero(sizeof(*s));
	char directory[4096];
	s->loop = loop;
	s->number = number;
	s->config = config_ref(config);
	s->spool_config = config_ref(config);
	s->on_quiet = on_quiet;
	s->ctx = ctx;
	list_init(&s->ended);
	tlsio_turn_init(&s->ended_turn, loop, on_end_of_turn, s);
	tlsio_timer_init(&s->reroute_timer, loop, on_reroute_due, s);
	snprintf(directory, sizeof(directory), "%s/%u", config->spool.directory, number);
	if (file_make_directories(directory, 0700, err) < 0)
		goto failed;
	s->spool = spool_open(loop, directory, number, &s->spool_config->spool, NULL, &spool_events,
		s, err);
	if (!s->spool)
		goto failed;
	s->sched = sched_new(loop, &config->sched, &sched_events, s);
	s->relay = relay_new(loop, s->spool, &config->relay, config->present, &relay_events, s);
	if (spool_replay(s->spool, err) < 0)
		goto failed;
	return s;
failed:
	worker_shard_free(&s);
	return NULL;
}

void worker_shard_reload(struct worker_shard *s, struct config *config)
{
	struct config *old = s->config;
	s->config = config_ref(config);
	sched_set_settings(s->sched, &config->sched);
	relay_set_settings(s->relay, &config->relay, config->present);
	config_unref(&old);
	s->reloads++;
	s->rerouted = 0;
	tlsio_timer_start(&s->reroute_timer, 0);
}

void worker_shard_drain(struct worker_shard *s)
{
	tlsio_timer_stop(&s->reroute_timer);
	sched_stop(s->sched);
	relay_drain(s->relay);
}

size_t worker_shard_running_count(const struct worker_shard *s)
{
	return s->running_count;
}

struct spool *worker_shard_spool(const struct worker_shard *s)
{
	return s->spool;
}

struct sched *worker_shard_sched(const struct worker_shard *s)
{
	return s->sched;
}

struct relay *worker_shard_relay(const struct worker_shard *s)
{
	return s->relay;
}

/* Deliveries cut off here simply wait in the spool for the next start. */
static void drop_deliveries(struct worker_shard *s)
{
	struct running *running, *next;
	HASH_ITER (hh, s->running, running, next) {
		LIST_EACH_SAFE (node, &running->deliveries) {
			struct delivery *d = LIST_OWNER(node, struct delivery, link);
			spool_forget_caller(s->spool, d);
			free_delivery(d);
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
	if (s->relay)
		relay_free(&s->relay);
	if (s->spool) {
		drop_deliveries(s);
		spool_forget_caller(s->spool, s);
	}
	if (s->sched)
		sched_free(&s->sched);
	if (s->spool)
		spool_close(&s->spool);
	config_unref(&s->config);
	config_unref(&s->spool_config);
	free(s);
}
