#include "smtpd/worker_deadlines.h"

#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/mem.h"
#include "smtpd/worker_notice.h"

enum {
	LOOK_MS = 30000,
	SLICE_MS = 2,
	PAUSE_MS = 10,
	GRACE_S = 900, /* the last try is due when the time is over; it may have to wait for its turn */
};

enum deadline { POLICY_NOTICE, NOTICE, BOUNCE_END, END, DEADLINES };

struct worker_deadlines {
	const struct worker_rooms *rooms;
	const struct worker_deadlines_events *events;
	void *ctx;
	uint64_t seen[DEADLINES]; /* ids up to it were looked at */
	unsigned next;		  /* the deadline under way */
	struct tlsio_timer timer;
};

/* How old a message is when it comes; 0: never. */
static int64_t age_s_of(const struct sched_settings *settings, enum deadline deadline)
{
	switch (deadline) {
	case POLICY_NOTICE:
		return settings->notice_policy_ms / 1000;
	case NOTICE:
		return settings->notice_ms / 1000;
	case BOUNCE_END:
		return settings->give_up_bounce_ms / 1000 + GRACE_S;
	default:
		return settings->give_up_ms / 1000 + GRACE_S;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool waits_alone(struct worker_deadlines *w, const struct spool_envelope *e, uint32_t i)
{
	return e->recipients[i].state == SPOOL_RECIPIENT_WAITING &&
		!w->events->is_under_way(w->ctx, e->id, i);
}

/* As it was left by its last try, said by nobody anew. */
static struct dsn_recipient words_of(const struct spool_recipient *r, uint32_t index, char *text,
	size_t capacity)
{
	static const char *const codes[SPOOL_CAUSE_COUNT] = { [SPOOL_CAUSE_NONE] = "4.4.7",
		[SPOOL_CAUSE_REPLY] = "4.4.7", [SPOOL_CAUSE_UNREACHABLE] = "4.4.1",
		[SPOOL_CAUSE_NAMES] = "4.4.3", [SPOOL_CAUSE_POLICY] = "4.7.5",
		[SPOOL_CAUSE_OURS] = "4.3.0" };
	if (!r->reason.length || !str_copy(str_head(r->reason, capacity - 1), text, capacity))
		str_copy(STR("the next hop was not reached, and this message not yet tried"), text,
			capacity);
	return (struct dsn_recipient){ .recipient = index,
		.enhanced = codes[r->cause < SPOOL_CAUSE_COUNT ? r->cause : SPOOL_CAUSE_NONE],
		.text = text };
}

static bool is_due(struct worker_deadlines *w, const struct spool_envelope *e, uint32_t i)
{
	const struct spool_recipient *r = &e->recipients[i];
	return waits_alone(w, e, i) && worker_notice_is_due(w->rooms, e, i, r->cause, r->told);
}

static void notify(struct worker_deadlines *w, const struct spool_envelope *e)
{
	enum { TEXT_BYTES = 400 };
	size_t due = 0, count = 0, told = 0;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		due += is_due(w, e, i);
	if (due == 0)
		return;
	struct spool_outcome *outcomes = mem_array(due, sizeof(*outcomes));
	struct dsn_recipient *words = mem_array(due, sizeof(*words));
	char *texts = mem_array(due, TEXT_BYTES);
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct spool_recipient *r = &e->recipients[i];
		if (!is_due(w, e, i))
			continue;
		words[count] = words_of(r, i, texts + count * TEXT_BYTES, TEXT_BYTES);
		outcomes[count++] = (struct spool_outcome){ .recipient = i, .state = r->state,
			.attempts = r->attempts, .due_s = r->due_s, .reason = r->reason,
			.cause = r->cause, .told = r->told, .via = r->via };
	}
	worker_notice_send(w->rooms, e, outcomes, words, count);
	for (size_t i = 0; i < count; i++)
		if (outcomes[i].told)
			outcomes[told++] = outcomes[i];
	if (told)
		spool_settle(w->rooms->spool, e->id, outcomes, told);
	free(outcomes);
	free(words);
	free(texts);
}

/* Takes reader. */
static void give_up(struct worker_deadlines *w, struct spool_reader *reader)
{
	const struct spool_envelope *e = spool_reader_envelope(reader);
	uint32_t *recipients = mem_array(e->recipient_count + 1, sizeof(*recipients));
	size_t count = 0;
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (waits_alone(w, e, i))
			recipients[count++] = i;
	if (count) {
		w->events->give_up(w->ctx, reader, recipients, count);
	} else {
		free(recipients);
		spool_reader_free(&reader);
	}
}

/* The next message of this deadline; false: the time of none has come. */
static bool look(struct worker_deadlines *w, enum deadline deadline)
{
	int64_t age_s = age_s_of(&w->rooms->config->sched, deadline);
	int64_t now_s = tlsio_loop_time_s(w->rooms->loop);
	uint64_t id = age_s ? spool_next_id(w->rooms->spool, w->seen[deadline]) : 0;
	if (!id)
		return false;
	struct spool_reader *reader = spool_read(w->rooms->spool, id, NULL);
	const struct spool_envelope *e = reader ? spool_reader_envelope(reader) : NULL;
	/* One from a clock that was ahead holds up no other. */
	bool is_from_the_future = e && e->received_s > now_s;
	if (e && !is_from_the_future && now_s < e->received_s + age_s) {
		spool_reader_free(&reader);
		return false;
	}
	w->seen[deadline] = id;
	bool is_bounce = e && spool_envelope_is_bounce(e);
	if (e && !is_from_the_future && (deadline == POLICY_NOTICE || deadline == NOTICE))
		notify(w, e);
	if (e && !is_from_the_future && deadline == (is_bounce ? BOUNCE_END : END))
		give_up(w, reader);
	else
		spool_reader_free(&reader);
	return true;
}

static void on_due(void *ctx)
{
	struct worker_deadlines *w = ctx;
	int64_t until_ms = now_ms() + SLICE_MS;
	while (w->next < DEADLINES) {
		if (!look(w, (enum deadline)w->next))
			w->next++;
		else if (now_ms() >= until_ms)
			break;
	}
	tlsio_timer_start(&w->timer, w->next < DEADLINES ? PAUSE_MS : LOOK_MS);
	w->next %= DEADLINES;
}

struct worker_deadlines *worker_deadlines_new(const struct worker_rooms *rooms,
	const struct worker_deadlines_events *events, void *ctx)
{
	struct worker_deadlines *w = mem_zero(sizeof(*w));
	w->rooms = rooms;
	w->events = events;
	w->ctx = ctx;
	tlsio_timer_init(&w->timer, rooms->loop, on_due, w);
	tlsio_timer_start(&w->timer, LOOK_MS);
	return w;
}

void worker_deadlines_look(struct worker_deadlines *w)
{
	tlsio_timer_start(&w->timer, 0);
}

void worker_deadlines_free(struct worker_deadlines **pw)
{
	struct worker_deadlines *w = *pw;
	if (!w)
		return;
	*pw = NULL;
	tlsio_timer_stop(&w->timer);
	free(w);
}
