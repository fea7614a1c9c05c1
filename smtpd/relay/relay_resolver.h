/* relay_resolver: host names -> addresses through the system resolver, off the loop.
 *
 * For:     relay. (Validated DNS and MX records are another room's business.)
 * Holds:   a bounded queue of names, two threads once one is needed, answers for 60 s.
 * Promise: one event per question, later, unless cancelled; questions for the same name are asked
 *          once; a resolver that hangs costs its threads and nothing else.
 */
#ifndef SMTPD_RELAY_RELAY_RESOLVER_H
#define SMTPD_RELAY_RELAY_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"

enum { RELAY_RESOLVER_ADDRESSES = 32 };

struct relay_resolver;
struct relay_lookup;

enum relay_lookup_result {
	RELAY_LOOKUP_FOUND,
	RELAY_LOOKUP_NO_SUCH_HOST,
	RELAY_LOOKUP_FAILED, /* try again later */
};

/* Blocks; called from a thread of its own; sets no more than RELAY_RESOLVER_ADDRESSES, port 0.
 * why is filled unless FOUND. */
typedef enum relay_lookup_result (*relay_resolver_function)(const char *host,
	struct netaddr *ret_addresses, size_t *ret_count, struct err *why);
enum relay_lookup_result relay_resolver_system(const char *host, struct netaddr *ret_addresses,
	size_t *ret_count, struct err *why);

struct relay_lookup_events {
	/* addresses borrowed for the call, FOUND only. The lookup is over: forget it. */
	void (*on_answer)(void *ctx, enum relay_lookup_result result,
		const struct netaddr *addresses, size_t count, const struct err *why);
};

struct relay_resolver *relay_resolver_new(struct tlsio_loop *loop,
	relay_resolver_function function);
/* Questions must be cancelled before. Does not wait for a thread that hangs. */
void relay_resolver_free(struct relay_resolver **resolver);

/* The answer comes within limit_ms, if only as FAILED. */
struct relay_lookup *relay_resolver_ask(struct relay_resolver *resolver, const char *host,
	int64_t limit_ms, const struct relay_lookup_events *events, void *ctx);
/* No event any more. Accepts NULL, sets NULL. */
void relay_lookup_cancel(struct relay_lookup **lookup);

#endif
