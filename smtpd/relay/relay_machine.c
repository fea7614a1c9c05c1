#include "smtpd/relay/relay_machine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_awaited.h"
#include "smtpd/relay/relay_outcome.h"

/* Commands said and not yet answered, at most: bounds what a turn queues in the stream. */
#define WINDOW 32
/* From this size on a message goes by BDAT where it is offered: nothing to look for in it. */
#define BDAT_LEAST_BYTES (64 * 1024)

struct relay_machine {
	const struct relay_machine_actions *actions;
	void *ctx;
	char *hostname;
	char *host;
	const struct policy_requirement *requirement;
	bool is_lmtp, is_tls_first, stays_in_clear;
	bool is_secured;
	enum relay_phase phase;
	bool is_said; /* the phase's command is out; its reply moves us on */
	struct relay_awaited awaited;
	struct smtp_reply reply;
	struct err reply_fault;
	bool is_heard;	/* reply is whole (or bad) and not acted on yet */
	bool is_bad;
	bool has_extra; /* more bytes were there behind the reply being heard */
	struct smtp_ehlo ehlo;
	struct policy_judgement judgement;
	struct relay_transaction *transaction;
	size_t recipient; /* next to be said */
	bool uses_bdat;
	bool needs_rset;
	unsigned replies_in_transaction;
	unsigned transaction_count;
};

const char *relay_phase_name(enum relay_phase phase)
{
	static const char *const names[] = { "GREETING", "EHLO", "HELO", "STARTTLS", "UPGRADING",
		"READY", "RSET", "MAIL", "RCPT", "DATA", "BDAT", "BODY", "FINAL", "EMPTY", "QUIT",
		"OVER" };
	return names[phase];
}

#define IN(phase) (1u << RELAY_PHASE_##phase)

/* Where each phase may be entered from. MAIL has no way in but READY, READY none that does not
 * pass admit() or follow a transaction of an admitted connection. */
static const unsigned entered_from[] = {
	[RELAY_PHASE_GREETING] = IN(UPGRADING),
	[RELAY_PHASE_EHLO] = IN(GREETING) | IN(UPGRADING),
	[RELAY_PHASE_HELO] = IN(EHLO),
	[RELAY_PHASE_STARTTLS] = IN(EHLO),
	[RELAY_PHASE_UPGRADING] = IN(STARTTLS),
	[RELAY_PHASE_READY] = IN(EHLO) | IN(HELO) | IN(MAIL) | IN(RCPT) | IN(DATA) | IN(BDAT) |
		IN(FINAL) | IN(EMPTY),
	[RELAY_PHASE_RSET] = IN(READY),
	[RELAY_PHASE_MAIL] = IN(READY) | IN(RSET),
	[RELAY_PHASE_RCPT] = IN(MAIL) | IN(RCPT),
	[RELAY_PHASE_DATA] = IN(RCPT),
	[RELAY_PHASE_BDAT] = IN(RCPT),
	[RELAY_PHASE_BODY] = IN(DATA) | IN(BDAT),
	[RELAY_PHASE_FINAL] = IN(BODY),
	[RELAY_PHASE_EMPTY] = IN(DATA),
	[RELAY_PHASE_QUIT] = ~IN(OVER),
	[RELAY_PHASE_OVER] = ~IN(OVER),
};

static void enter(struct relay_machine *m, enum relay_phase phase)
{
	assert(entered_from[phase] & (1u << m->phase));
	m->phase = phase;
	m->is_said = false;
}

static void say_text(struct relay_machine *m, const char *text)
{
	m->actions->say(m->ctx, str_of(text));
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool is_before_ready(const struct relay_machine *m)
{
	return m->phase <= RELAY_PHASE_UPGRADING;
}

static bool is_stale(const struct relay_machine *m)
{
	return m->transaction && m->transaction_count > 0 && m->replies_in_transaction == 0;
}

static void end(struct relay_machine *m, enum relay_end_kind kind, bool says_quit,
	const struct relay_outcome *outcome)
{
	const struct relay_machine_end e = {
		.kind = kind,
		.is_stale = kind == RELAY_END_LOST && is_stale(m),
		.is_unsent = kind == RELAY_END_LOST && m->phase < RELAY_PHASE_BODY,
		.is_quitting = says_quit,
		.outcome = *outcome,
	};
	if (says_quit) {
		enter(m, RELAY_PHASE_QUIT);
		say_text(m, "QUIT\r\n");
	}
	enter(m, RELAY_PHASE_OVER);
	m->transaction = NULL;
	m->actions->over(m->ctx, &e);
}

/* The dialogue cannot go on; the reason is ours to word. */
static void give_up(struct relay_machine *m, const char *enhanced, const char *why)
{
	struct relay_outcome outcome = { 0 };
	relay_outcome_set(&outcome, RELAY_DEFERRED, enhanced, "%s: %s", m->host, why);
	end(m, is_before_ready(m) ? RELAY_END_UNUSABLE : RELAY_END_LOST, false, &outcome);
}

/* The reply just heard ends it: 421 anywhere, or a refusal before any transaction. */
static void give_up_by_reply(struct relay_machine *m, bool says_quit)
{
	struct relay_outcome outcome = { 0 };
	relay_outcome_from_reply(&outcome, &m->reply, m->host);
	relay_outcome_soften(&outcome);
	end(m, is_before_ready(m) ? RELAY_END_UNUSABLE : RELAY_END_LOST, says_quit, &outcome);
}

static void unexpected(struct relay_machine *m, const char *what)
{
	char why[200], text[100];
	relay_outcome_clean(buf_str(&m->reply.lines), text, sizeof(text));
	snprintf(why, sizeof(why), "%s: \"%d %s\"", what, m->reply.code, text);
	give_up(m, "4.5.0", why);
}

/* ---- judgement ------------------------------------------------------------------------------- */

static void end_by_judgement(struct relay_machine *m, bool says_quit)
{
	const struct policy_judgement *j = &m->judgement;
	bool is_about_proof = j->reason != POLICY_REASON_STARTTLS_NOT_SUPPORTED;
	struct relay_outcome outcome = { 0 };
	relay_outcome_set(&outcome, RELAY_DEFERRED, is_about_proof ? "4.7.5" : "4.7.4",
		"%s%s", j->text, j->verdict == POLICY_IN_CLEAR && m->is_tls_first ?
		" (but this port speaks TLS from the first byte)" : "");
	end(m, j->verdict == POLICY_IN_CLEAR && !m->is_tls_first ? RELAY_END_IN_CLEAR :
		RELAY_END_REFUSED, says_quit, &outcome);
}

/* The only way to READY for a new connection. */
static void admit(struct relay_machine *m)
{
	assert(m->judgement.verdict == POLICY_PASS);
	assert(m->is_secured || m->requirement->level <= POLICY_LEVEL_MAY);
	enter(m, RELAY_PHASE_READY);
	m->actions->ready(m->ctx);
}

static void pass_in_clear(struct relay_machine *m, const char *who, const char *says)
{
	m->judgement = (struct policy_judgement){ .verdict = POLICY_PASS };
	snprintf(m->judgement.text, sizeof(m->judgement.text), "%s%s", who, says);
	admit(m);
}

static void go_on_after_hello(struct relay_machine *m)
{
	if (m->is_secured) {
		admit(m);
	} else if (m->requirement->level == POLICY_LEVEL_NONE) {
		pass_in_clear(m, m->requirement->source, " says never TLS");
	} else if (m->stays_in_clear && m->requirement->level == POLICY_LEVEL_MAY) {
		pass_in_clear(m, "", "in clear after TLS failed");
	} else if (smtp_ehlo_has(&m->ehlo, SMTP_EHLO_STARTTLS)) {
		enter(m, RELAY_PHASE_STARTTLS);
	} else {
		policy_judge_no_starttls(m->requirement, m->host, &m->judgement);
		if (m->judgement.verdict == POLICY_PASS)
			admit(m);
		else
			end_by_judgement(m, true);
	}
}

void relay_machine_tls_failed(struct relay_machine *m, const char *why)
{
	assert(m->phase == RELAY_PHASE_UPGRADING);
	policy_judge_failed_tls(m->requirement, m->host, why, &m->judgement);
	assert(m->judgement.verdict != POLICY_PASS);
	end_by_judgement(m, false);
}

static void say_more(struct relay_machine *m);

void relay_machine_secured(struct relay_machine *m, const struct tlsio_peer *peer)
{
	assert(m->phase == RELAY_PHASE_UPGRADING);
	policy_judge_peer(m->requirement, m->host, peer, &m->judgement);
	if (m->judgement.verdict != POLICY_PASS) {
		/* RFC 3207 section 4.1: QUIT at once; on 465 no command is awaited yet */
		end_by_judgement(m, !m->is_tls_first);
		return;
	}
	m->is_secured = true;
	m->ehlo = (struct smtp_ehlo){ 0 }; /* RFC 3207 section 4.2 */
	enter(m, m->is_tls_first ? RELAY_PHASE_GREETING : RELAY_PHASE_EHLO);
	if (m->is_tls_first)
		relay_awaited_push(&m->awaited, RELAY_PHASE_GREETING, 0);
	say_more(m);
}

/* ---- what we say, what we hear --------------------------------------------------------------- */

static void finish_transaction(struct relay_machine *m, bool is_complete)
{
	assert(relay_transaction_count_state(m->transaction, RELAY_RECIPIENT_WAITING) == 0);
	assert(relay_transaction_count_state(m->transaction, RELAY_RECIPIENT_ACCEPTED) == 0);
	m->needs_rset = !is_complete;
	m->transaction = NULL;
	m->transaction_count++;
	enter(m, RELAY_PHASE_READY);
	m->actions->transaction_over(m->ctx);
}

static size_t accepted_count(const struct relay_machine *m)
{
	return relay_transaction_count_state(m->transaction, RELAY_RECIPIENT_ACCEPTED);
}

static struct relay_outcome outcome_of_reply(const struct relay_machine *m)
{
	struct relay_outcome outcome = { 0 };
	relay_outcome_from_reply(&outcome, &m->reply, m->host);
	outcome.is_dsn_passed_on = outcome.kind == RELAY_DELIVERED &&
		smtp_ehlo_has(&m->ehlo, SMTP_EHLO_DSN);
	return outcome;
}

static void hear_greeting(struct relay_machine *m, size_t recipient)
{
	(void)recipient;
	if (m->reply.code != 220)
		give_up_by_reply(m, true);
	else if (m->has_extra)
		unexpected(m, "it said more than a greeting before it was asked");
	else
		enter(m, RELAY_PHASE_EHLO);
}

static void say_ehlo(struct relay_machine *m)
{
	struct buf line = { 0 };
	const char *verb = m->phase == RELAY_PHASE_HELO ? "HELO" : m->is_lmtp ? "LHLO" : "EHLO";
	buf_printf(&line, "%s %s\r\n", verb, m->hostname);
	m->actions->say(m->ctx, buf_str(&line));
	buf_release(&line);
}

static void hear_ehlo(struct relay_machine *m, size_t recipient)
{
	(void)recipient;
	m->ehlo = (struct smtp_ehlo){ 0 };
	if (m->has_extra) {
		unexpected(m, "it said more than it was asked");
	} else if (m->reply.code == 250) {
		if (m->phase == RELAY_PHASE_EHLO)
			smtp_ehlo_parse(&m->reply, &m->ehlo);
		go_on_after_hello(m);
	} else if (smtp_reply_class(&m->reply) == 5 && m->phase == RELAY_PHASE_EHLO &&
		!m->is_lmtp) {
		enter(m, RELAY_PHASE_HELO);
	} else {
		give_up_by_reply(m, true);
	}
}

static void say_starttls(struct relay_machine *m)
{
	say_text(m, "STARTTLS\r\n");
}

static void hear_starttls(struct relay_machine *m, size_t recipient)
{
	char why[200], text[150];
	(void)recipient;
	if (m->has_extra) {
		/* what stands behind the answer is not the peer's (CVE-2011-0411 class) */
		unexpected(m, "plaintext follows its answer to STARTTLS");
	} else if (m->reply.code == 220) {
		enter(m, RELAY_PHASE_UPGRADING);
		m->actions->start_tls(m->ctx);
	} else {
		relay_outcome_clean(buf_str(&m->reply.lines), text, sizeof(text));
		snprintf(why, sizeof(why), "STARTTLS was answered \"%d %s\"", m->reply.code, text);
		policy_judge_failed_tls(m->requirement, m->host, why, &m->judgement);
		end_by_judgement(m, true);
	}
}

static void say_rset(struct relay_machine *m)
{
	say_text(m, "RSET\r\n");
}

static void hear_rset(struct relay_machine *m, size_t recipient)
{
	(void)recipient;
	m->replies_in_transaction = 0; /* nothing of the transaction was answered yet */
	if (smtp_reply_class(&m->reply) != 2)
		unexpected(m, "it refused RSET");
}

static void say_mail(struct relay_machine *m)
{
	struct buf line = { 0 };
	relay_transaction_format_mail(m->transaction, &m->ehlo, &line);
	m->actions->say(m->ctx, buf_str(&line));
	buf_release(&line);
}

static void hear_mail(struct relay_machine *m, size_t recipient)
{
	struct relay_outcome outcome = outcome_of_reply(m);
	(void)recipient;
	if (outcome.kind != RELAY_DELIVERED)
		relay_transaction_settle(m->transaction, RELAY_RECIPIENT_WAITING, &outcome);
}

static void say_rcpt(struct relay_machine *m)
{
	struct buf line = { 0 };
	relay_transaction_format_rcpt(&m->transaction->recipients[m->recipient], &m->ehlo, &line);
	m->actions->say(m->ctx, buf_str(&line));
	buf_release(&line);
}

static void hear_rcpt(struct relay_machine *m, size_t recipient)
{
	struct relay_recipient *r = &m->transaction->recipients[recipient];
	if (r->state != RELAY_RECIPIENT_WAITING)
		return; /* MAIL was refused, that settled it */
	struct relay_outcome outcome = outcome_of_reply(m);
	if (outcome.kind == RELAY_DELIVERED) {
		r->state = RELAY_RECIPIENT_ACCEPTED;
	} else if (relay_transaction_is_too_many(m->transaction, &m->reply)) {
		r->state = RELAY_RECIPIENT_AGAIN;
	} else {
		r->state = RELAY_RECIPIENT_SETTLED;
		relay_outcome_copy(r->outcome, &outcome);
	}
}

static void say_data(struct relay_machine *m)
{
	say_text(m, "DATA\r\n");
}

static void hear_data(struct relay_machine *m, size_t recipient)
{
	(void)recipient;
	bool is_wanted = accepted_count(m) > 0;
	if (m->reply.code == 354 && is_wanted) {
		enter(m, RELAY_PHASE_BODY);
		m->actions->body_wanted(m->ctx, true);
	} else if (m->reply.code == 354) {
		/* pipelined DATA though no recipient is left (RFC 2920 section 3.1) */
		enter(m, RELAY_PHASE_EMPTY);
		relay_awaited_push(&m->awaited, RELAY_PHASE_EMPTY, 0);
		say_text(m, ".\r\n");
	} else if (smtp_reply_class(&m->reply) < 4) {
		unexpected(m, "it answered DATA neither with 354 nor with a refusal");
	} else {
		struct relay_outcome outcome = outcome_of_reply(m);
		relay_transaction_settle(m->transaction, RELAY_RECIPIENT_ACCEPTED, &outcome);
		finish_transaction(m, false);
	}
}

static void say_bdat(struct relay_machine *m)
{
	char line[64];
	snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
		(unsigned long long)m->transaction->envelope->size_bytes);
	say_text(m, line);
}

/* A reply while the body is still on its way: a refusal stands, but the dialogue is out of step. */
static void hear_early(struct relay_machine *m)
{
	if (smtp_reply_class(&m->reply) >= 4) {
		struct relay_outcome outcome = outcome_of_reply(m);
		relay_transaction_settle(m->transaction, RELAY_RECIPIENT_ACCEPTED, &outcome);
	}
	unexpected(m, "it answered before the end of the message");
}

static void hear_final(struct relay_machine *m, size_t recipient)
{
	struct relay_outcome outcome = outcome_of_reply(m);
	if (smtp_reply_class(&m->reply) == 3) {
		unexpected(m, "it answered the message with a question");
		return;
	}
	if (m->is_lmtp) {
		struct relay_recipient *r = &m->transaction->recipients[recipient];
		r->state = RELAY_RECIPIENT_SETTLED;
		relay_outcome_copy(r->outcome, &outcome);
	} else {
		relay_transaction_settle(m->transaction, RELAY_RECIPIENT_ACCEPTED, &outcome);
	}
	if (m->awaited.count == 0)
		finish_transaction(m, true);
}

static void hear_empty(struct relay_machine *m, size_t recipient)
{
	(void)recipient;
	finish_transaction(m, false);
}

struct relay_step {
	void (*say)(struct relay_machine *m);
	void (*hear)(struct relay_machine *m, size_t recipient);
	bool is_sync_point;  /* with PIPELINING: nothing may be said behind it unanswered */
	bool is_said_alone;  /* all replies first */
};

static const struct relay_step steps[] = {
	/* phase                   say           hear           sync   alone */
	[RELAY_PHASE_GREETING] = { NULL,	 hear_greeting, true,  true },
	[RELAY_PHASE_EHLO] =	 { say_ehlo,	 hear_ehlo,	true,  true },
	[RELAY_PHASE_HELO] =	 { say_ehlo,	 hear_ehlo,	true,  true },
	[RELAY_PHASE_STARTTLS] = { say_starttls, hear_starttls, true,  true },
	[RELAY_PHASE_RSET] =	 { say_rset,	 hear_rset,	false, true },
	[RELAY_PHASE_MAIL] =	 { say_mail,	 hear_mail,	false, false },
	[RELAY_PHASE_RCPT] =	 { say_rcpt,	 hear_rcpt,	false, false }, /* each recipient */
	[RELAY_PHASE_DATA] =	 { say_data,	 hear_data,	true,  false },
	[RELAY_PHASE_BDAT] =	 { say_bdat,	 NULL,		true,  true }, /* body follows */
	[RELAY_PHASE_FINAL] =	 { NULL,	 hear_final,	true,  true },
	[RELAY_PHASE_EMPTY] =	 { NULL,	 hear_empty,	true,  true },
	[RELAY_PHASE_OVER] =	 { NULL,	 NULL,		true,  true },
};

/* Behind a row of the transaction that was said (pipelined) or answered (otherwise). */
static void next_row(struct relay_machine *m)
{
	struct relay_transaction *t = m->transaction;
	switch (m->phase) {
	case RELAY_PHASE_RSET:
		enter(m, RELAY_PHASE_MAIL);
		return;
	case RELAY_PHASE_MAIL:
		m->recipient = 0;
		break;
	case RELAY_PHASE_RCPT:
		m->recipient++;
		break;
	default:
		return;
	}
	while (m->recipient < t->count &&
		t->recipients[m->recipient].state != RELAY_RECIPIENT_WAITING)
		m->recipient++;
	if (m->recipient < t->count)
		enter(m, RELAY_PHASE_RCPT);
	else if (m->phase == RELAY_PHASE_RCPT)
		enter(m, m->uses_bdat ? RELAY_PHASE_BDAT : RELAY_PHASE_DATA);
	else
		finish_transaction(m, false); /* MAIL was refused before any RCPT was said */
}

/* Nobody to send it to, and that is certain. */
static bool is_pointless(const struct relay_machine *m)
{
	return (m->phase == RELAY_PHASE_DATA || m->phase == RELAY_PHASE_BDAT) &&
		m->awaited.count == 0 && accepted_count(m) == 0;
}

static bool is_settled(const struct relay_machine *m)
{
	return m->transaction->recipients[m->recipient].state != RELAY_RECIPIENT_WAITING;
}

static void say_more(struct relay_machine *m)
{
	for (;;) {
		const struct relay_step *step = &steps[m->phase];
		if (!step->say || m->is_said || m->awaited.count >= WINDOW)
			return;
		bool is_pipelined = smtp_ehlo_has(&m->ehlo, SMTP_EHLO_PIPELINING);
		if ((step->is_said_alone || !is_pipelined) && m->awaited.count > 0)
			return;
		if (is_pointless(m)) {
			finish_transaction(m, false);
			return;
		}
		if (m->phase == RELAY_PHASE_RCPT && is_settled(m)) {
			next_row(m); /* MAIL was refused meanwhile */
			continue;
		}
		step->say(m);
		if (m->phase == RELAY_PHASE_BDAT) {
			enter(m, RELAY_PHASE_BODY);
			m->actions->body_wanted(m->ctx, false);
			return;
		}
		relay_awaited_push(&m->awaited, m->phase, m->recipient);
		m->is_said = true;
		if (step->is_sync_point || !is_pipelined)
			return;
		next_row(m);
	}
}

/* ---- the outside ----------------------------------------------------------------------------- */

static void take_reply(struct relay_machine *m)
{
	m->replies_in_transaction += m->transaction != NULL;
	if (m->awaited.count == 0 && m->phase == RELAY_PHASE_BODY) {
		hear_early(m);
		return;
	}
	if (m->reply.code == 421) {
		if (m->awaited.count > 0 && m->replies_in_transaction == 1)
			m->replies_in_transaction = 0; /* a closed idle connection, politely */
		give_up_by_reply(m, false);
		return;
	}
	if (m->awaited.count == 0) {
		unexpected(m, "it spoke without being asked");
		return;
	}
	struct relay_awaited_reply a = relay_awaited_pop(&m->awaited);
	steps[a.phase].hear(m, a.recipient);
	/* a row that was not pipelined is over with its answer */
	if (m->is_said && m->awaited.count == 0 && m->phase == (enum relay_phase)a.phase)
		next_row(m);
	say_more(m);
}

size_t relay_machine_read(struct relay_machine *m, struct str input)
{
	size_t used = 0;
	if (m->phase == RELAY_PHASE_OVER || m->phase == RELAY_PHASE_UPGRADING || m->is_heard)
		return 0;
	enum smtp_reply_status status = smtp_reply_feed(&m->reply, input, &used, &m->reply_fault);
	m->is_heard = status != SMTP_REPLY_MORE;
	m->is_bad = status == SMTP_REPLY_BAD;
	m->has_extra = used < input.length;
	return used;
}

bool relay_machine_act(struct relay_machine *m)
{
	if (!m->is_heard)
		return false;
	m->is_heard = false;
	if (m->is_bad)
		give_up(m, "4.5.0", m->reply_fault.text);
	else
		take_reply(m);
	smtp_reply_clear(&m->reply);
	return true;
}

void relay_machine_lost(struct relay_machine *m, const char *why)
{
	if (m->phase != RELAY_PHASE_OVER)
		give_up(m, "4.4.2", why);
}

void relay_machine_begin(struct relay_machine *m, struct relay_transaction *transaction)
{
	assert(m->phase == RELAY_PHASE_READY && !m->transaction);
	m->transaction = transaction;
	m->replies_in_transaction = 0;
	m->recipient = 0;
	m->uses_bdat = smtp_ehlo_has(&m->ehlo, SMTP_EHLO_CHUNKING) &&
		transaction->envelope->size_bytes >= BDAT_LEAST_BYTES;
	if (!relay_transaction_fits(transaction, &m->ehlo, m->host)) {
		m->transaction = NULL;
		m->actions->transaction_over(m->ctx);
		return;
	}
	enter(m, m->needs_rset ? RELAY_PHASE_RSET : RELAY_PHASE_MAIL);
	say_more(m);
}

void relay_machine_body_sent(struct relay_machine *m)
{
	assert(m->phase == RELAY_PHASE_BODY);
	enter(m, RELAY_PHASE_FINAL);
	if (!m->is_lmtp) {
		relay_awaited_push(&m->awaited, RELAY_PHASE_FINAL, 0);
		return;
	}
	for (size_t i = 0; i < m->transaction->count; i++) {
		if (m->transaction->recipients[i].state == RELAY_RECIPIENT_ACCEPTED)
			relay_awaited_push(&m->awaited, RELAY_PHASE_FINAL, i);
	}
}

void relay_machine_body_failed(struct relay_machine *m, const char *why)
{
	struct relay_outcome outcome = { 0 };
	assert(m->phase == RELAY_PHASE_BODY);
	relay_outcome_set(&outcome, RELAY_DEFERRED, "4.3.0", "%s", why);
	end(m, RELAY_END_LOST, false, &outcome);
}

void relay_machine_quit(struct relay_machine *m)
{
	struct relay_outcome outcome = { 0 };
	assert(m->phase == RELAY_PHASE_READY);
	relay_outcome_set(&outcome, RELAY_DEFERRED, "4.3.0", "the connection was closed by us");
	end(m, RELAY_END_QUIT, true, &outcome);
}

enum relay_phase relay_machine_phase(const struct relay_machine *m)
{
	return m->phase;
}

enum relay_phase relay_machine_waiting_for(const struct relay_machine *m)
{
	const struct relay_awaited_reply *first = relay_awaited_first(&m->awaited);
	return first ? (enum relay_phase)first->phase : m->phase;
}

const struct policy_judgement *relay_machine_judgement(const struct relay_machine *m)
{
	return &m->judgement;
}

const struct smtp_ehlo *relay_machine_ehlo(const struct relay_machine *m)
{
	return &m->ehlo;
}

unsigned relay_machine_transaction_count(const struct relay_machine *m)
{
	return m->transaction_count;
}

struct relay_machine *relay_machine_new(const struct relay_machine_setup *setup,
	const struct relay_machine_actions *actions, void *ctx)
{
	assert(!setup->stays_in_clear || setup->requirement->level <= POLICY_LEVEL_MAY);
	assert(!setup->stays_in_clear || !setup->is_tls_first);
	struct relay_machine *m = mem_zero(sizeof(*m));
	m->actions = actions;
	m->ctx = ctx;
	m->hostname = mem_dup(setup->hostname);
	m->host = mem_dup(setup->host);
	m->requirement = setup->requirement;
	m->is_lmtp = setup->is_lmtp;
	m->is_tls_first = setup->is_tls_first;
	m->stays_in_clear = setup->stays_in_clear;
	m->judgement.verdict = POLICY_REFUSE;
	if (m->is_tls_first) {
		m->phase = RELAY_PHASE_UPGRADING;
	} else {
		m->phase = RELAY_PHASE_GREETING;
		relay_awaited_push(&m->awaited, RELAY_PHASE_GREETING, 0);
	}
	return m;
}

void relay_machine_free(struct relay_machine **machine)
{
	struct relay_machine *m = *machine;
	if (!m)
		return;
	*machine = NULL;
	smtp_reply_release(&m->reply);
	relay_awaited_clear(&m->awaited);
	free(m->hostname);
	free(m->host);
	free(m);
}
