#include "tests/smtpd/socketmap/make_whole.h"

#include "libtlsio/base/mem.h"

static struct policy_requirement *make_rule(const struct made_whole *from)
{
	struct policy_pin pins[3];
	struct policy_requirement r = { .level = from->rule,
		.minimum = from->is_tls13 ? TLSIO_TLS13 : TLSIO_TLS12,
		.names = (char **)(uintptr_t)from->names, .pins = pins,
		.trust_name = (char *)(uintptr_t)(from->authority ? from->authority : "system"),
		.source = (char *)(uintptr_t) "postern.conf:12 domain \"example.org\"" };
	while (r.name_count < 3 && from->names[r.name_count])
		r.name_count++;
	for (; r.pin_count < 3 && from->pins[r.pin_count]; r.pin_count++)
		policy_pin_parse(str_of(from->pins[r.pin_count]), &pins[r.pin_count], NULL);
	return policy_requirement_new(&r);
}

struct policy_plan_whole *make_whole(const struct made_whole *from)
{
	struct policy_plan_whole *w = mem_zero(sizeof(*w));
	w->rule = make_rule(from);
	w->is_exception = from->is_exception;
	w->is_general = !from->is_for_domain && !from->is_exception;
	w->uses_dane = !from->is_without_dane && !from->is_exception;
	w->is_by_mx = true;
	w->is_mx_known = !from->is_mx_failed;
	w->is_mx_proven = from->is_mx_proven;
	w->dane_hosts = from->dane;
	w->unusable_hosts = from->unusable;
	w->plain_hosts = from->plain;
	w->unknown_hosts = from->unknown;
	w->sts_mode = from->sts;
	w->sts_mx = mem_array(4, sizeof(*w->sts_mx));
	for (; w->sts_mx_count < 4 && from->mx[w->sts_mx_count]; w->sts_mx_count++)
		w->sts_mx[w->sts_mx_count] = mem_dup(from->mx[w->sts_mx_count]);
	if (from->sts != POLICY_STS_NONE)
		w->sts_text = mem_dup(from->text ? from->text
			: "version: STSv1\r\nmode: enforce\r\nmx: a.example.org\r\nmax_age: 86400\r\n");
	return w;
}

struct policy_plan *make_whole_plan(const char *domain, const struct made_whole *from)
{
	struct policy_plan *plan = policy_plan_new(domain, domain);
	if (from->state != POLICY_PLAN_READY)
		policy_plan_end(plan, from->state, POLICY_REASON_NONE, "%s",
			from->words ? from->words : "so it is");
	plan->whole = make_whole(from);
	policy_plan_add_host(plan, "mx1.example.org", 10);
	policy_plan_add_host(plan, "mx2.example.org", 20);
	return plan;
}
