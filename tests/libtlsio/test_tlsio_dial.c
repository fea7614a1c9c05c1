/* Listener, dial and streams on the real loop and real sockets, loopback only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_dial.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_stream.h"

struct fixture {
	struct tlsio_loop *loop;
	struct netaddr bound;
	int listen_fd;
	struct tlsio_listener *listener;
	struct tlsio_timer guard;

	int accepted, connected, failed, troubles;
	size_t index;
	struct netaddr server_local, server_remote, client_local;
	struct err why;
	struct tlsio_stream *server, *client;
	struct buf server_got, client_got;
	int server_ends, client_ends;
	enum tlsio_end client_end;
	bool frees_listener;
};

static const struct tlsio_stream_limits limits = { 65536, 65536 };

static void on_server_input(void *ctx)
{
	struct fixture *f = ctx;
	struct str in = tlsio_stream_input(f->server);
	buf_append_str(&f->server_got, in);
	tlsio_stream_write(f->server, "echo:", 5);
	tlsio_stream_write(f->server, in.at, in.length);
	tlsio_stream_consume(f->server, in.length);
}

static void on_server_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct fixture *f = ctx;
	(void)end;
	(void)why;
	f->server_ends++;
	tlsio_stream_close(&f->server);
	tlsio_loop_stop(f->loop);
}

static void on_client_input(void *ctx)
{
	struct fixture *f = ctx;
	buf_append_str(&f->client_got, tlsio_stream_input(f->client));
	tlsio_stream_consume(f->client, tlsio_stream_input(f->client).length);
	tlsio_loop_stop(f->loop);
}

static void on_client_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct fixture *f = ctx;
	(void)why;
	f->client_ends++;
	f->client_end = end;
	tlsio_stream_close(&f->client);
	tlsio_loop_stop(f->loop);
}

static const struct tlsio_stream_events server_events = {
	.on_input = on_server_input,
	.on_end = on_server_end,
};
static const struct tlsio_stream_events client_events = {
	.on_input = on_client_input,
	.on_end = on_client_end,
};

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct fixture *f = ctx;
	f->accepted++;
	f->server_local = *local;
	f->server_remote = *remote;
	if (f->frees_listener)
		tlsio_listener_free(&f->listener);
	if (f->server) {
		close(fd);
		return;
	}
	f->server = tlsio_stream_new(f->loop, tlsio_transport_socket(f->loop, fd), &limits,
		&server_events, f);
	if (f->connected)
		tlsio_loop_stop(f->loop);
}

static void on_trouble(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;
	f->troubles++;
	f->why = *err;
	tlsio_loop_stop(f->loop);
}

static const struct tlsio_listener_events listener_events = { on_accept, on_trouble };

static void on_connected(void *ctx, int fd, size_t index, const struct netaddr *local)
{
	struct fixture *f = ctx;
	f->connected++;
	f->index = index;
	f->client_local = *local;
	f->client = tlsio_stream_new(f->loop, tlsio_transport_socket(f->loop, fd), &limits,
		&client_events, f);
	if (f->accepted)
		tlsio_loop_stop(f->loop);
}

static void on_failed(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;
	f->failed++;
	f->why = *err;
	tlsio_loop_stop(f->loop);
}

static const struct tlsio_dial_events dial_events = { on_connected, on_failed };

static void on_guard(void *ctx)
{
	(void)ctx;
	fprintf(stderr, "the test hangs\n");
	abort();
}

static struct netaddr address(const char *text)
{
	struct netaddr a;
	struct err err;
	assert_int_equal(netaddr_parse(str_of(text), 0, &a, &err), 0);
	return a;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	f->loop = tlsio_loop_new(&err);
	assert_non_null(f->loop);
	struct netaddr any = address("127.0.0.1");
	f->listen_fd = tlsio_listener_open_tcp(&any, 16, &f->bound, &err);
	assert_true(f->listen_fd >= 0);
	assert_true(f->bound.port > 0);
	f->listener = tlsio_listener_new(f->loop, f->listen_fd, &listener_events, f);
	tlsio_timer_init(&f->guard, f->loop, on_guard, f);
	tlsio_timer_start(&f->guard, 20000);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tlsio_timer_stop(&f->guard);
	tlsio_stream_close(&f->server);
	tlsio_stream_close(&f->client);
	tlsio_listener_free(&f->listener);
	tlsio_loop_free(&f->loop);
	close(f->listen_fd);
	buf_release(&f->server_got);
	buf_release(&f->client_got);
	free(f);
	return 0;
}

static void connects_and_carries_bytes(void **state)
{
	struct fixture *f = *state;
	tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	assert_int_equal(f->connected, 0);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->accepted, 1);
	assert_true(netaddr_equal(&f->server_local, &f->bound));
	assert_true(netaddr_equal(&f->server_remote, &f->client_local));

	tlsio_stream_write(f->client, "ping", 4);
	tlsio_loop_run(f->loop);
	assert_string_equal(buf_text(&f->client_got), "echo:ping");

	tlsio_stream_close(&f->client);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->server_ends, 1);
}

static void accepts_on_the_wildcard_with_the_real_local_address(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct netaddr any = address("0.0.0.0"), bound;
	int fd = tlsio_listener_open_tcp(&any, 16, &bound, &err);
	struct tlsio_listener *l = tlsio_listener_new(f->loop, fd, &listener_events, f);
	struct netaddr there = address("127.0.0.77");
	there.port = bound.port;
	tlsio_dial_start(f->loop, &there, 1, NULL, 5000, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_true(netaddr_equal(&f->server_local, &there));
	tlsio_listener_free(&l);
	close(fd);
}

static void takes_the_next_address_when_one_refuses(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct netaddr dead = address("127.0.0.1"), list[2];
	int fd = tlsio_listener_open_tcp(&dead, 1, &list[0], &err);
	close(fd); /* now nobody listens on this port */
	list[1] = f->bound;
	tlsio_dial_start(f->loop, list, 2, NULL, 5000, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->index, 1);
}

static void tells_of_the_last_failure_and_how_many_were_tried(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct netaddr dead = address("127.0.0.1"), list[2];
	int fd = tlsio_listener_open_tcp(&dead, 1, &list[0], &err);
	close(fd);
	list[1] = list[0];
	tlsio_dial_start(f->loop, list, 2, NULL, 5000, &dial_events, f);
	assert_int_equal(f->failed, 0);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->failed, 1);
	assert_int_equal(f->why.kind, ERR_PEER);
	assert_non_null(strstr(f->why.text, "none of 2 addresses"));
	assert_non_null(strstr(f->why.text, "Connection refused"));
}

static void gives_up_an_address_after_its_time(void **state)
{
	struct fixture *f = *state;
	struct err err;
	/* a listener whose backlog is full drops SYNs: connect hangs, without leaving loopback */
	struct netaddr any = address("127.0.0.1"), full;
	int fd = tlsio_listener_open_tcp(&any, 0, &full, &err);
	int socks[4];
	for (int i = 0; i < 4; i++) {
		struct sockaddr_storage at;
		socklen_t length = netaddr_to_sockaddr(&full, &at);
		socks[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(socks[i], (struct sockaddr *)&at, length);
	}
	struct netaddr list[2] = { full, f->bound };
	tlsio_dial_start(f->loop, list, 2, NULL, 50, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->index, 1);
	for (int i = 0; i < 4; i++)
		close(socks[i]);
	close(fd);
}

static void dials_from_the_address_asked_for(void **state)
{
	struct fixture *f = *state;
	struct netaddr from = address("127.0.0.9");
	tlsio_dial_start(f->loop, &f->bound, 1, &from, 5000, &dial_events, f);
	tlsio_loop_run(f->loop);
	struct netaddr seen = f->server_remote;
	seen.port = 0;
	assert_true(netaddr_equal(&seen, &from));
}

static void a_cancelled_dial_says_nothing(void **state)
{
	struct fixture *f = *state;
	struct tlsio_dial *d = tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	tlsio_dial_cancel(&d);
	assert_null(d);
	tlsio_dial_cancel(&d);
	d = tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	tlsio_loop_turn(f->loop, false); /* the attempt is under way, perhaps done */
	if (!f->connected)
		tlsio_dial_cancel(&d);
	assert_int_equal(f->failed, 0);
}

static void a_reset_is_told_from_an_end(void **state)
{
	struct fixture *f = *state;
	tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	tlsio_loop_run(f->loop);
	tlsio_stream_abort(&f->server);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->client_ends, 1);
	assert_int_equal(f->client_end, TLSIO_END_RESET);
}

static void last_words_survive_unread_input(void **state)
{
	struct fixture *f = *state;
	tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	tlsio_loop_run(f->loop);
	/* the client has sent what nobody will read; without lingering close(2) would reset */
	tlsio_stream_pause(f->server);
	tlsio_stream_pause(f->client);
	char junk[5000] = { 0 };
	tlsio_stream_write(f->client, junk, sizeof(junk));
	tlsio_loop_turn(f->loop, false);
	tlsio_stream_write(f->server, "421 no\r\n", 8);
	tlsio_stream_close(&f->server);
	for (int i = 0; i < 10; i++)
		tlsio_loop_turn(f->loop, false);
	tlsio_stream_resume(f->client);
	tlsio_loop_run(f->loop);
	while (!f->client_ends)
		tlsio_loop_turn(f->loop, true);
	assert_string_equal(buf_text(&f->client_got), "421 no\r\n");
	assert_int_equal(f->client_end, TLSIO_END_CLOSED);
}

static void pauses_when_descriptors_run_out(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_storage at;
	socklen_t length = netaddr_to_sockaddr(&f->bound, &at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(fd, (struct sockaddr *)&at, length);
	struct rlimit old, none;
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	f->connected = 1;
	tlsio_loop_run(f->loop);
	int64_t began = tlsio_loop_now_ms(f->loop);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(f->troubles, 1);
	assert_int_equal(f->why.kind, ERR_SYSTEM);
	assert_int_equal(f->accepted, 0);
	/* one more, for valgrind takes and closes the one it refuses */
	int second = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(second, (struct sockaddr *)&at, length);
	tlsio_loop_run(f->loop); /* by itself, a second later */
	assert_true(f->accepted >= 1);
	close(second);
	assert_true(tlsio_loop_now_ms(f->loop) - began >= 900);
	close(fd);
}

static void a_paused_listener_leaves_them_waiting(void **state)
{
	struct fixture *f = *state;
	tlsio_listener_pause(f->listener);
	tlsio_dial_start(f->loop, &f->bound, 1, NULL, 5000, &dial_events, f);
	while (!f->connected)
		tlsio_loop_turn(f->loop, true);
	tlsio_loop_turn(f->loop, false);
	assert_int_equal(f->accepted, 0);
	tlsio_listener_resume(f->listener);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->accepted, 1);
}

static void a_listener_may_be_freed_in_its_callback(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_storage at;
	socklen_t length = netaddr_to_sockaddr(&f->bound, &at);
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&at, length);
	}
	f->frees_listener = true;
	f->connected = 1;
	tlsio_loop_run(f->loop);
	assert_int_equal(f->accepted, 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void two_workers_listen_on_one_address(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct netaddr bound;
	int fd = tlsio_listener_open_tcp(&f->bound, 16, &bound, &err);
	assert_true(fd >= 0);
	assert_true(netaddr_equal(&bound, &f->bound));
	close(fd);
	struct netaddr six = address("::1");
	fd = tlsio_listener_open_tcp(&six, 16, &bound, &err);
	if (fd >= 0) { /* machines without IPv6 exist */
		assert_int_equal(bound.family, NETADDR_IPV6);
		close(fd);
	}
}

static void unix_sockets_replace_a_stale_file_only(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char directory[] = "/tmp/test_tlsio_dial.XXXXXX", path[64];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	int fd = tlsio_listener_open_unix(path, 0600, 16, &err);
	assert_true(fd >= 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tlsio_listener_open_unix(path, 0600, 16, &err), -1); /* it lives */
	close(fd);
	fd = tlsio_listener_open_unix(path, 0660, 16, &err);
	assert_true(fd >= 0);

	struct tlsio_listener *l = tlsio_listener_new(f->loop, fd, &listener_events, f);
	tlsio_dial_start_unix(f->loop, path, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->server_local.family, NETADDR_UNIX);
	tlsio_stream_write(f->client, "ping", 4);
	tlsio_loop_run(f->loop);
	assert_string_equal(buf_text(&f->client_got), "echo:ping");
	tlsio_listener_free(&l);
	close(fd);
	unlink(path);

	tlsio_dial_start_unix(f->loop, path, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->failed, 1);
	assert_non_null(strstr(f->why.text, path));
	rmdir(directory);

	char too_long[200];
	memset(too_long, 'x', sizeof(too_long));
	too_long[199] = '\0';
	tlsio_dial_start_unix(f->loop, too_long, &dial_events, f);
	tlsio_loop_run(f->loop);
	assert_int_equal(f->failed, 2);
	assert_int_equal(f->why.kind, ERR_INPUT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(connects_and_carries_bytes),
		CASE(accepts_on_the_wildcard_with_the_real_local_address),
		CASE(takes_the_next_address_when_one_refuses),
		CASE(tells_of_the_last_failure_and_how_many_were_tried),
		CASE(gives_up_an_address_after_its_time),
		CASE(dials_from_the_address_asked_for),
		CASE(a_cancelled_dial_says_nothing),
		CASE(a_reset_is_told_from_an_end),
		CASE(last_words_survive_unread_input),
		CASE(pauses_when_descriptors_run_out),
		CASE(a_paused_listener_leaves_them_waiting),
		CASE(a_listener_may_be_freed_in_its_callback),
		CASE(two_workers_listen_on_one_address),
		CASE(unix_sockets_replace_a_stale_file_only),
	};
	return cmocka_run_group_tests_name("tlsio_dial", tests, NULL, NULL);
}
