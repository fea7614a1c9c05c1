/* sockets_clients: who is connected to one door of postern-policyd, and how long they may wait.
 *
 * For:     socketmap_server, delegation_server: doors where a client asks, is answered, and asks again.
 * Holds:   the listeners, the clients and their streams, the longest idle first.
 * Promise: beyond clients_most the longest idle one makes room. Who stops in the middle of a request, or does
 *          not read his answers, has patience_ms; who asks nothing idle_ms. Who goes or is closed
 *          is told of once, by gone, and no event comes any more.
 */
#ifndef SMTPD_SOCKETS_SOCKETS_CLIENTS_H
#define SMTPD_SOCKETS_SOCKETS_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/list.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_transport.h"
#include "smtpd/sockets/sockets_listeners.h"

struct sockets_clients;

/* What a client is waited for, once all that could be done is done. */
enum sockets_wait {
	SOCKETS_WAIT_REQUEST, /* the next one */
	SOCKETS_WAIT_REST,    /* of the one that began */
	SOCKETS_WAIT_ANSWER,  /* it waits for us */
};

/* A part of a door's own client; all zero before sockets_clients_kind.make gives it. */
struct sockets_client {
	struct sockets_clients *all;
	struct list link;
	struct tlsio_stream *stream;
	struct tlsio_turn go_on; /* request it to have take called */
	int64_t used_ms;
	int limit;     /* inside */
	bool is_full;  /* no room for answers: take is called again once there is */
	bool is_ended; /* sends no more; what it asked is still answered */
};

struct sockets_clients_kind {
	struct tlsio_stream_limits stream;
	size_t clients_most;
	int64_t patience_ms, idle_ms;
	struct sockets_client *(*make)(void *ctx);
	/* There is input, or room, or somebody requested go_on: takes what it can, then calls
	 * sockets_client_settle, or sockets_client_close, last. */
	void (*take)(struct sockets_client *client);
	/* Its stream is closed already: frees it. */
	void (*gone)(struct sockets_client *client);
	/* Somebody's answer is in the making: it may not make room. NULL: never. */
	bool (*is_busy)(const struct sockets_client *client);
};

struct sockets_clients {
	struct tlsio_loop *loop;
	const struct sockets_clients_kind *kind;
	void *ctx;
	struct sockets_listeners listeners;
	struct list list; /* the longest idle first */
	size_t count;
};

/* kind is borrowed, ctx is for make. */
void sockets_clients_init(struct sockets_clients *clients, struct tlsio_loop *loop,
	const struct sockets_clients_kind *kind, void *ctx);
/* From now on these are listened to (shares; NULL: none). Those who are connected stay. */
void sockets_clients_listen(struct sockets_clients *clients, struct sockets *sockets);
/* One more, connected already; takes transport. */
void sockets_clients_accept(struct sockets_clients *clients, struct tlsio_transport *transport);
/* All of them, and the listeners. */
void sockets_clients_clear(struct sockets_clients *clients);

/* Room for another answer behind `pending` bytes that are not written yet. False: notes is_full. */
bool sockets_client_has_room(struct sockets_client *client, size_t pending);
/* That much of its input was taken; it is the last one used. */
void sockets_client_consume(struct sockets_client *client, size_t bytes);
/* Sets the limit of time; closes who sends no more and is waited for in vain. The client may be gone. */
void sockets_client_settle(struct sockets_client *client, enum sockets_wait wait);
void sockets_client_close(struct sockets_client *client);

#endif
