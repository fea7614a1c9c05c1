/* Real datagrams on real sockets: taken, refused, kept over a reload, no starvation. */
#include "policy/tlsrpt/tlsrpt_collector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "policy/tlsrpt/tlsrpt_datagram.h"

#define GOOD "{\"d\":\"d.example\",\"pr\":\"v=TLSRPTv1;rua=mailto:a@b\",\"policies\":[{\"policy-type\":9,\"f\":0}]}"

struct world {
	char folder[64], path[100];
	struct tlsio_loop *loop;
	struct tlsrpt_settings settings;
	struct tlsrpt_collector_settings collector;
	struct tlsrpt_tally *tally;
	struct tlsrpt_collector *it;
	struct tlsrpt_sockets *sockets;
	int from;
	unsigned warnings;
	char warning[400];
};

static void on_warning(void *ctx, const char *words)
{
	struct world *w = ctx;
	w->warnings++;
	snprintf(w->warning, sizeof(w->warning), "%s", words);
}

static int set_up(void **state)
{
	struct world *w = mem_zero(sizeof(*w));
	struct err err = { 0 };
	strcpy(w->folder, "/tmp/test-tlsrpt-collector-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof(w->path), "%s/t.sock", w->folder);
	w->loop = tlsio_loop_new(&err);
	w->collector = (struct tlsrpt_collector_settings){ .path = w->path, .mode = 0620 };
	w->settings = (struct tlsrpt_settings){ .days = 10, .rows_most = 1000,
		.bytes_most = 1 << 24, .collectors = &w->collector, .collector_count = 1 };
	w->tally = tlsrpt_tally_new(
		w->loop, &w->settings, TLSRPT_TALLY_READ_WRITE, on_warning, w);
	w->it = tlsrpt_collector_new(w->loop, w->tally, on_warning, w);
	w->sockets = tlsrpt_sockets_open(&w->settings, NULL, &err);
	assert_non_null(w->sockets);
	tlsrpt_collector_listen(w->it, w->sockets);
	w->from = socket(AF_UNIX, SOCK_DGRAM, 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	close(w->from);
	tlsrpt_collector_free(&w->it);
	tlsrpt_sockets_unref(&w->sockets);
	assert_int_equal(access(w->path, F_OK), -1); /* the file went, too */
	tlsrpt_tally_free(&w->tally);
	tlsio_loop_free(&w->loop);
	rmdir(w->folder);
	free(w);
	return 0;
}

static bool say_bytes(struct world *w, const void *bytes, size_t length)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	str_copy(str_of(w->path), at.sun_path, sizeof(at.sun_path));
	return sendto(w->from, bytes, length, MSG_DONTWAIT, (struct sockaddr *)&at, sizeof(at)) ==
		(ssize_t)length;
}

static bool say(struct world *w, const char *text)
{
	return say_bytes(w, text, strlen(text));
}

static struct tlsrpt_collector_counts count(const struct world *w)
{
	struct tlsrpt_collector_counts counts;
	tlsrpt_collector_count(w->it, &counts);
	return counts;
}

static void takes_what_is_good_and_complains_once_of_what_is_not(void **state)
{
	struct world *w = *state;
	struct tlsrpt_tally_counts counts;
	char *big = mem_zero(TLSRPT_DATAGRAM_BYTES_MOST + 2000);
	assert_true(say(w, "{ secret of the peer"));
	assert_true(say(w, GOOD));
	assert_true(say(w, ""));
	assert_true(say_bytes(w, big, TLSRPT_DATAGRAM_BYTES_MOST + 2000));
	free(big);
	assert_true(say(w, GOOD));
	tlsio_loop_turn(w->loop, true);
	assert_int_equal(count(w).taken, 2);
	assert_int_equal(count(w).refused, 3);
	assert_int_equal(w->warnings, 1);
	assert_non_null(strstr(w->warning, "a TLSRPT datagram is not counted: it is no JSON"));
	assert_null(strstr(w->warning, "secret"));
	tlsrpt_tally_count(w->tally, &counts);
	assert_int_equal(counts.counted, 2);
	assert_int_equal(counts.rows, 1);
}

static void a_flood_leaves_the_turn_to_others(void **state)
{
	struct world *w = *state;
	unsigned said = 0;
	while (said < 3 * TLSRPT_BURST && say(w, GOOD))
		said++;
	tlsio_loop_turn(w->loop, true);
	assert_int_equal(count(w).taken, said < TLSRPT_BURST ? said : TLSRPT_BURST);
	for (unsigned i = 0; i < 4; i++)
		tlsio_loop_turn(w->loop, false);
	assert_int_equal(count(w).taken, said);
}

static void the_file_has_its_mode_and_a_reload_keeps_the_socket(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct stat before, after;
	assert_int_equal(lstat(w->path, &before), 0);
	assert_int_equal(before.st_mode & 07777, 0620);
	assert_true(say(w, GOOD));
	w->collector.mode = 0660;
	struct tlsrpt_sockets *next = tlsrpt_sockets_open(&w->settings, w->sockets, &err);
	assert_int_equal(tlsrpt_sockets_fd(next, 0), tlsrpt_sockets_fd(w->sockets, 0));
	tlsrpt_collector_listen(w->it, next);
	tlsrpt_sockets_unref(&w->sockets);
	w->sockets = next;
	assert_int_equal(lstat(w->path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode & 07777, 0660);
	tlsio_loop_turn(w->loop, true);
	assert_int_equal(count(w).taken, 1);
}

static void a_socket_left_behind_is_replaced_and_one_in_use_is_not(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	assert_null(tlsrpt_sockets_open(&w->settings, NULL, &err));
	assert_non_null(strstr(err.text, "tlsrpt-collector \"/tmp/"));
	assert_non_null(strstr(err.text, "Address already in use"));
	w->collector.group = (char *)(uintptr_t)"no-such-group";
	assert_null(tlsrpt_sockets_open(&w->settings, w->sockets, &err));
	assert_non_null(strstr(err.text, "there is no group \"no-such-group\""));
	w->collector.group = NULL;
	char other[120];
	snprintf(other, sizeof(other), "%s/other", w->folder);
	str_copy(str_of(other), at.sun_path, sizeof(at.sun_path));
	int dead = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&at, sizeof(at)), 0);
	close(dead);
	w->collector.path = other;
	struct tlsrpt_sockets *next = tlsrpt_sockets_open(&w->settings, w->sockets, &err);
	assert_non_null(next);
	tlsrpt_sockets_unref(&next);
	assert_int_equal(access(other, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			takes_what_is_good_and_complains_once_of_what_is_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_leaves_the_turn_to_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_file_has_its_mode_and_a_reload_keeps_the_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_socket_left_behind_is_replaced_and_one_in_use_is_not, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
