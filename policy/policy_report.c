#include "policy/policy_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

/* What the domain itself asks, without what the operator asks besides: a report goes to strangers. */
static void take_domains_part(const struct policy_requirement *r, struct policy_requirement *ret)
{
	static char dane[] = "the set of TLSA records", sts[] = "the MTA-STS policy", system[] = "system";
	*ret = *r;
	ret->minimum = TLSIO_TLS12;
	ret->source = r->level == POLICY_LEVEL_DANE ? dane : sts;
	ret->trust_name = system;
	if (r->level != POLICY_LEVEL_DANE)
		return;
	ret->name_count = ret->pin_count = 0;
	ret->trust = NULL;
}

static void judge_by(const struct policy_requirement *r, const struct policy_report_facts *f,
	struct policy_judgement *ret)
{
	struct policy_requirement part;
	take_domains_part(r, &part);
	if (f->peer)
		policy_judge_peer(&part, f->host, f->peer, ret);
	else if (f->why)
		policy_judge_failed_tls(&part, f->host, f->why, ret);
	else
		policy_judge_no_starttls(&part, f->host, ret);
}

static void judge_tls(const struct policy_report_facts *f, struct policy_judgement *ret)
{
	if (f->peer)
		return;
	ret->reason = f->why ? POLICY_REASON_VALIDATION_FAILURE
			     : POLICY_REASON_STARTTLS_NOT_SUPPORTED;
	if (!f->why)
		return;
	snprintf(ret->text, sizeof(ret->text), "%s", f->why);
	for (char *c = ret->text; *c; c++)
		*c = (*c >= ' ' && *c < 0x7f) ? *c : '?';
}

void policy_report_judge(const struct policy_report *report, const struct policy_report_facts *facts,
	struct policy_judgement *ret)
{
	memset(ret, 0, sizeof(*ret));
	switch (report->measure) {
	case POLICY_REPORT_BY_REQUIREMENT:
		judge_by(facts->requirement, facts, ret);
		break;
	case POLICY_REPORT_BY_TESTING:
		if (facts->testing)
			judge_by(facts->testing, facts, ret);
		ret->reason = facts->testing ? ret->reason : facts->testing_reason;
		if (!facts->testing && ret->reason != POLICY_REASON_NONE)
			snprintf(ret->text, sizeof(ret->text),
				"the MTA-STS policy does not name the host");
		break;
	case POLICY_REPORT_BY_TLS:
		judge_tls(facts, ret);
		break;
	case POLICY_REPORT_BY_FAILURE:
		ret->reason = report->failure;
		break;
	}
	if (ret->reason == POLICY_REASON_NONE)
		ret->text[0] = '\0';
}

void policy_report_copy(const struct policy_report *from, struct policy_report *ret)
{
	*ret = *from;
	ret->domain = mem_dup(from->domain);
}

void policy_report_clear(struct policy_report *report)
{
	free(report->domain);
	*report = (struct policy_report){ 0 };
}
