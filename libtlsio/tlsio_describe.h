/* tlsio_describe: one certificate in words, for people who look into a chain.
 *
 * Promise: text is what the certificate says, cut to its room; it may hold any bytes but NUL: clean
 *          it before showing.
 */
#ifndef LIBTLSIO_TLSIO_DESCRIBE_H
#define LIBTLSIO_TLSIO_DESCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

struct tlsio_description {
	char subject[400]; /* RFC 4514 text; "" none */
	char issuer[400];
	int64_t not_before_s; /* seconds since 1970 */
	int64_t not_after_s;
	char key[64];	    /* "EC/ECDSA, 256 bits" */
	char signature[64]; /* "ECDSA-SHA256": how its issuer signed it */
	bool is_authority;  /* it may sign others (CA flag) */
	bool is_self_issued; /* subject and issuer are the same */
};

/* False when the DER is no certificate. */
bool tlsio_describe(struct str der, struct tlsio_description *ret);

#endif
