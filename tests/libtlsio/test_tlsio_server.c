#include "libtlsio/tlsio_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

static struct fake_ca *ca;
static struct fake_ca *client_ca;
static struct tlsio_certstore *store;

static int set_up(void **state)
{
	(void)state;
	ca = fake_ca_new("root");
	client_ca = fake_ca_new("client root");
	store = fake_ca_certstore(ca, "mx.example.net");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_certstore_unref(&store);
	fake_ca_free(&client_ca);
	fake_ca_free(&ca);
	return 0;
}

static void needs_a_certificate(void **state)
{
	(void)state;
	struct err err;
	struct tlsio_server_wishes wishes = { 0 };
	assert_null(tlsio_server_new(&wishes, &err));
	assert_string_equal(err.text, "a TLS server needs a certificate");
}

/* The promise of the header: 1.0 and 1.1 cannot be asked for. */
static void T1_takes_no_words_that_reach_below_the_minimum(void **state)
{
	(void)state;
	static const struct {
		enum tlsio_version minimum;
		const char *words;
		const char *refusal; /* NULL = taken */
	} cases[] = {
		{ 0, NULL, NULL },
		{ 0, "", NULL },
		{ TLSIO_TLS12, "-VERS-TLS1.3", NULL },
		{ TLSIO_TLS13, NULL, NULL },
		{ 0, "+AES-128-CBC:+SHA1", NULL },
		{ 0, "-GROUP-X25519", NULL },
		{ 0, "%COMPAT", NULL },
		{ 0, "+VERS-TLS1.1", "TLS1.1, below the minimum TLS1.2" },
		{ 0, "+VERS-TLS1.0", "TLS1.0, below the minimum TLS1.2" },
		{ 0, "+VERS-ALL", "below the minimum TLS1.2" },
		{ 0, "+VERS-TLS-ALL", "below the minimum TLS1.2" },
		{ 0, "+VERS-DTLS1.2", "below the minimum TLS1.2" },
		{ TLSIO_TLS13, "+VERS-TLS1.2", "TLS1.2, below the minimum TLS1.3" },
		{ TLSIO_TLS13, "-VERS-TLS1.3", "" },
		{ 0, "-VERS-ALL", "" },
		{ 0, "+NULL", "the cipher NULL" },
		{ 0, "+ARCFOUR-128", "the cipher ARCFOUR-128" },
		{ 0, "+NO-SUCH-THING", "not understood at \"+NO-SUCH-THING\"" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		struct tlsio_server_wishes wishes = {
			.certificates = store,
			.minimum = cases[i].minimum,
			.priority = cases[i].words,
		};
		struct tlsio_server *server = tlsio_server_new(&wishes, &err);
		if ((server == NULL) != (cases[i].refusal != NULL))
			fail_msg("%s: %s", cases[i].words, server ? "taken" : err.text);
		if (!server) {
			assert_int_equal(err.kind, ERR_INPUT);
			if (!strstr(err.text, cases[i].refusal))
				fail_msg("%s: %s", cases[i].words, err.text);
		}
		tlsio_server_unref(&server);
	}
}

/* A raw ClientHello of TLS 1.1 and one of 1.0, as old peers send. */
static void T1_answers_old_versions_with_protocol_version(void **state)
{
	(void)state;
	for (uint8_t minor = 1; minor <= 2; minor++) {
		uint8_t hello[] = { 0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, minor, [11 ... 42] = 0x55, 0,
			0, 4, 0xc0, 0x13, 0, 0xff, 1, 0 };
		struct session_pair p;
		struct err err = { 0 };
		uint8_t answer[64];
		struct tlsio_server_wishes wishes = { .certificates = store };
		struct tlsio_client_wishes client_wishes = { 0 };
		struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
		struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
		session_pair_open(&p, server, client, 65536);
		struct iovec part = { hello, sizeof(hello) };
		p.ends[PAIR_CLIENT]->kind->write(p.ends[PAIR_CLIENT], &part, 1);
		assert_int_equal(
			tlsio_session_handshake(p.sessions[PAIR_SERVER], &err), TLSIO_IO_FAILED);
		char wanted[100];
		snprintf(wanted, sizeof(wanted),
			"the peer offers no TLS version we accept (it offers TLS1.%d at most",
			minor - 1);
		if (!strstr(err.text, wanted))
			fail_msg("%s", err.text);
		ssize_t count = p.ends[PAIR_CLIENT]->kind->read(
			p.ends[PAIR_CLIENT], answer, sizeof(answer));
		assert_int_equal(count, 7);
		assert_int_equal(answer[0], 21);
		assert_int_equal(answer[5], 2);
		assert_int_equal(answer[6], 70);
		session_pair_close(&p);
		tlsio_server_unref(&server);
		tlsio_client_unref(&client);
	}
}

enum shown { NOTHING, GOOD, STRANGER, EXPIRED, SERVER_ONLY };

static struct tlsio_certstore *client_certificate(enum shown shown)
{
	struct fake_leaf_wishes wishes = { .names = { "client.example.org" } };
	if (shown == NOTHING)
		return NULL;
	if (shown == EXPIRED) {
		wishes.not_before_s = -9 * 86400;
		wishes.not_after_s = -86400;
	}
	if (shown == SERVER_ONLY)
		wishes.purpose = GNUTLS_KP_TLS_WWW_SERVER;
	struct fake_leaf leaf = fake_ca_issue_as(shown == STRANGER ? ca : client_ca, &wishes);
	struct tlsio_certstore *present = fake_leaf_certstore(&leaf);
	fake_leaf_clear(&leaf);
	return present;
}

/* Asks, never insists, reports all. */
static void reports_the_client_certificate_without_insisting(void **state)
{
	(void)state;
	static const struct {
		enum shown shown;
		unsigned faults;
	} cases[] = {
		{ NOTHING, TLSIO_CHAIN_ABSENT },
		{ GOOD, 0 },
		{ STRANGER, TLSIO_CHAIN_UNTRUSTED },
		{ EXPIRED, TLSIO_CHAIN_EXPIRED },
		{ SERVER_ONLY, TLSIO_CHAIN_WRONG_PURPOSE },
	};
	static const char *const words[] = { NULL, "-VERS-TLS1.3" };
	struct tlsio_trust *client_trust = fake_ca_trust(client_ca);
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct tlsio_server_wishes wishes = {
			.certificates = store,
			.client_trust = client_trust,
		};
		struct tlsio_certstore *present = client_certificate(cases[i / 2].shown);
		struct tlsio_client_wishes client_wishes = {
			.present = present,
			.priority = words[i % 2],
		};
		struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
		struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
		struct session_pair p;
		session_pair_connect(&p, server, client);
		const struct tlsio_peer *seen = session_pair_peer(&p, PAIR_SERVER);
		assert_int_equal(seen->chain_faults, cases[i / 2].faults);
		assert_int_equal(seen->chain_count, present ? 1 : 0);
		if (present) {
			assert_string_equal(seen->subject, "CN=client.example.org");
			assert_true(tlsio_peer_has_name(seen, "client.example.org"));
		}
		session_pair_close(&p);
		tlsio_server_unref(&server);
		tlsio_client_unref(&client);
		tlsio_certstore_unref(&present);
	}
	tlsio_trust_unref(&client_trust);
}

static void does_not_ask_without_a_client_trust(void **state)
{
	(void)state;
	struct tlsio_certstore *present = client_certificate(GOOD);
	struct tlsio_server_wishes wishes = { .certificates = store };
	struct tlsio_client_wishes client_wishes = { .present = present };
	struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	struct session_pair p;
	session_pair_connect(&p, server, client);
	assert_int_equal(session_pair_peer(&p, PAIR_SERVER)->chain_faults, TLSIO_CHAIN_ABSENT);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	tlsio_certstore_unref(&present);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(needs_a_certificate),
		cmocka_unit_test(T1_takes_no_words_that_reach_below_the_minimum),
		cmocka_unit_test(T1_answers_old_versions_with_protocol_version),
		cmocka_unit_test(reports_the_client_certificate_without_insisting),
		cmocka_unit_test(does_not_ask_without_a_client_trust),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
