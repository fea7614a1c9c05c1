#include "policy/dns/dns_event.h"

#include <stdlib.h>
#include <sys/time.h>
#include <unbound-event.h>

#include "libtlsio/base/mem.h"

struct dns_event_base {
	struct ub_event_base table; /* first: libunbound gives it back to us */
	struct tlsio_loop *loop;
};

struct event {
	struct ub_event table; /* first, too */
	struct tlsio_loop *loop;
	void (*call)(int fd, short bits, void *argument);
	void *argument;
	int fd;
	short bits;
	bool is_added;
	int64_t timeout_ms; /* -1: none */
	struct tlsio_watch watch;
	struct tlsio_timer timer;
};

static struct event *event_of(struct ub_event *table)
{
	return (struct event *)(void *)table;
}

/* Rounded up: never before its time. */
static int64_t milliseconds(const struct timeval *time)
{
	int64_t ms = (int64_t)time->tv_sec * 1000 + (time->tv_usec + 999) / 1000;
	return ms < 0 ? 0 : ms;
}

static void stop(struct event *e)
{
	if (e->is_added && e->fd >= 0)
		tlsio_watch_set(&e->watch, 0);
	tlsio_timer_stop(&e->timer);
	e->is_added = false;
}

/* The last thing in every path: the event may be gone afterwards. */
static void fire(struct event *e, short bits)
{
	if (!(e->bits & UB_EV_PERSIST))
		stop(e);
	else if (e->timeout_ms >= 0)
		tlsio_timer_start(&e->timer, e->timeout_ms);
	e->call(e->fd, bits, e->argument);
}

static void on_ready(void *ctx, unsigned ready)
{
	short bits = 0;
	if (ready & TLSIO_READ)
		bits |= UB_EV_READ;
	if (ready & TLSIO_WRITE)
		bits |= UB_EV_WRITE;
	fire(ctx, bits);
}

static void on_due(void *ctx)
{
	fire(ctx, UB_EV_TIMEOUT);
}

static void add_bits(struct ub_event *table, short bits)
{
	event_of(table)->bits |= bits;
}

static void del_bits(struct ub_event *table, short bits)
{
	event_of(table)->bits &= (short)~bits;
}

static void set_fd(struct ub_event *table, int fd)
{
	event_of(table)->fd = fd;
}

static void free_event(struct ub_event *table)
{
	struct event *e = event_of(table);
	stop(e);
	free(e);
}

static int add(struct ub_event *table, struct timeval *timeout)
{
	struct event *e = event_of(table);
	unsigned wanted = 0;
	stop(e);
	if (e->bits & UB_EV_READ)
		wanted |= TLSIO_READ;
	if (e->bits & UB_EV_WRITE)
		wanted |= TLSIO_WRITE;
	e->is_added = true;
	if (e->fd >= 0) {
		tlsio_watch_init(&e->watch, e->loop, e->fd, on_ready, e);
		tlsio_watch_set(&e->watch, wanted);
	}
	e->timeout_ms = timeout ? milliseconds(timeout) : -1;
	if (timeout)
		tlsio_timer_start(&e->timer, e->timeout_ms);
	return 0;
}

static int del(struct ub_event *table)
{
	stop(event_of(table));
	return 0;
}

static int add_timer(struct ub_event *table, struct ub_event_base *base,
	void (*call)(int, short, void *), void *argument, struct timeval *timeout)
{
	(void)base;
	struct event *e = event_of(table);
	e->call = call;
	e->argument = argument;
	return add(table, timeout);
}

/* Signals and Windows: libunbound has no use for them here. */
static int no_signal(struct ub_event *table, struct timeval *timeout)
{
	(void)table, (void)timeout;
	return -1;
}

static int no_signal_either(struct ub_event *table)
{
	(void)table;
	return -1;
}

static void no_windows(struct ub_event *table)
{
	(void)table;
}

static void no_windows_either(struct ub_event *table, int bits)
{
	(void)table, (void)bits;
}

static struct ub_event_vmt event_methods = {
	.add_bits = add_bits,
	.del_bits = del_bits,
	.set_fd = set_fd,
	.free = free_event,
	.add = add,
	.del = del,
	.add_timer = add_timer,
	.del_timer = del,
	.add_signal = no_signal,
	.del_signal = no_signal_either,
	.winsock_unregister_wsaevent = no_windows,
	.winsock_tcp_wouldblock = no_windows_either,
};

static struct ub_event *new_event(struct ub_event_base *table, int fd, short bits,
	void (*call)(int, short, void *), void *argument)
{
	struct event *e = mem_zero(sizeof(*e));
	e->table = (struct ub_event){ UB_EVENT_MAGIC, &event_methods };
	e->loop = ((struct dns_event_base *)(void *)table)->loop;
	e->call = call;
	e->argument = argument;
	e->fd = fd;
	e->bits = bits;
	e->timeout_ms = -1;
	tlsio_timer_init(&e->timer, e->loop, on_due, e);
	return &e->table;
}

static void free_base(struct ub_event_base *table)
{
	(void)table; /* ours to free */
}

static int no_dispatch(struct ub_event_base *table)
{
	(void)table;
	return -1;
}

static int no_exit(struct ub_event_base *table, struct timeval *time)
{
	(void)table, (void)time;
	return -1;
}

static struct ub_event *no_signal_event(struct ub_event_base *table, int fd,
	void (*call)(int, short, void *), void *argument)
{
	(void)table, (void)fd, (void)call, (void)argument;
	return NULL;
}

static struct ub_event *no_windows_event(struct ub_event_base *table, void *wsaevent,
	void (*call)(int, short, void *), void *argument)
{
	(void)table, (void)wsaevent, (void)call, (void)argument;
	return NULL;
}

static struct ub_event_base_vmt base_methods = {
	.free = free_base,
	.dispatch = no_dispatch,
	.loopexit = no_exit,
	.new_event = new_event,
	.new_signal = no_signal_event,
	.winsock_register_wsaevent = no_windows_event,
};

struct dns_event_base *dns_event_base_new(struct tlsio_loop *loop)
{
	struct dns_event_base *base = mem_zero(sizeof(*base));
	base->table = (struct ub_event_base){ UB_EVENT_MAGIC, &base_methods };
	base->loop = loop;
	return base;
}

struct ub_event_base *dns_event_base_table(struct dns_event_base *base)
{
	return &base->table;
}

void dns_event_base_free(struct dns_event_base **base)
{
	free(*base);
	*base = NULL;
}
