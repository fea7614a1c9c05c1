/* plan_world: a plan_service over fakes, on virtual time, for the tests of policy/plan.
 */
#ifndef TESTS_POLICY_PLAN_PLAN_WORLD_H
#define TESTS_POLICY_PLAN_PLAN_WORLD_H

#include "policy/plan/plan_service.h"
#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_sts.h"

struct world {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts *sts;
	struct policy_rules *rules;
	struct plan_service *service;
	struct tlsrpt_tally *tally; /* in memory */
	struct policy_plan *plan; /* the last that came; the world's until the next */
	unsigned plan_count;
};

#define HASH_OF_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_HASH "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct world_rule {
	const char *domain;
	enum policy_level level;
	bool without_dane, without_sts;
	const char *reason; /* an exception */
	int64_t lasts_s;    /* from the world's beginning */
};

/* rules: parted by a NULL domain; NULL: the default. setup: NULL, or bounds (the rest is ours). */
void world_open(struct world *w, const struct world_rule *rules,
	const struct plan_service_setup *bounds);
struct policy_rules *world_make_rules(struct world *w, const struct world_rule *rules);
void world_close(struct world *w);

/* By MX, port 25, with evidence; mail of domain itself. Waits (virtual time) until the plan is there. */
struct policy_plan *world_plan(struct world *w, const char *domain);
struct policy_plan *world_plan_for(struct world *w, const struct policy_question *question);
/* Counts into plan_count, keeps in plan. */
void world_on_plan(void *ctx, struct policy_plan *plan);

/* mx.<domain> with an address, secure or not, reached by the MX record of domain. */
void world_add_domain(struct world *w, const char *domain, enum dns_security security);

const struct policy_plan_host *world_host(const struct policy_plan *plan, const char *name);
/* The first line of this kind whose subject it is (NULL: any); NULL: none. */
const struct policy_evidence *world_evidence(const struct policy_plan *plan,
	enum policy_evidence_kind kind, const char *subject);
bool world_says(const char *text, const char *part);
void assert_says(const char *text, const char *part);
/* The host's reference names as "a b c"; "" without DANE records. */
const char *world_dane_names(const struct policy_plan_host *host);

#endif
