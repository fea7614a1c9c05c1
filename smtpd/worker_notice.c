#include "smtpd/worker_notice.h"

#include <stdlib.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/sched/sched_backoff.h"

bool worker_notice_is_due(const struct worker_rooms *rooms, const struct spool_envelope *e,
	uint32_t recipient, uint8_t cause, uint8_t told)
{
	const struct sched_settings *settings = &rooms->config->sched;
	int64_t after_ms = cause == SPOOL_CAUSE_POLICY ? settings->notice_policy_ms :
							  settings->notice_ms;
	return after_ms && !(told & SPOOL_TOLD_DELAY) &&
		tlsio_loop_time_s(rooms->loop) >= e->received_s + after_ms / 1000 &&
		dsn_is_wanted(e, recipient, DSN_DELAYED);
}

static bool is_due(const struct worker_rooms *rooms, const struct spool_envelope *e,
	const struct spool_outcome *o)
{
	return o->state == SPOOL_RECIPIENT_WAITING &&
		worker_notice_is_due(rooms, e, o->recipient, o->cause, o->told);
}

static void on_done(void *ctx, uint64_t dsn_id, const struct err *error)
{
	(void)ctx;
	(void)dsn_id;
	if (error)
		log_say(LOG_LEVEL_WARNING, "notice-lost", "%s", error->text);
}

static void log_notice(const struct spool_envelope *e, size_t count, const struct err *err)
{
	struct log_line l;
	char id[17];
	log_begin(&l, err ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "delay-notice");
	log_text(&l, "msg", spool_id_format(e->id, id));
	log_number(&l, "recipients", (int64_t)count);
	if (err)
		log_format(&l, "reason", "not kept, tried again later: %s", err->text);
	log_end(&l);
}

void worker_notice_send(const struct worker_rooms *rooms, const struct spool_envelope *e,
	struct spool_outcome *outcomes, const struct dsn_recipient *words, size_t count)
{
	struct dsn_recipient *told = NULL;
	size_t told_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!is_due(rooms, e, &outcomes[i]))
			continue;
		if (!told)
			told = mem_array(count, sizeof(*told));
		told[told_count] = words[i];
		told[told_count++].retry_until_s = sched_backoff_expires_s(
			&rooms->config->sched, e->received_s, spool_envelope_is_bounce(e));
	}
	if (!told)
		return;
	struct err err;
	bool failed = dsn_send(rooms->spool, e->id, DSN_DELAYED, told, told_count,
			      rooms->config->hostname, tlsio_loop_time_s(rooms->loop), on_done, NULL,
			      &err) < 0;
	for (size_t i = 0; i < count && !failed; i++)
		if (is_due(rooms, e, &outcomes[i]))
			outcomes[i].told |= SPOOL_TOLD_DELAY;
	log_notice(e, told_count, failed ? &err : NULL);
	free(told);
}
