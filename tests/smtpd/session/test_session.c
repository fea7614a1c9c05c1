/* The service as its owner sees it: settings that change under running sessions, drain, free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "tests/dialogue/dialogue_house.h"
#include "tests/dialogue/dialogue_text.h"
#include "tests/fakes/fake_spool.h"

static struct dialogue_house house;

static int set_up(void **state)
{
	(void)state;
	dialogue_house_open(&house);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dialogue_house_close(&house);
	return 0;
}

static void on_unused(void *ctx)
{
	++*(int *)ctx;
}

static void say(struct dialogue_client *c, const char *text)
{
	buf_clear(&c->received);
	dialogue_house_say(&house, c, str_of(text));
}

static bool has_heard(struct dialogue_client *c, const char *text)
{
	return dialogue_text_contains(buf_str(&c->received), str_of(text));
}

static void running_sessions_keep_the_settings_they_began_with(void **state)
{
	(void)state;
	int unused_new = 0, unused_old = 0;
	struct session_settings older = house.settings, newer = house.settings;
	older.message_bytes = 100000;
	newer.message_bytes = 200000;
	session_service_set_settings(house.service, &older, on_unused, &unused_old);
	assert_true(house.is_unused); /* nobody used the first ones */
	struct dialogue_client *before = dialogue_house_connect(&house, "192.0.2.1");
	session_service_set_settings(house.service, &newer, on_unused, &unused_new);
	struct dialogue_client *after = dialogue_house_connect(&house, "192.0.2.1");
	say(before, "EHLO c.example\r\n");
	assert_true(has_heard(before, "SIZE 100000\r\n"));
	say(after, "EHLO c.example\r\n");
	assert_true(has_heard(after, "SIZE 200000\r\n"));
	assert_int_equal(unused_old, 0);
	say(before, "QUIT\r\n");
	assert_int_equal(unused_old, 1);
	say(after, "QUIT\r\n");
	assert_int_equal(unused_new, 0);
	session_service_free(&house.service);
	assert_int_equal(unused_new, 1);
	assert_int_equal(unused_old, 1);
}

static void freeing_leaves_nothing_half_done(void **state)
{
	(void)state;
	struct dialogue_client *in_data = dialogue_house_connect(&house, "192.0.2.1");
	struct dialogue_client *committing = dialogue_house_connect(&house, "192.0.2.2");
	static const char message[] = "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n"
				      "RCPT TO:<x@ours.example>\r\nDATA\r\n";
	fake_spool_hold(house.spool);
	say(in_data, message);
	say(in_data, "half of");
	say(committing, message);
	say(committing, "whole\r\n.\r\n");
	house.settings.refuse_null_mx_senders = true;
	dialogue_house_hold_answers(&house, true);
	struct dialogue_client *asking = dialogue_house_connect(&house, "192.0.2.3");
	say(asking, message);
	assert_int_equal(fake_spool_open_writers(house.spool), 1);
	assert_int_equal(fake_spool_waiting(house.spool), 1);
	assert_int_equal(dialogue_house_waiting(&house), 1);
	session_service_free(&house.service);
	assert_true(house.is_unused);
	assert_int_equal(fake_spool_open_writers(house.spool), 0);
	assert_int_equal(dialogue_house_waiting(&house), 0);
	fake_spool_release(house.spool);
	dialogue_house_settle(&house);
	assert_int_equal(fake_spool_count(house.spool), 1);
	assert_true(in_data->is_over && committing->is_over && asking->is_over);
}

static void descriptors_are_taken(void **state)
{
	(void)state;
	int ends[2];
	struct netaddr address = { .family = NETADDR_UNIX };
	struct session_counters counters;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	session_service_accept(house.service, &house.listener, ends[0], &address, &address);
	dialogue_house_settle(&house);
	char text[100];
	ssize_t got = read(ends[1], text, sizeof(text));
	assert_true(str_equal(str_from(text, (size_t)got), STR("220 mx.example ESMTP Postern\r\n")));
	session_service_counters(house.service, &counters);
	assert_int_equal(counters.open_sessions, 1);
	session_service_free(&house.service);
	dialogue_house_pass(&house, 10000);
	assert_true(read(ends[1], text, sizeof(text)) <= 0);
	close(ends[1]);
}

static void the_turned_away_over_a_descriptor_are_told(void **state)
{
	(void)state;
	int ends[2];
	struct netaddr address = { .family = NETADDR_UNIX };
	house.settings.connections = 1;
	dialogue_house_connect(&house, "192.0.2.1");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	session_service_accept(house.service, &house.listener, ends[0], &address, &address);
	char text[100];
	ssize_t got = read(ends[1], text, sizeof(text));
	assert_true(str_starts(str_from(text, (size_t)got), STR("421 4.3.2 too many connections")));
	assert_int_equal(read(ends[1], text, sizeof(text)), 0);
	close(ends[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(running_sessions_keep_the_settings_they_began_with),
		TEST(freeing_leaves_nothing_half_done),
		TEST(descriptors_are_taken),
		TEST(the_turned_away_over_a_descriptor_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
