/* dsn: delivery status notifications: failure, delay, success (RFC 3461, 3464).
 *
 * For:     the worker, when recipients failed for good (or succeeded with NOTIFY=SUCCESS).
 * Promise: never for a message with a null sender; headers only (at most 64 KiB of them); the
 *          machine part is well-formed whatever the peer said; sender of the DSN is <>.
 */
#ifndef SMTPD_DSN_DSN_H
#define SMTPD_DSN_DSN_H

#include <stdint.h>

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool.h"

enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

struct dsn_recipient {
	uint32_t recipient;	/* index in the envelope */
	const char *enhanced;	/* "5.1.1" */
	const char *text;	/* the reason in words, one line */
	const char *host;	/* Remote-MTA, or NULL / "" */
	bool is_smtp_reply;	/* text begins with the peer's reply code */
	int64_t retry_until_s;	/* DELAYED: when it will be given up; 0: not said */
};

/* True when this recipient's NOTIFY and the sender allow a report of this kind. */
bool dsn_is_wanted(const struct spool_envelope *original, uint32_t recipient, enum dsn_kind kind);

/* Put one report about these recipients of message `id` into the spool. on_done (error NULL =
 * durable) comes later; at once, with id 0, when nobody wants to be told. -1 when it could not even
 * be begun: then no on_done; try again later. hostname: Reporting-MTA; From is
 * MAILER-DAEMON@hostname. */
int dsn_send(struct spool *spool, uint64_t id, enum dsn_kind kind,
	const struct dsn_recipient *recipients, size_t count, const char *hostname, int64_t now_s,
	void (*on_done)(void *ctx, uint64_t dsn_id, const struct err *error), void *ctx,
	struct err *err);

#endif
