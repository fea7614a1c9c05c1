/* delegation_answer: the rules' verdict on a request, and the action Postfix is told. Pure.
 *
 * For:     delegation_server.
 * Stages:  before MAIL nothing is refused: STARTTLS may still come. At MAIL the sender's rules are asked, at
 *          RCPT and behind it also the recipient's: with smtpd_delay_reject (its default) Postfix asks
 *          nothing before RCPT.
 * Words:   DUNNO where nothing is objected to (OK would end the restrictions behind this one); "554 5.7.1
 *          text" and the like; HOLD text (the whole message); WARN text: Postfix logs it and goes on.
 */
#ifndef SMTPD_DELEGATION_DELEGATION_ANSWER_H
#define SMTPD_DELEGATION_DELEGATION_ANSWER_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "policy/policy_inbound.h"
#include "smtpd/delegation/delegation_facts.h"

/* True: the rules object. is_of_recipient: it is the recipient's rule that does. */
bool delegation_answer_objects(const struct policy_inbound *rules,
	const struct delegation_request *request, const struct delegation_facts *facts,
	struct policy_inbound_refusal *ret_refusal, bool *ret_is_of_recipient);
/* "action=...\n\n"; refusal NULL: nothing is objected to. Appended to ret. */
void delegation_answer_write(const struct policy_inbound_refusal *refusal, struct buf *ret);

#endif
