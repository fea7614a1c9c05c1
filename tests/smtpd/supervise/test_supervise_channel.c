#include "smtpd/supervise/supervise_channel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int open_count(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void a_message_arrives_whole_with_its_descriptors(void **state)
{
	(void)state;
	int pair[2], pipes[2];
	struct err err;
	struct supervise_message in, out = { .kind = SUPERVISE_CONFIGURE, .generation = 7,
		.text = "words" };
	assert_int_equal(supervise_channel_pair(pair, &err), 0);
	assert_int_equal(pipe(pipes), 0);
	out.fds[0] = pipes[0];
	out.fds[1] = pipes[1];
	out.fd_count = 2;
	assert_int_equal(supervise_channel_send(pair[0], &out), SUPERVISE_IO_DONE);
	assert_int_equal(supervise_channel_receive(pair[1], 5, &in), SUPERVISE_IO_DONE);
	assert_int_equal(in.kind, SUPERVISE_CONFIGURE);
	assert_int_equal(in.generation, 7);
	assert_string_equal(in.text, "words");
	assert_int_equal(in.fd_count, 2);
	char byte = 0;
	assert_int_equal(write(in.fds[1], "y", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_true(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC);
	supervise_message_close(&in);
	supervise_message_close(&out);
	assert_int_equal(supervise_channel_receive(pair[1], 5, &in), SUPERVISE_IO_AGAIN);
	close(pair[0]);
	assert_int_equal(supervise_channel_receive(pair[1], 5, &in), SUPERVISE_IO_GONE);
	assert_int_equal(supervise_channel_send(pair[1], &out), SUPERVISE_IO_GONE);
	close(pair[1]);
}

static void carries_as_many_descriptors_as_it_says(void **state)
{
	(void)state;
	int pair[2], before = open_count();
	struct supervise_message in, out = { .kind = SUPERVISE_CONFIGURE };
	supervise_channel_pair(pair, NULL);
	for (size_t i = 0; i < SUPERVISE_CHANNEL_DESCRIPTORS_MOST; i++)
		out.fds[out.fd_count++] = pair[0];
	assert_int_equal(supervise_channel_send(pair[0], &out), SUPERVISE_IO_DONE);
	assert_int_equal(supervise_channel_receive(pair[1], SUPERVISE_CHANNEL_DESCRIPTORS_MOST, &in),
		SUPERVISE_IO_DONE);
	assert_int_equal(in.fd_count, SUPERVISE_CHANNEL_DESCRIPTORS_MOST);
	supervise_message_close(&in);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(open_count(), before);
}

static void closes_descriptors_nobody_asked_for(void **state)
{
	(void)state;
	int pair[2];
	struct supervise_message in, out = { .kind = SUPERVISE_READY };
	supervise_channel_pair(pair, NULL);
	int before = open_count();
	out.fds[out.fd_count++] = pair[0];
	assert_int_equal(supervise_channel_send(pair[1], &out), SUPERVISE_IO_DONE);
	assert_int_equal(supervise_channel_receive(pair[0], 0, &in), SUPERVISE_IO_GONE);
	assert_int_equal(open_count(), before);
	close(pair[0]);
	close(pair[1]);
}

static void refuses_malformed_messages(void **state)
{
	(void)state;
	static char long_text[SUPERVISE_MESSAGE_BYTES];
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text, "\3\0\0\0\0\0\0\0", 8);
	const struct str table[] = { STR(""), STR("\1\0\0\0\0\0\0"), STR("\0\0\0\0\1\0\0\0"),
		STR("\5\0\0\0\1\0\0\0"), STR("\xff\xff\xff\xff\1\0\0\0text"),
		STR("\3\0\0\0\1\0\0\0te\0xt"), str_from(long_text, 248),
		str_from(long_text, sizeof(long_text)) };
	struct supervise_message m;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_false(supervise_message_decode(table[i], &m));
	assert_true(supervise_message_decode(str_from(long_text, 247), &m));
	assert_int_equal(strlen(m.text), 239);

	/* and on the wire: cut by the kernel because it is too large */
	int pair[2];
	char large[1000] = "\3";
	supervise_channel_pair(pair, NULL);
	assert_int_equal(send(pair[0], large, sizeof(large), 0), sizeof(large));
	assert_int_equal(supervise_channel_receive(pair[1], 0, &m), SUPERVISE_IO_GONE);
	close(pair[0]);
	close(pair[1]);
}

static void a_full_channel_says_again(void **state)
{
	(void)state;
	int pair[2];
	struct supervise_message m = { .kind = SUPERVISE_DRAIN };
	supervise_channel_pair(pair, NULL);
	int sent = 0;
	while (supervise_channel_send(pair[0], &m) == SUPERVISE_IO_DONE)
		assert_true(++sent < 1000000);
	assert_int_equal(supervise_channel_send(pair[0], &m), SUPERVISE_IO_AGAIN);
	while (sent--)
		assert_int_equal(
			supervise_channel_receive(pair[1], 0, &m), SUPERVISE_IO_DONE);
	assert_int_equal(supervise_channel_send(pair[0], &m), SUPERVISE_IO_DONE);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_whole_with_its_descriptors),
		cmocka_unit_test(carries_as_many_descriptors_as_it_says),
		cmocka_unit_test(closes_descriptors_nobody_asked_for),
		cmocka_unit_test(refuses_malformed_messages),
		cmocka_unit_test(a_full_channel_says_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
