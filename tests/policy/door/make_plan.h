/* make_plan: plans for the tests of the door. */
#ifndef TESTS_POLICY_DOOR_MAKE_PLAN_H
#define TESTS_POLICY_DOOR_MAKE_PLAN_H

#include "policy/policy_plan.h"

/* Three hosts: one by DANE and an own authority (trust may be NULL: without), one opportunistic with a
 * policy in testing mode, one that must not be used; evidence. Gives. */
struct policy_plan *make_plan_rich(struct tlsio_trust *trust);
/* Two opportunistic hosts with an address each, good until expires_s. Gives. */
struct policy_plan *make_plan_plain(const char *domain, int64_t expires_s);

#endif
