/* fake_planner: relay's planner without a policyd: says the plans it was given.
 *
 * For:     tests of relay and of what joins it.
 * Promise: answers at the end of the turn, or when told to; what it has no plan for it defers, as
 *          the door does when policyd is down. Records who was asked, reported, cancelled.
 */
#ifndef TESTS_FAKES_FAKE_PLANNER_H
#define TESTS_FAKES_FAKE_PLANNER_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/relay/relay_planner.h"

enum { FAKE_PLANNER_PLANS = 8 };

struct fake_planner {
	struct relay_planner planner; /* give this to relay_new */
	struct policy_plan *plans[FAKE_PLANNER_PLANS];
	size_t plan_count;
	bool is_silent; /* until fake_planner_speak */
	struct list asked;
	struct tlsio_turn turn;
	/* what happened */
	unsigned asked_count, cancelled_count, forgotten_count;
	enum policy_question_kind kind; /* of the last question */
	uint16_t port;
	struct buf questions; /* "rule_domain next_hop\n" */
	struct buf reports;   /* "domain host type:reason+besides type:reason\n" */
	bool has_addresses;   /* the last of them */
};

void fake_planner_open(struct fake_planner *f, struct tlsio_loop *loop);
/* Nobody may be waiting. */
void fake_planner_close(struct fake_planner *f);
/* A plan for next_hop, READY and empty, made by the rule of this fingerprint; in place of an earlier
 * one. To be filled by the test, which does not own it. */
struct policy_plan *fake_planner_plan(struct fake_planner *f, const char *next_hop,
	const char *rule_fingerprint);
/* A host with one address; shares requirement (NULL: not to be used). */
struct policy_plan_host *fake_planner_host(struct policy_plan *plan, const char *name,
	unsigned preference, const struct netaddr *address, struct policy_requirement *requirement);
void fake_planner_add_address(struct policy_plan_host *host, const struct netaddr *address);
/* Everybody who waits is answered now. */
void fake_planner_speak(struct fake_planner *f);

#endif
