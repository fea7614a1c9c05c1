/* dns_event: libunbound's pluggable events on tlsio_loop.
 *
 * For:     dns_unbound.
 * Holds:   nothing but the events libunbound makes, each with a watch and a timer of the loop.
 * Promise: behaves as libevent does as far as libunbound relies on it: a persistent event stays,
 *          another is over once it has fired; the time-out of an event with a descriptor begins
 *          anew whenever it fires; an event may be freed inside its own call. Numbers of closed
 *          descriptors come back, so a watch is made anew each time an event is added.
 */
#ifndef POLICY_DNS_DNS_EVENT_H
#define POLICY_DNS_DNS_EVENT_H

#include "libtlsio/tlsio_loop.h"

struct ub_event_base;

struct dns_event_base;
struct dns_event_base *dns_event_base_new(struct tlsio_loop *loop);
struct ub_event_base *dns_event_base_table(struct dns_event_base *base);
/* After ub_ctx_delete, which frees the events. */
void dns_event_base_free(struct dns_event_base **base);

#endif
