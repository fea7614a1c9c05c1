#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"

static void an_empty_buf_is_valid(void **state)
{
	(void)state;
	struct buf b = { 0 };
	assert_int_equal(buf_str(&b).length, 0);
	assert_non_null(buf_str(&b).at);
	assert_string_equal(buf_text(&b), "");
	buf_release(&b);
	buf_release(&b);
	char *taken = buf_take(&b);
	assert_string_equal(taken, "");
	free(taken);
}

static void keeps_bytes_in_order_while_growing_and_consuming(void **state)
{
	(void)state;
	struct buf b = { 0 };
	size_t put = 0, got = 0;
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < round % 97; i++)
			buf_append_byte(&b, (char)put++);
		size_t take = b.length < 41 ? b.length : 41;
		for (size_t i = 0; i < take; i++)
			assert_int_equal(buf_str(&b).at[i], (char)(got + i));
		buf_consume(&b, take);
		got += take;
		assert_int_equal(b.length, put - got);
	}
	buf_release(&b);
}

static void reuses_the_consumed_front(void **state)
{
	(void)state;
	struct buf b = { 0 };
	for (int i = 0; i < 100000; i++) {
		buf_append_text(&b, "0123456789");
		buf_consume(&b, 10);
	}
	assert_true(b.capacity <= 128);
	buf_append_text(&b, "0123456789");
	for (int i = 0; i < 100000; i++) {
		buf_append_text(&b, "0123456789");
		buf_consume(&b, 10);
	}
	assert_true(b.capacity <= 256);
	buf_release(&b);
}

static void prints_more_than_fits_at_first(void **state)
{
	(void)state;
	struct buf b = { 0 };
	buf_append_text(&b, "<");
	buf_printf(&b, "%0300d", 7);
	buf_printf(&b, "%s", ">");
	assert_int_equal(b.length, 302);
	assert_int_equal(buf_str(&b).at[0], '<');
	assert_int_equal(buf_str(&b).at[300], '7');
	assert_int_equal(buf_str(&b).at[301], '>');
	buf_truncate(&b, 3);
	assert_string_equal(buf_text(&b), "<00");
	buf_clear(&b);
	assert_int_equal(b.length, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buf_is_valid),
		cmocka_unit_test(keeps_bytes_in_order_while_growing_and_consuming),
		cmocka_unit_test(reuses_the_consumed_front),
		cmocka_unit_test(prints_more_than_fits_at_first),
	};
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
