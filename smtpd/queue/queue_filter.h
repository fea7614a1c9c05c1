/* queue_filter: which of the waiting mail the operator means. Pure.
 *
 * For:     control: lists and orders say it in words, "domain=example.org", "older=4h".
 * Form:    id=ID; domain=D or .D (below it), of the recipient; sender=A, @D or <>; recipient=A or @D;
 *          reason=CAUSE (spool_cause_name) or "held"; older=T, younger=T; larger=S, smaller=S. All that
 *          are given must hold; without any everything is meant.
 */
#ifndef SMTPD_QUEUE_QUEUE_FILTER_H
#define SMTPD_QUEUE_QUEUE_FILTER_H

#include "libtlsio/base/err.h"
#include "smtpd/queue/queue_book.h"

enum { QUEUE_FILTER_ADDRESS_BYTES = 330 };

struct queue_filter {
	uint64_t id; /* 0: any */
	char domain[QUEUE_FILTER_ADDRESS_BYTES]; /* "" any; all names in lower case */
	char sender[QUEUE_FILTER_ADDRESS_BYTES];
	char recipient[QUEUE_FILTER_ADDRESS_BYTES];
	bool has_reason, is_held;
	uint8_t cause; /* with has_reason, unless is_held */
	int64_t older_s, younger_s; /* 0 any */
	uint64_t larger, smaller; /* bytes; 0 any */
};

/* One word into the filter. ERR_INPUT says what is wrong with it and which there are. */
int queue_filter_add(struct queue_filter *filter, struct str word, struct err *err);
/* From memory alone: can any recipient of it match? What must be read (sender, recipient) is not asked. */
bool queue_filter_may_match(const struct queue_filter *filter, const struct queue_book *book,
	uint64_t id, int64_t now_s);
/* This recipient, and it is open. */
bool queue_filter_matches(const struct queue_filter *filter, const struct spool_envelope *e,
	uint32_t recipient, int64_t now_s);

#endif
