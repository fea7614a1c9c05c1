#include <errno.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream_parts.h"

/* From the owner's close to the end of memory, whatever the peer does. */
#define GOODBYE_MS 5000
/* Lingering: unread input at close(2) makes the kernel send RST, which may destroy our last words
 * at the peer (RFC 9112 9.6 tells the same of HTTP). So what still comes is thrown away, for a
 * short while and not much of it. */
#define LINGER_MS 1000
#define LINGER_BYTES (256 * 1024)

static void destroy(struct tlsio_stream *s)
{
	tlsio_timer_stop(&s->timer);
	tlsio_turn_cancel(&s->turn);
	tlsio_turn_cancel(&s->closing->at_free);
	tlsio_session_free(&s->session);
	s->transport->kind->free(s->transport);
	tlsio_queue_release(&s->input);
	tlsio_queue_release(&s->output);
	free(s->ending);
	free(s->closing);
	free(s);
	tlsio_queue_stock_leave();
}

static void on_loop_free(void *ctx)
{
	destroy(ctx);
}

static void begin_closing(struct tlsio_stream **ps, enum tlsio_stream_closing_step step)
{
	struct tlsio_stream *s = *ps;
	*ps = NULL;
	s->closing = mem_zero(sizeof(*s->closing));
	s->closing->step = step;
	tlsio_turn_init(&s->closing->at_free, s->loop, on_loop_free, s);
	tlsio_turn_request_at_free(&s->closing->at_free);
	tlsio_queue_release(&s->input);
	tlsio_timer_start(&s->timer, GOODBYE_MS);
	tlsio_turn_request(&s->turn);
}

static enum tlsio_stream_closing_step first_step(const struct tlsio_stream *s)
{
	if (s->phase == STREAM_SHAKING)
		return CLOSING_SHUT;
	if (!s->ending)
		return CLOSING_FLUSH;
	switch (s->ending->end) {
	case TLSIO_END_CLOSED:
		return CLOSING_FLUSH;
	case TLSIO_END_TLS: /* our alert must arrive */
		return CLOSING_SHUT;
	case TLSIO_END_LIMIT: /* nobody reads it anyway */
		return CLOSING_RESET;
	case TLSIO_END_TRUNCATED:
	case TLSIO_END_RESET:
		break;
	}
	return CLOSING_DONE;
}

void tlsio_stream_close(struct tlsio_stream **ps)
{
	if (*ps)
		begin_closing(ps, first_step(*ps));
}

void tlsio_stream_abort(struct tlsio_stream **ps)
{
	if (*ps)
		begin_closing(ps, CLOSING_RESET);
}

static void want(struct tlsio_stream *s, unsigned events)
{
	s->transport->kind->want(s->transport, events);
}

/* True: blocked, an event will call again. */
static bool flush(struct tlsio_stream *s)
{
	enum tlsio_io io = tlsio_stream_io_push(s, NULL);
	if (io == TLSIO_IO_AGAIN) {
		want(s, s->phase == STREAM_SECURED ? tlsio_session_wants(s->session) : TLSIO_WRITE);
		return true;
	}
	if (io == TLSIO_IO_DONE)
		s->closing->step = s->phase == STREAM_SECURED ? CLOSING_BYE : CLOSING_SHUT;
	else
		s->closing->step = CLOSING_DONE;
	return false;
}

static bool say_bye(struct tlsio_stream *s)
{
	if (tlsio_session_bye(s->session) == TLSIO_IO_AGAIN) {
		want(s, TLSIO_WRITE);
		return true;
	}
	s->closing->step = CLOSING_SHUT;
	return false;
}

static void shut(struct tlsio_stream *s)
{
	bool is_input_over = s->ending && s->ending->end == TLSIO_END_CLOSED &&
			     s->phase != STREAM_SECURED;
	tlsio_session_free(&s->session);
	tlsio_queue_release(&s->output);
	s->transport->kind->shutdown(s->transport);
	s->closing->step = is_input_over ? CLOSING_DONE : CLOSING_LINGER;
	tlsio_timer_start(&s->timer, LINGER_MS);
}

static bool linger(struct tlsio_stream *s)
{
	size_t room;
	ssize_t got;
	char *into = tlsio_queue_reserve(&s->input, TLSIO_QUEUE_BLOCK_BYTES, &room);
	do {
		got = s->transport->kind->read(s->transport, into, room);
		if (got > 0)
			s->closing->discarded_bytes += (size_t)got;
	} while (got > 0 && s->closing->discarded_bytes < LINGER_BYTES);
	tlsio_queue_release(&s->input);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
		want(s, TLSIO_READ);
		return true;
	}
	s->closing->step = CLOSING_DONE;
	return false;
}

void tlsio_stream_close_step(struct tlsio_stream *s)
{
	bool is_blocked = false;
	while (!is_blocked) {
		switch (s->closing->step) {
		case CLOSING_FLUSH:
			is_blocked = flush(s);
			break;
		case CLOSING_BYE:
			is_blocked = say_bye(s);
			break;
		case CLOSING_SHUT:
			shut(s);
			break;
		case CLOSING_LINGER:
			is_blocked = linger(s);
			break;
		case CLOSING_RESET:
			s->transport->kind->reset(s->transport);
			s->closing->step = CLOSING_DONE;
			break;
		case CLOSING_DONE:
			destroy(s);
			return;
		}
	}
}

void tlsio_stream_close_late(struct tlsio_stream *s)
{
	destroy(s);
}
