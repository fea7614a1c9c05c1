#include "policy/door/door_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_dial.h"
#include "libtlsio/tlsio_stream.h"
#include "policy/door/door_kept.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum {
	LIMIT_MS = 60000,
	PLANS_MOST = 10000,
	KEPT_BYTES_MOST = 64 * 1024 * 1024,
	FIRST_RETRY_MS = 200,
	LAST_RETRY_MS = 5000,
	LOSSES_MOST = 3, /* a question that kills its answerer is not asked for ever */
	SUSPECT_LOSSES = 2, /* so many, and it is asked while no other such is: it alone is to blame then */
	REPORT_BYTES_MOST = 256 * 1024, /* what waits; some 2,000 sessions */
	REPORTS_AT_ONCE_BYTES = 16 * 1024,
	REPORT_WAIT_MS = 100, /* so that many go in one write */
	INPUT_BYTES = DOOR_PLAN_BYTES_MOST + 4096,
	OUTPUT_BYTES = 256 * 1024,
};

/* One question on the wire, for all who asked it. */
struct inquiry {
	UT_hash_handle by_key, by_id;
	struct list unsent_link;
	struct list questions;
	struct policy_question question; /* names in frame */
	uint32_t id;
	unsigned losses; /* connections lost while it was asked */
	bool is_over;
	struct buf frame;
};

struct door_question {
	struct list link;     /* client: by limit, or ready */
	struct list asked_link; /* inquiry */
	struct door_client *client;
	struct inquiry *inquiry;  /* NULL: ready */
	struct policy_plan *plan; /* ready */
	int64_t due_ms;
	void (*on_plan)(void *ctx, struct policy_plan *plan);
	void *ctx;
};

struct door_client {
	struct tlsio_loop *loop;
	char *socket_path, *program;
	struct door_authorities authorities;
	int64_t limit_ms;
	struct door_kept *kept;
	struct inquiry *by_key, *by_id;
	struct list unsent, suspects; /* inquiries to be sent */
	struct inquiry *alone;	      /* the suspect on the wire; NULL: none */
	struct list by_limit, ready;
	struct tlsio_timer limit, answer_ready, retry, report;
	int64_t retry_ms;
	uint32_t last_id;
	struct tlsio_dial *dial;
	struct tlsio_stream *stream;
	bool is_greeted;
	struct buf scratch, reports;
	uint32_t reports_lost; /* since the last that was told */
	char trouble[240]; /* the last, "" none */
	int check;	   /* -1: not told yet */
	char check_words[400];
};

static void connect_if_needed(struct door_client *c);
static void send_what_waits(struct door_client *c);

/* ---- what is said when there is no plan ------------------------------------------------------------------ */

static struct policy_plan *deferral(const struct door_client *c,
	const struct policy_question *question, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static struct policy_plan *deferral(const struct door_client *c,
	const struct policy_question *question, const char *format, ...)
{
	char words[400];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	struct policy_plan *plan = policy_plan_new(question->rule_domain, question->next_hop);
	plan->made_s = plan->expires_s = tlsio_loop_time_s(c->loop);
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_VALIDATION_FAILURE, "%s", words);
	return plan;
}

/* Takes and gives: it says nothing of the domain. */
static struct policy_plan *unanswered(struct policy_plan *plan)
{
	plan->is_unanswered = true;
	return plan;
}

static struct policy_plan *no_answer(const struct door_client *c,
	const struct policy_question *question)
{
	char slow[64];
	snprintf(slow, sizeof(slow), "%s within %lld s",
		c->stream && !c->is_greeted ? "connected, but no greeting" : "no answer",
		(long long)(c->limit_ms + 999) / 1000);
	return unanswered(deferral(c, question,
		"postern-policyd does not answer (%s): mail is kept and tried again",
		c->trouble[0] ? c->trouble : slow));
}

/* ---- questions and inquiries --------------------------------------------------------------------------------- */

static void set_limit(struct door_client *c)
{
	struct list *first = list_first(&c->by_limit);
	if (!first) {
		tlsio_timer_stop(&c->limit);
		return;
	}
	int64_t left_ms = LIST_OWNER(first, struct door_question, link)->due_ms -
			  tlsio_loop_now_ms(c->loop);
	tlsio_timer_start(&c->limit, left_ms > 0 ? left_ms : 0);
}

/* Takes the plan. The question is over before its owner hears. */
static void question_end(struct door_question *q, struct policy_plan *plan)
{
	void (*on_plan)(void *ctx, struct policy_plan *plan) = q->on_plan;
	void *ctx = q->ctx;
	list_remove(&q->link);
	list_remove(&q->asked_link);
	free(q);
	on_plan(ctx, plan);
	policy_plan_unref(&plan);
}

static void inquiry_unlink(struct door_client *c, struct inquiry *i)
{
	i->is_over = true;
	HASH_DELETE(by_key, c->by_key, i);
	HASH_DELETE(by_id, c->by_id, i);
	list_remove(&i->unsent_link);
	if (c->alone == i)
		c->alone = NULL;
}

static void inquiry_free(struct inquiry *i)
{
	buf_release(&i->frame);
	free(i);
}

/* Takes the plan. */
static void inquiry_end(struct door_client *c, struct inquiry *i, struct policy_plan *plan)
{
	inquiry_unlink(c, i);
	while (!list_is_empty(&i->questions)) {
		struct door_question *q =
			LIST_OWNER(list_first(&i->questions), struct door_question, asked_link);
		question_end(q, policy_plan_ref(plan));
	}
	policy_plan_unref(&plan);
	inquiry_free(i);
	set_limit(c);
	send_what_waits(c);
}

static void on_limit(void *ctx)
{
	struct door_client *c = ctx;
	struct list *first;
	int64_t now_ms = tlsio_loop_now_ms(c->loop);
	while ((first = list_first(&c->by_limit))) {
		struct door_question *q = LIST_OWNER(first, struct door_question, link);
		struct inquiry *i = q->inquiry;
		if (q->due_ms > now_ms)
			break;
		struct policy_plan *plan = no_answer(c, &i->question);
		list_remove(&q->asked_link);
		if (list_is_empty(&i->questions)) {
			inquiry_unlink(c, i);
			inquiry_free(i);
		}
		question_end(q, plan);
	}
	set_limit(c);
	send_what_waits(c);
}

static void on_answer_ready(void *ctx)
{
	struct door_client *c = ctx;
	struct list now;
	list_init(&now); /* what is asked meanwhile is answered next time */
	while (!list_is_empty(&c->ready)) {
		struct list *node = list_first(&c->ready);
		list_remove(node);
		list_push_back(&now, node);
	}
	while (!list_is_empty(&now)) {
		struct door_question *q = LIST_OWNER(list_first(&now), struct door_question, link);
		question_end(q, q->plan);
	}
}

static struct inquiry *inquiry_new(struct door_client *c, const struct policy_question *question)
{
	struct inquiry *i = mem_zero(sizeof(*i));
	i->id = ++c->last_id;
	list_init(&i->questions);
	door_wire_ask(&i->frame, i->id, question);
	struct str key = str_skip(buf_str(&i->frame), DOOR_WIRE_HEAD_BYTES);
	door_wire_read_ask(key, &i->question, NULL);
	HASH_ADD_KEYPTR(by_key, c->by_key, key.at, key.length, i);
	HASH_ADD(by_id, c->by_id, id, sizeof(i->id), i);
	list_push_back(&c->unsent, &i->unsent_link);
	return i;
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static struct inquiry *send_first(struct door_client *c, struct list *waiting)
{
	struct inquiry *i = LIST_OWNER(list_first(waiting), struct inquiry, unsent_link);
	struct str bytes = buf_str(&i->frame);
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
	list_remove(&i->unsent_link);
	return i;
}

/* Whole frames, as many as there is room for: questions go first. */
static void send_reports(struct door_client *c)
{
	struct door_frame frame;
	struct str bytes = buf_str(&c->reports);
	size_t used, all = 0;
	size_t room = c->stream ? tlsio_stream_room(c->stream) : 0;
	while (door_wire_split(str_skip(bytes, all), DOOR_QUESTION_BYTES_MOST, &frame, &used, NULL) >
			0 &&
		all + used <= room)
		all += used;
	if (all == 0)
		return;
	tlsio_stream_write(c->stream, bytes.at, all);
	buf_consume(&c->reports, all);
	if (c->reports.length == 0)
		buf_release(&c->reports);
}

static void send_what_waits(struct door_client *c)
{
	if (!c->stream)
		return;
	while (!list_is_empty(&c->unsent) && tlsio_stream_room(c->stream))
		send_first(c, &c->unsent);
	if (!c->alone && !list_is_empty(&c->suspects) && tlsio_stream_room(c->stream))
		c->alone = send_first(c, &c->suspects);
	if (c->reports.length >= REPORTS_AT_ONCE_BYTES || !tlsio_timer_is_active(&c->report))
		send_reports(c);
}

static void on_report(void *ctx)
{
	struct door_client *c = ctx;
	send_reports(c);
	connect_if_needed(c);
}

/* Another try after a while. Questions stay; each has its limit. */
static void lose(struct door_client *c, const char *why)
{
	struct inquiry *i, *next, *lost = NULL;
	snprintf(c->trouble, sizeof(c->trouble), "%s", why);
	tlsio_stream_close(&c->stream);
	HASH_ITER (by_id, c->by_id, i, next) {
		if (list_is_linked(&i->unsent_link))
			continue;
		i->losses += c->is_greeted;
		list_push_back(i->losses < SUSPECT_LOSSES ? &c->unsent : &c->suspects,
			&i->unsent_link);
	}
	c->alone = NULL;
	c->is_greeted = false;
	tlsio_timer_start(&c->retry, c->retry_ms);
	c->retry_ms = c->retry_ms * 2 < LAST_RETRY_MS ? c->retry_ms * 2 : LAST_RETRY_MS;
	do { /* owners may cancel others: look anew each time */
		lost = NULL;
		for (i = c->by_id; i && !lost; i = i->by_id.next)
			if (i->losses >= LOSSES_MOST)
				lost = i;
		if (lost)
			inquiry_end(c, lost, deferral(c, &lost->question,
				"postern-policyd broke off %d times while it was asked about %s: mail is "
				"kept and tried again", LOSSES_MOST, lost->question.next_hop));
	} while (lost);
}

static void defer_all(struct door_client *c, const char *words)
{
	while (c->by_id)
		inquiry_end(c, c->by_id, unanswered(deferral(c, &c->by_id->question,
			"postern-policyd does not answer (%s): mail is kept and tried again", words)));
}

/* False: the connection is over. */
static bool take_hello(struct door_client *c, struct str body)
{
	unsigned format;
	struct err err;
	if (door_wire_read_hello(body, &format, &err) < 0) {
		lose(c, err.text);
		return false;
	}
	if (format != DOOR_FORMAT) {
		char words[160];
		snprintf(words, sizeof(words), "it is of another version: it speaks format %u, this "
			"program %d; restart the older one", format, DOOR_FORMAT);
		c->retry_ms = LAST_RETRY_MS;
		c->is_greeted = false;
		lose(c, words);
		defer_all(c, words);
		return false;
	}
	/* Whoever greets anew may live by other rules than who made the plans kept here. */
	door_kept_clear(c->kept);
	c->is_greeted = true;
	c->trouble[0] = '\0';
	return true;
}

static void take_plan(struct door_client *c, uint32_t id, struct policy_plan *plan,
	size_t frame_bytes, const struct err *err)
{
	struct inquiry *i;
	HASH_FIND(by_id, c->by_id, &id, sizeof(id), i);
	c->retry_ms = FIRST_RETRY_MS;
	if (!i) { /* nobody waits any more */
		policy_plan_unref(&plan);
		return;
	}
	if (!plan)
		plan = unanswered(deferral(c, &i->question, "the plan of postern-policyd is refused (%s): "
			"mail is kept and tried again", err->text));
	else if (!i->question.wants_evidence)
		door_kept_put(c->kept, str_skip(buf_str(&i->frame), DOOR_WIRE_HEAD_BYTES), plan,
			frame_bytes, tlsio_loop_time_s(c->loop), tlsio_loop_now_ms(c->loop));
	inquiry_end(c, i, plan);
}

static void take_frame(struct door_client *c, const struct door_frame *frame, size_t used)
{
	struct err err = { 0 };
	uint32_t id = frame->id;
	bool is_fine = false;
	if (frame->kind == DOOR_HELLO) {
		if (!take_hello(c, frame->body))
			return;
		is_fine = true;
	} else if (c->is_greeted && frame->kind == DOOR_PLAN) {
		struct policy_plan *plan = door_wire_read_plan(frame->body, &c->authorities, &err);
		tlsio_stream_consume(c->stream, used); /* the owners may do anything now */
		take_plan(c, id, plan, used, &err);
		return;
	} else if (c->is_greeted && frame->kind == DOOR_FORGET) {
		door_kept_clear(c->kept);
		is_fine = true;
	} else if (c->is_greeted && frame->kind == DOOR_SELF_CHECK)
		is_fine = door_wire_read_self_check(frame->body, &c->check, c->check_words, &err) == 0;
	if (is_fine)
		tlsio_stream_consume(c->stream, used);
	else
		lose(c, err.text[0] ? err.text : "it says something out of place");
}

static void on_input(void *ctx)
{
	struct door_client *c = ctx;
	struct door_frame frame;
	struct err err;
	size_t used;
	while (c->stream) {
		int found = door_wire_split(tlsio_stream_input(c->stream),
			DOOR_PLAN_BYTES_MOST, &frame, &used, &err);
		if (found < 0)
			lose(c, err.text);
		if (found <= 0)
			return;
		take_frame(c, &frame, used);
	}
}

static void on_room(void *ctx)
{
	send_what_waits(ctx);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)end;
	lose(ctx, why->text);
}

static const struct tlsio_stream_events stream_events = { .on_input = on_input, .on_room = on_room,
	.on_end = on_end };

static void on_connected(void *ctx, int fd, size_t index, const struct netaddr *local)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = INPUT_BYTES,
		.output_bytes = OUTPUT_BYTES };
	struct door_client *c = ctx;
	(void)index;
	(void)local;
	c->dial = NULL;
	c->trouble[0] = '\0';
	c->stream = tlsio_stream_new(c->loop, tlsio_transport_socket(c->loop, fd), &limits,
		&stream_events, c);
	door_wire_hello(&c->scratch, c->program);
	struct str bytes = buf_str(&c->scratch);
	tlsio_stream_write(c->stream, bytes.at, bytes.length);
	buf_clear(&c->scratch);
	send_what_waits(c);
}

static void on_failed(void *ctx, const struct err *err)
{
	struct door_client *c = ctx;
	c->dial = NULL;
	lose(c, err->text);
}

static void connect_if_needed(struct door_client *c)
{
	static const struct tlsio_dial_events events = { .on_connected = on_connected,
		.on_failed = on_failed };
	bool is_needed = !list_is_empty(&c->unsent) || !list_is_empty(&c->suspects) ||
			 c->reports.length;
	if (is_needed && !c->stream && !c->dial && !tlsio_timer_is_active(&c->retry))
		c->dial = tlsio_dial_start_unix(c->loop, c->socket_path, &events, c);
}

static void on_retry(void *ctx)
{
	connect_if_needed(ctx);
}

/* ---- the front ----------------------------------------------------------------------------------------------------- */

struct door_client *door_client_new(const struct door_client_setup *setup)
{
	struct door_client *c = mem_zero(sizeof(*c));
	c->loop = setup->loop;
	c->socket_path = mem_dup(setup->socket_path);
	c->program = mem_dup(setup->program);
	c->authorities = setup->authorities;
	c->limit_ms = setup->limit_ms ? setup->limit_ms : LIMIT_MS;
	c->kept = door_kept_new(setup->plans_most ? setup->plans_most : PLANS_MOST, KEPT_BYTES_MOST);
	c->retry_ms = FIRST_RETRY_MS;
	c->check = -1;
	list_init(&c->unsent);
	list_init(&c->suspects);
	list_init(&c->by_limit);
	list_init(&c->ready);
	tlsio_timer_init(&c->limit, c->loop, on_limit, c);
	tlsio_timer_init(&c->answer_ready, c->loop, on_answer_ready, c);
	tlsio_timer_init(&c->retry, c->loop, on_retry, c);
	tlsio_timer_init(&c->report, c->loop, on_report, c);
	return c;
}

void door_client_free(struct door_client **pointer)
{
	struct door_client *c = *pointer;
	if (!c)
		return;
	*pointer = NULL;
	while (!list_is_empty(&c->by_limit)) {
		struct door_question *q =
			LIST_OWNER(list_first(&c->by_limit), struct door_question, link);
		door_question_cancel(&q);
	}
	while (!list_is_empty(&c->ready)) {
		struct door_question *q =
			LIST_OWNER(list_first(&c->ready), struct door_question, link);
		door_question_cancel(&q);
	}
	tlsio_timer_stop(&c->limit);
	tlsio_timer_stop(&c->answer_ready);
	tlsio_timer_stop(&c->retry);
	tlsio_timer_stop(&c->report);
	send_reports(c);
	tlsio_dial_cancel(&c->dial);
	tlsio_stream_close(&c->stream);
	door_kept_free(&c->kept);
	buf_release(&c->scratch);
	buf_release(&c->reports);
	free(c->socket_path);
	free(c->program);
	free(c);
}

/* Takes the plan: answered in the next turn. */
static struct door_question *answer_soon(struct door_client *c, struct door_question *q,
	struct policy_plan *plan)
{
	q->plan = plan;
	list_push_back(&c->ready, &q->link);
	if (!tlsio_timer_is_active(&c->answer_ready))
		tlsio_timer_start(&c->answer_ready, 0);
	return q;
}

static bool is_askable(const struct policy_question *question)
{
	size_t rule_bytes = strlen(question->rule_domain), hop_bytes = strlen(question->next_hop);
	return rule_bytes && hop_bytes && rule_bytes <= DOOR_NAME_BYTES_MOST &&
	       hop_bytes <= DOOR_NAME_BYTES_MOST && question->port;
}

struct door_question *door_client_ask(struct door_client *c, const struct policy_question *question,
	void (*on_plan)(void *ctx, struct policy_plan *plan), void *ctx)
{
	struct door_question *q = mem_zero(sizeof(*q));
	q->client = c;
	q->on_plan = on_plan;
	q->ctx = ctx;
	if (!is_askable(question))
		return answer_soon(c, q, deferral(c, question,
			"'%.80s' is no name that can be looked up", question->next_hop));
	buf_clear(&c->scratch);
	door_wire_ask(&c->scratch, 0, question);
	struct str key = str_skip(buf_str(&c->scratch), DOOR_WIRE_HEAD_BYTES);
	struct policy_plan *kept = door_kept_find(
		c->kept, key, tlsio_loop_time_s(c->loop), tlsio_loop_now_ms(c->loop));
	struct inquiry *i;
	HASH_FIND(by_key, c->by_key, key.at, key.length, i);
	buf_clear(&c->scratch);
	if (kept)
		return answer_soon(c, q, policy_plan_ref(kept));
	q->inquiry = i ? i : inquiry_new(c, question);
	list_push_back(&q->inquiry->questions, &q->asked_link);
	q->due_ms = tlsio_loop_now_ms(c->loop) + c->limit_ms;
	list_push_back(&c->by_limit, &q->link);
	if (!tlsio_timer_is_active(&c->limit))
		set_limit(c);
	send_what_waits(c);
	connect_if_needed(c);
	return q;
}

void door_question_cancel(struct door_question **question)
{
	struct door_question *q = *question;
	if (!q)
		return;
	*question = NULL;
	struct inquiry *i = q->inquiry;
	list_remove(&q->link);
	list_remove(&q->asked_link);
	if (i && !i->is_over && list_is_empty(&i->questions)) {
		inquiry_unlink(q->client, i);
		inquiry_free(i);
		send_what_waits(q->client);
	}
	policy_plan_unref(&q->plan);
	free(q);
}

void door_client_report(struct door_client *c, const struct policy_session *session)
{
	if (c->reports.length > REPORT_BYTES_MOST ||
		!door_wire_report(&c->reports, c->reports_lost, session)) {
		c->reports_lost++; /* a count, nothing more */
		return;
	}
	c->reports_lost = 0;
	if (!tlsio_timer_is_active(&c->report))
		tlsio_timer_start(&c->report, REPORT_WAIT_MS);
	else if (c->reports.length >= REPORTS_AT_ONCE_BYTES)
		send_reports(c);
}

void door_client_forget(struct door_client *c, const struct door_authorities *authorities)
{
	c->authorities = *authorities;
	door_kept_clear(c->kept);
}

int door_client_self_check(const struct door_client *c, const char **ret_words)
{
	*ret_words = c->check_words;
	return c->check;
}
