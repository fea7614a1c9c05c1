/* queue_book: what waits, counted: by domain, by cause, by age. In memory, always up to date.
 *
 * For:     worker_shard tells it of every change (spool_events); control answers from it, so that the
 *          operator of a full queue hears at once.
 * Holds:   64 bytes per message and 16 per further recipient; a record per domain of recipients.
 * Promise: work per change does not grow with the queue; totals, causes and ages are read, not counted.
 */
#ifndef SMTPD_QUEUE_QUEUE_BOOK_H
#define SMTPD_QUEUE_QUEUE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/spool/spool_envelope.h"

struct queue_book;

struct queue_book *queue_book_new(void);
/* Accepts NULL, sets NULL. */
void queue_book_free(struct queue_book **book);

/* A message is in the spool; what its envelope says of recipients that are not open is not counted. A
 * message that is there already is counted anew. */
void queue_book_add(struct queue_book *book, const struct spool_envelope *e);
/* A recipient's state changed. With the last open one the message is gone. Unknown ids are ignored. */
void queue_book_change(struct queue_book *book, uint64_t id, uint32_t recipient, uint8_t state,
	uint8_t cause);

/* Of open recipients. */
struct queue_book_count {
	uint64_t recipients;
	uint64_t held; /* by the operator; the rest waits, by cause: */
	uint64_t causes[SPOOL_CAUSE_COUNT];
};

struct queue_book_total {
	struct queue_book_count count;
	uint64_t messages;
	uint64_t bytes; /* of messages */
	uint64_t domains;
};
void queue_book_total(const struct queue_book *book, struct queue_book_total *ret);

/* Messages by age in classes of a doubling span: younger than 5, 10, 20, ... minutes. */
enum { QUEUE_BOOK_AGES = 13, QUEUE_BOOK_AGE_S = 300 };
/* Upper end of a class in seconds; 0: the last one has none. */
int64_t queue_book_age_end_s(size_t class);
/* Exact to five minutes. */
void queue_book_ages(const struct queue_book *book, int64_t now_s, uint64_t ret[QUEUE_BOOK_AGES]);

struct queue_book_domain {
	const char *name; /* lower case; lives until the next change */
	struct queue_book_count count;
};
/* The domains with the most open recipients, most first; how many (at most `most`). */
size_t queue_book_top(const struct queue_book *book, struct queue_book_domain *ret, size_t most);

/* What is known of a message without reading it. False: it is not there. */
struct queue_book_message {
	int64_t received_s;
	uint64_t size_bytes;
	uint32_t recipient_count;
};
bool queue_book_find(const struct queue_book *book, uint64_t id, struct queue_book_message *ret);
/* Recipient index of a message that is there: its domain, NULL where it is not open. */
const char *queue_book_recipient(const struct queue_book *book, uint64_t id, uint32_t recipient,
	uint8_t *ret_state, uint8_t *ret_cause);

#endif
