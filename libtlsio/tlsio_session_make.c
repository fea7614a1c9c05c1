#include "libtlsio/tlsio_session_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_failure.h"
#include "libtlsio/tlsio_peer_make.h"

enum { MESSAGE_CLIENT_HELLO = 1, DEFAULT_TICKET_LIFETIME_S = 21600 };

#define OWN_FLAGS (GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL)

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
	gnutls_certificate_credentials_t chosen = tlsio_certstore_for_name(
		s->server->certificates, str_from(name, strnlen(name, length)));
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
		gnutls_db_set_cache_expiration(
			s->tls, lifetime_s > 0 ? lifetime_s : DEFAULT_TICKET_LIFETIME_S);
		rc = gnutls_session_ticket_enable_server(s->tls, &server->tickets->secret);
		if (rc < 0)
			return rc;
	}
	/* Asked for, never insisted on: what to make of it is the caller's judgement. */
	gnutls_certificate_server_set_request(
		s->tls, server->client_trust ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
	gnutls_handshake_set_post_client_hello_function(s->tls, on_client_hello);
	start_trace(s, server->trace, server->trace_ctx);
	return 0;
}

struct tlsio_session *tlsio_session_new_server(
	struct tlsio_server *server, struct tlsio_transport *transport, struct err *err)
{
	struct tlsio_session *s = session_new(
		GNUTLS_SERVER | (server->tickets ? GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_NO_TICKETS),
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

/* A stored session that GnuTLS cannot read any more only costs a full handshake. */
static void offer_resumption(struct tlsio_session *s)
{
	gnutls_datum_t stored;
	if (!s->client->cache ||
		tlsio_session_cache_take(s->client->cache, tlsio_session_cache_key(s->client),
			tlsio_session_steady_s(), &stored) < 0)
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
		client->present ? tlsio_certstore_to_present(client->present) : nothing_to_present);
	if (rc >= 0 && client->server_name)
		rc = gnutls_server_name_set(
			s->tls, GNUTLS_NAME_DNS, client->server_name, strlen(client->server_name));
	if (rc < 0)
		return rc;
	if (client->trace)
		start_trace(s, client->trace, client->trace_ctx);
	offer_resumption(s);
	return 0;
}

struct tlsio_session *tlsio_session_new_client(
	struct tlsio_client *client, struct tlsio_transport *transport, struct err *err)
{
	struct tlsio_session *s = session_new(
		GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, client->priority, transport, err);
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
