#include "smtpd/session/session_hello.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/session/session_reply.h"

static void reply_as_host(struct session_machine *m, int code, const char *enhanced,
	const char *words)
{
	char text[SESSION_REPLY_BYTES];
	snprintf(text, sizeof(text), "%s %s", m->settings->hostname, words);
	session_machine_reply(m, code, enhanced, text);
}

void session_hello_greet(struct session_machine *m)
{
	reply_as_host(m, 220, NULL, "ESMTP Postern");
}

/* ---- EHLO and HELO ---------------------------------------------------------------------------- */

bool session_hello_check_name(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	(void)m;
	(void)ret;
	if (!argument.length)
		return session_reply_refuse(ret_refusal, 501, "5.5.4",
			"say who you are: a domain name or an address literal");
	if (!smtp_command_is_hello_name(argument))
		return session_reply_refuse(ret_refusal, 501, "5.5.4",
			"that is neither a domain name nor an address literal");
	return true;
}

/* RFC 5321 section 4.1.4: EHLO and HELO clear everything, as RSET does. */
static void begin_hello(struct session_machine *m, struct str name, bool is_extended)
{
	free(m->hello);
	m->hello = mem_dup_bytes(name.at, name.length);
	m->is_extended = is_extended;
	session_machine_reset(m);
}

void session_hello_run_ehlo(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	char text[1024];
	(void)parsed;
	begin_hello(m, argument, true);
	/* never offered again once TLS is active (RFC 3207 section 4.2) */
	bool offers_tls = m->tls == SESSION_TLS_STARTTLS && !m->is_secured &&
		m->actions->has_tls(m->ctx);
	int length = snprintf(text, sizeof(text),
		"250-%.255s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DSN\r\n%s"
		"250 LIMITS RCPTMAX=%ld MAILMAX=%ld\r\n",
		m->settings->hostname, (unsigned long long)m->settings->message_bytes,
		offers_tls ? "250-STARTTLS\r\n" : "", m->settings->recipients,
		m->settings->messages);
	assert(length > 0 && (size_t)length < sizeof(text));
	m->actions->reply(m->ctx, text, (size_t)length);
}

void session_hello_run_helo(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)parsed;
	begin_hello(m, argument, false);
	session_machine_reply(m, 250, NULL, m->settings->hostname);
}

/* ---- STARTTLS --------------------------------------------------------------------------------- */

bool session_hello_check_starttls(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	(void)argument;
	(void)ret;
	if (m->is_secured)
		return session_reply_refuse(ret_refusal, 554, "5.5.1", "TLS already active");
	if (m->tls != SESSION_TLS_STARTTLS)
		return session_reply_refuse(ret_refusal, 502, "5.5.1", "STARTTLS is not offered here");
	if (m->phase == SESSION_PHASE_GREETED)
		return session_reply_refuse(ret_refusal, 503, "5.5.1", "send EHLO first");
	if (m->phase != SESSION_PHASE_READY)
		return session_reply_refuse(ret_refusal, 503, "5.5.1",
			"STARTTLS is not allowed during a mail transaction");
	return true;
}

void session_hello_run_starttls(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)parsed;
	if (!m->actions->has_tls(m->ctx)) {
		struct session_refusal refusal;
		session_reply_refuse(&refusal, 454, "4.7.0", "TLS is not available now");
		session_machine_refuse(m, SMTP_VERB_STARTTLS, argument, &refusal);
		return;
	}
	/* the reply comes when it is known that nothing lies behind the command */
	session_machine_enter(m, SESSION_PHASE_UPGRADING);
}

/* ---- the small ones --------------------------------------------------------------------------- */

bool session_hello_check_vrfy(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	(void)m;
	(void)ret;
	return argument.length ||
		session_reply_refuse(ret_refusal, 501, "5.5.4", "VRFY whom?");
}

void session_hello_run_vrfy(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	session_machine_reply(m, 252, "2.0.0", "cannot verify here, but try MAIL and RCPT");
}

void session_hello_run_noop(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	session_machine_reply(m, 250, "2.0.0", "OK");
}

void session_hello_run_help(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	session_machine_reply(m, 214, "2.0.0",
		"EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; see RFC 5321");
}

void session_hello_run_quit(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	session_machine_reply(m, 221, "2.0.0", "bye");
	session_machine_end(m, "quit");
}
