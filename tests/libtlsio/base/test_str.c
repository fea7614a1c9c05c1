#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/str.h"

static void compares_by_bytes_and_by_ascii(void **state)
{
	(void)state;
	assert_true(str_equal(STR(""), (struct str){ NULL, 0 }));
	assert_true(str_equal(STR("a\0b"), str_from("a\0b", 3)));
	assert_false(str_equal(STR("a\0b"), STR("a\0c")));
	assert_false(str_equal(STR("Ab"), STR("aB")));
	assert_true(str_equal_nocase(STR("Ab[\xc4"), STR("aB[\xc4")));
	/* folding is ASCII only: "[" is not "{", and bytes above 0x7f stay */
	assert_false(str_equal_nocase(STR("["), STR("{")));
	assert_false(str_equal_nocase(STR("\xc4"), STR("\xe4")));
	assert_true(str_starts_nocase(STR("STARTTLS x"), STR("starttls")));
	assert_false(str_starts(STR("st"), STR("sta")));
	assert_true(str_ends_nocase(STR("a.Example"), STR(".example")));
	assert_false(str_ends_nocase(STR("e"), STR("ee")));
}

static void finds_and_splits(void **state)
{
	(void)state;
	assert_int_equal(str_find(STR("a:b:c"), ':'), 1);
	assert_int_equal(str_find_last(STR("a:b:c"), ':'), 3);
	assert_int_equal(str_find(STR("abc"), ':'), 3);
	struct str rest = STR("a,,b"), part;
	assert_true(str_split(&rest, ',', &part) && str_equal(part, STR("a")));
	assert_true(str_split(&rest, ',', &part) && part.length == 0);
	assert_true(str_split(&rest, ',', &part) && str_equal(part, STR("b")));
	assert_false(str_split(&rest, ',', &part));
	rest = STR("a,");
	assert_true(str_split(&rest, ',', &part));
	assert_true(str_split(&rest, ',', &part) && part.length == 0);
	assert_false(str_split(&rest, ',', &part));
	struct str words = STR("  one\ttwo  ");
	assert_true(str_equal(str_next_word(&words), STR("one")));
	assert_true(str_equal(str_next_word(&words), STR("two")));
	assert_int_equal(str_next_word(&words).length, 0);
	assert_true(str_equal(str_trim(STR(" \t a b \t")), STR("a b")));
	assert_int_equal(str_trim(STR(" ")).length, 0);
}

static void reads_numbers_strictly(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t max;
		bool is_taken;
		uint64_t value;
	} table[] = {
		{ "0", 0, true, 0 },
		{ "007", 7, true, 7 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999999", UINT64_MAX, false, 0 },
		{ "8", 7, false, 0 },
		{ "", 7, false, 0 },
		{ "-1", 7, false, 0 },
		{ "+1", 7, false, 0 },
		{ " 1", 7, false, 0 },
		{ "1 ", 7, false, 0 },
		{ "0x1", 7, false, 0 },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t value = 99;
		assert_int_equal(str_to_u64(str_of(table[i].text), table[i].max, &value),
			table[i].is_taken);
		assert_int_equal(value, table[i].is_taken ? table[i].value : 99);
	}
}

static void copies_with_a_nul_and_tells_of_a_cut(void **state)
{
	(void)state;
	char small[4];
	assert_true(str_copy(STR("abc"), small, sizeof(small)));
	assert_string_equal(small, "abc");
	assert_false(str_copy(STR("abcd"), small, sizeof(small)));
	assert_string_equal(small, "abc");
	str_lower_in_place(small, 3);
	assert_true(str_is_ascii(STR("\x7f")));
	assert_false(str_is_ascii(STR("\x80")));
}

static void an_arena_gives_aligned_zeroed_memory_back_at_once(void **state)
{
	(void)state;
	struct arena a = { 0 };
	for (size_t size = 1; size < 3000; size += 7) {
		unsigned char *p = arena_alloc(&a, size);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size);
	}
	assert_true(a.used_bytes > 600000);
	assert_string_equal(arena_text(&a, STR("text")), "text");
	arena_clear(&a);
	assert_int_equal(a.used_bytes, 0);
	assert_null(a.blocks);
}

struct member {
	int number;
	struct list link;
};

static void a_list_lets_go_while_walking(void **state)
{
	(void)state;
	struct list head;
	struct member members[5] = { 0 };
	list_init(&head);
	assert_null(list_first(&head));
	list_remove(&members[0].link); /* on no list: harmless */
	for (int i = 0; i < 5; i++) {
		members[i].number = i;
		list_push_back(&head, &members[i].link);
	}
	int sum = 0;
	LIST_EACH_SAFE (node, &head) {
		struct member *m = LIST_OWNER(node, struct member, link);
		sum += m->number;
		if (m->number % 2)
			list_remove(&m->link);
	}
	assert_int_equal(sum, 10);
	list_push_front(&head, &members[1].link);
	int order[] = { 1, 0, 2, 4 }, at = 0;
	LIST_EACH (node, &head)
		assert_int_equal(LIST_OWNER(node, struct member, link)->number, order[at++]);
	assert_int_equal(at, 4);
	assert_false(list_is_linked(&members[3].link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_by_bytes_and_by_ascii),
		cmocka_unit_test(finds_and_splits),
		cmocka_unit_test(reads_numbers_strictly),
		cmocka_unit_test(copies_with_a_nul_and_tells_of_a_cut),
		cmocka_unit_test(an_arena_gives_aligned_zeroed_memory_back_at_once),
		cmocka_unit_test(a_list_lets_go_while_walking),
	};
	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
