#include "policy/plan/plan_domain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/plan/plan_evidence.h"
#include "policy/plan/plan_host.h"
#include "policy/plan/plan_report.h"
#include "policy/plan/plan_whole.h"
#include "policy/policy_domain.h"

struct plan_domain {
	struct plan_means *means;
	enum policy_question_kind kind;
	char *rule_domain;
	char *next_hop; /* in its one form, where it is a name */
	/* Otherwise a smart host: when it is not there, that is our own trouble, and no reason to send
	 * mail back. */
	bool is_own_domain;
	uint16_t port;
	bool wants_evidence;
	const struct policy_rule *rule;
	void (*on_made)(void *ctx, struct policy_plan *plan);
	void *ctx;
	int64_t limit_ms;
	struct tlsio_timer timer;
	struct tlsio_turn turn; /* looks whether everything is in */

	struct dns_question *mx;
	bool is_mx_known, is_mx_secure;
	bool is_alone;		/* the next hop is the host: address, or BY_HOST, or implicit MX */
	bool is_implicit;
	char *canonical;	/* of the next hop, where it is an alias */
	struct plan_host *hosts[POLICY_PLAN_HOSTS_MOST];
	bool has_place[POLICY_PLAN_HOSTS_MOST];
	size_t host_count, begun_count;
	bool is_known;
	struct list waiting; /* for a place */
	bool is_called;	     /* and now it is there: before those that come now */
	struct sts_question *sts_question;
	bool has_sts;
	struct sts_answer sts;	/* shares its policy */
	const char *sts_why_not;
	uint32_t ttl_s;
	struct policy_plan *plan; /* under construction; its end is set when there is no need to wait */
	bool is_ended;
};

static void end(struct plan_domain *d, enum policy_plan_state state, enum policy_reason reason,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
static void end(struct plan_domain *d, enum policy_plan_state state, enum policy_reason reason,
	const char *format, ...)
{
	char text[600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	policy_plan_end(d->plan, state, reason, "%s", text);
	d->is_ended = true;
}

/* In force at this moment, whatever DNS says of it: a promise that mail hosts are there. */
static bool has_enforced_policy(const struct plan_domain *d)
{
	struct sts_policy *policy = d->means->sts && d->rule->uses_sts
		? sts_known(d->means->sts, d->next_hop)
		: NULL;
	bool is_enforced = policy && policy->mode == POLICY_STS_ENFORCE;
	sts_policy_unref(&policy);
	return is_enforced;
}

/* Who can forge an answer could make all mail of a domain bounce, which MTA-STS is there to stop him
 * from reading: without DNSSEC's word for it such mail rather waits. */
static void end_for_good(struct plan_domain *d, enum policy_plan_state state, bool is_proven,
	const char *text)
{
	if (d->is_own_domain && !is_proven && has_enforced_policy(d))
		end(d, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "%s; but DNSSEC does not prove it, and an "
			"MTA-STS policy of %s is in force, which names its mail hosts: mail waits in case "
			"the answer is forged", text, d->next_hop);
	else if (d->is_own_domain)
		end(d, state, POLICY_REASON_NONE, "%s", text);
	else
		end(d, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "%s; mail of %s is sent there: is that "
			"name right?", text, d->rule_domain);
}

static void shorten(uint32_t *ttl_s, int64_t other_s)
{
	if (other_s < 0)
		other_s = 0;
	if (other_s < (int64_t)*ttl_s)
		*ttl_s = (uint32_t)other_s;
}

/* ---- hosts ------------------------------------------------------------------------------------ */

/* A place is free: the domain that waits longest begins its hosts at the end of this turn. */
static void call_next(struct plan_places *places)
{
	struct list *node = list_first(&places->waiting);
	if (!node || places->open >= places->most)
		return;
	struct plan_domain *d = LIST_OWNER(node, struct plan_domain, waiting);
	list_remove(node);
	d->is_called = true;
	tlsio_turn_request(&d->turn);
}

static void leave_places(struct plan_domain *d, bool all)
{
	for (size_t i = 0; i < d->host_count; i++) {
		if (!d->has_place[i] || (!all && d->hosts[i]->state == PLAN_HOST_OPEN))
			continue;
		d->has_place[i] = false;
		d->means->places.open--;
	}
}

static void wait_for_place(struct plan_domain *d)
{
	struct list *waiting = &d->means->places.waiting;
	if (list_is_linked(&d->waiting))
		return;
	if (d->is_called)
		list_push_front(waiting, &d->waiting);
	else
		list_push_back(waiting, &d->waiting);
}

static void begin_hosts(struct plan_domain *d)
{
	struct plan_places *places = &d->means->places;
	bool may_take = d->is_called || list_is_empty(&places->waiting);
	for (; d->begun_count < d->host_count; d->begun_count++) {
		struct plan_host *host = d->hosts[d->begun_count];
		if (host->state != PLAN_HOST_OPEN)
			continue;
		if (!d->is_known && (!may_take || places->open >= places->most)) {
			wait_for_place(d);
			break;
		}
		d->has_place[d->begun_count] = true;
		places->open++;
		plan_host_begin(host);
	}
	d->is_called = false;
}

static void on_host(void *ctx)
{
	struct plan_domain *d = ctx;
	tlsio_turn_request(&d->turn);
}

static void add_host(struct plan_domain *d, const char *name, unsigned preference)
{
	struct plan_host_setup setup = {
		.loop = d->means->loop,
		.dns = d->means->dns,
		.name = name,
		.preference = preference,
		.port = d->port,
		.may_be_address = d->is_alone,
		.is_by_mx = d->kind == POLICY_BY_MX,
		/* For people also what a rule or an exception leaves out: what it is that it lifts. */
		.uses_dane = d->rule->uses_dane || d->wants_evidence,
		.next_hop = d->is_mx_secure ? d->next_hop : NULL,
		.next_hop_canonical = d->is_mx_secure ? d->canonical : NULL,
		.is_own_reference = d->is_alone,
		.wants_evidence = d->wants_evidence,
		.on_over = on_host,
		.ctx = d,
	};
	d->hosts[d->host_count++] = plan_host_new(&setup);
}

struct target {
	const char *name;
	unsigned preference;
};

static int compare_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* In order of preference, each once; a "." beside others says nothing (X1). */
static size_t sort_targets(const struct dns_answer *answer, struct target *ret)
{
	size_t count = 0, kept = 0;
	for (size_t i = 0; i < answer->count && i < DNS_RECORDS_MOST; i++) {
		const struct dns_record *r = &answer->records[i];
		if (strcmp(r->name, ".") != 0 && r->name[0] != '\0')
			ret[count++] = (struct target){ r->name, r->preference };
	}
	qsort(ret, count, sizeof(*ret), compare_targets);
	for (size_t i = 0; i < count; i++) {
		bool is_known = false;
		for (size_t j = 0; j < kept && !is_known; j++)
			is_known = strcmp(ret[j].name, ret[i].name) == 0;
		if (!is_known)
			ret[kept++] = ret[i];
	}
	return kept;
}

static void on_targets(struct plan_domain *d, const struct dns_answer *answer)
{
	struct target targets[DNS_RECORDS_MOST];
	size_t count = sort_targets(answer, targets);
	char text[400];
	if (count == 0) {
		snprintf(text, sizeof(text), "%s takes no mail (null MX)", d->next_hop);
		end_for_good(d, POLICY_PLAN_NO_MAIL, d->is_mx_secure, text);
		return;
	}
	for (size_t i = 0; i < count && i < POLICY_PLAN_HOSTS_MOST; i++)
		add_host(d, targets[i].name, targets[i].preference);
	if (d->wants_evidence && count > POLICY_PLAN_HOSTS_MOST)
		policy_plan_add_evidence(d->plan, POLICY_EVIDENCE_NOTE, d->next_hop, "", -1, -1,
			"%zu hosts of lower preference are left out: at most %d are used",
			count - POLICY_PLAN_HOSTS_MOST, POLICY_PLAN_HOSTS_MOST);
}

static void add_alone(struct plan_domain *d)
{
	d->is_alone = true;
	add_host(d, d->next_hop, 0);
}

/* ---- MTA-STS ---------------------------------------------------------------------------------- */

static void on_sts(void *ctx, const struct sts_answer *answer)
{
	struct plan_domain *d = ctx;
	d->sts_question = NULL;
	d->has_sts = true;
	d->sts = *answer;
	if (d->sts.policy)
		sts_policy_ref(d->sts.policy);
	tlsio_turn_request(&d->turn);
}

static void start_sts(struct plan_domain *d)
{
	if (!d->means->sts)
		d->sts_why_not = "MTA-STS is switched off";
	else if (!d->rule->uses_sts && !d->wants_evidence)
		d->sts_why_not = "the rule does without MTA-STS";
	else
		d->sts_question = sts_ask(d->means->sts, d->next_hop, on_sts, d);
}

/* ---- MX --------------------------------------------------------------------------------------- */

static void on_failure(struct plan_domain *d, const struct dns_answer *answer)
{
	bool is_bogus = answer->security == DNS_BOGUS;
	end(d, POLICY_PLAN_DEFER, is_bogus ? POLICY_REASON_DNSSEC_INVALID : POLICY_REASON_NONE,
		is_bogus ? "the MX records of %s cannot be trusted: DNSSEC validation failed (%s)"
			 : "the MX records of %s could not be looked up (%s)",
		d->next_hop, answer->why);
}

static void on_mx(void *ctx, const struct dns_answer *answer)
{
	struct plan_domain *d = ctx;
	char text[400];
	d->mx = NULL;
	d->is_mx_known = answer->result != DNS_FAILED;
	d->is_mx_secure = answer->result != DNS_FAILED && answer->security == DNS_SECURE;
	shorten(&d->ttl_s, answer->result == DNS_FAILED ? PLAN_FAILURE_TTL_S : answer->ttl_s);
	if (answer->is_alias)
		d->canonical = mem_dup(answer->canonical);
	if (d->wants_evidence)
		plan_evidence_mx(d->plan, d->next_hop, answer);
	switch (answer->result) {
	case DNS_FOUND:
		on_targets(d, answer);
		break;
	case DNS_NO_DATA:
		d->is_implicit = true;
		add_alone(d);
		break;
	case DNS_NO_NAME:
		snprintf(text, sizeof(text), "there is no domain %s (no such name)", d->next_hop);
		end_for_good(d, POLICY_PLAN_NO_DOMAIN, d->is_mx_secure, text);
		break;
	case DNS_FAILED:
		on_failure(d, answer);
		break;
	}
	if (!d->is_ended)
		start_sts(d);
	tlsio_turn_request(&d->turn);
}

/* ---- the plan --------------------------------------------------------------------------------- */

static struct policy_sts_finding sts_finding(const struct plan_domain *d, const char *host)
{
	struct policy_sts_finding f = {
		.mode = POLICY_STS_NONE,
		.domain = d->next_hop,
		.roots = d->means->roots,
		.roots_name = d->means->roots_name,
		.roots_sha256 = d->means->roots_sha256,
	};
	if (d->has_sts && d->sts.policy) {
		f.mode = d->sts.policy->mode;
		f.is_mx_named = sts_policy_names(d->sts.policy, host);
	}
	return f;
}

static void fill_host(struct plan_domain *d, const struct plan_host *from)
{
	struct policy_plan_host *host =
		policy_plan_add_host(d->plan, from->name, from->preference);
	plan_evidence_copy(d->plan, from->notes);
	if (from->address_count > 0) {
		host->addresses = mem_array(from->address_count, sizeof(*host->addresses));
		memcpy(host->addresses, from->addresses,
			from->address_count * sizeof(*host->addresses));
		host->address_count = from->address_count;
	}
	if (from->state != PLAN_HOST_GOOD) {
		host->reason = from->reason;
		host->text = mem_dup(from->text);
		return;
	}
	struct netaddr address;
	struct policy_combine all = {
		.rule = d->rule,
		.rule_domain = d->rule_domain,
		.next_hop = d->next_hop,
		.host = from->name,
		.is_by_mx = d->kind == POLICY_BY_MX &&
			!plan_host_is_address(from->name, 0, &address),
		.is_mx_secure = d->is_mx_secure,
		.dane = from->dane,
		.sts = sts_finding(d, from->name),
	};
	policy_combine_host(&all, d->plan, host, d->wants_evidence);
}

/* The record tells of a policy that is not the one in force, if any is: a moment without a way there
 * must not count for as long as the record lives. */
static bool is_unfetched(const struct sts_answer *sts)
{
	return sts->record == STS_RECORD_FOUND &&
		(!sts->policy || strcmp(sts->record_id, sts->id) != 0);
}

static void set_expiry(struct plan_domain *d, int64_t now_s)
{
	uint32_t ttl_s = d->ttl_s;
	for (size_t i = 0; i < d->host_count; i++)
		shorten(&ttl_s, d->hosts[i]->ttl_s);
	if (d->plan->state == POLICY_PLAN_DEFER)
		shorten(&ttl_s, PLAN_FAILURE_TTL_S);
	if (d->has_sts) {
		shorten(&ttl_s, d->sts.record_ttl_s);
		if (d->sts.policy)
			shorten(&ttl_s, d->sts.expires_s - now_s);
		if (is_unfetched(&d->sts))
			shorten(&ttl_s, PLAN_UNFETCHED_TTL_S);
		if (d->sts.is_waiting)
			shorten(&ttl_s, PLAN_WAITING_TTL_S);
	}
	if (ttl_s < PLAN_TTL_LEAST_S)
		ttl_s = PLAN_TTL_LEAST_S;
	if (ttl_s > PLAN_TTL_MOST_S)
		ttl_s = PLAN_TTL_MOST_S;
	d->plan->made_s = now_s;
	d->plan->expires_s = now_s + ttl_s;
	if (d->rule->is_exception && d->rule->until_s < d->plan->expires_s)
		d->plan->expires_s = d->rule->until_s;
}

static void fill_whole(struct plan_domain *d)
{
	struct plan_whole_facts facts = { .rule = d->rule, .next_hop = d->next_hop,
		.is_by_mx = d->kind == POLICY_BY_MX, .is_mx_known = d->is_mx_known,
		.is_mx_secure = d->is_mx_secure, .hosts = d->hosts, .host_count = d->host_count,
		.sts = d->means->sts, .has_policy = d->has_sts, .policy = d->sts.policy };
	d->plan->whole = plan_whole_new(&facts);
}

/* The hosts of the plan stand in the order of ours. */
static void fill_reports(struct plan_domain *d)
{
	const struct plan_report_facts facts = { .rule = d->rule, .next_hop = d->next_hop,
		.sts = d->has_sts ? &d->sts : NULL, .tally = d->means->tally };
	for (size_t i = 0; d->plan->state == POLICY_PLAN_READY && i < d->plan->host_count; i++)
		plan_report_host(&facts, d->hosts[i], &d->plan->hosts[i], d->plan->whole);
}

static void make(struct plan_domain *d)
{
	int64_t now_s = tlsio_loop_time_s(d->means->loop);
	char text[400];
	if (!d->is_ended && d->is_implicit && d->hosts[0]->state == PLAN_HOST_NO_ADDRESS) {
		snprintf(text, sizeof(text), "%s has neither MX nor address records", d->next_hop);
		/* The host in the plan tells this from a domain that is not there at all. */
		fill_host(d, d->hosts[0]);
		end_for_good(d, POLICY_PLAN_NO_DOMAIN,
			d->is_mx_secure && d->hosts[0]->is_secure, text);
	} else if (!d->is_ended) {
		for (size_t i = 0; i < d->host_count; i++)
			fill_host(d, d->hosts[i]);
	} else if (d->wants_evidence) {
		for (size_t i = 0; i < d->host_count; i++)
			plan_evidence_copy(d->plan, d->hosts[i]->notes);
	}
	if (d->wants_evidence) {
		plan_evidence_sts(d->plan, d->next_hop, d->has_sts ? &d->sts : NULL,
			d->sts_why_not ? d->sts_why_not : "there is no host to send to",
			now_s);
		if (d->means->tally)
			tlsrpt_tally_show(d->means->tally, d->next_hop, d->plan);
	}
	set_expiry(d, now_s);
	fill_whole(d);
	fill_reports(d);
	tlsio_timer_stop(&d->timer);
	tlsio_turn_cancel(&d->turn);
	struct policy_plan *plan = d->plan;
	d->plan = NULL;
	d->on_made(d->ctx, plan);
}

static void on_turn(void *ctx)
{
	struct plan_domain *d = ctx;
	leave_places(d, false);
	begin_hosts(d);
	call_next(&d->means->places);
	bool is_open = d->mx || d->sts_question;
	for (size_t i = 0; i < d->host_count; i++)
		is_open = is_open || d->hosts[i]->state == PLAN_HOST_OPEN;
	if (d->is_ended || !is_open)
		make(d);
}

/* What is still open, for the words; the hosts then make do with what they have. */
static void stop_all(struct plan_domain *d, struct buf *open)
{
	char words[400];
	if (d->mx)
		buf_printf(open, "MX of %s", d->next_hop);
	for (size_t i = 0; i < d->host_count; i++) {
		if (d->hosts[i]->state != PLAN_HOST_OPEN)
			continue;
		buf_printf(open, "%s%s", open->length ? ", " : "",
			plan_host_open_words(d->hosts[i], words, sizeof(words)));
		plan_host_stop(d->hosts[i]);
	}
	if (d->sts_question)
		buf_printf(open, "%sMTA-STS policy of %s", open->length ? ", " : "", d->next_hop);
}

/* One host that is known is enough to send; but not while an enforced policy may be unknown. */
static void on_limit(void *ctx)
{
	struct plan_domain *d = ctx;
	struct buf open = { 0 };
	bool may_send = !d->mx && !d->sts_question, has_any = false;
	stop_all(d, &open);
	for (size_t i = 0; i < d->host_count; i++)
		has_any = has_any || (d->hosts[i]->state == PLAN_HOST_GOOD &&
					     d->hosts[i]->dane.state != POLICY_DANE_ERROR);
	dns_cancel(&d->mx);
	if (d->sts_question) {
		sts_cancel(&d->sts_question);
		d->sts_why_not = "no answer in time";
	}
	if (!may_send || !has_any)
		end(d, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "no answer within %lld s: %s",
			(long long)(d->limit_ms / 1000), buf_text(&open));
	buf_release(&open);
	make(d);
}

/* ---- from outside ----------------------------------------------------------------------------- */

static void start(struct plan_domain *d, const char *next_hop)
{
	char name[POLICY_DOMAIN_BYTES];
	struct netaddr address;
	struct err err = { 0 };
	if (plan_host_is_address(next_hop, d->port, &address)) {
		/* No policy of any kind for an address (M5, D7). */
		d->sts_why_not = "an address has no policy";
		add_alone(d);
	} else if (policy_domain_parse(str_of(next_hop), name, &err) < 0) {
		end_for_good(d, POLICY_PLAN_NO_DOMAIN, true, err.text);
	} else {
		free(d->next_hop);
		d->next_hop = mem_dup(name);
		if (d->kind == POLICY_BY_HOST) {
			add_alone(d);
			start_sts(d); /* its name is the policy domain (M5) */
			return;
		}
		d->mx = dns_ask(d->means->dns, name, DNS_MX, on_mx, d);
	}
}

struct plan_domain *plan_domain_start(struct plan_means *means,
	const struct policy_question *question, const struct policy_rules *rules, int64_t limit_ms,
	bool is_known, void (*on_made)(void *ctx, struct policy_plan *plan), void *ctx)
{
	struct plan_domain *d = mem_zero(sizeof(*d));
	int64_t now_s = tlsio_loop_time_s(means->loop);
	d->means = means;
	d->kind = question->kind;
	d->rule_domain = mem_dup(question->rule_domain);
	d->next_hop = mem_dup(question->next_hop);
	d->is_own_domain = strcmp(question->rule_domain, question->next_hop) == 0;
	d->port = question->port;
	d->wants_evidence = question->wants_evidence;
	d->rule = policy_rules_find(rules, str_of(question->rule_domain), now_s);
	d->on_made = on_made;
	d->ctx = ctx;
	d->limit_ms = limit_ms;
	d->is_known = is_known;
	d->ttl_s = UINT32_MAX;
	d->plan = policy_plan_new(question->rule_domain, question->next_hop);
	memcpy(d->plan->rule_fingerprint, d->rule->fingerprint, sizeof(d->rule->fingerprint));
	if (d->wants_evidence)
		plan_evidence_rule(d->plan, rules, d->rule, question->rule_domain);
	tlsio_timer_init(&d->timer, means->loop, on_limit, d);
	tlsio_timer_start(&d->timer, limit_ms > 0 ? limit_ms : 0);
	tlsio_turn_init(&d->turn, means->loop, on_turn, d);
	start(d, question->next_hop);
	tlsio_turn_request(&d->turn); /* what needed no look-up is over already */
	return d;
}

bool plan_domain_has_policy(const struct plan_domain *d)
{
	return d->has_sts;
}

void plan_domain_free(struct plan_domain **pdomain)
{
	struct plan_domain *d = *pdomain;
	*pdomain = NULL;
	if (!d)
		return;
	dns_cancel(&d->mx);
	if (d->sts_question)
		sts_cancel(&d->sts_question);
	leave_places(d, true);
	list_remove(&d->waiting);
	call_next(&d->means->places);
	for (size_t i = 0; i < d->host_count; i++)
		plan_host_free(&d->hosts[i]);
	sts_policy_unref(&d->sts.policy);
	tlsio_timer_stop(&d->timer);
	tlsio_turn_cancel(&d->turn);
	policy_plan_unref(&d->plan);
	free(d->canonical);
	free(d->next_hop);
	free(d->rule_domain);
	free(d);
}
