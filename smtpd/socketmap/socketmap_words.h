/* socketmap_words: levels and attributes of smtp_tls_policy_maps, by the grammar of Postfix. Pure.
 *
 * For:     socketmap_answer, which says what is demanded; here stands how that is written.
 * Each:    appends "secure match=..." and so on; false: it cannot be said, `why` (a literal) says
 *          what is the matter, and what was appended is of no use.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_WORDS_H
#define SMTPD_SOCKETMAP_SOCKETMAP_WORDS_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "policy/policy_plan.h"

/* Names, keys, or an authority other than the machine's: more than "whoever a good certificate names". */
bool socketmap_words_is_own_identity(const struct policy_requirement *r);

/* What a rule or an exception demands by itself; verify without names by the domain's own name,
 * where nothing proves its hosts. */
bool socketmap_words_rule(struct buf *into, const struct policy_plan *plan, const char **why);
/* "dane", "dane-only", "may", ... and the rule's minimum version. */
void socketmap_words_level(struct buf *into, const char *level, const struct policy_requirement *rule);
/* "secure match=a.example:.b.example servername=hostname" (RFC 8461 4.1). */
bool socketmap_words_sts(struct buf *into, const struct policy_plan *plan, const char **why);
/* The rule's verify as FEATURE(`sts') of Sendmail takes it. False: it has no words for it. */
bool socketmap_words_sendmail_verify(struct buf *into, const struct policy_plan *plan);
/* " protocols=>=TLSv1.3", where the rule says so. */
void socketmap_words_minimum(struct buf *into, const struct policy_requirement *rule);
/* " policy_type=sts ..." of Postfix 3.10: what its TLSRPT report says of the policy. Nothing where the
 * policy cannot be told in a way that Postfix takes. */
void socketmap_words_report(struct buf *into, const struct policy_plan *plan, size_t bytes_most);

#endif
