#include "policy/policy_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

enum { EVIDENCE_TEXT_BYTES = 600 };

const char *policy_plan_state_name(enum policy_plan_state state)
{
	static const char *const names[] = {
		[POLICY_PLAN_READY] = "ready",
		[POLICY_PLAN_DEFER] = "defer",
		[POLICY_PLAN_NO_MAIL] = "no-mail",
		[POLICY_PLAN_NO_DOMAIN] = "no-domain",
	};
	return names[state];
}

const char *policy_evidence_kind_name(enum policy_evidence_kind kind)
{
	static const char *const names[] = {
		[POLICY_EVIDENCE_RULE] = "rule",
		[POLICY_EVIDENCE_EXCEPTION] = "exception",
		[POLICY_EVIDENCE_MX] = "mx",
		[POLICY_EVIDENCE_ADDRESS] = "address",
		[POLICY_EVIDENCE_TLSA] = "tlsa",
		[POLICY_EVIDENCE_STS_RECORD] = "sts-record",
		[POLICY_EVIDENCE_STS_POLICY] = "sts-policy",
		[POLICY_EVIDENCE_STS_FETCH] = "sts-fetch",
		[POLICY_EVIDENCE_STS_TALLY] = "sts-tally",
		[POLICY_EVIDENCE_LOST] = "lost",
		[POLICY_EVIDENCE_NOTE] = "note",
	};
	return names[kind];
}

struct policy_plan *policy_plan_new(const char *rule_domain, const char *next_hop)
{
	struct policy_plan *plan = mem_zero(sizeof(*plan));
	plan->references = 1;
	plan->rule_domain = mem_dup(rule_domain);
	plan->next_hop = mem_dup(next_hop);
	return plan;
}

struct policy_plan *policy_plan_ref(struct policy_plan *plan)
{
	plan->references++;
	return plan;
}

static void clear_host(struct policy_plan_host *host)
{
	free(host->name);
	free(host->addresses);
	free(host->text);
	policy_requirement_unref(&host->requirement);
	policy_requirement_unref(&host->testing);
	for (size_t i = 0; i < host->report_count; i++)
		policy_report_clear(&host->reports[i]);
}

void policy_plan_whole_free(struct policy_plan_whole **whole)
{
	struct policy_plan_whole *w = *whole;
	*whole = NULL;
	if (!w)
		return;
	for (size_t i = 0; i < w->sts_mx_count; i++)
		free(w->sts_mx[i]);
	free(w->sts_mx);
	free(w->sts_text);
	for (size_t i = 0; i < w->word_count; i++)
		free(w->words[i]);
	free(w->words);
	policy_requirement_unref(&w->rule);
	free(w);
}

void policy_plan_unref(struct policy_plan **ref)
{
	struct policy_plan *plan = *ref;
	*ref = NULL;
	if (!plan || --plan->references > 0)
		return;
	for (size_t i = 0; i < plan->host_count; i++)
		clear_host(&plan->hosts[i]);
	for (size_t i = 0; i < plan->evidence_count; i++) {
		free(plan->evidence[i].subject);
		free(plan->evidence[i].verdict);
		free(plan->evidence[i].text);
	}
	policy_plan_whole_free(&plan->whole);
	free(plan->hosts);
	free(plan->evidence);
	free(plan->rule_domain);
	free(plan->next_hop);
	free(plan->text);
	free(plan);
}

struct policy_plan_host *policy_plan_add_host(struct policy_plan *plan, const char *name,
	unsigned preference)
{
	if (plan->host_count == POLICY_PLAN_HOSTS_MOST)
		return NULL;
	plan->hosts =
		mem_resize_array(plan->hosts, plan->host_count + 1, sizeof(*plan->hosts));
	struct policy_plan_host *host = &plan->hosts[plan->host_count++];
	memset(host, 0, sizeof(*host));
	host->name = mem_dup(name);
	host->preference = preference;
	return host;
}

void policy_plan_add_report(struct policy_plan_host *host, const struct policy_report *report)
{
	if (host->report_count < POLICY_REPORTS_MOST)
		policy_report_copy(report, &host->reports[host->report_count++]);
}

/* Words of peers and of zones come in here: no control byte leaves. */
static char *one_line(const char *format, va_list args)
{
	char text[EVIDENCE_TEXT_BYTES];
	vsnprintf(text, sizeof(text), format, args);
	for (char *c = text; *c; c++)
		*c = ((unsigned char)*c < ' ' || *c == 0x7f) ? '?' : *c;
	return mem_dup(text);
}

void policy_plan_add_evidence(struct policy_plan *plan, enum policy_evidence_kind kind,
	const char *subject, const char *verdict, int64_t ttl_s, int64_t age_s, const char *format, ...)
{
	va_list args;
	if (plan->evidence_count == POLICY_PLAN_EVIDENCE_MOST)
		return;
	/* Room doubles, from eight: a power of two of records is full. */
	size_t count = plan->evidence_count;
	if (count == 0 || (count >= 8 && (count & (count - 1)) == 0))
		plan->evidence = mem_resize_array(plan->evidence, count ? count * 2 : 8,
			sizeof(*plan->evidence));
	struct policy_evidence *e = &plan->evidence[plan->evidence_count++];
	e->kind = kind;
	e->subject = mem_dup(subject ? subject : "");
	e->verdict = mem_dup(verdict ? verdict : "");
	e->ttl_s = ttl_s;
	e->age_s = age_s;
	va_start(args, format);
	e->text = one_line(format, args);
	va_end(args);
}

void policy_plan_end(struct policy_plan *plan, enum policy_plan_state state,
	enum policy_reason reason, const char *format, ...)
{
	va_list args;
	plan->state = state;
	plan->reason = reason;
	free(plan->text);
	va_start(args, format);
	plan->text = one_line(format, args);
	va_end(args);
}
