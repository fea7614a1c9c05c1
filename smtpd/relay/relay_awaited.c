#include "smtpd/relay/relay_awaited.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

void relay_awaited_push(struct relay_awaited *a, int phase, size_t recipient)
{
	if (a->head + a->count == a->capacity && a->head > 0) {
		memmove(a->replies, a->replies + a->head, a->count * sizeof(*a->replies));
		a->head = 0;
	} else if (a->count == a->capacity) {
		a->capacity = a->capacity ? 2 * a->capacity : 8;
		a->replies = mem_resize_array(a->replies, a->capacity, sizeof(*a->replies));
	}
	a->replies[a->head + a->count++] =
		(struct relay_awaited_reply){ .phase = phase, .recipient = recipient };
}

struct relay_awaited_reply relay_awaited_pop(struct relay_awaited *a)
{
	assert(a->count > 0);
	a->count--;
	return a->replies[a->head++];
}

const struct relay_awaited_reply *relay_awaited_first(const struct relay_awaited *a)
{
	return a->count ? &a->replies[a->head] : NULL;
}

void relay_awaited_clear(struct relay_awaited *a)
{
	free(a->replies);
	*a = (struct relay_awaited){ 0 };
}
