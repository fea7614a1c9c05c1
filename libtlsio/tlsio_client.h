/* tlsio_client: what we wish as a TLS client of one peer. Immutable, shared by reference.
 *
 * Promise: the handshake never fails because of the peer's certificate: the whole result is
 *          reported in tlsio_peer and the caller judges (opportunistic users go on, others hang
 *          up). It does fail below the minimum version, and where the certificate's own key usage
 *          forbids signing (GnuTLS insists).
 */
#ifndef LIBTLSIO_TLSIO_CLIENT_H
#define LIBTLSIO_TLSIO_CLIENT_H

#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_peer.h"
#include "libtlsio/tlsio_resume.h"
#include "libtlsio/tlsio_trace.h"
#include "libtlsio/tlsio_trust.h"

struct tlsio_client;

struct tlsio_client_wishes {
	enum tlsio_version minimum; /* 0 = TLS 1.2 */
	const char *priority;       /* GnuTLS words appended to ours; NULL none */
	const char *server_name;    /* SNI, an A-label host name; NULL none (address literal) */
	const char *const *names;   /* reference names in order of preference, A-labels; copied.
					 * ".example.net" = any host below example.net */
	size_t name_count;
	struct tlsio_trust *trust;         /* shares; NULL = chain is not checked (UNCHECKED) */
	struct tlsio_certstore *present;   /* shares; our client certificate; NULL none */
	struct tlsio_session_cache *cache; /* borrowed; NULL = no resumption */
	struct str cache_key;              /* copied; see tlsio_resume.h for what it must say */
	void (*trace)(void *ctx, const struct tlsio_trace_event *event); /* NULL none */
	void *trace_ctx;
};

struct tlsio_client *tlsio_client_new(const struct tlsio_client_wishes *wishes, struct err *err);
struct tlsio_client *tlsio_client_ref(struct tlsio_client *client);
void tlsio_client_unref(struct tlsio_client **client);

#endif
