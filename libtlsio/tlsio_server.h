/* tlsio_server: what we wish as a TLS server. Immutable, shared by reference.
 *
 * Promise: TLS 1.2 and 1.3 only; 1.0 and 1.1 cannot be asked for. No 0-RTT (RFC 9325 3.10 and no
 *          profile for SMTP). Running sessions keep the snapshot they began with.
 */
#ifndef LIBTLSIO_TLSIO_SERVER_H
#define LIBTLSIO_TLSIO_SERVER_H

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_resume.h"
#include "libtlsio/tlsio_trace.h"
#include "libtlsio/tlsio_trust.h"

struct tlsio_server;

struct tlsio_server_wishes {
	enum tlsio_version minimum;           /* 0 = TLS 1.2 */
	const char *priority;                 /* GnuTLS words appended to ours; NULL none */
	struct tlsio_certstore *certificates; /* shares; required */
	struct tlsio_tickets *tickets;        /* shares; NULL = no tickets */
	struct tlsio_trust *client_trust;     /* shares; not NULL = ask for a client certificate
					       * (never insist) and verify it against this */
	void (*trace)(void *ctx, const struct tlsio_trace_event *event); /* NULL none */
	void *trace_ctx;
};

struct tlsio_server *tlsio_server_new(const struct tlsio_server_wishes *wishes, struct err *err);
struct tlsio_server *tlsio_server_ref(struct tlsio_server *server);
void tlsio_server_unref(struct tlsio_server **server);

#endif
