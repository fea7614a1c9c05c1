#include "smtpd/sockets/sockets_clients.h"

enum limit { LIMIT_NONE, LIMIT_IDLE, LIMIT_PATIENCE };

/* ---- one client ------------------------------------------------------------------------------------ */

static void leave(struct sockets_client *c)
{
	struct sockets_clients *all = c->all;
	tlsio_turn_cancel(&c->go_on);
	list_remove(&c->link);
	all->count--;
	all->kind->gone(c);
}

void sockets_client_close(struct sockets_client *c)
{
	tlsio_stream_close(&c->stream);
	leave(c);
}

bool sockets_client_has_room(struct sockets_client *c, size_t pending)
{
	if (tlsio_stream_room(c->stream) > pending)
		return true;
	c->is_full = true;
	return false;
}

static void note_use(struct sockets_client *c)
{
	c->used_ms = tlsio_loop_now_ms(c->all->loop);
	list_remove(&c->link);
	list_push_back(&c->all->list, &c->link);
}

void sockets_client_consume(struct sockets_client *c, size_t bytes)
{
	if (!bytes)
		return;
	tlsio_stream_consume(c->stream, bytes);
	note_use(c);
	c->limit = LIMIT_NONE; /* it goes on: patience begins anew */
}

void sockets_client_settle(struct sockets_client *c, enum sockets_wait wait)
{
	const struct sockets_clients_kind *kind = c->all->kind;
	enum limit limit = c->is_full || wait == SOCKETS_WAIT_REST ? LIMIT_PATIENCE
		: wait == SOCKETS_WAIT_ANSWER			   ? LIMIT_NONE
								   : LIMIT_IDLE;
	/* Nobody tells of room any more, nor brings the rest of a request. */
	if (c->is_ended && limit != LIMIT_NONE) {
		sockets_client_close(c);
		return;
	}
	const int64_t times_ms[] = { [LIMIT_NONE] = 0, [LIMIT_IDLE] = kind->idle_ms,
		[LIMIT_PATIENCE] = kind->patience_ms };
	if (c->limit == (int)limit && limit != LIMIT_NONE)
		return;
	c->limit = limit;
	tlsio_stream_limit_time(c->stream, times_ms[limit]);
}

static void take(void *ctx)
{
	struct sockets_client *c = ctx;
	c->all->kind->take(c);
}

static void on_room(void *ctx)
{
	struct sockets_client *c = ctx;
	c->is_full = false;
	c->limit = LIMIT_NONE;
	tlsio_turn_request(&c->go_on);
}

static void on_timeout(void *ctx)
{
	struct sockets_client *c = ctx;
	int64_t idle_ms = tlsio_loop_now_ms(c->all->loop) - c->used_ms;
	int64_t most_ms = c->all->kind->idle_ms;
	if (c->limit == LIMIT_IDLE && idle_ms < most_ms) {
		tlsio_stream_limit_time(c->stream, most_ms - idle_ms);
		return;
	}
	if (c->limit == LIMIT_PATIENCE)
		tlsio_stream_abort(&c->stream);
	sockets_client_close(c);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct sockets_client *c = ctx;
	(void)why;
	c->is_ended = true;
	if (end == TLSIO_END_CLOSED)
		take(c);
	else
		sockets_client_close(c);
}

static const struct tlsio_stream_events stream_events = { .on_input = take, .on_room = on_room,
	.on_timeout = on_timeout, .on_end = on_end };

/* ---- all of them ------------------------------------------------------------------------------------ */

void sockets_clients_init(struct sockets_clients *all, struct tlsio_loop *loop,
	const struct sockets_clients_kind *kind, void *ctx)
{
	*all = (struct sockets_clients){ .loop = loop, .kind = kind, .ctx = ctx };
	list_init(&all->list);
}

static bool make_place(struct sockets_clients *all)
{
	if (all->count < all->kind->clients_most)
		return true;
	LIST_EACH_SAFE (node, &all->list) {
		struct sockets_client *c = LIST_OWNER(node, struct sockets_client, link);
		if (all->kind->is_busy && all->kind->is_busy(c))
			continue;
		sockets_client_close(c);
		return true;
	}
	return false;
}

void sockets_clients_accept(struct sockets_clients *all, struct tlsio_transport *transport)
{
	if (!make_place(all)) {
		transport->kind->free(transport);
		return;
	}
	struct sockets_client *c = all->kind->make(all->ctx);
	c->all = all;
	tlsio_turn_init(&c->go_on, all->loop, take, c);
	c->stream = tlsio_stream_new(all->loop, transport, &all->kind->stream, &stream_events, c);
	list_push_back(&all->list, &c->link);
	all->count++;
	note_use(c);
	sockets_client_settle(c, SOCKETS_WAIT_REQUEST);
}

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct sockets_clients *all = ctx;
	(void)local;
	(void)remote;
	sockets_clients_accept(all, tlsio_transport_socket(all->loop, fd));
}

void sockets_clients_listen(struct sockets_clients *all, struct sockets *sockets)
{
	static const struct tlsio_listener_events events = { .on_accept = on_accept };
	sockets_listeners_change(&all->listeners, all->loop, sockets, &events, all);
}

void sockets_clients_clear(struct sockets_clients *all)
{
	while (!list_is_empty(&all->list))
		sockets_client_close(LIST_OWNER(list_first(&all->list), struct sockets_client, link));
	sockets_listeners_clear(&all->listeners);
}
