/* sockets: the listening sockets of one configuration. Shared by reference.
 *
 * For:     postern-policyd opens them, the servers of its doors listen.
 * Promise: what is open already stays open over a reload; a unix socket is for everybody who may go
 *          to its folder (0666), and its file goes with it.
 */
#ifndef SMTPD_SOCKETS_SOCKETS_H
#define SMTPD_SOCKETS_SOCKETS_H

#include "libtlsio/base/err.h"
#include "smtpd/sockets/sockets_settings.h"

struct sockets;

/* All or nothing. old (may be NULL): those that are in it, too, are shared with it. */
struct sockets *sockets_open(const struct sockets_settings *wanted, struct sockets *old,
	struct err *err);
size_t sockets_count(const struct sockets *sockets);
int sockets_fd(const struct sockets *sockets, size_t index);
struct sockets *sockets_ref(struct sockets *sockets);
/* Accepts NULL, sets NULL. The last one closes. */
void sockets_unref(struct sockets **sockets);

#endif
