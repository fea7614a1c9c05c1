#include "libtlsio/tlsio_stream_parts.h"

#include <errno.h>

#include "libtlsio/base/mem.h"

/* Least room to read into: one TLS record holds no more (RFC 8446 5.1). */
#define RECORD_BYTES 16384

struct tlsio_stream_ending *tlsio_stream_io_end(struct tlsio_stream *s, enum tlsio_end end,
	const struct err *why)
{
	if (s->ending)
		return s->ending;
	s->ending = mem_zero(sizeof(*s->ending));
	s->ending->end = end;
	s->ending->why = *why;
	if (end != TLSIO_END_CLOSED) {
		tlsio_queue_release(&s->output);
		s->write_waits = 0;
	}
	return s->ending;
}

bool tlsio_stream_io_may_read(const struct tlsio_stream *s)
{
	return (s->phase == STREAM_CLEAR || s->phase == STREAM_SECURED) && !s->is_paused &&
	       !s->ending && s->input.length < s->limits.input_bytes;
}

void tlsio_stream_io_update(struct tlsio_stream *s)
{
	unsigned wants = s->write_waits;
	if (tlsio_stream_io_may_read(s) || (s->phase == STREAM_SHAKING && !s->ending))
		wants |= s->read_waits;
	s->transport->kind->want(s->transport, wants);
}

/* --- input ------------------------------------------------------------------------------------ */

static enum tlsio_io read_clear(struct tlsio_stream *s, void *into, size_t capacity,
	size_t *ret_count, struct err *err)
{
	ssize_t got;
	do
		got = s->transport->kind->read(s->transport, into, capacity);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TLSIO_IO_AGAIN;
	if (got < 0) {
		err_system(err, errno, "cannot read from the peer");
		return TLSIO_IO_FAILED;
	}
	if (got == 0) {
		err_set(err, ERR_PEER, "the peer closed the connection");
		return TLSIO_IO_END;
	}
	*ret_count = (size_t)got;
	return TLSIO_IO_DONE;
}

/* Is it worth asking again at once? What stays in the kernel comes with the next event (the loop is
 * level-triggered), so a short answer saves a call that would only say EAGAIN. */
static bool is_more_inside(const struct tlsio_stream *s)
{
	return s->session && tlsio_session_pending(s->session) > 0;
}

static void end_by_reading(struct tlsio_stream *s, enum tlsio_io io, const struct err *why)
{
	enum tlsio_end end = TLSIO_END_RESET;
	if (io == TLSIO_IO_END)
		end = TLSIO_END_CLOSED;
	else if (io == TLSIO_IO_TRUNCATED)
		end = TLSIO_END_TRUNCATED;
	else if (why->kind == ERR_TLS)
		end = TLSIO_END_TLS;
	tlsio_stream_io_end(s, end, why)->found_by_reading = true;
}

/* Where input comes from: the transport, or only what a TLS session has inside already. */
enum reach { ALL_THERE_IS, INSIDE_ONLY };

static enum tlsio_io read_some(struct tlsio_stream *s, enum reach reach, void *into,
	size_t capacity, size_t *ret_count, struct err *err)
{
	if (!s->session)
		return read_clear(s, into, capacity, ret_count, err);
	if (reach == INSIDE_ONLY)
		return tlsio_session_read_inside(s->session, into, capacity, ret_count, err);
	return tlsio_session_read(s->session, into, capacity, ret_count, err);
}

/* As much as there is and as fits; true when anything came. */
static bool fill_input(struct tlsio_stream *s, enum reach reach)
{
	bool has_new = false;
	s->read_waits = TLSIO_READ;
	while (tlsio_stream_io_may_read(s)) {
		struct err err = { 0 };
		size_t room, count = 0, most = s->limits.input_bytes - s->input.length;
		char *into = tlsio_queue_reserve(&s->input, most < RECORD_BYTES ? most : RECORD_BYTES,
			&room);
		if (room > most)
			room = most;
		enum tlsio_io io = read_some(s, reach, into, room, &count, &err);
		if (io == TLSIO_IO_AGAIN) {
			/* both: what TLS must answer may wait for room, but a peer that
			 * writes before it reads must not be left waiting */
			if (s->session)
				s->read_waits |= (uint8_t)tlsio_session_wants(s->session);
			break;
		}
		if (io != TLSIO_IO_DONE) {
			end_by_reading(s, io, &err);
			break;
		}
		tlsio_queue_added(&s->input, count);
		has_new = true;
		if (!is_more_inside(s))
			break;
	}
	return has_new;
}

static void take_input(struct tlsio_stream *s, enum reach reach)
{
	if (fill_input(s, reach)) {
		s->has_received = true;
		if (s->events->on_input)
			s->events->on_input(s->ctx);
	}
	if (!s->closing)
		tlsio_queue_settle(&s->input);
}

/* --- output ----------------------------------------------------------------------------------- */

static enum tlsio_io push_clear(struct tlsio_stream *s, struct err *err)
{
	while (s->output.length) {
		struct str bytes = tlsio_queue_str(&s->output);
		struct iovec part = { (void *)(uintptr_t)bytes.at, bytes.length };
		ssize_t wrote = s->transport->kind->write(s->transport, &part, 1);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return TLSIO_IO_AGAIN;
		if (wrote < 0) {
			err_system(err, errno, "cannot write to the peer");
			return TLSIO_IO_FAILED;
		}
		s->sent_bytes += (size_t)wrote;
		tlsio_queue_consume(&s->output, (size_t)wrote);
		if ((size_t)wrote < bytes.length)
			return TLSIO_IO_AGAIN;
	}
	return TLSIO_IO_DONE;
}

static enum tlsio_io push_records(struct tlsio_stream *s, struct err *err)
{
	if (s->is_rest_inside) {
		enum tlsio_io io = tlsio_session_flush(s->session, err);
		if (io != TLSIO_IO_DONE)
			return io;
		s->is_rest_inside = false;
	}
	while (s->output.length) {
		struct str bytes = tlsio_queue_str(&s->output);
		size_t count = 0;
		enum tlsio_io io =
			tlsio_session_write(s->session, bytes.at, bytes.length, &count, err);
		s->sent_bytes += count;
		tlsio_queue_consume(&s->output, count);
		s->is_rest_inside = io == TLSIO_IO_AGAIN;
		if (io != TLSIO_IO_DONE)
			return io;
	}
	return TLSIO_IO_DONE;
}

enum tlsio_io tlsio_stream_io_push(struct tlsio_stream *s, struct err *err)
{
	if (s->phase == STREAM_SECURED)
		return push_records(s, err);
	return push_clear(s, err);
}

static void give_room(struct tlsio_stream *s)
{
	if (!s->was_full || s->output.length > s->limits.output_bytes / 2)
		return;
	s->was_full = false;
	/* What the owner writes now goes out with the next writability, so that a fast reader
	 * cannot keep this turn alive for ever. */
	uint8_t waits = s->write_waits;
	s->write_waits = waits ? waits : TLSIO_WRITE;
	if (s->events->on_room && !(s->ending && s->ending->is_reported))
		s->events->on_room(s->ctx);
	if (!waits && s->output.length == 0)
		s->write_waits = 0;
}

static void send_output(struct tlsio_stream *s)
{
	struct err err = { 0 };
	enum tlsio_io io = tlsio_stream_io_push(s, &err);
	s->write_waits = 0;
	if (io == TLSIO_IO_AGAIN)
		s->write_waits = s->phase == STREAM_SECURED
					 ? (uint8_t)tlsio_session_wants(s->session)
					 : TLSIO_WRITE;
	if (io == TLSIO_IO_DONE || io == TLSIO_IO_AGAIN) {
		give_room(s);
		return;
	}
	/* A peer that refuses and hangs up often said why: its last words may still be there. */
	if (tlsio_stream_io_may_read(s))
		take_input(s, ALL_THERE_IS);
	if (!s->closing)
		tlsio_stream_io_end(s, err.kind == ERR_TLS ? TLSIO_END_TLS : TLSIO_END_RESET, &err);
}

/* --- handshake -------------------------------------------------------------------------------- */

static void shake(struct tlsio_stream *s)
{
	struct err err = { 0 };
	switch (tlsio_session_handshake(s->session, &err)) {
	case TLSIO_IO_AGAIN:
		s->read_waits = (uint8_t)tlsio_session_wants(s->session);
		break;
	case TLSIO_IO_DONE:
		s->phase = STREAM_SECURED;
		s->read_waits = TLSIO_READ;
		tlsio_turn_request(&s->turn);
		if (s->events->on_secured)
			s->events->on_secured(s->ctx);
		break;
	case TLSIO_IO_END:
	case TLSIO_IO_TRUNCATED:
		tlsio_stream_io_end(s, TLSIO_END_TRUNCATED, &err);
		break;
	case TLSIO_IO_FAILED:
		tlsio_stream_io_end(s, err.kind == ERR_TLS ? TLSIO_END_TLS : TLSIO_END_RESET, &err);
		break;
	}
}

/* The last plaintext is out. A server waits for the peer's first flight; a client speaks first. */
static void start_shaking(struct tlsio_stream *s)
{
	s->phase = STREAM_SHAKING;
	s->read_waits = TLSIO_READ;
	if (s->is_client)
		shake(s);
}

/* --- the loop's callbacks --------------------------------------------------------------------- */

static void report_end(struct tlsio_stream *s)
{
	struct tlsio_stream_ending *e = s->ending;
	if (!e || e->is_reported)
		return;
	if (e->found_by_reading && (s->is_paused || s->phase == STREAM_HELD))
		return;
	e->is_reported = true;
	tlsio_timer_stop(&s->timer);
	if (s->events->on_end)
		s->events->on_end(s->ctx, e->end, &e->why);
}

static void finish(struct tlsio_stream *s)
{
	if (!s->closing)
		report_end(s);
	if (!s->closing)
		tlsio_stream_io_update(s);
}

void tlsio_stream_io_ready(void *ctx, unsigned events)
{
	struct tlsio_stream *s = ctx;
	if (s->closing) {
		tlsio_stream_close_step(s);
		return;
	}
	if (s->phase == STREAM_SHAKING) {
		shake(s);
	} else {
		if (events & s->write_waits)
			send_output(s);
		if (!s->closing && s->phase == STREAM_LAST)
			tlsio_turn_request(&s->turn);
		else if (!s->closing && events & s->read_waits && tlsio_stream_io_may_read(s))
			take_input(s, ALL_THERE_IS);
	}
	finish(s);
}

void tlsio_stream_io_end_of_turn(void *ctx)
{
	struct tlsio_stream *s = ctx;
	if (s->closing) {
		tlsio_stream_close_step(s);
		return;
	}
	if (s->output.length && !s->write_waits)
		send_output(s);
	if (!s->closing && s->phase == STREAM_LAST && !s->output.length && !s->ending)
		start_shaking(s);
	/* only what waits inside: more of the transport would let a fast peer keep this turn alive */
	if (!s->closing && s->phase == STREAM_SECURED && tlsio_stream_io_may_read(s) &&
		tlsio_session_pending(s->session) > 0)
		take_input(s, INSIDE_ONLY);
	finish(s);
}
