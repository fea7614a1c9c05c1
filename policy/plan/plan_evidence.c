#include "policy/plan/plan_evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "policy/policy_date.h"

/* ---- rules ------------------------------------------------------------------------------------ */

static const char *version_word(enum tlsio_version version)
{
	return version == TLSIO_TLS13 ? "TLS 1.3" : "TLS 1.2";
}

static void add_names(struct buf *text, const struct policy_requirement *r)
{
	for (size_t i = 0; i < r->name_count; i++)
		buf_printf(text, "%s%s", i ? ", " : "names ", r->names[i]);
	if (r->name_count)
		buf_append_text(text, "; ");
	if (r->trust_name)
		buf_printf(text, "authorities: %s; ", r->trust_name);
	if (r->pin_count)
		buf_printf(text, "%zu pinned key%s; ", r->pin_count, r->pin_count == 1 ? "" : "s");
}

/* What it says besides its level. */
static char *rule_words(const struct policy_rule *rule)
{
	struct buf text = { 0 };
	const struct policy_requirement *r = rule->requirement;
	if (r->level != POLICY_LEVEL_NONE)
		buf_printf(&text, "at least %s; ", version_word(r->minimum));
	add_names(&text, r);
	if (!rule->is_exception)
		buf_printf(&text, "DANE %s, MTA-STS %s", rule->uses_dane ? "used" : "not used",
			rule->uses_sts ? "used" : "not used");
	return buf_take(&text);
}

static void add_rule(struct policy_plan *plan, const struct policy_rule *rule, const char *remark)
{
	char *words = rule_words(rule);
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_RULE, rule->requirement->source,
		policy_level_name(rule->requirement->level), -1, -1, "%s%s", words, remark);
	free(words);
}

void plan_evidence_rule(struct policy_plan *plan, const struct policy_rules *rules,
	const struct policy_rule *rule, const char *rule_domain)
{
	char until[POLICY_DATE_BYTES];
	if (!rule->is_exception) {
		add_rule(plan, rule, "");
		return;
	}
	char *words = rule_words(rule);
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_EXCEPTION, rule->requirement->source,
		policy_level_name(rule->requirement->level), -1, -1, "%suntil %s, because: %s", words,
		policy_date_format(rule->until_s, until), rule->reason ? rule->reason : "");
	free(words);
	add_rule(plan, policy_rules_find_without_exceptions(rules, str_of(rule_domain)),
		" (suspended by the exception)");
}

/* ---- DNS -------------------------------------------------------------------------------------- */

void plan_evidence_mx(struct policy_plan *plan, const char *domain, const struct dns_answer *answer)
{
	const char *verdict = dns_verdict_name(answer->result, answer->security);
	int64_t ttl_s = answer->result == DNS_FAILED ? -1 : (int64_t)answer->ttl_s;
	const char *none = answer->result == DNS_FAILED ? answer->why
		: answer->result == DNS_NO_NAME		? "no such name"
							: "no MX records";
	if (answer->result != DNS_FOUND)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_MX, domain, verdict, ttl_s,
			answer->age_s, "%s", none);
	for (size_t i = 0; i < answer->count; i++)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_MX, domain, verdict, ttl_s,
			answer->age_s, "%u %s", answer->records[i].preference,
			answer->records[i].name);
	if (answer->left_out_count)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_MX, domain, verdict, ttl_s,
			answer->age_s, "%zu more, beyond our limit", answer->left_out_count);
	if (answer->is_alias)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_NOTE, domain, verdict, -1, -1,
			"%s is an alias of %s", domain, answer->canonical);
}

/* ---- MTA-STS ---------------------------------------------------------------------------------- */

static void add_record(struct policy_plan *plan, const char *domain, const struct sts_answer *answer)
{
	char name[DNS_NAME_BYTES + 16];
	const char *verdict = dns_verdict_name(answer->record_result, answer->record_security);
	snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	if (answer->record == STS_RECORD_FOUND)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_RECORD, name, verdict,
			answer->record_ttl_s, -1, "id %s", answer->record_id);
	else
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_RECORD, name, verdict,
			answer->record_ttl_s, -1, "%s",
			answer->record == STS_RECORD_INVALID
				? "invalid: counts as if it were absent"
			: answer->record_result == DNS_FAILED ? "could not be looked up"
							      : "absent");
}

static void add_policy(struct policy_plan *plan, const char *domain, const struct sts_answer *answer,
	int64_t now_s)
{
	struct buf text = { 0 };
	const struct sts_policy *policy = answer->policy;
	if (!policy) {
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_POLICY, domain, "none", -1, -1,
			"no policy is known");
		return;
	}
	buf_printf(&text, "id %s; max_age %u; mx ", answer->id[0] ? answer->id : "unknown",
		policy->max_age_s);
	for (size_t i = 0; i < policy->mx_count && text.length < 500; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", policy->mx[i]);
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_POLICY, domain,
		sts_mode_name(policy->mode), answer->expires_s - now_s, now_s - answer->fetched_s, "%s",
		buf_text(&text));
	buf_release(&text);
}

void plan_evidence_sts(struct policy_plan *plan, const char *domain,
	const struct sts_answer *answer, const char *why, int64_t now_s)
{
	char url[DNS_NAME_BYTES + 64];
	if (!answer) {
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_POLICY, domain, "not-asked", -1, -1,
			"%s", why);
		return;
	}
	add_record(plan, domain, answer);
	add_policy(plan, domain, answer, now_s);
	snprintf(url, sizeof(url), "https://mta-sts.%s/.well-known/mta-sts.txt", domain);
	if (answer->failure_reason != POLICY_REASON_NONE)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_FETCH, url,
			policy_reason_name(answer->failure_reason), -1, now_s - answer->failed_s, "%s",
			answer->failure);
	if (answer->is_waiting)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_STS_FETCH, url, "waiting", -1, -1,
			"the first fetch is under way; until it ends, no policy is known");
}

void plan_evidence_copy(struct policy_plan *plan, const struct policy_plan *notes)
{
	for (size_t i = 0; notes && i < notes->evidence_count; i++) {
		const struct policy_evidence *e = &notes->evidence[i];
		policy_plan_add_evidence(plan, e->kind, e->subject, e->verdict, e->ttl_s, e->age_s, "%s",
			e->text);
	}
}
