/* Client and server over a real socket, the plans played by fake_plan_service. */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "policy/door/door_client.h"
#include "policy/door/door_server.h"
#include "policy/door/door_status.h"
#include "tests/fakes/fake_plan_service.h"
#include "tests/policy/door/make_plan.h"

enum { TURNS_MOST = 100000 };

struct house {
	struct tlsio_loop *loop;
	char folder[64], path[96];
	int fd;
	struct plan_service *service;
	struct door_server *server;
	struct door_client *client;
	/* what came */
	size_t answers;
	struct policy_plan *last;
};

static void open_server(struct house *h)
{
	struct err err;
	h->fd = tlsio_listener_open_unix(h->path, 0600, 16, &err);
	assert_true(h->fd >= 0);
	h->service = fake_plan_service_new(h->loop);
	h->server = door_server_new(h->loop, h->fd, h->service);
}

static void close_server(struct house *h)
{
	door_server_free(&h->server);
	plan_service_free(&h->service);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

static void open_client(struct house *h, int64_t limit_ms)
{
	struct door_client_setup setup = { .loop = h->loop, .socket_path = h->path,
		.program = "test", .limit_ms = limit_ms };
	h->client = door_client_new(&setup);
}

static int set_up(void **state)
{
	struct err err;
	struct house *h = mem_zero(sizeof(*h));
	snprintf(h->folder, sizeof(h->folder), "/tmp/test_door.XXXXXX");
	assert_non_null(mkdtemp(h->folder));
	snprintf(h->path, sizeof(h->path), "%s/policyd.sock", h->folder);
	h->fd = -1;
	h->loop = tlsio_loop_new(&err);
	assert_non_null(h->loop);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;
	policy_plan_unref(&h->last);
	door_client_free(&h->client);
	close_server(h);
	tlsio_loop_turn(h->loop, false);
	unlink(h->path);
	rmdir(h->folder);
	tlsio_loop_free(&h->loop);
	free(h);
	return 0;
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct house *h = ctx;
	h->answers++;
	policy_plan_unref(&h->last);
	h->last = policy_plan_ref(plan);
}

static struct door_question *ask(struct house *h, const char *domain)
{
	const struct policy_question question = { .rule_domain = domain, .next_hop = domain,
		.port = 25 };
	return door_client_ask(h->client, &question, on_plan, h);
}

#define TURN_UNTIL(h, condition)                                                                   \
	do {                                                                                       \
		int turns = 0;                                                                     \
		while (!(condition)) {                                                             \
			tlsio_loop_turn((h)->loop, true);                                          \
			assert_true(++turns < TURNS_MOST);                                         \
		}                                                                                  \
	} while (0)

static void answer(struct house *h, const char *domain, int64_t lives_s)
{
	struct policy_plan *plan = make_plan_plain(domain, tlsio_loop_time_s(h->loop) + lives_s);
	fake_plan_service_answer(h->service, plan);
	policy_plan_unref(&plan);
}

static void keep(struct house *h, const char *domain, int64_t lives_s)
{
	struct policy_plan *plan = make_plan_plain(domain, tlsio_loop_time_s(h->loop) + lives_s);
	fake_plan_service_keep(h->service, plan);
	policy_plan_unref(&plan);
}

static void a_question_is_answered_through_the_socket(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	ask(h, "a.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	answer(h, "a.example", 100);
	assert_int_equal(h->answers, 0); /* later, not at once */
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_READY);
	assert_string_equal(h->last->next_hop, "a.example");
	assert_int_equal(h->last->host_count, 2);
}

static void equal_questions_travel_once_and_kept_plans_not_at_all(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	ask(h, "a.example");
	ask(h, "a.example");
	ask(h, "b.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 2);
	answer(h, "a.example", 100);
	answer(h, "b.example", 0);
	TURN_UNTIL(h, h->answers == 3);
	ask(h, "a.example");
	assert_int_equal(h->answers, 3); /* never inside the call */
	TURN_UNTIL(h, h->answers == 4);
	assert_int_equal(fake_plan_service_waiting(h->service), 0);
	ask(h, "b.example"); /* expired at once: asked again */
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
}

static void forgotten_plans_are_asked_for_again(void **state)
{
	struct house *h = *state;
	const struct door_authorities none = { 0 };
	open_server(h);
	open_client(h, 0);
	keep(h, "a.example", 100);
	ask(h, "a.example");
	TURN_UNTIL(h, h->answers == 1);
	plan_service_forget(h->service, "a.example");
	ask(h, "a.example");
	TURN_UNTIL(h, h->answers == 2); /* from the client's own memory */
	door_client_forget(h->client, &none);
	ask(h, "a.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	answer(h, "a.example", 100);
	TURN_UNTIL(h, h->answers == 3);
	door_server_set_service(h->server, h->service); /* other rules: the clients are told */
	keep(h, "b.example", 100);
	ask(h, "b.example");
	TURN_UNTIL(h, h->answers == 4);
	ask(h, "a.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
}

static void cancelled_questions_are_not_answered(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	struct door_question *one = ask(h, "a.example"), *two = ask(h, "a.example");
	door_question_cancel(&one);
	assert_null(one);
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	door_question_cancel(&two);
	ask(h, "b.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 2);
	answer(h, "a.example", 100);
	answer(h, "b.example", 100);
	TURN_UNTIL(h, h->answers == 1);
	assert_string_equal(h->last->next_hop, "b.example");
	struct door_question *three = ask(h, "b.example"); /* ready, not yet told */
	door_question_cancel(&three);
	ask(h, "b.example");
	TURN_UNTIL(h, h->answers == 2);
}

static void without_a_server_mail_is_deferred_within_the_limit(void **state)
{
	struct house *h = *state;
	open_client(h, 30);
	ask(h, "a.example");
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_DEFER);
	assert_non_null(strstr(h->last->text, "postern-policyd does not answer ("));
	assert_non_null(strstr(h->last->text, "policyd.sock"));
	assert_non_null(strstr(h->last->text, "mail is kept and tried again"));
	assert_true(h->last->is_unanswered);
}

static void a_slow_server_is_told_as_slow(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 50);
	ask(h, "a.example");
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_DEFER);
	assert_non_null(strstr(h->last->text, "within 1 s"));
	assert_true(h->last->is_unanswered);
}

static void a_question_survives_a_restart_of_the_server(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	ask(h, "a.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	close_server(h);
	open_server(h);
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	answer(h, "a.example", 100);
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_READY);
}

static void a_question_that_breaks_the_server_is_given_up(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	ask(h, "a.example");
	for (int i = 0; i < 3; i++) {
		TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
		close_server(h);
		open_server(h);
	}
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_DEFER);
	assert_non_null(strstr(h->last->text, "broke off 3 times"));
}

static void questions_in_bad_company_are_asked_one_by_one_and_answered(void **state)
{
	struct house *h = *state;
	open_server(h);
	open_client(h, 0);
	ask(h, "bad.example");
	ask(h, "a.example");
	ask(h, "b.example");
	for (int i = 0; i < 2; i++) {
		TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 3);
		close_server(h);
		open_server(h);
	}
	ask(h, "new.example"); /* never lost: asked beside them */
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 2);
	answer(h, "new.example", 100);
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(fake_plan_service_waiting(h->service), 1);
	close_server(h); /* the one that stood alone is to blame */
	open_server(h);
	TURN_UNTIL(h, h->answers == 2);
	assert_string_equal(h->last->next_hop, "bad.example");
	assert_non_null(strstr(h->last->text, "broke off 3 times"));
	assert_false(h->last->is_unanswered);
	struct door_question *c = ask(h, "c.example");
	door_question_cancel(&c);
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	answer(h, "a.example", 100);
	TURN_UNTIL(h, h->answers == 3 && fake_plan_service_waiting(h->service) == 1);
	answer(h, "b.example", 100);
	TURN_UNTIL(h, h->answers == 4);
	assert_int_equal(h->last->state, POLICY_PLAN_READY);
}

static void a_plan_with_unknown_authorities_is_a_deferral(void **state)
{
	struct house *h = *state;
	struct err err;
	open_server(h);
	open_client(h, 0);
	struct tlsio_trust *trust = tlsio_trust_system(&err);
	struct policy_plan *plan = make_plan_rich(trust);
	fake_plan_service_keep(h->service, plan);
	ask(h, "mail.example.org");
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_DEFER);
	assert_non_null(strstr(h->last->text, "own-ca.pem"));
	policy_plan_unref(&plan);
	tlsio_trust_unref(&trust);
}

static void reports_and_the_self_check_arrive(void **state)
{
	struct house *h = *state;
	const char *words;
	open_server(h);
	open_client(h, 0);
	door_server_set_check(h->server, 1, "nothing is validated here");
	assert_int_equal(door_client_self_check(h->client, &words), -1);
	const struct policy_session session = { .domain = "a.example", .host = "mx.a.example",
		.part_count = 1, .parts = { { .reason = POLICY_REASON_CERTIFICATE_EXPIRED,
		.identity = 77, .domain = "a.example", .why = "since yesterday" } } };
	door_client_report(h->client, &session);
	TURN_UNTIL(h, fake_plan_service_tally(h->service)->count == 1);
	assert_string_equal(fake_plan_service_tally(h->service)->domain, "a.example");
	assert_string_equal(fake_plan_service_tally(h->service)->host, "mx.a.example");
	assert_int_equal(fake_plan_service_tally(h->service)->reason,
		POLICY_REASON_CERTIFICATE_EXPIRED);
	assert_int_equal(fake_plan_service_tally(h->service)->identity, 77);
	assert_string_equal(fake_plan_service_tally(h->service)->why, "since yesterday");
	TURN_UNTIL(h, door_client_self_check(h->client, &words) == 1);
	assert_string_equal(words, "nothing is validated here");
	door_server_set_check(h->server, 0, "good");
	TURN_UNTIL(h, door_client_self_check(h->client, &words) == 0);
}

/* ---- how it is going ----------------------------------------------------------------------------------------- */

struct visit {
	const char *path;
	struct door_status status;
	struct err err;
	int result;
	atomic_bool is_over;
};

static void *pay_visit(void *ctx)
{
	struct visit *v = ctx;
	v->result = door_status_ask(v->path, "posternctl", 20000, &v->status, &v->err);
	atomic_store(&v->is_over, true);
	return NULL;
}

static void policyd_tells_how_it_is(void **state)
{
	struct house *h = *state;
	struct visit v = { .path = h->path };
	pthread_t thread;
	assert_int_equal(door_status_ask(h->path, "posternctl", 1000, &v.status, &v.err), 1);
	open_server(h);
	for (int check = -1; check < 2; check++) {
		if (check >= 0)
			door_server_set_check(h->server, check, "what was found");
		atomic_store(&v.is_over, false);
		assert_int_equal(pthread_create(&thread, NULL, pay_visit, &v), 0);
		int turns = 0;
		while (!atomic_load(&v.is_over) && ++turns < 1000000)
			tlsio_loop_turn(h->loop, false);
		pthread_join(thread, NULL);
		assert_int_equal(v.result, 0);
		assert_int_equal(v.status.pid, getpid());
		assert_string_equal(v.status.version, PACKAGE_VERSION);
		assert_int_equal(v.status.check, check);
		assert_string_equal(v.status.check_words, check >= 0 ? "what was found" : "");
		assert_int_equal(v.status.clients, 1);
	}
	/* A socket that nobody serves: said after the time that was given. */
	assert_int_equal(door_status_ask(h->path, "posternctl", 20, &v.status, &v.err), -1);
	assert_non_null(strstr(v.err.text, "no answer in time"));
}

/* ---- strangers at the socket --------------------------------------------------------------------------------- */

static int stranger(struct house *h)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", h->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void say(int fd, const struct buf *bytes)
{
	struct str s = buf_str(bytes);
	assert_int_equal(send(fd, s.at, s.length, MSG_NOSIGNAL), s.length);
}

static void assert_thrown_out(struct house *h, struct buf *bytes)
{
	size_t before = door_server_client_count(h->server);
	int fd = stranger(h);
	TURN_UNTIL(h, door_server_client_count(h->server) == before + 1);
	say(fd, bytes);
	TURN_UNTIL(h, door_server_client_count(h->server) == before);
	close(fd);
	buf_release(bytes);
}

static void strangers_are_thrown_out_and_others_stay(void **state)
{
	struct house *h = *state;
	struct buf bytes = { 0 };
	const struct policy_question q = { .rule_domain = "a", .next_hop = "a", .port = 25 };
	open_server(h);
	open_client(h, 0);
	ask(h, "a.example");
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1);
	buf_append_text(&bytes, "GET / HTTP/1.1\r\n\r\n");
	assert_thrown_out(h, &bytes);
	door_wire_ask(&bytes, 1, &q); /* without a greeting */
	assert_thrown_out(h, &bytes);
	door_wire_hello(&bytes, "x");
	door_wire_hello(&bytes, "x");
	assert_thrown_out(h, &bytes);
	door_wire_hello(&bytes, "x");
	door_wire_self_check(&bytes, 0, "words of a server");
	assert_thrown_out(h, &bytes);
	door_wire_hello(&bytes, "x");
	codec_put_u16(bytes.data + bytes.head + DOOR_WIRE_HEAD_BYTES, DOOR_FORMAT + 1);
	assert_thrown_out(h, &bytes);
	answer(h, "a.example", 100);
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_READY);
}

static void who_asks_without_reading_is_not_read_any_more(void **state)
{
	struct house *h = *state;
	struct buf bytes = { 0 };
	open_server(h);
	int fd = stranger(h);
	door_wire_hello(&bytes, "x");
	for (uint32_t i = 0; i < 1500; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u.example", i);
		const struct policy_question q = { .rule_domain = name, .next_hop = name,
			.port = 25 };
		door_wire_ask(&bytes, i, &q);
	}
	say(fd, &bytes);
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1000);
	for (int i = 0; i < 10; i++)
		tlsio_loop_turn(h->loop, false);
	assert_int_equal(fake_plan_service_waiting(h->service), 1000);
	answer(h, "0.example", 1);
	answer(h, "1.example", 1);
	tlsio_loop_turn(h->loop, false);
	TURN_UNTIL(h, fake_plan_service_waiting(h->service) == 1000);
	close(fd);
	for (uint32_t i = 2; i < 1002; i++) { /* the end is seen once the input is worked off */
		char name[32];
		snprintf(name, sizeof(name), "%u.example", i);
		answer(h, name, 1);
	}
	TURN_UNTIL(h, door_server_client_count(h->server) == 0);
	assert_int_equal(fake_plan_service_waiting(h->service), 0);
	buf_release(&bytes);
}

/* ---- a server that is none ------------------------------------------------------------------------------------- */

struct liar {
	struct house *house;
	const struct buf *says;
	struct tlsio_listener *listener;
	int fd;
};

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct liar *liar = ctx;
	(void)local;
	(void)remote;
	if (liar->fd >= 0)
		close(liar->fd);
	liar->fd = fd;
	say(fd, liar->says);
}

static void assert_deferred_by(struct house *h, struct buf *says, int64_t limit_ms, const char *words)
{
	static const struct tlsio_listener_events events = { .on_accept = on_accept };
	struct liar liar = { .house = h, .says = says, .fd = -1 };
	struct err err;
	h->fd = tlsio_listener_open_unix(h->path, 0600, 16, &err);
	liar.listener = tlsio_listener_new(h->loop, h->fd, &events, &liar);
	open_client(h, limit_ms);
	ask(h, "a.example");
	h->answers = 0;
	TURN_UNTIL(h, h->answers == 1);
	assert_int_equal(h->last->state, POLICY_PLAN_DEFER);
	if (!strstr(h->last->text, words))
		fail_msg("'%s' lacks '%s'", h->last->text, words);
	tlsio_listener_free(&liar.listener);
	door_client_free(&h->client);
	if (liar.fd >= 0)
		close(liar.fd);
	close(h->fd);
	h->fd = -1;
	buf_release(says);
}

static void another_version_is_told_at_once(void **state)
{
	struct house *h = *state;
	struct buf says = { 0 };
	door_wire_hello(&says, "postern-policyd");
	codec_put_u16(says.data + says.head + DOOR_WIRE_HEAD_BYTES, 9);
	assert_deferred_by(h, &says, 3600000, "of another version: it speaks format 9, this program 2");
}

static void a_server_that_babbles_is_left(void **state)
{
	struct house *h = *state;
	struct buf says = { 0 };
	buf_append_text(&says, "220 mail.example.org ESMTP\r\n");
	assert_deferred_by(h, &says, 50, "a frame of");
	door_wire_forget(&says); /* before any greeting */
	assert_deferred_by(h, &says, 50, "out of place");
	assert_deferred_by(h, &says, 50, "no greeting within 1 s");
}

static void a_malformed_plan_defers_what_was_asked(void **state)
{
	struct house *h = *state;
	struct buf says = { 0 };
	struct policy_plan *plan = make_plan_plain("a.example", 1);
	door_wire_hello(&says, "postern-policyd");
	size_t at = says.length;
	door_wire_plan(&says, 1, plan); /* the client's first number */
	says.data[says.head + at + DOOR_WIRE_HEAD_BYTES + 2] = '\n';
	assert_deferred_by(h, &says, 3600000, "is refused (a plan has a text that is no line)");
	policy_plan_unref(&plan);
}

int main(void)
{
#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		DOOR_TEST(a_question_is_answered_through_the_socket),
		DOOR_TEST(equal_questions_travel_once_and_kept_plans_not_at_all),
		DOOR_TEST(forgotten_plans_are_asked_for_again),
		DOOR_TEST(cancelled_questions_are_not_answered),
		DOOR_TEST(without_a_server_mail_is_deferred_within_the_limit),
		DOOR_TEST(a_slow_server_is_told_as_slow),
		DOOR_TEST(a_question_survives_a_restart_of_the_server),
		DOOR_TEST(a_question_that_breaks_the_server_is_given_up),
		DOOR_TEST(questions_in_bad_company_are_asked_one_by_one_and_answered),
		DOOR_TEST(a_plan_with_unknown_authorities_is_a_deferral),
		DOOR_TEST(reports_and_the_self_check_arrive),
		DOOR_TEST(policyd_tells_how_it_is),
		DOOR_TEST(strangers_are_thrown_out_and_others_stay),
		DOOR_TEST(who_asks_without_reading_is_not_read_any_more),
		DOOR_TEST(another_version_is_told_at_once),
		DOOR_TEST(a_server_that_babbles_is_left),
		DOOR_TEST(a_malformed_plan_defers_what_was_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
