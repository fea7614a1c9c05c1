/* A real socket: asked, answered, closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "smtpd/socketmap/socketmap_server.h"
#include "tests/fakes/fake_plan_service.h"

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
	char folder[] = "/tmp/test_socketmap.XXXXXX", path[96];
	struct sockets_address address = { .text = path, .path = path };
	struct sockets_settings one = { &address, 1 };
	struct err err;
	char got[100] = "";
	size_t length = 0;
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a", folder);
	ssize_t count = 1;
	struct tlsio_loop *loop = tlsio_loop_new(&err);
	struct plan_service *service = fake_plan_service_new(loop);
	struct socketmap_server *server = socketmap_server_new(loop, service);
	struct sockets *sockets = sockets_open(&one, NULL, &err);
	socketmap_server_listen(server, sockets);
	sockets_unref(&sockets); /* the server keeps them */
	int fd = connect_to(path);
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
	assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_sends_no_more_still_gets_the_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
