/* socketmap_sockets: the listening sockets of one configuration. Shared by reference.
 *
 * For:     postern-policyd opens them, socketmap_server listens.
 * Promise: what is open already stays open over a reload; a unix socket is for everybody who may go
 *          to its folder (0666), and its file goes with it.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_SOCKETS_H
#define SMTPD_SOCKETMAP_SOCKETMAP_SOCKETS_H

#include "libtlsio/base/err.h"
#include "smtpd/socketmap/socketmap_settings.h"

struct socketmap_sockets;

/* All or nothing. old (may be NULL): those that are in it, too, are shared with it. */
struct socketmap_sockets *socketmap_sockets_open(const struct socketmap_settings *wanted,
	struct socketmap_sockets *old, struct err *err);
size_t socketmap_sockets_count(const struct socketmap_sockets *sockets);
int socketmap_sockets_fd(const struct socketmap_sockets *sockets, size_t index);
struct socketmap_sockets *socketmap_sockets_ref(struct socketmap_sockets *sockets);
/* Accepts NULL, sets NULL. The last one closes. */
void socketmap_sockets_unref(struct socketmap_sockets **sockets);

#endif
