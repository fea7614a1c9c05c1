/* tlsio_resume: session tickets (server) and remembered sessions (client).
 *
 * Server:  one 64-byte secret shared by all processes makes a ticket of one good at all others;
 *          GnuTLS derives the working keys from it by time and turns them over; give a fresh
 *          secret each day (old tickets then fall back to a full handshake). In TLS 1.3 tickets
 *          leave with the server's first bytes.
 * Client:  a bounded cache. The key must say everything that the verdict depended on
 *          (host, address, requirement, identity): GnuTLS skips verification on resumption and
 *          accepts another SNI, so a session must never cross requirements.
 */
#ifndef LIBTLSIO_TLSIO_RESUME_H
#define LIBTLSIO_TLSIO_RESUME_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

#define TLSIO_TICKET_SECRET_BYTES 64

struct tlsio_tickets; /* server side; shared by reference */
struct tlsio_tickets *tlsio_tickets_new(
	const uint8_t secret[TLSIO_TICKET_SECRET_BYTES], int lifetime_s);
/* Cryptographically random. */
void tlsio_tickets_make_secret(uint8_t ret_secret[TLSIO_TICKET_SECRET_BYTES]);
struct tlsio_tickets *tlsio_tickets_ref(struct tlsio_tickets *t);
void tlsio_tickets_unref(struct tlsio_tickets **t);

struct tlsio_session_cache; /* client side; one per loop, not shared between threads */
struct tlsio_session_cache *tlsio_session_cache_new(size_t max_entries, int64_t max_age_s);
void tlsio_session_cache_free(struct tlsio_session_cache **cache);
void tlsio_session_cache_forget(struct tlsio_session_cache *cache, struct str key);

#endif
