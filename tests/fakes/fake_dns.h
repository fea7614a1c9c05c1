/* fake_dns: policy/dns/dns.h without a network. Link it before policy/dns/libdns.a.
 *
 * For:     tests of policy/sts, policy/plan, policy/door and dns_check.
 * Promise: dns_new takes any settings, also NULL. An answer is what is set when it is delivered: at
 *          the end of the turn, never inside dns_ask. A name nobody set is answered NO_NAME,
 *          insecure, TTL 60 (fake_dns_set_default). Names are compared without case.
 *          dns_free asserts that every question is over or cancelled.
 */
#ifndef TESTS_FAKES_FAKE_DNS_H
#define TESTS_FAKES_FAKE_DNS_H

#include "policy/dns/dns.h"

/* FOUND. records, parted by '|':  A "192.0.2.1|192.0.2.2"  AAAA "2001:db8::1"  MX "10 mx1.example|20 ."
 * TLSA "3 1 1 00ff..." (hexadecimal)  TXT "v=STSv1; id=1;"  CNAME "target.example". TTL 3600. */
void fake_dns_set(struct dns *dns, const char *name, enum dns_type type, enum dns_security security,
	const char *records);
/* DNS_NO_DATA or DNS_NO_NAME. TTL 60. */
void fake_dns_set_none(struct dns *dns, const char *name, enum dns_type type, enum dns_result result,
	enum dns_security security);
/* FAILED; is_bogus: validation said so. */
void fake_dns_set_failed(struct dns *dns, const char *name, enum dns_type type, bool is_bogus,
	const char *why);
/* Any answer, copied deeply. Not from inside an answer to the same question. */
void fake_dns_set_answer(struct dns *dns, const char *name, enum dns_type type,
	const struct dns_answer *answer);
/* Nobody answers: FAILED after settings' timeout (10 s with settings NULL), by a timer of the loop. */
void fake_dns_set_silent(struct dns *dns, const char *name, enum dns_type type);
/* Another TTL, or age, for what was set. */
void fake_dns_set_ttl(struct dns *dns, const char *name, enum dns_type type, uint32_t ttl_s);
void fake_dns_set_age(struct dns *dns, const char *name, enum dns_type type, int64_t age_s);
/* name is a CNAME of target: questions of every type for it get target's answer (is_alias, canonical;
 * secure only where every link is); a question for the CNAME itself gets the target. */
void fake_dns_set_alias(struct dns *dns, const char *name, const char *target,
	enum dns_security security);
/* What a name that nobody set gets: NO_DATA, NO_NAME or FAILED. */
void fake_dns_set_default(struct dns *dns, enum dns_result result, enum dns_security security);

/* Questions for this wait, until released: then they get what is set. No time-out meanwhile. */
void fake_dns_hold(struct dns *dns, const char *name, enum dns_type type);
void fake_dns_release(struct dns *dns, const char *name, enum dns_type type);

/* Calls of dns_ask so far; cancelled ones count too. */
size_t fake_dns_count(struct dns *dns, const char *name, enum dns_type type);
size_t fake_dns_count_all(const struct dns *dns);
void fake_dns_reset_counts(struct dns *dns);
/* Neither answered nor cancelled. */
size_t fake_dns_in_flight(const struct dns *dns);

#endif
