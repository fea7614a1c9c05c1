/* sts_fetch: one bounded GET of a policy file over HTTPS. libcurl on the loop.
 *
 * For:     sts. The only place that speaks HTTPS; addresses come from dns, never from libcurl.
 * Promise: https://mta-sts.<domain>/.well-known/mta-sts.txt only; status 200 and text/plain only; no
 *          redirect, proxy, HTTP cache, netrc; TLS 1.2 or better; the name by SAN alone, unexpired,
 *          to the given authorities, looked at by libtlsio before the request is sent; at most STS_POLICY_BYTES_MOST of body and 16 KiB of header, one
 *          time limit over all of it; no private, loopback, link-local or multicast address unless
 *          allowed; at most 50 at a time (others wait their turn, inside their own limit), of which 10
 *          are kept free for policies in force, so that slow hosts of strangers do not let them run out.
 * Source:  RFC 8461 3.3; M6-M9.
 */
#ifndef POLICY_STS_STS_FETCH_H
#define POLICY_STS_STS_FETCH_H

#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/policy_judge.h"
#include "policy/sts/sts_policy.h"
#include "policy/sts/sts_settings.h"

struct sts_fetcher;
struct sts_fetch;

struct sts_fetched {
	struct sts_policy *policy; /* borrowed; NULL: failed */
	enum policy_reason reason; /* STS_POLICY_FETCH_ERROR, _INVALID, STS_WEBPKI_INVALID */
	const char *why;	   /* plain words: "https://... answered 301; redirects are not followed" */
};

struct sts_fetcher *sts_fetcher_new(struct tlsio_loop *loop, struct dns *dns,
	const struct sts_settings *settings, struct err *err);
void sts_fetcher_free(struct sts_fetcher **fetcher);
/* One event, later. domain: A-labels. is_in_force: it has a policy that this would renew. Never NULL. */
struct sts_fetch *sts_fetch_start(struct sts_fetcher *fetcher, const char *domain, bool is_in_force,
	void (*on_over)(void *ctx, const struct sts_fetched *result), void *ctx);
void sts_fetch_cancel(struct sts_fetch **fetch);

#endif
