#include "policy/policy_combine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"

enum rule_kind {
	RULE_EXCEPTION = 1 << 0,
	RULE_NONE = 1 << 1,
	RULE_MAY = 1 << 2, /* and dane, which asks for no more where there is no DANE */
	RULE_ENCRYPT = 1 << 3,
	RULE_VERIFY = 1 << 4,
	RULE_VERIFY_OWN = 1 << 5,
	RULE_DANE_ONLY = 1 << 6,
};
enum sts_kind {
	STS_NONE = 1 << 0,
	STS_TESTING_NAMED = 1 << 1,
	STS_TESTING_UNNAMED = 1 << 2,
	STS_ENFORCE_NAMED = 1 << 3,
	STS_ENFORCE_UNNAMED = 1 << 4,
};
enum mx_kind { MX_SECURE = 1 << 0, MX_INSECURE = 1 << 1 }; /* a host by name is as good as secure */
enum { ANY = ~0u };
#define DANE_IS(state) (1u << POLICY_DANE_##state)

/* Who had the last word. */
enum decider { BY_RULE, BY_DANE, BY_DANE_AND_RULE, BY_STS, BY_UNUSABLE, BY_NOBODY };

struct combination {
	const struct policy_combine *from;
	struct policy_plan_host *host;
	const struct policy_requirement *rule;
	/* As far as the rule takes them into account. */
	enum policy_dane_state dane;
	enum policy_sts_mode sts;
	unsigned rule_kind, sts_kind, mx_kind;
	bool is_mx_proven;   /* the domain itself said that this host takes its mail */
	enum decider decider;
	char below[POLICY_DOMAIN_BYTES + 1]; /* ".next-hop" */
	char *domain_names[2];
};

/* --- who speaks --------------------------------------------------------------------------- */

/* More than "any authority of this machine": names, keys, or an authority of the rule's choice. */
static bool has_own_identity(const struct policy_requirement *r)
{
	return r->name_count || r->pin_count ||
		(r->trust_name && strcmp(r->trust_name, "system") != 0);
}

static unsigned rule_kind(const struct policy_rule *rule)
{
	static const unsigned kinds[] = {
		[POLICY_LEVEL_NONE] = RULE_NONE,
		[POLICY_LEVEL_MAY] = RULE_MAY,
		[POLICY_LEVEL_ENCRYPT] = RULE_ENCRYPT,
		[POLICY_LEVEL_VERIFY] = RULE_VERIFY,
		[POLICY_LEVEL_DANE] = RULE_MAY,
		[POLICY_LEVEL_DANE_ONLY] = RULE_DANE_ONLY,
	};
	if (rule->is_exception)
		return RULE_EXCEPTION;
	if (rule->requirement->level == POLICY_LEVEL_VERIFY && has_own_identity(rule->requirement))
		return RULE_VERIFY_OWN;
	return kinds[rule->requirement->level];
}

static unsigned sts_kind(enum policy_sts_mode mode, bool is_named)
{
	if (mode == POLICY_STS_ENFORCE)
		return is_named ? STS_ENFORCE_NAMED : STS_ENFORCE_UNNAMED;
	if (mode == POLICY_STS_TESTING)
		return is_named ? STS_TESTING_NAMED : STS_TESTING_UNNAMED;
	return STS_NONE;
}

static void look(struct combination *c, const struct policy_combine *from,
	struct policy_plan_host *host)
{
	const struct policy_rule *rule = from->rule;
	bool is_secure = !from->is_by_mx || from->is_mx_secure;
	memset(c, 0, sizeof(*c));
	c->from = from;
	c->host = host;
	c->rule = rule->requirement;
	c->dane = rule->uses_dane ? from->dane.state : POLICY_DANE_NOT_ASKED;
	c->sts = rule->uses_sts ? from->sts.mode : POLICY_STS_NONE;
	c->rule_kind = rule_kind(rule);
	c->sts_kind = sts_kind(c->sts, from->sts.is_mx_named);
	c->mx_kind = is_secure ? MX_SECURE : MX_INSECURE;
	/* A policy came over HTTPS from the domain itself: in testing, too, its names are true. */
	c->is_mx_proven =
		is_secure || (c->sts_kind & (STS_TESTING_NAMED | STS_ENFORCE_NAMED)) != 0;
	snprintf(c->below, sizeof(c->below), ".%s", from->next_hop);
	c->domain_names[0] = (char *)(uintptr_t)from->next_hop;
	c->domain_names[1] = c->below;
}

static const char *tlsa_owner(const struct combination *c)
{
	return c->from->dane.base ? c->from->dane.base : c->from->host;
}

/* --- what the host must show -------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void close_host(struct combination *c,
	enum policy_reason reason, const char *format, ...)
{
	struct buf text = { 0 };
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	c->decider = BY_NOBODY;
	c->host->reason = reason;
	c->host->text = buf_take(&text);
	/* Words of name servers come in here, and end up in replies and logs. */
	for (char *at = c->host->text; *at; at++)
		*at = (*at < ' ' || *at > '~') ? '?' : *at;
}

static void require(struct combination *c, enum decider decider, struct policy_requirement *draft,
	struct buf *source)
{
	draft->source = (char *)(uintptr_t)buf_text(source);
	draft->minimum = c->rule->minimum;
	c->decider = decider;
	c->host->requirement = policy_requirement_new(draft);
	buf_release(source);
}

/* The rule's own word on who the peer must be. An unproven MX record may name anybody's host: then
 * the certificate must be for the domain or a host below it, unless the rule names names. */
static bool add_identity(const struct combination *c, struct policy_requirement *draft)
{
	bool wants_domain = c->rule->name_count == 0 && !c->is_mx_proven;
	draft->names = wants_domain ? (char **)(uintptr_t)c->domain_names : c->rule->names;
	draft->name_count = wants_domain ? 2 : c->rule->name_count;
	draft->trust = c->rule->trust;
	draft->trust_name = c->rule->trust_name;
	memcpy(draft->trust_sha256, c->rule->trust_sha256, sizeof(draft->trust_sha256));
	draft->pins = c->rule->pins;
	draft->pin_count = c->rule->pin_count;
	return wants_domain;
}

static void obey_rule(struct combination *c)
{
	struct policy_requirement draft = { .level = c->rule->level, .origin = c->rule->origin };
	struct buf source = { 0 };
	buf_append_text(&source, c->rule->source);
	if (draft.level == POLICY_LEVEL_DANE || draft.level == POLICY_LEVEL_DANE_ONLY)
		draft.level = POLICY_LEVEL_MAY;
	if (draft.level == POLICY_LEVEL_VERIFY && add_identity(c, &draft))
		buf_append_text(&source, " (whose MX record is not proven by DNSSEC)");
	if (draft.level == POLICY_LEVEL_ENCRYPT && c->dane == POLICY_DANE_UNUSABLE)
		buf_printf(&source, " (and the set of unusable TLSA records of %s)", tlsa_owner(c));
	require(c, BY_RULE, &draft, &source);
}

static void name_rule(const struct combination *c, bool has_part, struct buf *source)
{
	if (has_part || c->rule->minimum > TLSIO_TLS12)
		buf_printf(source, " (and %s)", c->rule->source);
}

static void demand_dane(struct combination *c, bool with_rule)
{
	const struct policy_dane_finding *dane = &c->from->dane;
	struct policy_requirement draft = {
		.level = POLICY_LEVEL_DANE,
		.origin = POLICY_ORIGIN_DANE,
		.tlsa = (struct policy_tlsa *)(uintptr_t)dane->records,
		.tlsa_count = dane->record_count,
		.dane_names = (char **)(uintptr_t)dane->names,
		.dane_name_count = dane->name_count,
		.server_name = (char *)(uintptr_t)dane->base,
	};
	struct buf source = { 0 };
	if (with_rule)
		add_identity(c, &draft);
	buf_printf(&source, "the set of TLSA records of %s", tlsa_owner(c));
	name_rule(c, with_rule || c->rule_kind == RULE_DANE_ONLY, &source);
	require(c, with_rule ? BY_DANE_AND_RULE : BY_DANE, &draft, &source);
}

static void obey_dane(struct combination *c)
{
	demand_dane(c, false);
}

static void obey_dane_and_rule(struct combination *c)
{
	demand_dane(c, true);
}

static void obey_unusable(struct combination *c)
{
	struct policy_requirement draft = { .level = POLICY_LEVEL_ENCRYPT,
		.origin = POLICY_ORIGIN_DANE };
	struct buf source = { 0 };
	buf_printf(&source, "the set of unusable TLSA records of %s", tlsa_owner(c));
	name_rule(c, false, &source);
	require(c, BY_UNUSABLE, &draft, &source);
}

/* RFC 8461 4.1, 4.2: a certificate for the host's own name, from an authority of ours. */
static void draft_sts(const struct combination *c, char **name, struct policy_requirement *draft)
{
	const struct policy_sts_finding *sts = &c->from->sts;
	*name = (char *)(uintptr_t)c->from->host;
	draft->level = POLICY_LEVEL_VERIFY;
	draft->origin = POLICY_ORIGIN_STS;
	draft->names = name;
	draft->name_count = 1;
	draft->trust = sts->roots;
	draft->trust_name = (char *)(uintptr_t)(sts->roots_name ? sts->roots_name : "system");
	if (sts->roots_sha256)
		memcpy(draft->trust_sha256, sts->roots_sha256, sizeof(draft->trust_sha256));
}

static void obey_sts(struct combination *c)
{
	struct policy_requirement draft = { 0 };
	struct buf source = { 0 };
	char *name;
	draft_sts(c, &name, &draft);
	buf_printf(&source, "the MTA-STS policy of %s", c->from->sts.domain);
	name_rule(c, c->rule_kind == RULE_VERIFY, &source);
	require(c, BY_STS, &draft, &source);
}

static void refuse_dane_error(struct combination *c)
{
	const struct policy_dane_finding *dane = &c->from->dane;
	close_host(c, dane->is_bogus ? POLICY_REASON_DNSSEC_INVALID : POLICY_REASON_NONE,
		"%s is not used: whether it has TLSA records could not be found out%s%s",
		c->from->host, dane->text && dane->text[0] ? ": " : "", dane->text ? dane->text : "");
}

static void refuse_insecure_mx(struct combination *c)
{
	close_host(c, POLICY_REASON_DANE_REQUIRED,
		"%s is not used: the MX record of %s is not proven by DNSSEC, and %s demands dane-only",
		c->from->host, c->from->next_hop, c->rule->source);
}

static void refuse_without_records(struct combination *c)
{
	static const char *const lacks[] = {
		[POLICY_DANE_NOT_ASKED] = "its address is not proven by DNSSEC, so no TLSA records count",
		[POLICY_DANE_ABSENT] = "it has no TLSA records proven by DNSSEC",
		[POLICY_DANE_USABLE] = "",
		[POLICY_DANE_UNUSABLE] = "none of its TLSA records is usable",
		[POLICY_DANE_ERROR] = "",
	};
	close_host(c, POLICY_REASON_DANE_REQUIRED, "%s is not used: %s, and %s demands dane-only",
		c->from->host, lacks[c->dane], c->rule->source);
}

static void refuse_unnamed(struct combination *c)
{
	close_host(c, POLICY_REASON_VALIDATION_FAILURE,
		"%s is not used: the MTA-STS policy of %s, which is in force, does not name it as an MX "
		"host",
		c->from->host, c->from->sts.domain);
}

/* PRECEDENCE.md, row by row: the first that fits decides. */
static const struct row {
	unsigned rule, dane, sts, mx;
	void (*decide)(struct combination *c);
} rows[] = {
	{ RULE_EXCEPTION, ANY, ANY, ANY, obey_rule },
	{ ANY, DANE_IS(ERROR), ANY, ANY, refuse_dane_error },
	{ RULE_DANE_ONLY, ANY, ANY, MX_INSECURE, refuse_insecure_mx },
	{ RULE_DANE_ONLY, DANE_IS(NOT_ASKED) | DANE_IS(ABSENT) | DANE_IS(UNUSABLE), ANY, ANY,
		refuse_without_records },
	{ ANY, DANE_IS(USABLE), STS_ENFORCE_UNNAMED, MX_INSECURE, refuse_unnamed },
	{ RULE_VERIFY_OWN, DANE_IS(USABLE), ANY, ANY, obey_dane_and_rule },
	{ RULE_VERIFY, DANE_IS(USABLE), STS_NONE | STS_TESTING_UNNAMED, MX_INSECURE,
		obey_dane_and_rule },
	{ ANY, DANE_IS(USABLE), ANY, ANY, obey_dane },
	{ ANY, ANY, STS_ENFORCE_UNNAMED, ANY, refuse_unnamed },
	{ RULE_VERIFY_OWN, ANY, ANY, ANY, obey_rule },
	{ ANY, ANY, STS_ENFORCE_NAMED, ANY, obey_sts },
	{ RULE_VERIFY | RULE_ENCRYPT, ANY, ANY, ANY, obey_rule },
	{ ANY, DANE_IS(UNUSABLE), ANY, ANY, obey_unusable },
	{ ANY, ANY, ANY, ANY, obey_rule },
};

static const struct row *find_row(const struct combination *c)
{
	const struct row *row = rows;
	while (!(row->rule & c->rule_kind) || !(row->dane & 1u << c->dane) ||
		!(row->sts & c->sts_kind) || !(row->mx & c->mx_kind))
		row++;
	return row;
}

/* --- beside the verdict ------------------------------------------------------------------- */

/* What MTA-STS in testing mode would have demanded (RFC 8461 5); nothing can be judged of a host
 * that gets no mail or no TLS. */
static void test_sts(struct combination *c)
{
	struct policy_requirement draft = { 0 };
	struct buf source = { 0 };
	char *name;
	const struct policy_requirement *r = c->host->requirement;
	if (c->sts != POLICY_STS_TESTING || !r || r->level == POLICY_LEVEL_NONE)
		return;
	if (c->sts_kind == STS_TESTING_UNNAMED) {
		c->host->testing_reason = POLICY_REASON_VALIDATION_FAILURE;
		return;
	}
	draft_sts(c, &name, &draft);
	buf_printf(&source, "the MTA-STS policy of %s (in testing mode)", c->from->sts.domain);
	draft.source = (char *)(uintptr_t)buf_text(&source);
	c->host->testing = policy_requirement_new(&draft);
	buf_release(&source);
}

/* The rule's own identity or the domain's name is part of what must be shown. */
static bool proves_domain(const struct combination *c)
{
	const struct policy_requirement *r = c->host->requirement;
	return r && (c->is_mx_proven || r->name_count || r->pin_count);
}

static const char *why_ignored(const struct combination *c)
{
	return c->from->rule->is_exception ? "the exception stands above it" : "the rule leaves it out";
}

static void add_lost_dane(const struct combination *c, struct policy_plan *plan)
{
	static const struct {
		const char *verdict, *words;
	} held[] = {
		[POLICY_DANE_USABLE] = { "dane", "usable TLSA records: the certificate would have to "
						 "match one of them" },
		[POLICY_DANE_UNUSABLE] = { "encrypt",
			"TLSA records, none of them usable: TLS would be needed, with any certificate" },
		[POLICY_DANE_ERROR] = { "error", "the look-up of TLSA records failed: the host would "
						 "not be used" },
	};
	const struct policy_requirement *r = c->host->requirement;
	enum policy_dane_state state = c->from->dane.state;
	const char *why = NULL;
	if (state == POLICY_DANE_NOT_ASKED || state == POLICY_DANE_ABSENT)
		return;
	if (!c->from->rule->uses_dane)
		why = why_ignored(c);
	else if (!r && state != POLICY_DANE_ERROR)
		why = "the host is not used";
	else if (state == POLICY_DANE_UNUSABLE && r->level != POLICY_LEVEL_ENCRYPT)
		why = "more is demanded";
	if (!why)
		return;
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_LOST, c->from->host, held[state].verdict, -1, -1,
		"%s; but %s (%s)", held[state].words, why, c->rule->source);
}

static void add_lost_sts(const struct combination *c, struct policy_plan *plan)
{
	const struct policy_sts_finding *sts = &c->from->sts;
	const char *why = NULL;
	if (sts->mode == POLICY_STS_NONE)
		return;
	if (!c->from->rule->uses_sts)
		why = why_ignored(c);
	else if (sts->mode == POLICY_STS_TESTING)
		why = "in testing mode it is judged and reported, not obeyed";
	else if (c->decider == BY_DANE || c->decider == BY_DANE_AND_RULE)
		why = "for a host with usable TLSA records DANE decides alone";
	else if (c->decider == BY_RULE)
		why = "the rule says itself who the host must be";
	else if (c->decider == BY_NOBODY && sts->is_mx_named)
		why = "the host is not used";
	/* then it is worth saying where the rule stands */
	bool is_rules_word = !c->from->rule->uses_sts ||
		(c->decider == BY_RULE && sts->mode == POLICY_STS_ENFORCE);
	if (why)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_LOST, c->from->host,
			sts->mode == POLICY_STS_ENFORCE ? "enforce" : "testing", -1, -1,
			"the MTA-STS policy of %s %s; but %s%s%s%s", sts->domain,
			sts->is_mx_named ? "would demand a certificate for the host's name"
					 : "does not name the host, which would not be used",
			why, is_rules_word ? " (" : "", is_rules_word ? c->rule->source : "",
			is_rules_word ? ")" : "");
}

static void add_lost_rule(const struct combination *c, struct policy_plan *plan)
{
	static const char *const why[] = {
		[BY_DANE] = "the host's usable TLSA records demand more",
		[BY_STS] = "an MTA-STS policy in force demands more",
		[BY_UNUSABLE] = "the host has TLSA records, none of them usable, which demand TLS",
		[BY_NOBODY] = "the host is not used",
		[BY_DANE_AND_RULE] = NULL,
	};
	/* dane-required: the rule's own doing */
	if (why[c->decider] && c->host->reason != POLICY_REASON_DANE_REQUIRED)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_LOST, c->from->host,
			policy_level_name(c->rule->level), -1, -1, "%s says %s; but %s",
			c->rule->source, policy_level_name(c->rule->level), why[c->decider]);
}

void policy_combine_host(const struct policy_combine *from, struct policy_plan *plan,
	struct policy_plan_host *host, bool wants_evidence)
{
	struct combination c;
	look(&c, from, host);
	find_row(&c)->decide(&c);
	test_sts(&c);
	host->is_domain_proven = proves_domain(&c);
	if (!wants_evidence)
		return;
	add_lost_dane(&c, plan);
	add_lost_sts(&c, plan);
	add_lost_rule(&c, plan);
}
