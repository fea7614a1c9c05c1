#include "policy/tlsrpt/tlsrpt_known.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

struct one {
	UT_hash_handle hh; /* in the order in which they were named */
	uint64_t identity;
	size_t length;
	char text[];
};

struct tlsrpt_known {
	struct one *all;
	size_t count_most, bytes_most, bytes;
};

struct tlsrpt_known *tlsrpt_known_new(size_t count_most, size_t bytes_most)
{
	struct tlsrpt_known *known = mem_zero(sizeof(*known));
	known->count_most = count_most;
	known->bytes_most = bytes_most;
	return known;
}

static void drop(struct tlsrpt_known *known, struct one *one)
{
	HASH_DEL(known->all, one);
	known->bytes -= one->length;
	free(one);
}

void tlsrpt_known_free(struct tlsrpt_known **pointer)
{
	struct tlsrpt_known *known = *pointer;
	*pointer = NULL;
	if (!known)
		return;
	while (known->all)
		drop(known, known->all);
	free(known);
}

/* To the end of the order. */
static struct one *touch(struct tlsrpt_known *known, uint64_t identity)
{
	struct one *one;
	HASH_FIND(hh, known->all, &identity, sizeof(identity), one);
	if (one) {
		HASH_DEL(known->all, one);
		HASH_ADD(hh, known->all, identity, sizeof(one->identity), one);
	}
	return one;
}

void tlsrpt_known_put(struct tlsrpt_known *known, uint64_t identity, struct str text)
{
	if (text.length > known->bytes_most || touch(known, identity))
		return;
	while (known->all && (HASH_COUNT(known->all) >= known->count_most ||
				     known->bytes + text.length > known->bytes_most))
		drop(known, known->all);
	struct one *one = mem_zero(sizeof(*one) + text.length);
	one->identity = identity;
	one->length = text.length;
	memcpy(one->text, text.at, text.length);
	known->bytes += text.length;
	HASH_ADD(hh, known->all, identity, sizeof(one->identity), one);
}

struct str tlsrpt_known_find(struct tlsrpt_known *known, uint64_t identity)
{
	const struct one *one = touch(known, identity);
	return one ? str_from(one->text, one->length) : (struct str){ NULL, 0 };
}

size_t tlsrpt_known_count(const struct tlsrpt_known *known)
{
	return HASH_COUNT(known->all);
}
