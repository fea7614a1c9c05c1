/* dns: names asked, answers with a DNSSEC verdict. libunbound on the loop.
 *
 * For:     policy/sts, policy/plan, in postern-policyd and posternctl (never in a mail worker).
 * Holds:   one libunbound context (its cache, its sockets) on one loop through our own ub_event
 *          table: libunbound then never touches libevent.
 * Promise: one event per question, later, never inside dns_ask, unless cancelled; every question
 *          ends within settings' timeout; equal questions in flight are asked once; the number in
 *          flight is bounded (beyond it: FAILED at once, next turn).
 * Source:  RFC 4035 4.3 (secure, insecure, bogus), RFC 7672 2.1.1 (an error is no answer).
 */
#ifndef POLICY_DNS_DNS_H
#define POLICY_DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns_settings.h"

struct dns;

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };
const char *dns_type_name(enum dns_type type);

enum dns_result {
	DNS_FOUND,
	DNS_NO_DATA,	/* the name is there, nothing of this type */
	DNS_NO_NAME,	/* NXDOMAIN */
	DNS_FAILED,	/* SERVFAIL, time-out, malformed, bogus, over our limits: not an answer */
};
enum dns_security { DNS_INSECURE, DNS_SECURE, DNS_BOGUS };
/* "secure", "insecure", "bogus", "error" */
const char *dns_verdict_name(enum dns_result result, enum dns_security security);

enum { DNS_RECORDS_MOST = 100, DNS_NAME_BYTES = 256 };

struct dns_record {
	struct str data;		/* A: 4 bytes; AAAA: 16; TLSA: RDATA; TXT: the strings of one
					 * record joined (RFC 7208 3.3, RFC 8461 3.1) */
	unsigned preference;		/* MX */
	const char *name;		/* MX, CNAME: target, lower case, no trailing dot; "." the root.
					 * Bytes no host name has are kept escaped ("\046"): not dialled */
};

struct dns_answer {
	enum dns_result result;
	enum dns_security security;	/* DNS_BOGUS only with FAILED */
	const struct dns_record *records; /* FOUND; at most DNS_RECORDS_MOST, of MX the best */
	size_t count;
	size_t left_out_count;		/* records beyond the limit */
	const char *canonical;		/* name at the end of the CNAME chain; the asked name if none */
	bool is_alias;			/* a CNAME was followed */
	uint32_t ttl_s;			/* smallest on the way; negative answers: SOA's (RFC 2308) */
	int64_t age_s;			/* of the answer in our cache, if known; else 0 */
	const char *why;		/* FAILED: plain words with the cause ("SERVFAIL from ...",
					 * "signature expired"); "" otherwise */
};

/* settings: copied. Finalises the context. Errors: a trust anchor that cannot be read, a bad address. */
struct dns *dns_new(struct tlsio_loop *loop, const struct dns_settings *settings, struct err *err);
/* Questions must be cancelled before. */
void dns_free(struct dns **dns);

struct dns_question;
/* name: A-labels, no trailing dot; underscores allowed ("_25._tcp.mx.example.org"). answer is borrowed
 * for the call; the question is over: forget it. Never NULL. */
struct dns_question *dns_ask(struct dns *dns, const char *name, enum dns_type type,
	void (*on_answer)(void *ctx, const struct dns_answer *answer), void *ctx);
/* No event any more. Accepts NULL, sets NULL. */
void dns_cancel(struct dns_question **question);

#endif
