#include "smtpd/relay/relay_resolver.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_errands.h"

#define THREADS 2
#define QUEUE_MOST 1000
#define NAMES_MOST 10000
#define KEEP_MS 60000

/* One name at the threads, and its answer afterwards. */
struct task {
	struct tlsio_errand errand;
	relay_resolver_function function;
	char *host;
	enum relay_lookup_result result;
	struct netaddr addresses[RELAY_RESOLVER_ADDRESSES];
	size_t count;
	struct err why;
};

/* What the loop knows of a name. */
struct name {
	char *host;
	struct relay_resolver *resolver;
	bool is_pending;
	int64_t good_until_ms;
	struct task *answer; /* NULL while the first is pending */
	struct list lookups; /* waiting for it */
	size_t user_count;   /* lookups that were not told or cancelled yet */
	UT_hash_handle hh;   /* in order of asking */
};

struct relay_lookup {
	struct relay_resolver *resolver;
	struct name *name; /* NULL: refused, the queue was full */
	const struct relay_lookup_events *events;
	void *ctx;
	int64_t limit_ms;
	struct tlsio_timer timer;
	struct list link;
};

struct relay_resolver {
	struct tlsio_loop *loop;
	relay_resolver_function function;
	struct tlsio_errands *errands;
	struct tlsio_turn turn;
	struct name *names;
	struct list answered; /* lookups whose answer is known: told at the end of the turn */
};

/* ---- on the threads --------------------------------------------------------------------------- */

static struct task *task_of(struct tlsio_errand *errand)
{
	return LIST_OWNER(errand, struct task, errand);
}

static void free_task(struct task *task)
{
	free(task->host);
	free(task);
}

static void free_errand(struct tlsio_errand *errand)
{
	free_task(task_of(errand));
}

static void run_task(struct tlsio_errand *errand)
{
	struct task *task = task_of(errand);
	task->result = task->function(task->host, task->addresses, &task->count, &task->why);
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void tell_later(struct relay_lookup *lookup)
{
	list_remove(&lookup->link);
	list_push_back(&lookup->resolver->answered, &lookup->link);
	tlsio_turn_request(&lookup->resolver->turn);
}

static void on_end_of_turn(void *ctx)
{
	struct relay_resolver *r = ctx;
	struct list *node;
	while ((node = list_first(&r->answered)) != NULL) {
		struct relay_lookup *lookup = LIST_OWNER(node, struct relay_lookup, link);
		struct task *answer = lookup->name ? lookup->name->answer : NULL;
		struct err busy = { 0 };
		list_remove(&lookup->link);
		err_set(&busy, ERR_LIMIT, "too many host names wait to be looked up");
		if (answer)
			lookup->events->on_answer(lookup->ctx, answer->result, answer->addresses,
				answer->count, &answer->why);
		else
			lookup->events->on_answer(lookup->ctx, RELAY_LOOKUP_FAILED, NULL, 0, &busy);
		relay_lookup_cancel(&lookup);
	}
}

static void drop_name(struct relay_resolver *r, struct name *name)
{
	HASH_DEL(r->names, name);
	if (name->answer)
		free_task(name->answer);
	free(name->host);
	free(name);
}

static void on_done(void *ctx, struct tlsio_errand *errand)
{
	struct relay_resolver *r = ctx;
	struct task *task = task_of(errand);
	struct name *name;
	HASH_FIND_STR(r->names, task->host, name);
	if (name->answer)
		free_task(name->answer);
	name->answer = task;
	name->is_pending = false;
	name->good_until_ms = tlsio_loop_now_ms(r->loop) +
		(task->result == RELAY_LOOKUP_FAILED ? -1 : KEEP_MS);
	LIST_EACH_SAFE (node, &name->lookups)
		tell_later(LIST_OWNER(node, struct relay_lookup, link));
}

static const struct tlsio_errands_kind errands_kind = { .threads = THREADS,
	.queue_most = QUEUE_MOST,
	.run = run_task,
	.on_done = on_done,
	.free = free_errand };

static void on_limit(void *ctx)
{
	struct relay_lookup *lookup = ctx;
	struct err why = { 0 };
	err_set(&why, ERR_DNS, "the resolver did not answer within %lld s",
		(long long)lookup->limit_ms / 1000);
	list_remove(&lookup->link);
	lookup->events->on_answer(lookup->ctx, RELAY_LOOKUP_FAILED, NULL, 0, &why);
	relay_lookup_cancel(&lookup);
}

/* Room for one more name: what nobody waits for goes, oldest first. */
static void make_room(struct relay_resolver *r)
{
	struct name *name, *next;
	HASH_ITER (hh, r->names, name, next) {
		if (HASH_COUNT(r->names) < NAMES_MOST)
			return;
		if (!name->is_pending && name->user_count == 0)
			drop_name(r, name);
	}
}

static bool enqueue(struct relay_resolver *r, const char *host)
{
	struct task *task = mem_zero(sizeof(*task));
	task->function = r->function;
	task->host = mem_dup(host);
	if (tlsio_errands_submit(r->errands, &task->errand))
		return true;
	free_task(task);
	return false;
}

struct relay_lookup *relay_resolver_ask(struct relay_resolver *r, const char *host,
	int64_t limit_ms, const struct relay_lookup_events *events, void *ctx)
{
	struct relay_lookup *lookup = mem_zero(sizeof(*lookup));
	struct name *name;
	lookup->resolver = r;
	lookup->events = events;
	lookup->ctx = ctx;
	lookup->limit_ms = limit_ms;
	tlsio_timer_init(&lookup->timer, r->loop, on_limit, lookup);
	HASH_FIND_STR(r->names, host, name);
	bool is_known = name && !name->is_pending && name->answer &&
		tlsio_loop_now_ms(r->loop) < name->good_until_ms;
	bool is_pending = name && name->is_pending;
	if (!is_known && !is_pending && !enqueue(r, host)) {
		tell_later(lookup);
		return lookup;
	}
	if (!name) {
		make_room(r);
		name = mem_zero(sizeof(*name));
		name->host = mem_dup(host);
		name->resolver = r;
		list_init(&name->lookups);
		HASH_ADD_KEYPTR(hh, r->names, name->host, strlen(name->host), name);
	}
	lookup->name = name;
	name->user_count++;
	if (is_known) {
		tell_later(lookup);
		return lookup;
	}
	name->is_pending = true;
	list_push_back(&name->lookups, &lookup->link);
	tlsio_timer_start(&lookup->timer, limit_ms);
	return lookup;
}

void relay_lookup_cancel(struct relay_lookup **lookup)
{
	if (!*lookup)
		return;
	tlsio_timer_stop(&(*lookup)->timer);
	list_remove(&(*lookup)->link);
	if ((*lookup)->name)
		(*lookup)->name->user_count--;
	free(*lookup);
	*lookup = NULL;
}

struct relay_resolver *relay_resolver_new(struct tlsio_loop *loop,
	relay_resolver_function function)
{
	struct relay_resolver *r = mem_zero(sizeof(*r));
	r->loop = loop;
	r->function = function;
	r->errands = tlsio_errands_new(loop, &errands_kind, r);
	list_init(&r->answered);
	tlsio_turn_init(&r->turn, loop, on_end_of_turn, r);
	return r;
}

void relay_resolver_free(struct relay_resolver **resolver)
{
	struct relay_resolver *r = *resolver;
	struct name *name, *next;
	if (!r)
		return;
	*resolver = NULL;
	tlsio_errands_free(&r->errands);
	tlsio_turn_cancel(&r->turn);
	HASH_ITER (hh, r->names, name, next)
		drop_name(r, name);
	free(r);
}
