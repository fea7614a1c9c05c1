/* Clients of the policy service, over memory, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_stream.h"
#include "smtpd/delegation/delegation_log.h"
#include "smtpd/delegation/delegation_request.h"
#include "smtpd/delegation/delegation_server.h"
#include "tests/fakes/fake_loop.h"
#include "tests/smtpd/delegation/make_request.h"

enum { PIPE_BYTES = 64 * 1024, PEERS_MOST = DELEGATION_CLIENTS_MOST + 1 };

#define CHANGES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define GOOD CHANGES("sender=a@b.example")
#define IN_CLEAR CHANGES("sender=a@tls.example")

struct peer {
	struct tlsio_stream *stream;
	struct buf got;
	size_t reads;
	bool is_deaf, is_ended;
};

struct house {
	struct tlsio_loop *loop;
	struct policy_inbound *rules;
	struct inbound_settings settings;
	struct delegation_server *server;
	struct peer *peers;
	size_t peer_count;
	struct buf log;
};

static void keep_line(void *ctx, const char *line)
{
	struct house *h = ctx;
	buf_printf(&h->log, "%s\n", line);
}

static struct policy_inbound *make_rules(const char *domain)
{
	struct policy_inbound *rules = policy_inbound_new();
	const struct policy_inbound_demand tls = { .requires_tls = true },
					   watched = { .requires_tls = true,
						   .mode = POLICY_INBOUND_REPORT },
					   kept = { .requires_tls = true,
						   .mode = POLICY_INBOUND_QUARANTINE };
	policy_inbound_add_sender_domain(rules, str_of(domain), &tls, NULL);
	policy_inbound_add_sender_domain(rules, STR("watched.example"), &watched, NULL);
	policy_inbound_add_sender_domain(rules, STR("kept.example"), &kept, NULL);
	policy_inbound_add_recipient_domain(rules, STR("seen.example"), &watched, NULL);
	return rules;
}

static int set_up(void **state)
{
	struct house *h = mem_zero(sizeof(*h));
	h->loop = tlsio_loop_new(NULL);
	h->rules = make_rules("tls.example");
	h->settings.mode = POLICY_INBOUND_REJECT;
	h->server = delegation_server_new(h->loop, &h->settings, h->rules);
	h->peers = mem_zero(PEERS_MOST * sizeof(*h->peers));
	log_capture(keep_line, h);
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
	delegation_server_free(&h->server);
	tlsio_loop_free(&h->loop);
	policy_inbound_unref(&h->rules);
	log_capture(NULL, NULL);
	buf_release(&h->log);
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
	static const struct tlsio_stream_limits limits = { .input_bytes = 1 << 16,
		.output_bytes = 1 << 26 };
	static const struct tlsio_stream_events events = { .on_input = on_input, .on_end = on_end };
	struct tlsio_transport *ends[2];
	struct peer *p = &h->peers[h->peer_count++];
	tlsio_transport_memory_pair(h->loop, PIPE_BYTES, ends);
	p->stream = tlsio_stream_new(h->loop, ends[0], &limits, &events, p);
	delegation_server_accept(h->server, ends[1]);
	return p;
}

static void put_raw(struct peer *p, const char *bytes)
{
	tlsio_stream_write(p->stream, bytes, strlen(bytes));
}

/* Without a turn of the loop. */
static void put(struct peer *p, const char *const *changes)
{
	struct buf out = { 0 };
	make_request(&out, changes);
	put_raw(p, buf_text(&out));
	buf_release(&out);
}

static void turn(struct house *h)
{
	fake_loop_advance(h->loop, 0);
}

/* The next answer begins so. */
static void expect(struct peer *p, const char *wanted)
{
	char action[100];
	const char *end = strstr(buf_text(&p->got), "\n\n");
	snprintf(action, sizeof(action), "action=%s", wanted);
	if (!end || !str_starts(buf_str(&p->got), str_of(action)))
		fail_msg("wanted %s, got %s", action, buf_text(&p->got));
	buf_consume(&p->got, (size_t)(end - buf_text(&p->got)) + 2);
}

static size_t count(const char *text, const char *part)
{
	size_t found = 0;
	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		found++;
	return found;
}

static size_t count_answers(struct peer *p)
{
	size_t found = count(buf_text(&p->got), "\n\n");
	buf_clear(&p->got);
	return found;
}

static const struct delegation_counters *counters(struct house *h)
{
	return delegation_server_counters(h->server);
}

/* ---- what Postfix does ------------------------------------------------------------------------------ */

static void many_requests_on_one_connection_are_answered_in_order(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	for (int i = 0; i < 3; i++) {
		put(p, i % 2 ? IN_CLEAR : GOOD);
		turn(h);
		expect(p, i % 2 ? "530 5.7.0 Must" : "DUNNO\n\n");
	}
	put(p, GOOD);
	put(p, IN_CLEAR);
	put(p, CHANGES("sender=a@tls.example", MAKE_REQUEST_TLS));
	put(p, IN_CLEAR);
	p->reads = 0;
	turn(h);
	assert_int_equal(p->reads, 1);
	expect(p, "DUNNO\n\n");
	expect(p, "530 5.7.0 Must");
	expect(p, "DUNNO\n\n");
	expect(p, "530 5.7.0 Must");
	assert_int_equal(p->got.length, 0);
	assert_int_equal(counters(h)->requests, 7);
	assert_int_equal(counters(h)->rejected, 3);
}

static void requests_may_come_byte_by_byte(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	struct buf out = { 0 };
	make_request(&out, IN_CLEAR);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < out.length; i++) {
			assert_int_equal(p->got.length, 0);
			tlsio_stream_write(p->stream, buf_text(&out) + i, 1);
			turn(h);
		}
		expect(p, "530");
	}
	buf_release(&out);
}

static void each_objection_is_one_line_with_all_that_is_known(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, CHANGES("sender=a@tls.example", "queue_id=4ABC", "encryption_protocol=TLSv1.1",
		       "tls_sni=mx.example", "sasl_username=joe", MAKE_REQUEST_VERIFIED,
		       "recipient=x@y\xc3\xa4.example"));
	turn(h);
	expect(p, "554 5.7.0");
	const char *log = buf_text(&h->log);
	assert_int_equal(count(log, "\n"), 1);
	static const char *const parts[] = { "policy-service-objection action=reject code=554",
		" at=RCPT client=192.0.2.9 name=mx.partner.example from=a@tls.example to=",
		" id=4ABC instance=15c4.6b076035.d7745.0 user=joe tls=TLSv1.1 ", " sni=mx.example ",
		" subject=out.partner.example issuer=\"Some CA\" key=" MAKE_REQUEST_KEY,
		"reason=\"Our rule for mail from tls.example demands TLS1.2" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!strstr(log, parts[i]))
			fail_msg("%s\nis not in %s", parts[i], log);
	}
}

static void a_report_is_one_for_a_message_however_many_recipients(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	for (int message = 0; message < 2; message++) {
		const char *instance = message ? "instance=2.2" : "instance=1.1";
		for (int i = 0; i < 5; i++)
			put(p, CHANGES("sender=a@watched.example", instance));
		put(p, CHANGES("sender=a@kept.example", instance));
		put(p, CHANGES("sender=a@kept.example", instance));
		turn(h);
		expect(p, "WARN Must");
		for (int i = 0; i < 4; i++)
			expect(p, "DUNNO");
		/* what holds a message is said again: the recipient before may have been refused */
		expect(p, "HOLD Must");
		expect(p, "HOLD Must");
		assert_int_equal(p->got.length, 0);
	}
	assert_int_equal(counters(h)->reported, 2);
	assert_int_equal(counters(h)->quarantined, 2);
	assert_int_equal(count(buf_text(&h->log), "policy-service-objection"), 4);
	/* rules of recipients speak of each; and so does whatever has no instance */
	for (int i = 0; i < 2; i++)
		put(p, CHANGES("recipient=x@seen.example"));
	for (int i = 0; i < 2; i++)
		put(p, CHANGES("sender=a@watched.example", "instance=", "protocol_state=MAIL"));
	turn(h);
	for (int i = 0; i < 4; i++)
		expect(p, "WARN Must");
	assert_int_equal(counters(h)->reported, 6);
	delegation_log_counters(counters(h));
	assert_non_null(strstr(buf_text(&h->log),
		"policy-service-counters requests=18 rejected=0 tempfailed=0 quarantined=2 reported=6 "
		"exempt=0 broken=0"));
}

static void after_a_reload_the_next_request_meets_the_new_rules(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, IN_CLEAR);
	turn(h);
	expect(p, "530");
	struct policy_inbound *next = make_rules("other.example");
	struct inbound_settings settings = { .mode = POLICY_INBOUND_TEMPFAIL };
	put_raw(p, "request=smtpd_access_policy\nprotocol_state=MAIL\nsender=a@other.exa");
	turn(h);
	delegation_server_set_rules(h->server, &settings, next);
	policy_inbound_unref(&h->rules);
	h->rules = next;
	put_raw(p, "mple\n\n");
	put(p, IN_CLEAR);
	turn(h);
	expect(p, "451 4.7.0 Must");
	expect(p, "DUNNO");
	assert_false(p->is_ended);
}

static void exempt_clients_are_counted(void **state)
{
	struct house *h = *state;
	struct netaddr_net net;
	struct peer *p = connect_peer(h);
	netaddr_net_parse(STR("192.0.2.0/24"), &net, NULL);
	h->settings.exempt = &net;
	h->settings.exempt_count = 1;
	put(p, IN_CLEAR);
	turn(h);
	expect(p, "DUNNO");
	assert_int_equal(counters(h)->exempt, 1);
	assert_int_equal(h->log.length, 0);
}

/* ---- what others do ----------------------------------------------------------------------------------- */

static void garbage_ends_that_client_only_and_is_not_answered(void **state)
{
	static const char *const garbage[] = { "\n", "\n\n\n", "GET / HTTP/1.1\r\n\r\n\n\n",
		"request=smtpd_access_policy\nrequest=smtpd_access_policy\n\n",
		"request=smtpd_access_policy\nsender=\x01\n\n", "16:postfix .example,\n\n" };
	struct house *h = *state;
	struct peer *good = connect_peer(h);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		struct peer *bad = connect_peer(h);
		put(bad, GOOD);
		put_raw(bad, garbage[i]);
		put(bad, GOOD);
		turn(h);
		expect(bad, "DUNNO\n\n");
		assert_int_equal(bad->got.length, 0);
		assert_true(bad->is_ended);
		assert_int_equal(counters(h)->broken, i + 1);
	}
	assert_int_equal(count(buf_text(&h->log), "policy-service-trouble"),
		sizeof(garbage) / sizeof(garbage[0]));
	put(good, GOOD);
	turn(h);
	expect(good, "DUNNO\n\n");
	assert_int_equal(delegation_server_client_count(h->server), 1);
}

/* A request of exactly so many bytes. */
static void make_long(struct buf *out, size_t bytes)
{
	buf_append_text(out, "request=smtpd_access_policy\nx=");
	while (out->length < bytes - 2)
		buf_append_byte(out, 'x');
	buf_append_text(out, "\n\n");
}

static void the_longest_request_is_answered_a_longer_one_is_none(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	struct buf out = { 0 };
	make_long(&out, DELEGATION_REQUEST_BYTES_MOST);
	for (int i = 0; i < 5; i++)
		put_raw(p, buf_text(&out));
	turn(h);
	assert_int_equal(count_answers(p), 5);
	assert_false(p->is_ended);
	buf_clear(&out);
	make_long(&out, DELEGATION_REQUEST_BYTES_MOST + 1);
	put_raw(p, buf_text(&out));
	turn(h);
	assert_true(p->is_ended);
	assert_int_equal(p->got.length, 0);
	assert_non_null(strstr(buf_text(&h->log), "it has more than 32768 bytes"));
	buf_release(&out);
}

static void a_request_that_stops_in_the_middle_ends_in_half_a_minute(void **state)
{
	struct house *h = *state;
	struct peer *slow = connect_peer(h), *busy = connect_peer(h);
	put_raw(slow, "request=");
	for (int i = 0; i < 29; i++) {
		put_raw(slow, "x");
		/* always in the middle of a request, but it goes on */
		put_raw(busy, i ? "\nrequest=smtpd_access_policy\n\nreq=" : "req=");
		fake_loop_advance(h->loop, 1000);
	}
	assert_false(slow->is_ended);
	for (int i = 0; i < 60; i++) {
		put_raw(busy, "\nrequest=smtpd_access_policy\n\nreq=");
		fake_loop_advance(h->loop, 1000);
	}
	assert_true(slow->is_ended);
	assert_int_equal(slow->got.length, 0);
	assert_false(busy->is_ended);
	assert_int_equal(count_answers(busy), 88);
}

static void idle_connections_are_kept_longer_than_Postfix_keeps_them(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	fake_loop_advance(h->loop, 300 * 1000);
	put(p, GOOD);
	turn(h);
	expect(p, "DUNNO");
	fake_loop_advance(h->loop, DELEGATION_IDLE_MS - 1);
	assert_false(p->is_ended);
	fake_loop_advance(h->loop, 1);
	assert_true(p->is_ended);
	assert_int_equal(delegation_server_client_count(h->server), 0);
}

static void who_does_not_read_is_dropped_and_costs_little(void **state)
{
	struct house *h = *state;
	struct peer *deaf = connect_peer(h), *good = connect_peer(h);
	deaf->is_deaf = true;
	for (int i = 0; i < 20000; i++)
		put(deaf, GOOD);
	turn(h);
	assert_true(counters(h)->requests < 20000); /* it was no longer read */
	put(good, GOOD);
	turn(h);
	expect(good, "DUNNO");
	fake_loop_advance(h->loop, DELEGATION_PATIENCE_MS + 1);
	assert_int_equal(delegation_server_client_count(h->server), 1);
	assert_false(good->is_ended);
}

static void who_reads_late_gets_everything(void **state)
{
	struct house *h = *state;
	struct peer *late = connect_peer(h);
	late->is_deaf = true;
	for (int i = 0; i < 20000; i++)
		put(late, GOOD);
	fake_loop_advance(h->loop, DELEGATION_PATIENCE_MS - 1);
	late->is_deaf = false;
	on_input(late);
	turn(h);
	assert_int_equal(count_answers(late), 20000);
	assert_false(late->is_ended);
}

static void beyond_all_places_the_longest_idle_makes_room(void **state)
{
	struct house *h = *state;
	for (int i = 0; i < DELEGATION_CLIENTS_MOST; i++)
		connect_peer(h);
	turn(h);
	fake_loop_advance(h->loop, 1000);
	for (int i = 0; i < DELEGATION_CLIENTS_MOST; i++) {
		if (i != 7)
			put(&h->peers[i], GOOD);
	}
	turn(h);
	struct peer *p = connect_peer(h);
	put(p, GOOD);
	turn(h);
	expect(p, "DUNNO");
	for (int i = 0; i < DELEGATION_CLIENTS_MOST; i++)
		assert_int_equal(h->peers[i].is_ended, i == 7);
	assert_int_equal(delegation_server_client_count(h->server), DELEGATION_CLIENTS_MOST);
}

static void who_sends_no_more_gets_the_answers_first(void **state)
{
	struct house *h = *state;
	struct peer *p = connect_peer(h);
	put(p, GOOD);
	put_raw(p, "request=smtpd_acc");
	tlsio_stream_close(&p->stream);
	fake_loop_advance(h->loop, 1000);
	assert_int_equal(counters(h)->requests, 1);
	assert_int_equal(counters(h)->broken, 0);
	assert_int_equal(delegation_server_client_count(h->server), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(many_requests_on_one_connection_are_answered_in_order),
		TEST(requests_may_come_byte_by_byte),
		TEST(each_objection_is_one_line_with_all_that_is_known),
		TEST(a_report_is_one_for_a_message_however_many_recipients),
		TEST(after_a_reload_the_next_request_meets_the_new_rules),
		TEST(exempt_clients_are_counted),
		TEST(garbage_ends_that_client_only_and_is_not_answered),
		TEST(the_longest_request_is_answered_a_longer_one_is_none),
		TEST(a_request_that_stops_in_the_middle_ends_in_half_a_minute),
		TEST(idle_connections_are_kept_longer_than_Postfix_keeps_them),
		TEST(who_does_not_read_is_dropped_and_costs_little),
		TEST(who_reads_late_gets_everything),
		TEST(beyond_all_places_the_longest_idle_makes_room),
		TEST(who_sends_no_more_gets_the_answers_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
