#include "smtpd/spool/spool_helper.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

struct spool_helper {
	bool is_inline;
	bool is_stopping;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards the three lists and is_stopping */
	pthread_cond_t work;
	struct list urgent;
	struct list patient;
	struct list finished;
	struct tlsio_wake wake;
};

static struct spool_job *take(struct list *jobs)
{
	struct list *node = list_first(jobs);
	if (!node)
		return NULL;
	list_remove(node);
	return LIST_OWNER(node, struct spool_job, link);
}

static struct spool_job *take_next(struct spool_helper *helper)
{
	struct spool_job *job = take(&helper->urgent);
	while (!job && !helper->is_stopping) {
		job = take(&helper->patient);
		if (!job) {
			pthread_cond_wait(&helper->work, &helper->mutex);
			job = take(&helper->urgent);
		}
	}
	return job;
}

static void *work(void *ctx)
{
	struct spool_helper *helper = ctx;
	pthread_mutex_lock(&helper->mutex);
	struct spool_job *job;
	while ((job = take_next(helper)) != NULL) {
		pthread_mutex_unlock(&helper->mutex);
		bool has_more = job->run(job);
		pthread_mutex_lock(&helper->mutex);
		list_push_back(has_more ? &helper->patient : &helper->finished, &job->link);
		if (!has_more)
			tlsio_wake_send(&helper->wake);
	}
	pthread_mutex_unlock(&helper->mutex);
	return NULL;
}

static void on_wake(void *ctx)
{
	struct spool_helper *helper = ctx;
	for (;;) {
		pthread_mutex_lock(&helper->mutex);
		struct spool_job *job = take(&helper->finished);
		pthread_mutex_unlock(&helper->mutex);
		if (!job)
			return;
		job->on_done(job);
	}
}

struct spool_helper *spool_helper_new(struct tlsio_loop *loop, bool is_inline)
{
	struct spool_helper *helper = mem_zero(sizeof(*helper));
	helper->is_inline = is_inline;
	pthread_mutex_init(&helper->mutex, NULL);
	pthread_cond_init(&helper->work, NULL);
	list_init(&helper->urgent);
	list_init(&helper->patient);
	list_init(&helper->finished);
	tlsio_wake_start(&helper->wake, loop, on_wake, helper);
	if (is_inline)
		return helper;
	/* signals belong to the loop's thread */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&helper->thread, NULL, work, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		abort(); /* as out of memory: nothing could be kept durably without it */
	return helper;
}

void spool_helper_submit(struct spool_helper *helper, struct spool_job *job)
{
	assert(!list_is_linked(&job->link));
	if (helper->is_inline) {
		while (job->run(job))
			;
		list_push_back(&helper->finished, &job->link);
		tlsio_wake_send(&helper->wake);
		return;
	}
	pthread_mutex_lock(&helper->mutex);
	list_push_back(job->is_urgent ? &helper->urgent : &helper->patient, &job->link);
	pthread_cond_signal(&helper->work);
	pthread_mutex_unlock(&helper->mutex);
}

void spool_helper_free(struct spool_helper **helper_p)
{
	struct spool_helper *helper = *helper_p;
	if (!helper)
		return;
	*helper_p = NULL;
	if (!helper->is_inline) {
		pthread_mutex_lock(&helper->mutex);
		helper->is_stopping = true;
		pthread_cond_signal(&helper->work);
		pthread_mutex_unlock(&helper->mutex);
		pthread_join(helper->thread, NULL);
	}
	tlsio_wake_stop(&helper->wake);
	pthread_cond_destroy(&helper->work);
	pthread_mutex_destroy(&helper->mutex);
	free(helper);
}
