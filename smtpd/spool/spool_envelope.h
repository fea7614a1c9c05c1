/* spool_envelope: who a message is from, to whom, and how far each recipient has come. Pure.
 *
 * For:     session and dsn make one; spool stores it; sched, relay and control read it.
 * Holds:   views; whoever made it owns the bytes (a transaction's arena, a reader's record).
 * Promise: encode and decode are exact inverses; decode refuses anything malformed.
 */
#ifndef SMTPD_SPOOL_SPOOL_ENVELOPE_H
#define SMTPD_SPOOL_SPOOL_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

enum spool_recipient_state {
	SPOOL_RECIPIENT_WAITING = 0, /* to be tried at due_s */
	SPOOL_RECIPIENT_DELIVERED = 1,
	SPOOL_RECIPIENT_FAILED = 2,  /* bounced, or dropped where no bounce may be sent */
	SPOOL_RECIPIENT_REMOVED = 3, /* by the operator */
	SPOOL_RECIPIENT_HELD = 4,    /* by the operator, until released: neither tried nor given up */
};
/* Of those the spool keeps the message. */
static inline bool spool_recipient_is_open(uint8_t state)
{
	return state == SPOOL_RECIPIENT_WAITING || state == SPOOL_RECIPIENT_HELD;
}

/* What kept a recipient from going out when it was tried last. */
enum spool_cause {
	SPOOL_CAUSE_NONE = 0, /* not tried yet */
	SPOOL_CAUSE_REPLY = 1, /* the next hop said: later (4xx) */
	SPOOL_CAUSE_UNREACHABLE = 2, /* no connection, or it broke */
	SPOOL_CAUSE_NAMES = 3, /* DNS did not lead to a host */
	SPOOL_CAUSE_POLICY = 4, /* TLS is not what our rules, DANE or MTA-STS demand */
	SPOOL_CAUSE_OURS = 5, /* we were not ready */
};
enum { SPOOL_CAUSE_COUNT = 6 };
/* "none", "reply", "unreachable", "names", "policy", "ours" */
const char *spool_cause_name(uint8_t cause);

/* What the sender was told of a recipient that waits, bits. */
enum { SPOOL_TOLD_DELAY = 1 /* that it is late */ };

/* RFC 3461 NOTIFY; 0 = not given (behaves as FAILURE, and DELAY by our own choice) */
enum { SPOOL_NOTIFY_NEVER = 1, SPOOL_NOTIFY_SUCCESS = 2, SPOOL_NOTIFY_FAILURE = 4,
	SPOOL_NOTIFY_DELAY = 8 };
enum spool_ret { SPOOL_RET_NONE = 0, SPOOL_RET_FULL = 1, SPOOL_RET_HDRS = 2 };
enum { SPOOL_FLAG_SMTPUTF8 = 1, SPOOL_FLAG_8BITMIME = 2, SPOOL_FLAG_BOUNCE = 4 };

struct spool_recipient {
	struct str address; /* "local@domain" as given, without brackets */
	struct str orcpt;   /* "rfc822;..." in xtext as given, or empty */
	uint8_t notify;	    /* SPOOL_NOTIFY_* */
	uint8_t state;	    /* enum spool_recipient_state */
	uint16_t attempts;  /* so far */
	int64_t due_s;	    /* seconds since 1970; 0 = at once */
	struct str reason;  /* last outcome in words, or empty */
	uint8_t cause;	    /* enum spool_cause, of the last try */
	uint8_t told;	    /* SPOOL_TOLD_* */
	struct str via;	    /* the operator's own way for it, in the words of a route; or empty */
};

struct spool_envelope {
	uint64_t id; /* given by the spool */
	int64_t received_s;
	uint64_t size_bytes; /* of header and body, as stored */
	struct str sender;   /* "local@domain", empty = null sender <> */
	struct str envid;    /* xtext as given, or empty */
	uint8_t ret;	     /* enum spool_ret */
	uint8_t flags;	     /* SPOOL_FLAG_* */
	struct str client;   /* address of who handed it to us, for logs */
	struct spool_recipient *recipients;
	uint32_t recipient_count;
};

/* Appends the encoded form (all fields but id and size_bytes, which the spool's record has). */
void spool_envelope_encode(const struct spool_envelope *e, struct buf *ret);
/* Views in ret point into bytes; the recipients array comes from arena. */
int spool_envelope_decode(struct str bytes, struct arena *arena, struct spool_envelope *ret,
	struct err *err);
/* A report, ours or another's: from <>. Nobody can be told of it. */
static inline bool spool_envelope_is_bounce(const struct spool_envelope *e)
{
	return e->sender.length == 0 || (e->flags & SPOOL_FLAG_BOUNCE) != 0;
}
/* True when no recipient is open any more. */
bool spool_envelope_is_settled(const struct spool_envelope *e);

/* Message ids in words: 16 lower-case hexadecimal digits; text holds 17. Returns text. */
const char *spool_id_format(uint64_t id, char *text);
bool spool_id_parse(struct str text, uint64_t *ret_id);

#endif
