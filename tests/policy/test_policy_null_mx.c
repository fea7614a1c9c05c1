/* Null MX off the loop, with virtual time and a look-up of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_null_mx.h"
#include "tests/fakes/fake_loop.h"

#define REAL_MS 20000

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned asked;

/* "null..." has a null MX, "fail..." has no answer; "slow..." waits for the gate. What stands
 * behind a "-" is the TTL. */
static struct policy_null_mx_answer look_up(const char *domain)
{
	struct policy_null_mx_answer answer = { .result = POLICY_NULL_MX_NO };
	const char *dash = strchr(domain, '-');
	uint64_t ttl_s = 600;
	pthread_mutex_lock(&count_lock);
	asked++;
	pthread_mutex_unlock(&count_lock);
	if (domain[0] == 's') {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	if (dash)
		str_to_u64(str_of(dash + 1), UINT32_MAX, &ttl_s);
	answer.ttl_s = (uint32_t)ttl_s;
	if (domain[0] == 'n')
		answer.result = POLICY_NULL_MX_YES;
	if (domain[0] == 'f')
		answer = (struct policy_null_mx_answer){ .result = POLICY_NULL_MX_UNKNOWN };
	return answer;
}

struct fixture {
	struct tlsio_loop *loop;
	struct policy_null_mx *null_mx;
	int calls[3]; /* by result */
};

static void on_answer(void *ctx, enum policy_null_mx_result result)
{
	struct fixture *f = ctx;
	f->calls[result]++;
}

static int total(const struct fixture *f)
{
	return f->calls[0] + f->calls[1] + f->calls[2];
}

static int set_up(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .loop = tlsio_loop_new(NULL) };
	f.null_mx = policy_null_mx_new(f.loop, look_up);
	asked = 0;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	policy_null_mx_free(&f->null_mx);
	policy_null_mx_free(&f->null_mx);
	tlsio_loop_free(&f->loop);
	return 0;
}

static struct policy_null_mx_question *ask(struct fixture *f, const char *domain)
{
	return policy_null_mx_ask(f->null_mx, str_of(domain), on_answer, f);
}

static void wait_for(struct fixture *f, int calls)
{
	while (total(f) < calls)
		assert_true(fake_loop_await_wake(f->loop, REAL_MS));
	assert_int_equal(total(f), calls);
}

static enum policy_null_mx_result answer_to(struct fixture *f, const char *domain)
{
	memset(f->calls, 0, sizeof(f->calls));
	assert_non_null(ask(f, domain));
	assert_int_equal(total(f), 0); /* never at once */
	fake_loop_advance(f->loop, 0);
	wait_for(f, 1);
	return f->calls[POLICY_NULL_MX_YES] ? POLICY_NULL_MX_YES
	     : f->calls[POLICY_NULL_MX_NO]  ? POLICY_NULL_MX_NO
					    : POLICY_NULL_MX_UNKNOWN;
}

static void says_what_the_look_up_says(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(answer_to(f, "null.test"), POLICY_NULL_MX_YES);
	assert_int_equal(answer_to(f, "other.test"), POLICY_NULL_MX_NO);
	assert_int_equal(answer_to(f, "fail.test"), POLICY_NULL_MX_UNKNOWN);
	assert_int_equal(asked, 3);
	assert_int_equal(answer_to(f, "null.test"), POLICY_NULL_MX_YES);
	assert_int_equal(answer_to(f, "other.test"), POLICY_NULL_MX_NO);
	assert_int_equal(answer_to(f, "fail.test"), POLICY_NULL_MX_UNKNOWN);
	assert_int_equal(asked, 3);
}

static void keeps_an_answer_for_its_ttl_but_a_minute_to_an_hour(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *domain;
		int64_t seconds;
	} rows[] = { { "null-600", 600 }, { "other-600", 600 }, { "null-1", 60 }, { "other-0", 60 },
		{ "null-86400", 3600 }, { "other-4294967295", 3600 }, { "fail", 60 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		asked = 0;
		enum policy_null_mx_result first = answer_to(f, rows[i].domain);
		fake_loop_advance(f->loop, rows[i].seconds * 1000 - 1);
		assert_int_equal(answer_to(f, rows[i].domain), first);
		assert_int_equal(asked, 1);
		fake_loop_advance(f->loop, 1);
		assert_int_equal(answer_to(f, rows[i].domain), first);
		assert_int_equal(asked, 2);
	}
}

static void asks_about_a_domain_once_however_many_ask(void **state)
{
	struct fixture *f = *state;
	struct policy_null_mx_question *cancelled = NULL;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 10; i++) {
		struct policy_null_mx_question *question = ask(f, "slow.test");
		if (i == 5)
			cancelled = question;
	}
	policy_null_mx_cancel(&cancelled);
	assert_null(cancelled);
	policy_null_mx_cancel(&cancelled);
	pthread_mutex_unlock(&gate);
	wait_for(f, 9);
	assert_int_equal(asked, 1);
}

static void a_cancelled_question_is_never_answered(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(answer_to(f, "null.test"), POLICY_NULL_MX_YES);
	struct policy_null_mx_question *known = ask(f, "null.test"), *fresh = ask(f, "other.test");
	policy_null_mx_cancel(&known);
	policy_null_mx_cancel(&fresh);
	/* its answer comes all the same, and is kept */
	assert_true(fake_loop_await_wake(f->loop, REAL_MS));
	assert_int_equal(total(f), 1);
	assert_int_equal(answer_to(f, "other.test"), POLICY_NULL_MX_NO);
	assert_int_equal(asked, 2);
}

static void a_hanging_look_up_does_not_hold_up_the_end(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_lock(&gate);
	struct policy_null_mx_question *question = ask(f, "slow.test");
	policy_null_mx_cancel(&question);
	policy_null_mx_free(&f->null_mx);
	pthread_mutex_unlock(&gate);
	f->null_mx = policy_null_mx_new(f->loop, look_up);
	assert_int_equal(answer_to(f, "null.test"), POLICY_NULL_MX_YES);
}

static void too_many_domains_at_once_are_not_asked_about(void **state)
{
	struct fixture *f = *state;
	static struct policy_null_mx_question *questions[1100];
	char domain[32];
	size_t refused = 0;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 1100; i++) {
		snprintf(domain, sizeof(domain), "slow%d.test", i);
		questions[i] = ask(f, domain);
		refused += questions[i] == NULL;
	}
	assert_int_equal(refused, 100);
	pthread_mutex_unlock(&gate);
	wait_for(f, 1000);
	assert_int_equal(f->calls[POLICY_NULL_MX_NO], 1000);
	assert_int_equal(answer_to(f, "null.test"), POLICY_NULL_MX_YES);
}

static void forgets_the_oldest_domains_first(void **state)
{
	struct fixture *f = *state;
	char domain[32];
	pthread_mutex_lock(&gate);
	ask(f, "slow.test"); /* older than all, but somebody waits for it */
	for (int i = 0; i < 10100; i++) {
		snprintf(domain, sizeof(domain), "other%d.test", i);
		assert_non_null(ask(f, domain));
		if (i % 100 == 99)
			wait_for(f, i + 1);
	}
	pthread_mutex_unlock(&gate);
	wait_for(f, 10101);
	assert_int_equal(asked, 10101);
	assert_int_equal(answer_to(f, "other10099.test"), POLICY_NULL_MX_NO);
	assert_int_equal(answer_to(f, "other101.test"), POLICY_NULL_MX_NO);
	assert_int_equal(asked, 10101);
	assert_int_equal(answer_to(f, "other99.test"), POLICY_NULL_MX_NO);
	assert_int_equal(answer_to(f, "other0.test"), POLICY_NULL_MX_NO);
	assert_int_equal(asked, 10103);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(says_what_the_look_up_says),
		T(keeps_an_answer_for_its_ttl_but_a_minute_to_an_hour),
		T(asks_about_a_domain_once_however_many_ask),
		T(a_cancelled_question_is_never_answered),
		T(a_hanging_look_up_does_not_hold_up_the_end),
		T(too_many_domains_at_once_are_not_asked_about),
		T(forgets_the_oldest_domains_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
