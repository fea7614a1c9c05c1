/* The spool as its users see it, on the real disk and with the real thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/smtpd/spool/spool_fixture.h"

static int set_up(void **state)
{
	struct fixture *f = malloc(sizeof(*f));
	fixture_begin(f, NULL, 0);
	assert_int_equal(fixture_open(f, NULL), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	fixture_end(f);
	free(f);
	return 0;
}

static void keeps_a_message_over_a_restart(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	uint64_t id = fixture_send_durably(f, 1, 10000, 2);
	assert_true(fixture_was_told(f, id));
	assert_true(fixture_is_intact(f, id, 1, 10000, 2, &err));
	fixture_reopen(f);
	assert_int_equal(f->troubles, 0);
	assert_int_equal(f->told_count, 1);
	assert_true(fixture_was_told(f, id));
	assert_true(fixture_is_intact(f, id, 1, 10000, 2, &err));
}

static void keeps_bodies_of_every_size(void **state)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 65535, 65536, 65537, 131072, 200000, 900000,
		1500000, 5000000 };
	enum { COUNT = sizeof(lengths) / sizeof(lengths[0]) };
	struct fixture *f = *state;
	struct err err = { 0 };
	uint64_t ids[COUNT];
	for (size_t i = 0; i < COUNT; i++)
		ids[i] = fixture_send_durably(f, i, lengths[i], 1);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < COUNT; i++) {
			if (!fixture_is_intact(f, ids[i], i, lengths[i], 1, &err))
				fail_msg("%zu bytes: %s", lengths[i], err.text);
		}
		fixture_reopen(f);
	}
	assert_int_equal(f->troubles, 0);
}

static void tells_commits_in_order_and_groups_them(void **state)
{
	struct fixture *f = *state;
	struct fixture_done done[100];
	struct spool_summary summary;
	uint64_t ids[100];
	for (int i = 0; i < 100; i++)
		ids[i] = fixture_send(f, (uint64_t)i, 2000, 1, &done[i]);
	for (int i = 0; i < 100; i++)
		assert_false(done[i].is_done);
	fixture_wait(f, &done[99].is_done);
	for (int i = 0; i < 100; i++) {
		assert_true(done[i].is_durable);
		assert_int_equal(f->told[i], ids[i]);
	}
	spool_summarise(f->spool, &summary);
	assert_int_equal(summary.commits, 100);
	assert_int_equal(summary.syncs, 1);
}

static void a_settled_message_is_gone_for_good(void **state)
{
	struct fixture *f = *state;
	uint64_t id = fixture_send_durably(f, 1, 10000, 2), other = fixture_send_durably(f, 2, 10, 1);
	fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	assert_int_equal(fixture_count(f), 2);
	fixture_settle_one(f, id, 1, SPOOL_RECIPIENT_FAILED);
	assert_int_equal(fixture_count(f), 1);
	assert_null(spool_read(f->spool, id, NULL));
	fixture_wait(f, NULL);
	fixture_reopen(f);
	assert_int_equal(f->told_count, 1);
	assert_true(fixture_was_told(f, other));
}

static void outcomes_survive(void **state)
{
	struct fixture *f = *state;
	uint64_t id = fixture_send_durably(f, 1, 10000, 3);
	fixture_settle_one(f, id, 2, SPOOL_RECIPIENT_DELIVERED);
	fixture_settle_one(f, id, 1, SPOOL_RECIPIENT_WAITING);
	/* final stays final */
	fixture_settle_one(f, id, 2, SPOOL_RECIPIENT_WAITING);
	for (int again = 0; again < 3; again++) {
		struct spool_reader *r = spool_read(f->spool, id, NULL);
		assert_non_null(r);
		const struct spool_envelope *e = spool_reader_envelope(r);
		assert_int_equal(e->recipients[0].state, SPOOL_RECIPIENT_WAITING);
		assert_int_equal(e->recipients[0].attempts, 0);
		assert_int_equal(e->recipients[1].state, SPOOL_RECIPIENT_WAITING);
		assert_int_equal(e->recipients[1].attempts, 1);
		assert_int_equal(e->recipients[1].due_s, 4000);
		assert_true(str_equal(e->recipients[1].reason, STR("451 not now")));
		assert_int_equal(e->recipients[2].state, SPOOL_RECIPIENT_DELIVERED);
		spool_reader_free(&r);
		fixture_reopen(f);
	}
}

static void held_recipients_stay(void **state)
{
	struct fixture *f = *state;
	uint64_t id = fixture_send_durably(f, 1, 100, 2);
	const struct spool_outcome held = { .state = SPOOL_RECIPIENT_HELD, .attempts = 2,
		.reason = STR("454 later"), .cause = SPOOL_CAUSE_REPLY, .told = SPOOL_TOLD_DELAY,
		.via = STR("smtp other.example:25") };
	spool_settle(f->spool, id, &held, 1);
	fixture_settle_one(f, id, 1, SPOOL_RECIPIENT_DELIVERED);
	for (int again = 0; again < 2; again++) {
		struct spool_reader *r = spool_read(f->spool, id, NULL);
		assert_non_null(r);
		const struct spool_recipient *one = &spool_reader_envelope(r)->recipients[0];
		assert_int_equal(one->state, SPOOL_RECIPIENT_HELD);
		assert_int_equal(one->cause, SPOOL_CAUSE_REPLY);
		assert_int_equal(one->told, SPOOL_TOLD_DELAY);
		assert_true(str_equal(one->via, STR("smtp other.example:25")));
		spool_reader_free(&r);
		fixture_reopen(f);
	}
	assert_true(fixture_was_told(f, id));
	fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_WAITING);
	fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_REMOVED);
	assert_int_equal(fixture_count(f), 0);
}

static void ids_never_return(void **state)
{
	struct fixture *f = *state;
	uint64_t highest = 0;
	for (int round = 0; round < 4; round++) {
		struct spool_writer *w = spool_begin(f->spool, NULL);
		uint64_t abandoned = spool_writer_id(w);
		assert_true(abandoned > highest);
		assert_int_equal(abandoned >> 56, 3);
		spool_abandon(&w);
		uint64_t id = fixture_send_durably(f, 1, 100, 1);
		assert_true(id > abandoned);
		fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_DELIVERED);
		highest = id;
		fixture_reopen(f);
	}
}

static void lists_ids_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t ids[5], id = 0;
	for (int i = 0; i < 5; i++)
		ids[i] = fixture_send_durably(f, (uint64_t)i, 100, 1);
	fixture_settle_one(f, ids[2], 0, SPOOL_RECIPIENT_REMOVED);
	for (int i = 0; i < 5; i++) {
		if (i == 2)
			continue;
		id = spool_next_id(f->spool, id);
		assert_int_equal(id, ids[i]);
	}
	assert_int_equal(spool_next_id(f->spool, id), 0);
	assert_int_equal(spool_next_id(f->spool, ids[2]), ids[3]);
}

static void nothing_of_an_abandoned_message_remains(void **state)
{
	struct fixture *f = *state;
	struct spool_writer *w = spool_begin(f->spool, NULL);
	struct buf body = { 0 };
	fixture_fill(&body, 7, 300000);
	assert_int_equal(spool_write(w, buf_str(&body), NULL), 0);
	buf_release(&body);
	spool_abandon(&w);
	assert_null(w);
	spool_abandon(&w);
	fixture_send_durably(f, 1, 10, 1);
	fixture_reopen(f);
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->troubles, 0);
}

static void a_forgotten_caller_is_not_called(void **state)
{
	struct fixture *f = *state;
	struct fixture_done gone, done;
	uint64_t id = fixture_send(f, 1, 100, 1, &gone);
	spool_forget_caller(f->spool, &gone);
	fixture_send(f, 2, 100, 1, &done);
	fixture_wait(f, &done.is_done);
	assert_false(gone.is_done);
	assert_true(fixture_was_told(f, id));
}

static void only_one_process_has_a_shard(void **state)
{
	struct fixture *f = *state, second = *f;
	struct err err = { 0 };
	assert_int_equal(fixture_open(&second, &err), -1);
	assert_non_null(strstr(err.text, "in use"));
}

static void refuses_above_the_limits(void **state)
{
	struct fixture *f = *state;
	struct fixture_done done;
	struct err err = { 0 };
	f->settings.maximum_messages = 2;
	fixture_send(f, 1, 100, 1, &done);
	uint64_t id = fixture_send_durably(f, 2, 100, 1);
	assert_null(spool_begin(f->spool, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	fixture_send_durably(f, 3, 100, 1);
	f->settings.maximum_messages = 100;
	f->settings.minimum_free_bytes = UINT64_MAX;
	fixture_pass_ms(f, 1500);
	assert_null(spool_begin(f->spool, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	f->settings.minimum_free_bytes = 0;
	fixture_pass_ms(f, 1500);
	fixture_send_durably(f, 4, 100, 1);
	assert_int_equal(f->troubles, 1);
}

static void reader_can_begin_again(void **state)
{
	struct fixture *f = *state;
	uint64_t id = fixture_send_durably(f, 1, 200000, 1);
	struct spool_reader *r = spool_read(f->spool, id, NULL);
	for (int again = 0; again < 2; again++) {
		size_t total = 0;
		struct str piece;
		while (spool_reader_next(r, &piece, NULL) == 0 && piece.length) {
			assert_true(piece.length <= 65536);
			total += piece.length;
		}
		assert_int_equal(total, 200000);
		spool_reader_rewind(r);
	}
	/* what is being read stays, whatever becomes of it */
	struct str piece;
	fixture_settle_one(f, id, 0, SPOOL_RECIPIENT_DELIVERED);
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t other = fixture_send_durably(f, i, 300000, 1);
		fixture_settle_one(f, other, 0, SPOOL_RECIPIENT_DELIVERED);
	}
	fixture_wait(f, NULL);
	assert_int_equal(spool_reader_next(r, &piece, NULL), 0);
	assert_int_equal(piece.length, 65536);
	spool_reader_free(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(keeps_a_message_over_a_restart),
		TEST(keeps_bodies_of_every_size),
		TEST(tells_commits_in_order_and_groups_them),
		TEST(a_settled_message_is_gone_for_good),
		TEST(outcomes_survive),
		TEST(held_recipients_stay),
		TEST(ids_never_return),
		TEST(lists_ids_in_order),
		TEST(nothing_of_an_abandoned_message_remains),
		TEST(a_forgotten_caller_is_not_called),
		TEST(only_one_process_has_a_shard),
		TEST(refuses_above_the_limits),
		TEST(reader_can_begin_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
