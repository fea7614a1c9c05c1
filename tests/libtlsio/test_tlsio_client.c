#include "libtlsio/tlsio_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

static struct fake_ca *ca;
static struct tlsio_trust *trust;
static struct tlsio_server *server;

static int set_up(void **state)
{
	(void)state;
	ca = fake_ca_new("root");
	trust = fake_ca_trust(ca);
	struct tlsio_certstore *store = fake_ca_certstore(ca, "mx.example.net");
	struct tlsio_server_wishes wishes = { .certificates = store };
	server = tlsio_server_new(&wishes, NULL);
	tlsio_certstore_unref(&store);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_server_unref(&server);
	tlsio_trust_unref(&trust);
	fake_ca_free(&ca);
	return 0;
}

/* RFC 6066 section 3, RFC 8461 4.2, RFC 7672 8.1. */
static void T7_sends_host_names_alone_as_server_name(void **state)
{
	(void)state;
	static const struct {
		const char *server_name;
		const char *received; /* NULL with server_name = refused */
	} cases[] = {
		{ "mx.example.net", "mx.example.net" },
		{ "mx.example.net.", "mx.example.net" },
		{ "MX.example.net", "MX.example.net" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "localhost", "localhost" },
		{ NULL, NULL },
		{ "192.0.2.1", NULL },
		{ "2001:db8::1", NULL },
		{ "b\xc3\xbc"
		  "cher.example",
			NULL },
		{ "", NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		struct tlsio_client_wishes wishes = { .server_name = cases[i].server_name };
		struct tlsio_client *client = tlsio_client_new(&wishes, &err);
		if (cases[i].server_name && !cases[i].received) {
			assert_null(client);
			assert_int_equal(err.kind, ERR_INPUT);
			continue;
		}
		assert_non_null(client);
		struct session_pair p;
		session_pair_connect(&p, server, client);
		if (cases[i].received)
			assert_string_equal(
				session_pair_peer(&p, PAIR_SERVER)->server_name, cases[i].received);
		else
			assert_null(session_pair_peer(&p, PAIR_SERVER)->server_name);
		session_pair_close(&p);
		tlsio_client_unref(&client);
	}
}

static void refuses_a_server_name_that_is_too_long(void **state)
{
	(void)state;
	char name[300];
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	struct err err;
	struct tlsio_client_wishes wishes = { .server_name = name };
	assert_null(tlsio_client_new(&wishes, &err));
}

/* The wishes may go away: everything is copied or shared. */
static void keeps_nothing_of_the_caller_but_the_cache(void **state)
{
	(void)state;
	char server_name[] = "mx.example.net", name[] = "mx.example.net", key[] = "key";
	const char *names[] = { name };
	struct tlsio_trust *own = fake_ca_trust(ca);
	struct tlsio_session_cache *cache = tlsio_session_cache_new(4, 60);
	struct tlsio_client_wishes wishes = {
		.server_name = server_name,
		.names = names,
		.name_count = 1,
		.trust = own,
		.cache = cache,
		.cache_key = str_of(key),
	};
	struct tlsio_client *client = tlsio_client_new(&wishes, NULL);
	memset(server_name, 'x', sizeof(server_name) - 1);
	memset(name, 'x', sizeof(name) - 1);
	memset(key, 'x', sizeof(key) - 1);
	names[0] = NULL;
	tlsio_trust_unref(&own);
	struct session_pair p;
	session_pair_connect(&p, server, client);
	tlsio_client_unref(&client);
	assert_int_equal(session_pair_peer(&p, PAIR_CLIENT)->chain_faults, 0);
	assert_string_equal(session_pair_peer(&p, PAIR_CLIENT)->matched_name, "mx.example.net");
	assert_string_equal(session_pair_peer(&p, PAIR_CLIENT)->server_name, "mx.example.net");
	session_pair_close(&p);
	tlsio_session_cache_free(&cache);
}

static void T1_takes_no_words_below_its_minimum(void **state)
{
	(void)state;
	struct err err;
	struct tlsio_client_wishes wishes = { .minimum = TLSIO_TLS13, .priority = "+VERS-TLS1.2" };
	assert_null(tlsio_client_new(&wishes, &err));
	assert_non_null(strstr(err.text, "below the minimum TLS1.3"));
	wishes = (struct tlsio_client_wishes){ .priority = "+VERS-TLS1.1" };
	assert_null(tlsio_client_new(&wishes, &err));
}

/* One is made per connection: the priority words are parsed once, not each time. */
static void is_cheap_to_make_again(void **state)
{
	(void)state;
	struct timespec start, end;
	struct tlsio_client_wishes wishes = { .server_name = "mx.example.net", .trust = trust };
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (int i = 0; i < 20000; i++) {
		struct tlsio_client *client = tlsio_client_new(&wishes, NULL);
		tlsio_client_unref(&client);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double each_us = ((double)(end.tv_sec - start.tv_sec) * 1e9 +
				 (double)(end.tv_nsec - start.tv_nsec)) /
			 20000 / 1000;
	print_message("%.2f us each\n", each_us);
	/* Parsing alone costs more than this, also under sanitizers. */
	assert_true(each_us < 50);
}

/* More different words than the cache holds: the forgotten ones go on working. */
static void may_have_more_kinds_of_words_than_are_cached(void **state)
{
	(void)state;
	static const char *const ciphers[] = { "AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305" };
	struct tlsio_client *clients[48];
	for (int i = 0; i < 48; i++) {
		char words[200];
		int used = snprintf(words, sizeof(words), "-CIPHER-ALL");
		for (int j = 0; j <= i; j += 12)
			used += snprintf(words + used, sizeof(words) - (size_t)used, ":+%s",
				ciphers[(i + j) % 3]);
		snprintf(words + used, sizeof(words) - (size_t)used, ":%s",
			i % 2 ? "-GROUP-SECP384R1" : "-GROUP-SECP256R1");
		struct tlsio_client_wishes wishes = {
			.minimum = i % 4 ? TLSIO_TLS12 : TLSIO_TLS13,
			.priority = words,
		};
		clients[i] = tlsio_client_new(&wishes, NULL);
		assert_non_null(clients[i]);
	}
	for (int i = 0; i < 48; i += 5) {
		struct session_pair p;
		session_pair_connect(&p, server, clients[i]);
		session_pair_close(&p);
	}
	for (int i = 0; i < 48; i++)
		tlsio_client_unref(&clients[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(T7_sends_host_names_alone_as_server_name),
		cmocka_unit_test(refuses_a_server_name_that_is_too_long),
		cmocka_unit_test(keeps_nothing_of_the_caller_but_the_cache),
		cmocka_unit_test(T1_takes_no_words_below_its_minimum),
		cmocka_unit_test(is_cheap_to_make_again),
		cmocka_unit_test(may_have_more_kinds_of_words_than_are_cached),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
