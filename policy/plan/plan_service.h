/* plan_service: the front door of the policy brain: a question in, a plan out.
 *
 * For:     policy/door (posternd's workers, posternctl through policyd); posternctl alone.
 * Holds:   dns and sts; plans made, until they expire, within a bound (the longest unused goes
 *          first); questions in flight, joined when equal.
 * Promise: one event per question, later, unless cancelled; every question ends within limit_ms,
 *          with DEFER if need be; a flood of distinct domains costs bounded memory: beyond
 *          in_flight_most a question is answered DEFER at once. A host whose look-up fails is out,
 *          not its domain; a domain's trouble touches no other.
 */
#ifndef POLICY_PLAN_PLAN_SERVICE_H
#define POLICY_PLAN_PLAN_SERVICE_H

#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/policy_plan.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts.h"
#include "policy/tlsrpt/tlsrpt_tally.h"

struct plan_service;
struct plan_question;

struct plan_service_setup {
	struct tlsio_loop *loop;
	struct dns *dns; /* borrowed */
	struct sts *sts; /* borrowed; NULL: MTA-STS is off */
	struct tlsrpt_tally *tally; /* borrowed; NULL: sessions are not counted */
	struct policy_rules *rules; /* shares */
	struct tlsio_trust *roots;  /* shares; what PKIX means for MTA-STS */
	const char *roots_name;	    /* "system", copied */
	const uint8_t *roots_sha256; /* 32 bytes, copied */
	size_t plans_most;	    /* 0: 20000 */
	size_t in_flight_most;	    /* 0: 5000 */
	int64_t limit_ms;	    /* 0: 45 s for a whole plan */
};

struct plan_service *plan_service_new(const struct plan_service_setup *setup);
void plan_service_free(struct plan_service **service);
/* Other rules (shares): every plan is forgotten, questions in flight begin anew. */
void plan_service_set_rules(struct plan_service *service, struct policy_rules *rules);
/* Copies question. Never NULL. plan is borrowed for the call (policy_plan_ref to keep it). */
struct plan_question *plan_service_ask(struct plan_service *service,
	const struct policy_question *question,
	void (*on_plan)(void *ctx, struct policy_plan *plan), void *ctx);
void plan_question_cancel(struct plan_question **question);
/* At once, from what is kept and not expired; NULL: ask. Borrowed. Evidence is kept only in plans
 * asked with it. */
struct policy_plan *plan_service_find(struct plan_service *service,
	const struct policy_question *question);
/* A DEFER with what is known without any look-up: the rule, and an MTA-STS policy in force. For who
 * cannot wait. Gives. */
struct policy_plan *plan_service_known(struct plan_service *service,
	const struct policy_question *question);
/* A session with a host of a plan, judged; lost: how many before it did not get here. */
void plan_service_tally(struct plan_service *service, const struct policy_session *session,
	uint32_t lost);
/* sts told of a new policy: forget this domain's plans. */
void plan_service_forget(struct plan_service *service, const char *domain);

/* A plan and the question that it answers, for who keeps plans elsewhere (policy/store). */
struct plan_service_kept {
	enum policy_question_kind kind;
	uint16_t port;
	bool has_evidence;
	struct policy_plan *plan; /* names the domains */
};
/* All that are kept and say something, the longest unused first. kept is borrowed. */
void plan_service_each(const struct plan_service *service,
	void (*on_kept)(void *ctx, const struct plan_service_kept *kept), void *ctx);

enum plan_restored {
	PLAN_RESTORED,
	PLAN_OVER,  /* it ended meanwhile */
	PLAN_OTHER, /* another rule is in force for its domain, or another MTA-STS policy is known */
	PLAN_ODD,   /* nothing that this service would have kept */
};
/* Takes in a plan of a life before, made under the same settings, as if it had just been made: until
 * its own end, which is of the wall clock. kept->plan is nobody else's yet. RESTORED: it is shared,
 * what its whole says of the rule is filled in, and a requirement that is the rule's becomes the
 * rule's own. */
enum plan_restored plan_service_restore(struct plan_service *service,
	const struct plan_service_kept *kept);

struct plan_service_counts {
	uint64_t asked, found, made, deferred, refused;
	size_t kept, in_flight;
	bool has_untold; /* somebody is to be told at the end of this turn: do not free it yet */
};
void plan_service_count(const struct plan_service *service, struct plan_service_counts *ret);

#endif
