/* relay_pool: idle connections and TLS wishes by the key of their hop.
 *
 * For:     relay only.
 * Promise: a connection is found again only under the key of the hop it was made and judged for
 *          (host, address, requirement) and as long as we are who we were, never by host alone. At
 *          most so many are idle; the one idle longest makes room.
 */
#ifndef SMTPD_RELAY_RELAY_POOL_H
#define SMTPD_RELAY_RELAY_POOL_H

#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_client.h"
#include "smtpd/relay/relay_connection.h"

struct relay_pool;

/* present: shares, may be NULL. */
struct relay_pool *relay_pool_new(struct tlsio_certstore *present, size_t idle_most);
/* No connection may be left. */
void relay_pool_free(struct relay_pool **pool);
/* Another client certificate: TLS wishes are made anew, and connections of another identity than
 * today's must not be put back; idle ones are the caller's to end. */
void relay_pool_set_present(struct relay_pool *pool, struct tlsio_certstore *present);
unsigned relay_pool_identity(const struct relay_pool *pool);

/* Gives back the one that has to go for it, or NULL. */
struct relay_connection *relay_pool_put(struct relay_pool *pool, struct relay_connection *c);
/* It ended while idle; harmless for one that was not. */
void relay_pool_remove(struct relay_pool *pool, struct relay_connection *c);
/* The one put last; NULL when there is none. */
struct relay_connection *relay_pool_take(struct relay_pool *pool, const char *key);
/* Any; NULL when there is none. */
struct relay_connection *relay_pool_take_any(struct relay_pool *pool);

/* What to wish of this hop. resumes: remember sessions. Gives a reference. */
struct tlsio_client *relay_pool_tls_client(struct relay_pool *pool, const struct relay_hop *hop,
	bool resumes, struct err *err);
/* Refused: its TLS sessions are not resumed, so that a mended certificate is seen at once. */
void relay_pool_forget(struct relay_pool *pool, const struct relay_hop *hop);

#endif
