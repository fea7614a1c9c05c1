#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/tlsio_queue.h"

static void keeps_bytes_in_order_whatever_the_steps(void **state)
{
	(void)state;
	struct tlsio_queue q = { 0 };
	tlsio_queue_stock_enter();
	size_t put = 0, got = 0;
	unsigned step = 7;
	for (int round = 0; round < 3000; round++) {
		step = step * 1103515245 + 12345;
		size_t room, count = step >> 16 & (round % 3 ? 0xff : 0x7fff);
		char *at = tlsio_queue_reserve(&q, count, &room);
		assert_true(room >= count);
		for (size_t i = 0; i < count; i++)
			at[i] = (char)(put + i);
		tlsio_queue_added(&q, count);
		put += count;
		step = step * 1103515245 + 12345;
		size_t take = step >> 16 & 0x3fff;
		if (take > q.length)
			take = q.length;
		struct str view = tlsio_queue_str(&q);
		for (size_t i = 0; i < take; i++)
			assert_int_equal(view.at[i], (char)(got + i));
		tlsio_queue_consume(&q, take);
		got += take;
		if (round % 5 == 0)
			tlsio_queue_settle(&q);
		assert_int_equal(q.length, put - got);
	}
	tlsio_queue_release(&q);
	tlsio_queue_stock_leave();
}

static void holds_nothing_while_empty(void **state)
{
	(void)state;
	struct tlsio_queue q = { 0 };
	assert_int_equal(tlsio_queue_str(&q).length, 0);
	assert_non_null(tlsio_queue_str(&q).at);
	tlsio_queue_append(&q, "x", 0);
	assert_null(q.block);
	tlsio_queue_append(&q, "hello", 5);
	assert_non_null(q.block);
	tlsio_queue_consume(&q, 5);
	assert_null(q.block);
	size_t room;
	tlsio_queue_reserve(&q, 10, &room); /* and then nothing came */
	tlsio_queue_settle(&q);
	assert_null(q.block);
}

static void a_few_bytes_do_not_keep_a_big_block(void **state)
{
	(void)state;
	struct tlsio_queue q = { 0 };
	size_t room;
	memcpy(tlsio_queue_reserve(&q, 20000, &room), "partial line", 12);
	tlsio_queue_added(&q, 12);
	assert_int_equal(q.capacity, TLSIO_QUEUE_BLOCK_BYTES);
	tlsio_queue_settle(&q);
	assert_int_equal(q.capacity, 12);
	assert_true(str_equal(tlsio_queue_str(&q), STR("partial line")));
	tlsio_queue_append(&q, "!", 1);
	assert_true(str_equal(tlsio_queue_str(&q), STR("partial line!")));
	tlsio_queue_release(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_bytes_in_order_whatever_the_steps),
		cmocka_unit_test(holds_nothing_while_empty),
		cmocka_unit_test(a_few_bytes_do_not_keep_a_big_block),
	};
	return cmocka_run_group_tests_name("tlsio_queue", tests, NULL, NULL);
}
