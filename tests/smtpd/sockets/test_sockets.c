/* Real sockets: opened, shared over a reload, closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "smtpd/sockets/sockets.h"

struct house {
	char folder[64], path[96], other[96], section[16];
	struct sockets_address addresses[2];
};

static int set_up(void **state)
{
	struct house *h = mem_zero(sizeof(*h));
	snprintf(h->folder, sizeof(h->folder), "/tmp/test_sockets.XXXXXX");
	assert_non_null(mkdtemp(h->folder));
	snprintf(h->section, sizeof(h->section), "socketmap");
	snprintf(h->path, sizeof(h->path), "%s/a", h->folder);
	snprintf(h->other, sizeof(h->other), "%s/b", h->folder);
	h->addresses[0] = (struct sockets_address){ .section = h->section, .text = h->path, .path = h->path };
	h->addresses[1] = (struct sockets_address){ .section = h->section, .text = h->other, .path = h->other };
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
	struct sockets_settings one = { h->addresses, 1 }, both = { h->addresses, 2 },
		second = { h->addresses + 1, 1 };
	struct sockets *first = sockets_open(&one, NULL, &err);
	assert_non_null(first);
	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	struct sockets *next = sockets_open(&both, first, &err);
	assert_non_null(next);
	assert_int_equal(sockets_count(next), 2);
	assert_int_equal(sockets_fd(next, 0), sockets_fd(first, 0));
	sockets_unref(&first);
	assert_true(is_there(h->path));
	struct sockets *last = sockets_open(&second, next, &err);
	sockets_unref(&next);
	assert_false(is_there(h->path));
	assert_true(is_there(h->other));
	sockets_unref(&last);
	assert_false(is_there(h->other));
}

static void all_or_nothing(void **state)
{
	struct house *h = *state;
	struct err err;
	struct sockets_settings both = { h->addresses, 2 };
	char nowhere[] = "/nowhere/at/all";
	h->addresses[1] = (struct sockets_address){ .section = h->section,
		.text = nowhere, .path = nowhere };
	assert_null(sockets_open(&both, NULL, &err));
	assert_non_null(strstr(err.text, "socketmap \"/nowhere/at/all\""));
	assert_false(is_there(h->path));
}

static void TCP_is_listened_to(void **state)
{
	char text[] = "127.0.0.1:0";
	struct sockets_address a = { .text = text };
	struct sockets_settings settings = { &a, 1 };
	struct err err;
	int listens = 0;
	socklen_t length = sizeof(listens);
	(void)state;
	assert_int_equal(netaddr_parse(str_of(text), 0, &a.address, &err), 0);
	struct sockets *sockets = sockets_open(&settings, NULL, &err);
	assert_non_null(sockets);
	assert_int_equal(getsockopt(sockets_fd(sockets, 0), SOL_SOCKET, SO_ACCEPTCONN,
				 &listens, &length), 0);
	assert_true(listens);
	sockets_unref(&sockets);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(a_reload_keeps_open_what_stays),
		TEST(all_or_nothing),
		TEST(TCP_is_listened_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
