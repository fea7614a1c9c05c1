#include "policy/policy_null_mx.h"

#include <assert.h>
#include <stdlib.h>

#include <uthash.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_errands.h"

#define THREADS 2
#define QUEUE_MOST 1000
#define DOMAINS_MOST 10000
#define KEEP_LEAST_S 60
#define KEEP_MOST_S 3600

/* One domain at the threads. */
struct lookup {
	struct tlsio_errand errand;
	policy_null_mx_function function;
	char *domain;
	struct policy_null_mx_answer answer;
};

/* What is known of a domain. */
struct domain {
	char *name;
	enum policy_null_mx_result result;
	bool is_pending;
	int64_t good_until_ms;
	struct list questions; /* while pending */
	UT_hash_handle hh;     /* in order of asking first */
};

struct policy_null_mx_question {
	struct policy_null_mx *owner;
	void (*on_answer)(void *ctx, enum policy_null_mx_result result);
	void *ctx;
	enum policy_null_mx_result result;
	struct list link; /* of its domain's questions, or of those that are answered */
};

struct policy_null_mx {
	struct tlsio_loop *loop;
	policy_null_mx_function function;
	struct tlsio_errands *errands;
	struct domain *domains;
	struct list answered; /* told at the end of the turn */
	struct tlsio_turn turn;
};

/* ---- looking up ------------------------------------------------------------------------------- */

static struct lookup *lookup_of(struct tlsio_errand *errand)
{
	return LIST_OWNER(errand, struct lookup, errand);
}

static void run_lookup(struct tlsio_errand *errand)
{
	struct lookup *lookup = lookup_of(errand);
	lookup->answer = lookup->function(lookup->domain);
}

static void free_lookup(struct tlsio_errand *errand)
{
	struct lookup *lookup = lookup_of(errand);
	free(lookup->domain);
	free(lookup);
}

static void tell_later(struct policy_null_mx_question *question, enum policy_null_mx_result result)
{
	question->result = result;
	list_remove(&question->link);
	list_push_back(&question->owner->answered, &question->link);
	tlsio_turn_request(&question->owner->turn);
}

static int64_t keep_ms(uint32_t ttl_s)
{
	if (ttl_s < KEEP_LEAST_S)
		ttl_s = KEEP_LEAST_S;
	return 1000 * (int64_t)(ttl_s > KEEP_MOST_S ? KEEP_MOST_S : ttl_s);
}

static void on_done(void *ctx, struct tlsio_errand *errand)
{
	struct policy_null_mx *n = ctx;
	struct lookup *lookup = lookup_of(errand);
	struct domain *domain;
	HASH_FIND_STR(n->domains, lookup->domain, domain);
	assert(domain && domain->is_pending);
	domain->is_pending = false;
	domain->result = lookup->answer.result;
	/* trouble is kept too, for the least time: not every mail should wait for a dead server */
	domain->good_until_ms = tlsio_loop_now_ms(n->loop) + keep_ms(lookup->answer.ttl_s);
	LIST_EACH_SAFE (node, &domain->questions)
		tell_later(LIST_OWNER(node, struct policy_null_mx_question, link), domain->result);
	free_lookup(errand);
}

static const struct tlsio_errands_kind errands_kind = { .threads = THREADS,
	.queue_most = QUEUE_MOST,
	.run = run_lookup,
	.on_done = on_done,
	.free = free_lookup };

static bool start_lookup(struct policy_null_mx *n, struct str name)
{
	struct lookup *lookup = mem_zero(sizeof(*lookup));
	lookup->function = n->function;
	lookup->domain = mem_dup_bytes(name.at, name.length);
	if (tlsio_errands_submit(n->errands, &lookup->errand))
		return true;
	free_lookup(&lookup->errand);
	return false;
}

/* ---- domains ---------------------------------------------------------------------------------- */

static void drop_domain(struct policy_null_mx *n, struct domain *domain)
{
	HASH_DEL(n->domains, domain);
	free(domain->name);
	free(domain);
}

/* Room for one more: the oldest go. Pending ones are few, the queue being bounded. */
static void make_room(struct policy_null_mx *n)
{
	struct domain *domain, *next;
	HASH_ITER (hh, n->domains, domain, next) {
		if (HASH_COUNT(n->domains) < DOMAINS_MOST)
			return;
		if (!domain->is_pending)
			drop_domain(n, domain);
	}
}

static struct domain *find_domain(struct policy_null_mx *n, struct str name)
{
	struct domain *domain;
	HASH_FIND(hh, n->domains, name.at, name.length, domain);
	if (domain && !domain->is_pending &&
		tlsio_loop_now_ms(n->loop) >= domain->good_until_ms) {
		drop_domain(n, domain);
		return NULL;
	}
	return domain;
}

/* NULL: it cannot be looked up now. */
static struct domain *add_domain(struct policy_null_mx *n, struct str name)
{
	struct domain *domain;
	if (!start_lookup(n, name))
		return NULL;
	make_room(n);
	domain = mem_zero(sizeof(*domain));
	domain->name = mem_dup_bytes(name.at, name.length);
	domain->is_pending = true;
	list_init(&domain->questions);
	HASH_ADD_KEYPTR(hh, n->domains, domain->name, name.length, domain);
	return domain;
}

/* ---- questions -------------------------------------------------------------------------------- */

static void on_end_of_turn(void *ctx)
{
	struct policy_null_mx *n = ctx;
	struct list *node;
	while ((node = list_first(&n->answered)) != NULL) {
		struct policy_null_mx_question *question =
			LIST_OWNER(node, struct policy_null_mx_question, link);
		list_remove(node);
		question->on_answer(question->ctx, question->result);
		free(question);
	}
}

struct policy_null_mx_question *policy_null_mx_ask(struct policy_null_mx *n, struct str name,
	void (*on_answer)(void *ctx, enum policy_null_mx_result result), void *ctx)
{
	struct domain *domain = find_domain(n, name);
	if (!domain)
		domain = add_domain(n, name);
	if (!domain)
		return NULL;
	struct policy_null_mx_question *question = mem_zero(sizeof(*question));
	question->owner = n;
	question->on_answer = on_answer;
	question->ctx = ctx;
	if (domain->is_pending)
		list_push_back(&domain->questions, &question->link);
	else
		tell_later(question, domain->result);
	return question;
}

void policy_null_mx_cancel(struct policy_null_mx_question **question)
{
	if (!*question)
		return;
	list_remove(&(*question)->link);
	free(*question);
	*question = NULL;
}

/* ---- life ------------------------------------------------------------------------------------- */

struct policy_null_mx *policy_null_mx_new(struct tlsio_loop *loop,
	policy_null_mx_function function)
{
	struct policy_null_mx *n = mem_zero(sizeof(*n));
	n->loop = loop;
	n->function = function;
	n->errands = tlsio_errands_new(loop, &errands_kind, n);
	list_init(&n->answered);
	tlsio_turn_init(&n->turn, loop, on_end_of_turn, n);
	return n;
}

void policy_null_mx_free(struct policy_null_mx **null_mx)
{
	struct policy_null_mx *n = *null_mx;
	struct domain *domain, *next;
	if (!n)
		return;
	*null_mx = NULL;
	assert(list_is_empty(&n->answered));
	tlsio_errands_free(&n->errands);
	tlsio_turn_cancel(&n->turn);
	HASH_ITER (hh, n->domains, domain, next) {
		assert(list_is_empty(&domain->questions));
		drop_domain(n, domain);
	}
	free(n);
}
