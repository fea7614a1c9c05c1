#include "libtlsio/tlsio_session.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_failure.h"
#include "libtlsio/tlsio_parts.h"
#include "libtlsio/tlsio_peer_make.h"
#include "libtlsio/tlsio_wire.h"

enum {
	RECORD_BYTES = 16384,	      /* RFC 8446 5.1 */
	HANDSHAKE_AHEAD_BYTES = 4096, /* a flight of the peer in one read */
	MESSAGE_CLIENT_HELLO = 1,
	DEFAULT_TICKET_LIFETIME_S = 21600,
	MAX_WARNINGS = 16,
	TICKETS_OF_FULL_HANDSHAKE = 2, /* clients connect in parallel */
};

#if GNUTLS_VERSION_NUMBER >= 0x030800
#define OWN_FLAGS (GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_STATUS_REQUEST)
#else
#define OWN_FLAGS (GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL)
#endif

struct tlsio_session {
	gnutls_session_t tls;
	struct tlsio_server *server; /* shares; one of the two */
	struct tlsio_client *client;
	struct tlsio_peer *peer; /* made when first asked for */
	struct tlsio_wire wire;
	int read_rc;	  /* how reading ended, told again and again; 0 = it has not */
	int handshake_rc; /* GNUTLS_E_AGAIN until the handshake is over */
	unsigned offered; /* versions in the peer's ClientHello */
	uint8_t wants;	  /* what the last AGAIN waits for */
	uint8_t warnings; /* alerts of that level received */
	bool owes_tickets; /* a server's, until it first writes */
	bool has_said_bye;
	bool has_stored; /* this session is in the client's cache */
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

/* --- making one ------------------------------------------------------------------------------ */

static int on_handshake_message(gnutls_session_t tls, unsigned type, unsigned when,
	unsigned is_incoming, const gnutls_datum_t *message)
{
	struct tlsio_session *s = gnutls_session_get_ptr(tls);
	if (when != GNUTLS_HOOK_PRE)
		return 0;
	if (type == MESSAGE_CLIENT_HELLO && is_incoming)
		s->offered = tlsio_failure_offered_versions(message);
	if (s->wire.tracer)
		tlsio_tracer_message(s->wire.tracer, is_incoming, (uint8_t)type, message->size);
	return 0;
}

/* The name is known now and no certificate chosen yet. */
static int on_client_hello(gnutls_session_t tls)
{
	struct tlsio_session *s = gnutls_session_get_ptr(tls);
	char name[256];
	size_t length = sizeof(name);
	unsigned type;
	if (gnutls_server_name_get(tls, name, &length, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
		return 0;
	gnutls_certificate_credentials_t chosen = tlsio_certstore_for_name(s->server->certificates,
		str_from(name, strnlen(name, length)));
	return gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, chosen);
}

static void start_trace(struct tlsio_session *s,
	void (*trace)(void *ctx, const struct tlsio_trace_event *event), void *ctx)
{
	/* Without a trace only the server's look at the ClientHello is left. */
	gnutls_handshake_set_hook_function(s->tls,
		trace ? GNUTLS_HANDSHAKE_ANY : GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
		on_handshake_message);
	if (!trace)
		return;
	s->wire.tracer = mem_zero(sizeof(*s->wire.tracer));
	s->wire.tracer->trace = trace;
	s->wire.tracer->ctx = ctx;
}

static struct tlsio_session *session_new(unsigned flags, const struct tlsio_priority *priority,
	struct tlsio_transport *transport, struct err *err)
{
	struct tlsio_session *s = mem_zero(sizeof(*s));
	int rc = gnutls_init(&s->tls, flags | OWN_FLAGS);
	if (rc >= 0)
		rc = gnutls_priority_set(s->tls, tlsio_priority_gnutls(priority));
	if (rc < 0) {
		err_set(err, ERR_TLS, "a TLS session cannot be made: %s", gnutls_strerror(rc));
		gnutls_deinit(s->tls);
		free(s);
		return NULL;
	}
	s->handshake_rc = GNUTLS_E_AGAIN;
	gnutls_session_set_ptr(s->tls, s);
	tlsio_wire_attach(&s->wire, s->tls, transport);
	return s;
}

static int set_up_server(struct tlsio_session *s)
{
	const struct tlsio_server *server = s->server;
	int rc = gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE,
		tlsio_certstore_for_name(server->certificates, STR("")));
	if (rc < 0)
		return rc;
	if (server->tickets) {
		int lifetime_s = server->tickets->lifetime_s;
		gnutls_db_set_cache_expiration(s->tls,
			lifetime_s > 0 ? lifetime_s : DEFAULT_TICKET_LIFETIME_S);
		rc = gnutls_session_ticket_enable_server(s->tls, &server->tickets->secret);
		if (rc < 0)
			return rc;
	}
	/* Asked for, never insisted on: what to make of it is the caller's judgement. */
	gnutls_certificate_server_set_request(s->tls,
		server->client_trust ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
	gnutls_handshake_set_post_client_hello_function(s->tls, on_client_hello);
	start_trace(s, server->trace, server->trace_ctx);
	return 0;
}

struct tlsio_session *tlsio_session_new_server(struct tlsio_server *server,
	struct tlsio_transport *transport, struct err *err)
{
	struct tlsio_session *s = session_new(
		GNUTLS_SERVER |
			(server->tickets ? GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_NO_TICKETS),
		server->priority, transport, err);
	if (!s)
		return NULL;
	s->server = tlsio_server_ref(server);
	int rc = set_up_server(s);
	if (rc < 0) {
		err_set(err, ERR_TLS, "a TLS session cannot be made: %s", gnutls_strerror(rc));
		tlsio_session_free(&s);
	}
	return s;
}

static gnutls_certificate_credentials_t nothing_to_present;
static pthread_once_t nothing_to_present_once = PTHREAD_ONCE_INIT;

static void make_nothing_to_present(void)
{
	if (gnutls_certificate_allocate_credentials(&nothing_to_present) < 0)
		abort();
}

static int64_t steady_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static struct str cache_key(const struct tlsio_client *client)
{
	return str_from(client->cache_key, client->cache_key_length);
}

/* A stored session that GnuTLS cannot read any more only costs a full handshake. */
static void offer_resumption(struct tlsio_session *s)
{
	gnutls_datum_t stored;
	if (!s->client->cache || tlsio_session_cache_take(s->client->cache, cache_key(s->client),
					 steady_seconds(), &stored) < 0)
		return;
	gnutls_session_set_data(s->tls, stored.data, stored.size);
	gnutls_memset(stored.data, 0, stored.size);
	free(stored.data);
}

static int set_up_client(struct tlsio_session *s)
{
	const struct tlsio_client *client = s->client;
	pthread_once(&nothing_to_present_once, make_nothing_to_present);
	int rc = gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE,
		client->present ? tlsio_certstore_to_present(client->present) :
				  nothing_to_present);
	if (rc >= 0 && client->server_name)
		rc = gnutls_server_name_set(s->tls, GNUTLS_NAME_DNS, client->server_name,
			strlen(client->server_name));
	if (rc < 0)
		return rc;
	if (client->trace)
		start_trace(s, client->trace, client->trace_ctx);
	offer_resumption(s);
	return 0;
}

struct tlsio_session *tlsio_session_new_client(struct tlsio_client *client,
	struct tlsio_transport *transport, struct err *err)
{
	struct tlsio_session *s = session_new(GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT,
		client->priority, transport, err);
	if (!s)
		return NULL;
	s->client = tlsio_client_ref(client);
	int rc = set_up_client(s);
	if (rc < 0) {
		err_set(err, ERR_TLS, "a TLS session for %s cannot be made: %s",
			client->server_name ? client->server_name : "an address",
			gnutls_strerror(rc));
		tlsio_session_free(&s);
	}
	return s;
}

void tlsio_session_free(struct tlsio_session **session)
{
	struct tlsio_session *s = *session;
	*session = NULL;
	if (!s)
		return;
	tlsio_peer_free(&s->peer);
	gnutls_deinit(s->tls);
	tlsio_wire_clear(&s->wire);
	free(s->wire.tracer);
	tlsio_server_unref(&s->server);
	tlsio_client_unref(&s->client);
	free(s);
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
	tlsio_session_cache_store(s->client->cache, cache_key(s->client), steady_seconds(),
		gnutls_protocol_get_version(s->tls) == GNUTLS_TLS1_3, &data);
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
		if (count == GNUTLS_E_INTERRUPTED || (count == GNUTLS_E_WARNING_ALERT_RECEIVED &&
							     ++s->warnings < MAX_WARNINGS))
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

enum tlsio_io tlsio_session_read(struct tlsio_session *s, void *into, size_t capacity,
	size_t *ret_count, struct err *err)
{
	return read_records(s, into, capacity, false, ret_count, err);
}

enum tlsio_io tlsio_session_read_inside(struct tlsio_session *s, void *into, size_t capacity,
	size_t *ret_count, struct err *err)
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
