#include "libtlsio/base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

#define BLOCK_BYTES 1024

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t capacity;
	alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_block *block = a->blocks;
	if (!block || block->capacity - block->used < size) {
		size_t capacity = size > BLOCK_BYTES ? size : BLOCK_BYTES;
		block = mem_alloc(sizeof(*block) + capacity);
		block->used = 0;
		block->capacity = capacity;
		block->next = a->blocks;
		a->blocks = block;
	}
	void *memory = block->bytes + block->used;
	block->used += size;
	a->used_bytes += size;
	memset(memory, 0, size);
	return memory;
}

char *arena_text(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.length + 1);
	if (s.length)
		memcpy(copy, s.at, s.length);
	return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
	return (struct str){ arena_text(a, s), s.length };
}

void arena_clear(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	a->used_bytes = 0;
}
