#include "smtpd/sockets/sockets_listeners.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

void sockets_listeners_clear(struct sockets_listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		tlsio_listener_free(&l->all[i]);
	free(l->all);
	sockets_unref(&l->sockets);
	*l = (struct sockets_listeners){ 0 };
}

void sockets_listeners_change(struct sockets_listeners *l, struct tlsio_loop *loop,
	struct sockets *sockets, const struct tlsio_listener_events *events, void *ctx)
{
	struct sockets_listeners next = { .sockets = sockets ? sockets_ref(sockets) : NULL };
	size_t count = sockets ? sockets_count(sockets) : 0;
	/* The old ones end first: one socket has one listener. */
	sockets_listeners_clear(l);
	next.all = count ? mem_array(count, sizeof(*next.all)) : NULL;
	for (; next.count < count; next.count++)
		next.all[next.count] = tlsio_listener_new(loop, sockets_fd(sockets, next.count),
			events, ctx);
	*l = next;
}
