/* Streams under TLS against a peer that speaks GnuTLS itself, to do what our client does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "tests/libtlsio/stream_fixture.h"

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

static int raw_try(struct fixture *f, struct raw_peer *p, const char *priority)
{
	struct err err;
	f->loop = tlsio_loop_new(NULL);
	tlsio_transport_memory_pair(f->loop, 1 << 20, f->ends);
	f->s.stream = tlsio_stream_new(f->loop, f->ends[0], &stream_fixture_limits, &stream_fixture_events, &f->s);
	tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err);
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
	fake_loop_advance(f->loop, 0);
	return rc;
}

static void raw_start(struct fixture *f, struct raw_peer *p, const char *priority)
{
	assert_int_equal(raw_try(f, p, priority), 0);
}

static void raw_begin(struct fixture *f, struct raw_peer *p, const char *priority)
{
	raw_start(f, p, priority);
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
		side_expect(&f.s, "ping");
		side_write(&f.s, "pong");
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
		side_write(&f.s, "still here");
		fake_loop_advance(f.loop, 0);
		assert_int_equal(f.s.ends, 0);
	} else {
		assert_int_equal(f.s.end, TLSIO_END_TLS);
	}
	assert_int_equal(f.s.secured, 1);
	raw_end(&f, &p);
}

static void a_tls13_client_need_not_speak_of_renegotiation(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_begin(&f, &p, "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_SAFE_RENEGOTIATION");
	assert_int_equal(f.s.secured, 1);
	assert_int_equal(f.s.ends, 0);
	raw_end(&f, &p);
}

static void T4_a_tls12_client_without_safe_renegotiation_is_refused(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct raw_peer p = { 0 };
	raw_start(&f, &p, "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION");
	assert_int_equal(f.s.secured, 0);
	assert_int_equal(f.s.ends, 1);
	assert_int_equal(f.s.end, TLSIO_END_TLS);
	raw_end(&f, &p);
}

/* RFC 9325 4.1, 4.2: each of these alone is all that the client offers. */
static void T2_weak_suites_are_refused(void **state)
{
	static const char *const words[] = { "-CIPHER-ALL:+AES-128-CBC", "-CIPHER-ALL:+3DES-CBC",
		"-CIPHER-ALL:+ARCFOUR-128", "-CIPHER-ALL:+NULL", "-CIPHER-ALL:+AES-128-CCM-8",
		"-KX-ALL:+RSA", "-KX-ALL:+DHE-RSA", "-KX-ALL:+ANON-ECDH" };
	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct fixture f = { 0 };
		struct raw_peer p = { 0 };
		char all[120];
		snprintf(all, sizeof(all), "NORMAL:-VERS-ALL:+VERS-TLS1.2:%s", words[i]);
		assert_int_not_equal(raw_try(&f, &p, all), 0);
		assert_int_equal(f.s.secured, 0);
		assert_int_equal(f.s.ends, 1);
		assert_int_equal(f.s.end, TLSIO_END_TLS);
		raw_end(&f, &p);
	}
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
	side_expect(&f.s, "QUIT\r\n");
	assert_int_equal(f.s.ends, 1);
	assert_int_equal(f.s.end, TLSIO_END_CLOSED);
	/* our direction is still open */
	side_write(&f.s, "221 bye");
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
		side_write(&f.s, "250-line\r\n");
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
		cmocka_unit_test(key_updates_pass_unnoticed),
		cmocka_unit_test(renegotiation_neither_crashes_nor_hangs),
		cmocka_unit_test(a_tls13_client_need_not_speak_of_renegotiation),
		cmocka_unit_test(T2_weak_suites_are_refused),
		cmocka_unit_test(T4_a_tls12_client_without_safe_renegotiation_is_refused),
		cmocka_unit_test(a_goodbye_behind_bytes_needs_no_further_event),
		cmocka_unit_test(a_flight_of_many_records_is_one_input),
		cmocka_unit_test(the_end_of_a_turn_is_one_flight),
		cmocka_unit_test(a_fast_sender_leaves_the_turn_to_others),
	};
	return cmocka_run_group_tests_name("tlsio_stream_io", tests, stream_fixture_make_wishes,
		stream_fixture_drop_wishes);
}
