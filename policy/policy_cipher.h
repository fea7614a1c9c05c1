/* policy_cipher: cipher suites under their two names. Pure.
 *
 * For:     policy_inbound_demand: rules name suites as IANA does (TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA) or as
 *          OpenSSL does (ECDHE-RSA-AES128-SHA); peers are told of in either way.
 * Pattern: a name in any case, or one with "*" for any letters ("*CBC*", "TLS_RSA_*"), which fits when
 *          either name of the suite does.
 */
#ifndef POLICY_POLICY_CIPHER_H
#define POLICY_POLICY_CIPHER_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

struct policy_cipher {
	uint16_t id;	     /* IANA code */
	uint16_t bits;	     /* of the key, as OpenSSL counts them: 3DES has 112, NULL 0 */
	const char *name;    /* IANA */
	const char *openssl; /* NULL: the same */
};

/* NULL: not known here (there are none with PSK or SRP, which no mail server speaks). */
const struct policy_cipher *policy_cipher_find(struct str name);
const struct policy_cipher *policy_cipher_of_id(uint16_t id);

/* The pattern fits the suite of this name; an unknown name is held against it as it is. */
bool policy_cipher_matches(const char *pattern, struct str name);
/* Refuses what fits no suite at all: a slip of the pen in a list would let everything through. */
int policy_cipher_check_pattern(const char *pattern, struct err *err);

#endif
