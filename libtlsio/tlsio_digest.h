/* tlsio_digest: SHA-256 and SHA-512, for those who may not know GnuTLS. */
#ifndef LIBTLSIO_TLSIO_DIGEST_H
#define LIBTLSIO_TLSIO_DIGEST_H

#include <stdint.h>

#include "libtlsio/base/str.h"

#define TLSIO_DIGEST_SHA256_BYTES 32
#define TLSIO_DIGEST_SHA512_BYTES 64

void tlsio_digest_sha256(struct str bytes, uint8_t ret[TLSIO_DIGEST_SHA256_BYTES]);
void tlsio_digest_sha512(struct str bytes, uint8_t ret[TLSIO_DIGEST_SHA512_BYTES]);

#endif
