/* tlsio_priority: which versions, suites and groups we offer and accept. Internal to libtlsio.
 *
 * For:     tlsio_server, tlsio_client.
 * Holds:   a small process-wide cache by (minimum, words), since a client object is made per
 *          destination; behind a lock, the one thing here that threads share.
 * Promise: TLS 1.2 and 1.3 alone, whatever the words say; forward secrecy and AEAD unless the words
 *          add others (RFC 9325 4.2).
 */
#ifndef LIBTLSIO_TLSIO_PRIORITY_H
#define LIBTLSIO_TLSIO_PRIORITY_H

#include <gnutls/gnutls.h>

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_peer.h"

struct tlsio_priority;

/* Shares. words: GnuTLS priority words appended to ours ("-GROUP-X25519:+AES-128-CBC"), or NULL. */
struct tlsio_priority *tlsio_priority_get(
	enum tlsio_version minimum, const char *words, struct err *err);
void tlsio_priority_unref(struct tlsio_priority **priority);
gnutls_priority_t tlsio_priority_gnutls(const struct tlsio_priority *priority);
/* TLSIO_PRIORITY_BIT of each version it takes. */
unsigned tlsio_priority_versions(const struct tlsio_priority *priority);

/* A version as it stands on the wire (0x0301 .. 0x0304) as one bit. */
#define TLSIO_PRIORITY_BIT(wire_version) (1u << ((wire_version)-0x0301u))

#endif
