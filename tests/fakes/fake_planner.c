#include "tests/fakes/fake_planner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

struct asked {
	struct list link;
	char *rule_domain, *next_hop;
	void (*on_plan)(void *asker, struct policy_plan *plan);
	void *asker;
};

static void free_asked(struct asked *a)
{
	list_remove(&a->link);
	free(a->rule_domain);
	free(a->next_hop);
	free(a);
}

static struct policy_plan **find(struct fake_planner *f, const char *next_hop)
{
	for (size_t i = 0; i < f->plan_count; i++)
		if (strcmp(f->plans[i]->next_hop, next_hop) == 0)
			return &f->plans[i];
	return NULL;
}

static void *ask(void *ctx, const struct policy_question *question,
	void (*on_plan)(void *asker, struct policy_plan *plan), void *asker)
{
	struct fake_planner *f = ctx;
	struct asked *a = mem_zero(sizeof(*a));
	a->rule_domain = mem_dup(question->rule_domain);
	a->next_hop = mem_dup(question->next_hop);
	a->on_plan = on_plan;
	a->asker = asker;
	list_push_back(&f->asked, &a->link);
	f->asked_count++;
	f->kind = question->kind;
	f->port = question->port;
	buf_printf(&f->questions, "%s %s\n", a->rule_domain, a->next_hop);
	if (!f->is_silent)
		tlsio_turn_request(&f->turn);
	return a;
}

static void cancel(void *ctx, void *asked)
{
	struct fake_planner *f = ctx;
	f->cancelled_count++;
	free_asked(asked);
}

static void report(void *ctx, const struct policy_session *session)
{
	static const char *const types[] = { "none", "tlsa", "sts" };
	struct fake_planner *f = ctx;
	buf_printf(&f->reports, "%s %s", session->domain, session->host);
	for (size_t i = 0; i < session->part_count; i++) {
		const struct policy_session_part *part = &session->parts[i];
		buf_printf(&f->reports, " %s:%s", types[part->type], policy_reason_name(part->reason));
		if (part->besides != POLICY_REASON_NONE)
			buf_printf(&f->reports, "+%s", policy_reason_name(part->besides));
	}
	buf_append_byte(&f->reports, '\n');
	f->has_addresses = session->sending.family != NETADDR_NONE &&
		session->receiving.family != NETADDR_NONE;
}

static void forget(void *ctx)
{
	struct fake_planner *f = ctx;
	f->forgotten_count++;
}

static void answer(struct fake_planner *f, struct asked *a)
{
	struct policy_plan **known = find(f, a->next_hop);
	struct policy_plan *plan = known ? policy_plan_ref(*known) :
					   policy_plan_new(a->rule_domain, a->next_hop);
	void (*on_plan)(void *asker, struct policy_plan *plan) = a->on_plan;
	void *asker = a->asker;
	if (!known)
		policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE,
			"postern-policyd does not answer: mail is kept and tried again");
	plan->is_unanswered |= !known;
	free_asked(a);
	on_plan(asker, plan);
	policy_plan_unref(&plan);
}

void fake_planner_speak(struct fake_planner *f)
{
	struct list *node;
	while ((node = list_first(&f->asked)) != NULL)
		answer(f, LIST_OWNER(node, struct asked, link));
}

static void on_turn(void *ctx)
{
	fake_planner_speak(ctx);
}

void fake_planner_open(struct fake_planner *f, struct tlsio_loop *loop)
{
	*f = (struct fake_planner){ .planner = { .ask = ask, .cancel = cancel, .report = report,
		.forget = forget, .ctx = f } };
	list_init(&f->asked);
	tlsio_turn_init(&f->turn, loop, on_turn, f);
}

void fake_planner_close(struct fake_planner *f)
{
	assert(list_is_empty(&f->asked));
	tlsio_turn_cancel(&f->turn);
	for (size_t i = 0; i < f->plan_count; i++)
		policy_plan_unref(&f->plans[i]);
	buf_release(&f->questions);
	buf_release(&f->reports);
}

struct policy_plan *fake_planner_plan(struct fake_planner *f, const char *next_hop,
	const char *rule_fingerprint)
{
	struct policy_plan **place = find(f, next_hop);
	if (place) {
		policy_plan_unref(place);
	} else {
		assert(f->plan_count < FAKE_PLANNER_PLANS);
		place = &f->plans[f->plan_count++];
	}
	*place = policy_plan_new(next_hop, next_hop);
	str_copy(str_of(rule_fingerprint), (*place)->rule_fingerprint,
		sizeof((*place)->rule_fingerprint));
	return *place;
}

void fake_planner_add_address(struct policy_plan_host *host, const struct netaddr *address)
{
	host->addresses = mem_resize_array(host->addresses, host->address_count + 1,
		sizeof(*host->addresses));
	host->addresses[host->address_count++] = *address;
}

struct policy_plan_host *fake_planner_host(struct policy_plan *plan, const char *name,
	unsigned preference, const struct netaddr *address, struct policy_requirement *requirement)
{
	struct policy_plan_host *host = policy_plan_add_host(plan, name, preference);
	assert(host);
	host->requirement = policy_requirement_ref(requirement);
	if (address)
		fake_planner_add_address(host, address);
	return host;
}
