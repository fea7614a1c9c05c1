/* policy_rules: per-domain outbound rules, and exceptions above them. Immutable, shared.
 *
 * Lookup:  "mail.a.example.org": exact "mail.a.example.org", then ".a.example.org",
 *          ".example.org", ".org", then "*" (the default rule). ".example.org" does not match
 *          example.org itself. ASCII case and a trailing dot do not matter; U-labels are turned
 *          into A-labels when the rule is read (libidn2).
 * Exceptions: the same patterns but "*"; the most specific, while it has not ended, stands above every
 *          rule and above DANE and MTA-STS.
 */
#ifndef POLICY_POLICY_RULES_H
#define POLICY_POLICY_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_requirement.h"

struct policy_rule {
	struct policy_requirement *requirement; /* shares; level may be DANE or DANE_ONLY */
	bool uses_dane;	   /* take TLSA records into account (default yes) */
	bool uses_sts;	   /* take MTA-STS policies into account (default yes) */
	bool is_exception; /* then uses_dane and uses_sts are false */
	bool is_general;   /* "*" or built in; filled in by policy_rules */
	char *reason;	   /* exception: why, in the operator's words */
	int64_t until_s;   /* exception: end, wall clock; 0 for rules */
	char fingerprint[33]; /* equal for rules that decide the same, whatever the source */
};

struct policy_rules;

struct policy_rules *policy_rules_new(void);
/* Copies the rule (shares its requirement) and fills in the copy's fingerprint. A domain said twice
 * is an error; so is an exception for "*". Before the first find only. */
int policy_rules_add(struct policy_rules *rules, struct str domain, const struct policy_rule *rule,
	struct err *err);
/* What holds for this domain at this time (wall clock). Never NULL: without any rule it is "may",
 * TLS 1.2, DANE and MTA-STS used, source "built-in default". Borrowed. */
const struct policy_rule *policy_rules_find(const struct policy_rules *rules, struct str domain,
	int64_t now_s);
/* The rule below an exception, for explaining. */
const struct policy_rule *policy_rules_find_without_exceptions(const struct policy_rules *rules,
	struct str domain);
/* Every rule, then every exception, as they stand in the file; "*" is the last rule. */
void policy_rules_each(const struct policy_rules *rules,
	void (*on_rule)(void *ctx, const char *domain, const struct policy_rule *rule), void *ctx);
struct policy_rules *policy_rules_ref(struct policy_rules *rules);
void policy_rules_unref(struct policy_rules **rules);

#endif
