/* relay_candidates: the hops of one job, in the order they are tried. Pure.
 *
 * Promise: better preference first (RFC 5321 section 5.1, RFC 7672 section 2.2.1); a host that was
 *          refused at one address is tried at its others only when no other host is left.
 */
#ifndef SMTPD_RELAY_RELAY_CANDIDATES_H
#define SMTPD_RELAY_RELAY_CANDIDATES_H

#include <stddef.h>

#include "smtpd/relay/relay_hop.h"

enum { RELAY_CANDIDATES_MOST = 32 };

struct relay_candidate {
	struct relay_hop *hop;
	unsigned rank; /* equal: equally preferred */
	unsigned host; /* equal: another address of the same */
};

struct relay_candidates {
	struct relay_candidate items[RELAY_CANDIDATES_MOST];
	size_t count;
	size_t at; /* the one being tried; count: all are used up */
};

/* Takes hop. Beyond RELAY_CANDIDATES_MOST: dropped. */
void relay_candidates_add(struct relay_candidates *c, struct relay_hop *hop, unsigned rank,
	unsigned host);
/* NULL: used up. Borrowed. */
struct relay_hop *relay_candidates_current(const struct relay_candidates *c);
/* This address will not do. */
/* One is left behind the current one. */
bool relay_candidates_has_next(const struct relay_candidates *c);
void relay_candidates_next(struct relay_candidates *c);
/* This host will not do: its other addresses go behind everybody else. */
void relay_candidates_next_host(struct relay_candidates *c);
/* How many, from the current one on, are as good as it. */
size_t relay_candidates_equal_count(const struct relay_candidates *c);
/* The n-th of them (0: the current one) becomes the current one. */
struct relay_hop *relay_candidates_at(const struct relay_candidates *c, size_t n);
void relay_candidates_choose(struct relay_candidates *c, size_t n);
void relay_candidates_clear(struct relay_candidates *c);

#endif
