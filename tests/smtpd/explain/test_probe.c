/* One probe of one address: what is said, what is recorded, how it is judged, and that it ends. Virtual
 * time, memory transports, real TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/explain/probe_connection.h"
#include "tests/fakes/fake_ca.h"
#include "tests/fakes/fake_loop.h"
#include "tests/smtpd/explain/probe_peer.h"

enum { LIMIT_MS = 30000 };

struct fixture {
	struct tlsio_loop *loop;
	struct fake_ca *ca, *other_ca;
	struct tlsio_trust *trust;
	struct tlsio_server *server;
	struct probe_peer peer;
	struct policy_requirement *requirement, *testing;
	struct probe_connection_setup setup;
	struct probe_connection *connection;
	struct probe_record record;
	unsigned overs;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	fake_loop_set_time_s(f->loop, time(NULL));
	f->ca = fake_ca_new("good");
	f->other_ca = fake_ca_new("other");
	f->trust = fake_ca_trust(f->ca);
	f->setup = (struct probe_connection_setup){ .loop = f->loop, .hostname = "probe.test",
		.host = "mx.test", .limit_ms = LIMIT_MS };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	probe_connection_free(&f->connection);
	probe_peer_end(&f->peer);
	for (int i = 0; i < 5; i++)
		tlsio_loop_turn(f->loop, false);
	tlsio_loop_free(&f->loop);
	tlsio_server_unref(&f->server);
	tlsio_trust_unref(&f->trust);
	policy_requirement_unref(&f->requirement);
	policy_requirement_unref(&f->testing);
	probe_record_clear(&f->record);
	fake_ca_free(&f->ca);
	fake_ca_free(&f->other_ca);
	free(f);
	return 0;
}

static void serve(struct fixture *f, struct tlsio_certstore *store, const char *priority)
{
	struct err err = { 0 };
	f->server = tlsio_server_new(&(struct tlsio_server_wishes){ .certificates = store,
		.priority = priority }, &err);
	if (!f->server)
		fail_msg("%s", err.text);
	tlsio_certstore_unref(&store);
	f->peer.tls = f->server;
}

static void serve_leaf(struct fixture *f, struct fake_ca *ca, const struct fake_leaf_wishes *wishes)
{
	struct fake_leaf leaf = fake_ca_issue_as(ca, wishes);
	serve(f, fake_leaf_certstore(&leaf), NULL);
	fake_leaf_clear(&leaf);
}

static void demand(struct fixture *f, enum policy_level level, const struct policy_tlsa *tlsa)
{
	struct policy_requirement from = { .level = level, .minimum = TLSIO_TLS12,
		.source = (char *)"test.conf:1", .tlsa = (struct policy_tlsa *)tlsa,
		.tlsa_count = tlsa != NULL };
	if (level == POLICY_LEVEL_VERIFY)
		from.trust = f->trust;
	policy_requirement_unref(&f->requirement);
	f->requirement = policy_requirement_new(&from);
	f->setup.requirement = f->requirement;
}

static void on_over(void *ctx)
{
	struct fixture *f = ctx;
	f->overs++;
	probe_connection_free(&f->connection);
}

/* From the first byte to the end. */
static enum probe_verdict probe(struct fixture *f)
{
	struct tlsio_transport *ends[2];
	tlsio_transport_memory_pair(f->loop, 65536, ends);
	f->setup.begun_ms = tlsio_loop_now_ms(f->loop);
	f->connection = probe_connection_new(&f->setup, ends[0], &f->record, on_over, f);
	probe_peer_begin(&f->peer, f->loop, ends[1]);
	assert_int_equal(f->overs, 0);
	for (int i = 0; i < 1000 && !f->overs; i++)
		tlsio_loop_turn(f->loop, true);
	assert_int_equal(f->overs, 1);
	assert_true(f->record.took_ms <= LIMIT_MS);
	return probe_record_verdict(&f->record, f->setup.requirement != NULL);
}

static const char *commands(struct fixture *f)
{
	return buf_text(&f->peer.commands);
}

static void wanted(const char *all, const char *words)
{
	if (!strstr(all, words))
		fail_msg("no \"%s\" in \"%s\"", words, all);
}

/* "> EHLO probe.test\n< 220 go\n> ClientHello\n..." */
static struct buf steps(const struct fixture *f)
{
	struct buf all = { 0 };
	for (size_t i = 0; i < f->record.event_count; i++)
		buf_printf(&all, "%c %s\n", f->record.events[i].is_incoming ? '<' : '>',
			f->record.events[i].text);
	return all;
}

/* ---- the dialogue ---------------------------------------------------------------------------- */

static void everything_is_seen_in_order_and_no_mail_is_sent(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_string_equal(commands(f), "EHLO probe.test\nSTARTTLS\n<tls>\nEHLO probe.test\nQUIT\n");
	struct buf all = steps(f);
	const char *const order[] = { "< 220 mx.test ESMTP\n> EHLO probe.test\n< 250 mx.test greets\n"
		"< 250 PIPELINING\n< 250 STARTTLS\n> STARTTLS\n< 220 go\n> ClientHello\n< ServerHello\n",
		"< Certificate\n", "< CertificateVerify\n", "< Finished\n", "> Finished\n",
		"> EHLO probe.test\n< 250 mx.test\n< 250 SIZE 1000\n> QUIT\n< 221 bye\n" };
	const char *at = buf_text(&all);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		at = strstr(at, order[i]);
		if (!at)
			fail_msg("no, or too early: %s in %s", order[i], buf_text(&all));
	}
	buf_release(&all);
	assert_true(f->record.events[7].size_bytes > 100);
	assert_int_equal(f->record.events[7].type, 1);
	assert_true(f->record.judgement.is_verified);
	const struct probe_tls *tls = f->record.tls;
	assert_int_equal(tls->version, TLSIO_TLS13);
	assert_string_equal(tls->key_exchange, "ECDHE");
	assert_string_equal(tls->server_name, "mx.test");
	assert_string_equal(tls->matched_name, "mx.test");
	assert_int_equal(tls->chain_faults, 0);
	assert_int_equal(tls->chain_count, 1);
	assert_string_equal(tls->chain[0].words.subject, "CN=mx.test");
	assert_string_equal(tls->chain[0].words.issuer, "CN=good");
	assert_true(tls->chain[0].words.not_before_s < time(NULL));
	assert_true(tls->chain[0].words.not_after_s > time(NULL));
	assert_false(tls->chain[0].words.is_authority);
	assert_true(tls->chain[0].has_key);
}

static void a_host_that_the_plan_does_not_use_is_looked_at_but_not_judged(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->setup.roots = f->trust;
	assert_int_equal(probe(f), PROBE_NOT_JUDGED);
	assert_false(f->record.is_judged);
	assert_int_equal(f->record.tls->chain_faults, 0);
}

static void testing_is_judged_besides(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->other_ca, "mx.test"), NULL);
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	f->testing = f->requirement;
	f->requirement = NULL;
	f->setup.testing = f->testing;
	demand(f, POLICY_LEVEL_MAY, NULL);
	f->setup.roots = f->trust; /* what MTA-STS goes by */
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_true(f->record.has_testing);
	assert_int_equal(f->record.testing.verdict, POLICY_REFUSE);
	assert_int_equal(f->record.testing.reason, POLICY_REASON_CERTIFICATE_NOT_TRUSTED);
}

static void S4_what_was_said_in_clear_is_forgotten(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.ehlo_again = "250-mx.test\r\n250 STARTTLS\r\n"; /* S1: a lie; never asked for twice (S6) */
	demand(f, POLICY_LEVEL_ENCRYPT, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_string_equal(commands(f), "EHLO probe.test\nSTARTTLS\n<tls>\nEHLO probe.test\nQUIT\n");
}

static void no_starttls_is_judged_by_the_requirement(void **state)
{
	struct fixture *f = *state;
	demand(f, POLICY_LEVEL_ENCRYPT, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	assert_int_equal(f->record.judgement.reason, POLICY_REASON_STARTTLS_NOT_SUPPORTED);
	assert_string_equal(commands(f), "EHLO probe.test\nQUIT\n");
	assert_null(f->record.tls);
}

static void no_starttls_is_put_up_with_under_may(void **state)
{
	struct fixture *f = *state;
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	wanted(f->record.judgement.text, "offers no STARTTLS");
}

static void a_host_without_ehlo_has_no_starttls(void **state)
{
	struct fixture *f = *state;
	f->peer.ehlo = "500 what?\r\n";
	demand(f, POLICY_LEVEL_ENCRYPT, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	assert_int_equal(f->record.judgement.reason, POLICY_REASON_STARTTLS_NOT_SUPPORTED);
}

static void a_refused_starttls_is_judged(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.starttls = "454 4.7.0 not now\r\n";
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	wanted(f->record.judgement.text, "STARTTLS was answered \"454 4.7.0 not now\"");
	assert_string_equal(commands(f), "EHLO probe.test\nSTARTTLS\nQUIT\n");
}

static void a_refused_starttls_goes_in_clear_under_may(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.starttls = "454 4.7.0 not now\r\n";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_GOES_IN_CLEAR);
}

static void S3_plaintext_behind_220_is_never_taken_for_tls(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.starttls = "220 go\r\n250-FAKE\r\n250 STARTTLS\r\n";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	wanted(f->record.why, "plaintext follows its answer to STARTTLS");
	assert_null(f->record.tls);
	struct buf all = steps(f);
	assert_null(strstr(buf_text(&all), "FAKE"));
	assert_null(strstr(buf_text(&all), "ClientHello"));
	buf_release(&all);
}

static void S3_answers_before_questions_are_refused(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.greeting = "220 hi\r\n250 STARTTLS\r\n";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	wanted(f->record.why, "more than a greeting");
	assert_string_equal(commands(f), "");
}

static void an_unfriendly_greeting_is_told(void **state)
{
	struct fixture *f = *state;
	f->peer.greeting = "554-no\r\n554 go away\033[2J\r\n";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	assert_string_equal(f->record.why, "it greets with \"554 no\"");
	assert_int_equal(f->record.event_count, 4); /* two lines, QUIT, 221 */
}

static void what_is_no_smtp_ends_it(void **state)
{
	struct fixture *f = *state;
	f->peer.greeting = "HTTP/1.1 400 Bad Request\r\n";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	assert_true(f->record.why[0]);
	assert_string_equal(commands(f), "");
}

static void ehlo_refused_in_tls_makes_it_unusable(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.ehlo_again = "502 not you\r\n";
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	wanted(f->record.why, "it answers EHLO with \"502 not you\"");
	assert_non_null(f->record.tls);
}

static void hanging_up_is_told_with_its_place(void **state)
{
	struct fixture *f = *state;
	f->peer.ehlo = "!";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	assert_string_equal(f->record.why,
		"the connection was closed while we waited for the answer to EHLO");
}

static void hanging_up_at_quit_breaks_nothing(void **state)
{
	struct fixture *f = *state;
	f->peer.quit = "!";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_string_equal(f->record.why, "");
}

static void implicit_tls_speaks_no_word_in_clear(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.is_tls_first = f->setup.is_tls_first = true;
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_string_equal(commands(f), "<tls>\nEHLO probe.test\nQUIT\n");
}

/* ---- certificates ----------------------------------------------------------------------------- */

static void wrong_certificates_are_refused_with_their_reason(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "elsewhere.test"), NULL);
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	assert_int_equal(f->record.judgement.reason, POLICY_REASON_CERTIFICATE_HOST_MISMATCH);
	assert_string_equal(f->record.tls->names, "elsewhere.test");
	assert_null(f->record.tls->matched_name);
	/* a look around is still taken */
	wanted(commands(f), "<tls>\nEHLO probe.test\nQUIT\n");
}

static void an_expired_certificate_is_refused(void **state)
{
	struct fixture *f = *state;
	serve_leaf(f, f->ca, &(struct fake_leaf_wishes){ .names = { "mx.test" },
		.not_before_s = -86400 * 30, .not_after_s = -86400 });
	demand(f, POLICY_LEVEL_VERIFY, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	assert_int_equal(f->record.judgement.reason, POLICY_REASON_CERTIFICATE_EXPIRED);
	assert_true(f->record.tls->chain_faults & TLSIO_CHAIN_EXPIRED);
}

static void a_failed_handshake_is_judged(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), "-VERS-TLS1.3");
	f->requirement = policy_requirement_new(&(struct policy_requirement){
		.level = POLICY_LEVEL_ENCRYPT, .minimum = TLSIO_TLS13, .source = (char *)"t:1" });
	f->setup.requirement = f->requirement;
	assert_int_equal(probe(f), PROBE_REFUSED);
	wanted(f->record.judgement.text, "TLS with mx.test failed");
	assert_null(f->record.tls);
	struct buf all = steps(f);
	wanted(buf_text(&all), "> ClientHello\n");
	buf_release(&all);
}

static void old_tls_tells_its_key_exchange(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), "-VERS-TLS1.3");
	demand(f, POLICY_LEVEL_ENCRYPT, NULL);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_int_equal(f->record.tls->version, TLSIO_TLS12);
	assert_string_equal(f->record.tls->key_exchange, "ECDHE");
}

/* ---- DANE ------------------------------------------------------------------------------------ */

static void D11_a_key_that_a_tlsa_record_names_passes(void **state)
{
	struct fixture *f = *state;
	struct fake_leaf leaf = fake_ca_issue(f->other_ca, "any.test", NULL);
	serve(f, fake_leaf_certstore(&leaf), NULL);
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_PASSES); /* to learn its key, as an operator does */
	struct policy_tlsa tlsa = { .usage = POLICY_TLSA_EE, .selector = POLICY_TLSA_KEY,
		.matching = POLICY_TLSA_SHA256 };
	char key[32];
	memcpy(key, f->record.tls->chain[0].spki_sha256, sizeof(key));
	tlsa.data = str_from(key, sizeof(key));
	f->overs = 0;
	probe_peer_end(&f->peer);
	f->peer = (struct probe_peer){ .tls = f->server };
	probe_record_clear(&f->record);
	demand(f, POLICY_LEVEL_DANE, &tlsa);
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_true(f->record.judgement.is_verified);
	assert_true(f->record.tls->has_tlsa);
	assert_int_equal(f->record.tls->tlsa_match, POLICY_DANE_MATCH);
	fake_leaf_clear(&leaf);
}

static void D11_a_key_that_no_tlsa_record_names_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct policy_tlsa tlsa = { .usage = POLICY_TLSA_EE, .selector = POLICY_TLSA_KEY,
		.matching = POLICY_TLSA_SHA256, .data = STR("0123456789abcdef0123456789abcdef") };
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	demand(f, POLICY_LEVEL_DANE, &tlsa);
	assert_int_equal(probe(f), PROBE_REFUSED);
	assert_int_equal(f->record.tls->tlsa_match, POLICY_DANE_NO_MATCH);
}

static void D18_the_server_name_is_the_tlsa_base_domain(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->requirement = policy_requirement_new(&(struct policy_requirement){
		.level = POLICY_LEVEL_ENCRYPT, .server_name = (char *)"base.test",
		.source = (char *)"t:1" });
	f->setup.requirement = f->requirement;
	assert_int_equal(probe(f), PROBE_PASSES);
	assert_string_equal(f->record.tls->server_name, "base.test");
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void a_silent_peer_ends_with_the_time(void **state)
{
	struct fixture *f = *state;
	f->peer.greeting = "";
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	assert_string_equal(f->record.why, "the time was up while we waited for the greeting");
	assert_int_equal(f->record.took_ms, LIMIT_MS);
}

static void a_silent_handshake_ends_with_the_time_and_is_judged(void **state)
{
	struct fixture *f = *state;
	serve(f, fake_ca_certstore(f->ca, "mx.test"), NULL);
	f->peer.starttls = "220 go\r\n"; /* and then nothing */
	demand(f, POLICY_LEVEL_ENCRYPT, NULL);
	assert_int_equal(probe(f), PROBE_REFUSED);
	wanted(f->record.judgement.text, "the handshake did not finish within 30 s");
	assert_int_equal(f->record.took_ms, LIMIT_MS);
}

/* One byte a second for as long as it likes. */
static void a_trickling_peer_ends_with_the_time(void **state)
{
	struct fixture *f = *state;
	struct tlsio_transport *ends[2];
	demand(f, POLICY_LEVEL_MAY, NULL);
	tlsio_transport_memory_pair(f->loop, 65536, ends);
	f->setup.begun_ms = tlsio_loop_now_ms(f->loop);
	f->connection = probe_connection_new(&f->setup, ends[0], &f->record, on_over, f);
	f->peer.greeting = "2";
	probe_peer_begin(&f->peer, f->loop, ends[1]);
	for (int i = 0; i < 40 && !f->overs; i++) {
		fake_loop_advance(f->loop, 1000);
		if (f->peer.stream)
			tlsio_stream_write(f->peer.stream, "20", i == 0 ? 2 : 1);
	}
	assert_int_equal(f->overs, 1);
	assert_int_equal(f->record.took_ms, LIMIT_MS);
	wanted(f->record.why, "the greeting");
}

static void a_flood_of_reply_lines_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct buf flood = { 0 };
	for (int i = 0; i < 5000; i++)
		buf_append_text(&flood, "220-more\r\n");
	f->peer.greeting = buf_text(&flood);
	demand(f, POLICY_LEVEL_MAY, NULL);
	assert_int_equal(probe(f), PROBE_UNUSABLE);
	assert_true(f->record.event_count <= PROBE_EVENTS_MOST);
	buf_release(&flood);
}

static void a_record_of_too_many_events_counts_the_rest(void **state)
{
	struct fixture *f = *state;
	char longer[PROBE_LINE_BYTES + 10];
	memset(longer, 'x', sizeof(longer));
	for (int i = 0; i < PROBE_EVENTS_MOST + 3; i++)
		probe_record_add_line(&f->record, PROBE_HEARD, 0, str_from(longer, sizeof(longer)));
	assert_int_equal(f->record.event_count, PROBE_EVENTS_MOST);
	assert_int_equal(f->record.event_left_out, 3);
	assert_int_equal(strlen(f->record.events[0].text), PROBE_LINE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(everything_is_seen_in_order_and_no_mail_is_sent),
		T(a_host_that_the_plan_does_not_use_is_looked_at_but_not_judged),
		T(testing_is_judged_besides),
		T(S4_what_was_said_in_clear_is_forgotten),
		T(no_starttls_is_judged_by_the_requirement),
		T(no_starttls_is_put_up_with_under_may),
		T(a_host_without_ehlo_has_no_starttls),
		T(a_refused_starttls_is_judged),
		T(a_refused_starttls_goes_in_clear_under_may),
		T(S3_plaintext_behind_220_is_never_taken_for_tls),
		T(S3_answers_before_questions_are_refused),
		T(an_unfriendly_greeting_is_told),
		T(what_is_no_smtp_ends_it),
		T(ehlo_refused_in_tls_makes_it_unusable),
		T(hanging_up_is_told_with_its_place),
		T(hanging_up_at_quit_breaks_nothing),
		T(implicit_tls_speaks_no_word_in_clear),
		T(wrong_certificates_are_refused_with_their_reason),
		T(an_expired_certificate_is_refused),
		T(a_failed_handshake_is_judged),
		T(old_tls_tells_its_key_exchange),
		T(D11_a_key_that_a_tlsa_record_names_passes),
		T(D11_a_key_that_no_tlsa_record_names_is_refused),
		T(D18_the_server_name_is_the_tlsa_base_domain),
		T(a_silent_peer_ends_with_the_time),
		T(a_silent_handshake_ends_with_the_time_and_is_judged),
		T(a_trickling_peer_ends_with_the_time),
		T(a_flood_of_reply_lines_is_bounded),
		T(a_record_of_too_many_events_counts_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
