#include "libtlsio/tlsio_trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

static struct fake_ca *ca;
static struct tlsio_certstore *store;
static struct tlsio_tickets *tickets;
static struct tlsio_session_cache *cache;

static int set_up(void **state)
{
	(void)state;
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
	tlsio_tickets_make_secret(secret);
	ca = fake_ca_new("root");
	store = fake_ca_certstore(ca, "mx.example.net");
	tickets = tlsio_tickets_new(secret, 3600);
	cache = tlsio_session_cache_new(4, 3600);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_session_cache_free(&cache);
	tlsio_tickets_unref(&tickets);
	tlsio_certstore_unref(&store);
	fake_ca_free(&ca);
	return 0;
}

/* ">ClientHello <ServerHello ..." */
static void note(void *ctx, const struct tlsio_trace_event *event)
{
	struct buf *told = ctx;
	assert_non_null(event->name);
	if (event->kind == TLSIO_TRACE_HANDSHAKE)
		buf_printf(told, "%s%c%s", told->length ? " " : "", event->is_incoming ? '<' : '>',
			event->name);
}

static void note_records(void *ctx, const struct tlsio_trace_event *event)
{
	struct buf *told = ctx;
	if (event->kind == TLSIO_TRACE_RECORD)
		buf_printf(told, "%s%c%s/%04x", told->length ? " " : "",
			event->is_incoming ? '<' : '>', event->name, event->record_version);
}

static void connect_traced(const char *words, const char *key, bool only_records,
	struct buf *at_server, struct buf *at_client)
{
	struct tlsio_server_wishes server_wishes = {
		.certificates = store,
		.tickets = tickets,
		.trace = only_records ? note_records : note,
		.trace_ctx = at_server,
	};
	struct tlsio_client_wishes client_wishes = {
		.server_name = "mx.example.net",
		.priority = words,
		.cache = cache,
		.cache_key = str_of(key),
		.trace = only_records ? note_records : note,
		.trace_ctx = at_client,
	};
	struct tlsio_server *server = tlsio_server_new(&server_wishes, NULL);
	struct tlsio_client *client = tlsio_client_new(&client_wishes, NULL);
	struct session_pair p;
	buf_clear(at_server);
	buf_clear(at_client);
	session_pair_connect(&p, server, client);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
}

/* RFC 8446 section 2, RFC 5246 section 7.3. */
static void tells_every_message_of_a_handshake_in_order(void **state)
{
	(void)state;
	static const struct {
		const char *what, *words, *key, *client, *server;
	} cases[] = {
		{ "TLS 1.3, full", NULL, "1.3",
			">ClientHello <ServerHello <EncryptedExtensions <Certificate "
			"<CertificateVerify <Finished >Finished <NewSessionTicket "
			"<NewSessionTicket",
			"<ClientHello >ServerHello >EncryptedExtensions >Certificate "
			">CertificateVerify >Finished <Finished >NewSessionTicket "
			">NewSessionTicket" },
		{ "TLS 1.3, resumed", NULL, "1.3",
			">ClientHello <ServerHello <EncryptedExtensions <Finished >Finished "
			"<NewSessionTicket",
			"<ClientHello >ServerHello >EncryptedExtensions >Finished "
			"<Finished >NewSessionTicket" },
		{ "TLS 1.2, full", "-VERS-TLS1.3", "1.2",
			">ClientHello <ServerHello <Certificate <ServerKeyExchange "
			"<ServerHelloDone >ClientKeyExchange >Finished <NewSessionTicket <Finished",
			"<ClientHello >ServerHello >Certificate >ServerKeyExchange "
			">ServerHelloDone <ClientKeyExchange <Finished >NewSessionTicket "
			">Finished" },
		{ "TLS 1.2, resumed", "-VERS-TLS1.3", "1.2",
			">ClientHello <ServerHello <Finished >Finished",
			"<ClientHello >ServerHello >Finished <Finished" },
	};
	struct buf at_server = { 0 }, at_client = { 0 };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_traced(cases[i].words, cases[i].key, false, &at_server, &at_client);
		if (strcmp(buf_text(&at_client), cases[i].client) != 0)
			fail_msg("%s, client:\n%s", cases[i].what, buf_text(&at_client));
		if (strcmp(buf_text(&at_server), cases[i].server) != 0)
			fail_msg("%s, server:\n%s", cases[i].what, buf_text(&at_server));
	}
	buf_release(&at_server);
	buf_release(&at_client);
}

/* What one side sends the other receives, record by record. */
static void tells_the_records_that_carry_them(void **state)
{
	(void)state;
	struct buf at_server = { 0 }, at_client = { 0 };
	connect_traced(NULL, "records", true, &at_server, &at_client);
	assert_non_null(strstr(buf_text(&at_client), "<handshake/0303"));
	assert_non_null(strstr(buf_text(&at_client), "<application_data/0303"));
	assert_non_null(strstr(buf_text(&at_server), " >handshake/0303"));
	buf_release(&at_server);
	buf_release(&at_client);
}

static void finds_records_however_the_bytes_come(void **state)
{
	(void)state;
	static const uint8_t bytes[] = { 22, 3, 1, 0, 2, 'a', 'b', 23, 3, 3, 0, 0, 21, 3, 3, 1, 0 };
	for (size_t step = 1; step <= sizeof(bytes); step++) {
		struct buf told = { 0 };
		struct tlsio_tracer tracer = { .trace = note_records, .ctx = &told };
		for (size_t at = 0; at < sizeof(bytes); at += step)
			tlsio_tracer_bytes(&tracer, true, bytes + at,
				sizeof(bytes) - at < step ? sizeof(bytes) - at : step);
		assert_string_equal(
			buf_text(&told), "<handshake/0301 <application_data/0303 <alert/0303");
		buf_release(&told);
	}
}

static void has_a_name_for_everything(void **state)
{
	(void)state;
	assert_string_equal(tlsio_trace_message_name(24), "KeyUpdate");
	assert_string_equal(tlsio_trace_message_name(99), "unknown");
	assert_string_equal(tlsio_trace_record_name(20), "change_cipher_spec");
	assert_string_equal(tlsio_trace_record_name(0), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_every_message_of_a_handshake_in_order),
		cmocka_unit_test(tells_the_records_that_carry_them),
		cmocka_unit_test(finds_records_however_the_bytes_come),
		cmocka_unit_test(has_a_name_for_everything),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
