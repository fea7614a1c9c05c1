/* relay_outcome: what became of a recipient, in words a person and a DSN can use. Pure.
 *
 * Promise: text is one printable line whatever the peer said; enhanced is never empty and its
 *          class fits the kind (2, 4, 5).
 */
#ifndef SMTPD_RELAY_RELAY_OUTCOME_H
#define SMTPD_RELAY_RELAY_OUTCOME_H

#include "smtpd/relay/relay.h"
#include "smtpd/smtp/smtp_reply.h"

/* "delivered", "deferred", "failed" */
const char *relay_outcome_name(enum relay_outcome_kind kind);

/* From the peer's final word: 2xx delivered, 5xx failed, anything else deferred. recipient kept. */
void relay_outcome_from_reply(struct relay_outcome *o, const struct smtp_reply *reply,
	const char *host);
/* Our own sentence; its code says the cause. recipient kept. */
void relay_outcome_set(struct relay_outcome *o, enum relay_outcome_kind kind, const char *enhanced,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
/* What a route "refuse words" says; the words may begin with an enhanced code. recipient kept. */
void relay_outcome_refuse(struct relay_outcome *o, const char *words);
/* Everything but the recipient. */
void relay_outcome_copy(struct relay_outcome *o, const struct relay_outcome *from);
/* The same reply, but as "try again": a 5xx that only means this connection is of no use. */
void relay_outcome_soften(struct relay_outcome *o);

/* One printable line of any bytes: controls and invalid UTF-8 become '?', line ends blanks. */
void relay_outcome_clean(struct str bytes, char *into, size_t capacity);

#endif
