#include "smtpd/explain/probe_machine.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "smtpd/control/control_print.h"

enum { SHOWN_BYTES = 150 }; /* of a reply, in a sentence */

static void say_ehlo(struct probe_machine *m)
{
	struct buf line = { 0 };
	buf_printf(&line, "EHLO %s", m->hostname);
	m->actions->say(m->ctx, buf_text(&line));
	buf_release(&line);
}

static void say_starttls(struct probe_machine *m)
{
	m->actions->say(m->ctx, "STARTTLS");
}

static void say_quit(struct probe_machine *m)
{
	m->actions->say(m->ctx, "QUIT");
}

static void over(struct probe_machine *m, const char *why)
{
	if (m->step == PROBE_OVER)
		return;
	if (why && !m->why[0])
		snprintf(m->why, sizeof(m->why), "%s", why);
	m->step = PROBE_OVER;
	m->actions->over(m->ctx, m->why[0] ? m->why : NULL);
}

static void enter(struct probe_machine *m, enum probe_step step);

static void note_why(struct probe_machine *m, const char *what)
{
	struct buf text = { 0 };
	struct str lines = smtp_reply_line(&m->reply, 0);
	control_print_safe(&text, str_head(lines, lines.length < SHOWN_BYTES ? lines.length : SHOWN_BYTES));
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why), "%s \"%d %s\"", what, m->reply.code, buf_text(&text));
	buf_release(&text);
}

/* Not to be used, and the first cause counts; a goodbye is still polite. */
static void give_up(struct probe_machine *m, const char *what)
{
	note_why(m, what);
	enter(m, PROBE_QUIT);
}

/* More came than was asked for: what stands behind would be taken for the answer to a goodbye. */
static void give_up_at_once(struct probe_machine *m, const char *what)
{
	note_why(m, what);
	over(m, NULL);
}

static void hear_greeting(struct probe_machine *m)
{
	if (m->reply.code != 220)
		give_up(m, "it greets with");
	else if (m->has_extra)
		give_up_at_once(m, "it says more than a greeting before it is asked:");
	else
		enter(m, PROBE_EHLO);
}

static void hear_ehlo(struct probe_machine *m)
{
	m->ehlo = (struct smtp_ehlo){ 0 };
	if (m->has_extra) {
		give_up_at_once(m, "it says more than it was asked behind its answer to EHLO,");
		return;
	}
	if (m->reply.code == 250)
		smtp_ehlo_parse(&m->reply, &m->ehlo);
	else if (m->is_secured || smtp_reply_class(&m->reply) != 5) { /* 5: HELO would suit it */
		give_up(m, "it answers EHLO with");
		return;
	}
	if (m->is_secured) {
		enter(m, PROBE_QUIT);
	} else if (smtp_ehlo_has(&m->ehlo, SMTP_EHLO_STARTTLS)) {
		enter(m, PROBE_STARTTLS);
	} else {
		m->actions->no_starttls(m->ctx);
		enter(m, PROBE_QUIT);
	}
}

static void hear_starttls(struct probe_machine *m)
{
	char why[200];
	struct buf text = { 0 };
	if (m->has_extra) { /* CVE-2011-0411 class */
		give_up_at_once(m, "plaintext follows its answer to STARTTLS, put there by anybody on the "
				   "way:");
		return;
	}
	if (m->reply.code == 220) {
		enter(m, PROBE_HANDSHAKE);
		m->actions->start_tls(m->ctx);
		return;
	}
	struct str line = smtp_reply_line(&m->reply, 0);
	control_print_safe(&text, str_head(line, line.length < SHOWN_BYTES ? line.length : SHOWN_BYTES));
	snprintf(why, sizeof(why), "STARTTLS was answered \"%d %s\"", m->reply.code, buf_text(&text));
	buf_release(&text);
	m->actions->tls_refused(m->ctx, why);
	enter(m, PROBE_QUIT);
}

static void hear_quit(struct probe_machine *m)
{
	over(m, NULL);
}

/* What is said on entering a step, and what its reply leads to. */
static const struct row {
	const char *name;
	void (*say)(struct probe_machine *m);
	void (*hear)(struct probe_machine *m);
	unsigned entered_from;
} rows[] = {
#define FROM(step) (1u << PROBE_##step)
	[PROBE_GREETING] = { "the greeting", NULL, hear_greeting, FROM(HANDSHAKE) },
	[PROBE_EHLO] = { "the answer to EHLO", say_ehlo, hear_ehlo, FROM(GREETING) },
	[PROBE_STARTTLS] = { "the answer to STARTTLS", say_starttls, hear_starttls, FROM(EHLO) },
	[PROBE_HANDSHAKE] = { "the handshake", NULL, NULL, FROM(STARTTLS) },
	[PROBE_EHLO_AGAIN] = { "the answer to EHLO in TLS", say_ehlo, hear_ehlo, FROM(HANDSHAKE) },
	[PROBE_QUIT] = { "the answer to QUIT", say_quit, hear_quit,
		FROM(GREETING) | FROM(EHLO) | FROM(STARTTLS) | FROM(EHLO_AGAIN) },
	[PROBE_OVER] = { "nothing", NULL, NULL, 0 },
};

const char *probe_step_name(enum probe_step step)
{
	return rows[step].name;
}

static void enter(struct probe_machine *m, enum probe_step step)
{
	assert(rows[step].entered_from & (1u << m->step));
	m->step = step;
	if (rows[step].say)
		rows[step].say(m);
}

static void tell_reply(struct probe_machine *m)
{
	for (unsigned i = 0; i < m->reply.line_count; i++)
		m->actions->heard(m->ctx, m->reply.code, smtp_reply_line(&m->reply, i));
}

size_t probe_machine_read(struct probe_machine *m, struct str input)
{
	size_t used = 0;
	if (!rows[m->step].hear || m->is_heard)
		return 0;
	enum smtp_reply_status status = smtp_reply_feed(&m->reply, input, &used, &m->fault);
	m->is_heard = status != SMTP_REPLY_MORE;
	m->is_bad = status == SMTP_REPLY_BAD;
	m->has_extra = used < input.length;
	return used;
}

bool probe_machine_act(struct probe_machine *m)
{
	if (!m->is_heard)
		return false;
	m->is_heard = false;
	if (m->is_bad) {
		over(m, m->fault.text);
	} else {
		tell_reply(m);
		rows[m->step].hear(m);
	}
	smtp_reply_clear(&m->reply);
	return true;
}

void probe_machine_secured(struct probe_machine *m)
{
	assert(m->step == PROBE_HANDSHAKE);
	m->is_secured = true;
	m->ehlo = (struct smtp_ehlo){ 0 }; /* RFC 3207 section 4.2 */
	enter(m, m->is_tls_first ? PROBE_GREETING : PROBE_EHLO_AGAIN);
}

void probe_machine_tls_failed(struct probe_machine *m)
{
	assert(m->step == PROBE_HANDSHAKE);
	over(m, NULL);
}

void probe_machine_lost(struct probe_machine *m, const char *why)
{
	over(m, m->step == PROBE_QUIT ? NULL : why); /* a peer that hangs up at QUIT breaks nothing */
}

void probe_machine_begin(struct probe_machine *m, const char *hostname, bool is_tls_first,
	const struct probe_machine_actions *actions, void *ctx)
{
	*m = (struct probe_machine){ .actions = actions, .ctx = ctx, .hostname = hostname,
		.is_tls_first = is_tls_first,
		.step = is_tls_first ? PROBE_HANDSHAKE : PROBE_GREETING };
}

void probe_machine_clear(struct probe_machine *m)
{
	smtp_reply_release(&m->reply);
}
