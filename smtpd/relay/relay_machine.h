/* relay_machine: our side of an SMTP or LMTP dialogue, as a table without I/O.
 *
 * For:     relay_connection, which moves the bytes; tests, which record the actions.
 * Holds:   the phase, a FIFO of replies that are awaited, what EHLO said.
 * Promise: MAIL can only follow the phase READY, and READY is entered in one place: behind the
 *          judgement of this connection by its requirement. What was learned in plaintext is
 *          forgotten after TLS. A peer that says more than it was asked is given up.
 *          Exactly one `over` ends the machine; no action follows it.
 * See:     tests/smtpd/relay/test_relay_machine.c
 */
#ifndef SMTPD_RELAY_RELAY_MACHINE_H
#define SMTPD_RELAY_RELAY_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "policy/policy_judge.h"
#include "policy/policy_requirement.h"
#include "smtpd/relay/relay_transaction.h"
#include "smtpd/smtp/smtp_ehlo.h"

struct relay_machine;

enum relay_phase {
	RELAY_PHASE_GREETING,
	RELAY_PHASE_EHLO,      /* LHLO in LMTP */
	RELAY_PHASE_HELO,      /* a peer that does not know EHLO */
	RELAY_PHASE_STARTTLS,
	RELAY_PHASE_UPGRADING, /* no byte is read as SMTP */
	RELAY_PHASE_READY,     /* judged and passed; between transactions */
	RELAY_PHASE_RSET,
	RELAY_PHASE_MAIL,
	RELAY_PHASE_RCPT,
	RELAY_PHASE_DATA,
	RELAY_PHASE_BDAT,
	RELAY_PHASE_BODY,      /* the owner streams the message */
	RELAY_PHASE_FINAL,     /* LMTP: one reply per accepted recipient */
	RELAY_PHASE_EMPTY,     /* 354 though no recipient is left: a lone dot was sent */
	RELAY_PHASE_QUIT,
	RELAY_PHASE_OVER,
};
/* "GREETING", "EHLO", "MAIL", ... for words and tests */
const char *relay_phase_name(enum relay_phase phase);

struct relay_machine_setup {
	const char *hostname;	/* ours, copied */
	const char *host;	/* the next hop as it is named in words, copied */
	bool is_lmtp;
	bool is_tls_first;	/* implicit TLS: begins in UPGRADING */
	bool stays_in_clear;	/* TLS failed before and the rule (MAY) allows it */
	const struct policy_requirement *requirement; /* borrowed for the machine's life */
};

enum relay_end_kind {
	RELAY_END_QUIT,	    /* we said goodbye */
	RELAY_END_LOST,	    /* the connection or the dialogue broke */
	RELAY_END_UNUSABLE, /* greeting, EHLO or STARTTLS refused: try the next address */
	RELAY_END_REFUSED,  /* the requirement is not met: try the next address */
	RELAY_END_IN_CLEAR, /* TLS failed; connect again and stay in clear */
};

struct relay_machine_end {
	enum relay_end_kind kind;
	bool is_stale;		 /* LOST before the first reply of a later transaction: the peer had
				  * closed an idle connection; nothing was tried */
	bool is_unsent;		 /* LOST before any byte of the message went: another host may be tried */
	bool is_quitting;	 /* QUIT was said: a moment's wait for its reply is polite */
	struct relay_outcome outcome; /* for every recipient that is not settled */
};

struct relay_machine_actions {
	void (*say)(void *ctx, struct str bytes);
	/* Upgrade; answer with relay_machine_secured or relay_machine_tls_failed. */
	void (*start_tls)(void *ctx);
	/* READY for the first time: relay_machine_begin may be called. */
	void (*ready)(void *ctx);
	/* Stream the message, then relay_machine_body_sent. doubles_dots: DATA, with the final dot
	 * by the owner; otherwise BDAT, exactly transaction->size_bytes. */
	void (*body_wanted)(void *ctx, bool doubles_dots);
	/* READY again; every recipient is SETTLED or AGAIN. */
	void (*transaction_over)(void *ctx);
	/* Not to be used any more; what was said before may be flushed. */
	void (*over)(void *ctx, const struct relay_machine_end *end);
};

struct relay_machine *relay_machine_new(const struct relay_machine_setup *setup,
	const struct relay_machine_actions *actions, void *ctx);
void relay_machine_free(struct relay_machine **machine);

/* Bytes from the peer, at most one reply; how many are consumed. Consume them, then let it act,
 * and so on until act returns false: so bytes behind a reply are still the stream's when TLS is to
 * begin. */
size_t relay_machine_read(struct relay_machine *m, struct str input);
bool relay_machine_act(struct relay_machine *m);
void relay_machine_secured(struct relay_machine *m, const struct tlsio_peer *peer);
/* Handshake failed, or plaintext was left in front of it; `why` in words. */
void relay_machine_tls_failed(struct relay_machine *m, const char *why);
/* The connection ended or a time limit passed. */
void relay_machine_lost(struct relay_machine *m, const char *why);

/* In READY. Borrows the transaction until transaction_over or over. */
void relay_machine_begin(struct relay_machine *m, struct relay_transaction *transaction);
void relay_machine_body_sent(struct relay_machine *m);
/* The message cannot be read to its end: the transaction must not complete. */
void relay_machine_body_failed(struct relay_machine *m, const char *why);
/* In READY: say goodbye. */
void relay_machine_quit(struct relay_machine *m);

enum relay_phase relay_machine_phase(const struct relay_machine *m);
/* The phase whose reply is awaited (its time limit counts); the phase itself when none is. */
enum relay_phase relay_machine_waiting_for(const struct relay_machine *m);
/* What the connection's judgement said; verdict POLICY_PASS once READY. */
const struct policy_judgement *relay_machine_judgement(const struct relay_machine *m);
const struct smtp_ehlo *relay_machine_ehlo(const struct relay_machine *m);
unsigned relay_machine_transaction_count(const struct relay_machine *m);

#endif
