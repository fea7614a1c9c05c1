#include "tests/fakes/fake_plan_service.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

enum { KEPT_MOST = 64 };

struct plan_service {
	struct list waiting;
	struct policy_plan *kept[KEPT_MOST];
	size_t kept_count, waiting_count;
	uint64_t asked, found;
	struct fake_plan_tally tally;
	struct policy_plan *(*make)(void *ctx, const struct policy_question *question);
	void *make_ctx;
	struct policy_plan_whole *(*known)(void *ctx, const struct policy_question *question);
	void *known_ctx;
};

struct plan_question {
	struct list link;
	struct plan_service *service;
	char next_hop[256];
	void (*on_plan)(void *ctx, struct policy_plan *plan);
	void *ctx;
};

struct plan_service *fake_plan_service_new(struct tlsio_loop *loop)
{
	(void)loop;
	struct plan_service *service = mem_zero(sizeof(*service));
	list_init(&service->waiting);
	return service;
}

struct plan_service *plan_service_new(const struct plan_service_setup *setup)
{
	return fake_plan_service_new(setup->loop);
}

static void forget(struct plan_service *service, const char *next_hop)
{
	size_t left = 0;
	for (size_t i = 0; i < service->kept_count; i++)
		if (next_hop && strcmp(service->kept[i]->next_hop, next_hop) != 0)
			service->kept[left++] = service->kept[i];
		else
			policy_plan_unref(&service->kept[i]);
	service->kept_count = left;
}

void plan_service_free(struct plan_service **pointer)
{
	struct plan_service *service = *pointer;
	*pointer = NULL;
	if (!service)
		return;
	forget(service, NULL);
	free(service);
}

void plan_service_set_rules(struct plan_service *service, struct policy_rules *rules)
{
	(void)rules;
	forget(service, NULL);
}

void plan_service_forget(struct plan_service *service, const char *domain)
{
	forget(service, domain);
}

struct plan_question *plan_service_ask(struct plan_service *service,
	const struct policy_question *question,
	void (*on_plan)(void *ctx, struct policy_plan *plan), void *ctx)
{
	struct plan_question *q = mem_zero(sizeof(*q));
	q->service = service;
	q->on_plan = on_plan;
	q->ctx = ctx;
	str_copy(str_of(question->next_hop), q->next_hop, sizeof(q->next_hop));
	list_push_back(&service->waiting, &q->link);
	service->waiting_count++;
	service->asked++;
	return q;
}

void plan_question_cancel(struct plan_question **question)
{
	struct plan_question *q = *question;
	*question = NULL;
	if (!q)
		return;
	list_remove(&q->link);
	q->service->waiting_count--;
	free(q);
}

struct policy_plan *plan_service_find(struct plan_service *service,
	const struct policy_question *question)
{
	if (service->make)
		return service->make(service->make_ctx, question);
	for (size_t i = 0; i < service->kept_count; i++)
		if (strcmp(service->kept[i]->next_hop, question->next_hop) == 0) {
			service->found++;
			return service->kept[i];
		}
	return NULL;
}

struct policy_plan *plan_service_known(struct plan_service *service,
	const struct policy_question *question)
{
	struct policy_plan *plan = policy_plan_new(question->rule_domain, question->next_hop);
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "not looked up yet");
	if (service->known)
		plan->whole = service->known(service->known_ctx, question);
	return plan;
}

void fake_plan_service_know(struct plan_service *service,
	struct policy_plan_whole *(*known)(void *ctx, const struct policy_question *question),
	void *ctx)
{
	service->known = known;
	service->known_ctx = ctx;
}

void plan_service_tally(struct plan_service *service, const struct policy_session *session,
	uint32_t lost)
{
	struct fake_plan_tally *tally = &service->tally;
	tally->count++;
	tally->lost += lost;
	str_copy(str_of(session->domain), tally->domain, sizeof(tally->domain));
	str_copy(str_of(session->host), tally->host, sizeof(tally->host));
	if (session->part_count == 0)
		return;
	tally->reason = session->parts[0].reason;
	tally->identity = session->parts[0].identity;
	str_copy(str_of(session->parts[0].why), tally->why, sizeof(tally->why));
}

void plan_service_count(const struct plan_service *service, struct plan_service_counts *ret)
{
	*ret = (struct plan_service_counts){ .asked = service->asked, .found = service->found,
		.kept = service->kept_count, .in_flight = service->waiting_count };
}

void fake_plan_service_keep(struct plan_service *service, struct policy_plan *plan)
{
	forget(service, plan->next_hop);
	if (service->kept_count < KEPT_MOST)
		service->kept[service->kept_count++] = policy_plan_ref(plan);
}

void fake_plan_service_make(struct plan_service *service,
	struct policy_plan *(*make)(void *ctx, const struct policy_question *question), void *ctx)
{
	service->make = make;
	service->make_ctx = ctx;
}

size_t fake_plan_service_waiting(const struct plan_service *service)
{
	return service->waiting_count;
}

size_t fake_plan_service_answer(struct plan_service *service, struct policy_plan *plan)
{
	size_t count = 0;
	LIST_EACH_SAFE (node, &service->waiting) {
		struct plan_question *q = LIST_OWNER(node, struct plan_question, link);
		if (strcmp(q->next_hop, plan->next_hop) != 0)
			continue;
		void (*on_plan)(void *ctx, struct policy_plan *plan) = q->on_plan;
		void *ctx = q->ctx;
		plan_question_cancel(&q);
		on_plan(ctx, plan);
		count++;
	}
	return count;
}

const struct fake_plan_tally *fake_plan_service_tally(const struct plan_service *service)
{
	return &service->tally;
}
