#include <errno.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_queue.h"
#include "libtlsio/tlsio_transport.h"

struct memory_end {
	struct tlsio_transport base;
	struct memory_end *other; /* NULL once it is freed */
	struct tlsio_queue arrived;
	size_t capacity_bytes;
	unsigned wants;
	bool is_input_over;
	bool is_output_over;
	bool is_broken;
	bool *is_gone; /* set while on_ready runs, which may free us */
	struct tlsio_turn turn;
	struct tlsio_timer again;
};

static struct memory_end *end_of(struct tlsio_transport *t)
{
	return (struct memory_end *)(void *)t;
}

static size_t room_ahead(const struct memory_end *m)
{
	size_t used = m->other->arrived.length;
	return used < m->other->capacity_bytes ? m->other->capacity_bytes - used : 0;
}

static unsigned ready_now(const struct memory_end *m)
{
	unsigned ready = 0;
	if (m->arrived.length || m->is_input_over || m->is_broken)
		ready |= TLSIO_READ;
	if (!m->other || m->is_output_over || m->is_broken || room_ahead(m))
		ready |= TLSIO_WRITE;
	return ready & m->wants;
}

static void poke(struct memory_end *m)
{
	if (m && ready_now(m))
		tlsio_turn_request(&m->turn);
}

static ssize_t fail(int why)
{
	errno = why;
	return -1;
}

static ssize_t memory_read(struct tlsio_transport *t, void *into, size_t capacity)
{
	struct memory_end *m = end_of(t);
	if (m->is_broken)
		return fail(ECONNRESET);
	if (m->arrived.length == 0)
		return m->is_input_over ? 0 : fail(EAGAIN);
	struct str bytes = tlsio_queue_str(&m->arrived);
	if (bytes.length > capacity)
		bytes.length = capacity;
	memcpy(into, bytes.at, bytes.length);
	tlsio_queue_consume(&m->arrived, bytes.length);
	poke(m->other);
	return (ssize_t)bytes.length;
}

static ssize_t memory_write(struct tlsio_transport *t, const struct iovec *parts, int count)
{
	struct memory_end *m = end_of(t);
	if (m->is_broken)
		return fail(ECONNRESET);
	if (!m->other || m->is_output_over)
		return fail(EPIPE);
	ssize_t wrote = 0;
	for (int i = 0; i < count; i++) {
		size_t length = parts[i].iov_len;
		if (length > room_ahead(m))
			length = room_ahead(m);
		tlsio_queue_append(&m->other->arrived, parts[i].iov_base, length);
		wrote += (ssize_t)length;
	}
	if (wrote == 0)
		return fail(EAGAIN);
	poke(m->other);
	return wrote;
}

static void memory_want(struct tlsio_transport *t, unsigned events)
{
	struct memory_end *m = end_of(t);
	m->wants = events;
	/* as a socket would: what is ready already is told in the next turn */
	if (ready_now(m) && !tlsio_timer_is_active(&m->again))
		tlsio_timer_start(&m->again, 0);
}

static void memory_shutdown(struct tlsio_transport *t)
{
	struct memory_end *m = end_of(t);
	m->is_output_over = true;
	if (m->other) {
		m->other->is_input_over = true;
		poke(m->other);
	}
}

static void memory_reset(struct tlsio_transport *t)
{
	struct memory_end *m = end_of(t);
	if (m->other) {
		m->other->is_broken = true;
		poke(m->other);
	}
}

static void memory_free(struct tlsio_transport *t)
{
	struct memory_end *m = end_of(t);
	if (m->other) {
		m->other->is_input_over = true;
		m->other->other = NULL;
		poke(m->other);
	}
	if (m->is_gone)
		*m->is_gone = true;
	tlsio_turn_cancel(&m->turn);
	tlsio_timer_stop(&m->again);
	tlsio_queue_release(&m->arrived);
	free(m);
	tlsio_queue_stock_leave();
}

static const struct tlsio_transport_kind memory_kind = {
	.name = "memory",
	.read = memory_read,
	.write = memory_write,
	.want = memory_want,
	.shutdown = memory_shutdown,
	.reset = memory_reset,
	.free = memory_free,
};

static void on_state_changed(void *ctx)
{
	struct memory_end *m = ctx;
	unsigned events = ready_now(m);
	if (!events || !m->base.on_ready)
		return;
	bool is_gone = false;
	m->is_gone = &is_gone;
	m->base.on_ready(m->base.ctx, events);
	if (is_gone)
		return;
	m->is_gone = NULL;
	/* level-triggered: what is still ready comes again, but in another turn */
	if (ready_now(m))
		tlsio_timer_start(&m->again, 0);
}

static struct memory_end *make_end(struct tlsio_loop *loop, size_t capacity_bytes)
{
	struct memory_end *m = mem_zero(sizeof(*m));
	m->base.kind = &memory_kind;
	m->capacity_bytes = capacity_bytes;
	tlsio_turn_init(&m->turn, loop, on_state_changed, m);
	tlsio_timer_init(&m->again, loop, on_state_changed, m);
	tlsio_queue_stock_enter();
	return m;
}

void tlsio_transport_memory_pair(struct tlsio_loop *loop, size_t capacity_bytes,
	struct tlsio_transport *ret_ends[2])
{
	struct memory_end *left = make_end(loop, capacity_bytes);
	struct memory_end *right = make_end(loop, capacity_bytes);
	left->other = right;
	right->other = left;
	ret_ends[0] = &left->base;
	ret_ends[1] = &right->base;
}
