/* relay_awaited: the FIFO of replies a machine waits for. Pure.
 *
 * Promise: what was said first is answered first (RFC 2920 section 3.1); zero-initialised is empty.
 */
#ifndef SMTPD_RELAY_RELAY_AWAITED_H
#define SMTPD_RELAY_RELAY_AWAITED_H

#include <stddef.h>

struct relay_awaited_reply {
	int phase;	  /* enum relay_phase: to what */
	size_t recipient; /* of the transaction, where it matters */
};

struct relay_awaited {
	struct relay_awaited_reply *replies;
	size_t head;
	size_t count;
	size_t capacity;
};

void relay_awaited_push(struct relay_awaited *a, int phase, size_t recipient);
/* count > 0 */
struct relay_awaited_reply relay_awaited_pop(struct relay_awaited *a);
const struct relay_awaited_reply *relay_awaited_first(const struct relay_awaited *a); /* or NULL */
void relay_awaited_clear(struct relay_awaited *a);

#endif
