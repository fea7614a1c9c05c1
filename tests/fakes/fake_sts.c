#include "tests/fakes/fake_sts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"

#define HOUR_S 3600

struct said {
	UT_hash_handle hh;
	char *domain;
	struct sts_answer answer; /* with a policy of its own */
	int64_t delay_ms;
	unsigned asked;
};

struct sts {
	struct tlsio_loop *loop;
	struct sts_events events;
	void *ctx;
	struct said *said;
	size_t open;
};

struct sts_question {
	struct sts *sts;
	struct said *said;
	struct tlsio_timer timer;
	void (*on_answer)(void *ctx, const struct sts_answer *answer);
	void *ctx;
};

struct sts *sts_new(struct tlsio_loop *loop, struct dns *dns, const struct sts_settings *settings,
	enum sts_cache_mode cache_mode, const struct sts_events *events, void *ctx, struct err *err)
{
	(void)dns;
	(void)settings;
	(void)cache_mode;
	(void)err;
	struct sts *sts = mem_zero(sizeof(*sts));
	sts->loop = loop;
	sts->ctx = ctx;
	if (events)
		sts->events = *events;
	return sts;
}

void sts_free(struct sts **psts)
{
	struct sts *sts = *psts;
	*psts = NULL;
	if (!sts)
		return;
	assert(sts->open == 0); /* whoever asks cancels */
	struct said *said, *next;
	HASH_ITER (hh, sts->said, said, next) {
		HASH_DEL(sts->said, said);
		sts_policy_unref(&said->answer.policy);
		free(said->domain);
		free(said);
	}
	free(sts);
}

static struct said *find_said(const struct sts *sts, const char *domain)
{
	struct said *said;
	HASH_FIND_STR(sts->said, domain, said);
	return said;
}

static struct said *said_of(struct sts *sts, const char *domain)
{
	struct said *said = find_said(sts, domain);
	if (said)
		return said;
	said = mem_zero(sizeof(*said));
	said->domain = mem_dup(domain);
	said->answer = (struct sts_answer){ .record = STS_RECORD_ABSENT,
		.record_result = DNS_NO_NAME, .record_ttl_s = HOUR_S };
	HASH_ADD_KEYPTR(hh, sts->said, said->domain, strlen(said->domain), said);
	return said;
}

static void on_due(void *ctx)
{
	struct sts_question *q = ctx;
	/* What the test says while the answer is heard must not pull it away. */
	struct sts_answer answer = q->said->answer;
	if (answer.policy)
		sts_policy_ref(answer.policy);
	q->sts->open--;
	q->on_answer(q->ctx, &answer);
	sts_policy_unref(&answer.policy);
	free(q);
}

struct sts_question *sts_ask(struct sts *sts, const char *domain,
	void (*on_answer)(void *ctx, const struct sts_answer *answer), void *ctx)
{
	struct sts_question *q = mem_zero(sizeof(*q));
	q->sts = sts;
	q->said = said_of(sts, domain);
	q->said->asked++;
	q->on_answer = on_answer;
	q->ctx = ctx;
	sts->open++;
	tlsio_timer_init(&q->timer, sts->loop, on_due, q);
	if (q->said->delay_ms >= 0)
		tlsio_timer_start(&q->timer, q->said->delay_ms);
	return q;
}

struct sts_policy *sts_known(struct sts *sts, const char *domain)
{
	struct said *said = find_said(sts, domain);
	return said && said->answer.policy ? sts_policy_ref(said->answer.policy) : NULL;
}

void sts_cancel(struct sts_question **question)
{
	struct sts_question *q = *question;
	*question = NULL;
	if (!q)
		return;
	q->sts->open--;
	tlsio_timer_stop(&q->timer);
	free(q);
}

void fake_sts_set(struct sts *sts, const char *domain, const struct sts_answer *answer)
{
	struct said *said = said_of(sts, domain);
	struct sts_policy *old = said->answer.policy;
	said->answer = *answer;
	if (answer->policy)
		sts_policy_ref(answer->policy);
	sts_policy_unref(&old);
}

void fake_sts_set_policy(struct sts *sts, const char *domain, const char *text)
{
	struct err err = { 0 };
	struct sts_policy *policy = sts_policy_parse(str_of(text), &err);
	if (!policy) {
		fprintf(stderr, "fake_sts: %s\n", err.text);
		abort();
	}
	int64_t now_s = tlsio_loop_time_s(sts->loop);
	struct sts_answer answer = { .policy = policy, .id = "1", .record_id = "1",
		.fetched_s = now_s, .expires_s = now_s + policy->max_age_s,
		.record = STS_RECORD_FOUND, .record_result = DNS_FOUND, .record_ttl_s = HOUR_S };
	fake_sts_set(sts, domain, &answer);
	sts_policy_unref(&policy);
}

void fake_sts_set_delay(struct sts *sts, const char *domain, int64_t ms)
{
	said_of(sts, domain)->delay_ms = ms;
}

void fake_sts_change(struct sts *sts, const char *domain)
{
	if (sts->events.on_change)
		sts->events.on_change(sts->ctx, domain);
}

void fake_sts_warn(struct sts *sts, const char *words)
{
	if (sts->events.on_warning)
		sts->events.on_warning(sts->ctx, words);
}

unsigned fake_sts_asked(const struct sts *sts, const char *domain)
{
	struct said *said = find_said(sts, domain);
	return said ? said->asked : 0;
}

size_t fake_sts_open(const struct sts *sts)
{
	return sts->open;
}
