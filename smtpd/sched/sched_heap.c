#include "smtpd/sched/sched_heap.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

static void put(struct sched_heap *heap, uint32_t index, struct sched_heap_node *node)
{
	heap->nodes[index] = node;
	node->place = index + 1;
}

static void rise(struct sched_heap *heap, uint32_t index, struct sched_heap_node *node)
{
	while (index > 0 && heap->nodes[(index - 1) / 2]->due > node->due) {
		put(heap, index, heap->nodes[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	put(heap, index, node);
}

static void sink(struct sched_heap *heap, uint32_t index, struct sched_heap_node *node)
{
	for (;;) {
		uint32_t child = 2 * index + 1;
		if (child + 1 < heap->count &&
			heap->nodes[child + 1]->due < heap->nodes[child]->due)
			child++;
		if (child >= heap->count || heap->nodes[child]->due >= node->due)
			break;
		put(heap, index, heap->nodes[child]);
		index = child;
	}
	put(heap, index, node);
}

void sched_heap_add(struct sched_heap *heap, struct sched_heap_node *node, int64_t due)
{
	assert(node->place == 0);
	if (heap->count == heap->room) {
		heap->room = heap->room ? heap->room * 2 : 64;
		heap->nodes = mem_resize_array(
			heap->nodes, heap->room, sizeof(struct sched_heap_node *));
	}
	node->due = due;
	rise(heap, heap->count++, node);
}

void sched_heap_remove(struct sched_heap *heap, struct sched_heap_node *node)
{
	if (node->place == 0)
		return;
	uint32_t index = node->place - 1;
	struct sched_heap_node *last = heap->nodes[--heap->count];
	node->place = 0;
	if (last == node)
		return;
	if (index > 0 && heap->nodes[(index - 1) / 2]->due > last->due)
		rise(heap, index, last);
	else
		sink(heap, index, last);
}

struct sched_heap_node *sched_heap_first(const struct sched_heap *heap)
{
	return heap->count ? heap->nodes[0] : NULL;
}

void sched_heap_clear(struct sched_heap *heap)
{
	free(heap->nodes);
	*heap = (struct sched_heap){ 0 };
}
