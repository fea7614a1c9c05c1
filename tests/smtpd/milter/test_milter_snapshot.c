#include "smtpd/milter/milter_snapshot.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 2000 };

struct owner {
	atomic_int unused;
};

static void on_unused(void *ctx)
{
	struct owner *owner = ctx;
	owner->unused++;
}

static void swap(struct owner *owner)
{
	const struct milter_snapshot s = { .hostname = "mx.example", .on_unused = on_unused,
		.ctx = owner };
	milter_snapshot_swap(&s);
}

static void a_session_keeps_what_it_began_with(void **state)
{
	(void)state;
	struct owner first = { 0 }, second = { 0 };
	assert_null(milter_snapshot_take());
	swap(&first);
	struct milter_snapshot *a = milter_snapshot_take(), *b = milter_snapshot_take(), *c;
	assert_ptr_equal(a, b);
	swap(&second);
	c = milter_snapshot_take();
	assert_ptr_equal(a->ctx, &first);
	assert_ptr_equal(c->ctx, &second);
	milter_snapshot_release(&a);
	assert_null(a);
	milter_snapshot_release(&a);
	assert_int_equal(first.unused, 0);
	milter_snapshot_release(&b);
	assert_int_equal(first.unused, 1);
	milter_snapshot_release(&c);
	assert_int_equal(second.unused, 0);
	milter_snapshot_swap(NULL);
	assert_int_equal(second.unused, 1);
	assert_null(milter_snapshot_take());
}

static void *session(void *ctx)
{
	atomic_bool *is_over = ctx;
	intptr_t wrong = 0;
	while (!*is_over) {
		struct milter_snapshot *s = milter_snapshot_take();
		const struct owner *owner = s->ctx;
		wrong += owner->unused != 0; /* while we hold it */
		milter_snapshot_release(&s);
	}
	return (void *)wrong;
}

static void threads_never_hold_what_was_given_up(void **state)
{
	(void)state;
	static struct owner owners[ROUNDS];
	pthread_t threads[THREADS];
	atomic_bool is_over = false;
	swap(&owners[0]);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, session, &is_over), 0);
	for (size_t i = 1; i < ROUNDS; i++)
		swap(&owners[i]);
	is_over = true;
	for (size_t i = 0; i < THREADS; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	milter_snapshot_swap(NULL);
	for (size_t i = 0; i < ROUNDS; i++)
		assert_int_equal(owners[i].unused, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_keeps_what_it_began_with),
		cmocka_unit_test(threads_never_hold_what_was_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
