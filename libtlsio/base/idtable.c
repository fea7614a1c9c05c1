#include "libtlsio/base/idtable.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

static struct idtable_node **chain_of(const struct idtable *table, uint64_t id)
{
	/* ids count upwards: mix, so that neighbours spread */
	uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15);
	return &table->chains[(mixed >> 32) & (table->chain_count - 1)];
}

static void grow(struct idtable *table)
{
	struct idtable larger = { .chain_count = table->chain_count ? table->chain_count * 2 : 64,
		.count = table->count };
	larger.chains = mem_zero(larger.chain_count * sizeof(*larger.chains));
	for (size_t i = 0; i < table->chain_count; i++) {
		while (table->chains[i]) {
			struct idtable_node *node = table->chains[i];
			table->chains[i] = node->next;
			struct idtable_node **chain = chain_of(&larger, node->id);
			node->next = *chain;
			*chain = node;
		}
	}
	free(table->chains);
	*table = larger;
}

void idtable_add(struct idtable *table, struct idtable_node *node)
{
	if (table->count >= table->chain_count)
		grow(table);
	struct idtable_node **chain = chain_of(table, node->id);
	node->next = *chain;
	*chain = node;
	table->count++;
}

void idtable_remove(struct idtable *table, struct idtable_node *node)
{
	struct idtable_node **at = chain_of(table, node->id);
	while (*at != node) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = node->next;
	node->next = NULL;
	table->count--;
}

static struct idtable_node *first_of(struct idtable_node *node, uint64_t id)
{
	while (node && node->id != id)
		node = node->next;
	return node;
}

struct idtable_node *idtable_find(const struct idtable *table, uint64_t id)
{
	return table->chain_count ? first_of(*chain_of(table, id), id) : NULL;
}

struct idtable_node *idtable_next(const struct idtable_node *node)
{
	return first_of(node->next, node->id);
}

void idtable_clear(struct idtable *table, void (*free_node)(struct idtable_node *node))
{
	for (size_t i = 0; i < table->chain_count; i++) {
		while (table->chains[i]) {
			struct idtable_node *node = table->chains[i];
			table->chains[i] = node->next;
			free_node(node);
		}
	}
	free(table->chains);
	*table = (struct idtable){ 0 };
}
