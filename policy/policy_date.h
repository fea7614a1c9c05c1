/* policy_date: the day an exception ends. Pure.
 */
#ifndef POLICY_POLICY_DATE_H
#define POLICY_POLICY_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

enum { POLICY_DATE_BYTES = 24 };

/* "2026-12-31" (all of that day, UTC) or a time as in RFC 3339, "2026-12-31T18:00:00+01:00": the
 * first second, since 1970, at which it is over. False: neither, or no such day. */
bool policy_date_parse_end(struct str text, int64_t *ret_end_s);
/* "2026-12-31T17:00:00Z". Returns into. */
const char *policy_date_format(int64_t at_s, char into[POLICY_DATE_BYTES]);

#endif
