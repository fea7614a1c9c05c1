/* tlsio_certstore: our certificates: name -> chain and key. An immutable snapshot, shared.
 *
 * For:     tlsio_server (by SNI) and tlsio_client (the one to present).
 * Promise: by SNI the chain whose SAN matches; unknown or absent SNI gets the fallback, the first
 *          one added (RFC 7672 8.1, RFC 8461 7.1: an SMTP server never aborts for the name).
 *          ECDSA and RSA side by side for one name: ECDSA where the client can.
 */
#ifndef LIBTLSIO_TLSIO_CERTSTORE_H
#define LIBTLSIO_TLSIO_CERTSTORE_H

#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

struct tlsio_certstore;
struct tlsio_certstore_builder;

struct tlsio_certstore_builder *tlsio_certstore_builder_new(void);
/* PEM texts: the chain (leaf first) and its private key. names for errors. Checks that key and
 * leaf belong together and that the chain is in order. */
int tlsio_certstore_builder_add(struct tlsio_certstore_builder *b, const char *chain_name,
	struct str chain_pem, const char *key_name, struct str key_pem, struct err *err);
/* Gives the snapshot and frees the builder; NULL when nothing was added. */
struct tlsio_certstore *tlsio_certstore_builder_finish(
	struct tlsio_certstore_builder **b, struct err *err);
void tlsio_certstore_builder_free(struct tlsio_certstore_builder **b);

struct tlsio_certstore *tlsio_certstore_ref(struct tlsio_certstore *store);
void tlsio_certstore_unref(struct tlsio_certstore **store);

/* The soonest expiry of all leaves, seconds since 1970: for warnings. */
int64_t tlsio_certstore_not_after_s(const struct tlsio_certstore *store);

#endif
