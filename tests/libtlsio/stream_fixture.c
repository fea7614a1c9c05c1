#include "tests/libtlsio/stream_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "tests/fakes/fake_ca.h"

struct tlsio_server *stream_fixture_server;
struct tlsio_client *stream_fixture_client;

int stream_fixture_make_wishes(void **state)
{
	(void)state;
	struct err err;
	const char *names[] = { "a.example" };
	struct fake_ca *ca = fake_ca_new("authority");
	struct tlsio_certstore *store = fake_ca_certstore(ca, "a.example");
	stream_fixture_server =
		tlsio_server_new(&(struct tlsio_server_wishes){ .certificates = store }, &err);
	stream_fixture_client = tlsio_client_new(
		&(struct tlsio_client_wishes){
			.server_name = "a.example", .names = names, .name_count = 1 },
		&err);
	tlsio_certstore_unref(&store);
	fake_ca_free(&ca);
	return stream_fixture_server && stream_fixture_client ? 0 : -1;
}

int stream_fixture_drop_wishes(void **state)
{
	(void)state;
	tlsio_server_unref(&stream_fixture_server);
	tlsio_client_unref(&stream_fixture_client);
	return 0;
}

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 251);
}

void side_take(struct side *side, size_t count)
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
		side_take(side, tlsio_stream_input(side->stream).length);
}

void side_produce(struct side *side)
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
	side_produce(ctx);
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
		side_produce(side);
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

const struct tlsio_stream_events stream_fixture_events = {
	.on_input = on_input,
	.on_room = on_room,
	.on_secured = on_secured,
	.on_timeout = on_timeout,
	.on_end = on_end,
};
const struct tlsio_stream_limits stream_fixture_limits = { .input_bytes = 20000, .output_bytes = 30000 };

struct fixture *stream_fixture_begin(size_t capacity_bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	tlsio_transport_memory_pair(f->loop, capacity_bytes, f->ends);
	f->s.stream = tlsio_stream_new(f->loop, f->ends[0], &stream_fixture_limits, &stream_fixture_events, &f->s);
	f->c.stream = tlsio_stream_new(f->loop, f->ends[1], &stream_fixture_limits, &stream_fixture_events, &f->c);
	return f;
}

void stream_fixture_end(struct fixture *f)
{
	tlsio_stream_close(&f->s.stream);
	tlsio_stream_close(&f->c.stream);
	tlsio_loop_free(&f->loop);
	buf_release(&f->s.got);
	buf_release(&f->c.got);
	free(f);
}

void side_write(struct side *side, const char *text)
{
	tlsio_stream_write(side->stream, text, strlen(text));
}

void side_expect(struct side *side, const char *text)
{
	assert_string_equal(buf_text(&side->got), text);
	buf_clear(&side->got);
}
