/* dns_message: the bytes of a DNS answer into a struct dns_answer. Pure.
 *
 * For:     dns.
 * Promise: any bytes are taken; nothing is read beyond them; compression pointers lead backwards
 *          only; a CNAME chain is followed inside the message, ALIASES_MOST links at most; what does
 *          not hold together is FAILED, never "nothing there". Work is bounded by the message.
 * Source:  RFC 1035 4, RFC 2181 5 and 8 (TTL), RFC 2308 3 and 5 (TTL of "nothing"), RFC 6698 2.1.
 */
#ifndef POLICY_DNS_DNS_MESSAGE_H
#define POLICY_DNS_DNS_MESSAGE_H

#include "libtlsio/base/arena.h"
#include "policy/dns/dns.h"

enum {
	DNS_MESSAGE_ALIASES_MOST = 16,
	DNS_MESSAGE_TTL_MOST_S = 86400,
	DNS_MESSAGE_TTL_NO_SOA_S = 60, /* nothing there, and for how long is not said */
};

/* The answer to the question (name, type), in arena; only its security is left to the caller
 * (INSECURE). name as in dns_ask. */
void dns_message_read(struct str message, const char *name, enum dns_type type,
	struct arena *arena, struct dns_answer *ret);

/* Fits the question (1 to 63 bytes a label, at most 253 in all, letters, digits, "-" and "_" only)
 * or is ".". */
bool dns_message_is_name(struct str name);

/* "NOERROR", "SERVFAIL", ...; others "error 11". Static, or arena's. */
const char *dns_message_code_name(unsigned code, struct arena *arena);

#endif
