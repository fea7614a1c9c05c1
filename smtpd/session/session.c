#include "smtpd/session/session.h"

#include <limits.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "smtpd/session/session_client.h"
#include "smtpd/session/session_log.h"
#include "smtpd/session/session_reply.h"
#include "smtpd/session/session_service.h"

/* ---- settings, shared ------------------------------------------------------------------------- */

static struct session_snapshot *snapshot_new(const struct session_settings *settings)
{
	struct session_snapshot *s = mem_zero(sizeof(*s));
	s->settings = settings;
	s->uses = 1;
	return s;
}

static void snapshot_unref(struct session_snapshot *s)
{
	if (--s->uses)
		return;
	void (*on_unused)(void *) = s->on_unused;
	void *ctx = s->ctx;
	free(s);
	if (on_unused)
		on_unused(ctx);
}

void session_service_set_settings(struct session_service *service,
	const struct session_settings *settings, void (*on_unused)(void *ctx), void *ctx)
{
	struct session_snapshot *old = service->current;
	/* right after _new: the same settings, and now somebody to tell of their end */
	if (old->settings != settings || old->on_unused)
		service->current = snapshot_new(settings);
	service->current->on_unused = on_unused;
	service->current->ctx = ctx;
	if (service->current != old)
		snapshot_unref(old);
}

/* ---- the service ------------------------------------------------------------------------------ */

static void on_idle_turn(void *ctx)
{
	struct session_service *service = ctx;
	void (*on_idle)(void *) = service->on_idle;
	service->on_idle = NULL;
	if (on_idle)
		on_idle(service->on_idle_ctx);
}

/* The rest is for what our own work needs: a spool that can open nothing stops, a relay that cannot
 * dial fails, and no client shall bring that about. */
static int descriptors_for_clients(void)
{
	long all = process_descriptors();
	return all > INT_MAX ? INT_MAX : (int)(all / 4 * 3);
}

struct session_service *session_service_new(struct tlsio_loop *loop, struct spool *spool,
	const struct session_settings *settings, const struct session_gate *gate, void *gate_ctx)
{
	struct session_service *service = mem_zero(sizeof(*service));
	service->loop = loop;
	service->spool = spool;
	service->gate = gate;
	service->gate_ctx = gate_ctx;
	service->current = snapshot_new(settings);
	service->limits = session_limits_new();
	service->descriptors_most = descriptors_for_clients();
	list_init(&service->clients);
	tlsio_turn_init(&service->idle_turn, loop, on_idle_turn, service);
	return service;
}

void session_service_free(struct session_service **service)
{
	struct session_service *s = *service;
	if (!s)
		return;
	LIST_EACH_SAFE (node, &s->clients)
		session_client_abort(LIST_OWNER(node, struct session_client, link));
	tlsio_turn_cancel(&s->idle_turn);
	session_limits_free(&s->limits);
	snapshot_unref(s->current);
	free(s);
	*service = NULL;
}

void session_service_leave(struct session_service *service, struct session_snapshot *snapshot,
	const struct netaddr *client)
{
	session_limits_leave(service->limits, client);
	service->counters.open_sessions--;
	if (service->on_idle && list_is_empty(&service->clients))
		tlsio_turn_request(&service->idle_turn);
	snapshot_unref(snapshot);
}

/* ---- accepting -------------------------------------------------------------------------------- */

/* One line and good-bye, without a session. Under TLS there is nobody who could read it. */
static void turn_away(struct session_service *service, const struct session_listener *listener,
	struct tlsio_transport *transport, const struct netaddr *remote, const char *enhanced,
	const char *words)
{
	char line[SESSION_REPLY_BYTES];
	service->counters.refused_connections++;
	session_log_turned_away(remote, words);
	if (listener->tls != SESSION_TLS_IMPLICIT) {
		size_t length = session_reply_format(line, 421, enhanced, words);
		struct iovec part = { .iov_base = line, .iov_len = length };
		/* an empty socket takes a line at once; a client that it does not reach sees the end */
		(void)transport->kind->write(transport, &part, 1);
	}
	transport->kind->shutdown(transport);
	transport->kind->free(transport);
}

void session_service_accept_transport(struct session_service *service,
	const struct session_listener *listener, struct tlsio_transport *transport,
	const struct netaddr *local, const struct netaddr *remote)
{
	const struct session_settings *settings = service->current->settings;
	service->counters.connections++;
	if (service->is_draining) {
		turn_away(service, listener, transport, remote, "4.3.2", "shutting down, come again");
		return;
	}
	switch (session_limits_enter(service->limits, remote, settings->connections,
		settings->connections_per_client)) {
	case SESSION_LIMITS_TOTAL:
		turn_away(service, listener, transport, remote, "4.3.2",
			"too many connections, come again");
		return;
	case SESSION_LIMITS_CLIENT:
		turn_away(service, listener, transport, remote, "4.7.0",
			"too many connections from your network");
		return;
	case SESSION_LIMITS_OK:
		break;
	}
	service->counters.open_sessions++;
	service->current->uses++;
	session_client_start(service, service->current, listener, transport, local, remote);
}

void session_service_accept(struct session_service *service,
	const struct session_listener *listener, int fd, const struct netaddr *local,
	const struct netaddr *remote)
{
	struct tlsio_transport *transport = tlsio_transport_socket(service->loop, fd);
	/* the kernel gives the lowest free number: it tells how many there are of every kind, closing
	 * connections too */
	if (fd >= service->descriptors_most) {
		service->counters.connections++;
		turn_away(service, listener, transport, remote, "4.3.2",
			"too many connections, come again");
		return;
	}
	session_service_accept_transport(service, listener, transport, local, remote);
}

/* ---- the end ---------------------------------------------------------------------------------- */

void session_service_drain(struct session_service *service, void (*on_idle)(void *ctx), void *ctx)
{
	service->is_draining = true;
	service->on_idle = on_idle;
	service->on_idle_ctx = ctx;
	LIST_EACH_SAFE (node, &service->clients)
		session_client_drain(LIST_OWNER(node, struct session_client, link));
	if (list_is_empty(&service->clients))
		tlsio_turn_request(&service->idle_turn);
}

void session_service_counters(const struct session_service *service, struct session_counters *ret)
{
	*ret = service->counters;
	/* counters of open sessions are added as they are, so that a long one is not missed */
	LIST_EACH (node, &service->clients) {
		const struct session_client *c = LIST_OWNER(node, struct session_client, link);
		ret->messages += c->machine.accepted;
		ret->refused_messages += c->machine.refused;
	}
}
