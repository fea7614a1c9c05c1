/* The TLSA records of a host that has addresses: RFC 7672 2.2.2 and 2.2.3, D3, D4, D8, D9, D16. */
#include "policy/plan/plan_host_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_dane.h"

enum { NOTED_RECORDS_MOST = 12, SHOWN_RECORD_BYTES = 160, DNS_TEXT_NAME_MOST = 253 };

static void note(struct plan_host *host, const char *subject, const char *verdict, int64_t ttl_s,
	int64_t age_s, const char *text)
{
	if (host->notes)
		policy_plan_add_evidence(host->notes, POLICY_EVIDENCE_TLSA, subject, verdict, ttl_s,
			age_s, "%s", text);
}

static void note_answer(struct plan_host *host, const struct dns_answer *answer, const char *text)
{
	note(host, host->parts->asked, dns_verdict_name(answer->result, answer->security),
		answer->result == DNS_FAILED ? -1 : (int64_t)answer->ttl_s, answer->age_s, text);
}

static void end_good(struct plan_host *host, enum policy_dane_state state)
{
	host->dane.state = state;
	plan_host_end(host, PLAN_HOST_GOOD);
}

static void end_not_asked(struct plan_host *host, const char *why)
{
	note(host, host->name, "not-asked", -1, -1, why);
	end_good(host, POLICY_DANE_NOT_ASKED);
}

/* D3: no answer is no proof that there are no records. */
static void end_error(struct plan_host *host, enum dns_type type, bool is_bogus, const char *why)
{
	char text[500];
	struct plan_host_parts *p = host->parts;
	snprintf(text, sizeof(text), "%s %s: %s%s%s", p->asked, dns_type_name(type),
		is_bogus ? "DNSSEC validation failed (" : "", why, is_bogus ? ")" : "");
	free(p->words);
	p->words = mem_dup(text);
	host->dane.text = p->words;
	host->dane.is_bogus = is_bogus;
	if (host->ttl_s > PLAN_FAILURE_TTL_S)
		host->ttl_s = PLAN_FAILURE_TTL_S;
	end_good(host, POLICY_DANE_ERROR);
}

/* ---- records ---------------------------------------------------------------------------------- */

/* False: there are more of them than are looked at. */
static bool read_records(struct plan_host_parts *p, const struct dns_answer *answer)
{
	size_t most = answer->count < POLICY_TLSA_MOST ? answer->count : POLICY_TLSA_MOST;
	size_t bytes = 0;
	p->all = mem_array(most ? most : 1, sizeof(*p->all));
	for (size_t i = 0; i < most; i++) {
		struct policy_tlsa tlsa;
		if (!policy_dane_parse(answer->records[i].data, &tlsa))
			continue;
		bytes += tlsa.data.length;
		if (bytes > PLAN_HOST_TLSA_BYTES_MOST)
			return false;
		tlsa.data.at = mem_dup_bytes(tlsa.data.at, tlsa.data.length);
		p->all[p->all_count++] = tlsa;
	}
	return most == answer->count && answer->left_out_count == 0;
}

static bool is_among(const struct policy_tlsa *one, const struct policy_tlsa *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct policy_tlsa *r = &records[i];
		if (r->usage == one->usage && r->selector == one->selector &&
			r->matching == one->matching && str_equal(r->data, one->data))
			return true;
	}
	return false;
}

static void note_records(struct plan_host *host, const struct dns_answer *answer)
{
	const struct plan_host_parts *p = host->parts;
	char shown[SHOWN_RECORD_BYTES], text[SHOWN_RECORD_BYTES + 100];
	if (!host->notes)
		return;
	for (size_t i = 0; i < p->all_count && i < NOTED_RECORDS_MOST; i++) {
		bool counts = is_among(&p->all[i], host->dane.records, host->dane.record_count);
		snprintf(text, sizeof(text), "%s%s",
			policy_dane_format(&p->all[i], shown, sizeof(shown)),
			counts ? ""
			: policy_dane_is_usable(&p->all[i])
				? " (does not count: a stronger digest stands beside it)"
				: " (unusable: unknown kind, or its data is not what it says)");
		note_answer(host, answer, text);
	}
	size_t left = answer->count + answer->left_out_count;
	left -= p->all_count < NOTED_RECORDS_MOST ? p->all_count : NOTED_RECORDS_MOST;
	if (left > 0) {
		snprintf(text, sizeof(text), "%zu more, not shown%s", left,
			p->all_count < answer->count + answer->left_out_count
				? "; those that are malformed or beyond our limits do not count"
				: "");
		note_answer(host, answer, text);
	}
}

static void add_name(struct plan_host *host, const char *name)
{
	struct policy_dane_finding *d = &host->dane;
	if (!name)
		return;
	for (size_t i = 0; i < d->name_count; i++) {
		if (strcmp(d->names[i], name) == 0)
			return;
	}
	host->parts->names[d->name_count++] = name;
}

/* D16 */
static void set_names(struct plan_host *host, const char *base)
{
	struct plan_host_parts *p = host->parts;
	host->dane.base = base;
	host->dane.names = p->names;
	add_name(host, base);
	if (p->is_own_reference)
		add_name(host, host->name);
	add_name(host, p->next_hop);
	add_name(host, p->next_hop_canonical);
}

static void on_records(struct plan_host *host, const struct dns_answer *answer)
{
	struct plan_host_parts *p = host->parts;
	bool is_whole = read_records(p, answer);
	p->selected = mem_array(p->all_count ? p->all_count : 1, sizeof(*p->selected));
	host->dane.records = p->selected;
	host->dane.record_count = policy_dane_select(p->all, p->all_count, p->selected);
	set_names(host, p->bases[p->bases_asked - 1]);
	note_records(host, answer);
	/* Whoever is on the way turns a set as he likes, its signature is good all the same: what we
	 * did not look at must not be taken for unusable, which asks for less. */
	if (host->dane.record_count == 0 && !is_whole)
		end_error(host, DNS_TLSA, false, "none of the records that were looked at is usable, and "
			"there are more than our limits allow");
	else
		end_good(host, host->dane.record_count > 0 ? POLICY_DANE_USABLE : POLICY_DANE_UNUSABLE);
}

/* ---- candidates ------------------------------------------------------------------------------- */

static void ask_next(struct plan_host *host);

static void on_tlsa(void *ctx, const struct dns_answer *answer)
{
	struct plan_host *host = ctx;
	host->parts->question = NULL;
	plan_host_count_ttl(host, answer);
	if (answer->result == DNS_FOUND && answer->security == DNS_SECURE) {
		on_records(host, answer);
	} else if (answer->result == DNS_FAILED) {
		note_answer(host, answer, answer->why);
		end_error(host, DNS_TLSA, answer->security == DNS_BOGUS, answer->why);
	} else {
		note_answer(host, answer, answer->result == DNS_FOUND
				? "records without proof do not count"
				: "no records");
		ask_next(host);
	}
}

/* The first base with proven records wins (RFC 7672 2.2.3). */
static void ask_next(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	while (p->bases_asked < p->base_count) {
		const char *base = p->bases[p->bases_asked++];
		int length = snprintf(p->asked, sizeof(p->asked), "_%u._tcp.%s", p->port, base);
		if (length <= 0 || length > DNS_TEXT_NAME_MOST)
			continue; /* such a name cannot exist */
		p->question = dns_ask(p->dns, p->asked, DNS_TLSA, on_tlsa, host);
		return;
	}
	end_good(host, POLICY_DANE_ABSENT);
}

static void on_alias(void *ctx, const struct dns_answer *answer)
{
	struct plan_host *host = ctx;
	struct plan_host_parts *p = host->parts;
	p->question = NULL;
	plan_host_count_ttl(host, answer);
	if (answer->result == DNS_FAILED) {
		note_answer(host, answer, answer->why);
		end_error(host, DNS_CNAME, answer->security == DNS_BOGUS, answer->why);
	} else if (answer->result == DNS_FOUND && answer->security == DNS_SECURE) {
		p->bases[p->base_count++] = mem_dup(host->name);
		ask_next(host);
	} else {
		end_not_asked(host, "neither the host's address nor its alias is proven by "
				    "DNSSEC");
	}
}

void plan_host_find_dane(struct plan_host *host, bool is_secure, const char *canonical)
{
	struct plan_host_parts *p = host->parts;
	p->is_dane = true;
	if (!p->uses_dane) {
		end_not_asked(host, "the rule does without DANE");
	} else if (is_secure) {
		if (canonical && strcmp(canonical, host->name) != 0)
			p->bases[p->base_count++] = mem_dup(canonical);
		p->bases[p->base_count++] = mem_dup(host->name);
		ask_next(host);
	} else if (canonical) {
		str_copy(str_of(host->name), p->asked, sizeof(p->asked));
		p->question = dns_ask(p->dns, host->name, DNS_CNAME, on_alias, host);
	} else {
		/* Resolvers in front of such zones often fail when asked for TLSA records (D4). */
		end_not_asked(host, "the host's address is not proven by DNSSEC");
	}
}

void plan_host_give_up_dane(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	enum dns_type type = p->bases_asked > 0 ? DNS_TLSA : DNS_CNAME;
	static const struct dns_answer silence = { .result = DNS_FAILED };
	dns_cancel(&p->question);
	note_answer(host, &silence, "no answer in time");
	end_error(host, type, false, "no answer in time");
}

void plan_host_clear_dane(struct plan_host *host)
{
	struct plan_host_parts *p = host->parts;
	for (size_t i = 0; i < p->base_count; i++)
		free(p->bases[i]);
	for (size_t i = 0; i < p->all_count; i++)
		free((void *)(uintptr_t)p->all[i].data.at);
	free(p->all);
	free(p->selected);
	free(p->words);
}
