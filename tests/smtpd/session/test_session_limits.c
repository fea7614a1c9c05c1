#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtpd/session/session_limits.h"

static struct netaddr address(const char *text)
{
	struct netaddr a;
	assert_int_equal(netaddr_parse(str_of(text), 25, &a, NULL), 0);
	return a;
}

static void counts_ipv4_addresses_and_ipv6_networks(void **state)
{
	(void)state;
	struct session_limits *l = session_limits_new();
	struct netaddr four = address("192.0.2.1"), neighbour = address("192.0.2.2");
	struct netaddr six = address("2001:db8::1"), same_net = address("2001:db8::ffff:1"),
		       other_net = address("2001:db8:0:1::1");
	assert_int_equal(session_limits_enter(l, &four, 100, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_enter(l, &four, 100, 1), SESSION_LIMITS_CLIENT);
	assert_int_equal(session_limits_enter(l, &neighbour, 100, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_enter(l, &six, 100, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_enter(l, &same_net, 100, 1), SESSION_LIMITS_CLIENT);
	assert_int_equal(session_limits_enter(l, &other_net, 100, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_total(l), 4);
	session_limits_leave(l, &six);
	assert_int_equal(session_limits_enter(l, &same_net, 100, 1), SESSION_LIMITS_OK);
	session_limits_free(&l);
	assert_null(l);
}

static void the_total_counts_first_and_refusals_count_nothing(void **state)
{
	(void)state;
	struct session_limits *l = session_limits_new();
	struct netaddr a = address("192.0.2.1"), b = address("192.0.2.2");
	assert_int_equal(session_limits_enter(l, &a, 2, 1), SESSION_LIMITS_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(session_limits_enter(l, &a, 2, 1), SESSION_LIMITS_CLIENT);
	assert_int_equal(session_limits_enter(l, &b, 2, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_enter(l, &b, 2, 1), SESSION_LIMITS_TOTAL);
	session_limits_leave(l, &a);
	session_limits_leave(l, &b);
	assert_int_equal(session_limits_total(l), 0);
	session_limits_free(&l);
}

static void local_sockets_have_no_client_limit(void **state)
{
	(void)state;
	struct session_limits *l = session_limits_new();
	struct netaddr local = { .family = NETADDR_UNIX };
	for (int i = 0; i < 3; i++)
		assert_int_equal(session_limits_enter(l, &local, 3, 1), SESSION_LIMITS_OK);
	assert_int_equal(session_limits_enter(l, &local, 3, 1), SESSION_LIMITS_TOTAL);
	for (int i = 0; i < 3; i++)
		session_limits_leave(l, &local);
	session_limits_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_ipv4_addresses_and_ipv6_networks),
		cmocka_unit_test(the_total_counts_first_and_refusals_count_nothing),
		cmocka_unit_test(local_sockets_have_no_client_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
