#include "tests/fakes/fake_sts_fetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"

struct said {
	UT_hash_handle hh;
	char *domain;
	char *text; /* NULL: failed */
	enum policy_reason reason;
	char *why;
	int64_t delay_ms;
	unsigned count;
};

static struct said *all;
static size_t in_flight, count_all;

struct sts_fetcher {
	struct tlsio_loop *loop;
};

struct sts_fetch {
	struct said *said;
	struct tlsio_timer timer;
	void (*on_over)(void *ctx, const struct sts_fetched *result);
	void *ctx;
};

static struct said *said_of(const char *domain)
{
	struct said *said;
	HASH_FIND_STR(all, domain, said);
	if (said)
		return said;
	said = mem_zero(sizeof(*said));
	said->domain = mem_dup(domain);
	said->reason = POLICY_REASON_STS_POLICY_FETCH_ERROR;
	said->why = mem_dup("nobody answers");
	HASH_ADD_KEYPTR(hh, all, said->domain, strlen(said->domain), said);
	return said;
}

void fake_sts_fetch_reset(void)
{
	struct said *said, *next;
	assert(in_flight == 0);
	HASH_ITER (hh, all, said, next) {
		HASH_DEL(all, said);
		free(said->domain);
		free(said->text);
		free(said->why);
		free(said);
	}
	count_all = 0;
}

void fake_sts_fetch_set(const char *domain, const char *text)
{
	struct said *said = said_of(domain);
	free(said->text);
	said->text = mem_dup(text);
}

void fake_sts_fetch_set_failed(const char *domain, enum policy_reason reason, const char *why)
{
	struct said *said = said_of(domain);
	free(said->text);
	free(said->why);
	said->text = NULL;
	said->why = mem_dup(why);
	said->reason = reason;
}

void fake_sts_fetch_set_delay(const char *domain, int64_t ms)
{
	said_of(domain)->delay_ms = ms;
}

unsigned fake_sts_fetch_count(const char *domain)
{
	return said_of(domain)->count;
}

size_t fake_sts_fetch_in_flight(void)
{
	return in_flight;
}

size_t fake_sts_fetch_count_all(void)
{
	return count_all;
}

struct sts_fetcher *sts_fetcher_new(struct tlsio_loop *loop, struct dns *dns,
	const struct sts_settings *settings, struct err *err)
{
	(void)dns;
	(void)settings;
	(void)err;
	struct sts_fetcher *fetcher = mem_zero(sizeof(*fetcher));
	fetcher->loop = loop;
	return fetcher;
}

void sts_fetcher_free(struct sts_fetcher **fetcher)
{
	free(*fetcher);
	*fetcher = NULL;
}

static void on_due(void *ctx)
{
	struct sts_fetch *f = ctx;
	struct sts_fetched result = { .reason = f->said->reason, .why = f->said->why };
	in_flight--;
	if (f->said->text) {
		result = (struct sts_fetched){ .why = "" };
		result.policy = sts_policy_parse(str_of(f->said->text), NULL);
		assert(result.policy);
	}
	f->on_over(f->ctx, &result);
	sts_policy_unref(&result.policy);
	free(f);
}

struct sts_fetch *sts_fetch_start(struct sts_fetcher *fetcher, const char *domain, bool is_in_force,
	void (*on_over)(void *ctx, const struct sts_fetched *result), void *ctx)
{
	(void)is_in_force;
	struct sts_fetch *f = mem_zero(sizeof(*f));
	f->said = said_of(domain);
	f->said->count++;
	f->on_over = on_over;
	f->ctx = ctx;
	in_flight++;
	count_all++;
	tlsio_timer_init(&f->timer, fetcher->loop, on_due, f);
	if (f->said->delay_ms >= 0)
		tlsio_timer_start(&f->timer, f->said->delay_ms);
	return f;
}

void sts_fetch_cancel(struct sts_fetch **fetch)
{
	struct sts_fetch *f = *fetch;
	*fetch = NULL;
	if (!f)
		return;
	in_flight--;
	tlsio_timer_stop(&f->timer);
	free(f);
}
