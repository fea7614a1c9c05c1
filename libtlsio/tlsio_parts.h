/* tlsio_parts: what the wishes hold, for those who make sessions of them. Internal to libtlsio.
 *
 * For:     tlsio_session and the files that own these structs; nobody outside.
 * Promise: the only header beside tlsio_wire.h and tlsio_verify.h that speaks GnuTLS.
 */
#ifndef LIBTLSIO_TLSIO_PARTS_H
#define LIBTLSIO_TLSIO_PARTS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_priority.h"
#include "libtlsio/tlsio_server.h"

struct tlsio_server {
	unsigned references;
	enum tlsio_version minimum;
	struct tlsio_priority *priority;
	struct tlsio_certstore *certificates;
	struct tlsio_tickets *tickets;
	struct tlsio_trust *client_trust;
	void (*trace)(void *ctx, const struct tlsio_trace_event *event);
	void *trace_ctx;
};

struct tlsio_client {
	unsigned references;
	enum tlsio_version minimum;
	struct tlsio_priority *priority;
	char *server_name;
	char **names;
	size_t name_count;
	struct tlsio_trust *trust;
	struct tlsio_certstore *present;
	struct tlsio_session_cache *cache;
	char *cache_key;
	size_t cache_key_length;
	void (*trace)(void *ctx, const struct tlsio_trace_event *event);
	void *trace_ctx;
};

struct tlsio_tickets {
	unsigned references;
	gnutls_datum_t secret;
	int lifetime_s;
};

/* tlsio_certstore: the chains for this SNI (empty: none sent), else the fallback's. Borrowed. */
gnutls_certificate_credentials_t tlsio_certstore_for_name(
	const struct tlsio_certstore *store, struct str server_name);
/* The one chain a client shows, whatever authorities the server names. Borrowed. */
gnutls_certificate_credentials_t tlsio_certstore_to_present(const struct tlsio_certstore *store);

gnutls_x509_trust_list_t tlsio_trust_list(const struct tlsio_trust *trust);

/* tlsio_resume: take a stored session (gives; a TLS 1.3 ticket is used once, RFC 8446 C.4, and
 * leaves the cache), or remember one (copies). now_s: any steady clock, in seconds. */
int tlsio_session_cache_take(
	struct tlsio_session_cache *cache, struct str key, int64_t now_s, gnutls_datum_t *ret);
void tlsio_session_cache_store(struct tlsio_session_cache *cache, struct str key, int64_t now_s,
	bool is_for_one_use, const gnutls_datum_t *session);

#endif
