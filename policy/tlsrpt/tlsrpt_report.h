/* tlsrpt_report: rows of one day and domain as a report of RFC 8460, and in words. Pure.
 *
 * For:     posternctl tlsrpt; who sends reports.
 * Promise: the keys of RFC 8460 4.4 and no others; rows that differ in the TXT record seen alone are
 *          summed up, since a report goes to where the record of the day says. Failures without
 *          details are in the sum of failed sessions and in no line.
 */
#ifndef POLICY_TLSRPT_TLSRPT_REPORT_H
#define POLICY_TLSRPT_TLSRPT_REPORT_H

#include "policy/tlsrpt/tlsrpt_row.h"

/* Who reports. contact: an address; hostname: for report-id. */
struct tlsrpt_report_by {
	const char *organization, *contact, *hostname;
};

struct tlsrpt_report {
	struct tlsrpt_row *rows; /* one for each policy */
	size_t count;
	char *record; /* the last one seen that is not empty; NULL: none */
};

/* False: it is of another day or domain than those before. */
bool tlsrpt_report_fits(const struct tlsrpt_report *report, const struct tlsrpt_row *row);
/* Copies; it fits. */
void tlsrpt_report_add(struct tlsrpt_report *report, const struct tlsrpt_row *row);
void tlsrpt_report_clear(struct tlsrpt_report *report);

/* Both append, of a report that has rows. The object, without a newline. */
void tlsrpt_report_json(const struct tlsrpt_report *report, const struct tlsrpt_report_by *by,
	struct buf *into);
void tlsrpt_report_words(const struct tlsrpt_report *report, struct buf *into);

#endif
