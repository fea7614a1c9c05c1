#include "smtpd/session/session_machine.h"

#include <assert.h>
#include <stdlib.h>

#include "smtpd/session/session_data.h"
#include "smtpd/session/session_hello.h"
#include "smtpd/session/session_mail.h"
#include "smtpd/session/session_reply.h"

/* ---- the table -------------------------------------------------------------------------------- */

#define IN(phase) (1u << SESSION_PHASE_##phase)
#define IN_TRANSACTION (IN(MAIL) | IN(RCPT) | IN(CHUNKED))
#define ANY (IN(GREETED) | IN(READY) | IN_TRANSACTION)

enum {
	PLAIN_OK = 1,	 /* allowed before TLS where TLS is required (RFC 3207 section 4) */
	NO_ARGUMENT = 2, /* an argument is a syntax error */
	IDLE = 4,	 /* brings no mail nearer: too many count as mistakes */
};

static const struct session_command {
	enum smtp_verb verb;
	unsigned phases;
	unsigned flags;
	/* Pure: may this run? False with the refusal. */
	bool (*check)(const struct session_machine *m, struct str argument,
		struct session_parsed *ret, struct session_refusal *ret_refusal);
	void (*run)(struct session_machine *m, struct str argument,
		const struct session_parsed *parsed);
} commands[] = {
	/* verb               phases allowed       flags                   check, run */
	{ SMTP_VERB_EHLO,     ANY,                 PLAIN_OK | IDLE,
		session_hello_check_name, session_hello_run_ehlo },
	{ SMTP_VERB_HELO,     ANY,                 IDLE,
		session_hello_check_name, session_hello_run_helo },
	{ SMTP_VERB_STARTTLS, ANY,                 PLAIN_OK | NO_ARGUMENT,
		session_hello_check_starttls, session_hello_run_starttls },
	{ SMTP_VERB_MAIL,     IN(READY),           0,
		session_mail_check_sender, session_mail_run_sender },
	{ SMTP_VERB_RCPT,     IN(MAIL) | IN(RCPT), 0,
		session_mail_check_recipient, session_mail_run_recipient },
	{ SMTP_VERB_DATA,     IN(RCPT),            NO_ARGUMENT,
		NULL, session_data_run_data },
	{ SMTP_VERB_BDAT,     ANY,                 PLAIN_OK, /* its bytes are taken in any case */
		NULL, session_data_run_chunk },
	{ SMTP_VERB_RSET,     ANY,                 NO_ARGUMENT | IDLE,
		NULL, session_mail_run_reset },
	{ SMTP_VERB_NOOP,     ANY,                 PLAIN_OK | IDLE,
		NULL, session_hello_run_noop },
	{ SMTP_VERB_VRFY,     ANY,                 IDLE,
		session_hello_check_vrfy, session_hello_run_vrfy },
	{ SMTP_VERB_HELP,     ANY,                 IDLE,
		NULL, session_hello_run_help },
	{ SMTP_VERB_QUIT,     ANY,                 PLAIN_OK | NO_ARGUMENT,
		NULL, session_hello_run_quit },
};

static const struct session_command *find_command(enum smtp_verb verb)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].verb == verb)
			return &commands[i];
	}
	return NULL;
}

/* ---- phases ----------------------------------------------------------------------------------- */

/* Where each may go; ENDED is always open. */
static const unsigned next_phases[] = {
	[SESSION_PHASE_HANDSHAKE] = IN(GREETED),
	[SESSION_PHASE_GREETED] = IN(READY) | IN(CHUNK) | IN(DELAYED) | IN(SKIPPING),
	[SESSION_PHASE_READY] =
		IN(ASKING) | IN(MAIL) | IN(UPGRADING) | IN(CHUNK) | IN(DELAYED) | IN(SKIPPING),
	[SESSION_PHASE_ASKING] = IN(READY) | IN(MAIL),
	[SESSION_PHASE_MAIL] = IN(READY) | IN(RCPT) | IN(CHUNK) | IN(DELAYED) | IN(SKIPPING),
	[SESSION_PHASE_RCPT] = IN(READY) | IN(DATA) | IN(CHUNK) | IN(DELAYED) | IN(SKIPPING),
	[SESSION_PHASE_DATA] = IN(READY) | IN(COMMITTING),
	[SESSION_PHASE_CHUNK] = IN(GREETED) | IN(READY) | IN(MAIL) | IN(CHUNKED) | IN(COMMITTING),
	[SESSION_PHASE_CHUNKED] = IN(READY) | IN(CHUNK) | IN(DELAYED) | IN(SKIPPING),
	[SESSION_PHASE_COMMITTING] = IN(READY),
	[SESSION_PHASE_UPGRADING] = IN(GREETED),
	[SESSION_PHASE_DELAYED] = ANY,
	[SESSION_PHASE_SKIPPING] = ANY,
	[SESSION_PHASE_ENDED] = 0,
};

void session_machine_enter(struct session_machine *m, enum session_phase phase)
{
	assert(m->phase == phase || phase == SESSION_PHASE_ENDED ||
		(next_phases[m->phase] & 1u << phase));
	m->phase = (uint8_t)phase;
}

bool session_machine_is_waiting(const struct session_machine *m)
{
	return (1u << m->phase &
		(IN(HANDSHAKE) | IN(ASKING) | IN(COMMITTING) | IN(UPGRADING) | IN(DELAYED))) != 0;
}

/* ---- replies ---------------------------------------------------------------------------------- */

void session_machine_reply(struct session_machine *m, int code, const char *enhanced,
	const char *text)
{
	char line[SESSION_REPLY_BYTES];
	size_t length = session_reply_format(line, code, enhanced, text);
	m->actions->reply(m->ctx, line, length);
}

/* A client may go on with as many recipients as a message may have (1000) and be told 452 for each;
 * without an end it would only fill the log. */
#define PUT_OFF_MOST 1000

void session_machine_refuse(struct session_machine *m, enum smtp_verb verb, struct str argument,
	const struct session_refusal *refusal)
{
	/* replying comes last: it may move the bytes that argument points at */
	m->actions->note_refusal(m->ctx, verb, argument, refusal);
	session_machine_reply(m, refusal->code, refusal->enhanced, refusal->text);
	if (refusal->code >= 500 || ++m->put_off > PUT_OFF_MOST)
		m->errors++;
	if (refusal->code == 421)
		session_machine_end(m, "refused");
	else if (m->errors >= m->settings->errors_hard)
		session_machine_fail(m, "4.7.0", "too many errors, closing", "too-many-errors");
}

void session_machine_fail(struct session_machine *m, const char *enhanced, const char *text,
	const char *reason)
{
	/* in the middle of a handshake there is nobody to read a reply */
	if (m->phase != SESSION_PHASE_HANDSHAKE && m->phase != SESSION_PHASE_UPGRADING)
		session_machine_reply(m, 421, enhanced, text);
	session_machine_end(m, reason);
}

static void drop_transaction(struct session_machine *m)
{
	if (m->transaction && m->transaction->is_stored)
		m->actions->store_abandon(m->ctx);
	session_transaction_free(&m->transaction);
}

void session_machine_end(struct session_machine *m, const char *reason)
{
	/* what is being committed is the spool's: no answer was given, it may stay */
	if (m->phase == SESSION_PHASE_COMMITTING)
		m->transaction->is_stored = false;
	if (m->phase == SESSION_PHASE_ASKING)
		m->actions->forget_question(m->ctx);
	drop_transaction(m);
	session_machine_enter(m, SESSION_PHASE_ENDED);
	m->end_reason = reason;
}

void session_machine_reset(struct session_machine *m)
{
	drop_transaction(m);
	if (m->phase != SESSION_PHASE_ENDED)
		session_machine_enter(m, m->hello ? SESSION_PHASE_READY : SESSION_PHASE_GREETED);
}

/* A farewell that was waiting for the transaction to be over. */
static void say_farewell(struct session_machine *m)
{
	bool is_aside = m->phase == SESSION_PHASE_DELAYED || m->phase == SESSION_PHASE_SKIPPING;
	unsigned phase = 1u << (is_aside ? m->resume : m->phase);
	if (m->farewell && (phase & (IN(HANDSHAKE) | IN(GREETED) | IN(READY) | IN(UPGRADING))))
		session_machine_fail(m, "4.3.2", m->farewell, m->farewell_reason);
}

void session_machine_finish(struct session_machine *m, const char *text, const char *reason)
{
	m->farewell = text;
	m->farewell_reason = reason;
	say_farewell(m);
}

/* ---- command lines ---------------------------------------------------------------------------- */

static bool check_order(const struct session_machine *m, const struct session_command *command,
	struct session_refusal *ret)
{
	if (command->phases & 1u << m->phase)
		return true;
	if (m->phase == SESSION_PHASE_GREETED)
		return session_reply_refuse(ret, 503, "5.5.1", "send EHLO first");
	if (m->phase == SESSION_PHASE_READY)
		return session_reply_refuse(ret, 503, "5.5.1", "send MAIL first");
	if (m->phase == SESSION_PHASE_CHUNKED)
		return session_reply_refuse(ret, 503, "5.5.1", "a message in BDAT chunks is under way");
	if (command->verb == SMTP_VERB_MAIL)
		return session_reply_refuse(ret, 503, "5.5.1", "MAIL was given already");
	return session_reply_refuse(ret, 554, "5.5.1", "no valid recipients");
}

static bool check_known(const struct session_command *command, const struct smtp_command *line,
	struct session_refusal *ret)
{
	if (command)
		return true;
	if (line->verb == SMTP_VERB_FOREIGN)
		return session_reply_refuse(ret, 421, "4.7.0", "this is SMTP, not HTTP; closing");
	if (line->verb != SMTP_VERB_UNKNOWN)
		return session_reply_refuse(ret, 502, "5.5.1", "%s is not offered here",
			smtp_command_verb_name(line->verb));
	return session_reply_refuse(ret, 500, "5.5.2", "command not recognised");
}

static bool check_line(const struct session_machine *m, const struct session_command *command,
	const struct smtp_command *line, struct session_parsed *parsed, struct session_refusal *ret)
{
	if (!check_known(command, line, ret))
		return false;
	if (m->requires_tls && !m->is_secured && !(command->flags & PLAIN_OK))
		return session_reply_refuse(ret, 530, "5.7.0", "must issue a STARTTLS command first");
	if ((command->flags & NO_ARGUMENT) && line->argument.length)
		return session_reply_refuse(ret, 501, "5.5.4", "%s takes no argument",
			smtp_command_verb_name(line->verb));
	return check_order(m, command, ret) &&
		(!command->check || command->check(m, line->argument, parsed, ret));
}

#define IDLE_COMMANDS 100

/* Commands that bring no mail nearer are mistakes beyond a hundred for each message. */
void session_machine_count_idle(struct session_machine *m)
{
	if (m->idle_commands < IDLE_COMMANDS)
		m->idle_commands++;
	else
		m->errors++;
	if (m->errors >= m->settings->errors_hard && m->phase != SESSION_PHASE_ENDED)
		session_machine_fail(m, "4.7.0", "too many commands without mail, closing",
			"too-many-errors");
}

static void run_line(struct session_machine *m, struct str line)
{
	struct session_refusal refusal;
	struct session_parsed parsed;
	struct smtp_command command;
	m->is_delay_served = false;
	if (!smtp_command_is_text(line)) {
		bool has_cr = memchr(line.at, '\r', line.length) != NULL;
		session_reply_refuse(&refusal, 500, "5.5.2",
			has_cr ? "bare <CR> in a command"
			       : "control bytes or invalid UTF-8 in a command");
		session_machine_refuse(m, SMTP_VERB_UNKNOWN, STR(""), &refusal);
		return;
	}
	smtp_command_parse(line, &command);
	const struct session_command *row = find_command(command.verb);
	if (!check_line(m, row, &command, &parsed, &refusal)) {
		/* an unknown line may hold a password: its first word is enough */
		struct str told = row ? command.argument : command.word;
		session_machine_refuse(m, command.verb, told, &refusal);
		return;
	}
	row->run(m, command.argument, &parsed);
	if (row->flags & IDLE)
		session_machine_count_idle(m);
}

static size_t refuse_bare_lf(struct session_machine *m, size_t used)
{
	/* Where would the client say that its lines end? There is no good guess. */
	struct session_refusal refusal;
	session_reply_refuse(&refusal, 500, "5.5.2",
		"bare <LF> in a command: lines end with <CR><LF>; closing");
	session_machine_refuse(m, SMTP_VERB_UNKNOWN, STR(""), &refusal);
	if (m->phase != SESSION_PHASE_ENDED)
		session_machine_end(m, "bare-lf");
	return used;
}

static size_t refuse_long_line(struct session_machine *m, size_t used, bool is_whole)
{
	struct session_refusal refusal;
	enum session_phase phase = (enum session_phase)m->phase;
	m->is_delay_served = false;
	session_reply_refuse(&refusal, 500, "5.5.2", "command line longer than %llu bytes",
		(unsigned long long)m->settings->command_bytes);
	session_machine_refuse(m, SMTP_VERB_UNKNOWN, STR(""), &refusal);
	if (!is_whole && m->phase != SESSION_PHASE_ENDED) {
		m->resume = (uint8_t)phase;
		session_machine_enter(m, SESSION_PHASE_SKIPPING);
	}
	return used;
}

static size_t take_line(struct session_machine *m, struct str input)
{
	size_t lf = str_find(input, '\n');
	bool is_whole = lf < input.length;
	if (!is_whole && input.length < m->settings->command_bytes)
		return 0;
	if (m->errors >= m->settings->errors_soft && !m->is_delay_served) {
		m->resume = m->phase;
		session_machine_enter(m, SESSION_PHASE_DELAYED);
		return 0;
	}
	/* a CR at the very end of a long piece may belong to the LF that ends the line */
	if (!is_whole)
		return refuse_long_line(m, input.length - (input.at[input.length - 1] == '\r'), false);
	size_t used = lf + 1;
	bool is_bare = lf == 0 || input.at[lf - 1] != '\r';
	if (is_bare && m->settings->bare_newlines == SESSION_BARE_REFUSE)
		return refuse_bare_lf(m, used);
	if (used > m->settings->command_bytes)
		return refuse_long_line(m, used, true);
	run_line(m, str_head(input, is_bare ? lf : lf - 1));
	return used;
}

/* Throw away up to the end of an over-long line. */
static size_t skip_line(struct session_machine *m, struct str input)
{
	size_t at = 0;
	while (at < input.length) {
		size_t lf = at + str_find(str_skip(input, at), '\n');
		if (lf == input.length)
			break;
		at = lf + 1;
		if ((lf && input.at[lf - 1] == '\r') ||
			m->settings->bare_newlines == SESSION_BARE_NORMALISE) {
			session_machine_enter(m, (enum session_phase)m->resume);
			return at;
		}
	}
	return input.length - (input.length && input.at[input.length - 1] == '\r');
}

/* ---- doors ------------------------------------------------------------------------------------ */

void session_machine_init(struct session_machine *m, const struct session_settings *settings,
	const struct session_listener *listener, const struct session_actions *actions, void *ctx)
{
	*m = (struct session_machine){ .settings = settings,
		.actions = actions,
		.ctx = ctx,
		.tls = (uint8_t)listener->tls,
		.requires_tls = listener->requires_tls };
}

void session_machine_clear(struct session_machine *m)
{
	if (m->phase != SESSION_PHASE_ENDED)
		session_machine_end(m, "cleared");
	free(m->hello);
	m->hello = NULL;
}

void session_machine_start(struct session_machine *m)
{
	m->phase = SESSION_PHASE_HANDSHAKE;
	if (m->tls == SESSION_TLS_IMPLICIT && !m->is_secured)
		return;
	session_machine_enter(m, SESSION_PHASE_GREETED);
	session_hello_greet(m);
}

size_t session_machine_input(struct session_machine *m, struct str input)
{
	size_t used = 0;
	if (!input.length || m->phase == SESSION_PHASE_ENDED || session_machine_is_waiting(m))
		return 0;
	if (m->phase == SESSION_PHASE_DATA || m->phase == SESSION_PHASE_CHUNK)
		used = session_data_take(m, input);
	else if (m->phase == SESSION_PHASE_SKIPPING)
		used = skip_line(m, input);
	else
		used = take_line(m, input);
	say_farewell(m);
	return used;
}

void session_machine_upgrade(struct session_machine *m, size_t leftover_bytes)
{
	assert(m->phase == SESSION_PHASE_UPGRADING);
	if (leftover_bytes) {
		session_machine_reply(m, 554, "5.5.1", "data behind STARTTLS; closing");
		session_machine_end(m, "plaintext-after-starttls");
		return;
	}
	session_machine_reply(m, 220, "2.0.0", "ready to start TLS");
}

void session_machine_secured(struct session_machine *m)
{
	bool is_implicit = m->phase == SESSION_PHASE_HANDSHAKE;
	assert(is_implicit || m->phase == SESSION_PHASE_UPGRADING);
	m->is_secured = true;
	m->is_extended = false;
	free(m->hello);
	m->hello = NULL;
	session_machine_enter(m, SESSION_PHASE_GREETED);
	if (is_implicit)
		session_hello_greet(m);
	say_farewell(m);
}

void session_machine_answered(struct session_machine *m, const struct session_refusal *refusal)
{
	assert(m->phase == SESSION_PHASE_ASKING);
	session_mail_answered(m, refusal);
	say_farewell(m);
}

void session_machine_stored(struct session_machine *m, uint64_t id, const struct err *why)
{
	assert(m->phase == SESSION_PHASE_COMMITTING);
	m->transaction->is_stored = false;
	session_data_stored(m, id, why);
	say_farewell(m);
}

void session_machine_resume(struct session_machine *m)
{
	assert(m->phase == SESSION_PHASE_DELAYED);
	m->is_delay_served = true;
	session_machine_enter(m, (enum session_phase)m->resume);
}
