/* Relay and TLS: what each level of a requirement does when the next hop keeps it or not, and that
 * no byte of mail goes where it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_ca.h"
#include "tests/smtpd/relay/relay_fixture.h"

#define SMALL "Subject: hi\r\n\r\nhello\r\n"

struct tls_fixture {
	struct relay_fixture *f;
	struct fake_ca *ca, *other_ca;
	struct tlsio_trust *trust;
	struct tlsio_tickets *tickets;
	struct tlsio_server *good, *wrong_name, *wrong_ca, *only_12;
	char *names[1];
	char words[80]; /* by name, so that there is something to verify */
};

static struct tlsio_server *server(struct tls_fixture *t, struct fake_ca *ca, const char *name,
	const char *priority)
{
	struct tlsio_certstore *store = fake_ca_certstore(ca, name);
	struct tlsio_server_wishes wishes = { .certificates = store, .priority = priority,
		.tickets = t->tickets, .client_trust = t->trust };
	struct err err = { 0 };
	struct tlsio_server *made = tlsio_server_new(&wishes, &err);
	if (!made)
		fail_msg("%s", err.text);
	tlsio_certstore_unref(&store);
	return made;
}

static int set_up(void **state)
{
	struct tls_fixture *t = mem_zero(sizeof(*t));
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
	t->f = relay_fixture_new();
	t->ca = fake_ca_new("good");
	t->other_ca = fake_ca_new("other");
	t->trust = fake_ca_trust(t->ca);
	tlsio_tickets_make_secret(secret);
	t->tickets = tlsio_tickets_new(secret, 3600);
	t->good = server(t, t->ca, "localhost", NULL);
	t->wrong_name = server(t, t->ca, "elsewhere.test", NULL);
	t->wrong_ca = server(t, t->other_ca, "localhost", NULL);
	t->only_12 = server(t, t->ca, "localhost", "-VERS-TLS1.3");
	t->f->demand.trust = t->trust;
	t->f->demand.minimum = TLSIO_TLS12;
	snprintf(t->words, sizeof(t->words), "smtp localhost:%u", t->f->hop.address.port);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct tls_fixture *t = *state;
	relay_fixture_free(&t->f);
	tlsio_server_unref(&t->good);
	tlsio_server_unref(&t->wrong_name);
	tlsio_server_unref(&t->wrong_ca);
	tlsio_server_unref(&t->only_12);
	tlsio_tickets_unref(&t->tickets);
	tlsio_trust_unref(&t->trust);
	fake_ca_free(&t->ca);
	fake_ca_free(&t->other_ca);
	free(t);
	return 0;
}

static void relay_one(struct tls_fixture *t, const char *level)
{
	uint64_t id = relay_fixture_message(t->f, "a@x.test", SMALL, "one@y.test", NULL);
	relay_fixture_send_by(t->f, id, t->words, level);
}

static const char *commands(struct tls_fixture *t)
{
	return fake_hop_commands(&t->f->hop);
}

static const char *log_text_of(struct tls_fixture *t)
{
	return buf_text(&t->f->log);
}

static void wanted_in_log(struct tls_fixture *t, const char *words)
{
	if (!strstr(log_text_of(t), words))
		fprintf(stderr, "%s", log_text_of(t));
	assert_non_null(strstr(log_text_of(t), words));
}

static void deferred_without_mail(struct tls_fixture *t, const char *enhanced)
{
	struct relay_fixture *f = t->f;
	for (int i = 0; f->hop.open > 0 && i < 1000; i++)
		tlsio_loop_turn(f->loop, false); /* the goodbye is on its way */
	assert_int_equal(f->outcomes[0].kind, RELAY_DEFERRED);
	assert_string_equal(f->outcomes[0].enhanced, enhanced);
	assert_true(f->destination_failed);
	assert_false(f->outcomes[0].is_smtp_reply);
	assert_null(strstr(commands(t), "MAIL"));
	assert_null(strstr(commands(t), "RCPT"));
	assert_int_equal(f->hop.messages, 0);
}

static void verified_mail_is_delivered_and_the_log_says_how(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	t->f->demand.minimum = TLSIO_TLS13;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_string_equal(commands(t), "EHLO relay.test\nSTARTTLS\n<tls>\nEHLO relay.test\n"
		"MAIL FROM:<a@x.test>\nRCPT TO:<one@y.test>\nDATA\n");
	wanted_in_log(t, "outcome=delivered");
	wanted_in_log(t, "tls=TLS1.3");
	wanted_in_log(t, "suite=TLS_AES_");
	wanted_in_log(t, "verified=yes");
	wanted_in_log(t, "level=verify");
	wanted_in_log(t, "rule=test.conf:1");
}

static void names_of_the_rule_count_instead_of_the_host(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->wrong_name;
	t->names[0] = (char *)".test"; /* borrowed by policy_requirement_new, which copies */
	t->f->demand.names = t->names;
	t->f->demand.name_count = 1;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
}

/* An address has no name to ask for, and a host with many certificates shows another then. */
static void a_hop_by_address_is_asked_for_the_first_host_name_of_the_rule(void **state)
{
	struct tls_fixture *t = *state;
	char *names[] = { (char *)".test", (char *)"192.0.2.1", (char *)"elsewhere.test",
		(char *)"other.test" };
	t->f->hop.tls = t->wrong_name;
	snprintf(t->words, sizeof(t->words), "smtp [127.0.0.1]:%u", t->f->hop.address.port);
	t->f->demand.names = names;
	t->f->demand.name_count = 2;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_string_equal(t->f->hop.server_name, "");
	t->f->demand.name_count = 4;
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_string_equal(t->f->hop.server_name, "elsewhere.test");
	snprintf(t->words, sizeof(t->words), "smtp localhost:%u", t->f->hop.address.port);
	relay_one(t, "verify");
	assert_string_equal(t->f->hop.server_name, "localhost");
}

static void a_wrong_certificate_gets_no_mail_where_verify_is_demanded(void **state)
{
	struct tls_fixture *t = *state;
	struct tlsio_server *const wrong[] = { t->wrong_name, t->wrong_ca };
	for (size_t i = 0; i < 2; i++) {
		t->f->hop.tls = wrong[i];
		relay_one(t, "verify");
		deferred_without_mail(t, "4.7.5");
		assert_non_null(strstr(t->f->outcomes[0].text, "localhost"));
		assert_non_null(strstr(t->f->outcomes[0].text, "test.conf:1"));
		assert_non_null(strstr(commands(t), "<tls>\nQUIT\n"));
	}
	wanted_in_log(t, "policy-refused");
	wanted_in_log(t, "verdict=certificate-host-mismatch");
	wanted_in_log(t, "verdict=certificate-not-trusted");
}

static void a_wrong_certificate_is_good_enough_for_encrypt_and_may(void **state)
{
	static const char *const levels[] = { "encrypt", "may" };
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->wrong_ca;
	for (size_t i = 0; i < 2; i++) {
		relay_one(t, levels[i]);
		assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	}
	wanted_in_log(t, "verified=no");
	assert_null(strstr(log_text_of(t), "verified=yes"));
	assert_int_equal(t->f->hop.connections, 2); /* two levels never share a connection */
}

static void no_starttls_gets_no_mail_where_tls_is_demanded(void **state)
{
	static const char *const levels[] = { "encrypt", "verify" };
	struct tls_fixture *t = *state;
	for (size_t i = 0; i < 2; i++) {
		relay_one(t, levels[i]);
		deferred_without_mail(t, "4.7.4");
	}
	wanted_in_log(t, "verdict=starttls-not-supported");
}

static void no_starttls_is_put_up_with_under_may(void **state)
{
	struct tls_fixture *t = *state;
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->f->hop.connections, 1);
	wanted_in_log(t, "tls=none");
}

static void none_never_asks_for_tls(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	relay_one(t, "none");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_null(strstr(commands(t), "STARTTLS"));
}

static void a_refused_starttls_is_a_missing_one(void **state)
{
	static const char *const levels[] = { "encrypt", "verify", "may" };
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	fake_hop_add(&t->f->hop, "STARTTLS", "454 4.7.0 not now\r\n", FAKE_HOP_SAY);
	for (size_t i = 0; i < 2; i++) {
		relay_one(t, levels[i]);
		deferred_without_mail(t, "4.7.5");
		assert_non_null(strstr(t->f->outcomes[0].text, "454 4.7.0 not now"));
	}
	relay_one(t, levels[2]);
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	wanted_in_log(t, "tls-failed");
}

static void too_old_a_version_gets_no_mail_where_tls_is_demanded(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->only_12;
	t->f->demand.minimum = TLSIO_TLS13;
	relay_one(t, "encrypt");
	deferred_without_mail(t, "4.7.5");
	t->f->demand.minimum = TLSIO_TLS12;
	relay_one(t, "encrypt");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	wanted_in_log(t, "tls=TLS1.2");
}

static void a_failed_handshake_under_may_goes_on_in_clear_once(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->only_12;
	t->f->demand.minimum = TLSIO_TLS13;
	relay_one(t, "may");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->f->hop.connections, 2);
	assert_null(strstr(commands(t), "<tls>\nEHLO"));
	wanted_in_log(t, "tls-failed");
	wanted_in_log(t, "tls=none");
	/* the next message uses that connection, the log goes on to tell */
	relay_one(t, "may");
	assert_int_equal(t->f->hop.connections, 2);
}

static void a_handshake_that_is_cut_off_gets_no_mail_where_tls_is_demanded(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	fake_hop_add(&t->f->hop, "STARTTLS", "220 go\r\n", FAKE_HOP_HANG_UP);
	relay_one(t, "verify");
	deferred_without_mail(t, "4.7.5");
}

static void plaintext_behind_starttls_is_never_taken_for_tls(void **state)
{
	static const char *const levels[] = { "may", "encrypt", "verify" };
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	fake_hop_add(&t->f->hop, "STARTTLS", "220 go\r\n250-FAKE\r\n250 PIPELINING\r\n",
		FAKE_HOP_SAY);
	for (size_t i = 0; i < 3; i++) {
		relay_one(t, levels[i]);
		deferred_without_mail(t, "4.5.0");
		assert_non_null(strstr(t->f->outcomes[0].text, "plaintext"));
	}
}

static void plaintext_behind_ehlo_is_never_taken_for_an_answer(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	fake_hop_add(&t->f->hop, "EHLO", "250-hop\r\n250 STARTTLS\r\n220 go\r\n", FAKE_HOP_SAY);
	relay_one(t, "may");
	deferred_without_mail(t, "4.5.0");
}

static void what_was_said_in_clear_is_forgotten(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	/* in clear it claims a tiny SIZE and DSN, in TLS neither */
	fake_hop_add_once(&t->f->hop, "EHLO", "250-hop\r\n250-SIZE 3\r\n250-DSN\r\n250 STARTTLS\r\n",
		FAKE_HOP_SAY);
	t->f->envid = "E1";
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_null(strstr(commands(t), "ENVID"));
	assert_null(strstr(commands(t), "SIZE="));
}

static void sessions_are_resumed_and_judged_again(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	t->f->settings.messages_per_connection = 1;
	for (int i = 0; i < 3; i++) {
		relay_one(t, "verify");
		assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	}
	assert_int_equal(t->f->hop.connections, 3);
	assert_true(t->f->hop.resumed >= 1);
	wanted_in_log(t, "resumed=yes verified=yes");
	/* another rule for the same host begins from nothing */
	t->f->hop.resumed = 0;
	relay_one(t, "encrypt");
	assert_int_equal(t->f->hop.resumed, 0);
}

static void resumption_can_be_switched_off(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	t->f->settings.messages_per_connection = 1;
	t->f->settings.resume_tls = false;
	for (int i = 0; i < 3; i++)
		relay_one(t, "verify");
	assert_int_equal(t->f->hop.resumed, 0);
}

static void implicit_tls_speaks_no_word_in_clear(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	t->f->hop.is_tls_first = true;
	snprintf(t->words, sizeof(t->words), "smtps localhost:%u", t->f->hop.address.port);
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_string_equal(commands(t), "<tls>\nEHLO relay.test\nMAIL FROM:<a@x.test>\n"
		"RCPT TO:<one@y.test>\nDATA\n");
}

static void implicit_tls_is_judged_before_anything_is_said(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->wrong_ca;
	t->f->hop.is_tls_first = true;
	snprintf(t->words, sizeof(t->words), "smtps localhost:%u", t->f->hop.address.port);
	relay_one(t, "verify");
	deferred_without_mail(t, "4.7.5");
	assert_null(strstr(commands(t), "EHLO"));
}

static void implicit_tls_has_no_clear_way_out(void **state)
{
	struct tls_fixture *t = *state;
	snprintf(t->words, sizeof(t->words), "smtps localhost:%u", t->f->hop.address.port);
	relay_one(t, "may"); /* the hop greets in clear */
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(t->f->hop.messages, 0);
	assert_null(strstr(commands(t), "EHLO"));
	assert_int_equal(t->f->hop.connections, 1);
}

static void a_silent_handshake_has_a_time_limit(void **state)
{
	struct tls_fixture *t = *state;
	t->f->hop.tls = t->good;
	t->f->settings.tls_ms = 50;
	fake_hop_add(&t->f->hop, "STARTTLS", "220 go\r\n", FAKE_HOP_SAY);
	relay_one(t, "encrypt");
	deferred_without_mail(t, "4.7.5");
}

static void our_certificate_is_shown(void **state)
{
	struct tls_fixture *t = *state;
	struct tlsio_certstore *ours = fake_ca_certstore(t->ca, "relay.test");
	t->f->hop.tls = t->good;
	relay_set_settings(t->f->relay, &t->f->settings, ours);
	relay_one(t, "verify");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DELIVERED);
	assert_int_equal(t->f->hop.client_certificates, 1);
	tlsio_certstore_unref(&ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(verified_mail_is_delivered_and_the_log_says_how),
		T(names_of_the_rule_count_instead_of_the_host),
		T(a_hop_by_address_is_asked_for_the_first_host_name_of_the_rule),
		T(a_wrong_certificate_gets_no_mail_where_verify_is_demanded),
		T(a_wrong_certificate_is_good_enough_for_encrypt_and_may),
		T(no_starttls_gets_no_mail_where_tls_is_demanded),
		T(no_starttls_is_put_up_with_under_may),
		T(none_never_asks_for_tls),
		T(a_refused_starttls_is_a_missing_one),
		T(too_old_a_version_gets_no_mail_where_tls_is_demanded),
		T(a_failed_handshake_under_may_goes_on_in_clear_once),
		T(a_handshake_that_is_cut_off_gets_no_mail_where_tls_is_demanded),
		T(plaintext_behind_starttls_is_never_taken_for_tls),
		T(plaintext_behind_ehlo_is_never_taken_for_an_answer),
		T(what_was_said_in_clear_is_forgotten),
		T(sessions_are_resumed_and_judged_again),
		T(resumption_can_be_switched_off),
		T(implicit_tls_speaks_no_word_in_clear),
		T(implicit_tls_is_judged_before_anything_is_said),
		T(implicit_tls_has_no_clear_way_out),
		T(a_silent_handshake_has_a_time_limit),
		T(our_certificate_is_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
