/* stream_fixture: two streams over a memory pair on the fake loop, and what it takes to secure them.
 */
#ifndef TESTS_LIBTLSIO_STREAM_FIXTURE_H
#define TESTS_LIBTLSIO_STREAM_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_upgrade.h"
#include "tests/fakes/fake_loop.h"

/* Made once for all tests of a program: a server that is a.example, a client that expects it. */
extern struct tlsio_server *stream_fixture_server;
extern struct tlsio_client *stream_fixture_client;
int stream_fixture_make_wishes(void **state);
int stream_fixture_drop_wishes(void **state);

struct side {
	struct tlsio_stream *stream;
	struct buf got;
	bool keeps; /* does not consume */
	bool closes_at_end;
	bool closes_when_secured;
	bool checks_pattern; /* what comes is the peer's produce, and is compared instead of kept */
	int inputs, secured, timeouts, ends;
	enum tlsio_end end;
	struct err why;
	size_t to_produce, produced, checked;
	size_t most_queued;
};

struct fixture {
	struct tlsio_loop *loop;
	struct tlsio_transport *ends[2];
	struct side s, c; /* server, client */
};

/* 20,000 bytes in, 30,000 out; events of a struct side. */
extern const struct tlsio_stream_limits stream_fixture_limits;
extern const struct tlsio_stream_events stream_fixture_events;

struct fixture *stream_fixture_begin(size_t capacity_bytes);
void stream_fixture_end(struct fixture *f);

void side_write(struct side *side, const char *text);
/* What was consumed since the last call is just this. */
void side_expect(struct side *side, const char *text);
/* Consume count bytes as on_input would. */
void side_take(struct side *side, size_t count);
/* Write more of the pattern, as room allows, up to to_produce. */
void side_produce(struct side *side);

#endif
