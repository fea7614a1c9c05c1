#include "libtlsio/tlsio_session.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/tlsio_failure.h"
#include "libtlsio/tlsio_peer_make.h"
#include "libtlsio/tlsio_session_parts.h"

enum {
	RECORD_BYTES = 16384,         /* RFC 8446 5.1 */
	HANDSHAKE_AHEAD_BYTES = 4096, /* a flight of the peer in one read */
	MAX_WARNINGS = 16,
	TICKETS_OF_FULL_HANDSHAKE = 2, /* clients connect in parallel */
};

static struct tlsio_failure failure_of(const struct tlsio_session *s, int rc, bool is_handshake)
{
	return (struct tlsio_failure){
		.rc = rc,
		.broken = s->wire.broken,
		.is_server = s->server != NULL,
		.is_handshake = is_handshake,
		.minimum = s->server ? s->server->minimum : s->client->minimum,
		.accepted = tlsio_priority_versions(
			s->server ? s->server->priority : s->client->priority),
		.offered = s->offered,
	};
}

/* --- handshake -------------------------------------------------------------------------------- */

/* Tickets of TLS 1.3 come behind the handshake, with the first reads. */
static void remember_session(struct tlsio_session *s)
{
	gnutls_datum_t data;
	if (s->has_stored || !s->client || !s->client->cache ||
		!(gnutls_session_get_flags(s->tls) & GNUTLS_SFLAGS_SESSION_TICKET))
		return;
	s->has_stored = true;
	if (gnutls_session_get_data2(s->tls, &data) < 0)
		return;
	tlsio_session_cache_store(s->client->cache, tlsio_session_cache_key(s->client),
		tlsio_session_steady_s(), gnutls_protocol_get_version(s->tls) == GNUTLS_TLS1_3,
		&data);
	gnutls_memset(data.data, 0, data.size);
	gnutls_free(data.data);
}

static void send_alert(struct tlsio_session *s, int rc)
{
	struct tlsio_failure failure = failure_of(s, rc, true);
	if (s->wire.broken || rc == GNUTLS_E_PREMATURE_TERMINATION ||
		rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return;
	/* GnuTLS calls this one a handshake_failure, which helps no one at the other end. */
	if (tlsio_failure_is_version(&failure))
		gnutls_alert_send(s->tls, GNUTLS_AL_FATAL, GNUTLS_A_PROTOCOL_VERSION);
	else
		gnutls_alert_send_appropriate(s->tls, rc);
}

/* GnuTLS's handshake until it is done, waits for the peer (AGAIN), or failed. */
static int step_handshake(struct tlsio_session *s)
{
	int rc;
	do
		rc = gnutls_handshake(s->tls);
	while (rc == GNUTLS_E_INTERRUPTED ||
		(rc == GNUTLS_E_WARNING_ALERT_RECEIVED && ++s->warnings < MAX_WARNINGS));
	/* What GnuTLS calls an end of input depends on where in a message it came. */
	if (s->wire.has_ended && rc < 0 && rc != GNUTLS_E_FATAL_ALERT_RECEIVED)
		return GNUTLS_E_PREMATURE_TERMINATION;
	/* RFC 9325 3.5, RFC 5746. TLS 1.3 knows no renegotiation. */
	if (rc == 0 && gnutls_protocol_get_version(s->tls) == GNUTLS_TLS1_2 &&
		!gnutls_safe_renegotiation_status(s->tls))
		return GNUTLS_E_SAFE_RENEGOTIATION_FAILED;
	return rc;
}

static enum tlsio_io fail_handshake(struct tlsio_session *s, struct err *err)
{
	struct tlsio_failure failure = failure_of(s, s->handshake_rc, true);
	tlsio_failure_tell(&failure, s->tls, err);
	if (!s->wire.broken && s->handshake_rc == GNUTLS_E_PREMATURE_TERMINATION)
		return TLSIO_IO_TRUNCATED;
	return TLSIO_IO_FAILED;
}

static void finish_handshake(struct tlsio_session *s)
{
	s->owes_tickets = s->server && s->server->tickets &&
			  gnutls_protocol_get_version(s->tls) == GNUTLS_TLS1_3;
	remember_session(s);
}

enum tlsio_io tlsio_session_handshake(struct tlsio_session *s, struct err *err)
{
	if (s->handshake_rc == GNUTLS_E_AGAIN) {
		tlsio_wire_enter(&s->wire, HANDSHAKE_AHEAD_BYTES);
		s->handshake_rc = step_handshake(s);
		if (s->handshake_rc < 0 && s->handshake_rc != GNUTLS_E_AGAIN)
			send_alert(s, s->handshake_rc);
		tlsio_wire_leave(&s->wire);
		if (s->handshake_rc >= 0)
			finish_handshake(s);
	} else if (s->handshake_rc >= 0) {
		tlsio_wire_enter(&s->wire, 0);
		tlsio_wire_leave(&s->wire);
	}
	s->wants = tlsio_wire_has_output(&s->wire) ? TLSIO_WRITE : TLSIO_READ;
	if (s->wire.broken && s->handshake_rc >= 0)
		s->handshake_rc = GNUTLS_E_PUSH_ERROR;
	if (s->handshake_rc == GNUTLS_E_AGAIN && !s->wire.broken)
		return TLSIO_IO_AGAIN;
	if (s->handshake_rc < 0)
		return fail_handshake(s, err);
	/* Our last flight may still wait for room. */
	return tlsio_wire_has_output(&s->wire) ? TLSIO_IO_AGAIN : TLSIO_IO_DONE;
}

unsigned tlsio_session_wants(const struct tlsio_session *s)
{
	return s->wants;
}

const struct tlsio_peer *tlsio_session_peer(struct tlsio_session *s)
{
	assert(s->handshake_rc >= 0);
	if (s->peer)
		return s->peer;
	struct tlsio_peer_against against = { 0 };
	if (s->server) {
		against.trust = s->server->client_trust;
		against.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	} else {
		against.trust = s->client->trust;
		against.purpose = GNUTLS_KP_TLS_WWW_SERVER;
		against.names = s->client->names;
		against.name_count = s->client->name_count;
		against.server_name = s->client->server_name;
	}
	s->peer = tlsio_peer_make(s->tls, &against);
	return s->peer;
}

/* --- records ---------------------------------------------------------------------------------- */

static enum tlsio_io tell_read_end(struct tlsio_session *s, struct err *err)
{
	struct tlsio_failure failure = failure_of(s, s->read_rc, false);
	if (s->read_rc == 1)
		return TLSIO_IO_END;
	tlsio_failure_tell(&failure, s->tls, err);
	if (!s->wire.broken && s->read_rc == GNUTLS_E_PREMATURE_TERMINATION)
		return TLSIO_IO_TRUNCATED;
	return TLSIO_IO_FAILED;
}

/* One record's bytes (or what is left of them); 0 = wait, -1 = read_rc says how it ended. */
static ssize_t read_some(struct tlsio_session *s, void *into, size_t capacity)
{
	for (;;) {
		ssize_t count = gnutls_record_recv(s->tls, into, capacity);
		if (count > 0)
			return count;
		/* GnuTLS says so too after a message of its own, a key update for one; what lies
		 * behind it must be read now, for no event will tell of it. */
		if (count == GNUTLS_E_AGAIN && tlsio_wire_has_input(&s->wire))
			continue;
		if (count == GNUTLS_E_AGAIN)
			return 0;
		/* A warning says nothing we act on, but a flood of them would keep us here;
		 * close_notify comes as 0. */
		if (count == GNUTLS_E_INTERRUPTED ||
			(count == GNUTLS_E_WARNING_ALERT_RECEIVED && ++s->warnings < MAX_WARNINGS))
			continue;
		s->read_rc = count == 0 ? 1 : (int)count;
		if (count < 0)
			send_alert(s, (int)count);
		return -1;
	}
}

static enum tlsio_io read_records(struct tlsio_session *s, void *into, size_t capacity,
	bool is_inside_only, size_t *ret_count, struct err *err)
{
	size_t total = 0;
	*ret_count = 0;
	/* Never WRITE: with output waiting too, two peers that both only write would stand still. */
	s->wants = TLSIO_READ;
	if (s->read_rc)
		return tell_read_end(s, err);
	tlsio_wire_enter(&s->wire, capacity);
	s->wire.is_drained = is_inside_only;
	while (total < capacity) {
		ssize_t count = read_some(s, (char *)into + total, capacity - total);
		if (count <= 0)
			break;
		total += (size_t)count;
		s->wire.ahead_bytes = capacity - total;
	}
	tlsio_wire_leave(&s->wire);
	remember_session(s);
	*ret_count = total;
	if (total > 0)
		return TLSIO_IO_DONE;
	return s->read_rc ? tell_read_end(s, err) : TLSIO_IO_AGAIN;
}

enum tlsio_io tlsio_session_read(
	struct tlsio_session *s, void *into, size_t capacity, size_t *ret_count, struct err *err)
{
	return read_records(s, into, capacity, false, ret_count, err);
}

enum tlsio_io tlsio_session_read_inside(
	struct tlsio_session *s, void *into, size_t capacity, size_t *ret_count, struct err *err)
{
	return read_records(s, into, capacity, true, ret_count, err);
}

static enum tlsio_io tell_broken(struct tlsio_session *s, int rc, struct err *err)
{
	struct tlsio_failure failure = failure_of(s, rc, false);
	tlsio_failure_tell(&failure, s->tls, err);
	return TLSIO_IO_FAILED;
}

/* With our first bytes, so never before the client's Finished: GnuTLS by itself sends tickets with
 * its own, and there are peers (Exchange Online, since 2024) that abort then. Costs no packet. */
static void send_tickets(struct tlsio_session *s)
{
	s->owes_tickets = false;
	unsigned count = gnutls_session_is_resumed(s->tls) ? 1 : TICKETS_OF_FULL_HANDSHAKE;
	gnutls_session_ticket_send(s->tls, count, 0);
}

enum tlsio_io tlsio_session_write(struct tlsio_session *s, const void *bytes, size_t length,
	size_t *ret_count, struct err *err)
{
	size_t total = 0;
	ssize_t count = 0;
	s->wants = TLSIO_WRITE;
	tlsio_wire_enter(&s->wire, 0);
	if (s->owes_tickets)
		send_tickets(s);
	while (total < length && !tlsio_wire_has_output(&s->wire) && !s->wire.broken) {
		size_t part = length - total < RECORD_BYTES ? length - total : RECORD_BYTES;
		count = gnutls_record_send(s->tls, (const char *)bytes + total, part);
		if (count == GNUTLS_E_INTERRUPTED || count == GNUTLS_E_AGAIN)
			continue;
		if (count < 0)
			break;
		total += (size_t)count;
	}
	tlsio_wire_leave(&s->wire);
	*ret_count = total;
	if (s->wire.broken || count < 0)
		return tell_broken(s, (int)count, err);
	return tlsio_wire_has_output(&s->wire) ? TLSIO_IO_AGAIN : TLSIO_IO_DONE;
}

enum tlsio_io tlsio_session_flush(struct tlsio_session *s, struct err *err)
{
	s->wants = TLSIO_WRITE;
	if (tlsio_wire_has_output(&s->wire)) {
		tlsio_wire_enter(&s->wire, 0);
		tlsio_wire_leave(&s->wire);
	}
	if (s->wire.broken)
		return tell_broken(s, GNUTLS_E_PUSH_ERROR, err);
	return tlsio_wire_has_output(&s->wire) ? TLSIO_IO_AGAIN : TLSIO_IO_DONE;
}

size_t tlsio_session_pending(const struct tlsio_session *s)
{
	/* An end that came right behind bytes is not told yet, and no event will come for it. */
	if (s->read_rc)
		return 1;
	size_t inside = gnutls_record_check_pending(s->tls);
	if (inside == 0 && tlsio_wire_has_record(&s->wire))
		inside = s->wire.in.length;
	return inside;
}

enum tlsio_io tlsio_session_bye(struct tlsio_session *s)
{
	s->wants = TLSIO_WRITE;
	tlsio_wire_enter(&s->wire, 0);
	if (!s->has_said_bye && s->handshake_rc >= 0 && !s->wire.broken) {
		s->has_said_bye = true;
		gnutls_bye(s->tls, GNUTLS_SHUT_WR);
	}
	tlsio_wire_leave(&s->wire);
	if (s->wire.broken)
		return TLSIO_IO_FAILED;
	return tlsio_wire_has_output(&s->wire) ? TLSIO_IO_AGAIN : TLSIO_IO_DONE;
}
