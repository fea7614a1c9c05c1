/* fake_sts_fetch: policy/sts/sts_fetch.h without HTTPS. Link it before libsts.a.
 *
 * For:     tests of sts.
 * Promise: a fetch ends once, later, with what the test said of its domain when it ends; of a domain
 *          nothing was said of: it failed. What was said holds for all fetchers, until reset.
 */
#ifndef TESTS_FAKES_FAKE_STS_FETCH_H
#define TESTS_FAKES_FAKE_STS_FETCH_H

#include "policy/sts/sts_fetch.h"

void fake_sts_fetch_reset(void);
/* This is the file (must parse). */
void fake_sts_fetch_set(const char *domain, const char *text);
void fake_sts_fetch_set_failed(const char *domain, enum policy_reason reason, const char *why);
/* Fetches that begin from now on take so long; < 0: for ever. */
void fake_sts_fetch_set_delay(const char *domain, int64_t ms);
/* Fetches ever begun for the domain; of all domains not yet over; of all domains ever begun. */
unsigned fake_sts_fetch_count(const char *domain);
size_t fake_sts_fetch_in_flight(void);
size_t fake_sts_fetch_count_all(void);

#endif
