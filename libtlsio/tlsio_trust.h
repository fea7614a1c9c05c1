/* tlsio_trust: the authorities a peer's chain may lead to. Immutable, shared by reference.
 */
#ifndef LIBTLSIO_TLSIO_TRUST_H
#define LIBTLSIO_TLSIO_TRUST_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_digest.h"

struct tlsio_trust;

/* The machine's roots (GnuTLS system trust). Costs about 10 ms: once per configuration. */
struct tlsio_trust *tlsio_trust_system(struct err *err);
/* Authorities from PEM text; `name` (a file name) is for the words of errors. */
struct tlsio_trust *tlsio_trust_pem(const char *name, struct str pem, struct err *err);
struct tlsio_trust *tlsio_trust_ref(struct tlsio_trust *trust);
void tlsio_trust_unref(struct tlsio_trust **trust);

/* What is trusted, whatever its order: equal for equal authorities. Costs some milliseconds. */
void tlsio_trust_sha256(const struct tlsio_trust *trust, uint8_t ret[TLSIO_DIGEST_SHA256_BYTES]);

#endif
