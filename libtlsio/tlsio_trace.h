/* tlsio_trace: the handshake as it happens, message by message, for people who debug it.
 *
 * For:     the trace callbacks in tlsio_server_wishes and tlsio_client_wishes; costs nothing while
 *          there is none. The program contrib/examples/tls-trace prints what comes here.
 * Promise: one event per record and one per handshake message, both directions, in the order in
 *          which they pass; the event is valid during the call; never any secret or content.
 *          Called inside a call on the session: do not free anything of it there.
 */
#ifndef LIBTLSIO_TLSIO_TRACE_H
#define LIBTLSIO_TLSIO_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tlsio_trace_kind { TLSIO_TRACE_RECORD, TLSIO_TRACE_HANDSHAKE };

struct tlsio_trace_event {
	enum tlsio_trace_kind kind;
	bool is_incoming;
	uint8_t type;            /* IANA ContentType or HandshakeType */
	const char *name;        /* "handshake", "ClientHello"; static */
	uint16_t record_version; /* 0x0303: of the record; of a message: of the last record seen in
				  * its direction, 0 before the first */
	size_t size_bytes;       /* body, without its header */
};

/* "ClientHello", "Finished", ...; "unknown". */
const char *tlsio_trace_message_name(uint8_t type);
/* "handshake", "application_data", ...; "unknown". */
const char *tlsio_trace_record_name(uint8_t type);

/* --- inside libtlsio ----------------------------------------------------------------------- */

/* One direction's place in the stream of records. */
struct tlsio_tracer_side {
	uint8_t header[5];
	size_t header_bytes;
	size_t body_left;
	uint16_t version;
};

struct tlsio_tracer {
	void (*trace)(void *ctx, const struct tlsio_trace_event *event);
	void *ctx;
	struct tlsio_tracer_side in;
	struct tlsio_tracer_side out;
};

/* Raw bytes as they pass; finds the record headers in them. */
void tlsio_tracer_bytes(struct tlsio_tracer *t, bool is_incoming, const void *bytes, size_t length);
void tlsio_tracer_message(
	struct tlsio_tracer *t, bool is_incoming, uint8_t type, size_t size_bytes);

#endif
