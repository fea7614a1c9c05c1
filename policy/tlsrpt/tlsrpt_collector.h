/* tlsrpt_collector: reads datagrams from the sockets into the tally.
 *
 * For:     postern-policyd.
 * Promise: at most TLSRPT_BURST datagrams of a socket in one turn, so that nobody else waits for a
 *          flood; what is malformed is dropped and counted, and said at most once a minute, with the
 *          cause and how many there were.
 */
#ifndef POLICY_TLSRPT_TLSRPT_COLLECTOR_H
#define POLICY_TLSRPT_TLSRPT_COLLECTOR_H

#include "libtlsio/tlsio_loop.h"
#include "policy/tlsrpt/tlsrpt_sockets.h"
#include "policy/tlsrpt/tlsrpt_tally.h"

enum { TLSRPT_BURST = 64, TLSRPT_COMPLAINT_MS = 60000 };

struct tlsrpt_collector;

/* Borrows tally. */
struct tlsrpt_collector *tlsrpt_collector_new(struct tlsio_loop *loop, struct tlsrpt_tally *tally,
	void (*on_warning)(void *ctx, const char *words), void *ctx);
/* These from now on (shares). */
void tlsrpt_collector_listen(struct tlsrpt_collector *collector, struct tlsrpt_sockets *sockets);
/* Accepts NULL, sets NULL. */
void tlsrpt_collector_free(struct tlsrpt_collector **collector);

struct tlsrpt_collector_counts {
	uint64_t taken, refused;
};
void tlsrpt_collector_count(const struct tlsrpt_collector *collector,
	struct tlsrpt_collector_counts *ret);

#endif
