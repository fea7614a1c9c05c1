#include "libtlsio/tlsio_resume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

static struct fake_ca *ca;
static struct tlsio_trust *trust;
static struct tlsio_certstore *store;
static struct tlsio_session_cache *cache;
static uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
static uint8_t other_secret[TLSIO_TICKET_SECRET_BYTES];

static int set_up(void **state)
{
	(void)state;
	ca = fake_ca_new("root");
	trust = fake_ca_trust(ca);
	store = fake_ca_certstore(ca, "mx.example.net");
	tlsio_tickets_make_secret(secret);
	tlsio_tickets_make_secret(other_secret);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_certstore_unref(&store);
	tlsio_trust_unref(&trust);
	fake_ca_free(&ca);
	return 0;
}

static int new_cache(void **state)
{
	(void)state;
	cache = tlsio_session_cache_new(16, 3600);
	return 0;
}

static int free_cache(void **state)
{
	(void)state;
	tlsio_session_cache_free(&cache);
	return 0;
}

static struct tlsio_server *server_with(const uint8_t *ticket_secret)
{
	struct tlsio_tickets *tickets =
		ticket_secret ? tlsio_tickets_new(ticket_secret, 3600) : NULL;
	struct tlsio_server_wishes wishes = { .certificates = store, .tickets = tickets };
	struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
	tlsio_tickets_unref(&tickets);
	return server;
}

struct visit {
	const uint8_t *secret;
	const char *key;
	const char *words;
	const char *name; /* the reference name; NULL = the certificate's */
	bool trusts_nothing;
	bool leaves_early; /* before the server says anything */
};

/* One connection; the client's view is checked in passing. True = resumed. */
static bool visit(const struct visit *v)
{
	const char *names[] = { v->name ? v->name : "mx.example.net" };
	struct tlsio_client_wishes wishes = {
		.server_name = "mx.example.net",
		.names = names,
		.name_count = 1,
		.priority = v->words,
		.trust = v->trusts_nothing ? NULL : trust,
		.cache = cache,
		.cache_key = str_of(v->key),
	};
	struct tlsio_server *server = server_with(v->secret);
	struct tlsio_client *client = tlsio_client_new(&wishes, NULL);
	struct session_pair p;
	session_pair_open(&p, server, client, 65536);
	assert_true(session_pair_handshake(&p));
	if (!v->leaves_early)
		session_pair_settle(&p);
	const struct tlsio_peer *seen = session_pair_peer(&p, PAIR_CLIENT);
	bool is_resumed = seen->is_resumed;
	assert_int_equal(session_pair_peer(&p, PAIR_SERVER)->is_resumed, is_resumed);
	/* Resumed or not: the chain is there and judged anew. */
	assert_int_equal(seen->chain_count, 1);
	assert_int_equal(seen->chain_faults, v->trusts_nothing ? TLSIO_CHAIN_UNCHECKED : 0);
	assert_int_equal(seen->matched_name != NULL, v->name == NULL);
	assert_string_equal(seen->subject, "CN=mx.example.net");
	assert_non_null(seen->suite);
	session_pair_carry(&p, PAIR_CLIENT, "hello", 5);
	if (!v->leaves_early)
		session_pair_carry(&p, PAIR_SERVER, "hello", 5);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	return is_resumed;
}

#define TLS12 "-VERS-TLS1.3"

/* Two processes that share the secret, a third that does not. */
static void resumes_at_every_server_with_the_same_secret(void **state)
{
	(void)state;
	static const char *const words[] = { NULL, TLS12 };
	for (int i = 0; i < 2; i++) {
		const char *key = i ? "1.2" : "1.3";
		struct visit same = { .secret = secret, .key = key, .words = words[i] };
		struct visit other = { .secret = other_secret, .key = key, .words = words[i] };
		assert_false(visit(&same));
		assert_true(visit(&same));
		assert_true(visit(&same));
		/* Another secret: a full handshake, no error; its ticket works from then on. */
		assert_false(visit(&other));
		assert_true(visit(&other));
		assert_false(visit(&same));
	}
}

static void T5_never_uses_a_session_under_another_key(void **state)
{
	(void)state;
	assert_false(visit(&(struct visit){ .secret = secret, .key = "host a|verify" }));
	assert_false(visit(&(struct visit){ .secret = secret, .key = "host a|may" }));
	assert_false(visit(&(struct visit){ .secret = secret, .key = "host a|verif" }));
	assert_false(visit(&(struct visit){ .secret = secret, .key = "host b|verify" }));
	assert_true(visit(&(struct visit){ .secret = secret, .key = "host a|verify" }));
}

/* Even where a caller errs with its key: a stored chain is judged by this connection's wishes. */
static void T5_judges_the_stored_chain_anew(void **state)
{
	(void)state;
	assert_false(visit(&(struct visit){ .secret = secret, .key = "k" }));
	assert_true(
		visit(&(struct visit){ .secret = secret, .key = "k", .name = "other.example" }));
	assert_true(visit(&(struct visit){ .secret = secret, .key = "k", .trusts_nothing = true }));
	assert_true(visit(&(struct visit){ .secret = secret, .key = "k" }));
}

static void gets_no_ticket_from_a_server_without_a_secret(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct visit v = { .key = "k", .words = i ? TLS12 : NULL };
		assert_false(visit(&v));
		assert_false(visit(&v));
	}
}

/* TLS 1.3 tickets come with the server's first bytes, never before (see send_tickets). */
static void stores_tickets_when_they_arrive(void **state)
{
	(void)state;
	struct visit early = { .secret = secret, .key = "k", .leaves_early = true };
	struct visit usual = { .secret = secret, .key = "k" };
	assert_false(visit(&early));
	assert_false(visit(&early));
	assert_false(visit(&usual));
	assert_true(visit(&early)); /* uses up the ticket it found, brings none back */
	assert_false(visit(&usual));
	assert_true(visit(&usual));
}

/* RFC 8446 C.4: a 1.3 ticket is used once; parallel connections each need one. */
static void takes_a_ticket_of_tls13_out_on_use(void **state)
{
	(void)state;
	gnutls_datum_t one = { (unsigned char *)(uintptr_t) "one", 3 };
	gnutls_datum_t two = { (unsigned char *)(uintptr_t) "two", 3 };
	gnutls_datum_t got;
	tlsio_session_cache_store(cache, STR("k"), 0, true, &one);
	tlsio_session_cache_store(cache, STR("k"), 1, true, &two);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 2, &got), 0);
	assert_memory_equal(got.data, "two", 3);
	free(got.data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 2, &got), 0);
	assert_memory_equal(got.data, "one", 3);
	free(got.data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 2, &got), -1);
	/* One of TLS 1.2 stays. */
	tlsio_session_cache_store(cache, STR("k"), 3, false, &one);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 3, &got), 0);
		free(got.data);
	}
	tlsio_session_cache_forget(cache, STR("k"));
	tlsio_session_cache_forget(cache, STR("k"));
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 3, &got), -1);
}

static void forgets_what_is_old(void **state)
{
	(void)state;
	gnutls_datum_t data = { (unsigned char *)(uintptr_t) "data", 4 };
	gnutls_datum_t got;
	tlsio_session_cache_store(cache, STR("k"), 1000, false, &data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 4600, &got), 0);
	free(got.data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 4601, &got), -1);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 1000, &got), -1);
}

static bool is_cached(struct tlsio_session_cache *c, int number)
{
	char key[20];
	gnutls_datum_t got;
	snprintf(key, sizeof(key), "key %d", number);
	if (tlsio_session_cache_take(c, str_of(key), 0, &got) < 0)
		return false;
	free(got.data);
	return true;
}

static void stays_within_its_bound_and_drops_the_eldest(void **state)
{
	(void)state;
	gnutls_datum_t data = { (unsigned char *)(uintptr_t) "data", 4 };
	struct tlsio_session_cache *small = tlsio_session_cache_new(8, 3600);
	for (int i = 0; i < 100; i++) {
		char key[20];
		snprintf(key, sizeof(key), "key %d", i);
		tlsio_session_cache_store(small, str_of(key), 0, false, &data);
		/* What is stored again is young again. */
		tlsio_session_cache_store(small, STR("key 0"), 0, false, &data);
	}
	int kept = 0;
	for (int i = 0; i < 100; i++)
		kept += is_cached(small, i);
	assert_int_equal(kept, 8);
	assert_true(is_cached(small, 0));
	assert_true(is_cached(small, 99));
	assert_false(is_cached(small, 50));
	tlsio_session_cache_free(&small);

	struct tlsio_session_cache *none = tlsio_session_cache_new(0, 3600);
	tlsio_session_cache_store(none, STR("key 0"), 0, false, &data);
	assert_false(is_cached(none, 0));
	tlsio_session_cache_free(&none);
}

static void keeps_no_session_of_absurd_size(void **state)
{
	(void)state;
	gnutls_datum_t data = { mem_zero(100000), 100000 };
	gnutls_datum_t got;
	tlsio_session_cache_store(cache, STR("k"), 0, false, &data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 0, &got), -1);
	data.size = 0;
	tlsio_session_cache_store(cache, STR("k"), 0, false, &data);
	assert_int_equal(tlsio_session_cache_take(cache, STR("k"), 0, &got), -1);
	free(data.data);
}

static void goes_on_in_full_when_a_stored_session_is_garbage(void **state)
{
	(void)state;
	gnutls_datum_t data = { (unsigned char *)(uintptr_t) "garbage that is no session", 26 };
	tlsio_session_cache_store(cache, STR("k"), 0, true, &data);
	assert_false(visit(&(struct visit){ .secret = secret, .key = "k" }));
}

/* A client certificate is part of what is resumed, and judged again. */
static void keeps_the_client_certificate_over_a_resumption(void **state)
{
	(void)state;
	static const char *const words[] = { NULL, TLS12 };
	struct tlsio_certstore *present = fake_ca_certstore(ca, "client.example.org");
	struct tlsio_tickets *tickets = tlsio_tickets_new(secret, 3600);
	for (int i = 0; i < 4; i++) {
		struct tlsio_server_wishes server_wishes = {
			.certificates = store, .tickets = tickets, .client_trust = trust
		};
		struct tlsio_client_wishes client_wishes = { .present = present,
			.cache = cache,
			.priority = words[i / 2],
			.cache_key = str_of(i / 2 ? "a" : "b") };
		struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
		struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
		struct session_pair p;
		session_pair_connect(&p, server, client);
		const struct tlsio_peer *seen = session_pair_peer(&p, PAIR_SERVER);
		assert_int_equal(seen->is_resumed, i % 2);
		assert_int_equal(seen->chain_count, 1);
		assert_int_equal(seen->chain_faults, 0);
		session_pair_close(&p);
		tlsio_server_unref(&server);
		tlsio_client_unref(&client);
	}
	tlsio_tickets_unref(&tickets);
	tlsio_certstore_unref(&present);
}

static void makes_secrets_that_differ(void **state)
{
	(void)state;
	static const uint8_t zero[TLSIO_TICKET_SECRET_BYTES];
	assert_memory_not_equal(secret, other_secret, sizeof(secret));
	assert_memory_not_equal(secret, zero, sizeof(secret));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, new_cache, free_cache)
	const struct CMUnitTest tests[] = {
		TEST(resumes_at_every_server_with_the_same_secret),
		TEST(T5_never_uses_a_session_under_another_key),
		TEST(T5_judges_the_stored_chain_anew),
		TEST(gets_no_ticket_from_a_server_without_a_secret),
		TEST(stores_tickets_when_they_arrive),
		TEST(takes_a_ticket_of_tls13_out_on_use),
		TEST(forgets_what_is_old),
		TEST(stays_within_its_bound_and_drops_the_eldest),
		TEST(keeps_no_session_of_absurd_size),
		TEST(goes_on_in_full_when_a_stored_session_is_garbage),
		TEST(keeps_the_client_certificate_over_a_resumption),
		TEST(makes_secrets_that_differ),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
