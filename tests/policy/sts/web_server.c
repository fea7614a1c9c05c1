#include "tests/policy/sts/web_server.h"

#include <assert.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_upgrade.h"

struct web_server {
	struct tlsio_loop *loop;
	int fds[2];
	struct tlsio_listener *listeners[2];
	struct tlsio_server *tls;
	struct list connections;
	struct str answer;
	enum web_end end;
	int trickle_ms;
	unsigned count;
	char request[2000];
	char name[300];
};

struct connection {
	struct list link;
	struct web_server *server;
	struct tlsio_stream *stream;
	struct tlsio_timer timer;
	size_t sent;
	bool is_answering;
};

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool is_good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return is_good;
}

bool web_server_enter_private_network(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[40];
	if (unshare(CLONE_NEWNET | (uid ? CLONE_NEWUSER : 0)) != 0)
		return false;
	if (uid) {
		write_text("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		if (!write_text("/proc/self/uid_map", map))
			return false;
		snprintf(map, sizeof(map), "0 %u 1", gid);
		if (!write_text("/proc/self/gid_map", map))
			return false;
	}
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0;
	if (fd >= 0)
		close(fd);
	return is_up;
}

static void end_connection(struct connection *c, bool is_orderly)
{
	list_remove(&c->link);
	tlsio_timer_stop(&c->timer);
	if (is_orderly)
		tlsio_stream_close(&c->stream);
	else
		tlsio_stream_abort(&c->stream);
	free(c);
}

static void go_on(void *ctx)
{
	struct connection *c = ctx;
	struct web_server *server = c->server;
	size_t left = server->answer.length - c->sent, room = tlsio_stream_room(c->stream);
	size_t part = server->trickle_ms > 0 ? 1 : room;
	if (part > left)
		part = left;
	tlsio_stream_write(c->stream, server->answer.at + c->sent, part);
	c->sent += part;
	if (c->sent < server->answer.length)
		tlsio_timer_start(&c->timer, server->trickle_ms > 0 ? server->trickle_ms : 1);
	else if (server->end == WEB_CLOSE)
		end_connection(c, true);
	else if (server->end == WEB_BREAK && !c->is_answering)
		end_connection(c, false);
	else if (server->end == WEB_BREAK) {
		c->is_answering = false; /* once what was said is on its way */
		tlsio_timer_start(&c->timer, 20);
	}
}

static void on_input(void *ctx)
{
	struct connection *c = ctx;
	struct str in = tlsio_stream_input(c->stream);
	if (c->is_answering || in.length < 4 ||
		memcmp(in.at + in.length - 4, "\r\n\r\n", 4) != 0)
		return;
	str_copy(in, c->server->request, sizeof(c->server->request));
	tlsio_stream_consume(c->stream, in.length);
	c->is_answering = true;
	tlsio_timer_start(&c->timer, 0);
}

static void on_secured(void *ctx)
{
	struct connection *c = ctx;
	const char *name = tlsio_stream_peer(c->stream)->server_name;
	snprintf(c->server->name, sizeof(c->server->name), "%s", name ? name : "");
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)end;
	(void)why;
	end_connection(ctx, true);
}

static const struct tlsio_stream_events stream_events = { on_input, nothing, on_secured, nothing,
	on_end };

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	static const struct tlsio_stream_limits limits = { 8000, 30000 };
	struct web_server *server = ctx;
	struct connection *c = mem_zero(sizeof(*c));
	(void)local;
	(void)remote;
	c->server = server;
	server->count++;
	c->stream = tlsio_stream_new(server->loop, tlsio_transport_socket(server->loop, fd), &limits,
		&stream_events, c);
	tlsio_timer_init(&c->timer, server->loop, go_on, c);
	list_push_back(&server->connections, &c->link);
	if (server->tls)
		tlsio_upgrade_server_at_once(c->stream, server->tls, NULL);
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	fprintf(stderr, "web_server: %s\n", err->text);
	abort();
}

struct web_server *web_server_new(struct tlsio_loop *loop)
{
	static const struct tlsio_listener_events events = { on_accept, on_trouble };
	static const char *const addresses[] = { "127.0.0.1:443", "[::1]:443" };
	struct web_server *server = mem_zero(sizeof(*server));
	server->loop = loop;
	list_init(&server->connections);
	for (int i = 0; i < 2; i++) {
		struct netaddr a;
		struct err err = { 0 };
		netaddr_parse(str_of(addresses[i]), 443, &a, NULL);
		server->fds[i] = tlsio_listener_open_tcp(&a, 128, NULL, &err);
		if (server->fds[i] < 0) {
			fprintf(stderr, "web_server: %s\n", err.text);
			abort();
		}
		server->listeners[i] = tlsio_listener_new(loop, server->fds[i], &events, server);
	}
	return server;
}

void web_server_stop_listening(struct web_server *server)
{
	for (int i = 0; i < 2; i++) {
		tlsio_listener_free(&server->listeners[i]);
		if (server->fds[i] >= 0)
			close(server->fds[i]);
		server->fds[i] = -1;
	}
}

void web_server_free(struct web_server **pserver)
{
	struct web_server *server = *pserver;
	struct list *node;
	*pserver = NULL;
	web_server_stop_listening(server);
	while ((node = list_first(&server->connections)))
		end_connection(LIST_OWNER(node, struct connection, link), false);
	tlsio_server_unref(&server->tls);
	free(server);
}

void web_server_show(struct web_server *server, const struct fake_leaf *leaf, const char *priority)
{
	struct err err = { 0 };
	struct tlsio_certstore *store = fake_leaf_certstore(leaf);
	tlsio_server_unref(&server->tls);
	server->tls = tlsio_server_new(
		&(struct tlsio_server_wishes){ .certificates = store, .priority = priority }, &err);
	if (!server->tls) {
		fprintf(stderr, "web_server: %s\n", err.text);
		abort();
	}
	tlsio_certstore_unref(&store);
}

void web_server_say(struct web_server *server, struct str answer, enum web_end end, int trickle_ms)
{
	server->answer = answer;
	server->end = end;
	server->trickle_ms = trickle_ms;
}

unsigned web_server_connections(const struct web_server *server)
{
	return server->count;
}

const char *web_server_request(const struct web_server *server)
{
	return server->request;
}

const char *web_server_name(const struct web_server *server)
{
	return server->name;
}
