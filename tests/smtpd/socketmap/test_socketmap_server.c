/* Clients of the lookup server, over memory, in virtual time; plans played by fake_plan_service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream.h"
#include "smtpd/socketmap/socketmap_netstring.h"
#include "smtpd/socketmap/socketmap_request.h"
#include "smtpd/socketmap/socketmap_server.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_plan_service.h"
#include "tests/smtpd/socketmap/make_whole.h"

enum { PIPE_BYTES = 64 * 1024, PEERS_MOST = SOCKETMAP_CLIENTS_MOST + 1 };

#define NO "NOTFOUND "

struct peer {
	struct tlsio_stream *stream;
	struct buf got;
	size_t reads;
	bool is_deaf, is_ended;
};

struct house {
	struct tlsio_loop *loop;
	struct plan_service *service;
	struct socketmap_server *server;
	struct peer *peers;
	size_t peer_count;
};

static int set_up(void **state)
{
	struct house *h = mem_zero(sizeof(*h));
	h->loop = tlsio_loop_new(NULL);
	h->service = fake_plan_service_new(h->loop);
	h->server = socketmap_server_new(h->loop, h->service);
	h->peers = mem_zero(PEERS_MOST * sizeof(*h->peers));
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;
	for (size_t i = 0; i < h->peer_count; i++) {
		tlsio_stream_close(&h->peers[i].stream);
		buf_release(&h->peers[i].got);
	}
	socketmap_server_free(&h->server);
	assert_int_equal(fake_plan_service_waiting(h->service), 0);
	plan_service_free(&h->service);
	tlsio_loop_free(&h->loop);
	free(h->peers);
	free(h);
	return 0;
}

static void on_input(void *ctx)
{
	struct peer *p = ctx;
	struct str in = tlsio_stream_input(p->stream);
	if (p->is_deaf)
		return;
	p->reads++;
	buf_append_str(&p->got, in);
	tlsio_stream_consume(p->stream, in.length);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	struct peer *p = ctx;
	(void)end;
	(void)why;
	p->is_ended = true;
}

static struct peer *connect_peer(struct house *h)
{
	static const struct tlsio_stream_limits limits = { .input_bytes = 1 << 20,
		.output_bytes = 1 << 24 };
	static const struct tlsio_stream_events events = { .on_input = on_input, .on_end = on_end };
	struct tlsio_transport *ends[2];
	struct peer *p = &h->peers[h->peer_count++];
	tlsio_transport_memory_pair(h->loop, PIPE_BYTES, ends);
	p->stream = tlsio_stream_new(h->loop, ends[0], &limits, &events, p);
	socketmap_server_accept(h->server, ends[1]);
	return p;
}

/* Without a turn of the loop. */
static void put(struct peer *p, const char *request)
{
	struct buf out = { 0 };
	socketmap_netstring_write(&out, str_of(request));
	tlsio_stream_write(p->stream, buf_text(&out), out.length);
	buf_release(&out);
}

static void put_raw(struct peer *p, const char *bytes)
{
	tlsio_stream_write(p->stream, bytes, strlen(bytes));
}

static void turn(struct house *h)
{
	fake_loop_advance(h->loop, 0);
}

/* The next answer; fails when there is none. */
static void expect(struct peer *p, const char *answer)
{
	struct str payload;
	size_t used;
	if (socketmap_netstring_split(buf_str(&p->got), 100000, &payload, &used, NULL) != 1)
		fail_msg("no answer, wanted %s; there is %s", answer, buf_text(&p->got));
	if (!str_equal(payload, str_of(answer)))
		fail_msg("%.*s; wanted %s", STR_ARGS(payload), answer);
	buf_consume(&p->got, used);
}

static size_t count_answers(struct peer *p)
{
	struct str payload;
	size_t used, count = 0;
	while (socketmap_netstring_split(buf_str(&p->got), 100000, &payload, &used, NULL) == 1) {
		buf_consume(&p->got, used);
		count++;
	}
	return count;
}

static struct policy_plan *plan_of(const char *domain, enum policy_level level)
{
	const struct made_whole from = { .rule = level, .is_for_domain = true, .plain = 1 };
	return make_whole_plan(domain, &from);
}

static void keep(struct house *h, const char *domain, enum policy_level level)
{
	struct policy_plan *plan = plan_of(domain, level);
	fake_plan_service_keep(h->service, plan);
	policy_plan_unref(&plan);
}

static void answer(struct house *h, const char *domain)
{
	struct policy_plan *plan = plan_of(domain, POLICY_LEVEL_MAY);
	fake_plan_service_answer(h->service, plan);
	policy_plan_unref(&plan);
	turn(h);
}

static struct plan_service_counts counts(const struct house *h)
{
	struct plan_service_counts ret;
	plan_service_count(h->service, &ret);
	return ret;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static void C1_a_request_is_answered_and_the_connection_stays(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	for (int i = 0; i < 3; i++) {
		put(p, "postfix a.example");
		turn(h);
		expect(p, "OK encrypt");
	}
	put(p, "postfix b.example");
	turn(h);
	assert_int_equal(p->got.length, 0);
	answer(h, "b.example");
	expect(p, "OK may");
	assert_false(p->is_ended);
	assert_int_equal(counts(h).asked, 1);
}

static void pipelined_answers_come_in_order_whatever_is_known_first(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "known.example", POLICY_LEVEL_NONE);
	put(p, "postfix known.example");
	put(p, "postfix slow.example");
	put(p, "postfix .example");
	put(p, "postfix known.example");
	put(p, "moon known.example");
	put(p, "postfix late.example");
	turn(h);
	expect(p, "OK none");
	assert_int_equal(p->got.length, 0);
	answer(h, "late.example");
	assert_int_equal(p->got.length, 0);
	answer(h, "slow.example");
	expect(p, "OK may");
	expect(p, NO);
	expect(p, "OK none");
	expect(p, "PERM there is no such map: the maps are postfix, postfix-tlsrpt and sts");
	expect(p, "OK may");
}

static void a_whole_buffer_is_answered_by_one_write(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	for (int i = 0; i < 500; i++)
		put(p, "postfix a.example");
	turn(h);
	assert_int_equal(p->reads, 1);
	assert_int_equal(count_answers(p), 500);
}

static void C4_parents_are_not_found_without_a_question(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, "postfix .b.example");
	put(p, "postfix no/name");
	turn(h);
	expect(p, NO);
	expect(p, NO);
	assert_int_equal(counts(h).asked, 0);
}

static void requests_may_come_byte_by_byte(void **state)
{
	static const char request[] = "17:postfix a.example,17:postfix a.example,";
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	for (const char *c = request; *c; c++) {
		tlsio_stream_write(p->stream, c, 1);
		turn(h);
	}
	expect(p, "OK encrypt");
	expect(p, "OK encrypt");
}

/* ---- those who do harm ---------------------------------------------------------------------------- */

static void garbage_ends_that_client_only(void **state)
{
	static const char *const garbage[] = { "get a.example\n", "01:x,", "5:abcdef,", "10001:",
		"\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n" };
	struct house *h = *state;
	struct peer *good = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		struct peer *bad = connect_peer(h);
		put(bad, "postfix a.example");
		put_raw(bad, garbage[i]);
		turn(h);
		expect(bad, "OK encrypt");
		expect(bad, "PERM this is no request: a netstring of at most 10000 bytes is wanted");
		assert_true(bad->is_ended);
	}
	put(good, "postfix a.example");
	turn(h);
	expect(good, "OK encrypt");
	assert_int_equal(socketmap_server_client_count(h->server), 1);
}

static void garbage_is_refused_behind_what_was_asked_before(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, "postfix slow.example");
	put(p, "postfix slower.example");
	put_raw(p, "garbage");
	turn(h);
	assert_int_equal(p->got.length, 0);
	put(p, "postfix more.example"); /* nothing counts any more */
	answer(h, "slow.example");
	assert_int_equal(fake_plan_service_waiting(h->service), 1);
	expect(p, "OK may");
	assert_false(p->is_ended);
	answer(h, "slower.example");
	expect(p, "OK may");
	expect(p, "PERM this is no request: a netstring of at most 10000 bytes is wanted");
	assert_true(p->is_ended);
	assert_int_equal(socketmap_server_client_count(h->server), 0);
}

static void C2_the_longest_request_is_answered(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	char request[SOCKETMAP_REQUEST_BYTES_MOST + 1];
	memset(request, 'a', sizeof(request));
	memcpy(request, "postfix ", 8);
	request[SOCKETMAP_REQUEST_BYTES_MOST] = '\0';
	for (int i = 0; i < 10; i++)
		put(p, request);
	turn(h);
	assert_int_equal(count_answers(p), 10);
}

static void a_request_that_stops_in_the_middle_ends_in_half_a_minute(void **state)
{
	struct house *h = *state;
	struct peer *slow = connect_peer(h), *busy = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	put_raw(slow, "17:postfix ");
	turn(h);
	for (int i = 0; i < 29; i++) {
		put_raw(slow, "a");
		/* always in the middle of a request, but it goes on */
		put_raw(busy, i ? " a.example,17:postfix" : "17:postfix");
		fake_loop_advance(h->loop, 1000);
	}
	for (int i = 0; i < 60; i++) {
		put_raw(busy, " a.example,17:postfix");
		fake_loop_advance(h->loop, 1000);
	}
	assert_false(busy->is_ended);
	assert_int_equal(count_answers(busy), 88);
	assert_true(slow->is_ended); /* too many bytes: no comma */
	slow = connect_peer(h);
	put_raw(slow, "1");
	fake_loop_advance(h->loop, SOCKETMAP_PATIENCE_MS - 1);
	put_raw(slow, "7");
	turn(h);
	assert_false(slow->is_ended);
	fake_loop_advance(h->loop, 1);
	assert_true(slow->is_ended);
}

static void C2_idle_connections_are_kept_for_an_hour(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	fake_loop_advance(h->loop, SOCKETMAP_IDLE_MS - 1000);
	put(p, "postfix a.example");
	turn(h);
	expect(p, "OK encrypt");
	fake_loop_advance(h->loop, SOCKETMAP_IDLE_MS - 1000);
	assert_false(p->is_ended);
	fake_loop_advance(h->loop, 1000);
	assert_true(p->is_ended);
	assert_int_equal(socketmap_server_client_count(h->server), 0);
}

static void who_does_not_read_is_dropped_and_costs_little(void **state)
{
	struct house *h = *state;
	struct peer *deaf = connect_peer(h), *good = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	deaf->is_deaf = true;
	for (int i = 0; i < 200000; i++)
		put(deaf, "postfix a.example");
	turn(h);
	put(good, "postfix a.example");
	turn(h);
	expect(good, "OK encrypt");
	fake_loop_advance(h->loop, SOCKETMAP_PATIENCE_MS + 1);
	assert_int_equal(socketmap_server_client_count(h->server), 1);
	assert_false(good->is_ended);
}

static void who_reads_late_gets_everything(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	p->is_deaf = true;
	for (int i = 0; i < 60000; i++)
		put(p, "postfix a.example");
	turn(h);
	fake_loop_advance(h->loop, SOCKETMAP_PATIENCE_MS / 2);
	p->is_deaf = false;
	on_input(p);
	turn(h);
	assert_int_equal(count_answers(p), 60000);
}

static void one_client_has_a_hundred_questions_in_flight(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	char text[64];
	for (int i = 0; i < 150; i++) {
		snprintf(text, sizeof(text), "postfix d%d.example", i);
		put(p, text);
	}
	turn(h);
	assert_int_equal(fake_plan_service_waiting(h->service), SOCKETMAP_ASKED_MOST);
	for (int i = 0; i < 150; i++) {
		snprintf(text, sizeof(text), "d%d.example", i);
		answer(h, text);
	}
	assert_int_equal(count_answers(p), 150);
}

static void all_clients_together_have_two_thousand(void **state)
{
	struct house *h = *state;
	struct peer *peers[25];
	char text[64];
	size_t total = 0;
	for (int i = 0; i < 25; i++) {
		peers[i] = connect_peer(h);
		for (int j = 0; j < 120; j++) {
			snprintf(text, sizeof(text), "postfix d%d-%d.example", i, j);
			put(peers[i], text);
		}
	}
	turn(h);
	assert_int_equal(fake_plan_service_waiting(h->service), SOCKETMAP_IN_FLIGHT_MOST);
	for (int j = 0; j < 120; j++) {
		for (int i = 0; i < 25; i++) {
			snprintf(text, sizeof(text), "d%d-%d.example", i, j);
			answer(h, text);
			assert_true(fake_plan_service_waiting(h->service) <= SOCKETMAP_IN_FLIGHT_MOST);
		}
	}
	/* those who waited for a place asked later: once more for all */
	for (int i = 0; i < 25; i++)
		for (int j = 0; j < 120; j++) {
			snprintf(text, sizeof(text), "d%d-%d.example", i, j);
			answer(h, text);
		}
	for (int i = 0; i < 25; i++)
		total += count_answers(peers[i]);
	assert_int_equal(total, 25 * 120);
}

static void beyond_all_places_the_longest_idle_makes_room(void **state)
{
	struct house *h = *state;
	for (int i = 0; i < SOCKETMAP_CLIENTS_MOST; i++)
		connect_peer(h);
	keep(h, "a.example", POLICY_LEVEL_ENCRYPT);
	turn(h);
	put(&h->peers[1], "postfix slow.example");
	turn(h);
	for (int i = SOCKETMAP_CLIENTS_MOST - 1; i >= 0; i--) {
		if (i < 3 && i != 1)
			turn(h); /* 2, then 0 */
		if (i != 1)
			put(&h->peers[i], "postfix a.example");
	}
	turn(h);
	for (int i = 3; i < SOCKETMAP_CLIENTS_MOST; i++)
		put(&h->peers[i], "postfix a.example");
	turn(h);
	struct peer *p = connect_peer(h);
	put(p, "postfix a.example");
	turn(h);
	expect(p, "OK encrypt");
	assert_false(h->peers[0].is_ended); /* used just now */
	assert_false(h->peers[1].is_ended); /* waits for an answer */
	assert_true(h->peers[2].is_ended);
	assert_int_equal(socketmap_server_client_count(h->server), SOCKETMAP_CLIENTS_MOST);
	answer(h, "slow.example");
	expect(&h->peers[1], "OK may");
}

static void who_goes_takes_his_questions_with_him(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, "postfix a.example");
	put(p, "sts b.example");
	turn(h);
	assert_int_equal(fake_plan_service_waiting(h->service), 2);
	tlsio_stream_abort(&p->stream);
	turn(h);
	assert_int_equal(fake_plan_service_waiting(h->service), 0);
	assert_int_equal(socketmap_server_client_count(h->server), 0);
}

/* ---- Sendmail -------------------------------------------------------------------------------------- */

static struct policy_plan_whole *known(void *ctx, const struct policy_question *question)
{
	const struct made_whole enforced = { .rule = POLICY_LEVEL_MAY, .is_mx_failed = true,
		.sts = POLICY_STS_ENFORCE, .mx = { "mx.a.example" } };
	const struct made_whole nothing = { .rule = POLICY_LEVEL_MAY, .is_mx_failed = true };
	(void)ctx;
	return make_whole(strcmp(question->next_hop, "a.example") == 0 ? &enforced : &nothing);
}

static void C11_sendmail_gets_what_is_known_before_it_gives_up(void **state)
{
	struct house *h = *state;
	struct peer *sendmail = connect_peer(h), *postfix = connect_peer(h);
	fake_plan_service_know(h->service, known, NULL);
	put(sendmail, "sts a.example");
	put(sendmail, "sts b.example");
	put(postfix, "postfix a.example");
	fake_loop_advance(h->loop, SOCKETMAP_SENDMAIL_MS - 1);
	assert_int_equal(sendmail->got.length, 0);
	fake_loop_advance(h->loop, 1);
	expect(sendmail, "OK secure match=mx.a.example servername=hostname");
	expect(sendmail, NO);
	fake_loop_advance(h->loop, 40000);
	assert_int_equal(postfix->got.length, 0);
	assert_int_equal(fake_plan_service_waiting(h->service), 1);
	answer(h, "a.example");
	expect(postfix, "OK may");
}

/* ---- reload ------------------------------------------------------------------------------------------- */

static void after_a_reload_the_new_service_is_asked(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	struct plan_service *old = h->service;
	put(p, "postfix a.example");
	turn(h);
	h->service = fake_plan_service_new(h->loop);
	socketmap_server_set_service(h->server, h->service);
	put(p, "postfix b.example");
	turn(h);
	assert_int_equal(fake_plan_service_waiting(old), 1);
	answer(h, "b.example");
	struct policy_plan *plan = plan_of("a.example", POLICY_LEVEL_ENCRYPT);
	fake_plan_service_answer(old, plan);
	policy_plan_unref(&plan);
	turn(h);
	expect(p, "OK encrypt");
	expect(p, "OK may");
	plan_service_free(&old);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(C1_a_request_is_answered_and_the_connection_stays),
		TEST(pipelined_answers_come_in_order_whatever_is_known_first),
		TEST(a_whole_buffer_is_answered_by_one_write),
		TEST(C4_parents_are_not_found_without_a_question),
		TEST(requests_may_come_byte_by_byte),
		TEST(garbage_ends_that_client_only),
		TEST(garbage_is_refused_behind_what_was_asked_before),
		TEST(C2_the_longest_request_is_answered),
		TEST(a_request_that_stops_in_the_middle_ends_in_half_a_minute),
		TEST(C2_idle_connections_are_kept_for_an_hour),
		TEST(who_does_not_read_is_dropped_and_costs_little),
		TEST(who_reads_late_gets_everything),
		TEST(one_client_has_a_hundred_questions_in_flight),
		TEST(all_clients_together_have_two_thousand),
		TEST(beyond_all_places_the_longest_idle_makes_room),
		TEST(who_goes_takes_his_questions_with_him),
		TEST(C11_sendmail_gets_what_is_known_before_it_gives_up),
		TEST(after_a_reload_the_new_service_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
