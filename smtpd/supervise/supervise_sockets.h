/* supervise_sockets: the listening sockets: for every address one per worker (SO_REUSEPORT).
 *
 * For:     supervise, which keeps them open so that a restarted worker finds its waiting clients.
 * Promise: a new set shares the sockets of addresses it has in common with the old one, so a
 *          reload loses no waiting client there; making a set changes nothing of the old one, so
 *          an address that cannot be bound costs nothing.
 */
#ifndef SMTPD_SUPERVISE_SOCKETS_H
#define SMTPD_SUPERVISE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"

struct supervise_sockets;

/* old may be NULL. NULL when an address is named twice or cannot be bound. */
struct supervise_sockets *supervise_sockets_new(const struct supervise_sockets *old,
	const struct netaddr *addresses, size_t count, unsigned workers, struct err *err);
void supervise_sockets_free(struct supervise_sockets **sockets);

size_t supervise_sockets_count(const struct supervise_sockets *sockets);
/* In the order of the addresses. Borrowed. */
int supervise_sockets_fd(const struct supervise_sockets *sockets, size_t index, unsigned worker);
/* With the port the kernel chose where 0 was asked for. */
const struct netaddr *supervise_sockets_bound(
	const struct supervise_sockets *sockets, size_t index);
bool supervise_sockets_has(const struct supervise_sockets *sockets, const struct netaddr *address);
const struct netaddr *supervise_sockets_asked(
	const struct supervise_sockets *sockets, size_t index);
/* One line for each address that came or went; old may be NULL. */
void supervise_sockets_log(const struct supervise_sockets *now, const struct supervise_sockets *old);

#endif
