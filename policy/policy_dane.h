/* policy_dane: TLSA records: which are usable, which count, does a peer match? Pure.
 *
 * For:     policy_combine (outcome of a look-up), policy_judge (facts against records).
 * Source:  RFC 6698, RFC 7671 (digest agility, section 9), RFC 7672 (SMTP, section 3).
 * Promise: never a match by a certificate the peer merely appended: a trust anchor counts when
 *          the chain leads to it from the leaf. Usages 0 and 1 are unusable (RFC 7672 3.1.3).
 */
#ifndef POLICY_POLICY_DANE_H
#define POLICY_POLICY_DANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"

enum {
	POLICY_TLSA_TA = 2, /* DANE-TA: a trust anchor */
	POLICY_TLSA_EE = 3, /* DANE-EE: the host's own certificate or key */
	POLICY_TLSA_FULL = 0, POLICY_TLSA_SHA256 = 1, POLICY_TLSA_SHA512 = 2, /* matching types */
	POLICY_TLSA_CERTIFICATE = 0, POLICY_TLSA_KEY = 1,			/* selectors */
	POLICY_TLSA_MOST = 32,		/* records of one set that are looked at */
	POLICY_TLSA_DATA_BYTES = 8192,	/* most association data of one record */
	POLICY_DANE_PATHS_MOST = 12,	/* ways to an anchor that one match verifies: each costs */
};

struct policy_tlsa {
	uint8_t usage, selector, matching;
	struct str data; /* association data; whose it is says the holder */
};

/* RDATA of a TLSA record (RFC 6698 2.1): false when shorter than four bytes. Borrows the bytes. */
bool policy_dane_parse(struct str rdata, struct policy_tlsa *ret);
/* "3 1 1 0123..." (R8's form, lower case), cut with "..." where it does not fit. Returns into. */
const char *policy_dane_format(const struct policy_tlsa *tlsa, char *into, size_t capacity);
/* Known usage (2, 3), selector and matching type, digest length right, full data parses as what it
 * should be (D13). */
bool policy_dane_is_usable(const struct policy_tlsa *tlsa);
/* Those that count, POLICY_TLSA_MOST at most: unusable ones dropped first, then per (usage, selector) Full and the strongest
 * digest only (D19). Order kept, duplicates dropped. ret has room for count. Returns how many. */
size_t policy_dane_select(const struct policy_tlsa *records, size_t count, struct policy_tlsa *ret);

enum policy_dane_match {
	POLICY_DANE_MATCH,
	POLICY_DANE_NO_MATCH,	 /* no record fits the chain */
	POLICY_DANE_NAME,	 /* a trust anchor fits, but no name does */
	POLICY_DANE_EXPIRED,	 /* a trust anchor fits, but the chain below it is out of its time */
	POLICY_DANE_BROKEN,	 /* a trust anchor fits, but the chain does not lead to it */
	POLICY_DANE_NO_CERTIFICATE,
};
/* records: selected ones. names: reference names for usage 2 (D16). ret_index (may be NULL): the
 * record that matched. The most telling failure where none does. */
enum policy_dane_match policy_dane_match(const struct tlsio_peer *peer,
	const struct policy_tlsa *records, size_t count, char *const *names, size_t name_count,
	size_t *ret_index);

#endif
