#include "libtlsio/tlsio_wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	IN_BYTES = 64 * 1024,
	/* Four whole records with their overhead. */
	OUT_BYTES = 4 * (16384 + 64),
	/* A peer that makes us answer (key updates) while it reads nothing. */
	MAX_WAITING_BYTES = 512 * 1024,
};

/* Shared by all sessions of a thread and used only between enter and leave: an idle session owns
 * no buffer at all. */
static _Thread_local struct {
	struct tlsio_wire *user;
	size_t out_length;
	char in[IN_BYTES];
	char out[OUT_BYTES];
} scratch;

static int give_transport(struct tlsio_wire *w, const void *bytes, size_t length, size_t *ret_sent)
{
	struct iovec part = { (char *)(uintptr_t)bytes, length };
	ssize_t count;
	/* Once: less than given means no room now, and to ask again would only say EAGAIN. */
	do
		count = w->transport->kind->write(w->transport, &part, 1);
	while (count < 0 && errno == EINTR);
	if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		w->broken = errno;
		return -1;
	}
	*ret_sent = count > 0 ? (size_t)count : 0;
	return 0;
}

static void send_waiting(struct tlsio_wire *w)
{
	size_t sent = 0;
	if (w->out.length == 0 || w->broken)
		return;
	if (give_transport(w, buf_str(&w->out).at, w->out.length, &sent) < 0)
		return;
	buf_consume(&w->out, sent);
	if (w->out.length == 0)
		buf_release(&w->out);
}

void tlsio_wire_send(struct tlsio_wire *w)
{
	send_waiting(w);
	if (scratch.user != w || scratch.out_length == 0)
		return;
	size_t length = scratch.out_length, sent = 0;
	scratch.out_length = 0;
	if (w->broken || (w->out.length == 0 && give_transport(w, scratch.out, length, &sent) < 0))
		return;
	if (sent < length)
		buf_append(&w->out, scratch.out + sent, length - sent);
}

static ssize_t fail(struct tlsio_wire *w, int errno_value)
{
	gnutls_transport_set_errno(w->tls, errno_value);
	errno = errno_value;
	return -1;
}

static ssize_t on_push(gnutls_transport_ptr_t ctx, const giovec_t *parts, int count)
{
	struct tlsio_wire *w = ctx;
	size_t total = 0;
	assert(scratch.user == w);
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (scratch.out_length + total > OUT_BYTES)
		tlsio_wire_send(w);
	if (w->broken)
		return fail(w, w->broken);
	if (w->out.length + total > MAX_WAITING_BYTES) {
		w->broken = ENOBUFS;
		return fail(w, w->broken);
	}
	for (int i = 0; i < count; i++) {
		if (w->tracer)
			tlsio_tracer_bytes(w->tracer, false, parts[i].iov_base, parts[i].iov_len);
		if (w->out.length > 0 || total > OUT_BYTES) {
			buf_append(&w->out, parts[i].iov_base, parts[i].iov_len);
		} else {
			memcpy(scratch.out + scratch.out_length, parts[i].iov_base,
				parts[i].iov_len);
			scratch.out_length += parts[i].iov_len;
		}
	}
	return (ssize_t)total;
}

/* One read of the transport; 0 at its end, -1 with the errno given to GnuTLS. */
static ssize_t read_transport(struct tlsio_wire *w, void *into, size_t capacity)
{
	ssize_t count;
	if (w->has_ended)
		return 0;
	if (w->broken)
		return fail(w, w->broken);
	/* Less than asked means: nothing more there; the next event tells. Saves the read that
	 * would only say EAGAIN. */
	if (w->is_drained)
		return fail(w, EAGAIN);
	do
		count = w->transport->kind->read(w->transport, into, capacity);
	while (count < 0 && errno == EINTR);
	if (count < 0) {
		int errno_value = errno == EWOULDBLOCK ? EAGAIN : errno;
		if (errno_value != EAGAIN)
			w->broken = errno_value;
		return fail(w, errno_value);
	}
	w->has_ended = count == 0;
	w->is_drained = (size_t)count < capacity;
	return count;
}

static ssize_t pull(struct tlsio_wire *w, char *into, size_t size)
{
	if (w->in.length > 0) {
		size_t count = size < w->in.length ? size : w->in.length;
		memcpy(into, buf_str(&w->in).at, count);
		buf_consume(&w->in, count);
		if (w->in.length == 0)
			buf_release(&w->in);
		return (ssize_t)count;
	}
	if (w->window_head == w->window_end) {
		size_t ahead = w->ahead_bytes < IN_BYTES ? w->ahead_bytes : IN_BYTES;
		if (size >= ahead)
			return read_transport(w, into, size);
		ssize_t got = read_transport(w, scratch.in, ahead);
		if (got <= 0)
			return got;
		w->window_head = 0;
		w->window_end = (size_t)got;
	}
	size_t left = w->window_end - w->window_head;
	size_t count = size < left ? size : left;
	memcpy(into, scratch.in + w->window_head, count);
	w->window_head += count;
	return (ssize_t)count;
}

static ssize_t on_pull(gnutls_transport_ptr_t ctx, void *into, size_t size)
{
	struct tlsio_wire *w = ctx;
	assert(scratch.user == w);
	ssize_t count = pull(w, into, size);
	if (count > 0 && w->tracer)
		tlsio_tracer_bytes(w->tracer, true, into, (size_t)count);
	return count;
}

void tlsio_wire_attach(
	struct tlsio_wire *w, gnutls_session_t tls, struct tlsio_transport *transport)
{
	w->tls = tls;
	w->transport = transport;
	gnutls_transport_set_ptr(tls, w);
	gnutls_transport_set_vec_push_function(tls, on_push);
	gnutls_transport_set_pull_function(tls, on_pull);
}

void tlsio_wire_clear(struct tlsio_wire *w)
{
	buf_release(&w->in);
	buf_release(&w->out);
}

void tlsio_wire_enter(struct tlsio_wire *w, size_t ahead_bytes)
{
	assert(!scratch.user);
	scratch.user = w;
	w->ahead_bytes = ahead_bytes;
	w->window_head = w->window_end = 0;
	w->is_drained = false;
	send_waiting(w);
}

void tlsio_wire_leave(struct tlsio_wire *w)
{
	assert(scratch.user == w);
	tlsio_wire_send(w);
	if (w->window_head < w->window_end)
		buf_append(&w->in, scratch.in + w->window_head, w->window_end - w->window_head);
	w->window_head = w->window_end = 0;
	scratch.user = NULL;
}

bool tlsio_wire_has_record(const struct tlsio_wire *w)
{
	if (w->in.length < 5)
		return false;
	const unsigned char *header = (const unsigned char *)buf_str(&w->in).at;
	return w->in.length >= 5u + (size_t)(header[3] << 8 | header[4]);
}
