#include "smtpd/explain/explain.h"

#include <string.h>

#include "smtpd/explain/explain_words.h"

const char *explain_way_name(enum explain_way way)
{
	static const char *const names[] = { "mx", "host", "lmtp", "maildir", "refuse" };
	return names[way];
}

static size_t usable_count(const struct policy_plan *plan)
{
	size_t count = 0;
	for (size_t i = 0; i < plan->host_count; i++)
		count += plan->hosts[i].requirement != NULL;
	return count;
}

enum explain_status explain_status(const struct explain *e)
{
	if (e->way == EXPLAIN_REFUSE)
		return EXPLAIN_RETURNED;
	if (!e->plan)
		return EXPLAIN_DELIVERABLE;
	switch (e->plan->state) {
	case POLICY_PLAN_NO_MAIL:
	case POLICY_PLAN_NO_DOMAIN:
		return EXPLAIN_RETURNED;
	case POLICY_PLAN_READY:
		return usable_count(e->plan) ? EXPLAIN_DELIVERABLE : EXPLAIN_STAYS;
	default:
		return EXPLAIN_STAYS;
	}
}

/* ---- the sentence ---------------------------------------------------------------------------- */

static const struct policy_plan_host *first_usable(const struct policy_plan *plan)
{
	size_t i = 0;
	while (!plan->hosts[i].requirement)
		i++;
	return &plan->hosts[i];
}

static bool are_all_alike(const struct policy_plan *plan)
{
	const struct policy_plan_host *first = first_usable(plan);
	for (size_t i = 0; i < plan->host_count; i++) {
		if (plan->hosts[i].requirement && !explain_words_are_alike(first, &plan->hosts[i]))
			return false;
	}
	return true;
}

/* How many hosts have that demand, counted at the first of them; 0 at the others. */
static size_t count_alike_from(const struct policy_plan *plan, size_t at)
{
	const struct policy_plan_host *host = &plan->hosts[at];
	size_t count = 0;
	for (size_t i = 0; host->requirement && i < plan->host_count; i++) {
		bool is_alike = plan->hosts[i].requirement &&
			explain_words_are_alike(host, &plan->hosts[i]);
		if (is_alike && i < at)
			return 0;
		count += is_alike;
	}
	return count;
}

static void put_demand(struct buf *to, const struct policy_requirement *r, const char *host,
	const char *who, bool is_several)
{
	if (explain_words_no_demand(r)[0]) {
		buf_printf(to, "; %s", explain_words_no_demand(r));
		return;
	}
	buf_printf(to, "%s must show ", who);
	explain_words_heart(to, r, host, is_several);
}

static void put_mixed(struct buf *to, const struct policy_plan *plan)
{
	const char *between = ": ";
	for (size_t i = 0; i < plan->host_count; i++) {
		const struct policy_requirement *r = plan->hosts[i].requirement;
		size_t count = count_alike_from(plan, i);
		if (count == 0)
			continue;
		buf_printf(to, "%s%zu ", between, count);
		between = "; ";
		if (explain_words_no_demand(r)[0]) {
			buf_printf(to, "nothing (%s)", explain_words_no_demand(r));
			continue;
		}
		explain_words_heart(to, r, plan->hosts[i].name, count > 1);
	}
}

static void put_unusable(struct buf *to, const struct explain *e)
{
	const struct policy_plan *plan = e->plan;
	buf_printf(to, "Mail for %s stays: ", e->domain);
	if (plan->host_count == 0)
		buf_append_text(to, "no host is known");
	else if (plan->host_count == 1)
		buf_printf(to, "its only host %s may not be used: %s", plan->hosts[0].name,
			explain_words_why_not_used(&plan->hosts[0]));
	else
		buf_printf(to, "none of its %zu hosts may be used; of the first, %s: %s",
			plan->host_count, plan->hosts[0].name, explain_words_why_not_used(&plan->hosts[0]));
}

static void put_ready(struct buf *to, const struct explain *e)
{
	const struct policy_plan *plan = e->plan;
	size_t usable = usable_count(plan), out = plan->host_count - usable;
	if (usable == 0) {
		put_unusable(to, e);
		return;
	}
	buf_printf(to, "Mail for %s goes to ", e->domain);
	if (usable == 1) {
		buf_append_text(to, first_usable(plan)->name);
		put_demand(to, first_usable(plan)->requirement, first_usable(plan)->name, ", which",
			false);
	} else {
		buf_printf(to, "%zu hosts", usable);
		if (are_all_alike(plan))
			put_demand(to, first_usable(plan)->requirement, first_usable(plan)->name,
				usable == 2 ? ", both" : ", each", true);
		else {
			buf_append_text(to, ", which must show different things");
			put_mixed(to, plan);
		}
	}
	if (out)
		buf_printf(to, "; %zu other%s not used", out, out == 1 ? " is" : "s are");
}

static void put_plan(struct buf *to, const struct explain *e)
{
	const struct policy_plan *plan = e->plan;
	const char *text = plan->text ? plan->text : "no reason known";
	switch (plan->state) {
	case POLICY_PLAN_READY:
		put_ready(to, e);
		break;
	case POLICY_PLAN_DEFER:
		buf_printf(to, "Mail for %s stays for now: %s", e->domain, text);
		break;
	case POLICY_PLAN_NO_MAIL:
	case POLICY_PLAN_NO_DOMAIN:
		buf_printf(to, "Mail for %s is returned to its sender: %s", e->domain, text);
		break;
	}
}

static void put_this_host(struct buf *to, const struct explain *e)
{
	const char *nothing = e->rule ? explain_words_no_demand(e->rule) : "no rule";
	buf_printf(to, "The host %s must show ", e->next_hop);
	if (nothing[0])
		buf_printf(to, "nothing: %s", nothing);
	else
		explain_words_heart(to, e->rule, NULL, false);
}

static void put_static(struct buf *to, const struct explain *e)
{
	if (e->is_this_host) {
		put_this_host(to, e);
		return;
	}
	buf_printf(to, "Mail for %s ", e->domain);
	switch (e->way) {
	case EXPLAIN_REFUSE:
		buf_printf(to, "is refused: %s", e->next_hop ? e->next_hop : "no route leads there");
		return;
	case EXPLAIN_MAILDIR:
		buf_printf(to, "is kept here, in the maildir %s", e->next_hop);
		return;
	case EXPLAIN_LMTP:
		buf_printf(to, "goes over LMTP to %s", e->next_hop);
		break;
	default:
		buf_printf(to, "goes to %s, the host that its route names", e->next_hop);
		break;
	}
	if (e->rule)
		put_demand(to, e->rule, NULL, ", which", false);
}

void explain_sentence(const struct explain *e, struct buf *to)
{
	if (e->plan)
		put_plan(to, e);
	else
		put_static(to, e);
	struct str all = buf_str(to);
	if (all.length && !strchr(".!?", all.at[all.length - 1]))
		buf_append_byte(to, '.');
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put_addresses(struct explain_page *page, const struct policy_plan_host *host)
{
	struct buf words = { 0 };
	char address[NETADDR_TEXT_BYTES];
	for (size_t i = 0; i < host->address_count; i++)
		buf_printf(&words, "%s%s", i ? ", " : "", netaddr_format(&host->addresses[i], address));
	explain_page_item(page, "addresses", "%s", host->address_count ? buf_text(&words) : "none");
	buf_release(&words);
}

static void put_testing(struct explain_page *page, const struct policy_plan_host *host)
{
	struct buf words = { 0 };
	if (host->testing) {
		explain_words_demand(&words, host->testing, host->name);
		explain_page_item(page, "in testing", "%s; says %s; not obeyed, only counted",
			buf_text(&words), host->testing->source);
	} else if (host->testing_reason != POLICY_REASON_NONE) {
		explain_page_item(page, "in testing", "would not pass: %s (not obeyed, only counted)",
			policy_reason_name(host->testing_reason));
	}
	buf_release(&words);
}

static void put_host(struct explain_page *page, const struct policy_plan_host *host)
{
	struct buf words = { 0 };
	const struct policy_requirement *r = host->requirement;
	explain_page_line(page, r ? EXPLAIN_PLAIN : EXPLAIN_BAD, "%u %s%s", host->preference,
		host->name, r ? "" : " - NOT USED");
	put_addresses(page, host);
	if (r) {
		explain_words_demand(&words, r, host->name);
		explain_page_item(page, "must show", "%s", buf_text(&words));
		explain_page_item(page, "says", "%s", r->source ? r->source : "built-in default");
		if (host->text && host->text[0])
			explain_page_item(page, "because", "%s", host->text);
		if (r->level >= POLICY_LEVEL_VERIFY)
			explain_page_item(page, "proves", host->is_domain_proven ?
				"the domain, not only the host" :
				"the host only: nothing proves that it is the domain's");
	} else {
		bool has_word = host->reason != POLICY_REASON_NONE;
		explain_page_item(page, "because", "%s%s%s%s", explain_words_why_not_used(host),
			has_word ? " (" : "", has_word ? policy_reason_name(host->reason) : "",
			has_word ? ")" : "");
	}
	put_testing(page, host);
	buf_release(&words);
}

static const char *label_of(enum policy_evidence_kind kind)
{
	static const char *const labels[] = {
		[POLICY_EVIDENCE_RULE] = "rule",
		[POLICY_EVIDENCE_EXCEPTION] = "exception",
		[POLICY_EVIDENCE_MX] = "MX",
		[POLICY_EVIDENCE_ADDRESS] = "address",
		[POLICY_EVIDENCE_TLSA] = "TLSA",
		[POLICY_EVIDENCE_STS_RECORD] = "STS record",
		[POLICY_EVIDENCE_STS_POLICY] = "STS policy",
		[POLICY_EVIDENCE_STS_FETCH] = "STS fetch",
		[POLICY_EVIDENCE_STS_TALLY] = "STS testing",
		[POLICY_EVIDENCE_LOST] = "",
		[POLICY_EVIDENCE_NOTE] = "note",
	};
	return labels[kind];
}

static bool is_alarming(const struct policy_evidence *v)
{
	return strcmp(v->verdict, "bogus") == 0 || strcmp(v->verdict, "error") == 0;
}

static void put_evidence(struct explain_page *page, const struct policy_evidence *v)
{
	struct buf words = { 0 };
	char text[32];
	buf_append_text(&words, v->subject);
	if (v->verdict[0])
		buf_printf(&words, "%s%s", words.length ? ": " : "", v->verdict);
	if (v->ttl_s >= 0)
		buf_printf(&words, ", for %s", explain_duration(v->ttl_s, text));
	if (v->age_s > 0)
		buf_printf(&words, ", learned %s ago", explain_duration(v->age_s, text));
	bool has_head = words.length > 0;
	if (has_head && is_alarming(v))
		explain_page_mood_item(page, EXPLAIN_BAD, label_of(v->kind), "%s", buf_text(&words));
	else if (has_head)
		explain_page_item(page, label_of(v->kind), "%s", buf_text(&words));
	if (v->text[0] || !has_head)
		explain_page_item(page, has_head ? "" : label_of(v->kind), "%s", v->text);
	buf_release(&words);
}

static void put_all_evidence(struct explain_page *page, const struct policy_plan *plan,
	const char *heading, bool is_lost)
{
	bool has_heading = false;
	for (size_t i = 0; i < plan->evidence_count; i++) {
		const struct policy_evidence *v = &plan->evidence[i];
		if ((v->kind == POLICY_EVIDENCE_LOST) != is_lost)
			continue;
		if (!has_heading)
			explain_page_heading(page, "%s", heading);
		has_heading = true;
		if (is_lost)
			explain_page_item(page, "lost", "%s%s%s", v->subject, v->subject[0] ? ": " : "",
				v->text);
		else
			put_evidence(page, v);
	}
}

static void put_hosts(struct explain_page *page, const struct explain *e)
{
	const struct policy_plan *plan = e->plan;
	char text[32];
	if (plan->host_count)
		explain_page_heading(page, "HOSTS, in order of preference");
	for (size_t i = 0; i < plan->host_count; i++)
		put_host(page, &plan->hosts[i]);
	put_all_evidence(page, plan, "WHAT WAS FOUND", false);
	put_all_evidence(page, plan, "WHAT LOST", true);
	if (plan->expires_s > e->now_s)
		explain_page_heading(page, plan->state == POLICY_PLAN_READY ? "This holds for %s." :
			"To be asked again in %s.", explain_duration(plan->expires_s - e->now_s, text));
}

static void put_rule(struct explain_page *page, const struct explain *e)
{
	struct buf words = { 0 };
	explain_words_demand(&words, e->rule, NULL);
	explain_page_heading(page, "RULE");
	explain_page_item(page, "must show", "%s", buf_text(&words));
	explain_page_item(page, "says", "%s", e->rule->source ? e->rule->source : "built-in default");
	buf_release(&words);
}

static enum explain_mood mood_of(enum explain_status status)
{
	return status == EXPLAIN_DELIVERABLE ? EXPLAIN_GOOD : EXPLAIN_BAD;
}

void explain_text(const struct explain *e, struct explain_page *page)
{
	struct buf sentence = { 0 };
	explain_sentence(e, &sentence);
	explain_page_verdict(page, mood_of(explain_status(e)), "%s", buf_text(&sentence));
	buf_release(&sentence);
	if (e->warning)
		explain_page_verdict(page, EXPLAIN_DOUBTFUL, "%s", e->warning);
	if (e->plan)
		put_hosts(page, e);
	else if (e->rule)
		put_rule(page, e);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_host_members(struct explain_json *j, const struct policy_plan_host *host)
{
	char address[NETADDR_TEXT_BYTES];
	explain_json_text(j, "name", host->name);
	explain_json_number(j, "preference", host->preference);
	explain_json_open(j, "addresses", '[');
	for (size_t i = 0; i < host->address_count; i++)
		explain_json_text(j, NULL, netaddr_format(&host->addresses[i], address));
	explain_json_close(j, ']');
	explain_json_bool(j, "usable", host->requirement != NULL);
	explain_words_json(j, "requirement", host->requirement);
	explain_json_text(j, "reason", policy_reason_name(host->reason));
	explain_json_text(j, "text", host->text ? host->text : "");
	explain_words_json(j, "testing", host->testing);
	explain_json_text(j, "testing_reason", policy_reason_name(host->testing_reason));
	explain_json_bool(j, "domain_proven", host->is_domain_proven);
}

static void put_age(struct explain_json *j, const char *key, int64_t seconds)
{
	if (seconds < 0)
		explain_json_null(j, key);
	else
		explain_json_number(j, key, seconds);
}

static void put_evidence_members(struct explain_json *j, const struct policy_evidence *v)
{
	explain_json_text(j, "kind", policy_evidence_kind_name(v->kind));
	explain_json_text(j, "subject", v->subject);
	explain_json_text(j, "verdict", v->verdict);
	explain_json_text(j, "text", v->text);
	put_age(j, "ttl", v->ttl_s);
	put_age(j, "age", v->age_s);
}

static void put_plan_members(struct explain_json *j, const struct policy_plan *plan)
{
	explain_json_text(j, "rule_domain", plan->rule_domain);
	explain_json_text(j, "next_hop", plan->next_hop);
	explain_json_text(j, "state", policy_plan_state_name(plan->state));
	explain_json_text(j, "reason", policy_reason_name(plan->reason));
	explain_json_text(j, "text", plan->text ? plan->text : "");
	explain_json_number(j, "made", plan->made_s);
	explain_json_number(j, "expires", plan->expires_s);
	explain_json_open(j, "hosts", '[');
	for (size_t i = 0; i < plan->host_count; i++) {
		explain_json_open(j, NULL, '{');
		put_host_members(j, &plan->hosts[i]);
		explain_json_close(j, '}');
	}
	explain_json_close(j, ']');
	explain_json_open(j, "evidence", '[');
	for (size_t i = 0; i < plan->evidence_count; i++) {
		explain_json_open(j, NULL, '{');
		put_evidence_members(j, &plan->evidence[i]);
		explain_json_close(j, '}');
	}
	explain_json_close(j, ']');
}

static const char *status_word(enum explain_status status)
{
	return status == EXPLAIN_DELIVERABLE ? "deliverable" :
		status == EXPLAIN_STAYS ? "stays" : "returned";
}

void explain_put_members(const struct explain *e, struct explain_json *j)
{
	struct buf sentence = { 0 };
	explain_sentence(e, &sentence);
	explain_json_text(j, "domain", e->domain);
	explain_json_text(j, "verdict", status_word(explain_status(e)));
	explain_json_text(j, "sentence", buf_text(&sentence));
	explain_json_text(j, "way", explain_way_name(e->way));
	explain_json_text(j, "next_hop", e->next_hop);
	explain_json_text(j, "asked", e->asked);
	explain_json_text(j, "warning", e->warning);
	explain_words_json(j, "rule", e->rule);
	if (e->plan) {
		explain_json_open(j, "plan", '{');
		put_plan_members(j, e->plan);
		explain_json_close(j, '}');
	} else {
		explain_json_null(j, "plan");
	}
	buf_release(&sentence);
}

void explain_put_json(const struct explain *e, struct buf *to)
{
	struct explain_json j = { .to = to };
	explain_json_open(&j, NULL, '{');
	explain_put_members(e, &j);
	explain_json_close(&j, '}');
	buf_append_byte(to, '\n');
}
