/* tlsio_session: one GnuTLS session, behind the stream. Internal to libtlsio.
 *
 * For:     tlsio_stream only (the one that moves its bytes).
 * Promise: the only border across which gnutls types of a running session pass; reads and writes
 *          go through the transport's kind, so TLS over memory is the same code.
 */
#ifndef LIBTLSIO_TLSIO_SESSION_H
#define LIBTLSIO_TLSIO_SESSION_H

#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_transport.h"

struct tlsio_session;

enum tlsio_io { TLSIO_IO_DONE, TLSIO_IO_AGAIN, TLSIO_IO_END, TLSIO_IO_TRUNCATED, TLSIO_IO_FAILED };

/* transport is borrowed. */
struct tlsio_session *tlsio_session_new_server(
	struct tlsio_server *server, struct tlsio_transport *transport, struct err *err);
struct tlsio_session *tlsio_session_new_client(
	struct tlsio_client *client, struct tlsio_transport *transport, struct err *err);
void tlsio_session_free(struct tlsio_session **s);

/* DONE, AGAIN (see tlsio_session_wants), END/TRUNCATED (peer went away), FAILED (alert sent). */
enum tlsio_io tlsio_session_handshake(struct tlsio_session *s, struct err *err);
/* TLSIO_READ or TLSIO_WRITE: what the last AGAIN waits for. */
unsigned tlsio_session_wants(const struct tlsio_session *s);
/* After DONE of the handshake. Gives; owned by the session, lives as long. */
const struct tlsio_peer *tlsio_session_peer(struct tlsio_session *s);

enum tlsio_io tlsio_session_read(
	struct tlsio_session *s, void *into, size_t capacity, size_t *ret_count, struct err *err);
/* The same without asking the transport: only what tlsio_session_pending tells of. */
enum tlsio_io tlsio_session_read_inside(
	struct tlsio_session *s, void *into, size_t capacity, size_t *ret_count, struct err *err);
/* On AGAIN the bytes given are accepted (count set) but a rest is kept inside: call
 * tlsio_session_flush before the next write. */
enum tlsio_io tlsio_session_write(struct tlsio_session *s, const void *bytes, size_t length,
	size_t *ret_count, struct err *err);
enum tlsio_io tlsio_session_flush(struct tlsio_session *s, struct err *err);
/* Bytes (or an end: 1) that wait inside and will cause no event of the transport: read again. */
size_t tlsio_session_pending(const struct tlsio_session *s);
/* close_notify, write side. */
enum tlsio_io tlsio_session_bye(struct tlsio_session *s);

#endif
