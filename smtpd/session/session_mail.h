/* session_mail: the envelope: MAIL, RCPT, RSET. For session_machine.
 *
 * Promise: the domain the gate is asked about is the one mail would really go to: behind the last
 *          unquoted "@", source routes dropped, as A-labels in lower case. A local part that names
 *          another place to servers that rewrite addresses (a%b@c, b!a@c, "a@b"@c) is taken only
 *          from clients that may send to that place as well.
 */
#ifndef SMTPD_SESSION_SESSION_MAIL_H
#define SMTPD_SESSION_SESSION_MAIL_H

#include "smtpd/session/session_machine.h"

bool session_mail_check_sender(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal);
void session_mail_run_sender(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
/* ASKING is over; refusal NULL: the sender is welcome. */
void session_mail_answered(struct session_machine *m, const struct session_refusal *refusal);
bool session_mail_check_recipient(const struct session_machine *m, struct str argument,
	struct session_parsed *ret, struct session_refusal *ret_refusal);
void session_mail_run_recipient(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_mail_run_reset(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);

#endif
