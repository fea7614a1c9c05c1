/* tlsio_stream: one peer: bytes in, bytes out, in clear or (after tlsio_upgrade) in TLS.
 *
 * For:     sessions and relays; anyone who speaks a line protocol.
 * Holds:   a transport, two bounded buffers (allocated only while they hold bytes), one timer,
 *          and the TLS session once there is one.
 * Promise: reading stops while the input buffer is full (back-pressure: a slow consumer never
 *          grows memory); output is sent at the end of the turn, whole turns in one record;
 *          events come only from the loop, never inside a call on the stream; after
 *          tlsio_stream_close no event comes any more and the memory goes at the end of the turn.
 * Errors:  on_end says how it ended; a TLS end without close_notify is TRUNCATED (RFC 8446 6.1).
 */
#ifndef LIBTLSIO_TLSIO_STREAM_H
#define LIBTLSIO_TLSIO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_transport.h"

struct tlsio_stream;

enum tlsio_end {
	TLSIO_END_CLOSED,    /* orderly: end of input in clear, or close_notify */
	TLSIO_END_TRUNCATED, /* the transport ended inside TLS without close_notify */
	TLSIO_END_RESET,     /* the transport broke */
	TLSIO_END_TLS,	     /* handshake or record failure; err has the reason and the alert */
	TLSIO_END_LIMIT,     /* our own limit: output nobody reads, too many bytes queued */
};
const char *tlsio_end_name(enum tlsio_end end);

struct tlsio_stream_events {
	/* New bytes in tlsio_stream_input. Comes again only when more arrive. */
	void (*on_input)(void *ctx);
	/* Output fell to the low-water mark after tlsio_stream_room had become 0. */
	void (*on_room)(void *ctx);
	/* The handshake finished; tlsio_stream_peer is set. */
	void (*on_secured)(void *ctx);
	/* The limit set by tlsio_stream_limit_time passed. The stream goes on until closed. */
	void (*on_timeout)(void *ctx);
	/* Over (input side: bytes already received may still be read). Last event; close next. */
	void (*on_end)(void *ctx, enum tlsio_end end, const struct err *why);
};

struct tlsio_stream_limits {
	size_t input_bytes;  /* most unconsumed input; a line protocol wants its longest line */
	size_t output_bytes; /* high-water mark of unsent output: room becomes 0 there */
};

/* Takes transport. events and ctx are borrowed for the stream's life. Addresses are copied. */
struct tlsio_stream *tlsio_stream_new(struct tlsio_loop *loop, struct tlsio_transport *transport,
	const struct tlsio_stream_limits *limits, const struct tlsio_stream_events *events,
	void *ctx);

/* Another owner takes over (a pooled connection): from now on events go there. */
void tlsio_stream_set_events(struct tlsio_stream *s, const struct tlsio_stream_events *events,
	void *ctx);

/* Flush what is queued, say goodbye (close_notify in TLS), then free; bounded to a few seconds.
 * Accepts NULL, sets NULL. */
void tlsio_stream_close(struct tlsio_stream **s);
/* Drop everything at once, reset the connection. Accepts NULL, sets NULL. */
void tlsio_stream_abort(struct tlsio_stream **s);

/* What has arrived and is not consumed. Valid until the next call on this stream and not beyond the
 * callback in which it was asked for. */
struct str tlsio_stream_input(const struct tlsio_stream *s);
void tlsio_stream_consume(struct tlsio_stream *s, size_t count);
/* Stop and go on reading from the peer. While paused, bytes wait in the kernel. A pause does not
 * hide an end of the connection for ever: it is reported after resume. */
void tlsio_stream_pause(struct tlsio_stream *s);
void tlsio_stream_resume(struct tlsio_stream *s);

/* Queue bytes (copied). Never refused, but a queue of more than twice output_bytes ends the stream
 * with LIMIT: look at tlsio_stream_room before producing. From an upgrade to on_secured there is no
 * channel: bytes written then are dropped. After on_end CLOSED our direction is still open. */
void tlsio_stream_write(struct tlsio_stream *s, const void *bytes, size_t length);
/* Bytes that may be queued before the high-water mark. */
size_t tlsio_stream_room(const struct tlsio_stream *s);
/* Bytes handed to the kernel, in all (for progress and rate limits). */
uint64_t tlsio_stream_sent_bytes(const struct tlsio_stream *s);

/* on_timeout after this long unless called again; 0 = no limit. Also bounds a handshake. */
void tlsio_stream_limit_time(struct tlsio_stream *s, int64_t after_ms);

/* NULL until secured. Borrowed: lives as long as the stream. */
const struct tlsio_peer *tlsio_stream_peer(const struct tlsio_stream *s);
bool tlsio_stream_is_secured(const struct tlsio_stream *s);

void tlsio_stream_set_addresses(struct tlsio_stream *s, const struct netaddr *local,
	const struct netaddr *remote);
const struct netaddr *tlsio_stream_remote(const struct tlsio_stream *s);
const struct netaddr *tlsio_stream_local(const struct tlsio_stream *s);

#endif
