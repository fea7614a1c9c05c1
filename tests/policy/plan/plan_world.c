#include "tests/policy/plan/plan_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct policy_rules *world_make_rules(struct world *w, const struct world_rule *list)
{
	struct policy_rules *rules = policy_rules_new();
	for (const struct world_rule *from = list; from && from->domain; from++) {
		char source[] = "postern.conf:7";
		char why[200];
		struct err err = { 0 };
		struct policy_requirement draft = { .level = from->level,
			.minimum = TLSIO_TLS12, .source = source };
		struct policy_rule rule = {
			.requirement = policy_requirement_new(&draft),
			.uses_dane = !from->without_dane && !from->reason,
			.uses_sts = !from->without_sts && !from->reason,
			.is_exception = from->reason != NULL,
		};
		if (from->reason) {
			str_copy(str_of(from->reason), why, sizeof(why));
			rule.reason = why;
			rule.until_s = tlsio_loop_time_s(w->loop) + from->lasts_s;
		}
		if (policy_rules_add(rules, str_of(from->domain), &rule, &err) < 0)
			fail_msg("%s", err.text);
		policy_requirement_unref(&rule.requirement);
	}
	return rules;
}

void world_open(struct world *w, const struct world_rule *rules,
	const struct plan_service_setup *bounds)
{
	static const uint8_t roots[32] = { 1 };
	struct plan_service_setup setup = { 0 };
	memset(w, 0, sizeof(*w));
	if (bounds)
		setup = *bounds;
	w->loop = tlsio_loop_new(NULL);
	w->dns = dns_new(w->loop, NULL, NULL);
	w->sts = sts_new(w->loop, w->dns, NULL, STS_CACHE_READ_ONLY, NULL, NULL, NULL);
	w->rules = world_make_rules(w, rules);
	setup.loop = w->loop;
	setup.dns = w->dns;
	setup.sts = w->sts;
	const struct tlsrpt_settings counting = { .days = 10, .rows_most = 1000 };
	w->tally = tlsrpt_tally_new(w->loop, &counting, TLSRPT_TALLY_READ_WRITE, NULL, NULL);
	setup.tally = w->tally;
	setup.rules = w->rules;
	setup.roots_name = "system";
	setup.roots_sha256 = roots;
	w->service = plan_service_new(&setup);
}

void world_close(struct world *w)
{
	policy_plan_unref(&w->plan);
	plan_service_free(&w->service);
	tlsrpt_tally_free(&w->tally);
	policy_rules_unref(&w->rules);
	sts_free(&w->sts);
	dns_free(&w->dns);
	tlsio_loop_free(&w->loop);
}

void world_on_plan(void *ctx, struct policy_plan *plan)
{
	struct world *w = ctx;
	policy_plan_unref(&w->plan);
	w->plan = policy_plan_ref(plan);
	w->plan_count++;
}

struct policy_plan *world_plan_for(struct world *w, const struct policy_question *question)
{
	unsigned before = w->plan_count;
	plan_service_ask(w->service, question, world_on_plan, w);
	assert_int_equal(w->plan_count, before); /* later, never at once */
	fake_loop_advance(w->loop, 0);
	for (int second = 0; w->plan_count == before && second < 100; second++)
		fake_loop_advance(w->loop, 1000);
	assert_int_equal(w->plan_count, before + 1);
	return w->plan;
}

struct policy_plan *world_plan(struct world *w, const char *domain)
{
	struct policy_question question = { .kind = POLICY_BY_MX, .rule_domain = domain,
		.next_hop = domain, .port = 25, .wants_evidence = true };
	return world_plan_for(w, &question);
}

void world_add_domain(struct world *w, const char *domain, enum dns_security security)
{
	char host[300], mx[320];
	snprintf(host, sizeof(host), "mx.%s", domain);
	snprintf(mx, sizeof(mx), "10 %s", host);
	fake_dns_set(w->dns, domain, DNS_MX, security, mx);
	fake_dns_set(w->dns, host, DNS_A, security, "192.0.2.1");
	fake_dns_set_none(w->dns, host, DNS_AAAA, DNS_NO_DATA, security);
	fake_dns_set_ttl(w->dns, host, DNS_AAAA, 3600);
	snprintf(mx, sizeof(mx), "_25._tcp.%s", host);
	fake_dns_set_none(w->dns, mx, DNS_TLSA, DNS_NO_NAME, security);
	fake_dns_set_ttl(w->dns, mx, DNS_TLSA, 3600);
}

const struct policy_plan_host *world_host(const struct policy_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->host_count; i++) {
		if (strcmp(plan->hosts[i].name, name) == 0)
			return &plan->hosts[i];
	}
	fail_msg("no host %s in the plan", name);
	return NULL;
}

const struct policy_evidence *world_evidence(const struct policy_plan *plan,
	enum policy_evidence_kind kind, const char *subject)
{
	for (size_t i = 0; i < plan->evidence_count; i++) {
		const struct policy_evidence *e = &plan->evidence[i];
		if (e->kind == kind && (!subject || strcmp(e->subject, subject) == 0))
			return e;
	}
	return NULL;
}

bool world_says(const char *text, const char *part)
{
	return text && strstr(text, part) != NULL;
}

void assert_says(const char *text, const char *part)
{
	if (!world_says(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text ? text : "(nothing)", part);
}

const char *world_dane_names(const struct policy_plan_host *host)
{
	static char text[1000];
	size_t used = 0;
	text[0] = '\0';
	assert_non_null(host->requirement);
	for (size_t i = 0; i < host->requirement->dane_name_count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
			host->requirement->dane_names[i]);
	return text;
}
