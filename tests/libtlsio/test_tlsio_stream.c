/* Streams in clear, over the memory pair and the fake loop: order, back-pressure, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_stream.h"
#include "tests/fakes/fake_loop.h"

enum reaction { KEEP, CONSUME, CLOSE, PAUSE, ABORT };

struct side {
	struct tlsio_stream *stream;
	struct buf got;
	enum reaction on_input;
	const char *answer; /* written at every on_input */
	bool closes_at_end;
	int inputs, rooms, timeouts, ends;
	enum tlsio_end end;
	struct err why;
	size_t to_produce; /* written as room allows */
	size_t produced;
	size_t most_queued;
};

struct fixture {
	struct tlsio_loop *loop;
	struct tlsio_transport *ends[2];
	struct side a, b;
};

static void on_input(void *ctx)
{
	struct side *side = ctx;
	side->inputs++;
	struct str in = tlsio_stream_input(side->stream);
	assert_true(in.length > 0);
	if (side->answer)
		tlsio_stream_write(side->stream, side->answer, strlen(side->answer));
	in = tlsio_stream_input(side->stream);
	switch (side->on_input) {
	case KEEP:
		break;
	case CONSUME:
		buf_append_str(&side->got, in);
		tlsio_stream_consume(side->stream, in.length);
		break;
	case CLOSE:
		buf_append_str(&side->got, in);
		tlsio_stream_close(&side->stream);
		break;
	case PAUSE:
		tlsio_stream_pause(side->stream);
		break;
	case ABORT:
		tlsio_stream_abort(&side->stream);
		break;
	}
}

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 251);
}

static void produce(struct side *side)
{
	char chunk[3000];
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
	struct side *side = ctx;
	side->rooms++;
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
	.on_timeout = on_timeout,
	.on_end = on_end,
};

static const struct tlsio_stream_limits limits = { .input_bytes = 1000, .output_bytes = 2000 };

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	tlsio_transport_memory_pair(f->loop, 700, f->ends);
	f->a.stream = tlsio_stream_new(f->loop, f->ends[0], &limits, &events, &f->a);
	f->b.stream = tlsio_stream_new(f->loop, f->ends[1], &limits, &events, &f->b);
	f->a.on_input = f->b.on_input = CONSUME;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tlsio_stream_close(&f->a.stream);
	tlsio_stream_close(&f->b.stream);
	tlsio_loop_free(&f->loop);
	buf_release(&f->a.got);
	buf_release(&f->b.got);
	free(f);
	return 0;
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

static void carries_bytes_both_ways(void **state)
{
	struct fixture *f = *state;
	write_text(&f->a, "hello ");
	write_text(&f->a, "world");
	assert_int_equal(f->b.inputs, 0);
	f->b.answer = "yes";
	fake_loop_advance(f->loop, 0);
	expect_got(&f->b, "hello world");
	expect_got(&f->a, "yes");
	assert_int_equal(f->b.inputs, 1); /* one turn's writes travel together */
	assert_int_equal(tlsio_stream_sent_bytes(f->a.stream), 11);
}

static void calls_back_only_from_the_loop(void **state)
{
	struct fixture *f = *state;
	write_text(&f->a, "x");
	assert_int_equal(f->b.inputs, 0);
	tlsio_stream_pause(f->b.stream);
	tlsio_stream_resume(f->b.stream);
	assert_int_equal(f->b.inputs, 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.inputs, 1);
}

static void reports_input_once_and_again_only_for_more(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = KEEP;
	write_text(&f->a, "part");
	fake_loop_advance(f->loop, 1000);
	assert_int_equal(f->b.inputs, 1);
	write_text(&f->a, "ial");
	fake_loop_advance(f->loop, 1000);
	assert_int_equal(f->b.inputs, 2);
	struct str in = tlsio_stream_input(f->b.stream);
	assert_true(str_equal(in, STR("partial")));
	tlsio_stream_consume(f->b.stream, 4);
	assert_true(str_equal(tlsio_stream_input(f->b.stream), STR("ial")));
}

static void stops_reading_at_the_input_limit(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = KEEP;
	f->a.to_produce = 100000;
	produce(&f->a);
	fake_loop_advance(f->loop, 60000);
	assert_int_equal(tlsio_stream_input(f->b.stream).length, 1000);
	/* 1,000 here, 700 in the transport, the rest not yet sent */
	assert_int_equal(tlsio_stream_sent_bytes(f->a.stream), 1700);
	assert_int_equal(f->a.produced - 1700 + tlsio_stream_room(f->a.stream), 2000);
	assert_true(f->a.most_queued <= 2000);
}

static void a_slow_reader_gets_every_byte_in_order(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = KEEP;
	f->a.to_produce = 50000;
	produce(&f->a);
	size_t got = 0;
	for (int i = 0; got < 50000 && i < 10000; i++) {
		fake_loop_advance(f->loop, 1);
		struct str in = tlsio_stream_input(f->b.stream);
		size_t take = in.length < 333 ? in.length : 333;
		for (size_t k = 0; k < take; k++)
			assert_int_equal(in.at[k], pattern(got + k));
		tlsio_stream_consume(f->b.stream, take);
		got += take;
		assert_true(tlsio_stream_input(f->b.stream).length <= 1000);
	}
	assert_int_equal(got, 50000);
	assert_true(f->a.rooms > 10);
	assert_true(f->a.most_queued <= 2000);
}

static void a_fast_reader_gets_every_byte_in_order(void **state)
{
	struct fixture *f = *state;
	f->a.to_produce = 300000;
	f->b.to_produce = 200000;
	produce(&f->a);
	produce(&f->b);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.got.length, 300000);
	assert_int_equal(f->a.got.length, 200000);
	for (size_t i = 0; i < 300000; i++)
		assert_int_equal(buf_str(&f->b.got).at[i], pattern(i));
	assert_true(f->a.rooms > 0 && f->b.rooms > 0);
}

static void calls_room_only_after_it_was_gone(void **state)
{
	struct fixture *f = *state;
	char half[1000] = { 0 };
	tlsio_stream_write(f->a.stream, half, 1000);
	assert_int_equal(tlsio_stream_room(f->a.stream), 1000);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->a.rooms, 0);
	tlsio_stream_write(f->a.stream, half, 1000);
	tlsio_stream_write(f->a.stream, half, 1000);
	assert_int_equal(tlsio_stream_room(f->a.stream), 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->a.rooms, 1);
}

static void ends_with_limit_when_output_piles_up(void **state)
{
	struct fixture *f = *state;
	char block[2000] = { 0 };
	f->b.on_input = KEEP;
	tlsio_stream_pause(f->b.stream);
	tlsio_stream_write(f->a.stream, block, 2000);
	tlsio_stream_write(f->a.stream, block, 2000);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->a.ends, 0);
	tlsio_stream_write(f->a.stream, block, 2000);
	assert_int_equal(f->a.ends, 0);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->a.ends, 1);
	assert_int_equal(f->a.end, TLSIO_END_LIMIT);
	assert_int_equal(f->a.why.kind, ERR_LIMIT);
	tlsio_stream_write(f->a.stream, block, 2000);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->a.ends, 1);
}

static void a_pause_keeps_bytes_outside(void **state)
{
	struct fixture *f = *state;
	tlsio_stream_pause(f->b.stream);
	write_text(&f->a, "later");
	fake_loop_advance(f->loop, 1000);
	assert_int_equal(f->b.inputs, 0);
	tlsio_stream_resume(f->b.stream);
	fake_loop_advance(f->loop, 0);
	expect_got(&f->b, "later");
}

static void a_close_flushes_what_is_queued(void **state)
{
	struct fixture *f = *state;
	f->a.to_produce = 1900;
	produce(&f->a);
	tlsio_stream_close(&f->a.stream);
	assert_null(f->a.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.got.length, 1900);
	assert_int_equal(f->b.ends, 1);
	assert_int_equal(f->b.end, TLSIO_END_CLOSED);
}

static void input_before_the_end_is_readable_first(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = PAUSE;
	write_text(&f->a, "QUIT\r\n");
	tlsio_stream_close(&f->a.stream);
	fake_loop_advance(f->loop, 500);
	assert_int_equal(f->b.inputs, 1);
	assert_int_equal(f->b.ends, 0);
	tlsio_stream_consume(f->b.stream, 6);
	tlsio_stream_resume(f->b.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.ends, 1);
	assert_int_equal(f->b.end, TLSIO_END_CLOSED);
}

static void an_answer_after_the_peers_end_still_arrives(void **state)
{
	struct fixture *f = *state;
	/* a peer that says its last word and half-closes still reads */
	struct iovec part = { (void *)(uintptr_t)"bye", 3 };
	struct tlsio_transport *raw = f->ends[0];
	assert_int_equal(raw->kind->write(raw, &part, 1), 3);
	raw->kind->shutdown(raw);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.ends, 1);
	write_text(&f->b, "goodbye");
	tlsio_stream_close(&f->b.stream);
	fake_loop_advance(f->loop, 0);
	expect_got(&f->a, "goodbye");
}

static void closing_in_any_callback_is_legal(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = CLOSE;
	f->b.answer = "last words";
	f->a.closes_at_end = true;
	write_text(&f->a, "x");
	fake_loop_advance(f->loop, 0);
	expect_got(&f->a, "last words");
	assert_null(f->a.stream);
	assert_null(f->b.stream);
	assert_int_equal(f->b.ends, 0); /* no event after close */
	assert_int_equal(f->a.ends, 1);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1); /* and nothing is left behind */
}

static void an_abort_breaks_the_connection(void **state)
{
	struct fixture *f = *state;
	f->b.on_input = ABORT;
	write_text(&f->a, "x");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.ends, 0);
	assert_int_equal(f->a.ends, 1);
	assert_int_equal(f->a.end, TLSIO_END_RESET);
}

static void a_close_does_not_wait_for_ever(void **state)
{
	struct fixture *f = *state;
	tlsio_stream_pause(f->b.stream);
	f->a.to_produce = 2000;
	produce(&f->a);
	tlsio_stream_close(&f->a.stream);
	fake_loop_advance(f->loop, 4999);
	assert_true(fake_loop_next_due_ms(f->loop) >= 0);
	fake_loop_advance(f->loop, 1);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
	tlsio_stream_resume(f->b.stream);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.ends, 1);
}

static void lingers_for_what_the_peer_still_sends(void **state)
{
	struct fixture *f = *state;
	write_text(&f->b, "last words");
	tlsio_stream_close(&f->b.stream);
	char junk[3900] = { 0 };
	tlsio_stream_write(f->a.stream, junk, sizeof(junk));
	fake_loop_advance(f->loop, 900);
	/* taken and thrown away: the peer sees no error before it has read our words */
	assert_int_equal(tlsio_stream_sent_bytes(f->a.stream), 3900);
	expect_got(&f->a, "last words");
	assert_int_equal(f->a.end, TLSIO_END_CLOSED);
	fake_loop_advance(f->loop, 101);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
}

static void lingers_for_a_bounded_amount(void **state)
{
	struct fixture *f = *state;
	tlsio_stream_close(&f->b.stream);
	fake_loop_advance(f->loop, 0);
	static char junk[700];
	struct iovec part = { junk, sizeof(junk) };
	struct tlsio_transport *raw = f->ends[0];
	size_t sent = 0;
	while (raw->kind->write(raw, &part, 1) > 0 && sent < 1000000) {
		sent += sizeof(junk);
		fake_loop_advance(f->loop, 0);
	}
	assert_true(sent >= 256 * 1024 && sent < 300000);
	assert_int_equal(fake_loop_next_due_ms(f->loop), -1);
}

static void times_out_once_and_goes_on(void **state)
{
	struct fixture *f = *state;
	tlsio_stream_limit_time(f->b.stream, 300);
	fake_loop_advance(f->loop, 299);
	assert_int_equal(f->b.timeouts, 0);
	tlsio_stream_limit_time(f->b.stream, 300);
	fake_loop_advance(f->loop, 299);
	assert_int_equal(f->b.timeouts, 0);
	fake_loop_advance(f->loop, 1);
	assert_int_equal(f->b.timeouts, 1);
	fake_loop_advance(f->loop, 10000);
	assert_int_equal(f->b.timeouts, 1);
	write_text(&f->a, "still here");
	fake_loop_advance(f->loop, 0);
	expect_got(&f->b, "still here");
	tlsio_stream_limit_time(f->b.stream, 300);
	tlsio_stream_limit_time(f->b.stream, 0);
	fake_loop_advance(f->loop, 10000);
	assert_int_equal(f->b.timeouts, 1);
}

static void another_owner_takes_over(void **state)
{
	struct fixture *f = *state;
	struct side next = { .stream = f->b.stream, .on_input = CONSUME };
	tlsio_stream_set_events(f->b.stream, &events, &next);
	write_text(&f->a, "to the new one");
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->b.inputs, 0);
	expect_got(&next, "to the new one");
	buf_release(&next.got);
}

/* The peer refuses and is gone before we have written: our write fails, its words count. */
static void reads_a_refusal_behind_a_failed_write(void **state)
{
	struct fixture *f = *state;
	struct tlsio_transport *ends[2];
	struct iovec part = { (void *)(uintptr_t)"421 busy\r\n", 10 };
	struct side side = { .on_input = CONSUME };
	tlsio_transport_memory_pair(f->loop, 700, ends);
	side.stream = tlsio_stream_new(f->loop, ends[0], &limits, &events, &side);
	write_text(&side, "EHLO\r\n");
	assert_int_equal(ends[1]->kind->write(ends[1], &part, 1), 10);
	ends[1]->kind->free(ends[1]);
	fake_loop_advance(f->loop, 0);
	expect_got(&side, "421 busy\r\n");
	assert_int_equal(side.inputs, 1);
	assert_int_equal(side.ends, 1);
	assert_int_equal(side.end, TLSIO_END_RESET);
	tlsio_stream_close(&side.stream);
	buf_release(&side.got);
}

static void a_freed_loop_frees_streams_that_say_goodbye(void **state)
{
	/* ASan's leak check is the judge: b never reads, so a's goodbye is not over */
	struct fixture *f = *state;
	tlsio_stream_pause(f->b.stream);
	f->a.to_produce = 2000;
	produce(&f->a);
	tlsio_stream_close(&f->a.stream);
	fake_loop_advance(f->loop, 10);
	assert_true(fake_loop_next_due_ms(f->loop) > 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(carries_bytes_both_ways),
		CASE(calls_back_only_from_the_loop),
		CASE(reports_input_once_and_again_only_for_more),
		CASE(stops_reading_at_the_input_limit),
		CASE(a_slow_reader_gets_every_byte_in_order),
		CASE(a_fast_reader_gets_every_byte_in_order),
		CASE(calls_room_only_after_it_was_gone),
		CASE(ends_with_limit_when_output_piles_up),
		CASE(a_pause_keeps_bytes_outside),
		CASE(a_close_flushes_what_is_queued),
		CASE(input_before_the_end_is_readable_first),
		CASE(an_answer_after_the_peers_end_still_arrives),
		CASE(closing_in_any_callback_is_legal),
		CASE(an_abort_breaks_the_connection),
		CASE(a_close_does_not_wait_for_ever),
		CASE(lingers_for_what_the_peer_still_sends),
		CASE(lingers_for_a_bounded_amount),
		CASE(times_out_once_and_goes_on),
		CASE(another_owner_takes_over),
		CASE(reads_a_refusal_behind_a_failed_write),
		CASE(a_freed_loop_frees_streams_that_say_goodbye),
	};
	return cmocka_run_group_tests_name("tlsio_stream", tests, NULL, NULL);
}
