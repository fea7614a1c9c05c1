/* Both sides over a real unix socket: the client in a thread, the worker's server on a loop, with a
 * spool in memory and a sched that only counts. */
#include "smtpd/control/control_worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "smtpd/control/control_client.h"
#include "smtpd/relay/relay_routes.h"
#include "smtpd/sched/sched.h"
#include "tests/fakes/fake_spool.h"

/* ---- a worker of two shards ------------------------------------------------------------------------------- */

struct sched {
	size_t waiting;
	char flushed[64];
	uint64_t removed;
};

struct worker {
	struct spool *spools[2];
	struct sched scheds[2];
	struct config config;
};

static struct spool *worker_spool(const void *ctx, size_t index)
{
	const struct worker *w = ctx;
	return index < 2 ? w->spools[index] : NULL;
}

static struct sched *worker_sched(const void *ctx, size_t index)
{
	const struct worker *w = ctx;
	return index < 2 ? (struct sched *)(uintptr_t)&w->scheds[index] : NULL;
}

static const struct config *worker_config(const void *ctx)
{
	const struct worker *w = ctx;
	return &w->config;
}

static const struct session_service *worker_sessions(const void *ctx)
{
	(void)ctx;
	return NULL;
}

void session_service_counters(const struct session_service *service, struct session_counters *ret)
{
	(void)service;
	*ret = (struct session_counters){ .open_sessions = 4, .tls_sessions = 5 };
}

size_t sched_flush_all(struct sched *s)
{
	strcpy(s->flushed, "all");
	return s->waiting;
}

size_t sched_flush_destination(struct sched *s, struct str destination)
{
	str_copy(destination, s->flushed, sizeof(s->flushed));
	return s->waiting;
}

size_t sched_flush_message(struct sched *s, uint64_t message)
{
	spool_id_format(message, s->flushed);
	return s->waiting;
}

void sched_remove(struct sched *s, uint64_t message)
{
	s->removed = message;
}

size_t sched_running_count(const struct sched *s)
{
	(void)s;
	return 1;
}

size_t sched_waiting_count(const struct sched *s)
{
	return s->waiting;
}

/* ---- the stage -------------------------------------------------------------------------------------------------- */

struct stage {
	struct tlsio_loop *loop;
	struct worker worker;
	struct control_worker *control;
	char directory[64], path[96];
	int fd;
	/* what the client heard */
	const char *const *words;
	size_t word_count;
	struct tlsio_wake done;
	struct buf heard, bytes, failure;
	int failures;
	unsigned enough_after; /* signs of life; 0: never */
	unsigned signs;
	struct err err;
};

static int set_up(void **state)
{
	struct stage *s = mem_zero(sizeof(*s));
	struct err err;
	s->loop = tlsio_loop_new(&err);
	strcpy(s->directory, "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->path, sizeof(s->path), "%s/worker-3.sock", s->directory);
	s->fd = tlsio_listener_open_unix(s->path, 0660, 4, &err);
	assert_true(s->fd >= 0);
	s->worker.config = (struct config){ .hostname = mem_dup("mx.example"),
		.path = mem_dup("/etc/postern.conf"), .routes = relay_routes_new(),
		.rules = policy_rules_new(), .certificates_not_after_s = 4102444800 };
	assert_int_equal(relay_routes_add(s->worker.config.routes, STR("b.example"),
		STR("smtp mx.b.example:2525"), &err), 0);
	for (int i = 0; i < 2; i++)
		s->worker.spools[i] = fake_spool_new(s->loop, NULL, NULL);
	const struct control_rooms rooms = { .number = 3, .ctx = &s->worker, .spool = worker_spool,
		.sched = worker_sched, .sessions = worker_sessions, .config = worker_config };
	s->control = control_worker_new(s->loop, s->fd, &rooms);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;
	control_worker_free(&s->control);
	for (int i = 0; i < 2; i++)
		spool_close(&s->worker.spools[i]);
	relay_routes_unref(&s->worker.config.routes);
	policy_rules_unref(&s->worker.config.rules);
	free(s->worker.config.hostname);
	free(s->worker.config.path);
	tlsio_loop_turn(s->loop, false);
	tlsio_loop_free(&s->loop);
	close(s->fd);
	unlink(s->path);
	rmdir(s->directory);
	buf_release(&s->heard);
	buf_release(&s->bytes);
	buf_release(&s->failure);
	free(s);
	return 0;
}

static uint64_t put_message(struct stage *s, int shard, const char *body, uint32_t recipients)
{
	struct err err;
	struct spool_recipient *to = mem_array(recipients, sizeof(*to));
	for (uint32_t i = 0; i < recipients; i++)
		to[i] = (struct spool_recipient){ .address = STR("someone@b.example") };
	const struct spool_envelope e = { .received_s = 1000, .sender = STR("a@a.example"),
		.client = STR("192.0.2.1"), .recipients = to, .recipient_count = recipients };
	struct spool_writer *w = spool_begin(s->worker.spools[shard], &err);
	uint64_t id = spool_writer_id(w);
	assert_int_equal(spool_write(w, str_of(body), &err), 0);
	spool_commit(&w, &e, NULL, NULL);
	tlsio_loop_turn(s->loop, false);
	free(to);
	return id;
}

static void on_record(void *ctx, const struct control_record *record)
{
	struct stage *s = ctx;
	buf_append_str(&s->heard, record->name);
	for (size_t i = 0; i < record->count; i++) {
		const struct control_field *f = &record->fields[i];
		buf_printf(&s->heard, " %.*s=%.*s", STR_ARGS(f->key), STR_ARGS(f->text));
	}
	buf_append_byte(&s->heard, '\n');
	s->signs += str_equal(record->name, STR("pinned"));
}

static bool is_enough(void *ctx)
{
	const struct stage *s = ctx;
	return s->enough_after && s->signs >= s->enough_after;
}

static void on_data(void *ctx, struct str bytes)
{
	struct stage *s = ctx;
	buf_append_str(&s->bytes, bytes);
}

static void on_failed(void *ctx, const char *socket, const struct err *err)
{
	struct stage *s = ctx;
	assert_string_equal(socket, s->path);
	buf_append_text(&s->failure, err->text);
}

static const struct control_client_events client_events = { .record = on_record, .data = on_data,
	.failed = on_failed, .is_enough = is_enough };

static void *client(void *ctx)
{
	struct stage *s = ctx;
	s->failures = control_client_ask(
		s->directory, s->words, s->word_count, &client_events, s, &s->err);
	tlsio_wake_send(&s->done);
	return NULL;
}

static void on_done(void *ctx)
{
	struct stage *s = ctx;
	tlsio_loop_stop(s->loop);
}

static void ask(struct stage *s, const char *const words[], size_t count)
{
	pthread_t thread;
	buf_clear(&s->heard);
	buf_clear(&s->bytes);
	buf_clear(&s->failure);
	s->words = words;
	s->word_count = count;
	tlsio_wake_start(&s->done, s->loop, on_done, s);
	assert_int_equal(pthread_create(&thread, NULL, client, s), 0);
	tlsio_loop_run(s->loop);
	pthread_join(thread, NULL);
	tlsio_wake_stop(&s->done);
}
#define ASK(s, ...)                                                                                \
	ask((s), (const char *const[]){ __VA_ARGS__ },                                             \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

static void assert_heard(struct stage *s, const char *words)
{
	if (!strstr(buf_text(&s->heard), words))
		fail_msg("'%s' is not in: %s", words, buf_text(&s->heard));
}

static size_t count_lines(struct stage *s, const char *name)
{
	size_t count = 0;
	for (const char *at = buf_text(&s->heard); (at = strstr(at, name)); at++)
		count++;
	return count;
}

/* ---- promises ---------------------------------------------------------------------------------------------------- */

static void status_sums_the_shards(void **state)
{
	struct stage *s = *state;
	put_message(s, 0, "12345", 1);
	put_message(s, 1, "123", 1);
	s->worker.scheds[1].waiting = 7;
	ASK(s, "status");
	assert_int_equal(s->failures, 0);
	assert_heard(s, "worker worker=3 pid=");
	assert_heard(s, " messages=2 ");
	assert_heard(s, " message_bytes=8 ");
	assert_heard(s, " shards=2 ");
	assert_heard(s, " sessions=4 ");
	assert_heard(s, " tls_sessions=5 ");
	assert_heard(s, " deliveries_running=2 deliveries_waiting=7 ");
	assert_heard(s, " hostname=mx.example ");
	assert_heard(s, " certificates_expire=4102444800");
}

static void the_queue_lists_who_waits_for_what(void **state)
{
	struct stage *s = *state;
	put_message(s, 0, "body", 1);
	ASK(s, "queue");
	assert_int_equal(s->failures, 0);
	assert_heard(s, "message id=0000000000001000 received=1000 age=");
	assert_heard(s, " size=4 sender=a@a.example recipient_count=1 waiting_count=1 client=192.0.2.1\n");
	assert_heard(s, "recipient address=someone@b.example state=waiting attempts=0 due=0 due_in=0 "
			"destination=smtp mx.b.example:2525\n");
}

static void only_waiting_recipients_are_listed_but_all_are_shown(void **state)
{
	struct stage *s = *state;
	char id[17];
	uint64_t number = put_message(s, 0, "body", 3);
	const struct spool_outcome done = { .recipient = 1, .state = SPOOL_RECIPIENT_DELIVERED,
		.attempts = 2, .reason = STR("250 ok") };
	spool_settle(s->worker.spools[0], number, &done, 1);
	ASK(s, "queue");
	assert_int_equal(count_lines(s, "recipient address"), 2);
	ASK(s, "show", spool_id_format(number, id));
	assert_int_equal(count_lines(s, "recipient address"), 3);
	assert_heard(s, "state=delivered attempts=2 reason=250 ok\n");
}

static void a_long_queue_comes_in_slices_and_whole(void **state)
{
	struct stage *s = *state;
	for (int i = 0; i < 700; i++)
		put_message(s, i % 2, "body", 1);
	put_message(s, 0, "body", 2000); /* more than a slice by itself */
	ASK(s, "queue");
	assert_int_equal(s->failures, 0);
	assert_int_equal(count_lines(s, "message id"), 701);
	assert_int_equal(count_lines(s, "recipient address"), 2700);
}

static void segments_are_kept_until_the_client_has_enough(void **state)
{
	struct stage *s = *state;
	s->enough_after = 2;
	ASK(s, "pin");
	assert_int_equal(s->failures, 0);
	assert_int_equal(count_lines(s, "shard number=3 directory=/spool/0 1 next_id=99 open=1\n"
					"segment number=1 end=4096\nsegment number=7 end=128\n"),
		2);
	assert_int_equal(count_lines(s, "pinned at="), 2);
	assert_int_equal(fake_spool_pins(s->worker.spools[0]), 1);
	/* that it has gone, the next sign of life shows */
	while (fake_spool_pins(s->worker.spools[0]) + fake_spool_pins(s->worker.spools[1]))
		tlsio_loop_turn(s->loop, true);
}

static void a_full_disk_ends_a_pin(void **state)
{
	struct stage *s = *state;
	fake_spool_fail(s->worker.spools[1], FAKE_SPOOL_COMMIT, ERR_LIMIT, 0);
	ASK(s, "pin");
	assert_int_equal(s->failures, 1);
	assert_non_null(strstr(buf_text(&s->failure), "disk got full"));
	assert_int_equal(fake_spool_pins(s->worker.spools[0]), 0);
	fake_spool_fail(s->worker.spools[1], FAKE_SPOOL_BEGIN, ERR_LIMIT, 0);
	ASK(s, "pin");
	assert_int_equal(s->failures, 1);
	assert_int_equal(fake_spool_pins(s->worker.spools[0]), 0);
}

static void cat_gives_the_bytes(void **state)
{
	struct stage *s = *state;
	char id[17], *body = mem_zero(3000001);
	for (size_t i = 0; i < 3000000; i++)
		body[i] = (char)('a' + i % 26);
	uint64_t number = put_message(s, 0, body, 1);
	ASK(s, "cat", spool_id_format(number, id));
	assert_int_equal(s->failures, 0);
	assert_true(str_equal(buf_str(&s->bytes), str_of(body)));
	free(body);
}

static void an_unknown_message_is_not_there_and_a_bad_id_is_an_error(void **state)
{
	struct stage *s = *state;
	ASK(s, "show", "00000000000000ff");
	assert_int_equal(s->failures, 0);
	assert_int_equal(s->heard.length, 0);
	ASK(s, "show", "zz");
	assert_int_equal(s->failures, 1);
	assert_non_null(strstr(buf_text(&s->failure), "is no message id"));
}

static void flush_makes_due(void **state)
{
	struct stage *s = *state;
	s->worker.scheds[0].waiting = 2;
	s->worker.scheds[1].waiting = 3;
	ASK(s, "flush", "all");
	assert_heard(s, "flushed count=5\n");
	assert_string_equal(s->worker.scheds[1].flushed, "all");
	ASK(s, "flush", "00000000000000ab");
	assert_string_equal(s->worker.scheds[1].flushed, "00000000000000ab");
	ASK(s, "flush", "domain", "b.example");
	assert_heard(s, "flushed count=5\n");
	assert_non_null(strstr(s->worker.scheds[0].flushed, "mx.b.example"));
	ASK(s, "flush", "domain");
	assert_int_equal(s->failures, 1);
	ASK(s, "flush", "all", "b.example");
	assert_int_equal(s->failures, 1);
}

static void remove_settles_whoever_waits(void **state)
{
	struct stage *s = *state;
	char id[17];
	uint64_t number = put_message(s, 0, "body", 2);
	ASK(s, "remove", spool_id_format(number, id));
	assert_int_equal(s->failures, 0);
	assert_heard(s, "removed count=2\n");
	assert_true(s->worker.scheds[0].removed == number);
	const struct spool_envelope *e = fake_spool_envelope(s->worker.spools[0], 0);
	assert_int_equal(e->recipients[1].state, SPOOL_RECIPIENT_REMOVED);
	ASK(s, "queue");
	assert_int_equal(s->heard.length, 0);
}

static void refuses_what_it_does_not_know(void **state)
{
	struct stage *s = *state;
	ASK(s, "dance");
	assert_int_equal(s->failures, 1);
	assert_non_null(strstr(buf_text(&s->failure), "unknown request 'dance'"));
	ASK(s, "status", "now");
	assert_int_equal(s->failures, 1);
	assert_non_null(strstr(buf_text(&s->failure), "wrong number of arguments"));
}

static int dial(const struct stage *s)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	strcpy(to.sun_path, s->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Turns until the peer closed fd; what it said before into ret. */
static void hear_end(struct stage *s, int fd, struct buf *ret)
{
	for (int turns = 0; turns < 100000; turns++) {
		ssize_t got = read(fd, buf_reserve(ret, 65536), 65536);
		if (got == 0)
			return;
		if (got > 0)
			buf_added(ret, (size_t)got);
		else
			tlsio_loop_turn(s->loop, false);
	}
	fail_msg("it never ended");
}

static void garbage_is_answered_and_ended(void **state)
{
	struct stage *s = *state;
	char large[CONTROL_REQUEST_BYTES + 1];
	struct buf heard = { 0 };
	memset(large, 'x', sizeof(large));
	int fd = dial(s);
	assert_true(write(fd, "EHLO x\r\n", 8) == 8);
	hear_end(s, fd, &heard);
	assert_true(str_starts(buf_str(&heard), STR("error ")));
	close(fd);
	buf_clear(&heard);
	fd = dial(s);
	assert_true(write(fd, large, sizeof(large)) == sizeof(large)); /* no newline in sight */
	hear_end(s, fd, &heard);
	assert_true(str_starts(buf_str(&heard), STR("error the%20request%20is%20too%20long")));
	close(fd);
	buf_release(&heard);
}

static void a_client_that_does_not_read_costs_no_memory_and_no_time(void **state)
{
	struct stage *s = *state;
	struct buf heard = { 0 };
	char *body = mem_zero(20000001);
	memset(body, 'x', 20000000);
	put_message(s, 0, body, 1);
	int fd = dial(s);
	assert_true(write(fd, "postern1 cat 0000000000001000\n", 30) == 30);
	for (int i = 0; i < 2000; i++)
		tlsio_loop_turn(s->loop, false);
	/* it waits for us, and answers others meanwhile */
	ASK(s, "status");
	assert_heard(s, "worker worker=3");
	hear_end(s, fd, &heard);
	assert_true(heard.length > 20000000);
	assert_true(str_ends_nocase(buf_str(&heard), STR("ok\n")));
	close(fd);
	/* and one that goes away in the middle is forgotten */
	fd = dial(s);
	assert_true(write(fd, "postern1 cat 0000000000001000\n", 30) == 30);
	for (int i = 0; i < 100; i++)
		tlsio_loop_turn(s->loop, false);
	close(fd);
	for (int i = 0; i < 100; i++)
		tlsio_loop_turn(s->loop, false);
	buf_release(&heard);
	free(body);
}

static void too_many_clients_are_turned_away(void **state)
{
	struct stage *s = *state;
	int fds[20], closed = 0;
	char byte;
	for (int i = 0; i < 20; i++) {
		fds[i] = dial(s);
		tlsio_loop_turn(s->loop, false);
	}
	for (int i = 0; i < 20; i++)
		closed += read(fds[i], &byte, 1) == 0;
	assert_int_equal(closed, 4);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	for (int i = 0; i < 10; i++)
		tlsio_loop_turn(s->loop, false);
	ASK(s, "status");
	assert_int_equal(s->failures, 0);
}

static void says_what_to_do_when_nobody_is_there(void **state)
{
	struct stage *s = *state;
	struct err err;
	const char *const words[] = { "status" };
	assert_int_equal(control_client_ask("/nonexistent", words, 1, &client_events, s, &err), -1);
	assert_non_null(strstr(err.text, "is posternd running?"));
	close(s->fd); /* a socket whose worker died */
	control_worker_free(&s->control);
	tlsio_loop_turn(s->loop, false);
	assert_int_equal(control_client_ask(s->directory, words, 1, &client_events, s, &err), 1);
	assert_non_null(strstr(buf_text(&s->failure), "is posternd running?"));
	s->fd = open("/dev/null", O_RDONLY);
	unlink(s->path);
	assert_int_equal(control_client_ask(s->directory, words, 1, &client_events, s, &err), -1);
	assert_non_null(strstr(err.text, "no worker's socket"));
}

static void ignore(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_sums_the_shards),
		TEST(the_queue_lists_who_waits_for_what),
		TEST(only_waiting_recipients_are_listed_but_all_are_shown),
		TEST(a_long_queue_comes_in_slices_and_whole),
		TEST(cat_gives_the_bytes),
		TEST(segments_are_kept_until_the_client_has_enough),
		TEST(a_full_disk_ends_a_pin),
		TEST(an_unknown_message_is_not_there_and_a_bad_id_is_an_error),
		TEST(flush_makes_due),
		TEST(remove_settles_whoever_waits),
		TEST(refuses_what_it_does_not_know),
		TEST(garbage_is_answered_and_ended),
		TEST(a_client_that_does_not_read_costs_no_memory_and_no_time),
		TEST(too_many_clients_are_turned_away),
		TEST(says_what_to_do_when_nobody_is_there),
	};
	log_capture(ignore, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
