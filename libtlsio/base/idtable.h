/* idtable: things found by a 64-bit number, by nodes that lie in them.
 *
 * For:     tables with a million small things: a node costs 16 bytes, its place in the table 8 to 16.
 * Holds:   chains, twice as many when they fill. Several things may have the same id.
 * Promise: add, remove and find do not grow with the count (for ids no peer chooses).
 */
#ifndef LIBTLSIO_BASE_IDTABLE_H
#define LIBTLSIO_BASE_IDTABLE_H

#include <stddef.h>
#include <stdint.h>

struct idtable_node {
	uint64_t id; /* set by the owner before it is added */
	struct idtable_node *next; /* in the chain */
};

struct idtable {
	struct idtable_node **chains;
	size_t chain_count; /* a power of two; 0 until something was added */
	size_t count;
};

void idtable_add(struct idtable *table, struct idtable_node *node);
/* It is in there. */
void idtable_remove(struct idtable *table, struct idtable_node *node);
/* The first with this id, then the one after `node` with the same; NULL: no more. */
struct idtable_node *idtable_find(const struct idtable *table, uint64_t id);
struct idtable_node *idtable_next(const struct idtable_node *node);
/* Empty again; free_node is called for everything in it. */
void idtable_clear(struct idtable *table, void (*free_node)(struct idtable_node *node));

#endif
