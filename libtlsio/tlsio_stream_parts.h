/* tlsio_stream_parts: the inside of a stream, shared by the files that make it up. Internal.
 *
 * For:     tlsio_stream.c (the calls), tlsio_stream_io.c (moving bytes), tlsio_stream_close.c
 *          (goodbye), tlsio_upgrade.c (the moment TLS begins).
 * Promise: phases only go down the list; once `closing` is set no owner hears of the stream any
 *          more; memory goes only from the loop, never inside a call of the owner.
 */
#ifndef LIBTLSIO_TLSIO_STREAM_PARTS_H
#define LIBTLSIO_TLSIO_STREAM_PARTS_H

#include "libtlsio/tlsio_queue.h"
#include "libtlsio/tlsio_session.h"
#include "libtlsio/tlsio_stream.h"

enum tlsio_stream_phase {
	STREAM_CLEAR,
	STREAM_HELD,	/* in clear, not reading: an upgrade may follow */
	STREAM_LAST,	/* our last plaintext goes out, then the handshake */
	STREAM_SHAKING,
	STREAM_SECURED,
};

/* How it ended; made when known, reported when the owner may hear it. */
struct tlsio_stream_ending {
	enum tlsio_end end;
	struct err why;
	bool found_by_reading; /* waits while the owner pauses: buffered input comes first */
	bool is_reported;
};

enum tlsio_stream_closing_step {
	CLOSING_FLUSH,
	CLOSING_BYE,
	CLOSING_SHUT,
	CLOSING_LINGER,
	CLOSING_RESET,
	CLOSING_DONE,
};

struct tlsio_stream_closing {
	struct tlsio_turn at_free;
	enum tlsio_stream_closing_step step;
	size_t discarded_bytes;
};

struct tlsio_stream {
	struct tlsio_loop *loop;
	struct tlsio_transport *transport;
	struct tlsio_session *session;
	const struct tlsio_stream_events *events;
	void *ctx;
	struct tlsio_stream_ending *ending;
	struct tlsio_stream_closing *closing;
	struct tlsio_stream_limits limits;
	struct tlsio_queue input;
	struct tlsio_queue output;
	uint64_t sent_bytes;
	struct tlsio_timer timer;
	struct tlsio_turn turn;
	struct netaddr local;
	struct netaddr remote;
	uint8_t phase;		/* enum tlsio_stream_phase */
	uint8_t read_waits;	/* which events reading (or the handshake) waits for */
	uint8_t write_waits;	/* the same for blocked output; 0 = not blocked */
	bool is_paused : 1;
	bool is_client : 1;
	bool has_received : 1;
	bool was_full : 1;	/* on_room is owed */
	bool is_rest_inside : 1; /* the TLS session holds an unsent rest of a record */
};

bool tlsio_stream_io_may_read(const struct tlsio_stream *s);
/* Send output (in clear, or as records once secured): DONE when none is left. */
enum tlsio_io tlsio_stream_io_push(struct tlsio_stream *s, struct err *err);
/* Callbacks of the loop. */
void tlsio_stream_io_ready(void *ctx, unsigned events);
void tlsio_stream_io_end_of_turn(void *ctx);
/* Say which events matter now. */
void tlsio_stream_io_update(struct tlsio_stream *s);
/* The first ending stands. Returns the stream's. */
struct tlsio_stream_ending *tlsio_stream_io_end(struct tlsio_stream *s, enum tlsio_end end,
	const struct err *why);

/* One step of the goodbye, from the loop; may free s. */
void tlsio_stream_close_step(struct tlsio_stream *s);
void tlsio_stream_close_late(struct tlsio_stream *s);

#endif
