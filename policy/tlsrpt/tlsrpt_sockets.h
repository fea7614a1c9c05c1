/* tlsrpt_sockets: the sockets to which Postfix sends its datagrams. Shared by reference.
 *
 * For:     postern-policyd opens them, alone before it changes its user; tlsrpt_collector reads.
 * Promise: one that is open already, with the same group and mode, stays open over a reload; the file
 *          is never open to more than its mode says, and goes with the socket where its folder is ours.
 */
#ifndef POLICY_TLSRPT_TLSRPT_SOCKETS_H
#define POLICY_TLSRPT_TLSRPT_SOCKETS_H

#include "libtlsio/base/err.h"
#include "policy/tlsrpt/tlsrpt_settings.h"

struct tlsrpt_sockets;

/* All or nothing. old (may be NULL): those that are in it, too, are shared with it. */
struct tlsrpt_sockets *tlsrpt_sockets_open(const struct tlsrpt_settings *wanted,
	struct tlsrpt_sockets *old, struct err *err);
size_t tlsrpt_sockets_count(const struct tlsrpt_sockets *sockets);
int tlsrpt_sockets_fd(const struct tlsrpt_sockets *sockets, size_t index);
struct tlsrpt_sockets *tlsrpt_sockets_ref(struct tlsrpt_sockets *sockets);
/* Accepts NULL, sets NULL. The last one closes. */
void tlsrpt_sockets_unref(struct tlsrpt_sockets **sockets);

#endif
