/* policy_rules: per-domain outbound requirements: most specific wins. Immutable, shared.
 *
 * Lookup:  "mail.a.example.org": exact "mail.a.example.org", then ".a.example.org",
 *          ".example.org", ".org", then "*" (the default rule). ".example.org" does not match
 *          example.org itself. ASCII case and a trailing dot do not matter; U-labels are turned
 *          into A-labels when the rule is read (libidn2).
 */
#ifndef POLICY_POLICY_RULES_H
#define POLICY_POLICY_RULES_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_requirement.h"

struct policy_rules;

struct policy_rules *policy_rules_new(void);
/* Shares requirement. A domain said twice is an error. Before the first find only. */
int policy_rules_add(struct policy_rules *rules, struct str domain,
	struct policy_requirement *requirement, struct err *err);
/* Never NULL: without any rule it is "may", TLS 1.2, source "built-in default". Borrowed. */
struct policy_requirement *policy_rules_find(const struct policy_rules *rules, struct str domain);
struct policy_rules *policy_rules_ref(struct policy_rules *rules);
void policy_rules_unref(struct policy_rules **rules);

#endif
