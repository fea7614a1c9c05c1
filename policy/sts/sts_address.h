/* sts_address: may a policy be fetched from this address? Pure.
 *
 * Why:     whoever owns a domain says where mta-sts.<domain> points. What we fetch must not be made to
 *          knock at doors inside our own network.
 * Source:  the special-purpose address registries of IANA (RFC 6890), RFC 4291.
 */
#ifndef POLICY_STS_STS_ADDRESS_H
#define POLICY_STS_STS_ADDRESS_H

#include <stdbool.h>

#include "libtlsio/base/netaddr.h"

/* NULL: yes. Else what it is: "a private address". An IPv6 address that only wraps an IPv4 one is
 * judged by that one. allows_private lets everything pass that a host can have. */
const char *sts_address_objection(const struct netaddr *address, bool allows_private);

#endif
