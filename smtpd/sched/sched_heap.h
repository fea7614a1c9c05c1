/* sched_heap: what falls due next. A binary heap of nodes that live in their owners. Pure.
 *
 * For:     sched: waiting jobs, paused destinations.
 * Holds:   an array of pointers.
 * Promise: add and remove O(log n), first O(1).
 */
#ifndef SMTPD_SCHED_SCHED_HEAP_H
#define SMTPD_SCHED_SCHED_HEAP_H

#include <stdint.h>

struct sched_heap_node {
	int64_t due;
	uint32_t place; /* 1 + index in the heap; 0: in none */
};

struct sched_heap {
	struct sched_heap_node **nodes;
	uint32_t count;
	uint32_t room;
};

/* The node is in no heap. */
void sched_heap_add(struct sched_heap *heap, struct sched_heap_node *node, int64_t due);
/* Harmless where it is in none. */
void sched_heap_remove(struct sched_heap *heap, struct sched_heap_node *node);
/* NULL when empty. */
struct sched_heap_node *sched_heap_first(const struct sched_heap *heap);
void sched_heap_clear(struct sched_heap *heap);

#endif
