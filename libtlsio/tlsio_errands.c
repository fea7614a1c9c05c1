#include "libtlsio/tlsio_errands.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

/* What loop and threads share; the last one out frees it. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	const struct tlsio_errands_kind *kind;
	struct list queue;
	struct list done;
	struct tlsio_wake *wake; /* NULL once the errands are gone */
	unsigned references;
};

struct tlsio_errands {
	struct shared *shared;
	void *ctx;
	struct tlsio_wake wake;
	size_t under_way;
	unsigned threads;
};

static struct tlsio_errand *take(struct list *errands)
{
	struct list *node = list_first(errands);
	if (!node)
		return NULL;
	list_remove(node);
	return LIST_OWNER(node, struct tlsio_errand, link);
}

static void free_all(const struct shared *s, struct list *errands)
{
	struct tlsio_errand *errand;
	while ((errand = take(errands)) != NULL)
		s->kind->free(errand);
}

/* Called with the lock held; gives it up. */
static void leave(struct shared *s)
{
	bool is_last = --s->references == 0;
	pthread_mutex_unlock(&s->lock);
	if (!is_last)
		return;
	free_all(s, &s->queue);
	free_all(s, &s->done);
	pthread_cond_destroy(&s->has_work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void *run_thread(void *ctx)
{
	struct shared *s = ctx;
	pthread_mutex_lock(&s->lock);
	while (s->wake) {
		struct tlsio_errand *errand = take(&s->queue);
		if (!errand) {
			pthread_cond_wait(&s->has_work, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		s->kind->run(errand);
		pthread_mutex_lock(&s->lock);
		list_push_back(&s->done, &errand->link);
		if (s->wake)
			tlsio_wake_send(s->wake);
	}
	leave(s);
	return NULL;
}

/* Those that could not be started are tried again at the next errand. */
static void start_threads(struct tlsio_errands *e)
{
	struct shared *s = e->shared;
	pthread_attr_t attributes;
	sigset_t all, old;
	if (e->threads == s->kind->threads)
		return;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&s->lock);
	while (e->threads < s->kind->threads) {
		pthread_t thread;
		if (pthread_create(&thread, &attributes, run_thread, s) != 0)
			break;
		e->threads++;
		s->references++;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
}

static void on_wake(void *ctx)
{
	struct tlsio_errands *e = ctx;
	for (;;) {
		pthread_mutex_lock(&e->shared->lock);
		struct tlsio_errand *errand = take(&e->shared->done);
		pthread_mutex_unlock(&e->shared->lock);
		if (!errand)
			return;
		e->under_way--;
		e->shared->kind->on_done(e->ctx, errand);
	}
}

bool tlsio_errands_submit(struct tlsio_errands *e, struct tlsio_errand *errand)
{
	if (e->under_way >= e->shared->kind->queue_most)
		return false;
	start_threads(e);
	if (!e->threads)
		return false;
	e->under_way++;
	pthread_mutex_lock(&e->shared->lock);
	list_push_back(&e->shared->queue, &errand->link);
	pthread_cond_signal(&e->shared->has_work);
	pthread_mutex_unlock(&e->shared->lock);
	return true;
}

struct tlsio_errands *tlsio_errands_new(struct tlsio_loop *loop,
	const struct tlsio_errands_kind *kind, void *ctx)
{
	struct tlsio_errands *e = mem_zero(sizeof(*e));
	struct shared *s = mem_zero(sizeof(*s));
	e->shared = s;
	e->ctx = ctx;
	tlsio_wake_start(&e->wake, loop, on_wake, e);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->has_work, NULL);
	list_init(&s->queue);
	list_init(&s->done);
	s->kind = kind;
	s->wake = &e->wake;
	s->references = 1;
	return e;
}

void tlsio_errands_free(struct tlsio_errands **errands)
{
	struct tlsio_errands *e = *errands;
	if (!e)
		return;
	*errands = NULL;
	pthread_mutex_lock(&e->shared->lock);
	e->shared->wake = NULL;
	pthread_cond_broadcast(&e->shared->has_work);
	leave(e->shared);
	tlsio_wake_stop(&e->wake);
	free(e);
}
