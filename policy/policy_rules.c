#include "policy/policy_rules.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"
#include "policy/policy_domain.h"

struct policy_rules {
	unsigned references;
	struct policy_domain_table *rules;
	struct policy_domain_table *exceptions;
	struct policy_rule *built_in;
};

static void free_rule(void *value)
{
	struct policy_rule *rule = value;
	policy_requirement_unref(&rule->requirement);
	free(rule->reason);
	free(rule);
}

/* What it decides, not where it stands. */
static void compute_fingerprint(struct policy_rule *rule)
{
	struct buf text = { 0 };
	uint8_t digest[TLSIO_DIGEST_SHA256_BYTES];
	buf_printf(&text, "%s %d %d %d", rule->requirement->fingerprint, rule->uses_dane,
		rule->uses_sts, rule->is_exception);
	tlsio_digest_sha256(buf_str(&text), digest);
	codec_hex(digest, 16, rule->fingerprint);
	buf_release(&text);
}

static struct policy_rule *copy_rule(const struct policy_rule *from)
{
	struct policy_rule *rule = mem_zero(sizeof(*rule));
	*rule = *from;
	rule->requirement = policy_requirement_ref(from->requirement);
	rule->reason = mem_dup(from->reason);
	compute_fingerprint(rule);
	return rule;
}

struct policy_rules *policy_rules_new(void)
{
	static const struct policy_requirement may = {
		.level = POLICY_LEVEL_MAY,
		.minimum = TLSIO_TLS12,
		.source = (char *)(uintptr_t) "built-in default",
	};
	struct policy_rules *rules = mem_zero(sizeof(*rules));
	struct policy_rule rule = { .uses_dane = true, .uses_sts = true };
	rules->references = 1;
	rules->rules = policy_domain_table_new();
	rules->exceptions = policy_domain_table_new();
	rule.requirement = policy_requirement_new(&may);
	rules->built_in = copy_rule(&rule);
	rules->built_in->is_general = true;
	policy_requirement_unref(&rule.requirement);
	return rules;
}

int policy_rules_add(struct policy_rules *rules, struct str domain, const struct policy_rule *from,
	struct err *err)
{
	char pattern[POLICY_DOMAIN_BYTES];
	if (policy_domain_parse_pattern(domain, pattern, err) < 0)
		return -1;
	if (from->is_exception && strcmp(pattern, "*") == 0)
		return err_set(err, ERR_INPUT, "an exception for \"*\" would switch everything off: "
			"name the domains it is for");
	struct policy_rule *rule = copy_rule(from);
	rule->is_general = strcmp(pattern, "*") == 0;
	if (policy_domain_table_add(
		    from->is_exception ? rules->exceptions : rules->rules, pattern, rule))
		return 0;
	free_rule(rule);
	return err_set(err, ERR_INPUT, "domain \"%s\" has %s already: say each domain once", pattern,
		from->is_exception ? "an exception" : "a rule");
}

const struct policy_rule *policy_rules_find_without_exceptions(const struct policy_rules *rules,
	struct str domain)
{
	const struct policy_rule *rule = policy_domain_table_find(rules->rules, domain);
	return rule ? rule : rules->built_in;
}

const struct policy_rule *policy_rules_find(const struct policy_rules *rules, struct str domain,
	int64_t now_s)
{
	/* One that ended hides a wider one that has not: the operator said the narrow one last. */
	const struct policy_rule *exception =
		policy_domain_table_find_named(rules->exceptions, domain);
	if (exception && now_s < exception->until_s)
		return exception;
	return policy_rules_find_without_exceptions(rules, domain);
}

struct visitor {
	void (*on_rule)(void *ctx, const char *domain, const struct policy_rule *rule);
	void *ctx;
};

static void visit(void *ctx, const char *pattern, void *value)
{
	struct visitor *v = ctx;
	v->on_rule(v->ctx, pattern, value);
}

void policy_rules_each(const struct policy_rules *rules,
	void (*on_rule)(void *ctx, const char *domain, const struct policy_rule *rule), void *ctx)
{
	struct visitor v = { on_rule, ctx };
	policy_domain_table_each(rules->rules, visit, &v);
	policy_domain_table_each(rules->exceptions, visit, &v);
}

struct policy_rules *policy_rules_ref(struct policy_rules *rules)
{
	rules->references++;
	return rules;
}

void policy_rules_unref(struct policy_rules **rules)
{
	struct policy_rules *r = *rules;
	*rules = NULL;
	if (!r || --r->references > 0)
		return;
	policy_domain_table_free(&r->rules, free_rule);
	policy_domain_table_free(&r->exceptions, free_rule);
	free_rule(r->built_in);
	free(r);
}
