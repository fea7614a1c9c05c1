/* tlsrpt_row: the counts of one day, domain, TXT record and policy. Pure.
 *
 * For:     tlsrpt_tally, tlsrpt_file, tlsrpt_report.
 * Promise: of failures, TLSRPT_TUPLES_MOST different ones are told apart; what comes then is
 *          counted, without its details, as unlisted.
 */
#ifndef POLICY_TLSRPT_TLSRPT_ROW_H
#define POLICY_TLSRPT_TLSRPT_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"

enum { TLSRPT_TUPLES_MOST = 64, TLSRPT_ROW_ID_BYTES = 16, TLSRPT_DAY_S = 86400 };

struct tlsrpt_row {
	int64_t day; /* since 1970, UTC */
	char *domain, *record;
	char *policy;	   /* a policy's text (tlsrpt_session.h) */
	uint64_t ok, failed; /* sessions */
	uint64_t unlisted; /* failures */
	struct tlsrpt_tuple {
		char *text; /* a failure's */
		uint64_t count;
	} *tuples;
	size_t tuple_count;
};

int64_t tlsrpt_row_day(int64_t time_s);
/* "2026-11-25" */
const char *tlsrpt_row_day_text(int64_t day, char into[16]);
bool tlsrpt_row_day_parse(struct str text, int64_t *ret);
/* Equal exactly when day, domain, record and policy are. */
void tlsrpt_row_id(int64_t day, struct str domain, struct str record, struct str policy,
	uint8_t ret[TLSRPT_ROW_ID_BYTES]);
/* Copies; no counts yet. */
void tlsrpt_row_init(struct tlsrpt_row *row, int64_t day, struct str domain, struct str record,
	struct str policy);
void tlsrpt_row_clear(struct tlsrpt_row *row);
void tlsrpt_row_add_failure(struct tlsrpt_row *row, struct str text, uint64_t count);
/* "COUNT\tFAILURE\n"... */
void tlsrpt_row_write_tuples(const struct tlsrpt_row *row, struct buf *into);
/* False: not such a text; what was read before stays. */
bool tlsrpt_row_read_tuples(struct tlsrpt_row *row, struct str text);

#endif
