#include "smtpd/relay/relay_candidates.h"

#include <assert.h>

void relay_candidates_add(struct relay_candidates *c, struct relay_hop *hop, unsigned rank,
	unsigned host)
{
	if (c->count == RELAY_CANDIDATES_MOST) {
		relay_hop_unref(&hop);
		return;
	}
	c->items[c->count++] = (struct relay_candidate){ hop, rank, host };
}

struct relay_hop *relay_candidates_current(const struct relay_candidates *c)
{
	return c->at < c->count ? c->items[c->at].hop : NULL;
}

bool relay_candidates_has_next(const struct relay_candidates *c)
{
	return c->at + 1 < c->count;
}

void relay_candidates_next(struct relay_candidates *c)
{
	assert(c->at < c->count);
	c->at++;
}

void relay_candidates_next_host(struct relay_candidates *c)
{
	struct relay_candidate others[RELAY_CANDIDATES_MOST], same[RELAY_CANDIDATES_MOST];
	size_t other_count = 0, same_count = 0;
	assert(c->at < c->count);
	unsigned host = c->items[c->at++].host;
	for (size_t i = c->at; i < c->count; i++) {
		if (c->items[i].host == host)
			same[same_count++] = c->items[i];
		else
			others[other_count++] = c->items[i];
	}
	for (size_t i = 0; i < other_count; i++)
		c->items[c->at + i] = others[i];
	for (size_t i = 0; i < same_count; i++)
		c->items[c->at + other_count + i] = same[i];
}

size_t relay_candidates_equal_count(const struct relay_candidates *c)
{
	size_t end = c->at;
	while (end < c->count && c->items[end].rank == c->items[c->at].rank)
		end++;
	return end - c->at;
}

struct relay_hop *relay_candidates_at(const struct relay_candidates *c, size_t n)
{
	assert(c->at + n < c->count);
	return c->items[c->at + n].hop;
}

void relay_candidates_choose(struct relay_candidates *c, size_t n)
{
	assert(c->at + n < c->count);
	struct relay_candidate chosen = c->items[c->at + n];
	for (size_t i = c->at + n; i > c->at; i--)
		c->items[i] = c->items[i - 1];
	c->items[c->at] = chosen;
}

void relay_candidates_clear(struct relay_candidates *c)
{
	for (size_t i = 0; i < c->count; i++)
		relay_hop_unref(&c->items[i].hop);
	c->count = c->at = 0;
}
