#include "libtlsio/tlsio_digest.h"

#include <stdlib.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

void tlsio_digest_sha256(struct str bytes, uint8_t ret[TLSIO_DIGEST_SHA256_BYTES])
{
	/* Only a broken library fails here; a made-up digest would compare equal to another. */
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.at, bytes.length, ret) < 0)
		abort();
}

void tlsio_digest_sha512(struct str bytes, uint8_t ret[TLSIO_DIGEST_SHA512_BYTES])
{
	if (gnutls_hash_fast(GNUTLS_DIG_SHA512, bytes.at, bytes.length, ret) < 0)
		abort();
}
