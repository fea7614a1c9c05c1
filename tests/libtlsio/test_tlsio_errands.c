/* Slow calls on threads, their ends on the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_errands.h"

struct job {
	struct tlsio_errand errand;
	pthread_t ran_on;
	bool is_slow;
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t count_changed = PTHREAD_COND_INITIALIZER;
static unsigned run_count, freed_count;

static void count(unsigned *counter)
{
	pthread_mutex_lock(&count_lock);
	++*counter;
	pthread_cond_broadcast(&count_changed);
	pthread_mutex_unlock(&count_lock);
}

static void wait_for(const unsigned *counter, unsigned wanted)
{
	pthread_mutex_lock(&count_lock);
	while (*counter < wanted)
		pthread_cond_wait(&count_changed, &count_lock);
	assert_int_equal(*counter, wanted);
	pthread_mutex_unlock(&count_lock);
}

static void run(struct tlsio_errand *errand)
{
	struct job *job = LIST_OWNER(errand, struct job, errand);
	job->ran_on = pthread_self();
	count(&run_count);
	if (job->is_slow) {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
}

static void free_job(struct tlsio_errand *errand)
{
	free(LIST_OWNER(errand, struct job, errand));
	count(&freed_count);
}

static void on_done(void *ctx, struct tlsio_errand *errand)
{
	struct job *job = LIST_OWNER(errand, struct job, errand);
	assert_false(pthread_equal(job->ran_on, pthread_self()));
	++*(int *)ctx;
	free(job);
}

static const struct tlsio_errands_kind kind = { .threads = 2,
	.queue_most = 5,
	.run = run,
	.on_done = on_done,
	.free = free_job };

struct fixture {
	struct tlsio_loop *loop;
	struct tlsio_errands *errands;
	int done;
};

static int set_up(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .loop = tlsio_loop_new(NULL) };
	f.errands = tlsio_errands_new(f.loop, &kind, &f.done);
	run_count = freed_count = 0;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tlsio_errands_free(&f->errands);
	tlsio_errands_free(&f->errands);
	tlsio_loop_free(&f->loop);
	return 0;
}

static bool submit(struct fixture *f, bool is_slow)
{
	struct job *job = mem_zero(sizeof(*job));
	job->is_slow = is_slow;
	if (tlsio_errands_submit(f->errands, &job->errand))
		return true;
	free(job);
	return false;
}

static void runs_on_threads_and_ends_on_the_loop(void **state)
{
	struct fixture *f = *state;
	for (int i = 1; i <= 20; i++) {
		assert_true(submit(f, false));
		assert_int_equal(f->done, i - 1);
		while (f->done < i)
			tlsio_loop_turn(f->loop, true);
	}
	assert_int_equal(run_count, 20);
}

static void takes_no_more_than_it_may(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 5; i++)
		assert_true(submit(f, true));
	assert_false(submit(f, true));
	wait_for(&run_count, 2); /* one on each thread */
	pthread_mutex_unlock(&gate);
	while (f->done < 5)
		tlsio_loop_turn(f->loop, true);
	assert_true(submit(f, false));
	while (f->done < 6)
		tlsio_loop_turn(f->loop, true);
}

static void free_waits_for_nobody_and_everything_is_freed(void **state)
{
	struct fixture *f = *state;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 5; i++)
		assert_true(submit(f, true));
	wait_for(&run_count, 2);
	tlsio_errands_free(&f->errands);
	assert_null(f->errands);
	pthread_mutex_unlock(&gate);
	wait_for(&freed_count, 5); /* by the last thread; three were never run */
	assert_int_equal(run_count, 2);
	assert_int_equal(f->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(runs_on_threads_and_ends_on_the_loop),
		T(takes_no_more_than_it_may),
		T(free_waits_for_nobody_and_everything_is_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
