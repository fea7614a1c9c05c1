/* dns_unbound: one libunbound context on the loop.
 *
 * For:     dns.
 * Holds:   the context (caches, sockets), the ub_event table through which it waits on our loop,
 *          lookups under way.
 * Promise: libunbound never calls libevent (whose names libev.so has as well), writes nothing to
 *          standard error, starts no thread and no process.
 */
#ifndef POLICY_DNS_DNS_UNBOUND_H
#define POLICY_DNS_DNS_UNBOUND_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"

struct dns_unbound;

struct dns_unbound_reply {
	unsigned code; /* not 0: no message (mostly 2, SERVFAIL) */
	struct str message;
	enum dns_security security;
	const char *why; /* of bogus and of errors, as far as libunbound says; may be "" */
};

/* Finalises the context. lookups_most: how many the caller will have under way at a time. */
struct dns_unbound *dns_unbound_new(struct tlsio_loop *loop, const struct dns_settings *settings,
	unsigned lookups_most, struct err *err);
/* Lookups under way get no answer any more. */
void dns_unbound_free(struct dns_unbound **unbound);
/* name: checked by dns_message_is_name. on_reply may run inside this call; the reply is borrowed. */
int dns_unbound_ask(struct dns_unbound *unbound, const char *name, enum dns_type type,
	void (*on_reply)(void *ctx, const struct dns_unbound_reply *reply), void *ctx,
	struct err *err);

#endif
