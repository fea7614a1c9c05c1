/* Streams that become TLS in place, over the memory pair: the guard, both roles, ends, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_upgrade.h"
#include "tests/fakes/fake_loop.h"

/* --- one certificate for all tests ------------------------------------------------------------ */

static struct tlsio_server *server;
static struct tlsio_client *client;

static int make_certificate(void **state)
{
	(void)state;
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t crt_pem, key_pem;
	struct err err;
	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
		GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\x01", 1);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 1000);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 100000);
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "a.example", 9);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "a.example", 9,
		GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_key(crt, key);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem);
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	assert_int_equal(tlsio_certstore_builder_add(builder, "chain",
				 str_from(crt_pem.data, crt_pem.size), "key",
				 str_from(key_pem.data, key_pem.size), &err),
		0);
	struct tlsio_certstore *store = tlsio_certstore_builder_finish(&builder, &err);
	server = tlsio_server_new(&(struct tlsio_server_wishes){ .certificates = store }, &err);
	const char *names[] = { "a.example" };
	client = tlsio_client_new(
		&(struct tlsio_client_wishes){
			.server_name = "a.example", .names = names, .name_count = 1 },
		&err);
	assert_non_null(server);
	assert_non_null(client);
	tlsio_certstore_unref(&store);
	gnutls_free(crt_pem.data);
	gnutls_free(key_pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return 0;
}

static int drop_certificate(void **state)
{
	(void)state;
	tlsio_server_unref(&server);
	tlsio_client_unref(&client);
	return 0;
}

/* --- two streams ------------------------------------------------------------------------------ */

struct side {
	struct tlsio_stream *stream;
	struct buf got;
	bool keeps; /* does not consume */
	bool closes_at_end;
	bool closes_when_secured;
	int inputs, secured, timeouts, ends;
	enum tlsio_end end;
	struct err why;
	size_t to_produce, produced, checked;
	size_t most_queued;
	bool checks_pattern;
};

struct fixture {
	struct tlsio_loop *loop;
	struct tlsio_transport *ends[2];
	struct side s, c; /* server, client */
};

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 251);
}

static void take(struct side *side, size_t count)
{
	struct str in = tlsio_stream_input(side->stream);
	assert_true(count <= in.length);
	if (side->checks_pattern) {
		for (size_t i = 0; i < count; i++)
			assert_int_equal(in.at[i], pattern(side->checked + i));
		side->checked += count;
	} else {
		buf_append(&side->got, in.at, count);
	}
	tlsio_stream_consume(side->stream, count);
}

static void on_input(void *ctx)
{
	struct side *side = ctx;
	side->inputs++;
	if (!side->keeps)
		take(side, tlsio_stream_input(side->stream).length);
}

static void produce(struct side *side)
{
	char chunk[5000];
	size_t room;
	while (side->produced < side->to_produce && (room = tlsio_stream_room(side->stream)) > 0) {
		size_t count = side->to_produce - side->produced;
		if (count > room)
			count = room;
		if (count > sizeof(chunk))
			count = sizeof(chunk);
		for (size_t i = 0; i < count; i++)
			chunk[i] = pattern(side->produced + i);
		tlsio_stream_write(side->stream, chunk, count);
		side->produced += count;
		size_t queued = side->produced - tlsio_stream_sent_bytes(side->stream);
		if (queued > side->most_queued)
			side->most_queued = queued;
	}
}

static void on_room(void *ctx)
{
	produce(ctx);
}

static void on_secured(void *ctx)
{
	struct side *side = ctx;
	side->secured++;
	assert_true(tlsio_stream_is_secured(side->stream));
	assert_non_null(tlsio_stream_peer(side->stream));
	if (side->closes_when_secured)
		tlsio_stream_close(&side->stream);
	else
		produce(side);
}

static void on_timeout(void *ctx)
{
	((struct side *)ctx)->timeouts++;
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct side *side = ctx;
	side->ends++;
	side->end = end;
	side->why = *why;
	if (side->closes_at_end)
		tlsio_stream_close(&side->stream);
}

static const struct tlsio_stream_events events = {
	.on_input = on_input,
	.on_room = on_room,
	.on_secured = on_secured,
	.on_timeout = on_timeout,
	.on_end = on_end,
};
static const struct tlsio_stream_limits limits = { .input_bytes = 20000, .output_bytes = 30000 };

static struct fixture *begin(size_t capacity_bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	tlsio_transport_memory_pair(f->loop, capacity_bytes, f->ends);
	f->s.stream = tlsio_stream_new(f->loop, f->ends[0], &limits, &events, &f->s);
	f->c.stream = tlsio_stream_new(f->loop, f->ends[1], &limits, &events, &f->c);
	return f;
}

static void end(struct fixture *f)
{
	tlsio_stream_close(&f->s.stream);
	tlsio_stream_close(&f->c.stream);
	tlsio_loop_free(&f->loop);
	buf_release(&f->s.got);
	buf_release(&f->c.got);
	free(f);
}

static void write_text(struct side *side, const char *text)
{
	tlsio_stream_write(side->stream, text, strlen(text));
}

static void expect_got(struct side *side, const char *text)
{
	assert_string_equal(buf_text(&side->got), text);
	buf_clear(&side->got);
}

/* A dialogue in clear, then both roles upgrade, as a line protocol would. */
static void upgrade_both(struct fixture *f)
{
	struct err err;
	write_text(&f->c, "STARTTLS\r\n");
	fake_loop_advance(f->loop, 0);
	expect_got(&f->s, "STARTTLS\r\n");
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 0);
	write_text(&f->s, "220 ready\r\n");
	assert_int_equal(tlsio_upgrade_server(f->s.stream, server, &err), 0);
	assert_false(tlsio_stream_is_secured(f->s.stream));
	fake_loop_advance(f->loop, 0);
	expect_got(&f->c, "220 ready\r\n");
	assert_int_equal(tlsio_upgrade_hold(f->c.stream), 0);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, client, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured, 1);
	assert_int_equal(f->c.secured, 1);
}

static struct fixture *begin_secured(size_t capacity_bytes)
{
	struct fixture *f = begin(capacity_bytes);
	upgrade_both(f);
	return f;
}

/* --- the guard -------------------------------------------------------------------------------- */

static void becomes_tls_in_place(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	const struct tlsio_peer *peer = tlsio_stream_peer(f->c.stream);
	assert_int_equal(peer->version, TLSIO_TLS13);
	assert_string_equal(peer->matched_name, "a.example");
	assert_string_equal(tlsio_stream_peer(f->s.stream)->server_name, "a.example");
	write_text(&f->c, "EHLO");
	write_text(&f->s, "250");
	fake_loop_advance(f->loop, 0);
	expect_got(&f->s, "EHLO");
	expect_got(&f->c, "250");
	end(f);
}

static void refuses_tls_with_buffered_plaintext(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	f->s.keeps = true;
	write_text(&f->c, "STARTTLS\r\nMAIL FROM:<x@y>\r\n");
	fake_loop_advance(f->loop, 0);
	take(&f->s, 10);
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 17);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, server, &err), -1);
	assert_int_equal(err.kind, ERR_PEER);
	assert_non_null(strstr(err.text, "17 bytes"));
	/* and the stream stays in clear, to say so and close */
	write_text(&f->s, "554 no");
	tlsio_stream_close(&f->s.stream);
	fake_loop_advance(f->loop, 0);
	expect_got(&f->c, "554 no");
	assert_int_equal(f->s.secured, 0);
	end(f);
}

static void refuses_tls_as_client_with_buffered_plaintext(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	f->c.keeps = true;
	write_text(&f->s, "220 ready\r\n250 injected\r\n");
	fake_loop_advance(f->loop, 0);
	take(&f->c, 11);
	assert_int_equal(tlsio_upgrade_hold(f->c.stream), 14);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, client, &err), -1);
	assert_non_null(strstr(err.text, "14 bytes"));
	end(f);
}

static void refuses_tls_on_a_stream_not_held(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	assert_int_equal(tlsio_upgrade_server(f->s.stream, server, &err), -1);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, client, &err), -1);
	assert_int_equal(err.kind, ERR_PEER);
	end(f);
	/* nor twice */
	f = begin_secured(65536);
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 0);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, server, &err), -1);
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, server, &err), -1);
	write_text(&f->c, "unharmed");
	fake_loop_advance(f->loop, 0);
	expect_got(&f->s, "unharmed");
	end(f);
}

/* Bytes injected in a packet of their own arrive after the hold: they meet the handshake. */
static void plaintext_behind_the_hold_is_never_read_as_words(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	write_text(&f->c, "STARTTLS\r\n");
	fake_loop_advance(f->loop, 0);
	buf_clear(&f->s.got);
	tlsio_upgrade_hold(f->s.stream);
	write_text(&f->c, "MAIL FROM:<x@y>\r\n");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(tlsio_stream_input(f->s.stream).length, 0);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, server, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_TLS);
	assert_int_equal(f->s.why.kind, ERR_TLS);
	assert_int_equal(f->s.got.length, 0);
	end(f);
}

static void at_once_wants_a_fresh_stream(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, server, &err), 0);
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, client, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured + f->c.secured, 2);
	end(f);

	f = begin(65536);
	write_text(&f->c, "x");
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, client, &err), -1);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, client, &err), -1);
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, server, &err), -1);
	end(f);
}

static void writes_during_the_handshake_go_nowhere(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	tlsio_upgrade_server_at_once(f->s.stream, server, &err);
	tlsio_upgrade_client_at_once(f->c.stream, client, &err);
	write_text(&f->s, "neither in clear nor later");
	write_text(&f->c, "neither in clear nor later");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured + f->c.secured, 2);
	assert_int_equal(f->s.inputs + f->c.inputs, 0);
	end(f);
}

/* --- bytes inside TLS ------------------------------------------------------------------------- */

static void a_big_transfer_both_ways_is_byte_exact(void **state)
{
	(void)state;
	static const size_t capacities[] = { 100, 4096, 1 << 20 };
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		struct fixture *f = begin_secured(capacities[i]);
		f->s.checks_pattern = f->c.checks_pattern = true;
		f->s.to_produce = 700000;
		f->c.to_produce = 500000;
		produce(&f->s);
		produce(&f->c);
		fake_loop_advance(f->loop, 0);
		assert_int_equal(f->c.checked, 700000);
		assert_int_equal(f->s.checked, 500000);
		assert_true(f->s.most_queued <= 30000 && f->c.most_queued <= 30000);
		end(f);
	}
}

/* Nothing read: neither side may queue more than its limits and the transport hold. */
static void a_reader_that_reads_nothing_stops_the_writer(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(4096);
	f->s.keeps = true;
	f->c.to_produce = 10000000;
	produce(&f->c);
	fake_loop_advance(f->loop, 100000);
	assert_int_equal(tlsio_stream_input(f->s.stream).length, 20000);
	assert_true(f->c.produced < 20000 + 30000 + 4096 + 4 * 16500);
	size_t before = f->c.produced;
	/* bytes decrypted inside the session come without an event of the transport */
	f->s.checks_pattern = true;
	while (f->s.checked < 1000000) {
		size_t had = f->s.checked;
		size_t there = tlsio_stream_input(f->s.stream).length;
		take(&f->s, there < 7001 ? there : 7001);
		fake_loop_advance(f->loop, 1);
		assert_true(tlsio_stream_input(f->s.stream).length <= 20000);
		assert_true(f->s.checked > had);
	}
	assert_true(f->c.produced > before);
	end(f);
}

/* Each writes before it reads; were reading to wait for room to write, both would wait for ever. */
static void two_that_write_before_they_read_do_not_lock_up(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(300);
	f->s.checks_pattern = f->c.checks_pattern = true;
	tlsio_stream_pause(f->s.stream);
	tlsio_stream_pause(f->c.stream);
	f->s.to_produce = f->c.to_produce = 100000;
	produce(&f->s);
	produce(&f->c);
	fake_loop_advance(f->loop, 10);
	tlsio_stream_resume(f->s.stream);
	tlsio_stream_resume(f->c.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.checked, 100000);
	assert_int_equal(f->c.checked, 100000);
	end(f);
}

static void a_pause_inside_tls_loses_nothing(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	f->s.checks_pattern = true;
	int before = f->s.inputs;
	tlsio_stream_pause(f->s.stream);
	f->c.to_produce = 25000;
	produce(&f->c);
	fake_loop_advance(f->loop, 10);
	assert_int_equal(f->s.inputs, before);
	tlsio_stream_resume(f->s.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.checked, 25000);
	end(f);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void a_goodbye_is_an_orderly_end(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	f->s.closes_at_end = true;
	write_text(&f->c, "last words");
	tlsio_stream_close(&f->c.stream);
	fake_loop_advance(f->loop, 0);
	expect_got(&f->s, "last words");
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_CLOSED);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	end(f);
}

static void an_end_without_goodbye_is_truncation(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	write_text(&f->c, "250 2.0.0 o");
	fake_loop_advance(f->loop, 0);
	f->ends[1]->kind->shutdown(f->ends[1]); /* as an attacker's FIN */
	fake_loop_advance(f->loop, 0);
	expect_got(&f->s, "250 2.0.0 o");
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_TRUNCATED);
	end(f);
}

static void a_reset_inside_tls_is_a_reset(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	tlsio_stream_abort(&f->c.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_RESET);
	end(f);
}

static void a_damaged_record_is_a_tls_end(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	struct iovec part = { (void *)(uintptr_t)"\x17\x03\x03\x00\x20"
						"0123456789abcdef0123456789abcdef", 37 };
	f->ends[1]->kind->write(f->ends[1], &part, 1);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_TLS);
	assert_int_equal(f->s.got.length, 0);
	end(f);
}

static void closing_when_secured_is_legal(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	f->s.closes_when_secured = true;
	f->c.closes_at_end = true;
	tlsio_upgrade_server_at_once(f->s.stream, server, &err);
	tlsio_upgrade_client_at_once(f->c.stream, client, &err);
	fake_loop_advance(f->loop, 0);
	assert_null(f->s.stream);
	assert_int_equal(f->c.end, TLSIO_END_CLOSED);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	end(f);
}

/* --- handshakes that do not come to an end ---------------------------------------------------- */

static void a_handshake_is_bounded_by_the_time_limit(void **state)
{
	(void)state;
	struct fixture *f = begin(65536);
	struct err err;
	tlsio_upgrade_server_at_once(f->s.stream, server, &err);
	tlsio_stream_limit_time(f->s.stream, 30000);
	fake_loop_advance(f->loop, 29999);
	assert_int_equal(f->s.timeouts, 0);
	fake_loop_advance(f->loop, 1);
	assert_int_equal(f->s.timeouts, 1);
	tlsio_stream_close(&f->s.stream);
	fake_loop_advance(f->loop, 1000); /* no goodbye to flush: only lingering is left */
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	end(f);
}

/* The client's flights, byte by byte, through a pair of our own that stops after `cut` bytes. */
static void a_handshake_cut_at_every_byte_ends(void **state)
{
	(void)state;
	size_t total = 0;
	for (size_t cut = 0; !total || cut < total; cut++) {
		struct tlsio_loop *loop = tlsio_loop_new(NULL);
		struct tlsio_transport *left[2], *right[2];
		struct side s = { 0 }, c = { 0 };
		struct err err;
		tlsio_transport_memory_pair(loop, 65536, left);
		tlsio_transport_memory_pair(loop, 65536, right);
		s.stream = tlsio_stream_new(loop, left[0], &limits, &events, &s);
		c.stream = tlsio_stream_new(loop, right[0], &limits, &events, &c);
		tlsio_upgrade_server_at_once(s.stream, server, &err);
		tlsio_upgrade_client_at_once(c.stream, client, &err);
		/* first uncut, to learn the length */
		bool is_cut = total > 0;
		size_t passed = 0;
		for (int round = 0; round < 20; round++) {
			char bytes[4096];
			ssize_t got;
			fake_loop_advance(loop, 0);
			while ((got = right[1]->kind->read(right[1], bytes, sizeof(bytes))) > 0) {
				if (is_cut && passed + (size_t)got > cut)
					got = (ssize_t)(cut - passed);
				struct iovec part = { bytes, (size_t)got };
				if (got && left[1]->kind->write(left[1], &part, 1) != got)
					fail();
				passed += (size_t)got;
			}
			if (is_cut && passed == cut && round == 5)
				left[1]->kind->shutdown(left[1]);
			while ((got = left[1]->kind->read(left[1], bytes, sizeof(bytes))) > 0) {
				struct iovec part = { bytes, (size_t)got };
				right[1]->kind->write(right[1], &part, 1);
			}
		}
		if (!is_cut) {
			assert_int_equal(s.secured + c.secured, 2);
			total = passed;
			assert_true(total > 200);
		} else {
			assert_int_equal(s.secured, 0);
			assert_int_equal(s.ends, 1);
			assert_true(s.end == TLSIO_END_TRUNCATED || s.end == TLSIO_END_TLS);
		}
		tlsio_stream_close(&s.stream);
		tlsio_stream_close(&c.stream);
		fake_loop_advance(loop, 2000);
		assert_int_equal(fake_loop_next_due_ms(loop), -1);
		left[1]->kind->free(left[1]);
		right[1]->kind->free(right[1]);
		tlsio_loop_free(&loop);
	}
}

/* --- a peer that speaks GnuTLS itself, to do what our client does not -------------------------- */

struct raw_peer {
	gnutls_session_t tls;
	gnutls_certificate_credentials_t none;
	struct tlsio_transport *transport;
};

static ssize_t raw_pull(gnutls_transport_ptr_t ctx, void *into, size_t capacity)
{
	struct raw_peer *p = ctx;
	ssize_t got = p->transport->kind->read(p->transport, into, capacity);
	if (got < 0)
		gnutls_transport_set_errno(p->tls, errno);
	return got;
}

static ssize_t raw_push(gnutls_transport_ptr_t ctx, const void *bytes, size_t length)
{
	struct raw_peer *p = ctx;
	struct iovec part = { (void *)(uintptr_t)bytes, length };
	return p->transport->kind->write(p->transport, &part, 1);
}

static void raw_begin(struct fixture *f, struct raw_peer *p, const char *priority)
{
	struct err err;
	f->loop = tlsio_loop_new(NULL);
	tlsio_transport_memory_pair(f->loop, 1 << 20, f->ends);
	f->s.stream = tlsio_stream_new(f->loop, f->ends[0], &limits, &events, &f->s);
	tlsio_upgrade_server_at_once(f->s.stream, server, &err);
	p->transport = f->ends[1];
	gnutls_init(&p->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	assert_int_equal(gnutls_priority_set_direct(p->tls, priority, NULL), 0);
	gnutls_certificate_allocate_credentials(&p->none);
	gnutls_credentials_set(p->tls, GNUTLS_CRD_CERTIFICATE, p->none);
	gnutls_transport_set_ptr(p->tls, p);
	gnutls_transport_set_pull_function(p->tls, raw_pull);
	gnutls_transport_set_push_function(p->tls, raw_push);
	int rc;
	while ((rc = gnutls_handshake(p->tls)) == GNUTLS_E_AGAIN)
		fake_loop_advance(f->loop, 0);
	assert_int_equal(rc, 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured, 1);
}

static void raw_end(struct fixture *f, struct raw_peer *p)
{
	tlsio_stream_close(&f->s.stream);
	fake_loop_advance(f->loop, 10000);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	gnutls_deinit(p->tls);
	gnutls_certificate_free_credentials(p->none);
	p->transport->kind->free(p->transport);
	tlsio_loop_free(&f->loop);
	buf_release(&f->s.got);
}

static void raw_expect(struct raw_peer *p, const char *text)
{
	char got[200];
	size_t used = 0;
	/* AGAIN also comes after tickets and key updates */
	for (int i = 0; i < 20 && used < strlen(text); i++) {
		ssize_t count = gnutls_record_recv(p->tls, got + used, sizeof(got) - used);
		if (count != GNUTLS_E_AGAIN) {
			assert_true(count > 0);
			used += (size_t)count;
		}
	}
	assert_int_equal(used, strlen(text));
	assert_memory_equal(got, text, used);
}

static void key_updates_pass_unnoticed(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(gnutls_session_key_update(p.tls, i % 2 ? GNUTLS_KU_PEER : 0), 0);
		assert_int_equal(gnutls_record_send(p.tls, "ping", 4), 4);
		fake_loop_advance(f.loop, 0);
		expect_got(&f.s, "ping");
		write_text(&f.s, "pong");
		fake_loop_advance(f.loop, 0);
		raw_expect(&p, "pong");
	}
	assert_int_equal(f.s.ends, 0);
	raw_end(&f, &p);
}

static void renegotiation_neither_crashes_nor_hangs(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
	assert_int_equal(tlsio_stream_peer(f.s.stream)->version, TLSIO_TLS12);
	for (int i = 0; i < 10; i++) {
		gnutls_handshake(p.tls);
		fake_loop_advance(f.loop, 0);
	}
	/* refused: either it goes on under the old keys, or it ended and says so */
	if (f.s.ends == 0) {
		write_text(&f.s, "still here");
		fake_loop_advance(f.loop, 0);
		assert_int_equal(f.s.ends, 0);
	} else {
		assert_int_equal(f.s.end, TLSIO_END_TLS);
	}
	assert_int_equal(f.s.secured, 1);
	raw_end(&f, &p);
}

static void a_goodbye_behind_bytes_needs_no_further_event(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL");
	/* both in one flight, and the transport stays open */
	gnutls_record_send(p.tls, "QUIT\r\n", 6);
	gnutls_bye(p.tls, GNUTLS_SHUT_WR);
	fake_loop_advance(f.loop, 0);
	expect_got(&f.s, "QUIT\r\n");
	assert_int_equal(f.s.ends, 1);
	assert_int_equal(f.s.end, TLSIO_END_CLOSED);
	/* our direction is still open */
	write_text(&f.s, "221 bye");
	tlsio_stream_close(&f.s.stream);
	fake_loop_advance(f.loop, 0);
	raw_expect(&p, "221 bye");
	char rest;
	assert_int_equal(gnutls_record_recv(p.tls, &rest, 1), 0); /* our close_notify */
	raw_end(&f, &p);
}

static void a_flight_of_many_records_is_one_input(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL");
	char one[400];
	memset(one, 'z', sizeof(one));
	assert_int_equal(gnutls_record_send(p.tls, one, sizeof(one)), sizeof(one));
	fake_loop_advance(f.loop, 0);
	assert_int_equal(f.s.got.length, 400);
	buf_clear(&f.s.got);
	/* many small records in one go: one on_input */
	int before = f.s.inputs;
	for (int i = 0; i < 100; i++)
		assert_int_equal(gnutls_record_send(p.tls, "RSET\r\n", 6), 6);
	fake_loop_advance(f.loop, 0);
	assert_int_equal(f.s.got.length, 600);
	assert_int_equal(f.s.inputs, before + 1);
	raw_end(&f, &p);
}

static void the_end_of_a_turn_is_one_flight(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL");
	for (int i = 0; i < 20; i++)
		write_text(&f.s, "250-line\r\n");
	fake_loop_advance(f.loop, 0);
	char got[400];
	ssize_t count = GNUTLS_E_AGAIN;
	for (int i = 0; i < 20 && count == GNUTLS_E_AGAIN; i++)
		count = gnutls_record_recv(p.tls, got, sizeof(got));
	assert_int_equal(count, 200); /* one record holds them all */
	raw_end(&f, &p);
}

static void a_fast_sender_leaves_the_turn_to_others(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	static char record[16000];
	raw_begin(&f, &p, "NORMAL");
	for (int i = 0; i < 50; i++)
		assert_int_equal(gnutls_record_send(p.tls, record, sizeof(record)), 16000);
	tlsio_loop_turn(f.loop, false);
	assert_true(f.s.got.length >= 20000);
	assert_true(f.s.got.length <= 100000);
	fake_loop_advance(f.loop, 0);
	assert_int_equal(f.s.got.length, 800000);
	raw_end(&f, &p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(becomes_tls_in_place),
		cmocka_unit_test(refuses_tls_with_buffered_plaintext),
		cmocka_unit_test(refuses_tls_as_client_with_buffered_plaintext),
		cmocka_unit_test(refuses_tls_on_a_stream_not_held),
		cmocka_unit_test(plaintext_behind_the_hold_is_never_read_as_words),
		cmocka_unit_test(at_once_wants_a_fresh_stream),
		cmocka_unit_test(writes_during_the_handshake_go_nowhere),
		cmocka_unit_test(a_big_transfer_both_ways_is_byte_exact),
		cmocka_unit_test(a_reader_that_reads_nothing_stops_the_writer),
		cmocka_unit_test(two_that_write_before_they_read_do_not_lock_up),
		cmocka_unit_test(a_pause_inside_tls_loses_nothing),
		cmocka_unit_test(a_goodbye_is_an_orderly_end),
		cmocka_unit_test(an_end_without_goodbye_is_truncation),
		cmocka_unit_test(a_reset_inside_tls_is_a_reset),
		cmocka_unit_test(a_damaged_record_is_a_tls_end),
		cmocka_unit_test(closing_when_secured_is_legal),
		cmocka_unit_test(a_handshake_is_bounded_by_the_time_limit),
		cmocka_unit_test(a_handshake_cut_at_every_byte_ends),
		cmocka_unit_test(key_updates_pass_unnoticed),
		cmocka_unit_test(renegotiation_neither_crashes_nor_hangs),
		cmocka_unit_test(a_goodbye_behind_bytes_needs_no_further_event),
		cmocka_unit_test(a_flight_of_many_records_is_one_input),
		cmocka_unit_test(the_end_of_a_turn_is_one_flight),
		cmocka_unit_test(a_fast_sender_leaves_the_turn_to_others),
	};
	return cmocka_run_group_tests_name("tlsio_upgrade", tests, make_certificate,
		drop_certificate);
}
