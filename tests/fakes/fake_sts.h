/* fake_sts: policy/sts/sts.h without DNS, HTTPS or a cache. Link it before libsts.a, of which only the
 * parts that are pure are then linked.
 *
 * For:     tests of who asks sts: the plan.
 * Promise: each question is answered once, later, by what the test said of its domain; of a domain
 *          nothing was said of: no policy, no record, ask again in an hour.
 */
#ifndef TESTS_FAKES_FAKE_STS_H
#define TESTS_FAKES_FAKE_STS_H

#include "policy/sts/sts.h"

/* From now on. Copied; shares answer->policy, which may be NULL. */
void fake_sts_set(struct sts *sts, const char *domain, const struct sts_answer *answer);
/* The usual one: a policy in force (the text of its file, must parse), fetched now for the record's
 * own id "1", which is asked again in an hour. */
void fake_sts_set_policy(struct sts *sts, const char *domain, const char *text);
/* Answers for this domain take so long (by the loop's clock); < 0: they never come. */
void fake_sts_set_delay(struct sts *sts, const char *domain, int64_t ms);
/* sts says that something changed; on_warning the same. */
void fake_sts_change(struct sts *sts, const char *domain);
void fake_sts_warn(struct sts *sts, const char *words);

/* Questions ever asked about the domain, and questions of any domain not yet over. */
unsigned fake_sts_asked(const struct sts *sts, const char *domain);
size_t fake_sts_open(const struct sts *sts);

#endif
