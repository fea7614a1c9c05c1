/* sts: the MTA-STS policy that is in force for a domain: record, cache, fetch, refresh.
 *
 * For:     policy/plan.
 * Promise: one event per question, later, unless cancelled; questions for one domain in flight are
 *          joined; an unexpired policy is never relaxed by any error (RFC 8461 3.3; M4, M18, M20); a
 *          new id is looked for whenever the TXT answer's TTL (at least 60 s) is over; the first
 *          contact waits at most settings' first_wait; fetches go on in the background; live
 *          policies are fetched again about daily, each domain at its own time of day; one id is
 *          tried again after 5 min, growing to 1 h.
 * Source:  RFC 8461 3.3, 5.1, 10.2; the decision table TXT x cache in sts.c.
 */
#ifndef POLICY_STS_STS_H
#define POLICY_STS_STS_H

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/policy_judge.h"
#include "policy/sts/sts_cache.h"
#include "policy/sts/sts_fetch.h"
#include "policy/sts/sts_settings.h"

struct sts;
struct sts_question;

struct sts_answer {
	struct sts_policy *policy; /* borrowed; in force, mode none included; NULL: none */
	char id[STS_ID_BYTES];	   /* it was fetched for */
	int64_t fetched_s, expires_s; /* wall clock; 0 without policy */
	/* The TXT record as of now. */
	enum sts_record_result record;
	enum dns_result record_result;
	enum dns_security record_security;
	char record_id[STS_ID_BYTES];
	uint32_t record_ttl_s;	   /* ask again after this, whatever else: at least 60 */
	/* The last try to fetch that went wrong, if it is newer than the policy (M22: reportable). */
	enum policy_reason failure_reason; /* NONE: no trouble */
	int64_t failed_s;
	char failure[160];
	bool is_waiting; /* a fetch is still under way: no policy yet (M23); do not keep this answer long */
};

struct sts_events {
	void (*on_warning)(void *ctx, const char *words); /* one line for the log: a refresh that fails
							   * while an enforce policy runs out, a damaged cache */
	/* Something changed for this domain (new policy): forget plans made from the old one. */
	void (*on_change)(void *ctx, const char *domain);
};

/* cache_mode READ_ONLY: for posternctl beside a running daemon. */
struct sts *sts_new(struct tlsio_loop *loop, struct dns *dns, const struct sts_settings *settings,
	enum sts_cache_mode cache_mode, const struct sts_events *events, void *ctx, struct err *err);
void sts_free(struct sts **sts);
/* domain: A-labels. Never NULL. answer borrowed for the call. */
struct sts_question *sts_ask(struct sts *sts, const char *domain,
	void (*on_answer)(void *ctx, const struct sts_answer *answer), void *ctx);
/* The policy in force at this moment, without a look-up; a reference for the caller. NULL: none is known. */
struct sts_policy *sts_known(struct sts *sts, const char *domain);
void sts_cancel(struct sts_question **question);

#endif
