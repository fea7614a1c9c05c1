/* relay_pool: idle connections and TLS wishes by destination key.
 *
 * For:     relay only.
 * Promise: a connection is found again only under the key of the destination it was made and
 *          judged for (next hop and requirement), never by host alone.
 */
#ifndef SMTPD_RELAY_RELAY_POOL_H
#define SMTPD_RELAY_RELAY_POOL_H

#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_client.h"
#include "smtpd/relay/relay_connection.h"

struct relay_pool;

/* present: shares, may be NULL. */
struct relay_pool *relay_pool_new(struct tlsio_certstore *present);
/* No connection may be left. */
void relay_pool_free(struct relay_pool **pool);
/* Another client certificate: TLS wishes are made anew. */
void relay_pool_set_present(struct relay_pool *pool, struct tlsio_certstore *present);

void relay_pool_put(struct relay_pool *pool, struct relay_connection *c);
/* It ended while idle; harmless for one that was not. */
void relay_pool_remove(struct relay_pool *pool, struct relay_connection *c);
/* The one put last; NULL when there is none. */
struct relay_connection *relay_pool_take(struct relay_pool *pool, const char *key);
/* Any; NULL when there is none. */
struct relay_connection *relay_pool_take_any(struct relay_pool *pool);

/* What to wish of this host at this address. resumes: remember sessions. Gives a reference. */
struct tlsio_client *relay_pool_tls_client(struct relay_pool *pool,
	const struct relay_destination *destination, const struct netaddr *remote, bool resumes,
	struct err *err);
/* Refused: its TLS sessions are not resumed, so that a mended certificate is seen at once. */
void relay_pool_forget(struct relay_pool *pool, const struct relay_destination *destination,
	const struct netaddr *remote);

#endif
