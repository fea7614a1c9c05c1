#include "smtpd/session/session_data.h"

#include <assert.h>
#include <stdio.h>

#include "smtpd/session/session_reply.h"

/* ---- keeping content -------------------------------------------------------------------------- */

static bool refuse_store(struct session_refusal *ret, const struct err *why)
{
	if (why->kind == ERR_LIMIT)
		return session_reply_refuse(ret, 452, "4.3.1", "no room for mail now, try later");
	return session_reply_refuse(ret, 451, "4.3.0", "cannot keep mail now, try later");
}

/* From now on the content is only swallowed. */
static void give_up(struct session_machine *m)
{
	struct session_transaction *t = m->transaction;
	if (t->is_stored)
		m->actions->store_abandon(m->ctx);
	t->is_stored = false;
}

static bool check_content(const struct session_machine *m, struct session_refusal *ret)
{
	const struct session_transaction *t = m->transaction;
	const struct smtp_dots_decoder *d = &t->decoder;
	if (d->content_bytes > m->settings->message_bytes)
		return session_reply_refuse(ret, 552, "5.3.4",
			"the message is larger than %llu bytes",
			(unsigned long long)m->settings->message_bytes);
	if (t->scan.received > (unsigned long)m->settings->hops)
		return session_reply_refuse(ret, 554, "5.4.6", "too many hops: a mail loop?");
	if (d->faults == SMTP_DOTS_LONG_LINE)
		return session_reply_refuse(ret, 552, "5.5.2", "a line of the message is longer than "
			"%llu bytes", (unsigned long long)m->settings->line_bytes);
	if (d->faults)
		return session_reply_refuse(ret, 554, "5.5.2", "%s",
			smtp_dots_fault_text(d->faults));
	return true;
}

/* A first line that begins with a blank would go on with our Received field as if it were ours: an
 * empty line before it makes it the body that it is. */
static int write_content(struct session_machine *m, struct str content, struct err *err)
{
	bool is_first = m->transaction->decoder.content_bytes == content.length;
	if (is_first && (content.at[0] == ' ' || content.at[0] == '\t') &&
		m->actions->store_write(m->ctx, STR("\r\n"), err) != 0)
		return -1;
	return m->actions->store_write(m->ctx, content, err);
}

static void keep(struct session_machine *m, struct str content)
{
	struct session_transaction *t = m->transaction;
	struct err why;
	if (t->refusal.code)
		return;
	if (!t->scan.is_done)
		smtp_trace_scan(&t->scan, content);
	if (!check_content(m, &t->refusal)) {
		give_up(m);
	} else if (content.length && write_content(m, content, &why) != 0) {
		refuse_store(&t->refusal, &why);
		give_up(m);
	}
}

static bool begin_content(struct session_machine *m, enum smtp_dots_framing framing)
{
	struct session_transaction *t = m->transaction;
	struct err why;
	smtp_dots_decoder_init(&t->decoder, framing,
		m->settings->bare_newlines == SESSION_BARE_NORMALISE, m->settings->line_bytes);
	if (m->actions->store_begin(m->ctx, &why) != 0)
		return refuse_store(&t->refusal, &why);
	t->is_stored = true;
	return true;
}

/* The message is whole, or it is known why it is not to be had. */
static void end_content(struct session_machine *m, enum smtp_verb verb)
{
	struct session_refusal refusal = m->transaction->refusal;
	if (!refusal.code) {
		session_machine_enter(m, SESSION_PHASE_COMMITTING);
		m->actions->store_commit(m->ctx);
		return;
	}
	m->refused++;
	m->actions->note_refusal(m->ctx, verb, STR(""), &refusal);
	session_machine_reset(m);
	session_machine_reply(m, refusal.code, refusal.enhanced, refusal.text);
	if (refusal.code >= 500 && ++m->errors >= m->settings->errors_hard)
		session_machine_fail(m, "4.7.0", "too many errors, closing", "too-many-errors");
}

/* Refused content is taken up to as much again as a message may have; then patience ends. */
static bool is_endless(const struct session_machine *m)
{
	return m->transaction->decoder.content_bytes / 2 > m->settings->message_bytes;
}

/* ---- DATA ------------------------------------------------------------------------------------- */

void session_data_run_data(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	if (!begin_content(m, SMTP_DOTS_DATA)) {
		end_content(m, SMTP_VERB_DATA);
		return;
	}
	session_machine_enter(m, SESSION_PHASE_DATA);
	session_machine_reply(m, 354, NULL, "end with <CR><LF>.<CR><LF>");
}

static size_t take_data(struct session_machine *m, struct str input)
{
	struct str rest = input, span;
	enum smtp_dots_step step;
	while ((step = smtp_dots_decode(&m->transaction->decoder, &rest, &span)) == SMTP_DOTS_SPAN)
		keep(m, span);
	if (step == SMTP_DOTS_END) {
		keep(m, STR("")); /* a fault may have come without content */
		end_content(m, SMTP_VERB_DATA);
	} else if (is_endless(m)) {
		session_machine_fail(m, "4.3.4", "the message does not end, closing", "endless-message");
	}
	return input.length - rest.length;
}

/* ---- BDAT ------------------------------------------------------------------------------------- */

/* BDAT outside of its place: its bytes were taken all the same, and that is all. */
static void refuse_chunk(struct session_machine *m)
{
	struct session_refusal refusal;
	session_machine_enter(m, (enum session_phase)m->resume);
	if (m->requires_tls && !m->is_secured)
		session_reply_refuse(&refusal, 530, "5.7.0", "must issue a STARTTLS command first");
	else if (m->phase == SESSION_PHASE_MAIL)
		session_reply_refuse(&refusal, 554, "5.5.1", "no valid recipients");
	else
		session_reply_refuse(&refusal, 503, "5.5.1", "send MAIL and RCPT first");
	session_machine_refuse(m, SMTP_VERB_BDAT, STR(""), &refusal);
}

static bool is_chunk_wanted(const struct session_machine *m)
{
	return m->transaction && m->transaction->recipient_count;
}

static void end_chunk(struct session_machine *m)
{
	if (!is_chunk_wanted(m)) {
		refuse_chunk(m);
		return;
	}
	if (m->is_chunk_last)
		keep(m, smtp_dots_decode_finish(&m->transaction->decoder));
	if (m->is_chunk_last || m->transaction->refusal.code) {
		/* once a chunk has failed the message has: later chunks are swallowed */
		end_content(m, SMTP_VERB_BDAT);
		return;
	}
	session_machine_enter(m, SESSION_PHASE_CHUNKED);
	session_machine_reply(m, 250, "2.0.0", "chunk taken");
}

void session_data_run_chunk(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	bool is_last;
	(void)parsed;
	if (!smtp_command_parse_chunk(argument, &m->chunk_left, &is_last)) {
		/* how many bytes follow? Whatever they are, they are no commands. */
		struct session_refusal refusal;
		session_reply_refuse(&refusal, 501, "5.5.4", "say BDAT size [LAST]; closing");
		session_machine_refuse(m, SMTP_VERB_BDAT, argument, &refusal);
		if (m->phase != SESSION_PHASE_ENDED)
			session_machine_end(m, "bad-chunk-size");
		return;
	}
	m->is_chunk_last = is_last;
	m->resume = m->phase;
	if (m->phase == SESSION_PHASE_RCPT)
		begin_content(m, SMTP_DOTS_CHUNK);
	session_machine_enter(m, SESSION_PHASE_CHUNK);
	if (m->chunk_left)
		return;
	end_chunk(m);
	if (m->phase == SESSION_PHASE_CHUNKED)
		session_machine_count_idle(m);
}

static size_t take_chunk(struct session_machine *m, struct str input)
{
	size_t used = input.length < m->chunk_left ? input.length : (size_t)m->chunk_left;
	struct str rest = str_head(input, used), span;
	m->chunk_left -= used;
	if (is_chunk_wanted(m)) {
		struct smtp_dots_decoder *d = &m->transaction->decoder;
		while (smtp_dots_decode(d, &rest, &span) == SMTP_DOTS_SPAN)
			keep(m, span);
	}
	if (!m->chunk_left)
		end_chunk(m);
	else if (m->chunk_left / 2 > m->settings->message_bytes ||
		(is_chunk_wanted(m) && is_endless(m)))
		session_machine_fail(m, "4.3.4", "that is too large a chunk, closing",
			"endless-message");
	return used;
}

size_t session_data_take(struct session_machine *m, struct str input)
{
	return m->phase == SESSION_PHASE_DATA ? take_data(m, input) : take_chunk(m, input);
}

/* ---- the spool's answer ----------------------------------------------------------------------- */

void session_data_stored(struct session_machine *m, uint64_t id, const struct err *why)
{
	if (why) {
		struct session_refusal refusal;
		refuse_store(&refusal, why);
		m->refused++;
		m->actions->note_refusal(m->ctx, SMTP_VERB_DATA, STR(""), &refusal);
		session_machine_reset(m);
		session_machine_reply(m, refusal.code, refusal.enhanced, refusal.text);
		return;
	}
	char text[40] = "OK queued as ";
	spool_id_format(id, text + sizeof("OK queued as ") - 1);
	m->accepted++;
	m->idle_commands = 0;
	m->put_off = 0;
	session_machine_reset(m);
	session_machine_reply(m, 250, "2.0.0", text);
}
