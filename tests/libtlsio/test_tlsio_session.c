#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_ca.h"
#include "tests/libtlsio/session_pair.h"

struct world {
	struct fake_ca *ca;
	struct tlsio_trust *trust;
	struct tlsio_certstore *store;
};
static struct world w;

static int set_up(void **state)
{
	(void)state;
	w.ca = fake_ca_new("test root");
	w.trust = fake_ca_trust(w.ca);
	w.store = fake_ca_certstore(w.ca, "mx.example.net");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tlsio_certstore_unref(&w.store);
	tlsio_trust_unref(&w.trust);
	fake_ca_free(&w.ca);
	return 0;
}

static struct tlsio_server *server_of(enum tlsio_version minimum, const char *priority)
{
	struct err err;
	struct tlsio_server_wishes wishes = {
		.minimum = minimum,
		.priority = priority,
		.certificates = w.store,
	};
	struct tlsio_server *server = tlsio_server_new(&wishes, &err);
	if (!server)
		fail_msg("%s", err.text);
	return server;
}

static struct tlsio_client *client_of(enum tlsio_version minimum, const char *priority)
{
	struct err err;
	static const char *const names[] = { "mx.example.net" };
	struct tlsio_client_wishes wishes = {
		.minimum = minimum,
		.priority = priority,
		.server_name = "mx.example.net",
		.names = names,
		.name_count = 1,
		.trust = w.trust,
	};
	struct tlsio_client *client = tlsio_client_new(&wishes, &err);
	if (!client)
		fail_msg("%s", err.text);
	return client;
}

/* Opens the usual pair; the pair's sessions keep the wishes. */
static void open_pair(struct session_pair *p, const char *client_priority, size_t capacity_bytes)
{
	struct tlsio_server *server = server_of(0, NULL);
	struct tlsio_client *client = client_of(0, client_priority);
	session_pair_open(p, server, client, capacity_bytes);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
}

static void connect_pair(struct session_pair *p, const char *client_priority)
{
	open_pair(p, client_priority, 65536);
	assert_true(session_pair_handshake(p));
	session_pair_settle(p);
}

static void agrees_on_tls13_and_reports_it_on_both_sides(void **state)
{
	(void)state;
	struct session_pair p;
	connect_pair(&p, NULL);
	const struct tlsio_peer *seen = session_pair_peer(&p, PAIR_CLIENT);
	assert_int_equal(seen->version, TLSIO_TLS13);
	assert_string_equal(seen->suite, "TLS_AES_256_GCM_SHA384");
	assert_int_equal(seen->suite_id, 0x1302);
	assert_string_equal(seen->group, "x25519");
	assert_false(seen->is_resumed);
	assert_string_equal(seen->server_name, "mx.example.net");
	assert_int_equal(seen->chain_count, 1);
	assert_int_equal(seen->chain_faults, 0);
	assert_string_equal(seen->matched_name, "mx.example.net");

	seen = session_pair_peer(&p, PAIR_SERVER);
	assert_int_equal(seen->version, TLSIO_TLS13);
	assert_string_equal(seen->suite, "TLS_AES_256_GCM_SHA384");
	assert_string_equal(seen->server_name, "mx.example.net");
	assert_int_equal(seen->chain_count, 0);
	assert_int_equal(seen->chain_faults, TLSIO_CHAIN_ABSENT);
	assert_null(seen->matched_name);
	session_pair_close(&p);
}

/* RFC 9325 4.2; names as IANA writes them, for the tls clause of RFC 8314 4.3. */
static void T3_negotiates_what_both_sides_can(void **state)
{
	(void)state;
	static const struct {
		const char *client_words;
		enum tlsio_version version;
		const char *suite;
		uint16_t suite_id;
		const char *group;
	} cases[] = {
		{ "-VERS-TLS1.3", TLSIO_TLS12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c,
			"x25519" },
		{ "-VERS-TLS1.3:-AES-256-GCM", TLSIO_TLS12,
			"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9, "x25519" },
		{ "-VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM", TLSIO_TLS12,
			"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b, "x25519" },
		{ "-CIPHER-ALL:+AES-128-GCM", TLSIO_TLS13, "TLS_AES_128_GCM_SHA256", 0x1301,
			"x25519" },
		{ "-CIPHER-ALL:+CHACHA20-POLY1305", TLSIO_TLS13, "TLS_CHACHA20_POLY1305_SHA256",
			0x1303, "x25519" },
		{ "-GROUP-ALL:+GROUP-SECP256R1", TLSIO_TLS13, "TLS_AES_256_GCM_SHA384", 0x1302,
			"secp256r1" },
		{ "-GROUP-ALL:+GROUP-SECP384R1", TLSIO_TLS13, "TLS_AES_256_GCM_SHA384", 0x1302,
			"secp384r1" },
		/* A client that likes others better follows the server. */
		{ "-GROUP-ALL:+GROUP-SECP384R1:+GROUP-X25519:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM",
			TLSIO_TLS13, "TLS_AES_256_GCM_SHA384", 0x1302, NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session_pair p;
		connect_pair(&p, cases[i].client_words);
		const struct tlsio_peer *seen = session_pair_peer(&p, PAIR_SERVER);
		assert_int_equal(seen->version, cases[i].version);
		assert_string_equal(seen->suite, cases[i].suite);
		assert_int_equal(seen->suite_id, cases[i].suite_id);
		if (cases[i].group)
			assert_string_equal(seen->group, cases[i].group);
		assert_string_equal(session_pair_peer(&p, PAIR_CLIENT)->suite, cases[i].suite);
		session_pair_close(&p);
	}
}

static void says_which_side_lacked_what(void **state)
{
	(void)state;
	static const struct {
		enum tlsio_version server_minimum, client_minimum;
		const char *server_words, *client_words;
		const char *server_says, *client_says;
	} cases[] = {
		{ TLSIO_TLS13, 0, NULL, "-VERS-TLS1.3",
			"the peer offers no TLS version we accept (it offers TLS1.2 at most, we "
			"demand TLS1.3)",
			"peer sent alert 70 protocol_version" },
		{ 0, TLSIO_TLS13, "-VERS-TLS1.3", NULL,
			"the peer offers no TLS version we accept (it offers TLS1.3 at most",
			"peer sent alert 70 protocol_version; it accepts no TLS version we offer "
			"(we demand TLS1.3)" },
		{ 0, 0, "-CIPHER-ALL:+AES-256-GCM", "-CIPHER-ALL:+CHACHA20-POLY1305",
			"no cipher suite in common with the peer",
			"peer sent alert 40 handshake_failure" },
		{ 0, 0, "-GROUP-ALL:+GROUP-SECP256R1", "-GROUP-ALL:+GROUP-SECP384R1", "",
			"peer sent alert" },
		{ 0, 0, NULL, "-VERS-TLS1.3:-KX-ALL:+ECDHE-RSA",
			"no cipher suite in common with the peer",
			"peer sent alert 40 handshake_failure; probably no cipher suite" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session_pair p;
		struct tlsio_server *server =
			server_of(cases[i].server_minimum, cases[i].server_words);
		struct tlsio_client *client =
			client_of(cases[i].client_minimum, cases[i].client_words);
		session_pair_open(&p, server, client, 65536);
		assert_false(session_pair_handshake(&p));
		assert_int_equal(p.io[PAIR_SERVER], TLSIO_IO_FAILED);
		assert_int_equal(p.io[PAIR_CLIENT], TLSIO_IO_FAILED);
		assert_int_equal(p.err[PAIR_SERVER].kind, ERR_TLS);
		assert_non_null(strstr(p.err[PAIR_SERVER].text, cases[i].server_says));
		assert_non_null(strstr(p.err[PAIR_CLIENT].text, cases[i].client_says));
		session_pair_close(&p);
		tlsio_server_unref(&server);
		tlsio_client_unref(&client);
	}
}

/* What a peer writes is told apart by its first bytes. */
static void refuses_what_is_not_tls(void **state)
{
	(void)state;
	static const char *const inputs[] = {
		"EHLO client.example.net\r\n",
		"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
		"\x16\x03\x01\xff\xff\x01\x00\x00\x00",
		"\x15\x03\x01\x00\x02\x02\x28",
		"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
		"GET / HTTP/1.0\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct session_pair p;
		struct err err = { 0 };
		open_pair(&p, NULL, 65536);
		size_t length = i == 1   ? 9
				: i == 2 ? 9
				: i == 3 ? 7
				: i == 4 ? 11
					 : strlen(inputs[i]);
		struct iovec part = { (char *)(uintptr_t)inputs[i], length };
		p.ends[PAIR_CLIENT]->kind->write(p.ends[PAIR_CLIENT], &part, 1);
		p.ends[PAIR_CLIENT]->kind->shutdown(p.ends[PAIR_CLIENT]);
		enum tlsio_io io = TLSIO_IO_AGAIN;
		for (int j = 0; j < 10 && io == TLSIO_IO_AGAIN; j++)
			io = tlsio_session_handshake(p.sessions[PAIR_SERVER], &err);
		assert_true(io == TLSIO_IO_FAILED || io == TLSIO_IO_TRUNCATED);
		assert_true(err.text[0] != '\0');
		session_pair_close(&p);
	}
}

static void carries_much_in_both_directions(void **state)
{
	(void)state;
	size_t length = 1000003;
	char *bytes = mem_alloc(length);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)(i * 7919 >> 3);
	static const char *const words[] = { NULL, "-VERS-TLS1.3" };
	for (int i = 0; i < 2; i++) {
		struct session_pair p;
		connect_pair(&p, words[i]);
		session_pair_carry(&p, PAIR_SERVER, bytes, length);
		session_pair_carry(&p, PAIR_CLIENT, bytes, length);
		session_pair_carry(&p, PAIR_CLIENT, "x", 1);
		session_pair_close(&p);
	}
	free(bytes);
}

/* 100 bytes of room: every flight and record goes in pieces, in the handshake too. */
static void survives_a_transport_with_hardly_any_room(void **state)
{
	(void)state;
	struct session_pair p;
	char bytes[50000];
	memset(bytes, 'a', sizeof(bytes));
	open_pair(&p, NULL, 100);
	assert_true(session_pair_handshake(&p));
	session_pair_carry(&p, PAIR_SERVER, bytes, sizeof(bytes));
	session_pair_carry(&p, PAIR_CLIENT, bytes, sizeof(bytes));
	session_pair_close(&p);
}

static void gives_small_pieces_and_says_what_waits_inside(void **state)
{
	(void)state;
	struct session_pair p;
	char into[16];
	size_t count;
	connect_pair(&p, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsio_session_write(
					 p.sessions[PAIR_CLIENT], "0123456789", 10, &count, NULL),
			TLSIO_IO_DONE);
		assert_int_equal(count, 10);
	}
	size_t total = 0;
	do {
		assert_int_equal(tlsio_session_read(p.sessions[PAIR_SERVER], into, 4, &count, NULL),
			TLSIO_IO_DONE);
		total += count;
	} while (tlsio_session_pending(p.sessions[PAIR_SERVER]) > 0);
	/* With little room nothing is read ahead, so an event may be what announces the rest. */
	while (total < 30 &&
		tlsio_session_read(p.sessions[PAIR_SERVER], into, 4, &count, NULL) == TLSIO_IO_DONE)
		total += count;
	assert_int_equal(total, 30);
	session_pair_close(&p);
}

static void tells_a_goodbye_from_a_cut(void **state)
{
	(void)state;
	for (int is_polite = 0; is_polite < 2; is_polite++) {
		struct session_pair p;
		struct err err = { 0 };
		char into[100];
		size_t count;
		connect_pair(&p, NULL);
		struct tlsio_session *client = p.sessions[PAIR_CLIENT];
		tlsio_session_write(client, "last words", 10, &count, NULL);
		if (is_polite)
			assert_int_equal(tlsio_session_bye(client), TLSIO_IO_DONE);
		p.ends[PAIR_CLIENT]->kind->shutdown(p.ends[PAIR_CLIENT]);
		assert_int_equal(tlsio_session_read(
					 p.sessions[PAIR_SERVER], into, sizeof(into), &count, &err),
			TLSIO_IO_DONE);
		assert_int_equal(count, 10);
		/* Told again and again. */
		for (int i = 0; i < 3; i++) {
			enum tlsio_io io = tlsio_session_read(
				p.sessions[PAIR_SERVER], into, sizeof(into), &count, &err);
			assert_int_equal(count, 0);
			assert_int_equal(io, is_polite ? TLSIO_IO_END : TLSIO_IO_TRUNCATED);
		}
		session_pair_close(&p);
	}
}

static void may_still_write_after_the_peer_said_goodbye(void **state)
{
	(void)state;
	struct session_pair p;
	char into[100];
	size_t count;
	connect_pair(&p, NULL);
	tlsio_session_bye(p.sessions[PAIR_CLIENT]);
	assert_int_equal(
		tlsio_session_read(p.sessions[PAIR_SERVER], into, sizeof(into), &count, NULL),
		TLSIO_IO_END);
	assert_int_equal(tlsio_session_write(p.sessions[PAIR_SERVER], "bye", 3, &count, NULL),
		TLSIO_IO_DONE);
	assert_int_equal(
		tlsio_session_read(p.sessions[PAIR_CLIENT], into, sizeof(into), &count, NULL),
		TLSIO_IO_DONE);
	assert_int_equal(count, 3);
	session_pair_close(&p);
}

static void fails_on_a_forged_record(void **state)
{
	(void)state;
	struct session_pair p;
	struct err err = { 0 };
	char into[100];
	size_t count;
	connect_pair(&p, NULL);
	static const char forged[] = "\x17\x03\x03\x00\x20"
				     "0123456789abcdef0123456789abcdef";
	struct iovec part = { (char *)(uintptr_t)forged, 37 };
	p.ends[PAIR_CLIENT]->kind->write(p.ends[PAIR_CLIENT], &part, 1);
	assert_int_equal(
		tlsio_session_read(p.sessions[PAIR_SERVER], into, sizeof(into), &count, &err),
		TLSIO_IO_FAILED);
	assert_string_equal(err.text, "a record from the peer could not be decrypted");
	/* The peer learns why. */
	assert_int_equal(
		tlsio_session_read(p.sessions[PAIR_CLIENT], into, sizeof(into), &count, &err),
		TLSIO_IO_FAILED);
	assert_string_equal(err.text, "peer sent alert 20 bad_record_mac");
	session_pair_close(&p);
}

static void tells_a_broken_transport_as_such(void **state)
{
	(void)state;
	struct session_pair p;
	struct err err = { 0 };
	size_t count;
	connect_pair(&p, NULL);
	p.ends[PAIR_CLIENT]->kind->free(p.ends[PAIR_CLIENT]);
	p.ends[PAIR_CLIENT] = NULL;
	enum tlsio_io io = tlsio_session_write(p.sessions[PAIR_SERVER], "x", 1, &count, &err);
	assert_int_equal(io, TLSIO_IO_FAILED);
	assert_int_equal(err.kind, ERR_SYSTEM);
	session_pair_close(&p);
}

/* --- what passes on the transport ----------------------------------------------------------- */

/* A transport in front of another that counts and keeps what is written. */
struct tap {
	struct tlsio_transport base;
	struct tlsio_transport *inner;
	struct buf written;
	int reads, writes;
};

static ssize_t tap_read(struct tlsio_transport *t, void *into, size_t capacity)
{
	struct tap *tap = (struct tap *)(void *)t;
	tap->reads++;
	return tap->inner->kind->read(tap->inner, into, capacity);
}

static ssize_t tap_write(struct tlsio_transport *t, const struct iovec *parts, int count)
{
	struct tap *tap = (struct tap *)(void *)t;
	tap->writes++;
	for (int i = 0; i < count; i++)
		buf_append(&tap->written, parts[i].iov_base, parts[i].iov_len);
	return tap->inner->kind->write(tap->inner, parts, count);
}

static void tap_free(struct tlsio_transport *t)
{
	struct tap *tap = (struct tap *)(void *)t;
	tap->inner->kind->free(tap->inner);
	buf_release(&tap->written);
}

static const struct tlsio_transport_kind tap_kind = {
	.name = "tap",
	.read = tap_read,
	.write = tap_write,
	.free = tap_free,
};

static void tap_side(struct session_pair *p, int side, struct tap *tap, struct tlsio_server *server,
	struct tlsio_client *client)
{
	*tap = (struct tap){ .base.kind = &tap_kind, .inner = p->ends[side] };
	p->ends[side] = &tap->base;
	tlsio_session_free(&p->sessions[side]);
	p->sessions[side] = side == PAIR_SERVER
				    ? tlsio_session_new_server(server, &tap->base, NULL)
				    : tlsio_session_new_client(client, &tap->base, NULL);
}

static void sends_a_flight_in_one_call_and_reads_one_in_one(void **state)
{
	(void)state;
	struct session_pair p;
	struct tap tap;
	struct tlsio_server *server = server_of(0, NULL);
	struct tlsio_client *client = client_of(0, NULL);
	session_pair_open(&p, server, client, 1 << 20);
	tap_side(&p, PAIR_SERVER, &tap, server, client);
	assert_true(session_pair_handshake(&p));
	/* ServerHello ... Finished; without tickets that is all. */
	assert_int_equal(tap.writes, 1);
	assert_int_equal(tap.reads, 2);

	static char bytes[64 * 1024], into[64 * 1024];
	size_t count;
	tap.writes = tap.reads = 0;
	assert_int_equal(
		tlsio_session_write(p.sessions[PAIR_SERVER], bytes, sizeof(bytes), &count, NULL),
		TLSIO_IO_DONE);
	assert_int_equal(count, sizeof(bytes));
	assert_int_equal(tap.writes, 1);
	tlsio_session_write(p.sessions[PAIR_CLIENT], bytes, 2000, &count, NULL);
	tlsio_session_write(p.sessions[PAIR_CLIENT], bytes, 2000, &count, NULL);
	assert_int_equal(
		tlsio_session_read(p.sessions[PAIR_SERVER], into, sizeof(into), &count, NULL),
		TLSIO_IO_DONE);
	assert_int_equal(count, 4000);
	assert_int_equal(tap.reads, 1);
	session_pair_close(&p);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
}

/* Every prefix of what a client sends until the handshake is done, then the end. */
static void ends_a_handshake_cut_at_any_byte(void **state)
{
	(void)state;
	struct session_pair p;
	struct tap tap;
	struct tlsio_server *server = server_of(0, NULL);
	struct tlsio_client *client = client_of(0, NULL);
	session_pair_open(&p, server, client, 1 << 20);
	tap_side(&p, PAIR_CLIENT, &tap, server, client);
	/* The client's first flight; its second answers keys that differ each time. */
	tlsio_session_handshake(p.sessions[PAIR_CLIENT], NULL);
	size_t length = tap.written.length;
	char *flight = mem_dup_bytes(buf_str(&tap.written).at, length);
	session_pair_close(&p);
	for (size_t cut = 0; cut < length; cut++) {
		struct err err = { 0 };
		session_pair_open(&p, server, client, 65536);
		struct iovec part = { flight, cut };
		if (cut > 0)
			p.ends[PAIR_CLIENT]->kind->write(p.ends[PAIR_CLIENT], &part, 1);
		assert_int_equal(
			tlsio_session_handshake(p.sessions[PAIR_SERVER], &err), TLSIO_IO_AGAIN);
		p.ends[PAIR_CLIENT]->kind->shutdown(p.ends[PAIR_CLIENT]);
		assert_int_equal(
			tlsio_session_handshake(p.sessions[PAIR_SERVER], &err), TLSIO_IO_TRUNCATED);
		assert_string_equal(err.text, "the peer closed the connection in the handshake");
		session_pair_close(&p);
	}
	free(flight);
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_on_tls13_and_reports_it_on_both_sides),
		cmocka_unit_test(T3_negotiates_what_both_sides_can),
		cmocka_unit_test(says_which_side_lacked_what),
		cmocka_unit_test(refuses_what_is_not_tls),
		cmocka_unit_test(carries_much_in_both_directions),
		cmocka_unit_test(survives_a_transport_with_hardly_any_room),
		cmocka_unit_test(gives_small_pieces_and_says_what_waits_inside),
		cmocka_unit_test(tells_a_goodbye_from_a_cut),
		cmocka_unit_test(may_still_write_after_the_peer_said_goodbye),
		cmocka_unit_test(fails_on_a_forged_record),
		cmocka_unit_test(tells_a_broken_transport_as_such),
		cmocka_unit_test(sends_a_flight_in_one_call_and_reads_one_in_one),
		cmocka_unit_test(ends_a_handshake_cut_at_any_byte),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
