/* sts_record: the TXT record of a domain that has an MTA-STS policy. Pure.
 *
 * Source:  RFC 8461 3.1; POLICY numbers M1-M3 in the tests.
 */
#ifndef POLICY_STS_STS_RECORD_H
#define POLICY_STS_STS_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/str.h"

enum { STS_ID_BYTES = 33 }; /* 1 to 32 of ALPHA / DIGIT, and a NUL */

/* One record's text: good, or not. ret_id may be NULL. */
bool sts_record_parse(struct str text, char ret_id[STS_ID_BYTES]);
/* Begins as an MTA-STS record does ("v=STSv1", spaces or tabs, ";"): the others are dropped first. */
bool sts_record_is_candidate(struct str text);

enum sts_record_result { STS_RECORD_FOUND, STS_RECORD_ABSENT, STS_RECORD_INVALID };
/* Of all TXT records of the name: exactly one candidate, and good (several: as if absent, INVALID). */
enum sts_record_result sts_record_choose(const struct str *texts, size_t count,
	char ret_id[STS_ID_BYTES]);

#endif
