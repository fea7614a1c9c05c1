#include "policy/policy_rules.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"

struct policy_rules {
	unsigned references;
	struct policy_domain_table *table;
	struct policy_requirement *built_in;
};

static void free_requirement(void *value)
{
	struct policy_requirement *r = value;
	policy_requirement_unref(&r);
}

struct policy_rules *policy_rules_new(void)
{
	static const struct policy_requirement built_in = {
		.level = POLICY_LEVEL_MAY,
		.minimum = TLSIO_TLS12,
		.source = (char *)(uintptr_t) "built-in default",
	};
	struct policy_rules *rules = mem_zero(sizeof(*rules));
	rules->references = 1;
	rules->table = policy_domain_table_new();
	rules->built_in = policy_requirement_new(&built_in);
	return rules;
}

int policy_rules_add(struct policy_rules *rules, struct str domain,
	struct policy_requirement *requirement, struct err *err)
{
	char pattern[POLICY_DOMAIN_BYTES];
	if (policy_domain_parse_pattern(domain, pattern, err) < 0)
		return -1;
	if (!policy_domain_table_add(rules->table, pattern, requirement))
		return err_set(err, ERR_INPUT,
			"domain \"%s\" has a rule already: say each domain once", pattern);
	policy_requirement_ref(requirement);
	return 0;
}

struct policy_requirement *policy_rules_find(const struct policy_rules *rules, struct str domain)
{
	struct policy_requirement *r = policy_domain_table_find(rules->table, domain);
	return r ? r : rules->built_in;
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
	policy_domain_table_free(&r->table, free_requirement);
	policy_requirement_unref(&r->built_in);
	free(r);
}
