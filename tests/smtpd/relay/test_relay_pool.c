/* Idle connections: found by key only, bounded, the one idle longest goes first. Virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/tlsio_transport.h"
#include "smtpd/relay/relay_pool.h"

enum { IDLE_MOST = 3 };

struct fixture {
	struct tlsio_loop *loop;
	struct relay_settings settings;
	struct policy_requirement *may, *encrypt;
	struct relay_pool *pool;
	struct list all;
	struct tlsio_transport *far_ends[8];
	size_t count;
};

static const struct relay_connection_events no_events = { 0 };

static struct policy_requirement *requirement(enum policy_level level)
{
	const struct policy_requirement from = { .level = level };
	return policy_requirement_new(&from);
}

static int set_up(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .loop = tlsio_loop_new(NULL),
		.settings = { .hostname = (char *)"relay.test", .greeting_ms = 1000 },
		.may = requirement(POLICY_LEVEL_MAY), .encrypt = requirement(POLICY_LEVEL_ENCRYPT),
		.pool = relay_pool_new(NULL, IDLE_MOST) };
	list_init(&f.all);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct list *node;
	while ((node = list_first(&f->all)) != NULL) {
		struct relay_connection *c = relay_connection_of_all(node);
		relay_pool_remove(f->pool, c);
		relay_connection_abort(c);
	}
	for (size_t i = 0; i < f->count; i++)
		f->far_ends[i]->kind->free(f->far_ends[i]);
	relay_pool_free(&f->pool);
	policy_requirement_unref(&f->may);
	policy_requirement_unref(&f->encrypt);
	tlsio_loop_free(&f->loop);
	return 0;
}

static struct relay_hop *hop(const char *host, struct policy_requirement *r)
{
	const struct relay_hop from = { .transport = RELAY_SMTP, .host = (char *)(uintptr_t)host,
		.address = { .family = NETADDR_IPV4, .port = 25, .bytes = { 192, 0, 2, 1 } },
		.requirement = r };
	return relay_hop_new(&from);
}

static struct relay_connection *connection(struct fixture *f, const char *host,
	struct policy_requirement *r)
{
	struct tlsio_transport *ends[2];
	static const struct netaddr local = { .family = NETADDR_UNIX };
	struct relay_hop *to = hop(host, r);
	tlsio_transport_memory_pair(f->loop, 1000, ends);
	f->far_ends[f->count++] = ends[1];
	const struct relay_connection_setup setup = { .loop = f->loop, .settings = &f->settings,
		.hop = to, .local = &local, .identity = relay_pool_identity(f->pool),
		.all = &f->all };
	struct relay_connection *c = relay_connection_new(&setup, ends[0], &no_events, f);
	relay_hop_unref(&to);
	return c;
}

static struct relay_connection *take(struct fixture *f, const char *host,
	struct policy_requirement *r)
{
	struct relay_hop *to = hop(host, r);
	struct relay_connection *c = relay_pool_take(f->pool, to->key);
	relay_hop_unref(&to);
	return c;
}

static void one_is_found_by_its_whole_key_and_once(void **state)
{
	struct fixture *f = *state;
	struct relay_connection *c = connection(f, "a.test", f->may);
	assert_null(relay_pool_put(f->pool, c));
	assert_null(take(f, "b.test", f->may));
	assert_null(take(f, "a.test", f->encrypt));
	assert_ptr_equal(take(f, "a.test", f->may), c);
	assert_null(take(f, "a.test", f->may));
	relay_pool_remove(f->pool, c); /* harmless */
}

static void the_last_one_put_is_the_first_taken(void **state)
{
	struct fixture *f = *state;
	struct relay_connection *first = connection(f, "a.test", f->may);
	struct relay_connection *second = connection(f, "a.test", f->may);
	assert_null(relay_pool_put(f->pool, first));
	assert_null(relay_pool_put(f->pool, second));
	assert_ptr_equal(take(f, "a.test", f->may), second);
	assert_ptr_equal(take(f, "a.test", f->may), first);
}

static void the_one_idle_longest_makes_room(void **state)
{
	static const char *const hosts[] = { "a.test", "b.test", "a.test" };
	struct fixture *f = *state;
	struct relay_connection *c[5];
	for (size_t i = 0; i < 3; i++) {
		c[i] = connection(f, hosts[i], f->may);
		assert_null(relay_pool_put(f->pool, c[i]));
	}
	c[3] = connection(f, "c.test", f->may);
	assert_ptr_equal(relay_pool_put(f->pool, c[3]), c[0]);
	assert_ptr_equal(take(f, "a.test", f->may), c[2]);
	assert_null(relay_pool_put(f->pool, c[2])); /* used anew: now the youngest */
	c[4] = connection(f, "d.test", f->may);
	assert_ptr_equal(relay_pool_put(f->pool, c[4]), c[1]);
	assert_null(take(f, "b.test", f->may));
	/* those that ended by themselves make room, too */
	relay_pool_remove(f->pool, c[3]);
	assert_null(relay_pool_put(f->pool, c[1]));
}

static void any_are_taken_the_oldest_first(void **state)
{
	struct fixture *f = *state;
	struct relay_connection *first = connection(f, "b.test", f->may);
	struct relay_connection *second = connection(f, "a.test", f->may);
	relay_pool_put(f->pool, first);
	relay_pool_put(f->pool, second);
	assert_ptr_equal(relay_pool_take_any(f->pool), first);
	assert_ptr_equal(relay_pool_take_any(f->pool), second);
	assert_null(relay_pool_take_any(f->pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(one_is_found_by_its_whole_key_and_once),
		T(the_last_one_put_is_the_first_taken),
		T(the_one_idle_longest_makes_room),
		T(any_are_taken_the_oldest_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
