/* relay_transaction: one message and some of its recipients, for one MAIL ... final reply. Plain
 * data between relay (fills it) and relay_machine (runs it), and the commands made from it. Pure.
 */
#ifndef SMTPD_RELAY_RELAY_TRANSACTION_H
#define SMTPD_RELAY_RELAY_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "smtpd/relay/relay.h"
#include "smtpd/smtp/smtp_ehlo.h"
#include "smtpd/spool/spool_envelope.h"

enum relay_recipient_state {
	RELAY_RECIPIENT_WAITING,  /* nothing is known yet */
	RELAY_RECIPIENT_ACCEPTED, /* 2xx to RCPT; the final reply decides */
	RELAY_RECIPIENT_AGAIN,	  /* too many for this transaction: not its fault, try another */
	RELAY_RECIPIENT_SETTLED,  /* outcome is final */
};

struct relay_recipient {
	enum relay_recipient_state state;
	const struct spool_recipient *who;
	struct relay_outcome *outcome;
};

struct relay_transaction {
	const struct spool_envelope *envelope;
	bool needs_utf8; /* sender or header section hold UTF-8: only for peers with SMTPUTF8 */
	struct relay_recipient *recipients;
	size_t count;
};

/* Lines with CR LF, parameters as the peer offers them. */
void relay_transaction_format_mail(const struct relay_transaction *t, const struct smtp_ehlo *ehlo,
	struct buf *ret);
void relay_transaction_format_rcpt(const struct relay_recipient *r, const struct smtp_ehlo *ehlo,
	struct buf *ret);

/* Settle those that this peer can never take (SIZE, SMTPUTF8); true when any is left. */
bool relay_transaction_fits(struct relay_transaction *t, const struct smtp_ehlo *ehlo,
	const char *host);

/* Every recipient in this state gets the outcome. How many there were. */
size_t relay_transaction_settle(struct relay_transaction *t, enum relay_recipient_state state,
	const struct relay_outcome *outcome);
size_t relay_transaction_count_state(const struct relay_transaction *t,
	enum relay_recipient_state state);
/* A refusal of RCPT that is about the number, not about this one: 452, or 552 of old servers, once
 * some were taken (RFC 5321 section 4.5.3.1.10). An enhanced code that says something else (a full
 * mailbox) makes it about this one. */
bool relay_transaction_is_too_many(const struct relay_transaction *t,
	const struct smtp_reply *reply);

#endif
