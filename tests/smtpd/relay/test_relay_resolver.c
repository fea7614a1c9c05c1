/* Host names off the loop, with a resolver of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_resolver.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned asked;

/* "slow..." waits for the gate; "none..." does not exist; "bad..." fails. */
static enum relay_lookup_result look_up(const char *host, struct netaddr *ret, size_t *ret_count,
	struct err *why)
{
	pthread_mutex_lock(&count_lock);
	asked++;
	pthread_mutex_unlock(&count_lock);
	if (host[0] == 's') {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	*ret_count = 0;
	if (host[0] == 'n' || host[0] == 'b') {
		err_set(why, ERR_DNS, "no %s", host);
		return host[0] == 'n' ? RELAY_LOOKUP_NO_SUCH_HOST : RELAY_LOOKUP_FAILED;
	}
	netaddr_parse(STR("192.0.2.1"), 1, &ret[0], NULL);
	*ret_count = 1;
	return RELAY_LOOKUP_FOUND;
}

struct fixture {
	struct tlsio_loop *loop;
	struct relay_resolver *resolver;
	int calls, found, none, failed;
	char why[240];
};

static void on_answer(void *ctx, enum relay_lookup_result result, const struct netaddr *addresses,
	size_t count, const struct err *why)
{
	struct fixture *f = ctx;
	f->calls++;
	f->found += result == RELAY_LOOKUP_FOUND;
	f->none += result == RELAY_LOOKUP_NO_SUCH_HOST;
	f->failed += result == RELAY_LOOKUP_FAILED;
	if (result == RELAY_LOOKUP_FOUND) {
		assert_int_equal(count, 1);
		assert_int_equal(addresses[0].family, NETADDR_IPV4);
	} else {
		str_copy(str_of(why->text), f->why, sizeof(f->why));
	}
}

static const struct relay_lookup_events events = { .on_answer = on_answer };

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	f->resolver = relay_resolver_new(f->loop, look_up);
	asked = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	relay_resolver_free(&f->resolver);
	tlsio_loop_free(&f->loop);
	free(f);
	return 0;
}

static void wait_for(struct fixture *f, int calls)
{
	while (f->calls < calls)
		tlsio_loop_turn(f->loop, true);
	assert_int_equal(f->calls, calls);
}

static void answers_come_later_and_are_kept(void **state)
{
	struct fixture *f = *state;
	for (int i = 1; i <= 3; i++) {
		relay_resolver_ask(f->resolver, "host.test", 5000, &events, f);
		assert_int_equal(f->calls, i - 1);
		wait_for(f, i);
	}
	assert_int_equal(f->found, 3);
	assert_int_equal(asked, 1);
}

static void a_missing_host_is_kept_and_a_failure_is_not(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		relay_resolver_ask(f->resolver, "none.test", 5000, &events, f);
		wait_for(f, 2 * i + 1);
		relay_resolver_ask(f->resolver, "bad.test", 5000, &events, f);
		wait_for(f, 2 * i + 2);
	}
	assert_int_equal(f->none, 2);
	assert_int_equal(f->failed, 2);
	assert_int_equal(asked, 3);
	assert_string_equal(f->why, "no bad.test");
}

static void questions_for_one_name_are_asked_once(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 10; i++)
		relay_resolver_ask(f->resolver, "slow.test", 5000, &events, f);
	struct relay_lookup *cancelled =
		relay_resolver_ask(f->resolver, "slow.test", 5000, &events, f);
	relay_lookup_cancel(&cancelled);
	assert_null(cancelled);
	relay_lookup_cancel(&cancelled);
	pthread_mutex_unlock(&gate);
	wait_for(f, 10);
	assert_int_equal(asked, 1);
}

static void a_hanging_resolver_has_a_limit_and_does_not_hold_up_the_end(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_lock(&gate);
	relay_resolver_ask(f->resolver, "slow.test", 20, &events, f);
	wait_for(f, 1);
	assert_int_equal(f->failed, 1);
	assert_non_null(strstr(f->why, "did not answer"));
	relay_resolver_free(&f->resolver); /* the thread still hangs: it frees what is left */
	pthread_mutex_unlock(&gate);
	f->resolver = relay_resolver_new(f->loop, look_up);
	/* let the old thread come to its end before the sanitizer counts */
	relay_resolver_ask(f->resolver, "host.test", 5000, &events, f);
	wait_for(f, 2);
}

static void a_full_queue_fails_at_the_end_of_the_turn(void **state)
{
	struct fixture *f = *state;
	struct relay_lookup *lookups[1100];
	char name[32];
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 1100; i++) {
		snprintf(name, sizeof(name), "slow%d.test", i);
		lookups[i] = relay_resolver_ask(f->resolver, name, 60000, &events, f);
	}
	wait_for(f, 100);
	assert_int_equal(f->failed, 100);
	for (int i = 0; i < 1000; i++)
		relay_lookup_cancel(&lookups[i]);
	pthread_mutex_unlock(&gate);
}

static void the_system_knows_localhost(void **state)
{
	struct netaddr addresses[RELAY_RESOLVER_ADDRESSES];
	size_t count;
	struct err why = { 0 };
	(void)state;
	assert_int_equal(relay_resolver_system("localhost", addresses, &count, &why),
		RELAY_LOOKUP_FOUND);
	assert_in_range(count, 1, 2);
	assert_true(netaddr_is_loopback(&addresses[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(answers_come_later_and_are_kept),
		T(a_missing_host_is_kept_and_a_failure_is_not),
		T(questions_for_one_name_are_asked_once),
		T(a_hanging_resolver_has_a_limit_and_does_not_hold_up_the_end),
		T(a_full_queue_fails_at_the_end_of_the_turn),
		T(the_system_knows_localhost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
