#include "libtlsio/base/idtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

enum { MANY = 1000 };

struct thing {
	int value;
	struct idtable_node node;
};

static struct thing *thing_of(struct idtable_node *node)
{
	return node ? LIST_OWNER(node, struct thing, node) : NULL;
}

static void free_thing(struct idtable_node *node)
{
	free(thing_of(node));
}

static struct thing *add(struct idtable *table, uint64_t id, int value)
{
	struct thing *thing = mem_zero(sizeof(*thing));
	thing->value = value;
	thing->node.id = id;
	idtable_add(table, &thing->node);
	return thing;
}

static void everything_is_found_while_the_table_grows(void **state)
{
	struct idtable table = { 0 };
	(void)state;
	assert_null(idtable_find(&table, 7));
	for (int i = 0; i < MANY; i++) {
		add(&table, (uint64_t)i << 32 | 5, i);
		assert_int_equal(thing_of(idtable_find(&table, 5))->value, 0);
	}
	assert_int_equal(table.count, MANY);
	for (int i = 0; i < MANY; i++) {
		struct thing *thing = thing_of(idtable_find(&table, (uint64_t)i << 32 | 5));
		assert_int_equal(thing->value, i);
		if (i % 2)
			continue;
		idtable_remove(&table, &thing->node);
		free(thing);
		assert_null(idtable_find(&table, (uint64_t)i << 32 | 5));
	}
	assert_int_equal(table.count, MANY / 2);
	idtable_clear(&table, free_thing);
	assert_int_equal(table.count, 0);
	assert_null(idtable_find(&table, 5));
}

static void several_may_have_one_id(void **state)
{
	struct idtable table = { 0 };
	int seen = 0;
	(void)state;
	for (int i = 0; i < MANY; i++)
		add(&table, (uint64_t)(i % 100), 1 << (i / 100));
	for (struct idtable_node *node = idtable_find(&table, 42); node; node = idtable_next(node))
		seen += thing_of(node)->value;
	assert_int_equal(seen, (1 << MANY / 100) - 1);
	idtable_clear(&table, free_thing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_found_while_the_table_grows),
		cmocka_unit_test(several_may_have_one_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
