/* tlsio_errands: slow calls, as looking up names, made by a few threads: the loop never waits.
 *
 * For:     relay_resolver, policy_null_mx.
 * Holds:   a bounded queue; threads, once there is work for them.
 * Promise: on_done comes from the loop, once for each errand taken; a call that hangs costs its
 *          thread and nothing else: free does not wait for it, and the last one out frees the rest.
 */
#ifndef LIBTLSIO_TLSIO_ERRANDS_H
#define LIBTLSIO_TLSIO_ERRANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_loop.h"

/* First in its owner, which belongs to the errands from submit to on_done. */
struct tlsio_errand {
	struct list link;
};

struct tlsio_errands_kind {
	unsigned threads;
	size_t queue_most; /* errands under way, being run included */
	/* On a thread: touches the errand only, for its owner may be gone. */
	void (*run)(struct tlsio_errand *errand);
	/* On the loop: gives the errand back. */
	void (*on_done)(void *ctx, struct tlsio_errand *errand);
	/* What was not given back; on any thread. */
	void (*free)(struct tlsio_errand *errand);
};

struct tlsio_errands;

/* kind is borrowed for ever: static. */
struct tlsio_errands *tlsio_errands_new(struct tlsio_loop *loop,
	const struct tlsio_errands_kind *kind, void *ctx);
/* Accepts NULL, sets NULL. No on_done any more. */
void tlsio_errands_free(struct tlsio_errands **errands);
/* Takes errand. False, and it stays the caller's: too many are under way, or no thread begins. */
bool tlsio_errands_submit(struct tlsio_errands *errands, struct tlsio_errand *errand);

#endif
