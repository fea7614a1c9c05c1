/* Which addresses of a plan are tried, in which order, and that it always ends. Loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "smtpd/explain/probe.h"
#include "tests/smtpd/explain/probe_peer.h"

enum { PEERS = 8 };

struct fixture {
	struct tlsio_loop *loop;
	struct tlsio_listener *listener;
	int fd;
	uint16_t port; /* at 127.0.0.1 alone: others refuse */
	const char *greeting;
	struct probe_peer peers[PEERS];
	size_t peer_count;
	struct policy_plan *plan;
	struct probe *probe;
	struct probe_setup setup;
	unsigned overs;
};

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct fixture *f = ctx;
	(void)local;
	(void)remote;
	assert_true(f->peer_count < PEERS);
	struct probe_peer *p = &f->peers[f->peer_count++];
	p->greeting = f->greeting;
	probe_peer_begin(p, f->loop, tlsio_transport_socket(f->loop, fd));
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	fail_msg("%s", err->text);
}

static int set_up(void **state)
{
	static const struct tlsio_listener_events events = { .on_accept = on_accept,
		.on_trouble = on_trouble };
	struct fixture *f = mem_zero(sizeof(*f));
	struct netaddr any, bound;
	f->loop = tlsio_loop_new(NULL);
	netaddr_parse(STR("127.0.0.1"), 0, &any, NULL);
	f->fd = tlsio_listener_open_tcp(&any, 16, &bound, NULL);
	assert_true(f->fd >= 0);
	f->port = bound.port;
	f->listener = tlsio_listener_new(f->loop, f->fd, &events, f);
	f->plan = policy_plan_new("example.org", "example.org");
	f->setup = (struct probe_setup){ .loop = f->loop, .plan = f->plan, .hostname = "probe.test",
		.limit_ms = 20000 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	probe_free(&f->probe);
	for (size_t i = 0; i < f->peer_count; i++)
		probe_peer_end(&f->peers[i]);
	tlsio_listener_free(&f->listener);
	for (int i = 0; i < 5; i++)
		tlsio_loop_turn(f->loop, false);
	tlsio_loop_free(&f->loop);
	policy_plan_unref(&f->plan);
	free(f);
	return 0;
}

/* addresses: "127.0.0.1", ...; NULL ends. */
static void add_host(struct fixture *f, const char *name, const char *const *addresses)
{
	struct policy_plan_host *h = policy_plan_add_host(f->plan, name, 10);
	h->requirement = policy_requirement_new(&(struct policy_requirement){
		.level = POLICY_LEVEL_MAY, .source = (char *)"t:1" });
	h->addresses = mem_array(8, sizeof(*h->addresses));
	for (; addresses[h->address_count]; h->address_count++) {
		struct netaddr *a = &h->addresses[h->address_count];
		assert_int_equal(netaddr_parse(str_of(addresses[h->address_count]), 0, a, NULL), 0);
		a->port = f->port;
	}
}

static void on_over(void *ctx)
{
	struct fixture *f = ctx;
	f->overs++;
	tlsio_loop_stop(f->loop);
}

static const struct probe_host *run(struct fixture *f, size_t expected)
{
	size_t count;
	f->probe = probe_start(&f->setup, on_over, f);
	assert_int_equal(f->overs, 0);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->overs, 1);
	const struct probe_host *hosts = probe_hosts(f->probe, &count);
	assert_int_equal(count, expected);
	return hosts;
}

static void all_of_the_first_family_that_connects_are_tried(void **state)
{
	static const char *const addresses[] = { "::1", "127.0.0.1", "::2", "127.0.0.2", "::3", NULL };
	static const uint8_t families[] = { NETADDR_IPV6, NETADDR_IPV4, NETADDR_IPV4 };
	struct fixture *f = *state;
	add_host(f, "mx.example.org", addresses);
	const struct probe_host *h = run(f, 1);
	/* ::1 was before the first connection; ::2 and ::3 are behind it */
	assert_int_equal(h->record_count, 5);
	assert_int_equal(h->probed_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(h->records[i].address.family, families[i]);
	assert_false(h->records[0].is_connected);
	assert_true(h->records[0].why[0]);
	assert_true(h->records[1].is_connected);
	assert_int_equal(probe_record_verdict(&h->records[1], true), PROBE_PASSES);
	assert_false(h->records[2].is_connected);
	assert_int_equal(f->peer_count, 1);
}

static void all_addresses_are_tried_where_wished(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "::1", "127.0.0.1", NULL };
	struct fixture *f = *state;
	add_host(f, "mx.example.org", addresses);
	f->setup.wants_all_addresses = true;
	assert_int_equal(run(f, 1)->probed_count, 3);
	assert_int_equal(f->peer_count, 2);
}

static void one_host_alone_is_tried_where_wished(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", NULL };
	struct fixture *f = *state;
	add_host(f, "mx1.example.org", addresses);
	add_host(f, "mx2.example.org", addresses);
	f->setup.only_host = "MX2.example.org";
	assert_string_equal(run(f, 1)->host->name, "mx2.example.org");
	assert_int_equal(f->peer_count, 1);
}

static void nothing_to_try_ends_later_too(void **state)
{
	static const char *const none[] = { NULL };
	struct fixture *f = *state;
	run(f, 0);
	probe_free(&f->probe);
	f->overs = 0;
	add_host(f, "mx.example.org", none);
	assert_int_equal(run(f, 1)->probed_count, 0);
}

static void silent_hosts_end_together_with_the_time(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "127.0.0.1", NULL };
	struct fixture *f = *state;
	add_host(f, "mx1.example.org", addresses);
	add_host(f, "mx2.example.org", addresses);
	f->greeting = "";
	f->setup.limit_ms = 50;
	const struct probe_host *hosts = run(f, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(hosts[i].probed_count, 1); /* no time is left for the second */
		assert_int_equal(probe_record_verdict(&hosts[i].records[0], true), PROBE_UNUSABLE);
	}
}

static void it_can_be_freed_in_the_middle(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", NULL };
	struct fixture *f = *state;
	add_host(f, "mx1.example.org", addresses);
	f->greeting = "";
	f->probe = probe_start(&f->setup, on_over, f);
	while (f->peer_count == 0)
		tlsio_loop_turn(f->loop, true);
	tlsio_loop_turn(f->loop, false);
	probe_free(&f->probe);
	tlsio_loop_turn(f->loop, false);
	assert_int_equal(f->overs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(all_of_the_first_family_that_connects_are_tried),
		T(all_addresses_are_tried_where_wished),
		T(one_host_alone_is_tried_where_wished),
		T(nothing_to_try_ends_later_too),
		T(silent_hosts_end_together_with_the_time),
		T(it_can_be_freed_in_the_middle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
