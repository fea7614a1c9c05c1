/* explain_page: text laid out for a person: headings, labels, wrapped lines. Pure: into a buf.
 *
 * For:     explain and probe_print.
 * Promise: no byte of a peer reaches a terminal as a control character; lines are at most `width`
 *          columns unless one word is longer (fingerprints stay whole, to be copied).
 */
#ifndef SMTPD_EXPLAIN_EXPLAIN_PAGE_H
#define SMTPD_EXPLAIN_EXPLAIN_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"

enum explain_mood { EXPLAIN_PLAIN, EXPLAIN_GOOD, EXPLAIN_BAD, EXPLAIN_DOUBTFUL };

struct explain_page {
	struct buf *to;
	unsigned width; /* columns of the terminal; 0: 80 */
	bool has_colour;
};

/* A paragraph at the left edge, emphasised. */
void explain_page_verdict(struct explain_page *page, enum explain_mood mood, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "INPUTS", with a blank line before it. */
void explain_page_heading(struct explain_page *page, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A line of its own, indented by two. */
void explain_page_line(struct explain_page *page, enum explain_mood mood, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "    label      words ...", wrapped under the words; label "" goes on under the item before. */
void explain_page_item(struct explain_page *page, const char *label, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, coloured. */
void explain_page_mood_item(struct explain_page *page, enum explain_mood mood, const char *label,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "3h07m", as elsewhere in posternctl. Returns text. */
const char *explain_duration(int64_t seconds, char text[32]);
/* "2026-11-25 19:31:02Z"; "?" for what is no time. Returns text. */
const char *explain_time(int64_t at_s, char text[32]);

#endif
