/* session_hello: greeting, EHLO, HELO, STARTTLS and the small commands. For session_machine. */
#ifndef SMTPD_SESSION_SESSION_HELLO_H
#define SMTPD_SESSION_SESSION_HELLO_H

#include "smtpd/session/session_machine.h"

void session_hello_greet(struct session_machine *m);
bool session_hello_check_name(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal);
void session_hello_run_ehlo(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_hello_run_helo(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
bool session_hello_check_starttls(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal);
void session_hello_run_starttls(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
bool session_hello_check_vrfy(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal);
void session_hello_run_vrfy(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_hello_run_noop(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_hello_run_help(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_hello_run_quit(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);

#endif
