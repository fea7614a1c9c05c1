#include "libtlsio/tlsio_server.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"

struct tlsio_server *tlsio_server_new(const struct tlsio_server_wishes *wishes, struct err *err)
{
	if (!wishes->certificates) {
		err_set(err, ERR_INPUT, "a TLS server needs a certificate");
		return NULL;
	}
	struct tlsio_priority *priority =
		tlsio_priority_get(wishes->minimum, wishes->priority, err);
	if (!priority)
		return NULL;
	struct tlsio_server *server = mem_zero(sizeof(*server));
	server->references = 1;
	server->minimum = wishes->minimum ? wishes->minimum : TLSIO_TLS12;
	server->priority = priority;
	server->certificates = tlsio_certstore_ref(wishes->certificates);
	server->tickets = wishes->tickets ? tlsio_tickets_ref(wishes->tickets) : NULL;
	server->client_trust = wishes->client_trust ? tlsio_trust_ref(wishes->client_trust) : NULL;
	server->trace = wishes->trace;
	server->trace_ctx = wishes->trace_ctx;
	return server;
}

struct tlsio_server *tlsio_server_ref(struct tlsio_server *server)
{
	server->references++;
	return server;
}

void tlsio_server_unref(struct tlsio_server **server)
{
	struct tlsio_server *s = *server;
	*server = NULL;
	if (!s || --s->references > 0)
		return;
	tlsio_priority_unref(&s->priority);
	tlsio_certstore_unref(&s->certificates);
	tlsio_tickets_unref(&s->tickets);
	tlsio_trust_unref(&s->client_trust);
	free(s);
}
