/* Streams that become TLS in place, over the memory pair: the guard, both roles, ends, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "tests/libtlsio/stream_fixture.h"

/* A dialogue in clear, then both roles upgrade, as a line protocol would. */
static void upgrade_both(struct fixture *f)
{
	struct err err;
	side_write(&f->c, "STARTTLS\r\n");
	fake_loop_advance(f->loop, 0);
	side_expect(&f->s, "STARTTLS\r\n");
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 0);
	side_write(&f->s, "220 ready\r\n");
	assert_int_equal(tlsio_upgrade_server(f->s.stream, stream_fixture_server, &err), 0);
	assert_false(tlsio_stream_is_secured(f->s.stream));
	fake_loop_advance(f->loop, 0);
	side_expect(&f->c, "220 ready\r\n");
	assert_int_equal(tlsio_upgrade_hold(f->c.stream), 0);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, stream_fixture_client, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured, 1);
	assert_int_equal(f->c.secured, 1);
}

static struct fixture *begin_secured(size_t capacity_bytes)
{
	struct fixture *f = stream_fixture_begin(capacity_bytes);
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
	side_write(&f->c, "EHLO");
	side_write(&f->s, "250");
	fake_loop_advance(f->loop, 0);
	side_expect(&f->s, "EHLO");
	side_expect(&f->c, "250");
	stream_fixture_end(f);
}

static void refuses_tls_with_buffered_plaintext(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	f->s.keeps = true;
	side_write(&f->c, "STARTTLS\r\nMAIL FROM:<x@y>\r\n");
	fake_loop_advance(f->loop, 0);
	side_take(&f->s, 10);
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 17);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, stream_fixture_server, &err), -1);
	assert_int_equal(err.kind, ERR_PEER);
	assert_non_null(strstr(err.text, "17 bytes"));
	/* and the stream stays in clear, to say so and close */
	side_write(&f->s, "554 no");
	tlsio_stream_close(&f->s.stream);
	fake_loop_advance(f->loop, 0);
	side_expect(&f->c, "554 no");
	assert_int_equal(f->s.secured, 0);
	stream_fixture_end(f);
}

static void refuses_tls_as_client_with_buffered_plaintext(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	f->c.keeps = true;
	side_write(&f->s, "220 ready\r\n250 injected\r\n");
	fake_loop_advance(f->loop, 0);
	side_take(&f->c, 11);
	assert_int_equal(tlsio_upgrade_hold(f->c.stream), 14);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, stream_fixture_client, &err), -1);
	assert_non_null(strstr(err.text, "14 bytes"));
	stream_fixture_end(f);
}

static void refuses_tls_on_a_stream_not_held(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	assert_int_equal(tlsio_upgrade_server(f->s.stream, stream_fixture_server, &err), -1);
	assert_int_equal(tlsio_upgrade_client(f->c.stream, stream_fixture_client, &err), -1);
	assert_int_equal(err.kind, ERR_PEER);
	stream_fixture_end(f);
	/* nor twice */
	f = begin_secured(65536);
	assert_int_equal(tlsio_upgrade_hold(f->s.stream), 0);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, stream_fixture_server, &err), -1);
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err), -1);
	side_write(&f->c, "unharmed");
	fake_loop_advance(f->loop, 0);
	side_expect(&f->s, "unharmed");
	stream_fixture_end(f);
}

/* Bytes injected in a packet of their own arrive after the hold: they meet the handshake. */
static void plaintext_behind_the_hold_is_never_read_as_words(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	side_write(&f->c, "STARTTLS\r\n");
	fake_loop_advance(f->loop, 0);
	buf_clear(&f->s.got);
	tlsio_upgrade_hold(f->s.stream);
	side_write(&f->c, "MAIL FROM:<x@y>\r\n");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(tlsio_stream_input(f->s.stream).length, 0);
	assert_int_equal(tlsio_upgrade_server(f->s.stream, stream_fixture_server, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_TLS);
	assert_int_equal(f->s.why.kind, ERR_TLS);
	assert_int_equal(f->s.got.length, 0);
	stream_fixture_end(f);
}

static void at_once_wants_a_fresh_stream(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err), 0);
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, stream_fixture_client, &err), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured + f->c.secured, 2);
	stream_fixture_end(f);

	f = stream_fixture_begin(65536);
	side_write(&f->c, "x");
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, stream_fixture_client, &err), -1);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(tlsio_upgrade_client_at_once(f->c.stream, stream_fixture_client, &err), -1);
	assert_int_equal(tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err), -1);
	stream_fixture_end(f);
}

static void writes_during_the_handshake_go_nowhere(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err);
	tlsio_upgrade_client_at_once(f->c.stream, stream_fixture_client, &err);
	side_write(&f->s, "neither in clear nor later");
	side_write(&f->c, "neither in clear nor later");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.secured + f->c.secured, 2);
	assert_int_equal(f->s.inputs + f->c.inputs, 0);
	stream_fixture_end(f);
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
		side_produce(&f->s);
		side_produce(&f->c);
		fake_loop_advance(f->loop, 0);
		assert_int_equal(f->c.checked, 700000);
		assert_int_equal(f->s.checked, 500000);
		assert_true(f->s.most_queued <= 30000 && f->c.most_queued <= 30000);
		stream_fixture_end(f);
	}
}

/* Nothing read: neither side may queue more than its limits and the transport hold. */
static void a_reader_that_reads_nothing_stops_the_writer(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(4096);
	f->s.keeps = true;
	f->c.to_produce = 10000000;
	side_produce(&f->c);
	fake_loop_advance(f->loop, 100000);
	assert_int_equal(tlsio_stream_input(f->s.stream).length, 20000);
	assert_true(f->c.produced < 20000 + 30000 + 4096 + 4 * 16500);
	size_t before = f->c.produced;
	/* bytes decrypted inside the session come without an event of the transport */
	f->s.checks_pattern = true;
	while (f->s.checked < 1000000) {
		size_t had = f->s.checked;
		size_t there = tlsio_stream_input(f->s.stream).length;
		side_take(&f->s, there < 7001 ? there : 7001);
		fake_loop_advance(f->loop, 1);
		assert_true(tlsio_stream_input(f->s.stream).length <= 20000);
		assert_true(f->s.checked > had);
	}
	assert_true(f->c.produced > before);
	stream_fixture_end(f);
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
	side_produce(&f->s);
	side_produce(&f->c);
	fake_loop_advance(f->loop, 10);
	tlsio_stream_resume(f->s.stream);
	tlsio_stream_resume(f->c.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.checked, 100000);
	assert_int_equal(f->c.checked, 100000);
	stream_fixture_end(f);
}

static void a_pause_inside_tls_loses_nothing(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	f->s.checks_pattern = true;
	int before = f->s.inputs;
	tlsio_stream_pause(f->s.stream);
	f->c.to_produce = 25000;
	side_produce(&f->c);
	fake_loop_advance(f->loop, 10);
	assert_int_equal(f->s.inputs, before);
	tlsio_stream_resume(f->s.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.checked, 25000);
	stream_fixture_end(f);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void a_goodbye_is_an_orderly_end(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	f->s.closes_at_end = true;
	side_write(&f->c, "last words");
	tlsio_stream_close(&f->c.stream);
	fake_loop_advance(f->loop, 0);
	side_expect(&f->s, "last words");
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_CLOSED);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	stream_fixture_end(f);
}

static void an_end_without_goodbye_is_truncation(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	side_write(&f->c, "250 2.0.0 o");
	fake_loop_advance(f->loop, 0);
	f->ends[1]->kind->shutdown(f->ends[1]); /* as an attacker's FIN */
	fake_loop_advance(f->loop, 0);
	side_expect(&f->s, "250 2.0.0 o");
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_TRUNCATED);
	stream_fixture_end(f);
}

static void a_reset_inside_tls_is_a_reset(void **state)
{
	(void)state;
	struct fixture *f = begin_secured(65536);
	tlsio_stream_abort(&f->c.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->s.ends, 1);
	assert_int_equal(f->s.end, TLSIO_END_RESET);
	stream_fixture_end(f);
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
	stream_fixture_end(f);
}

static void closing_when_secured_is_legal(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	f->s.closes_when_secured = true;
	f->c.closes_at_end = true;
	tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err);
	tlsio_upgrade_client_at_once(f->c.stream, stream_fixture_client, &err);
	fake_loop_advance(f->loop, 0);
	assert_null(f->s.stream);
	assert_int_equal(f->c.end, TLSIO_END_CLOSED);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	stream_fixture_end(f);
}

/* --- handshakes that do not come to an end ---------------------------------------------------- */

static void a_handshake_is_bounded_by_the_time_limit(void **state)
{
	(void)state;
	struct fixture *f = stream_fixture_begin(65536);
	struct err err;
	tlsio_upgrade_server_at_once(f->s.stream, stream_fixture_server, &err);
	tlsio_stream_limit_time(f->s.stream, 30000);
	fake_loop_advance(f->loop, 29999);
	assert_int_equal(f->s.timeouts, 0);
	fake_loop_advance(f->loop, 1);
	assert_int_equal(f->s.timeouts, 1);
	tlsio_stream_close(&f->s.stream);
	fake_loop_advance(f->loop, 1000); /* no goodbye to flush: only lingering is left */
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	stream_fixture_end(f);
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
		s.stream = tlsio_stream_new(loop, left[0], &stream_fixture_limits, &stream_fixture_events, &s);
		c.stream = tlsio_stream_new(loop, right[0], &stream_fixture_limits, &stream_fixture_events, &c);
		tlsio_upgrade_server_at_once(s.stream, stream_fixture_server, &err);
		tlsio_upgrade_client_at_once(c.stream, stream_fixture_client, &err);
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
	};
	return cmocka_run_group_tests_name("tlsio_upgrade", tests, stream_fixture_make_wishes,
		stream_fixture_drop_wishes);
}
