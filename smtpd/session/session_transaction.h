/* session_transaction: one message on its way in: envelope, and how its content looks so far.
 *
 * For:     session's machine; the store reads it.
 * Holds:   all text of the envelope (an arena), the recipients, decoder and hop count. Exists
 *          between MAIL and the end of the transaction only.
 */
#ifndef SMTPD_SESSION_SESSION_TRANSACTION_H
#define SMTPD_SESSION_SESSION_TRANSACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/arena.h"
#include "smtpd/session/session.h"
#include "smtpd/smtp/smtp_dots.h"
#include "smtpd/smtp/smtp_params.h"
#include "smtpd/smtp/smtp_trace.h"
#include "smtpd/spool/spool_envelope.h"

struct session_transaction {
	struct arena arena;
	struct str sender;
	struct str envid;
	struct spool_recipient *recipients;
	uint32_t recipient_count;
	uint32_t recipient_capacity;
	uint8_t ret;   /* enum spool_ret */
	uint8_t flags; /* SPOOL_FLAG_* */
	bool is_stored; /* store_begin succeeded: there is something to abandon or to commit */
	struct smtp_dots_decoder decoder;
	struct smtp_trace_scan scan;
	struct session_refusal refusal; /* code 0: none; else content is only swallowed */
};

struct session_transaction *session_transaction_new(struct str sender,
	const struct smtp_params_mail *params);
void session_transaction_free(struct session_transaction **t);
void session_transaction_add(struct session_transaction *t, struct str address,
	const struct smtp_params_rcpt *params);
/* The memory it takes; NULL takes none. */
size_t session_transaction_bytes(const struct session_transaction *t);
/* Views into t; id, received_s, size_bytes and client are the caller's. */
void session_transaction_envelope(const struct session_transaction *t, struct spool_envelope *ret);

#endif
