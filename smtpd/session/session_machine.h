/* session_machine: what a client may say when, and what happens then. No I/O, no clock.
 *
 * For:     session_client, which feeds it bytes and does what it asks; tests, which record that.
 * Holds:   the phase, the EHLO name, the transaction, counts of mistakes.
 * Promise: bytes are taken in order, one command or one stretch of content a call; nothing is
 *          taken in a waiting phase; every command gets exactly one reply; waiting is a phase.
 * See:     the table in session_machine.c, tests/smtpd/session/test_session_machine.c
 */
#ifndef SMTPD_SESSION_SESSION_MACHINE_H
#define SMTPD_SESSION_SESSION_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/session/session.h"
#include "smtpd/session/session_transaction.h"
#include "smtpd/smtp/smtp_address.h"
#include "smtpd/smtp/smtp_command.h"
#include "smtpd/smtp/smtp_params.h"

enum session_phase {
	SESSION_PHASE_HANDSHAKE,  /* waits: implicit TLS, before the greeting */
	SESSION_PHASE_GREETED,	  /* no EHLO or HELO yet */
	SESSION_PHASE_READY,	  /* no transaction */
	SESSION_PHASE_ASKING,	  /* waits: the house looks the sender up */
	SESSION_PHASE_MAIL,	  /* a sender, no recipient */
	SESSION_PHASE_RCPT,	  /* a sender and a recipient or more */
	SESSION_PHASE_DATA,	  /* content up to CR LF "." CR LF */
	SESSION_PHASE_CHUNK,	  /* the bytes of one BDAT */
	SESSION_PHASE_CHUNKED,	  /* between two BDATs of a message */
	SESSION_PHASE_COMMITTING, /* waits: the spool makes the message durable */
	SESSION_PHASE_UPGRADING,  /* waits: STARTTLS */
	SESSION_PHASE_DELAYED,	  /* waits: a client that makes mistakes is slowed down */
	SESSION_PHASE_SKIPPING,	  /* the rest of an over-long command line */
	SESSION_PHASE_ENDED,
	SESSION_PHASE_COUNT,
};

struct session_machine;

/* What the machine asks its owner for. Answers at once, but for store_commit (session_machine_stored
 * follows), ask_sender (session_machine_answered follows) and STARTTLS (the phase becomes UPGRADING,
 * session_machine_upgrade follows). */
struct session_actions {
	void (*reply)(void *ctx, const char *bytes, size_t length);
	bool (*may_send)(void *ctx, struct str sender_domain, struct session_refusal *ret_refusal);
	/* False: there is nothing to ask. */
	bool (*ask_sender)(void *ctx, struct str sender_domain);
	void (*forget_question)(void *ctx); /* no answer is wanted any more */
	bool (*may_receive)(void *ctx, struct str recipient, struct str recipient_domain,
		struct session_refusal *ret_refusal);
	bool (*has_tls)(void *ctx);
	/* Of a message, m->transaction: begin (and write the Received field), content, end. */
	int (*store_begin)(void *ctx, struct err *err);
	int (*store_write)(void *ctx, struct str content, struct err *err);
	void (*store_commit)(void *ctx);
	void (*store_abandon)(void *ctx);
	/* Something was refused, for the log; argument: of the command, may be empty. */
	void (*note_refusal)(void *ctx, enum smtp_verb verb, struct str argument,
		const struct session_refusal *refusal);
};

struct session_machine {
	const struct session_settings *settings;
	const struct session_actions *actions;
	void *ctx;
	char *hello;		/* owned; NULL before EHLO */
	const char *end_reason; /* static; once ENDED */
	const char *farewell;	/* static words of a 421 due when no transaction runs; NULL */
	const char *farewell_reason;
	struct session_transaction *transaction; /* owned; NULL outside of one */
	uint64_t chunk_left;			 /* CHUNK: bytes to come */
	uint32_t transactions;			 /* begun in this session */
	uint32_t accepted;			 /* messages */
	uint32_t refused;			 /* messages */
	uint16_t errors;
	uint16_t idle_commands; /* NOOP and the like since the last message */
	uint16_t put_off;	/* commands answered with 4xx since the last message */
	uint8_t phase;		/* enum session_phase */
	uint8_t resume;		/* phase behind DELAYED, SKIPPING and a CHUNK without transaction */
	uint8_t tls;		/* enum session_tls_mode */
	bool requires_tls : 1;
	bool is_secured : 1;
	bool is_extended : 1;	    /* EHLO, not HELO */
	bool is_delay_served : 1;   /* the next command was delayed already */
	bool is_chunk_last : 1;
};

void session_machine_init(struct session_machine *m, const struct session_settings *settings,
	const struct session_listener *listener, const struct session_actions *actions, void *ctx);
void session_machine_clear(struct session_machine *m); /* abandons what is stored */

/* The greeting, or HANDSHAKE on an implicit-TLS listener. */
void session_machine_start(struct session_machine *m);
bool session_machine_is_waiting(const struct session_machine *m);
/* One command or stretch of content off the front of input. Returns the bytes used; 0 = more is
 * needed, or a waiting phase began, or ENDED. */
size_t session_machine_input(struct session_machine *m, struct str input);
/* UPGRADING, the command consumed and reading held: how many plaintext bytes lie behind STARTTLS?
 * Replies 220 and stays in UPGRADING, or (any) 554 and ENDED. */
void session_machine_upgrade(struct session_machine *m, size_t leftover_bytes);
/* The handshake is done: everything said before is forgotten (RFC 3207 section 4.2). */
void session_machine_secured(struct session_machine *m);
/* ASKING ended; refusal NULL = no objection. */
void session_machine_answered(struct session_machine *m, const struct session_refusal *refusal);
/* COMMITTING ended; why NULL = durable. */
void session_machine_stored(struct session_machine *m, uint64_t id, const struct err *why);
/* The delay of DELAYED has passed. */
void session_machine_resume(struct session_machine *m);
/* Say 421 and end, now. text without code; both static. */
void session_machine_fail(struct session_machine *m, const char *enhanced, const char *text,
	const char *reason);
/* The same, but a running transaction may finish. */
void session_machine_finish(struct session_machine *m, const char *text, const char *reason);

/* ---- for the files that run commands (session_hello, session_mail, session_data) -------------- */

/* What a check understood, for its run. */
struct session_parsed {
	struct smtp_address address;
	char domain[SMTP_ADDRESS_DOMAIN_BYTES + 1]; /* of address, as A-labels */
	struct smtp_params_mail mail;
	struct smtp_params_rcpt rcpt;
};

void session_machine_enter(struct session_machine *m, enum session_phase phase);
void session_machine_reply(struct session_machine *m, int code, const char *enhanced,
	const char *text);
/* Reply, note, and count as a mistake; too many end the session. */
void session_machine_refuse(struct session_machine *m, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal);
/* A command that brings no mail nearer was run: too many are mistakes. */
void session_machine_count_idle(struct session_machine *m);
/* No transaction (any more): abandon what there is; READY, or GREETED before EHLO. */
void session_machine_reset(struct session_machine *m);
void session_machine_end(struct session_machine *m, const char *reason);

#endif
