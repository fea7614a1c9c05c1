/* brain: the policy brain of one configuration: resolver, MTA-STS, plans, joined on one loop.
 *
 * For:     postern-policyd, which serves it; posternctl, which asks it without a daemon. Nobody else:
 *          a mail worker asks by policy/door and links none of this.
 * Holds:   the tally of TLS sessions; dns, sts and plan_service; after a reload that changed the
 *          resolver or MTA-STS also those of before, until the last question asked of them is
 *          answered. READ_WRITE: plans come from, and at the end go to, the file beside the MTA-STS
 *          cache (policy/store).
 */
#ifndef SMTPD_BRAIN_H
#define SMTPD_BRAIN_H

#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/dns/dns_check.h"
#include "policy/plan/plan_service.h"
#include "policy/sts/sts_cache.h"
#include "policy/tlsrpt/tlsrpt_tally.h"
#include "smtpd/config/config.h"

struct brain;

struct brain_events {
	/* One line for the log: a policy that cannot be renewed, a damaged cache. May be NULL. */
	void (*on_warning)(void *ctx, const char *words);
};

/* Shares config. mode: READ_ONLY beside a running postern-policyd. */
struct brain *brain_new(struct tlsio_loop *loop, struct config *config, enum sts_cache_mode mode,
	const struct brain_events *events, void *ctx, struct err *err);
/* Borrowed, and another after a brain_reload: ask anew. Questions asked of the old one are still
 * answered. */
struct plan_service *brain_plans(struct brain *brain);
/* The same for the brain's whole life. Borrowed. */
struct tlsrpt_tally *brain_tally(struct brain *brain);
/* Does validation work here? One event, later, unless the brain is freed or asked again before.
 * words: a plain sentence with the remedy. */
void brain_check(struct brain *brain,
	void (*on_over)(void *ctx, enum dns_check_result result, const char *words), void *ctx);
/* All or nothing. Rules are swapped in place; where settings of the resolver or of MTA-STS differ,
 * dns, sts and plans begin anew. */
int brain_reload(struct brain *brain, struct config *config, struct err *err);
/* All questions must be over or cancelled. Accepts NULL, sets NULL. */
void brain_free(struct brain **brain);

#endif
