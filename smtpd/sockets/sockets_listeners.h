/* sockets_listeners: who waits at the sockets of one door.
 *
 * For:     the servers of postern-policyd's doors.
 * Holds:   one tlsio_listener for each socket, and the sockets.
 */
#ifndef SMTPD_SOCKETS_SOCKETS_LISTENERS_H
#define SMTPD_SOCKETS_SOCKETS_LISTENERS_H

#include <stddef.h>

#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/sockets/sockets.h"

/* All zero: nobody waits. */
struct sockets_listeners {
	struct sockets *sockets;
	struct tlsio_listener **all;
	size_t count;
};

/* From now on these are listened to (shares; NULL: none), the ones before no more. events are borrowed. */
void sockets_listeners_change(struct sockets_listeners *listeners, struct tlsio_loop *loop,
	struct sockets *sockets, const struct tlsio_listener_events *events, void *ctx);
/* Then it is all zero. */
void sockets_listeners_clear(struct sockets_listeners *listeners);

#endif
