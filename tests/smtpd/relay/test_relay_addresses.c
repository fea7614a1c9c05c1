/* A host with two addresses: which is tried when, and what is said when none will do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_resolver.h"
#include "tests/fakes/fake_ca.h"
#include "tests/smtpd/relay/relay_fixture.h"

/* Instead of the system's: linked before librelay.a. */
enum relay_lookup_result relay_resolver_system(const char *host, struct netaddr *ret_addresses,
	size_t *ret_count, struct err *why)
{
	*ret_count = 0;
	if (strcmp(host, "two.test") != 0) {
		err_set(why, ERR_DNS, "host %s: nothing", host);
		return strcmp(host, "none.test") == 0 ? RELAY_LOOKUP_NO_SUCH_HOST :
							 RELAY_LOOKUP_FAILED;
	}
	netaddr_parse(STR("127.0.0.1"), 0, &ret_addresses[0], NULL);
	netaddr_parse(STR("127.0.0.2"), 0, &ret_addresses[1], NULL);
	*ret_count = 2;
	return RELAY_LOOKUP_FOUND;
}

struct two_fixture {
	struct relay_fixture *f; /* its hop is the first address */
	struct fake_hop second;
	bool has_second;
	struct fake_ca *ca;
	struct tlsio_trust *trust;
	struct tlsio_server *good, *wrong;
	char words[80];
};

static struct tlsio_server *server(struct fake_ca *ca, const char *name)
{
	struct tlsio_certstore *store = fake_ca_certstore(ca, name);
	struct tlsio_server_wishes wishes = { .certificates = store };
	struct tlsio_server *made = tlsio_server_new(&wishes, NULL);
	assert_non_null(made);
	tlsio_certstore_unref(&store);
	return made;
}

static int set_up(void **state)
{
	struct two_fixture *t = mem_zero(sizeof(*t));
	struct netaddr address;
	t->f = relay_fixture_new();
	assert_int_equal(netaddr_parse(STR("127.0.0.2"), t->f->hop.address.port, &address, NULL), 0);
	fake_hop_open_at(&t->second, t->f->loop, &address);
	t->has_second = true;
	t->ca = fake_ca_new("ca");
	t->trust = fake_ca_trust(t->ca);
	t->good = server(t->ca, "two.test");
	t->wrong = server(t->ca, "other.test");
	t->f->demand.trust = t->trust;
	snprintf(t->words, sizeof(t->words), "smtp two.test:%u", t->f->hop.address.port);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct two_fixture *t = *state;
	relay_free(&t->f->relay);
	if (t->has_second)
		fake_hop_close(&t->second);
	relay_fixture_free(&t->f);
	tlsio_server_unref(&t->good);
	tlsio_server_unref(&t->wrong);
	tlsio_trust_unref(&t->trust);
	fake_ca_free(&t->ca);
	free(t);
	return 0;
}

static void relay_one(struct two_fixture *t, const char *level)
{
	uint64_t id = relay_fixture_message(t->f, "a@x.test", "x\r\n", "one@y.test", NULL);
	relay_fixture_send_by(t->f, id, t->words, level);
}

static void the_first_address_is_enough(void **state)
{
	struct two_fixture *t = *state;
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->second.connections, 0);
}

static void a_refused_greeting_leads_to_the_next(void **state)
{
	struct two_fixture *t = *state;
	fake_hop_add(&t->f->hop, "GREETING", "554 no\r\n", FAKE_HOP_SAY);
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->second.messages, 1);
	assert_false(t->f->destination_failed);
}

static void a_dead_address_leads_to_the_next(void **state)
{
	struct two_fixture *t = *state;
	fake_hop_close(&t->f->hop);
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->second.messages, 1);
	fake_hop_open(&t->f->hop, t->f->loop, NULL);
}

static void an_unproven_address_leads_to_the_next_and_hears_no_mail(void **state)
{
	struct two_fixture *t = *state;
	t->f->hop.tls = t->wrong;
	t->second.tls = t->good;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_null(strstr(fake_hop_commands(&t->f->hop), "MAIL"));
	assert_int_equal(t->second.messages, 1);
	/* what was wrong with the first is in a line of its own */
	const char *line = strstr(buf_text(&t->f->log), " delivery ");
	assert_non_null(strstr(line, "verified=yes"));
	assert_null(strstr(line, "note="));
}

static void the_rule_is_the_reason_given_even_when_others_failed_otherwise(void **state)
{
	struct two_fixture *t = *state;
	t->f->hop.tls = t->wrong;
	fake_hop_close(&t->second);
	t->has_second = false;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_string_equal(t->f->outcomes[0].enhanced, "4.7.5");
	assert_true(t->f->destination_failed);
}

static void failed_tls_under_may_stays_with_its_address(void **state)
{
	struct two_fixture *t = *state;
	t->f->hop.tls = t->good;
	fake_hop_add(&t->f->hop, "STARTTLS", "220 go\r\n", FAKE_HOP_HANG_UP);
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->f->hop.messages, 1);
	assert_int_equal(t->f->hop.connections, 2);
	assert_int_equal(t->second.connections, 0);
}

static void a_transaction_that_breaks_does_not_go_to_the_next(void **state)
{
	struct two_fixture *t = *state;
	fake_hop_add(&t->f->hop, ".", NULL, FAKE_HOP_RESET);
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(t->second.connections, 0); /* it may have been taken: no second copy now */
	assert_false(t->f->destination_failed);
}

static void no_more_addresses_are_tried_than_allowed(void **state)
{
	struct two_fixture *t = *state;
	t->f->settings.addresses_most = 1;
	fake_hop_add(&t->f->hop, "GREETING", "554 no\r\n", FAKE_HOP_SAY);
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(t->second.connections, 0);
}

static void names_without_addresses_are_deferred(void **state)
{
	static const char *const rows[][2] = { { "smtp none.test", "4.4.4" },
		{ "smtp broken.test", "4.4.3" } };
	struct two_fixture *t = *state;
	for (size_t i = 0; i < 2; i++) {
		snprintf(t->words, sizeof(t->words), "%s", rows[i][0]);
		relay_one(t, "may");
		assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
		assert_string_equal(t->f->outcomes[0].enhanced, rows[i][1]);
		assert_true(t->f->destination_failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(the_first_address_is_enough),
		T(a_refused_greeting_leads_to_the_next),
		T(a_dead_address_leads_to_the_next),
		T(an_unproven_address_leads_to_the_next_and_hears_no_mail),
		T(the_rule_is_the_reason_given_even_when_others_failed_otherwise),
		T(failed_tls_under_may_stays_with_its_address),
		T(a_transaction_that_breaks_does_not_go_to_the_next),
		T(no_more_addresses_are_tried_than_allowed),
		T(names_without_addresses_are_deferred),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
