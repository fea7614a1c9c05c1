#include "policy/plan/plan_report.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/plan/plan_host_parts.h"
#include "policy/sts/sts_policy.h"

struct reporting {
	const struct plan_report_facts *facts;
	const struct plan_host *from;
	struct policy_plan_host *host;
	struct policy_plan_whole *whole;
};

static void add_words(struct policy_plan_whole *whole, struct str text)
{
	for (size_t i = 0; i < whole->word_count; i++)
		if (str_equal(str_of(whole->words[i]), text))
			return;
	whole->words =
		mem_resize_array(whole->words, whole->word_count + 1, sizeof(*whole->words));
	whole->words[whole->word_count++] = mem_dup_bytes(text.at, text.length);
}

/* What has words that cannot be kept goes without. */
static void add(struct reporting *r, const struct tlsrpt_policy *policy,
	enum policy_report_measure measure, enum policy_reason failure)
{
	struct tlsrpt_policy bare = { .type = policy->type, .domain = policy->domain };
	struct policy_report report = { .type = policy->type, .measure = measure,
		.failure = failure, .domain = (char *)(uintptr_t)policy->domain };
	struct buf text = { 0 };
	if (tlsrpt_policy_write(policy, &text) || tlsrpt_policy_write(&bare, &text)) {
		report.identity = tlsrpt_policy_identity(buf_str(&text));
		add_words(r->whole, buf_str(&text));
		if (r->facts->tally)
			tlsrpt_tally_know_text(r->facts->tally, buf_str(&text));
		policy_plan_add_report(r->host, &report);
	}
	buf_release(&text);
}

/* ---- DANE: all records of the set, as they are (R8) --------------------------------------------- */

static void add_tlsa(struct reporting *r, enum policy_report_measure measure, enum policy_reason failure)
{
	const struct plan_host_parts *p = r->from->parts;
	char *texts[POLICY_TLSA_MOST];
	size_t count = p && p->all ? p->all_count : 0;
	for (size_t i = 0; i < count; i++) {
		size_t capacity = 2 * p->all[i].data.length + 16;
		texts[i] = mem_alloc(capacity);
		policy_dane_format(&p->all[i], texts[i], capacity);
	}
	const char *base = r->from->dane.base;
	const struct tlsrpt_policy policy = { .type = POLICY_REPORT_TLSA,
		.domain = base ? base : r->from->name,
		.strings = (const char *const *)texts, .string_count = count };
	add(r, &policy, measure, failure);
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
}

static void report_dane(struct reporting *r)
{
	const struct policy_requirement *requirement = r->host->requirement;
	enum policy_dane_state state = r->from->dane.state;
	if (!requirement && (r->host->reason == POLICY_REASON_DNSSEC_INVALID ||
				    r->host->reason == POLICY_REASON_DANE_REQUIRED))
		add_tlsa(r, POLICY_REPORT_BY_FAILURE, r->host->reason);
	else if (requirement && state == POLICY_DANE_USABLE &&
		requirement->level == POLICY_LEVEL_DANE)
		add_tlsa(r, POLICY_REPORT_BY_REQUIREMENT, POLICY_REASON_NONE);
	else if (requirement && state == POLICY_DANE_UNUSABLE &&
		requirement->level != POLICY_LEVEL_NONE)
		add_tlsa(r, POLICY_REPORT_BY_FAILURE, POLICY_REASON_TLSA_INVALID);
}

/* ---- MTA-STS: its lines as received (R8) -------------------------------------------------------- */

static size_t split_lines(char *text, const char **ret)
{
	size_t count = 0;
	for (char *line = text; line && *line && count < TLSRPT_STRINGS_MOST;) {
		char *end = strchr(line, '\n');
		if (end)
			*end = '\0';
		size_t length = strlen(line);
		if (length > 0 && line[length - 1] == '\r')
			line[length - 1] = '\0';
		if (*line)
			ret[count++] = line;
		line = end ? end + 1 : NULL;
	}
	return count;
}

static void add_sts(struct reporting *r, const struct sts_policy *policy,
	enum policy_report_measure measure, enum policy_reason failure)
{
	const char *lines[TLSRPT_STRINGS_MOST];
	struct tlsrpt_policy words = { .type = POLICY_REPORT_STS, .domain = r->facts->next_hop };
	char *text = policy ? mem_dup_bytes(policy->text, policy->text_bytes) : NULL;
	if (policy) {
		words.strings = lines;
		words.string_count = split_lines(text, lines);
		words.mx = (const char *const *)policy->mx;
		words.mx_count = policy->mx_count < TLSRPT_STRINGS_MOST ? policy->mx_count
								       : TLSRPT_STRINGS_MOST;
	}
	add(r, &words, measure, failure);
	free(text);
}

/* The record tells of another policy than the one in force, if any is, and it could not be had (M22). */
static enum policy_reason fetch_failure(const struct sts_answer *sts)
{
	bool is_other = sts->record == STS_RECORD_FOUND &&
		(!sts->policy || strcmp(sts->record_id, sts->id) != 0);
	return is_other ? sts->failure_reason : POLICY_REASON_NONE;
}

static void report_sts(struct reporting *r)
{
	const struct sts_answer *sts = r->facts->sts;
	const struct policy_requirement *requirement = r->host->requirement;
	if (!sts || !r->facts->rule->uses_sts)
		return;
	enum policy_reason failure = fetch_failure(sts);
	enum policy_sts_mode mode = sts->policy ? sts->policy->mode : POLICY_STS_NONE;
	if (!sts->policy && failure != POLICY_REASON_NONE)
		add_sts(r, NULL, POLICY_REPORT_BY_FAILURE, failure);
	else if (mode == POLICY_STS_ENFORCE && !requirement &&
		r->host->reason == POLICY_REASON_VALIDATION_FAILURE)
		add_sts(r, sts->policy, POLICY_REPORT_BY_FAILURE, r->host->reason);
	else if (mode == POLICY_STS_ENFORCE && requirement &&
		requirement->origin == POLICY_ORIGIN_STS)
		add_sts(r, sts->policy, POLICY_REPORT_BY_REQUIREMENT, failure);
	else if (mode == POLICY_STS_TESTING &&
		(r->host->testing || r->host->testing_reason != POLICY_REASON_NONE))
		add_sts(r, sts->policy, POLICY_REPORT_BY_TESTING, failure);
}

/* ---- neither ------------------------------------------------------------------------------------ */

static void report_none(struct reporting *r)
{
	const struct plan_report_facts *f = r->facts;
	const struct policy_requirement *requirement = r->host->requirement;
	enum policy_dane_state dane = r->from->dane.state;
	bool was_looked = f->rule->uses_dane && f->rule->uses_sts && f->sts && !f->sts->is_waiting;
	bool has_none = (dane == POLICY_DANE_NOT_ASKED || dane == POLICY_DANE_ABSENT) &&
		(!f->sts || !f->sts->policy || f->sts->policy->mode == POLICY_STS_NONE);
	if (!was_looked || !has_none || !requirement || requirement->level == POLICY_LEVEL_NONE)
		return;
	const struct tlsrpt_policy policy = { .type = POLICY_REPORT_NO_POLICY,
		.domain = f->next_hop };
	add(r, &policy, POLICY_REPORT_BY_TLS, POLICY_REASON_NONE);
}

void plan_report_host(const struct plan_report_facts *facts, const struct plan_host *from,
	struct policy_plan_host *host, struct policy_plan_whole *whole)
{
	struct reporting r = { facts, from, host, whole };
	struct netaddr address;
	if (plan_host_is_address(facts->next_hop, 0, &address))
		return;
	if (facts->rule->uses_dane)
		report_dane(&r);
	report_sts(&r);
	if (host->report_count == 0)
		report_none(&r);
}
