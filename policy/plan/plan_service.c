#include "policy/plan/plan_service.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "policy/plan/plan_domain.h"
#include "policy/plan/plan_keep.h"
#include "policy/plan/plan_restore.h"
#include "policy/plan/plan_whole.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum {
	PLANS_MOST = 20000,
	IN_FLIGHT_MOST = 5000,
	LIMIT_MS = 45000,
	/* This part of the places is for questions whose answer was known lately: a flood of new
	 * names does not shut out those with whom mail is exchanged. */
	PLACES_KEPT_FREE = 16,
	/* Hosts looked up at once, of those 5000 questions: with A and AAAA of each, and one look-up for
	 * every question besides, the resolver still has room (it takes 10000). */
	HOSTS_PERCENT = 40,
	NAME_BYTES_MOST = 255,
	/* evidence?, kind, port, two names with their NUL */
	KEY_BYTES_MOST = 4 + 2 * (NAME_BYTES_MOST + 1),
};

/* A question as bytes, names in lower case. Kept plans leave the first byte out. */
struct key {
	size_t length;
	char bytes[KEY_BYTES_MOST];
};

struct job {
	UT_hash_handle hh;
	struct plan_service *service;
	struct list askers;
	struct plan_domain *work;
	int64_t deadline_ms;
	bool is_stale; /* something changed meanwhile: the plan is not kept */
	struct policy_question question; /* names point into key */
	struct key key;
};

struct plan_question {
	struct list link; /* of its job, or of those ready */
	struct job *job;  /* NULL: ready */
	struct policy_plan *plan;
	void (*on_plan)(void *ctx, struct policy_plan *plan);
	void *ctx;
};

struct plan_service {
	struct plan_means means;
	struct policy_rules *rules;
	struct plan_keep *keep;
	struct job *jobs;
	struct list ready;
	struct tlsio_turn turn;
	size_t in_flight_most;
	int64_t limit_ms;
	struct plan_service_counts counts;
};

/* ---- keys ------------------------------------------------------------------------------------- */

static bool add_name(struct key *key, const char *name)
{
	size_t length = 0;
	char *into = key->bytes + key->length;
	for (; name[length]; length++) {
		if (length == NAME_BYTES_MOST)
			return false;
		into[length] = str_lower(name[length]);
	}
	if (length > 1 && into[length - 1] == '.')
		length--;
	into[length] = '\0';
	key->length += length + 1;
	return true;
}

/* False: a name is longer than any. */
static bool make_key(const struct policy_question *question, struct key *ret)
{
	ret->bytes[0] = question->wants_evidence ? 1 : 0;
	ret->bytes[1] = (char)question->kind;
	ret->bytes[2] = (char)(question->port >> 8);
	ret->bytes[3] = (char)(question->port & 0xff);
	ret->length = 4;
	return add_name(ret, question->rule_domain) && add_name(ret, question->next_hop);
}

static struct str kept_key(const struct key *key)
{
	return str_from(key->bytes + 1, key->length - 1);
}

static struct plan_keep_time now(const struct plan_service *service)
{
	return (struct plan_keep_time){ tlsio_loop_time_s(service->means.loop),
		tlsio_loop_now_ms(service->means.loop) };
}

/* ---- questions that are answered -------------------------------------------------------------- */

static void deliver(void *ctx)
{
	struct plan_service *s = ctx;
	struct list *node;
	while ((node = list_first(&s->ready))) {
		struct plan_question *q = LIST_OWNER(node, struct plan_question, link);
		list_remove(node);
		q->on_plan(q->ctx, q->plan);
		policy_plan_unref(&q->plan);
		free(q);
	}
}

/* Shares plan. */
static void answer_later(struct plan_service *s, struct plan_question *q, struct policy_plan *plan)
{
	list_remove(&q->link);
	q->job = NULL;
	q->plan = policy_plan_ref(plan);
	list_push_back(&s->ready, &q->link);
	tlsio_turn_request(&s->turn);
}

static struct policy_plan *defer(struct plan_service *s, const struct policy_question *question,
	const char *why)
{
	int64_t now_s = tlsio_loop_time_s(s->means.loop);
	struct policy_plan *plan = policy_plan_new(question->rule_domain, question->next_hop);
	struct plan_whole_facts facts = { .next_hop = question->next_hop, .sts = s->means.sts,
		.is_by_mx = question->kind == POLICY_BY_MX,
		.rule = policy_rules_find(s->rules, str_of(question->rule_domain), now_s) };
	plan->whole = plan_whole_new(&facts);
	memcpy(plan->rule_fingerprint, facts.rule->fingerprint, sizeof(facts.rule->fingerprint));
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "%s", why);
	plan->made_s = now_s;
	plan->expires_s = now_s + PLAN_TTL_LEAST_S;
	return plan;
}

static void refuse(struct plan_service *s, struct plan_question *q,
	const struct policy_question *question, const char *why)
{
	struct policy_plan *plan = defer(s, question, why);
	s->counts.refused++;
	answer_later(s, q, plan);
	policy_plan_unref(&plan);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static void free_job(struct job *job)
{
	HASH_DEL(job->service->jobs, job);
	plan_domain_free(&job->work);
	free(job);
}

static void on_made(void *ctx, struct policy_plan *plan)
{
	struct job *job = ctx;
	struct plan_service *s = job->service;
	struct list *node;
	s->counts.made++;
	if (plan->state == POLICY_PLAN_DEFER)
		s->counts.deferred++;
	if (job->is_stale) /* nor is it for the askers to keep */
		plan->expires_s = plan->made_s;
	else
		plan_keep_put(s->keep, kept_key(&job->key), plan, job->question.wants_evidence,
			now(s));
	while ((node = list_first(&job->askers)))
		answer_later(s, LIST_OWNER(node, struct plan_question, link), plan);
	policy_plan_unref(&plan);
	free_job(job);
}

static void start_work(struct job *job)
{
	struct plan_service *s = job->service;
	int64_t left_ms = job->deadline_ms - tlsio_loop_now_ms(s->means.loop);
	job->work = plan_domain_start(&s->means, &job->question, s->rules, left_ms,
		plan_keep_knows(s->keep, kept_key(&job->key)), on_made, job);
}

static struct job *new_job(struct plan_service *s, const struct policy_question *question,
	const struct key *key)
{
	struct job *job = mem_zero(sizeof(*job));
	job->service = s;
	job->key = *key;
	job->question = *question;
	job->question.rule_domain = job->key.bytes + 4;
	job->question.next_hop = job->question.rule_domain + strlen(job->question.rule_domain) + 1;
	job->deadline_ms = tlsio_loop_now_ms(s->means.loop) + s->limit_ms;
	list_init(&job->askers);
	HASH_ADD(hh, s->jobs, key.bytes, job->key.length, job);
	start_work(job);
	return job;
}

/* One in flight that tells enough: with evidence it serves those without, too. */
static struct job *find_job(struct plan_service *s, struct key *key)
{
	struct job *job;
	char wanted = key->bytes[0];
	HASH_FIND(hh, s->jobs, key->bytes, key->length, job);
	if (!job && !wanted) {
		key->bytes[0] = 1;
		HASH_FIND(hh, s->jobs, key->bytes, key->length, job);
		key->bytes[0] = wanted;
	}
	return job;
}

static bool has_place(const struct plan_service *s, const struct key *key)
{
	size_t count = HASH_COUNT(s->jobs);
	size_t for_strangers = s->in_flight_most - s->in_flight_most / PLACES_KEPT_FREE;
	return count < for_strangers ||
		(count < s->in_flight_most && plan_keep_knows(s->keep, kept_key(key)));
}

/* ---- from outside ----------------------------------------------------------------------------- */

struct plan_service *plan_service_new(const struct plan_service_setup *setup)
{
	struct plan_service *s = mem_zero(sizeof(*s));
	s->means.loop = setup->loop;
	s->means.dns = setup->dns;
	s->means.sts = setup->sts;
	s->means.roots = setup->roots ? tlsio_trust_ref(setup->roots) : NULL;
	s->means.roots_name = mem_dup(setup->roots_name ? setup->roots_name : "");
	if (setup->roots_sha256)
		memcpy(s->means.roots_sha256, setup->roots_sha256, sizeof(s->means.roots_sha256));
	s->means.tally = setup->tally;
	s->rules = policy_rules_ref(setup->rules);
	s->keep = plan_keep_new(setup->plans_most ? setup->plans_most : PLANS_MOST);
	s->in_flight_most = setup->in_flight_most ? setup->in_flight_most : IN_FLIGHT_MOST;
	s->limit_ms = setup->limit_ms ? setup->limit_ms : LIMIT_MS;
	s->means.places.most = s->in_flight_most * HOSTS_PERCENT / 100;
	if (s->means.places.most < POLICY_PLAN_HOSTS_MOST)
		s->means.places.most = POLICY_PLAN_HOSTS_MOST;
	list_init(&s->means.places.waiting);
	list_init(&s->ready);
	tlsio_turn_init(&s->turn, setup->loop, deliver, s);
	return s;
}

static void free_questions(struct list *questions)
{
	struct list *node;
	while ((node = list_first(questions))) {
		struct plan_question *q = LIST_OWNER(node, struct plan_question, link);
		list_remove(node);
		policy_plan_unref(&q->plan);
		free(q);
	}
}

void plan_service_free(struct plan_service **service)
{
	struct plan_service *s = *service;
	struct job *job, *next;
	*service = NULL;
	if (!s)
		return;
	HASH_ITER (hh, s->jobs, job, next) {
		free_questions(&job->askers);
		free_job(job);
	}
	free_questions(&s->ready);
	tlsio_turn_cancel(&s->turn);
	plan_keep_free(&s->keep);
	policy_rules_unref(&s->rules);
	tlsio_trust_unref(&s->means.roots);
	free(s->means.roots_name);
	free(s);
}

void plan_service_set_rules(struct plan_service *s, struct policy_rules *rules)
{
	struct policy_rules *old = s->rules;
	struct job *job, *next;
	plan_keep_clear(s->keep);
	s->rules = policy_rules_ref(rules);
	HASH_ITER (hh, s->jobs, job, next) {
		plan_domain_free(&job->work);
		start_work(job);
	}
	policy_rules_unref(&old); /* the work before pointed at it */
}

struct policy_plan *plan_service_find(struct plan_service *s, const struct policy_question *question)
{
	struct key key;
	if (!make_key(question, &key))
		return NULL;
	struct policy_plan *plan =
		plan_keep_find(s->keep, kept_key(&key), question->wants_evidence, now(s));
	if (plan)
		s->counts.found++;
	return plan;
}

struct plan_question *plan_service_ask(struct plan_service *s, const struct policy_question *question,
	void (*on_plan)(void *ctx, struct policy_plan *plan), void *ctx)
{
	struct plan_question *q = mem_zero(sizeof(*q));
	struct key key;
	q->on_plan = on_plan;
	q->ctx = ctx;
	s->counts.asked++;
	if (!make_key(question, &key)) {
		refuse(s, q, question, "the name of the domain is longer than any can be");
		return q;
	}
	struct policy_plan *plan =
		plan_keep_find(s->keep, kept_key(&key), question->wants_evidence, now(s));
	if (plan) {
		s->counts.found++;
		answer_later(s, q, plan);
		return q;
	}
	q->job = find_job(s, &key);
	if (!q->job && !has_place(s, &key)) {
		refuse(s, q, question, "too many domains are being looked up at this moment");
		return q;
	}
	if (!q->job)
		q->job = new_job(s, question, &key);
	list_push_back(&q->job->askers, &q->link);
	return q;
}

void plan_question_cancel(struct plan_question **question)
{
	struct plan_question *q = *question;
	*question = NULL;
	if (!q)
		return;
	list_remove(&q->link);
	if (q->job && list_is_empty(&q->job->askers))
		free_job(q->job);
	policy_plan_unref(&q->plan);
	free(q);
}

struct policy_plan *plan_service_known(struct plan_service *s, const struct policy_question *question)
{
	return defer(s, question, "not looked up yet");
}

void plan_service_tally(struct plan_service *s, const struct policy_session *session, uint32_t lost)
{
	if (s->means.tally)
		tlsrpt_tally_add_named(s->means.tally, session, lost);
}

void plan_service_forget(struct plan_service *s, const char *domain)
{
	struct job *job, *next;
	plan_keep_forget(s->keep, domain);
	HASH_ITER (hh, s->jobs, job, next) {
		if (plan_domain_has_policy(job->work) &&
			str_equal_nocase(str_of(job->question.next_hop), str_of(domain)))
			job->is_stale = true;
	}
}

/* ---- plans of a life before ------------------------------------------------------------------- */

struct visitor {
	void (*on_kept)(void *ctx, const struct plan_service_kept *kept);
	void *ctx;
};

static void visit(void *ctx, struct str key, struct policy_plan *plan, bool has_evidence)
{
	const struct visitor *v = ctx;
	const unsigned char *at = (const unsigned char *)key.at;
	const struct plan_service_kept kept = { .kind = (enum policy_question_kind)at[0],
		.port = (uint16_t)(at[1] << 8 | at[2]), .has_evidence = has_evidence, .plan = plan };
	if (plan->state != POLICY_PLAN_DEFER)
		v->on_kept(v->ctx, &kept);
}

void plan_service_each(const struct plan_service *s,
	void (*on_kept)(void *ctx, const struct plan_service_kept *kept), void *ctx)
{
	struct visitor v = { on_kept, ctx };
	plan_keep_each(s->keep, visit, &v);
}

enum plan_restored plan_service_restore(struct plan_service *s, const struct plan_service_kept *kept)
{
	struct policy_question question = { .kind = kept->kind, .port = kept->port,
		.rule_domain = kept->plan->rule_domain, .next_hop = kept->plan->next_hop,
		.wants_evidence = kept->has_evidence };
	struct key key;
	if (!make_key(&question, &key))
		return PLAN_ODD;
	enum plan_restored result =
		plan_restore(kept, s->rules, s->means.sts, tlsio_loop_time_s(s->means.loop));
	for (size_t i = 0; result == PLAN_RESTORED && s->means.tally && i < kept->plan->whole->word_count;
		i++)
		tlsrpt_tally_know_text(s->means.tally, str_of(kept->plan->whole->words[i]));
	if (result == PLAN_RESTORED)
		plan_keep_put(s->keep, kept_key(&key), kept->plan, kept->has_evidence, now(s));
	return result;
}

void plan_service_count(const struct plan_service *s, struct plan_service_counts *ret)
{
	*ret = s->counts;
	ret->kept = plan_keep_count(s->keep);
	ret->in_flight = HASH_COUNT(s->jobs);
	ret->has_untold = !list_is_empty(&s->ready);
}
