#include "smtpd/socketmap/socketmap_answer.h"

#include <string.h>

#include "smtpd/socketmap/socketmap_words.h"

enum choice { LATER, NOT_FOUND, RULE, DANE, DANE_ONLY, STS };

void socketmap_answer_not_found(struct buf *into)
{
	buf_append_text(into, "NOTFOUND ");
}

void socketmap_answer_refuse(struct buf *into, const char *why)
{
	buf_append_text(into, "PERM ");
	buf_append_text(into, why);
}

/* Words of name servers come in here: one line of plain ASCII leaves. */
static void write_later(struct buf *into, const char *why)
{
	buf_append_text(into, "TEMP ");
	for (const char *c = why && *why ? why : "no answer yet"; *c; c++)
		buf_append_byte(into, *c < ' ' || *c > '~' ? '?' : *c);
}

static bool is_enforced(const struct policy_plan_whole *w)
{
	return w->sts_mode == POLICY_STS_ENFORCE && !w->is_exception &&
		!(w->rule->level == POLICY_LEVEL_VERIFY && socketmap_words_is_own_identity(w->rule));
}

static bool demands_tls(const struct policy_requirement *rule)
{
	return rule->level == POLICY_LEVEL_ENCRYPT || rule->level == POLICY_LEVEL_VERIFY;
}

/* Nobody but the general rule speaks, and Postfix's own settings are as good. */
static enum choice rule_or_nothing(const struct policy_plan_whole *w)
{
	bool is_opportunistic =
		w->rule->level == POLICY_LEVEL_MAY || w->rule->level == POLICY_LEVEL_DANE;
	return w->is_general && w->uses_dane && is_opportunistic && w->rule->minimum <= TLSIO_TLS12
		? NOT_FOUND
		: RULE;
}

static enum choice choose_proven_dane(const struct policy_plan_whole *w)
{
	if (!w->plain_hosts && !w->unusable_hosts)
		return DANE_ONLY;
	/* "dane" would let the other hosts have mail in clear. */
	return is_enforced(w) || demands_tls(w->rule) ? DANE_ONLY : DANE;
}

/* ANSWERS.md, from the top. */
static enum choice choose(const struct policy_plan *plan)
{
	const struct policy_plan_whole *w = plan->whole;
	if (!w)
		return LATER;
	if (w->is_exception)
		return RULE;
	if (w->rule->level == POLICY_LEVEL_DANE_ONLY)
		return DANE_ONLY;
	if (plan->state == POLICY_PLAN_DEFER && !w->is_mx_known)
		return is_enforced(w) ? STS : LATER;
	if (plan->state == POLICY_PLAN_NO_MAIL || plan->state == POLICY_PLAN_NO_DOMAIN)
		return is_enforced(w) ? STS : rule_or_nothing(w);
	if (w->dane_hosts && w->is_mx_proven)
		return choose_proven_dane(w);
	if (is_enforced(w))
		return STS;
	if (demands_tls(w->rule))
		return RULE;
	if (w->uses_dane && (w->dane_hosts || w->unusable_hosts || w->unknown_hosts))
		return DANE;
	/* Testing mode: Postfix would report a session that nobody judged as a success under that policy. */
	return rule_or_nothing(w);
}

static void write_postfix(struct buf *into, enum socketmap_map map, const struct policy_plan *plan)
{
	const struct policy_plan_whole *w = plan->whole;
	bool reports = map == SOCKETMAP_POSTFIX_TLSRPT;
	const char *why = NULL;
	bool is_said = true;
	size_t start = into->length;
	enum choice choice = choose(plan);
	if (choice == LATER) {
		write_later(into, plan->text);
		return;
	}
	if (choice == NOT_FOUND) {
		socketmap_answer_not_found(into);
		return;
	}
	buf_append_text(into, "OK ");
	if (choice == RULE)
		is_said = socketmap_words_rule(into, plan, &why);
	else if (choice == STS)
		is_said = socketmap_words_sts(into, plan, &why);
	else
		socketmap_words_level(into, choice == DANE ? "dane" : "dane-only", w->rule);
	if (choice == STS)
		socketmap_words_minimum(into, w->rule);
	if (is_said && into->length - start > SOCKETMAP_ANSWER_BYTES_MOST) {
		is_said = false;
		why = "what is demanded of this domain is longer than an answer may be";
	}
	if (!is_said) {
		buf_truncate(into, start);
		socketmap_answer_refuse(into, why);
	} else if (reports && choice == STS) {
		socketmap_words_report(into, plan, start + SOCKETMAP_ANSWER_BYTES_MOST);
	}
}

/* Words that Sendmail understands for what is demanded; a rule for which it has none leaves what the
 * domain itself promises. */
static bool write_secure(struct buf *into, const struct policy_plan *plan, const char **why)
{
	const struct policy_plan_whole *w = plan->whole;
	size_t start = into->length;
	if (is_enforced(w) && socketmap_words_sts(into, plan, why))
		return true;
	buf_truncate(into, start);
	if (socketmap_words_sendmail_verify(into, plan) &&
		into->length - start <= SOCKETMAP_ANSWER_BYTES_MOST)
		return true;
	buf_truncate(into, start);
	return w->sts_mode == POLICY_STS_ENFORCE && !w->is_exception &&
		socketmap_words_sts(into, plan, why);
}

/* It asks for nothing but MTA-STS, and does DANE by itself, host by host. No PERM: it takes that for
 * NOTFOUND, and the mail would go out. */
static void write_sendmail(struct buf *into, const struct policy_plan *plan)
{
	const char *why = NULL;
	size_t start = into->length;
	buf_append_text(into, "OK ");
	if (plan->whole && write_secure(into, plan, &why))
		return;
	buf_truncate(into, start);
	if (why || choose(plan) == LATER)
		write_later(into, why ? why : plan->text);
	else
		socketmap_answer_not_found(into);
}

void socketmap_answer_write(struct buf *into, enum socketmap_map map, const struct policy_plan *plan)
{
	if (map == SOCKETMAP_SENDMAIL)
		write_sendmail(into, plan);
	else
		write_postfix(into, map, plan);
}
