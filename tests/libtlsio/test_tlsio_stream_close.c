/* Storms: owners that pause, resume, upgrade, close and abort at random, inside and outside of
 * callbacks. Whatever they do, bytes come in order, nothing comes after a close, and in the end
 * nothing is left (the sanitizer and the loop's timers are the judges). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/libtlsio/stream_fixture.h"

struct owner {
	struct storm *storm;
	struct owner *peer;
	struct tlsio_stream *stream;
	bool is_server;
	bool has_ended;
	size_t wrote; /* of the pattern, all in one channel */
	size_t read;
};

struct storm {
	struct tlsio_loop *loop;
	unsigned seed;
	uint64_t random;
	bool wants_tls;
	struct owner owners[2];
};

static unsigned roll(struct storm *storm, unsigned sides)
{
	storm->random = storm->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(storm->random >> 33) % sides;
}

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 251);
}

static void write_some(struct owner *o)
{
	char bytes[3000];
	size_t count = roll(o->storm, sizeof(bytes));
	if (count > tlsio_stream_room(o->stream))
		count = tlsio_stream_room(o->stream);
	for (size_t i = 0; i < count; i++)
		bytes[i] = pattern(o->wrote + i);
	tlsio_stream_write(o->stream, bytes, count);
	o->wrote += count;
}

static void read_some(struct owner *o)
{
	struct str in = tlsio_stream_input(o->stream);
	size_t count = roll(o->storm, 4) ? in.length : roll(o->storm, (unsigned)in.length + 1);
	for (size_t i = 0; i < count; i++)
		if (in.at[i] != pattern(o->read + i))
			fail_msg("seed %u: byte %zu is wrong", o->storm->seed, o->read + i);
	tlsio_stream_consume(o->stream, count);
	o->read += count;
}

static void act(struct owner *o)
{
	switch (o->stream ? roll(o->storm, 40) : 99) {
	case 0:
		tlsio_stream_close(&o->stream);
		break;
	case 1:
		if (roll(o->storm, 3) == 0)
			tlsio_stream_abort(&o->stream);
		break;
	case 2:
	case 3:
		tlsio_stream_pause(o->stream);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		tlsio_stream_resume(o->stream);
		break;
	case 8:
		tlsio_stream_limit_time(o->stream, roll(o->storm, 50));
		break;
	case 9:
		tlsio_upgrade_hold(o->stream); /* after TLS began: without effect */
		break;
	case 99:
		break;
	default:
		if (roll(o->storm, 2))
			write_some(o);
		else
			read_some(o);
	}
}

static void on_event(void *ctx)
{
	struct owner *o = ctx;
	assert_non_null(o->stream);
	assert_false(o->has_ended);
	act(o);
	act(o);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct owner *o = ctx;
	(void)end;
	(void)why;
	assert_non_null(o->stream);
	assert_false(o->has_ended);
	o->has_ended = true;
	if (roll(o->storm, 2))
		tlsio_stream_close(&o->stream);
}

static const struct tlsio_stream_events events = {
	.on_input = on_event,
	.on_room = on_event,
	.on_secured = on_event,
	.on_timeout = on_event,
	.on_end = on_end,
};

static void run_storm(unsigned seed)
{
	struct storm storm = { .seed = seed, .random = seed };
	struct tlsio_stream_limits limits;
	struct tlsio_transport *ends[2];
	struct err err;
	storm.loop = tlsio_loop_new(&err);
	storm.wants_tls = seed % 2;
	limits.input_bytes = 1 + roll(&storm, 3) * roll(&storm, 40000);
	limits.output_bytes = 1 + roll(&storm, 3) * roll(&storm, 40000);
	tlsio_transport_memory_pair(storm.loop, 1 + roll(&storm, 3) * roll(&storm, 20000), ends);
	for (int i = 0; i < 2; i++) {
		struct owner *o = &storm.owners[i];
		*o = (struct owner){ .storm = &storm, .is_server = i };
		o->stream = tlsio_stream_new(storm.loop, ends[i], &limits, &events, o);
	}
	if (storm.wants_tls) {
		assert_int_equal(tlsio_upgrade_client_at_once(storm.owners[0].stream,
					 stream_fixture_client, &err),
			0);
		assert_int_equal(tlsio_upgrade_server_at_once(storm.owners[1].stream,
					 stream_fixture_server, &err),
			0);
		fake_loop_advance(storm.loop, 0);
	}
	for (int step = 0; step < 150; step++) {
		struct owner *o = &storm.owners[roll(&storm, 2)];
		act(o);
		if (roll(&storm, 3) == 0)
			fake_loop_advance(storm.loop, roll(&storm, 20));
	}
	tlsio_stream_close(&storm.owners[0].stream);
	tlsio_stream_close(&storm.owners[1].stream);
	if (seed % 5) { /* otherwise the loop goes first */
		fake_loop_advance(storm.loop, 10000);
		assert_int_equal(fake_loop_next_due_ms(storm.loop), -1);
	}
	tlsio_loop_free(&storm.loop);
}

static void storms_leave_nothing_behind(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++)
		run_storm(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(storms_leave_nothing_behind),
	};
	return cmocka_run_group_tests_name("tlsio_stream_close", tests, stream_fixture_make_wishes,
		stream_fixture_drop_wishes);
}
