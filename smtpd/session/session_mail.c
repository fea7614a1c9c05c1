#include "smtpd/session/session_mail.h"

#include <stdio.h>

#include "smtpd/session/session_reply.h"

/* ---- MAIL ------------------------------------------------------------------------------------- */

static bool refuse_params(enum smtp_params_result result, const struct err *why,
	struct session_refusal *ret)
{
	return session_reply_refuse(ret, result == SMTP_PARAMS_UNKNOWN ? 555 : 501, "5.5.4", "%s",
		why->text);
}

/* The path and its domain. enhanced: what a bad path is called (5.1.7 sender, 5.1.3 recipient). */
static bool check_path(struct str *argument, unsigned allow, const char *enhanced,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	struct err why;
	if (smtp_address_parse_path(argument, allow, &ret->address, &why) != 0)
		return session_reply_refuse(ret_refusal, 501, enhanced, "%s", why.text);
	ret->domain[0] = '\0';
	if (ret->address.domain.length &&
		smtp_address_domain_ascii(ret->address.domain, ret->domain, &why) != 0)
		return session_reply_refuse(ret_refusal, 501, enhanced, "%s", why.text);
	return true;
}

static bool check_size(const struct session_machine *m, const struct smtp_params_mail *params,
	struct session_refusal *ret)
{
	if (params->size_bytes <= m->settings->message_bytes)
		return true;
	return session_reply_refuse(ret, 552, "5.3.4", "the message is larger than %llu bytes",
		(unsigned long long)m->settings->message_bytes);
}

bool session_mail_check_sender(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	struct err why;
	if (!smtp_command_take_keyword(&argument, STR("FROM:")))
		return session_reply_refuse(ret_refusal, 501, "5.5.4", "say MAIL FROM:<address>");
	if (!check_path(&argument, SMTP_ADDRESS_ALLOW_NULL, "5.1.7", ret, ret_refusal))
		return false;
	enum smtp_params_result result = smtp_params_parse_mail(argument, &ret->mail, &why);
	if (result != SMTP_PARAMS_OK)
		return refuse_params(result, &why, ret_refusal);
	if (!ret->address.is_ascii && !ret->mail.is_smtputf8)
		return session_reply_refuse(ret_refusal, 553, "5.6.7",
			"an address that is not ASCII needs the parameter SMTPUTF8");
	return check_size(m, &ret->mail, ret_refusal);
}

static void accept_sender(struct session_machine *m)
{
	m->transactions++;
	session_machine_enter(m, SESSION_PHASE_MAIL);
	session_machine_reply(m, 250, "2.1.0", "OK");
}

/* Only of a domain can be asked whether it takes mail. */
static bool must_ask(const struct session_machine *m, struct str domain)
{
	return m->settings->refuse_null_mx_senders && domain.length && domain.at[0] != '[';
}

void session_mail_run_sender(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	struct session_refusal refusal;
	if (m->transactions >= (unsigned long)m->settings->messages) {
		session_machine_fail(m, "4.7.0", "enough messages for one connection, come again",
			"message-limit");
		return;
	}
	if (!m->actions->may_send(m->ctx, str_of(parsed->domain), &refusal)) {
		m->refused++;
		session_machine_refuse(m, SMTP_VERB_MAIL, argument, &refusal);
		return;
	}
	m->transaction = session_transaction_new(parsed->address.text, &parsed->mail);
	struct str domain = str_of(parsed->domain);
	if (must_ask(m, domain) && m->actions->ask_sender(m->ctx, domain))
		session_machine_enter(m, SESSION_PHASE_ASKING);
	else
		accept_sender(m);
}

void session_mail_answered(struct session_machine *m, const struct session_refusal *refusal)
{
	char argument[SMTP_ADDRESS_BYTES + sizeof("FROM:<>")];
	if (!refusal) {
		accept_sender(m);
		return;
	}
	/* the command line is gone; what there was to know of it is in the transaction */
	snprintf(argument, sizeof(argument), "FROM:<%.*s>", STR_ARGS(m->transaction->sender));
	m->refused++;
	session_machine_reset(m);
	session_machine_refuse(m, SMTP_VERB_MAIL, str_of(argument), refusal);
}

/* ---- RCPT ------------------------------------------------------------------------------------- */

bool session_mail_check_recipient(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal)
{
	struct err why;
	if (!smtp_command_take_keyword(&argument, STR("TO:")))
		return session_reply_refuse(ret_refusal, 501, "5.5.4", "say RCPT TO:<address>");
	if (!check_path(&argument, SMTP_ADDRESS_ALLOW_POSTMASTER, "5.1.3", ret, ret_refusal))
		return false;
	enum smtp_params_result result = smtp_params_parse_rcpt(argument, &ret->rcpt, &why);
	if (result != SMTP_PARAMS_OK)
		return refuse_params(result, &why, ret_refusal);
	bool is_utf8 = m->transaction->flags & SPOOL_FLAG_SMTPUTF8;
	if (!is_utf8 && !(ret->address.is_ascii && str_is_ascii(ret->rcpt.orcpt)))
		return session_reply_refuse(ret_refusal, 553, "5.6.7",
			"an address that is not ASCII needs MAIL with SMTPUTF8");
	if (m->transaction->recipient_count >= (unsigned long)m->settings->recipients)
		return session_reply_refuse(ret_refusal, 452, "4.5.3", "too many recipients");
	return true;
}

/* May this client send to every place that the local part could name as well? */
static bool may_receive_hidden(struct session_machine *m, const struct session_parsed *parsed,
	struct session_refusal *ret)
{
	char plain[SMTP_ADDRESS_LOCAL_BYTES], domain[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	struct str local = smtp_address_unquote(parsed->address.local, plain);
	struct str hidden;
	size_t cursor = 0;
	while (smtp_address_next_hidden_domain(local, &cursor, &hidden)) {
		if (smtp_address_domain_ascii(hidden, domain, NULL) != 0)
			return session_reply_refuse(ret, 550, "5.1.3",
				"%%, ! and @ are not taken in a local part here");
		if (!m->actions->may_receive(m->ctx, parsed->address.text, str_of(domain), ret))
			return session_reply_refuse(ret, 550, "5.7.1",
				"relaying through an address within an address is refused");
	}
	return true;
}

void session_mail_run_recipient(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	struct session_refusal refusal;
	char at_home[SMTP_ADDRESS_BYTES + 2];
	struct str address = parsed->address.text, domain = str_of(parsed->domain);
	if (!domain.length) { /* <postmaster>: ours (RFC 5321 section 4.1.1.3) */
		int length = snprintf(at_home, sizeof(at_home), "postmaster@%.200s",
			m->settings->hostname);
		address = str_from(at_home, (size_t)length);
		domain = str_skip(address, sizeof("postmaster@") - 1);
	}
	if (!m->actions->may_receive(m->ctx, address, domain, &refusal) ||
		!may_receive_hidden(m, parsed, &refusal)) {
		session_machine_refuse(m, SMTP_VERB_RCPT, argument, &refusal);
		return;
	}
	session_transaction_add(m->transaction, address, &parsed->rcpt);
	session_machine_enter(m, SESSION_PHASE_RCPT);
	session_machine_reply(m, 250, "2.1.5", "OK");
}

/* ---- RSET ------------------------------------------------------------------------------------- */

void session_mail_run_reset(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed)
{
	(void)argument;
	(void)parsed;
	session_machine_reset(m);
	session_machine_reply(m, 250, "2.0.0", "OK");
}
