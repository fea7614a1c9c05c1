#include "policy/sts/sts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"

#define DAY_S INT64_C(86400)

enum {
	DOMAIN_BYTES_MOST = 240,  /* with "mta-sts." or "_mta-sts." still a name */
	DOMAINS_MOST = 20000,	  /* idle ones remembered, with their TXT record */
	FETCHES_MOST = 1500,	  /* in flight, most of them waiting in the fetcher */
	FETCHES_OF_STRANGERS = 1000, /* of them for domains without a policy in force */
	RECORD_LEAST_S = 60,	  /* a TXT record is not asked for more often */
	RECORD_MOST_S = 86400,	  /* nor more seldom than policies are refreshed */
	ABSENCE_MOST_S = 1800,	  /* "no such record" may be a domain that is about to begin */
	REFRESH_TICK_MS = 60000,
	FLUSH_AGAIN_MS = 10000, /* after trouble with the disk */
	REFRESH_PER_TICK = 100,
	RUNS_OUT_S = 2 * 86400,	  /* an enforced policy that cannot be fetched: said from here on */
};

struct domain {
	UT_hash_handle hh;
	struct sts *sts;
	char *name;
	struct list idle;      /* on sts->idle while nothing goes on */
	struct list step;      /* on sts->steps: to be looked at, at the end of this turn */
	struct list questions;
	struct dns_question *txt;
	int64_t record_until_ms; /* the record counts until then; 0 never asked */
	enum sts_record_result record;
	enum dns_result record_result;
	enum dns_security record_security;
	char record_id[STS_ID_BYTES];
	struct sts_fetch *fetch;
	char fetch_id[STS_ID_BYTES];
	struct tlsio_timer patience; /* questions wait for the fetch until it is due */
	bool is_impatient;
	bool wants_refresh;
	struct sts_cache_entry kept; /* what the cache had no room for */
	bool has_kept;
	int64_t warned_s;
};

struct sts {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts_events events;
	void *ctx;
	int64_t first_wait_ms;
	struct sts_cache *cache;
	struct sts_fetcher *fetcher;
	struct domain *domains;
	struct list idle; /* the longest idle first */
	size_t idle_count;
	size_t fetches;
	struct list steps;
	struct tlsio_turn turn;
	struct tlsio_timer refresh;
	struct tlsio_timer flush_again; /* running: the disk rests */
};

struct sts_question {
	struct list link;
	struct domain *domain;
	void (*on_answer)(void *ctx, const struct sts_answer *answer);
	void *ctx;
};

static int64_t now_s(const struct sts *sts)
{
	return tlsio_loop_time_s(sts->loop);
}

static void warn(struct sts *sts, const char *words)
{
	if (sts->events.on_warning)
		sts->events.on_warning(sts->ctx, words);
}

/* --- domains ------------------------------------------------------------------------------------- */

static void free_domain(struct domain *d)
{
	HASH_DEL(d->sts->domains, d);
	if (list_is_linked(&d->idle))
		d->sts->idle_count--;
	list_remove(&d->idle);
	list_remove(&d->step);
	tlsio_timer_stop(&d->patience);
	dns_cancel(&d->txt);
	sts_fetch_cancel(&d->fetch);
	sts_policy_unref(&d->kept.policy);
	free(d->name);
	free(d);
}

static void look_later(struct domain *d)
{
	if (list_is_linked(&d->idle))
		d->sts->idle_count--;
	list_remove(&d->idle);
	if (!list_is_linked(&d->step))
		list_push_back(&d->sts->steps, &d->step);
	tlsio_turn_request(&d->sts->turn);
}

static void on_impatient(void *ctx)
{
	struct domain *d = ctx;
	d->is_impatient = true;
	look_later(d);
}

static struct domain *domain_of(struct sts *sts, const char *name)
{
	struct domain *d;
	char *lower = mem_dup(name);
	str_lower_in_place(lower, strlen(lower));
	HASH_FIND_STR(sts->domains, lower, d);
	if (d) {
		free(lower);
		return d;
	}
	d = mem_zero(sizeof(*d));
	d->sts = sts;
	d->name = lower;
	list_init(&d->questions);
	tlsio_timer_init(&d->patience, sts->loop, on_impatient, d);
	HASH_ADD_KEYPTR(hh, sts->domains, d->name, strlen(d->name), d);
	return d;
}

static bool is_idle(const struct domain *d)
{
	return list_is_empty(&d->questions) && !d->txt && !d->fetch && !d->wants_refresh &&
		!list_is_linked(&d->step);
}

static void rest_if_idle(struct domain *d)
{
	struct sts *sts = d->sts;
	if (!is_idle(d) || list_is_linked(&d->idle))
		return;
	list_push_back(&sts->idle, &d->idle);
	sts->idle_count++;
	while (sts->idle_count > DOMAINS_MOST)
		free_domain(LIST_OWNER(list_first(&sts->idle), struct domain, idle));
}

/* With a policy of one's own, to unref. */
static struct sts_cache_entry entry_of(struct domain *d)
{
	struct sts_cache_entry entry = { 0 };
	if (sts_cache_get(d->sts->cache, d->name, &entry) || !d->has_kept)
		return entry;
	entry = d->kept;
	if (entry.policy)
		sts_policy_ref(entry.policy);
	return entry;
}

static void keep_entry(struct domain *d, const struct sts_cache_entry *entry)
{
	struct sts_cache_entry there = { 0 };
	struct sts_policy *old = d->kept.policy;
	sts_cache_put(d->sts->cache, d->name, entry);
	bool is_there = sts_cache_get(d->sts->cache, d->name, &there);
	sts_policy_unref(&there.policy);
	d->has_kept = !is_there;
	d->kept = is_there ? (struct sts_cache_entry){ 0 } : *entry;
	if (d->kept.policy)
		sts_policy_ref(d->kept.policy);
	sts_policy_unref(&old);
	tlsio_turn_request(&d->sts->turn); /* where the cache is flushed */
}

/* --- the TXT record ------------------------------------------------------------------------------ */

static void on_txt(void *ctx, const struct dns_answer *answer)
{
	struct domain *d = ctx;
	struct str texts[DNS_RECORDS_MOST];
	uint32_t ttl_s = answer->ttl_s;
	size_t count = answer->result == DNS_FOUND ? answer->count : 0;
	for (size_t i = 0; i < count && i < DNS_RECORDS_MOST; i++)
		texts[i] = answer->records[i].data;
	d->txt = NULL;
	d->record_id[0] = '\0';
	d->record = sts_record_choose(texts, count, d->record_id);
	d->record_result = answer->result;
	d->record_security = answer->security;
	if (d->record != STS_RECORD_FOUND && ttl_s > ABSENCE_MOST_S)
		ttl_s = ABSENCE_MOST_S;
	if (ttl_s > RECORD_MOST_S)
		ttl_s = RECORD_MOST_S;
	if (ttl_s < RECORD_LEAST_S || answer->result == DNS_FAILED)
		ttl_s = RECORD_LEAST_S;
	d->record_until_ms = tlsio_loop_now_ms(d->sts->loop) + (int64_t)ttl_s * 1000;
	look_later(d);
}

static bool is_record_fresh(const struct domain *d)
{
	return d->record_until_ms > tlsio_loop_now_ms(d->sts->loop);
}

static void ask_txt(struct domain *d)
{
	char name[DOMAIN_BYTES_MOST + 16];
	snprintf(name, sizeof(name), "_mta-sts.%s", d->name);
	d->txt = dns_ask(d->sts->dns, name, DNS_TXT, on_txt, d);
}

/* --- fetching ------------------------------------------------------------------------------------ */

static bool is_other_policy(const struct sts_policy *a, const struct sts_policy *b)
{
	return !str_equal(str_from(a->text, a->text_bytes), str_from(b->text, b->text_bytes));
}

static void note_policy(struct domain *d, struct sts_cache_entry *e, struct sts_policy *policy)
{
	struct sts *sts = d->sts;
	struct sts_policy *old = e->policy;
	bool is_change = !sts_cache_is_live(e, now_s(sts)) || is_other_policy(old, policy);
	*e = (struct sts_cache_entry){ .policy = sts_policy_ref(policy),
		.fetched_s = now_s(sts), .used_s = e->used_s };
	memcpy(e->id, d->fetch_id, sizeof(e->id));
	sts_policy_unref(&old);
	if (is_change && sts->events.on_change)
		sts->events.on_change(sts->ctx, d->name);
}

/* The policy stays what it was. */
static void note_failure(struct domain *d, struct sts_cache_entry *e, const struct sts_fetched *result)
{
	struct sts *sts = d->sts;
	char words[500];
	bool is_again = e->failures > 0 && strcmp(e->failed_id, d->fetch_id) == 0;
	e->failures = is_again ? e->failures + 1 : 1;
	e->failed_s = now_s(sts);
	memcpy(e->failed_id, d->fetch_id, sizeof(e->failed_id));
	e->failure_reason = result->reason;
	str_copy(str_of(result->why), e->failure, sizeof(e->failure));
	if (!sts_cache_is_live(e, now_s(sts)) || e->policy->mode != POLICY_STS_ENFORCE)
		return;
	int64_t left_s = e->fetched_s + e->policy->max_age_s - now_s(sts);
	bool is_said = d->warned_s != 0 && now_s(sts) >= d->warned_s &&
		now_s(sts) < d->warned_s + DAY_S;
	if (left_s >= RUNS_OUT_S || is_said)
		return;
	d->warned_s = now_s(sts);
	snprintf(words, sizeof(words),
		"the MTA-STS policy of %s (enforce) runs out in %lld hours and cannot be fetched "
		"again: %s",
		d->name, (long long)(left_s / 3600), result->why);
	warn(sts, words);
}

static void on_fetched(void *ctx, const struct sts_fetched *result)
{
	struct domain *d = ctx;
	struct sts_cache_entry e = entry_of(d);
	d->fetch = NULL;
	d->sts->fetches--;
	tlsio_timer_stop(&d->patience);
	/* Who waits here uses it. */
	if (!list_is_empty(&d->questions) || e.used_s == 0)
		e.used_s = now_s(d->sts);
	if (result->policy)
		note_policy(d, &e, result->policy);
	else
		note_failure(d, &e, result);
	keep_entry(d, &e);
	sts_policy_unref(&e.policy);
	look_later(d);
}

static void start_fetch(struct domain *d, const char *id, bool is_in_force)
{
	str_copy(str_of(id), d->fetch_id, sizeof(d->fetch_id));
	d->sts->fetches++;
	d->is_impatient = d->sts->first_wait_ms == 0;
	if (!d->is_impatient)
		tlsio_timer_start(&d->patience, d->sts->first_wait_ms);
	d->fetch = sts_fetch_start(d->sts->fetcher, d->name, is_in_force, on_fetched, d);
}

/* M10: one id, one try in a while. */
static bool may_fetch(const struct domain *d, const struct sts_cache_entry *e, const char *id)
{
	int64_t now = now_s(d->sts);
	return e->failures == 0 || strcmp(e->failed_id, id) != 0 || now >= sts_cache_retry_s(e) ||
		now < e->failed_s; /* the clock was set back */
}

/* --- the decision -------------------------------------------------------------------------------- */

/* RFC 8461 3.3: what the TXT record says, against what is kept. Whatever the row, a policy in force
 * stays in force until a fetched one replaces it or its time is over. */
enum txt_case {
	TXT_NOTHING, /* absent, invalid, SERVFAIL, time-out, bogus */
	TXT_SAME_ID,
	TXT_NEW_ID,
};
enum cache_case { CACHE_NONE, CACHE_LIVE }; /* NONE: never fetched, or run out */

static const struct decision {
	bool fetches; /* questions wait for it, within first_wait */
} decisions[3][2] = {
	[TXT_NOTHING] = {
		[CACHE_NONE] = { .fetches = false }, /* no policy (M20) */
		[CACHE_LIVE] = { .fetches = false }, /* the one in force (M4, M20) */
	},
	[TXT_SAME_ID] = {
		[CACHE_NONE] = { .fetches = true },  /* ran out: fetched anew, else none */
		[CACHE_LIVE] = { .fetches = false }, /* the one in force; restarts nothing (M19) */
	},
	[TXT_NEW_ID] = {
		[CACHE_NONE] = { .fetches = true },  /* first contact (M23): fetched, else none */
		[CACHE_LIVE] = { .fetches = true },  /* fetched, else the one in force (M18) */
	},
};

static const struct decision *decide(const struct domain *d, const struct sts_cache_entry *e)
{
	enum txt_case txt = TXT_NOTHING;
	if (d->record == STS_RECORD_FOUND)
		txt = e->policy && strcmp(d->record_id, e->id) == 0 ? TXT_SAME_ID : TXT_NEW_ID;
	return &decisions[txt][sts_cache_is_live(e, now_s(d->sts)) ? CACHE_LIVE : CACHE_NONE];
}

static struct sts_answer make_answer(const struct domain *d, const struct sts_cache_entry *e,
	bool is_waiting)
{
	int64_t left_ms = d->record_until_ms - tlsio_loop_now_ms(d->sts->loop);
	struct sts_answer a = { .record = d->record, .record_result = d->record_result,
		.record_security = d->record_security, .failure_reason = e->failure_reason,
		.failed_s = e->failed_s };
	memcpy(a.record_id, d->record_id, sizeof(a.record_id));
	memcpy(a.failure, e->failure, sizeof(a.failure));
	a.record_ttl_s = left_ms > RECORD_LEAST_S * 1000 ? (uint32_t)(left_ms / 1000)
							 : RECORD_LEAST_S;
	if (sts_cache_is_live(e, now_s(d->sts))) {
		a.policy = e->policy;
		memcpy(a.id, e->id, sizeof(a.id));
		a.fetched_s = e->fetched_s;
		a.expires_s = e->fetched_s + e->policy->max_age_s;
	}
	a.is_waiting = is_waiting && !a.policy;
	return a;
}

/* Those who ask while they hear the answer are others' business: their turn comes. */
static void answer_all(struct domain *d, const struct sts_answer *answer)
{
	struct list waiting, *node;
	list_init(&waiting);
	while ((node = list_first(&d->questions))) {
		list_remove(node);
		list_push_back(&waiting, node);
	}
	while ((node = list_first(&waiting))) {
		struct sts_question *q = LIST_OWNER(node, struct sts_question, link);
		list_remove(node);
		q->on_answer(q->ctx, answer);
		free(q);
	}
}

static void note_use(struct domain *d, struct sts_cache_entry *e)
{
	int64_t now = now_s(d->sts);
	bool is_known = e->policy || e->failures > 0;
	if (!is_known || (e->used_s <= now && now < e->used_s + DAY_S))
		return; /* to the day is enough, and spares the disk */
	e->used_s = now;
	keep_entry(d, e);
}

/* The record is fresh. */
static void answer_or_fetch(struct domain *d, struct sts_cache_entry *e)
{
	bool is_live = sts_cache_is_live(e, now_s(d->sts));
	bool has_room = d->sts->fetches < (is_live ? FETCHES_MOST : FETCHES_OF_STRANGERS);
	bool may = decide(d, e)->fetches && may_fetch(d, e, d->record_id);
	if (d->wants_refresh && !d->fetch && has_room) {
		d->wants_refresh = false;
		start_fetch(d, d->record == STS_RECORD_FOUND ? d->record_id : e->id, is_live);
	} else if (may && !d->fetch && has_room) {
		start_fetch(d, d->record_id, is_live);
	}
	if (list_is_empty(&d->questions) || (may && d->fetch && !d->is_impatient))
		return;
	note_use(d, e);
	struct sts_answer answer = make_answer(d, e, may);
	answer_all(d, &answer);
}

static void look(struct domain *d)
{
	bool is_asked = !list_is_empty(&d->questions);
	if (d->txt || (!is_asked && !d->wants_refresh))
		return;
	if (strlen(d->name) > DOMAIN_BYTES_MOST) { /* no name has so much in front */
		d->record_result = DNS_NO_NAME;
		d->record_until_ms = INT64_MAX / 2;
	} else if (!is_record_fresh(d)) {
		ask_txt(d);
		return;
	}
	struct sts_cache_entry entry = entry_of(d);
	struct sts_policy *held = entry.policy;
	answer_or_fetch(d, &entry);
	sts_policy_unref(&held);
}

static void on_end_of_turn(void *ctx)
{
	struct sts *sts = ctx;
	struct list *node;
	while ((node = list_first(&sts->steps))) {
		struct domain *d = LIST_OWNER(node, struct domain, step);
		list_remove(node);
		look(d);
		rest_if_idle(d);
	}
	if (!tlsio_timer_is_active(&sts->flush_again) && !sts_cache_flush(sts->cache))
		tlsio_timer_start(&sts->flush_again, FLUSH_AGAIN_MS);
}

static void on_flush_again(void *ctx)
{
	struct sts *sts = ctx;
	tlsio_turn_request(&sts->turn);
}

/* --- refresh ------------------------------------------------------------------------------------- */

static void on_due_domain(void *ctx, const char *name)
{
	struct domain *d = domain_of(ctx, name);
	if (!d->fetch)
		d->wants_refresh = true;
	look_later(d);
}

static void on_refresh(void *ctx)
{
	struct sts *sts = ctx;
	if (sts->fetches < FETCHES_MOST - REFRESH_PER_TICK)
		sts_cache_due(sts->cache, now_s(sts), REFRESH_PER_TICK, on_due_domain, sts);
	tlsio_timer_start(&sts->refresh, REFRESH_TICK_MS);
}

/* --- the door ------------------------------------------------------------------------------------ */

static void on_cache_warning(void *ctx, const char *words)
{
	warn(ctx, words);
}

struct sts *sts_new(struct tlsio_loop *loop, struct dns *dns, const struct sts_settings *settings,
	enum sts_cache_mode cache_mode, const struct sts_events *events, void *ctx, struct err *err)
{
	struct sts *sts = mem_zero(sizeof(*sts));
	sts->loop = loop;
	sts->dns = dns;
	sts->ctx = ctx;
	if (events)
		sts->events = *events;
	sts->first_wait_ms = settings->first_wait_ms;
	list_init(&sts->idle);
	list_init(&sts->steps);
	tlsio_turn_init(&sts->turn, loop, on_end_of_turn, sts);
	tlsio_timer_init(&sts->refresh, loop, on_refresh, sts);
	tlsio_timer_init(&sts->flush_again, loop, on_flush_again, sts);
	sts->cache = sts_cache_open(settings->cache, cache_mode, (size_t)settings->entries_most,
		on_cache_warning, sts, err);
	if (sts->cache)
		sts->fetcher = sts_fetcher_new(loop, dns, settings, err);
	if (!sts->fetcher) {
		sts_free(&sts);
		return NULL;
	}
	if (cache_mode == STS_CACHE_READ_WRITE)
		tlsio_timer_start(&sts->refresh, REFRESH_TICK_MS);
	return sts;
}

void sts_free(struct sts **psts)
{
	struct sts *sts = *psts;
	struct domain *d, *next;
	*psts = NULL;
	if (!sts)
		return;
	tlsio_timer_stop(&sts->refresh);
	tlsio_timer_stop(&sts->flush_again);
	tlsio_turn_cancel(&sts->turn);
	HASH_ITER (hh, sts->domains, d, next) {
		assert(list_is_empty(&d->questions)); /* whoever asks cancels */
		free_domain(d);
	}
	sts_fetcher_free(&sts->fetcher);
	sts_cache_close(&sts->cache);
	free(sts);
}

struct sts_question *sts_ask(struct sts *sts, const char *domain,
	void (*on_answer)(void *ctx, const struct sts_answer *answer), void *ctx)
{
	struct sts_question *q = mem_zero(sizeof(*q));
	q->domain = domain_of(sts, domain);
	q->on_answer = on_answer;
	q->ctx = ctx;
	list_push_back(&q->domain->questions, &q->link);
	look_later(q->domain);
	return q;
}

struct sts_policy *sts_known(struct sts *sts, const char *domain)
{
	struct sts_cache_entry e;
	if (!sts_cache_get(sts->cache, domain, &e))
		return NULL;
	if (!sts_cache_is_live(&e, now_s(sts)))
		sts_policy_unref(&e.policy);
	return e.policy;
}

void sts_cancel(struct sts_question **question)
{
	struct sts_question *q = *question;
	*question = NULL;
	if (!q)
		return;
	list_remove(&q->link);
	look_later(q->domain); /* to rest, if nobody else asks */
	free(q);
}
