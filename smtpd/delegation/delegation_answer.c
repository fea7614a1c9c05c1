#include "smtpd/delegation/delegation_answer.h"

#include "smtpd/inbound/inbound_verdict.h"

bool delegation_answer_objects(const struct policy_inbound *rules,
	const struct delegation_request *request, const struct delegation_facts *facts,
	struct policy_inbound_refusal *ret_refusal, bool *ret_is_of_recipient)
{
	struct str sender = delegation_request_value(request, DELEGATION_SENDER);
	struct str recipient = delegation_request_value(request, DELEGATION_RECIPIENT);
	struct policy_inbound_refusal of_recipient;
	*ret_is_of_recipient = false;
	if (facts->is_exempt || facts->stage == DELEGATION_STAGE_EARLY)
		return false;
	bool objects =
		!inbound_verdict_sender(rules, &facts->shown, sender,
			INBOUND_REQUIRETLS_NONE, ret_refusal);
	if (facts->stage == DELEGATION_STAGE_MAIL ||
		inbound_verdict_recipient(rules, &facts->shown, recipient, &of_recipient))
		return objects;
	if (!objects || of_recipient.mode > ret_refusal->mode) {
		*ret_refusal = of_recipient;
		*ret_is_of_recipient = true;
	}
	return true;
}

void delegation_answer_write(const struct policy_inbound_refusal *refusal, struct buf *ret)
{
	const struct policy_inbound_refusal *r = refusal;
	if (!r)
		buf_append_text(ret, "action=DUNNO\n\n");
	else if (r->mode == POLICY_INBOUND_REPORT)
		buf_printf(ret, "action=WARN %s\n\n", r->text);
	else if (r->mode == POLICY_INBOUND_QUARANTINE)
		buf_printf(ret, "action=HOLD %s\n\n", r->text);
	else
		buf_printf(ret, "action=%d %s %s\n\n", r->code, r->enhanced, r->text);
}
