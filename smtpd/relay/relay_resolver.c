#include "smtpd/relay/relay_resolver.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define THREADS 2
#define QUEUE_MOST 1000
#define NAMES_MOST 10000
#define KEEP_MS 60000

/* One name at the threads; belongs to whoever holds it (queue, thread, answers). */
struct task {
	char *host;
	enum relay_lookup_result result;
	struct netaddr addresses[RELAY_RESOLVER_ADDRESSES];
	size_t count;
	struct err why;
	struct list link;
};

/* What loop and threads share; the last one out frees it. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	relay_resolver_function function;
	struct list queue;   /* of tasks */
	struct list answers; /* of tasks */
	struct tlsio_wake *wake; /* NULL once the resolver is gone */
	unsigned references;
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
	struct shared *shared;
	struct tlsio_wake wake;
	struct tlsio_turn turn;
	struct name *names;
	struct list answered; /* lookups whose answer is known: told at the end of the turn */
	size_t pending_count;
	bool is_started;
};

/* ---- the threads ----------------------------------------------------------------------------- */

static void free_task(struct task *task)
{
	free(task->host);
	free(task);
}

static void free_tasks(struct list *tasks)
{
	struct list *node;
	while ((node = list_first(tasks)) != NULL) {
		list_remove(node);
		free_task(LIST_OWNER(node, struct task, link));
	}
}

/* Called with the lock held; gives it up. */
static void leave(struct shared *s)
{
	bool is_last = --s->references == 0;
	pthread_mutex_unlock(&s->lock);
	if (!is_last)
		return;
	free_tasks(&s->queue);
	free_tasks(&s->answers);
	pthread_cond_destroy(&s->has_work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void *run_thread(void *ctx)
{
	struct shared *s = ctx;
	pthread_mutex_lock(&s->lock);
	while (s->wake) {
		struct list *node = list_first(&s->queue);
		if (!node) {
			pthread_cond_wait(&s->has_work, &s->lock);
			continue;
		}
		struct task *task = LIST_OWNER(node, struct task, link);
		list_remove(node);
		pthread_mutex_unlock(&s->lock);
		task->result = s->function(task->host, task->addresses, &task->count, &task->why);
		pthread_mutex_lock(&s->lock);
		list_push_back(&s->answers, &task->link);
		if (s->wake)
			tlsio_wake_send(s->wake);
	}
	leave(s);
	return NULL;
}

static void start_threads(struct relay_resolver *r)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	if (r->is_started)
		return;
	r->is_started = true;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&r->shared->lock);
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attributes, run_thread, r->shared) == 0)
			r->shared->references++;
	}
	pthread_mutex_unlock(&r->shared->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
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

static void take_answer(struct relay_resolver *r, struct task *task)
{
	struct name *name;
	HASH_FIND_STR(r->names, task->host, name);
	r->pending_count--;
	if (name->answer)
		free_task(name->answer);
	name->answer = task;
	name->is_pending = false;
	name->good_until_ms = tlsio_loop_now_ms(r->loop) +
		(task->result == RELAY_LOOKUP_FAILED ? -1 : KEEP_MS);
	LIST_EACH_SAFE (node, &name->lookups)
		tell_later(LIST_OWNER(node, struct relay_lookup, link));
}

static void on_wake(void *ctx)
{
	struct relay_resolver *r = ctx;
	for (;;) {
		pthread_mutex_lock(&r->shared->lock);
		struct list *node = list_first(&r->shared->answers);
		if (node)
			list_remove(node);
		pthread_mutex_unlock(&r->shared->lock);
		if (!node)
			return;
		take_answer(r, LIST_OWNER(node, struct task, link));
	}
}

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

static void enqueue(struct relay_resolver *r, struct name *name)
{
	struct task *task = mem_zero(sizeof(*task));
	task->host = mem_dup(name->host);
	name->is_pending = true;
	r->pending_count++;
	start_threads(r);
	pthread_mutex_lock(&r->shared->lock);
	list_push_back(&r->shared->queue, &task->link);
	pthread_cond_signal(&r->shared->has_work);
	pthread_mutex_unlock(&r->shared->lock);
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
	if (!is_known && !(name && name->is_pending) && r->pending_count >= QUEUE_MOST) {
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
	if (!name->is_pending)
		enqueue(r, name);
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
	struct shared *s = mem_zero(sizeof(*s));
	r->loop = loop;
	r->shared = s;
	list_init(&r->answered);
	tlsio_turn_init(&r->turn, loop, on_end_of_turn, r);
	tlsio_wake_start(&r->wake, loop, on_wake, r);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->has_work, NULL);
	list_init(&s->queue);
	list_init(&s->answers);
	s->function = function;
	s->wake = &r->wake;
	s->references = 1;
	return r;
}

void relay_resolver_free(struct relay_resolver **resolver)
{
	struct relay_resolver *r = *resolver;
	struct name *name, *next;
	if (!r)
		return;
	*resolver = NULL;
	pthread_mutex_lock(&r->shared->lock);
	r->shared->wake = NULL;
	pthread_cond_broadcast(&r->shared->has_work);
	leave(r->shared);
	tlsio_wake_stop(&r->wake);
	tlsio_turn_cancel(&r->turn);
	HASH_ITER (hh, r->names, name, next)
		drop_name(r, name);
	free(r);
}
