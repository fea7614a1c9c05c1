#include "smtpd/sched/sched_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { COUNT = 500 };

static void gives_nodes_in_order_whatever_was_removed(void **state)
{
	static struct sched_heap_node nodes[COUNT];
	struct sched_heap heap = { 0 };
	uint32_t random = 1;
	(void)state;
	for (int i = 0; i < COUNT; i++) {
		random = random * 1664525 + 1013904223;
		sched_heap_add(&heap, &nodes[i], random >> 24);
	}
	for (int i = 0; i < COUNT; i += 3) {
		sched_heap_remove(&heap, &nodes[i]);
		sched_heap_remove(&heap, &nodes[i]);
		assert_int_equal(nodes[i].place, 0);
	}
	int64_t last = -1;
	unsigned seen = 0;
	struct sched_heap_node *node;
	while ((node = sched_heap_first(&heap)) != NULL) {
		assert_true(node->due >= last);
		assert_true((node - nodes) % 3 != 0);
		last = node->due;
		sched_heap_remove(&heap, node);
		seen++;
	}
	assert_int_equal(seen, COUNT - (COUNT + 2) / 3);
	sched_heap_clear(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_nodes_in_order_whatever_was_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
