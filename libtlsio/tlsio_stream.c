#include "libtlsio/tlsio_stream.h"

#include <assert.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream_parts.h"

_Static_assert(sizeof(struct tlsio_stream) <= 400, "an idle stream stays small");

const char *tlsio_end_name(enum tlsio_end end)
{
	switch (end) {
	case TLSIO_END_CLOSED:
		return "closed";
	case TLSIO_END_TRUNCATED:
		return "truncated";
	case TLSIO_END_RESET:
		return "reset";
	case TLSIO_END_TLS:
		return "tls";
	case TLSIO_END_LIMIT:
		return "limit";
	}
	return "unknown";
}

static void on_due(void *ctx)
{
	struct tlsio_stream *s = ctx;
	if (s->closing)
		tlsio_stream_close_late(s);
	else if (s->events->on_timeout)
		s->events->on_timeout(s->ctx);
}

struct tlsio_stream *tlsio_stream_new(struct tlsio_loop *loop, struct tlsio_transport *transport,
	const struct tlsio_stream_limits *limits, const struct tlsio_stream_events *events,
	void *ctx)
{
	assert(limits->input_bytes > 0 && limits->output_bytes > 0);
	struct tlsio_stream *s = mem_zero(sizeof(*s));
	s->loop = loop;
	s->transport = transport;
	s->limits = *limits;
	s->events = events;
	s->ctx = ctx;
	s->read_waits = TLSIO_READ;
	tlsio_timer_init(&s->timer, loop, on_due, s);
	tlsio_turn_init(&s->turn, loop, tlsio_stream_io_end_of_turn, s);
	transport->on_ready = tlsio_stream_io_ready;
	transport->ctx = s;
	tlsio_queue_stock_enter();
	tlsio_stream_io_update(s);
	return s;
}

void tlsio_stream_set_events(struct tlsio_stream *s, const struct tlsio_stream_events *events,
	void *ctx)
{
	s->events = events;
	s->ctx = ctx;
}

struct str tlsio_stream_input(const struct tlsio_stream *s)
{
	return tlsio_queue_str(&s->input);
}

/* Decrypted bytes inside the session, or an end that waited, come without an event. */
static void go_on_reading(struct tlsio_stream *s)
{
	bool has_pending = s->session && s->phase == STREAM_SECURED &&
			   tlsio_session_pending(s->session) > 0;
	if (has_pending || s->ending)
		tlsio_turn_request(&s->turn);
	tlsio_stream_io_update(s);
}

void tlsio_stream_consume(struct tlsio_stream *s, size_t count)
{
	tlsio_queue_consume(&s->input, count);
	go_on_reading(s);
}

void tlsio_stream_pause(struct tlsio_stream *s)
{
	s->is_paused = true;
	tlsio_stream_io_update(s);
}

void tlsio_stream_resume(struct tlsio_stream *s)
{
	if (!s->is_paused)
		return;
	s->is_paused = false;
	go_on_reading(s);
}

/* Between the upgrade and on_secured there is no channel that bytes could belong to, and after a
 * broken end none either. */
static bool may_write(const struct tlsio_stream *s)
{
	if (s->ending && s->ending->end != TLSIO_END_CLOSED)
		return false;
	return s->phase != STREAM_LAST && s->phase != STREAM_SHAKING;
}

void tlsio_stream_write(struct tlsio_stream *s, const void *bytes, size_t length)
{
	if (length == 0 || !may_write(s))
		return;
	if (s->output.length + length > 2 * s->limits.output_bytes) {
		struct err why;
		err_set(&why, ERR_LIMIT, "%zu bytes of output wait, more than twice the limit of %zu",
			s->output.length + length, s->limits.output_bytes);
		tlsio_stream_io_end(s, TLSIO_END_LIMIT, &why);
		tlsio_turn_request(&s->turn);
		return;
	}
	tlsio_queue_append(&s->output, bytes, length);
	if (s->output.length >= s->limits.output_bytes)
		s->was_full = true;
	if (!s->write_waits)
		tlsio_turn_request(&s->turn);
}

size_t tlsio_stream_room(const struct tlsio_stream *s)
{
	size_t used = s->output.length;
	return used < s->limits.output_bytes ? s->limits.output_bytes - used : 0;
}

uint64_t tlsio_stream_sent_bytes(const struct tlsio_stream *s)
{
	return s->sent_bytes;
}

void tlsio_stream_limit_time(struct tlsio_stream *s, int64_t after_ms)
{
	if (s->ending && s->ending->is_reported)
		return;
	if (after_ms > 0)
		tlsio_timer_start(&s->timer, after_ms);
	else
		tlsio_timer_stop(&s->timer);
}

const struct tlsio_peer *tlsio_stream_peer(const struct tlsio_stream *s)
{
	return s->phase == STREAM_SECURED ? tlsio_session_peer(s->session) : NULL;
}

bool tlsio_stream_is_secured(const struct tlsio_stream *s)
{
	return s->phase == STREAM_SECURED;
}

void tlsio_stream_set_addresses(struct tlsio_stream *s, const struct netaddr *local,
	const struct netaddr *remote)
{
	s->local = *local;
	s->remote = *remote;
}

const struct netaddr *tlsio_stream_remote(const struct tlsio_stream *s)
{
	return &s->remote;
}

const struct netaddr *tlsio_stream_local(const struct tlsio_stream *s)
{
	return &s->local;
}
