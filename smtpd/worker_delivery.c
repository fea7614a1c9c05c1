#include "smtpd/worker_delivery.h"

#include <stdlib.h>
#include <sys/random.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/dsn/dsn.h"
#include "smtpd/sched/sched_backoff.h"
#include "smtpd/worker_notice.h"

static uint32_t random_bits(void)
{
	uint32_t bits = 0;
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0)
		bits = (uint32_t)rand();
	return bits;
}

static uint16_t attempts_after(const struct spool_envelope *e, uint32_t recipient)
{
	uint16_t before = e->recipients[recipient].attempts;
	return before < UINT16_MAX ? (uint16_t)(before + 1) : before;
}

/* What is known of the recipient, with one more try and what came of it. */
static struct spool_outcome outcome_of(const struct spool_envelope *e, const struct relay_outcome *o)
{
	const struct spool_recipient *r = &e->recipients[o->recipient];
	return (struct spool_outcome){ .recipient = o->recipient,
		.attempts = attempts_after(e, o->recipient),
		.reason = str_of(o->text),
		.cause = o->kind == RELAY_DEFERRED ? o->cause : SPOOL_CAUSE_NONE,
		.told = r->told,
		.via = r->via };
}

static int64_t next_try_s(const struct worker_delivery *d, unsigned attempts)
{
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	return sched_backoff_due_s(&d->rooms->config->sched, tlsio_loop_time_s(d->rooms->loop),
		e->received_s, spool_envelope_is_bounce(e), attempts, random_bits());
}

static void wait_until(struct worker_delivery *d, struct spool_outcome *o, int64_t due_s)
{
	o->state = SPOOL_RECIPIENT_WAITING;
	o->due_s = due_s;
	if (d->due_s == 0 || o->due_s < d->due_s)
		d->due_s = o->due_s;
}

static void wait_again(struct worker_delivery *d, struct spool_outcome *o)
{
	wait_until(d, o, next_try_s(d, o->attempts));
}

/* The bounce is durable (error NULL), or could not be kept: then the recipients wait again, since
 * a failure nobody is told of is lost mail. */
static void on_bounce_done(void *ctx, uint64_t dsn_id, const struct err *error)
{
	struct worker_delivery *d = ctx;
	const struct worker_rooms *rooms = d->rooms;
	char id[17], dsn[17];
	for (size_t i = 0; i < d->failed_count; i++) {
		if (error)
			wait_again(d, &d->failed[i]);
		else
			d->failed[i].state = SPOOL_RECIPIENT_FAILED;
	}
	spool_settle(rooms->spool, d->message, d->failed, d->failed_count);
	struct log_line l;
	log_begin(&l, error ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "bounce");
	log_text(&l, "msg", spool_id_format(d->message, id));
	log_number(&l, "recipients", (int64_t)d->failed_count);
	if (d->expired_count)
		log_number(&l, "expired", (int64_t)d->expired_count);
	if (error)
		log_format(&l, "reason", "not kept, tried again later: %s", error->text);
	else if (dsn_id)
		log_text(&l, "dsn", spool_id_format(dsn_id, dsn));
	else
		log_text(&l, "dsn", "none");
	log_end(&l);
	d->on_settled(d->ctx, d);
}

static void go_on_without_bounce(struct worker_delivery *d, const struct err *error)
{
	if (error->kind == ERR_INPUT) /* the operator removed the message meanwhile */
		d->on_settled(d->ctx, d);
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

static void report_success(struct worker_delivery *d, const struct relay_result *result)
{
	const struct worker_rooms *rooms = d->rooms;
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
	if (count && dsn_send(rooms->spool, d->message, kind, delivered, count,
			     rooms->config->hostname, tlsio_loop_time_s(rooms->loop),
			     on_success_report_done, d->ctx, &err) < 0)
		on_success_report_done(NULL, 0, &err);
	free(delivered);
}

/* Failed for good: remembered with their reasons until the bounce is durable. */
static void bounce(struct worker_delivery *d, const struct relay_outcome *const *failed, size_t count)
{
	const struct worker_rooms *rooms = d->rooms;
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
		d->failed[i] = outcome_of(e, failed[i]);
		d->failed[i].reason = str_of(reason);
		if (dsn_is_wanted(e, failed[i]->recipient, DSN_FAILED))
			told[told_count++] = dsn_recipient_of(failed[i]);
	}
	if (told_count == 0)
		on_bounce_done(d, 0, NULL);
	else if (dsn_send(rooms->spool, d->message, DSN_FAILED, told, told_count,
			 rooms->config->hostname, tlsio_loop_time_s(rooms->loop), on_bounce_done, d,
			 &err) < 0)
		go_on_without_bounce(d, &err);
	free(told);
}

/* The recipients wait as they did: the next start tries at once, and no attempt is counted. */
static void leave(struct worker_delivery *d)
{
	d->result = SCHED_RETRY;
	d->due_s = tlsio_loop_time_s(d->rooms->loop);
	d->on_settled(d->ctx, d);
}

/* Nothing was tried and nothing learned: no attempt is counted, and the next one is near. */
static void wait_a_little(struct worker_delivery *d, const struct relay_result *result)
{
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	struct spool_outcome *waiting = mem_array(result->count, sizeof(*waiting));
	int64_t due_s = sched_backoff_soon_s(&d->rooms->config->sched,
		tlsio_loop_time_s(d->rooms->loop), random_bits());
	for (size_t i = 0; i < result->count; i++) {
		const struct relay_outcome *o = &result->outcomes[i];
		waiting[i] = outcome_of(e, o);
		waiting[i].attempts = e->recipients[o->recipient].attempts;
		wait_until(d, &waiting[i], due_s);
	}
	spool_settle(d->rooms->spool, d->message, waiting, result->count);
	d->result = SCHED_UNTRIED;
	d->on_settled(d->ctx, d);
	free(waiting);
}

/* A machine that was off for a week finds its mail too old and itself not ready: that mail still gets
 * its try. Only at twice its time it is given up without one. */
static bool is_long_expired(const struct worker_rooms *rooms, const struct spool_envelope *e)
{
	const struct sched_settings *settings = &rooms->config->sched;
	bool is_bounce = spool_envelope_is_bounce(e);
	int64_t grace_s = (is_bounce ? settings->give_up_bounce_ms : settings->give_up_ms) / 1000;
	return sched_backoff_is_expired(settings, tlsio_loop_time_s(rooms->loop),
		e->received_s + grace_s, is_bounce);
}

void worker_delivery_settle(struct worker_delivery *d, const struct relay_result *result)
{
	if (result->was_withdrawn) {
		leave(d);
		return;
	}
	const struct worker_rooms *rooms = d->rooms;
	const struct spool_envelope *e = spool_reader_envelope(d->reader);
	bool is_expired = sched_backoff_is_expired(&rooms->config->sched,
		tlsio_loop_time_s(rooms->loop), e->received_s,
		spool_envelope_is_bounce(e));
	if (result->was_unready && !is_long_expired(rooms, e)) {
		wait_a_little(d, result);
		return;
	}
	struct spool_outcome *now = mem_array(result->count, sizeof(*now));
	struct dsn_recipient *words = mem_array(result->count, sizeof(*words));
	const struct relay_outcome **failed = mem_array(result->count, sizeof(*failed));
	size_t now_count = 0, failed_count = 0, delivered_count = 0;

	d->result = result->destination_failed ? SCHED_UNREACHABLE : SCHED_RETRY;
	for (size_t i = 0; i < result->count; i++) {
		const struct relay_outcome *o = &result->outcomes[i];
		struct spool_outcome outcome = outcome_of(e, o);
		if (o->kind == RELAY_FAILED || (o->kind == RELAY_DEFERRED && is_expired)) {
			failed[failed_count++] = o;
			d->expired_count += o->kind == RELAY_DEFERRED;
			continue;
		}
		if (o->kind == RELAY_DELIVERED) {
			outcome.state = SPOOL_RECIPIENT_DELIVERED;
			delivered_count++;
		} else {
			wait_again(d, &outcome);
		}
		words[now_count] = dsn_recipient_of(o);
		now[now_count++] = outcome;
	}
	worker_notice_send(rooms, e, now, words, now_count);
	/* first the report: with its last recipient settled the message is gone */
	if (delivered_count)
		report_success(d, result);
	if (now_count)
		spool_settle(rooms->spool, d->message, now, now_count);
	if (failed_count)
		bounce(d, failed, failed_count); /* settled when that is durable */
	else
		d->on_settled(d->ctx, d);
	free(now);
	free(words);
	free(failed);
}

void worker_delivery_free(struct worker_delivery *d)
{
	spool_reader_free(&d->reader);
	relay_destination_unref(&d->destination);
	free(d->recipients);
	free(d->failed);
	free(d->failed_reasons);
	free(d);
}
