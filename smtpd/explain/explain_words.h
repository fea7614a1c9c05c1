/* explain_words: what a host must show, in plain words and as JSON. Pure.
 *
 * For:     explain and probe_print.
 */
#ifndef SMTPD_EXPLAIN_EXPLAIN_WORDS_H
#define SMTPD_EXPLAIN_EXPLAIN_WORDS_H

#include "policy/policy_plan.h"
#include "smtpd/explain/explain_json.h"

/* The whole demand: "TLS 1.2 or later; a certificate or key that one of 2 TLSA records names". host:
 * whose requirement it is; NULL: a rule's own, before any look-up. */
void explain_words_demand(struct buf *to, const struct policy_requirement *r, const char *host);
/* Its heart, for one sentence: "a certificate or key that their TLSA records name (DANE)". "" where
 * nothing is demanded (none, may). host: as above; is_several: of several hosts. */
void explain_words_heart(struct buf *to, const struct policy_requirement *r, const char *host,
	bool is_several);
/* "TLS is used where it is offered, ..." for none and may; "" otherwise. */
const char *explain_words_no_demand(const struct policy_requirement *r);
/* Its text without the words that every line about this host would begin with. Borrowed. */
const char *explain_words_why_not_used(const struct policy_plan_host *host);
/* Two usable hosts of which a person would say that they must show the same. */
bool explain_words_are_alike(const struct policy_plan_host *a, const struct policy_plan_host *b);

/* An object, or null. */
void explain_words_json(struct explain_json *j, const char *key, const struct policy_requirement *r);

#endif
