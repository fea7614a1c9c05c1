/* arena: many small allocations with one common end.
 *
 * For:     the text of one mail transaction; parsed settings.
 * Holds:   a chain of heap blocks; none until the first allocation (idle costs nothing).
 * Promise: zero-initialised is valid; nothing is freed singly; arena_clear gives all back.
 */
#ifndef LIBTLSIO_BASE_ARENA_H
#define LIBTLSIO_BASE_ARENA_H

#include <stddef.h>

#include "libtlsio/base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used_bytes; /* sum of all allocations, for limits */
};

/* Aligned for any type, zero-filled. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* Copy with a NUL behind it. */
char *arena_text(struct arena *a, struct str s) __attribute__((returns_nonnull));
struct str arena_str(struct arena *a, struct str s);
void arena_clear(struct arena *a);

#endif
