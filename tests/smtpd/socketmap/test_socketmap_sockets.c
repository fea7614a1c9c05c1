/* Real sockets: opened, shared over a reload, answered on, closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "smtpd/socketmap/socketmap_server.h"
#include "tests/fakes/fake_plan_service.h"

struct house {
	char folder[64], path[96], other[96];
	struct socketmap_address addresses[2];
};

static int set_up(void **state)
{
	struct house *h = mem_zero(sizeof(*h));
	snprintf(h->folder, sizeof(h->folder), "/tmp/test_socketmap.XXXXXX");
	assert_non_null(mkdtemp(h->folder));
	snprintf(h->path, sizeof(h->path), "%s/a", h->folder);
	snprintf(h->other, sizeof(h->other), "%s/b", h->folder);
	h->addresses[0] = (struct socketmap_address){ .text = h->path, .path = h->path };
	h->addresses[1] = (struct socketmap_address){ .text = h->other, .path = h->other };
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;
	assert_int_equal(rmdir(h->folder), 0); /* nothing is left in it */
	free(h);
	return 0;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void a_reload_keeps_open_what_stays(void **state)
{
	struct house *h = *state;
	struct err err;
	struct stat st;
	struct socketmap_settings one = { h->addresses, 1 }, both = { h->addresses, 2 },
		second = { h->addresses + 1, 1 };
	struct socketmap_sockets *first = socketmap_sockets_open(&one, NULL, &err);
	assert_non_null(first);
	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	struct socketmap_sockets *next = socketmap_sockets_open(&both, first, &err);
	assert_non_null(next);
	assert_int_equal(socketmap_sockets_count(next), 2);
	assert_int_equal(socketmap_sockets_fd(next, 0), socketmap_sockets_fd(first, 0));
	socketmap_sockets_unref(&first);
	assert_true(is_there(h->path));
	struct socketmap_sockets *last = socketmap_sockets_open(&second, next, &err);
	socketmap_sockets_unref(&next);
	assert_false(is_there(h->path));
	assert_true(is_there(h->other));
	socketmap_sockets_unref(&last);
	assert_false(is_there(h->other));
}

static void all_or_nothing(void **state)
{
	struct house *h = *state;
	struct err err;
	struct socketmap_settings both = { h->addresses, 2 };
	char nowhere[] = "/nowhere/at/all";
	h->addresses[1] = (struct socketmap_address){ .text = nowhere, .path = nowhere };
	assert_null(socketmap_sockets_open(&both, NULL, &err));
	assert_non_null(strstr(err.text, "socketmap \"/nowhere/at/all\""));
	assert_false(is_there(h->path));
}

static void TCP_is_listened_to(void **state)
{
	char text[] = "127.0.0.1:0";
	struct socketmap_address a = { .text = text };
	struct socketmap_settings settings = { &a, 1 };
	struct err err;
	int listens = 0;
	socklen_t length = sizeof(listens);
	(void)state;
	assert_int_equal(netaddr_parse(str_of(text), 0, &a.address, &err), 0);
	struct socketmap_sockets *sockets = socketmap_sockets_open(&settings, NULL, &err);
	assert_non_null(sockets);
	assert_int_equal(getsockopt(socketmap_sockets_fd(sockets, 0), SOL_SOCKET, SO_ACCEPTCONN,
				 &listens, &length), 0);
	assert_true(listens);
	socketmap_sockets_unref(&sockets);
}

static int connect_to(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	str_copy(str_of(path), at.sun_path, sizeof(at.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void who_sends_no_more_still_gets_the_answers(void **state)
{
	static const char request[] = "16:postfix .example,17:postfix a.example,";
	struct house *h = *state;
	struct socketmap_settings one = { h->addresses, 1 };
	struct err err;
	char got[100] = "";
	size_t length = 0;
	ssize_t count = 1;
	struct tlsio_loop *loop = tlsio_loop_new(&err);
	struct plan_service *service = fake_plan_service_new(loop);
	struct socketmap_server *server = socketmap_server_new(loop, service);
	struct socketmap_sockets *sockets = socketmap_sockets_open(&one, NULL, &err);
	socketmap_server_listen(server, sockets);
	socketmap_sockets_unref(&sockets); /* the server keeps them */
	int fd = connect_to(h->path);
	assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	shutdown(fd, SHUT_WR);
	while (fake_plan_service_waiting(service) == 0)
		tlsio_loop_turn(loop, true);
	struct policy_plan *plan = policy_plan_new("a.example", "a.example");
	policy_plan_end(plan, POLICY_PLAN_DEFER, POLICY_REASON_NONE, "wait");
	fake_plan_service_answer(service, plan);
	policy_plan_unref(&plan);
	while (socketmap_server_client_count(server) > 0)
		tlsio_loop_turn(loop, false);
	tlsio_loop_turn(loop, false);
	while (count > 0 && length < sizeof(got) - 1) {
		count = read(fd, got + length, sizeof(got) - 1 - length);
		length += count > 0 ? (size_t)count : 0;
	}
	assert_string_equal(got, "9:NOTFOUND ,9:TEMP wait,");
	close(fd);
	socketmap_server_free(&server);
	plan_service_free(&service);
	tlsio_loop_free(&loop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(a_reload_keeps_open_what_stays),
		TEST(all_or_nothing),
		TEST(TCP_is_listened_to),
		TEST(who_sends_no_more_still_gets_the_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
