#include "smtpd/relay/relay_transaction.h"

#include "smtpd/relay/relay_outcome.h"

void relay_transaction_format_mail(const struct relay_transaction *t, const struct smtp_ehlo *ehlo,
	struct buf *ret)
{
	const struct spool_envelope *e = t->envelope;
	buf_printf(ret, "MAIL FROM:<%.*s>", STR_ARGS(e->sender));
	if (smtp_ehlo_has(ehlo, SMTP_EHLO_SIZE))
		buf_printf(ret, " SIZE=%llu", (unsigned long long)e->size_bytes);
	if ((e->flags & (SPOOL_FLAG_8BITMIME | SPOOL_FLAG_SMTPUTF8)) &&
		smtp_ehlo_has(ehlo, SMTP_EHLO_8BITMIME))
		buf_append_text(ret, " BODY=8BITMIME");
	if ((e->flags & SPOOL_FLAG_SMTPUTF8) && smtp_ehlo_has(ehlo, SMTP_EHLO_SMTPUTF8))
		buf_append_text(ret, " SMTPUTF8");
	if (smtp_ehlo_has(ehlo, SMTP_EHLO_DSN)) {
		if (e->ret != SPOOL_RET_NONE)
			buf_append_text(ret, e->ret == SPOOL_RET_FULL ? " RET=FULL" : " RET=HDRS");
		if (e->envid.length > 0)
			buf_printf(ret, " ENVID=%.*s", STR_ARGS(e->envid));
	}
	buf_append_text(ret, "\r\n");
}

static void format_notify(uint8_t notify, struct buf *ret)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { SPOOL_NOTIFY_SUCCESS, "SUCCESS" }, { SPOOL_NOTIFY_FAILURE, "FAILURE" },
		{ SPOOL_NOTIFY_DELAY, "DELAY" } };
	const char *separator = " NOTIFY=";
	if (notify & SPOOL_NOTIFY_NEVER) {
		buf_append_text(ret, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_append_text(ret, separator);
		buf_append_text(ret, words[i].word);
		separator = ",";
	}
}

void relay_transaction_format_rcpt(const struct relay_recipient *r, const struct smtp_ehlo *ehlo,
	struct buf *ret)
{
	buf_printf(ret, "RCPT TO:<%.*s>", STR_ARGS(r->who->address));
	if (smtp_ehlo_has(ehlo, SMTP_EHLO_DSN)) {
		format_notify(r->who->notify, ret);
		if (r->who->orcpt.length > 0)
			buf_printf(ret, " ORCPT=%.*s", STR_ARGS(r->who->orcpt));
	}
	buf_append_text(ret, "\r\n");
}

size_t relay_transaction_settle(struct relay_transaction *t, enum relay_recipient_state state,
	const struct relay_outcome *outcome)
{
	size_t count = 0;
	for (size_t i = 0; i < t->count; i++) {
		struct relay_recipient *r = &t->recipients[i];
		if (r->state != state)
			continue;
		r->state = RELAY_RECIPIENT_SETTLED;
		relay_outcome_copy(r->outcome, outcome);
		count++;
	}
	return count;
}

size_t relay_transaction_count_state(const struct relay_transaction *t,
	enum relay_recipient_state state)
{
	size_t count = 0;
	for (size_t i = 0; i < t->count; i++)
		count += t->recipients[i].state == state;
	return count;
}

static void settle_utf8(struct relay_transaction *t, const char *host)
{
	for (size_t i = 0; i < t->count; i++) {
		struct relay_recipient *r = &t->recipients[i];
		if (r->state != RELAY_RECIPIENT_WAITING ||
			(!t->needs_utf8 && str_is_ascii(r->who->address)))
			continue;
		r->state = RELAY_RECIPIENT_SETTLED;
		relay_outcome_set(r->outcome, RELAY_FAILED, "5.6.7",
			"the message uses internationalised addresses or headers (SMTPUTF8), which "
			"%s does not support", host);
	}
}

bool relay_transaction_fits(struct relay_transaction *t, const struct smtp_ehlo *ehlo,
	const char *host)
{
	uint64_t size = t->envelope->size_bytes;
	if (ehlo->size_limit_bytes > 0 && size > ehlo->size_limit_bytes) {
		struct relay_outcome outcome;
		relay_outcome_set(&outcome, RELAY_FAILED, "5.3.4",
			"the message has %llu bytes; %s takes at most %llu",
			(unsigned long long)size, host, (unsigned long long)ehlo->size_limit_bytes);
		relay_transaction_settle(t, RELAY_RECIPIENT_WAITING, &outcome);
	}
	/* RFC 6531 section 3.2; only the UTF-8 that is really there counts, not the wish */
	if (!smtp_ehlo_has(ehlo, SMTP_EHLO_SMTPUTF8))
		settle_utf8(t, host);
	return relay_transaction_count_state(t, RELAY_RECIPIENT_WAITING) > 0;
}

bool relay_transaction_is_too_many(const struct relay_transaction *t,
	const struct smtp_reply *reply)
{
	if ((reply->code != 452 && reply->code != 552) ||
		relay_transaction_count_state(t, RELAY_RECIPIENT_ACCEPTED) == 0)
		return false;
	return !reply->enhanced[0] || strcmp(reply->enhanced + 1, ".5.3") == 0;
}
