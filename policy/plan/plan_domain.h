/* plan_domain: one question's look-ups, and the plan that they make.
 *
 * For:     plan_service.
 * How:     MX, then every host (plan_host) and the MTA-STS policy side by side; once everything is
 *          in, policy_combine says per host what it must show. When the time is up the plan is made
 *          of the hosts that are known; of none of them, it is a DEFER. Hosts of all domains
 *          together take turns at plan_places, so that domains with many silent hosts leave the
 *          resolver room for others.
 * Source:  RFC 5321 5.1 (MX), RFC 7505 (null MX), RFC 7672 2.2, RFC 8461 5.
 */
#ifndef POLICY_PLAN_PLAN_DOMAIN_H
#define POLICY_PLAN_PLAN_DOMAIN_H

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/policy_plan.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts.h"
#include "policy/tlsrpt/tlsrpt_tally.h"

enum {
	PLAN_TTL_LEAST_S = 5,
	PLAN_TTL_MOST_S = 86400,
	PLAN_WAITING_TTL_S = 10, /* while a first MTA-STS policy is still being fetched (M23) */
	PLAN_UNFETCHED_TTL_S = 300, /* while the one the record tells of could not be fetched (M10) */
};

struct plan_places {
	size_t open, most;   /* hosts being looked up */
	struct list waiting; /* plan_domains, the first come first */
};

/* What all questions share; lives longer than they. */
struct plan_means {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts *sts; /* NULL: off */
	struct tlsio_trust *roots;
	char *roots_name;
	uint8_t roots_sha256[32];
	struct tlsrpt_tally *tally; /* NULL: nothing is counted */
	struct plan_places places;
};

struct plan_domain;

/* on_made gives the plan, later, once, as the last thing: free the plan_domain in it or after.
 * question: copied; names in lower case. rules: borrowed, lives longer. is_known: mail is exchanged
 * with this domain; its hosts need not wait for a place. */
struct plan_domain *plan_domain_start(struct plan_means *means,
	const struct policy_question *question, const struct policy_rules *rules, int64_t limit_ms,
	bool is_known, void (*on_made)(void *ctx, struct policy_plan *plan), void *ctx);
/* The MTA-STS policy has been told already: one that changes now is not in the plan. */
bool plan_domain_has_policy(const struct plan_domain *domain);
/* Accepts NULL, sets NULL. No event any more. */
void plan_domain_free(struct plan_domain **domain);

#endif
