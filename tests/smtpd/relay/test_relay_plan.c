/* Relay obeys plans: several hosts, each with a demand of its own, on loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_resume.h"
#include "tests/fakes/fake_ca.h"
#include "tests/smtpd/relay/relay_fixture.h"

enum { HOPS = 3 };

struct plan_fixture {
	struct relay_fixture *f;
	struct fake_hop hops[HOPS]; /* mx1.test, mx2.test, mx3.test, in clear */
	struct fake_ca *ca, *other_ca;
	struct tlsio_trust *trust;
	struct tlsio_server *servers[HOPS]; /* with a certificate of ca for that name */
	struct tlsio_server *untrusted;	    /* mx1.test, of other_ca */
	struct policy_requirement *may, *encrypt, *verify;
	struct policy_requirement *kept[8]; /* of the test, freed with it */
	size_t kept_count;
};

static const char *const names[HOPS] = { "mx1.test", "mx2.test", "mx3.test" };

static struct tlsio_server *server(struct fake_ca *ca, const char *name)
{
	struct tlsio_certstore *store = fake_ca_certstore(ca, name);
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES] = { 1 };
	struct tlsio_tickets *tickets = tlsio_tickets_new(secret, 3600);
	struct tlsio_server_wishes wishes = { .certificates = store, .tickets = tickets };
	struct tlsio_server *made = tlsio_server_new(&wishes, NULL);
	assert_non_null(made);
	tlsio_certstore_unref(&store);
	tlsio_tickets_unref(&tickets);
	return made;
}

static struct policy_requirement *keep(struct plan_fixture *t, struct policy_requirement from)
{
	assert_true(t->kept_count < 8);
	return t->kept[t->kept_count++] = policy_requirement_new(&from);
}

static int set_up(void **state)
{
	struct plan_fixture *t = mem_zero(sizeof(*t));
	t->f = relay_fixture_new();
	t->ca = fake_ca_new("ca");
	t->other_ca = fake_ca_new("other");
	t->trust = fake_ca_trust(t->ca);
	for (size_t i = 0; i < HOPS; i++) {
		fake_hop_open(&t->hops[i], t->f->loop, NULL);
		t->servers[i] = server(t->ca, names[i]);
	}
	t->untrusted = server(t->other_ca, names[0]);
	t->may = keep(t, (struct policy_requirement){ .level = POLICY_LEVEL_MAY,
		.source = (char *)"rule:1" });
	t->encrypt = keep(t, (struct policy_requirement){ .level = POLICY_LEVEL_ENCRYPT,
		.source = (char *)"rule:2" });
	t->verify = keep(t, (struct policy_requirement){ .level = POLICY_LEVEL_VERIFY,
		.trust = t->trust, .origin = POLICY_ORIGIN_STS, .source = (char *)"the MTA-STS policy of y.test" });
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct plan_fixture *t = *state;
	relay_free(&t->f->relay);
	for (size_t i = 0; i < HOPS; i++) {
		fake_hop_close(&t->hops[i]);
		tlsio_server_unref(&t->servers[i]);
	}
	relay_fixture_free(&t->f);
	tlsio_server_unref(&t->untrusted);
	for (size_t i = 0; i < t->kept_count; i++)
		policy_requirement_unref(&t->kept[i]);
	tlsio_trust_unref(&t->trust);
	fake_ca_free(&t->ca);
	fake_ca_free(&t->other_ca);
	free(t);
	return 0;
}

static struct policy_plan *plan_for(struct plan_fixture *t, const char *domain)
{
	return fake_planner_plan(&t->f->planner, domain, t->f->rule_fingerprint);
}

/* Host number i of the fixture, under its name; borrowed until the next call. */
static struct policy_plan_host *add(struct plan_fixture *t, struct policy_plan *plan, size_t i,
	unsigned preference, struct policy_requirement *r)
{
	return fake_planner_host(plan, names[i], preference, &t->hops[i].address, r);
}

static void send_by(struct plan_fixture *t, const char *domain, const char *words)
{
	char to[100];
	t->f->domain = domain;
	snprintf(to, sizeof(to), "one@%s", domain);
	uint64_t id = relay_fixture_message(t->f, "a@x.test", "Subject: x\r\n\r\nx\r\n", to, NULL);
	relay_fixture_send_by(t->f, id, words, "may");
}

static void send_to(struct plan_fixture *t, const char *domain)
{
	send_by(t, domain, "mx");
}

static void delivered(struct plan_fixture *t)
{
	if (t->f->outcomes[0].kind != RELAY_DELIVERED)
		fail_msg("%s\n%s", t->f->outcomes[0].text, buf_text(&t->f->log));
}

static void deferred(struct plan_fixture *t, const char *enhanced)
{
	const struct relay_outcome *o = &t->f->outcomes[0];
	assert_int_equal(o->kind, RELAY_DEFERRED);
	if (strcmp(o->enhanced, enhanced) != 0)
		fail_msg("%s %s", o->enhanced, o->text);
	/* where we were not ready nothing is known of the destination */
	assert_true(t->f->destination_failed != t->f->was_unready);
	for (size_t i = 0; i < HOPS; i++) {
		assert_int_equal(t->hops[i].messages, 0);
		assert_null(strstr(fake_hop_commands(&t->hops[i]), "MAIL"));
	}
}

static void wanted_in(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void wanted_in_log(struct plan_fixture *t, const char *words)
{
	wanted_in(buf_text(&t->f->log), words);
}

/* ---- whom we ask, where it goes ------------------------------------------------------------------ */

static void mail_goes_to_the_best_host_of_the_plan(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	add(t, plan, 1, 20, t->may);
	add(t, plan, 0, 10, t->may);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].messages, 1);
	assert_int_equal(t->hops[1].connections, 0);
	assert_string_equal(buf_text(&t->f->planner.questions), "y.test y.test\n");
	assert_int_equal(t->f->planner.kind, POLICY_BY_MX);
	assert_int_equal(t->f->planner.port, 25);
	wanted_in_log(t, "domain=y.test host=mx1.test");
	wanted_in_log(t, "level=may policy=rule rule=rule:1");
}

static void M5_a_smart_hosts_plan_is_asked_with_the_recipients_rule(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "smart.test"), 0, 10, t->may);
	send_by(t, "y.test", "mx smart.test");
	delivered(t);
	assert_string_equal(buf_text(&t->f->planner.questions), "y.test smart.test\n");
}

static void a_static_host_under_dane_is_asked_about_by_name(void **state)
{
	struct plan_fixture *t = *state;
	t->f->domain = "y.test";
	add(t, plan_for(t, "mx1.test"), 0, 0, t->may);
	uint64_t id = relay_fixture_message(t->f, "", "x\r\n", "one@y.test", NULL);
	relay_fixture_send_by(t->f, id, "smtp mx1.test:2525", "dane");
	delivered(t);
	assert_int_equal(t->f->planner.kind, POLICY_BY_HOST);
	assert_int_equal(t->f->planner.port, 2525);
}

static void D10_a_dead_host_leads_to_the_next_by_preference(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	struct netaddr gone = t->hops[0].address;
	fake_hop_close(&t->hops[0]);
	fake_planner_host(plan, names[0], 10, &gone, t->may);
	add(t, plan, 2, 30, t->may);
	add(t, plan, 1, 20, t->may);
	send_to(t, "y.test");
	fake_hop_open(&t->hops[0], t->f->loop, NULL);
	delivered(t);
	assert_int_equal(t->hops[1].messages, 1);
	assert_int_equal(t->hops[2].connections, 0);
	wanted_in_log(t, "host=mx2.test");
}

static void one_host_of_several_addresses_is_tried_at_each(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, t->may);
	fake_planner_add_address(host, &t->hops[1].address);
	fake_hop_add(&t->hops[0], "GREETING", "554 no\r\n", FAKE_HOP_SAY);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[1].messages, 1);
}

/* ---- refusals ------------------------------------------------------------------------------------ */

static void M16_S13_a_host_that_fails_its_policy_leads_to_the_next(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	struct policy_plan_host *host = add(t, plan, 0, 10, t->verify);
	fake_planner_add_address(host, &t->hops[2].address); /* refused: not tried at another */
	host->is_domain_proven = true;
	add(t, plan, 1, 20, t->verify)->is_domain_proven = true;
	t->hops[0].tls = t->untrusted;
	t->hops[1].tls = t->servers[1];
	send_to(t, "y.test");
	delivered(t);
	assert_null(strstr(fake_hop_commands(&t->hops[0]), "MAIL"));
	assert_int_equal(t->hops[1].messages, 1);
	assert_int_equal(t->hops[2].connections, 0);
	assert_string_equal(t->hops[1].server_name, "mx2.test"); /* M15: SNI is the MX host */
	wanted_in_log(t, "policy-refused");
	wanted_in_log(t, "verdict=certificate-not-trusted");
	wanted_in_log(t, "verified=domain level=verify policy=sts");
}

static void M15_a_certificate_for_the_domain_is_not_one_for_the_host(void **state)
{
	struct plan_fixture *t = *state;
	struct tlsio_server *domain = server(t->ca, "y.test");
	add(t, plan_for(t, "y.test"), 0, 10, t->verify);
	t->hops[0].tls = domain;
	send_to(t, "y.test");
	deferred(t, "4.7.5");
	wanted_in_log(t, "verdict=certificate-host-mismatch");
	tlsio_server_unref(&domain);
}

static void M16_no_host_fit_is_deferred_and_each_is_named(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	struct netaddr gone = t->hops[2].address;
	fake_hop_close(&t->hops[2]);
	fake_planner_host(plan, names[2], 5, &gone, t->verify);
	add(t, plan, 0, 10, t->verify);
	add(t, plan, 1, 20, t->verify);
	struct policy_plan_host *host = fake_planner_host(plan, "evil.test", 30, NULL, NULL);
	host->reason = POLICY_REASON_VALIDATION_FAILURE;
	host->text = mem_dup("evil.test is not named");
	t->hops[0].tls = t->untrusted; /* and mx2 offers no STARTTLS */
	send_to(t, "y.test");
	fake_hop_open(&t->hops[2], t->f->loop, NULL);
	deferred(t, "4.7.5");
	const char *text = t->f->outcomes[0].text;
	wanted_in(text, "no host of y.test will do: evil.test is not named; ");
	wanted_in(text, "mx1.test is not valid");
	wanted_in(text, "mx2.test offers no STARTTLS");
	/* policy words first, though mx3 was tried first */
	const char *network = strstr(text, "no connection to mx3.test");
	assert_true(network ? network > strstr(text, "mx2.test") : strstr(text, "1 more host") != NULL);
	wanted_in_log(t, "host-skipped");
	wanted_in_log(t, "host=evil.test verdict=validation-failure");
}

static void S13_one_mended_host_would_be_enough_so_nothing_fails_for_good(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "y.test"), 0, 10, t->encrypt);
	send_to(t, "y.test");
	deferred(t, "4.7.4");
	assert_string_equal(t->f->outcomes[0].text,
		"mx1.test offers no STARTTLS, but rule:2 demands encrypt");
}

/* The planner looks at the TXT record's id again, and mail goes by what it finds then. */
static void M18_each_attempt_asks_for_the_plan_anew(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "y.test"), 0, 10, t->verify);
	send_to(t, "y.test");
	deferred(t, "4.7.4");
	assert_false(t->f->was_withdrawn);
	add(t, plan_for(t, "y.test"), 0, 10, t->may);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->f->planner.asked_count, 2);
}

static void may_goes_on_in_clear_at_the_same_host_and_others_do_not(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	add(t, plan, 0, 10, t->may);
	add(t, plan, 1, 20, t->may);
	t->hops[0].tls = t->servers[0];
	fake_hop_add(&t->hops[0], "STARTTLS", "220 go\r\n", FAKE_HOP_HANG_UP);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 2);
	assert_int_equal(t->hops[1].connections, 0);
	/* the same trouble under a host's demand for TLS, though the rule itself says may */
	plan = plan_for(t, "z.test");
	add(t, plan, 0, 10, t->encrypt);
	add(t, plan, 1, 20, t->encrypt);
	t->hops[1].tls = t->servers[1];
	send_to(t, "z.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 3);
	assert_int_equal(t->hops[0].messages, 1);
	assert_int_equal(t->hops[1].messages, 1);
}

/* ---- DANE ---------------------------------------------------------------------------------------- */

static struct policy_requirement *dane_ta(struct plan_fixture *t, struct fake_ca *ca,
	const char *base)
{
	const char *pem = fake_ca_pem(ca);
	const gnutls_datum_t text = { (unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem) };
	gnutls_datum_t der;
	assert_int_equal(gnutls_pem_base64_decode2("CERTIFICATE", &text, &der), 0);
	struct policy_tlsa record = { POLICY_TLSA_TA, POLICY_TLSA_CERTIFICATE, POLICY_TLSA_FULL,
		{ (const char *)der.data, der.size } };
	char *base_names[] = { (char *)(uintptr_t)base };
	struct policy_requirement *r = keep(t, (struct policy_requirement){
		.level = POLICY_LEVEL_DANE, .tlsa = &record, .tlsa_count = 1,
		.dane_names = base_names, .dane_name_count = 1, .server_name = base_names[0],
		.origin = POLICY_ORIGIN_DANE, .source = (char *)"the set of TLSA records of base.test" });
	gnutls_free(der.data);
	return r;
}

static void D18_D16_the_tlsa_base_domain_is_sni_and_name(void **state)
{
	struct plan_fixture *t = *state;
	struct tlsio_server *base = server(t->ca, "base.test");
	add(t, plan_for(t, "y.test"), 0, 10, dane_ta(t, t->ca, "base.test"));
	t->hops[0].tls = base;
	send_to(t, "y.test");
	delivered(t);
	assert_string_equal(t->hops[0].server_name, "base.test");
	wanted_in_log(t, "verified=host level=dane policy=dane"); /* D5: the MX set is not proven */
	tlsio_server_unref(&base);
}

static void D11_a_host_that_fails_dane_leads_to_the_next(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	add(t, plan, 0, 10, dane_ta(t, t->other_ca, "mx1.test"));
	add(t, plan, 1, 20, t->may);
	t->hops[0].tls = t->servers[0]; /* any authority would do but this one */
	send_to(t, "y.test");
	delivered(t);
	assert_null(strstr(fake_hop_commands(&t->hops[0]), "MAIL"));
	assert_int_equal(t->hops[1].messages, 1);
	send_by(t, "y.test", "mx y.test");
	wanted_in_log(t, "policy=dane");
}

static void D3_a_host_whose_records_are_unknown_is_out_not_its_domain(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	struct policy_plan_host *host = add(t, plan, 0, 10, NULL);
	host->text = mem_dup("mx1.test is not used: SERVFAIL for its TLSA records");
	add(t, plan, 1, 20, t->may);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 0);
	wanted_in_log(t, "host-skipped");
}

/* ---- shared connections -------------------------------------------------------------------------- */

static void T5_domains_with_equal_demands_share_a_connection(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_requirement *same = keep(t, (struct policy_requirement){
		.level = POLICY_LEVEL_VERIFY, .trust = t->trust,
		.origin = POLICY_ORIGIN_STS, .source = (char *)"the MTA-STS policy of z.test" });
	t->hops[0].tls = t->servers[0];
	add(t, plan_for(t, "y.test"), 0, 10, t->verify)->is_domain_proven = true;
	add(t, plan_for(t, "z.test"), 0, 20, same);
	send_to(t, "y.test");
	delivered(t);
	send_to(t, "z.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 1);
	assert_int_equal(t->hops[0].messages, 2);
	/* what it proves is each domain's own */
	wanted_in_log(t, "domain=y.test host=mx1.test");
	wanted_in_log(t, "verified=domain level=verify policy=sts rule=\"the MTA-STS policy of y.");
	wanted_in_log(t, "verified=host level=verify policy=sts rule=\"the MTA-STS policy of z.");
}

/* One domain's weaker connection never carries another's mail, and one domain's impossible policy
 * never delays a neighbour on the same host (kumomta#484). */
static void T5_domains_with_other_demands_share_nothing(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->untrusted;
	add(t, plan_for(t, "y.test"), 0, 10, t->may);
	add(t, plan_for(t, "z.test"), 0, 10, t->verify);
	send_to(t, "y.test");
	delivered(t);
	send_to(t, "z.test"); /* its policy cannot be met */
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(t->hops[0].connections, 2);
	send_to(t, "y.test");
	delivered(t); /* over its own, still open connection */
	assert_int_equal(t->hops[0].connections, 2);
	assert_int_equal(t->hops[0].messages, 2);
}

static void T5_sessions_are_resumed_for_equal_demands_only(void **state)
{
	struct plan_fixture *t = *state;
	t->f->settings.messages_per_connection = 1;
	t->hops[0].tls = t->servers[0];
	add(t, plan_for(t, "y.test"), 0, 10, t->verify);
	add(t, plan_for(t, "z.test"), 0, 10, t->verify);
	add(t, plan_for(t, "weak.test"), 0, 10, t->encrypt);
	static const struct {
		const char *domain;
		unsigned resumed;
	} rows[] = { { "weak.test", 0 }, { "y.test", 0 }, { "z.test", 1 }, { "weak.test", 2 },
		{ "y.test", 3 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		send_to(t, rows[i].domain);
		delivered(t);
		assert_int_equal(t->hops[0].resumed, rows[i].resumed);
		assert_int_equal(t->hops[0].connections, i + 1);
	}
}

static void an_open_connection_to_an_equal_host_is_taken_before_another_is_made(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "y.test");
	add(t, plan, 0, 10, t->may);
	add(t, plan, 1, 10, t->may);
	for (int i = 0; i < 8; i++) {
		send_to(t, "y.test");
		delivered(t);
	}
	assert_int_equal(t->hops[0].connections + t->hops[1].connections, 1);
}

static void D10_an_open_connection_to_a_worse_host_waits_for_the_better_ones(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan *plan = plan_for(t, "z.test");
	add(t, plan, 1, 20, t->may);
	send_to(t, "z.test"); /* mx2 is open now */
	plan = plan_for(t, "y.test");
	add(t, plan, 0, 10, t->may);
	add(t, plan, 1, 20, t->may);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].messages, 1);
	fake_hop_drop_peers(&t->hops[0]);
	fake_hop_add(&t->hops[0], "GREETING", "421 no\r\n", FAKE_HOP_HANG_UP);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[1].messages, 2);
	assert_int_equal(t->hops[1].connections, 1);
}

static void another_client_certificate_ends_what_was_open(void **state)
{
	struct plan_fixture *t = *state;
	struct tlsio_certstore *ours = fake_ca_certstore(t->ca, "relay.test");
	t->hops[0].tls = t->servers[0];
	add(t, plan_for(t, "y.test"), 0, 10, t->verify);
	send_to(t, "y.test");
	relay_set_settings(t->f->relay, &t->f->settings, ours);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 2);
	tlsio_certstore_unref(&ours);
}

static void a_connection_of_who_we_were_is_not_kept(void **state)
{
	struct plan_fixture *t = *state;
	struct tlsio_certstore *ours = fake_ca_certstore(t->ca, "relay.test");
	t->f->domain = "y.test";
	t->hops[0].tls = t->servers[0];
	add(t, plan_for(t, "y.test"), 0, 10, t->verify);
	uint64_t id = relay_fixture_message(t->f, "", "x\r\n", "one@y.test", NULL);
	relay_fixture_begin(t->f, id, "mx", "may");
	while (!strstr(fake_hop_commands(&t->hops[0]), "<tls>"))
		tlsio_loop_turn(t->f->loop, true);
	assert_int_equal(t->f->outcome_calls, 0);
	relay_set_settings(t->f->relay, &t->f->settings, ours);
	relay_fixture_wait(t->f);
	delivered(t);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 2);
	assert_int_equal(t->hops[0].messages, 2);
	tlsio_certstore_unref(&ours);
}

/* ---- MTA-STS in testing mode --------------------------------------------------------------------- */

static void report_under(struct policy_plan_host *host, enum policy_report_type type,
	enum policy_report_measure measure, enum policy_reason failure)
{
	policy_plan_add_report(host, &(struct policy_report){ .type = type, .measure = measure,
		.failure = failure, .identity = 1, .domain = (char *)(uintptr_t)"policy.test" });
}

static struct policy_plan_host *add_tested(struct plan_fixture *t, const char *domain)
{
	char *host_names[] = { (char *)(uintptr_t)names[0] };
	struct policy_requirement *testing = keep(t, (struct policy_requirement){
		.level = POLICY_LEVEL_VERIFY, .trust = t->trust, .names = host_names,
		.name_count = 1, .origin = POLICY_ORIGIN_STS, .source = (char *)"the MTA-STS policy (in testing mode)" });
	struct policy_plan_host *host = add(t, plan_for(t, domain), 0, 10, t->may);
	host->testing = policy_requirement_ref(testing);
	report_under(host, POLICY_REPORT_STS, POLICY_REPORT_BY_TESTING, POLICY_REASON_NONE);
	return host;
}

static void M17_testing_mode_is_judged_by_the_same_handshake_and_reported(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->servers[0];
	add_tested(t, "y.test");
	send_to(t, "y.test");
	delivered(t);
	assert_string_equal(buf_text(&t->f->planner.reports), "y.test mx1.test sts:none\n");
	assert_true(t->f->planner.has_addresses);
	assert_null(strstr(buf_text(&t->f->log), "sts-testing"));
	send_to(t, "y.test"); /* each session once, however many messages it carries */
	assert_int_equal(t->hops[0].connections, 1);
	assert_string_equal(buf_text(&t->f->planner.reports), "y.test mx1.test sts:none\n");
	add_tested(t, "z.test"); /* but for another domain it is one of its own */
	send_to(t, "z.test");
	assert_int_equal(t->hops[0].connections, 1);
	assert_string_equal(buf_text(&t->f->planner.reports),
		"y.test mx1.test sts:none\nz.test mx1.test sts:none\n");
}

static void M17_a_failure_in_testing_mode_is_reported_and_the_mail_goes(void **state)
{
	static const struct {
		bool has_tls, is_cut;
		const char *reason;
	} rows[] = {
		{ true, false, "certificate-not-trusted" },
		{ false, false, "starttls-not-supported" },
		{ true, true, "validation-failure" },
	};
	struct plan_fixture *t = *state;
	char domain[20], wanted[100];
	for (size_t i = 0; i < 3; i++) {
		snprintf(domain, sizeof(domain), "y%zu.test", i);
		t->hops[0].tls = rows[i].has_tls ? t->untrusted : NULL;
		if (rows[i].is_cut)
			fake_hop_add(&t->hops[0], "STARTTLS", "220 go\r\n", FAKE_HOP_HANG_UP);
		fake_hop_drop_peers(&t->hops[0]);
		for (int turn = 0; turn < 5; turn++)
			tlsio_loop_turn(t->f->loop, false);
		add_tested(t, domain);
		buf_clear(&t->f->planner.reports);
		buf_clear(&t->f->log);
		send_to(t, domain);
		delivered(t);
		snprintf(wanted, sizeof(wanted), "%s mx1.test sts:%s\n", domain, rows[i].reason);
		assert_string_equal(buf_text(&t->f->planner.reports), wanted);
		snprintf(wanted, sizeof(wanted), "sts-testing domain=%s", domain);
		wanted_in_log(t, wanted);
	}
}

static void M17_a_host_the_testing_policy_does_not_name_is_used_and_reported(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, t->may);
	host->testing_reason = POLICY_REASON_VALIDATION_FAILURE;
	report_under(host, POLICY_REPORT_STS, POLICY_REPORT_BY_TESTING, POLICY_REASON_NONE);
	send_to(t, "y.test");
	delivered(t);
	assert_string_equal(buf_text(&t->f->planner.reports), "y.test mx1.test sts:validation-failure\n");
	wanted_in_log(t, "sts-testing domain=y.test");
}

static void M17_nothing_is_reported_without_a_testing_policy(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "y.test"), 0, 10, t->may);
	send_to(t, "y.test");
	assert_string_equal(buf_text(&t->f->planner.reports), "");
}

static void M17_a_host_refused_by_the_rule_is_judged_by_the_testing_policy_too(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan_host *host = add_tested(t, "y.test");
	policy_requirement_unref(&host->requirement);
	host->requirement = policy_requirement_ref(t->encrypt);
	send_to(t, "y.test");
	deferred(t, "4.7.4");
	assert_string_equal(buf_text(&t->f->planner.reports),
		"y.test mx1.test sts:starttls-not-supported\n");
}

/* ---- TLSRPT: every session once ------------------------------------------------------------------ */

static void R11_every_session_is_reported_once_under_all_its_policies(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->servers[0];
	struct policy_plan_host *host = add_tested(t, "y.test");
	report_under(host, POLICY_REPORT_TLSA, POLICY_REPORT_BY_FAILURE, POLICY_REASON_TLSA_INVALID);
	send_to(t, "y.test");
	delivered(t);
	assert_string_equal(buf_text(&t->f->planner.reports),
		"y.test mx1.test sts:none tlsa:tlsa-invalid\n");
}

static void R7_tls_that_fails_is_one_session_though_the_mail_then_goes_in_clear(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->servers[0];
	fake_hop_add(&t->hops[0], "STARTTLS", "220 go\r\n", FAKE_HOP_HANG_UP);
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, t->may);
	report_under(host, POLICY_REPORT_NO_POLICY, POLICY_REPORT_BY_TLS, POLICY_REASON_NONE);
	send_to(t, "y.test");
	delivered(t);
	assert_int_equal(t->hops[0].connections, 2);
	assert_string_equal(buf_text(&t->f->planner.reports), "y.test mx1.test none:validation-failure\n");
}

/* Transport, which nobody need report: it says nothing of the host's TLS. */
static void R7_a_handshake_that_stays_silent_is_not_reported(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->servers[0];
	fake_hop_add(&t->hops[0], "STARTTLS", "220 go\r\n", FAKE_HOP_DEAF);
	t->f->settings.tls_ms = 50;
	relay_set_settings(t->f->relay, &t->f->settings, NULL);
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, t->encrypt);
	report_under(host, POLICY_REPORT_NO_POLICY, POLICY_REPORT_BY_TLS, POLICY_REASON_NONE);
	send_to(t, "y.test");
	deferred(t, "4.7.5");
	wanted_in(t->f->outcomes[0].text, "did not finish");
	assert_string_equal(buf_text(&t->f->planner.reports), "");
}

static void R7_a_host_without_starttls_is_reported_without_a_policy_too(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, t->may);
	report_under(host, POLICY_REPORT_NO_POLICY, POLICY_REPORT_BY_TLS, POLICY_REASON_NONE);
	send_to(t, "y.test");
	delivered(t);
	assert_string_equal(buf_text(&t->f->planner.reports),
		"y.test mx1.test none:starttls-not-supported\n");
}

static void R7_a_host_that_is_refused_is_reported_with_what_went_wrong_besides(void **state)
{
	struct plan_fixture *t = *state;
	t->hops[0].tls = t->untrusted;
	struct policy_plan_host *host = add(t, plan_for(t, "z.test"), 0, 10, t->verify);
	report_under(host, POLICY_REPORT_STS, POLICY_REPORT_BY_REQUIREMENT,
		POLICY_REASON_STS_POLICY_FETCH_ERROR);
	send_to(t, "z.test");
	deferred(t, "4.7.5");
	assert_string_equal(buf_text(&t->f->planner.reports),
		"z.test mx1.test sts:certificate-not-trusted+sts-policy-fetch-error\n");
}

static void R7_a_host_that_is_not_used_counts_as_the_session_there_would_have_been(void **state)
{
	struct plan_fixture *t = *state;
	struct policy_plan_host *host = add(t, plan_for(t, "y.test"), 0, 10, NULL);
	host->text = mem_dup("its TLSA records cannot be trusted");
	host->reason = POLICY_REASON_DNSSEC_INVALID;
	report_under(host, POLICY_REPORT_TLSA, POLICY_REPORT_BY_FAILURE, POLICY_REASON_DNSSEC_INVALID);
	send_to(t, "y.test");
	deferred(t, "4.7.5");
	assert_string_equal(buf_text(&t->f->planner.reports), "y.test mx1.test tlsa:dnssec-invalid\n");
	assert_false(t->f->planner.has_addresses);
	buf_clear(&t->f->planner.reports);
	policy_plan_end(plan_for(t, "z.test"), POLICY_PLAN_DEFER, POLICY_REASON_DNSSEC_INVALID, "bogus");
	send_to(t, "z.test");
	assert_string_equal(buf_text(&t->f->planner.reports), "z.test  tlsa:dnssec-invalid\n");
}

/* ---- the planner itself -------------------------------------------------------------------------- */

static void while_policyd_is_down_mail_waits_and_goes_nowhere(void **state)
{
	struct plan_fixture *t = *state;
	send_to(t, "y.test");
	deferred(t, "4.4.3");
	wanted_in(t->f->outcomes[0].text, "postern-policyd does not answer");
	assert_true(t->f->was_unready);
}

static void a_domain_whose_lookup_fails_has_failed(void **state)
{
	struct plan_fixture *t = *state;
	policy_plan_end(plan_for(t, "y.test"), POLICY_PLAN_DEFER, POLICY_REASON_DNSSEC_INVALID,
		"its MX records do not validate");
	send_to(t, "y.test");
	deferred(t, "4.7.5");
	assert_false(t->f->was_unready);
}

static void X1_null_mx_fails_for_good(void **state)
{
	struct plan_fixture *t = *state;
	policy_plan_end(plan_for(t, "y.test"), POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE,
		"y.test takes no mail");
	send_to(t, "y.test");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_FAILED);
	assert_string_equal(t->f->outcomes[0].enhanced, "5.1.10");
	assert_false(t->f->destination_failed);
}

static void a_plan_of_other_rules_is_refused_and_forgotten(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "y.test"), 0, 10, t->may);
	t->f->rule_fingerprint = "stricter";
	send_to(t, "y.test");
	deferred(t, "4.3.5");
	assert_int_equal(t->hops[0].connections, 0);
	assert_int_equal(t->f->planner.forgotten_count, 1);
	assert_true(t->f->was_unready);
	wanted_in(t->f->outcomes[0].text, "other rules");
}

static void begin(struct plan_fixture *t)
{
	t->f->domain = "y.test";
	t->f->planner.is_silent = true;
	uint64_t id = relay_fixture_message(t->f, "", "x\r\n", "one@y.test", NULL);
	relay_fixture_begin(t->f, id, "mx", "may");
	for (int turn = 0; turn < 5; turn++)
		tlsio_loop_turn(t->f->loop, false);
	assert_int_equal(t->f->outcome_calls, 0);
}

static void a_reload_while_we_ask_puts_the_mail_off(void **state)
{
	struct plan_fixture *t = *state;
	add(t, plan_for(t, "y.test"), 0, 10, t->may);
	begin(t);
	t->f->was_rerouted = true;
	fake_planner_speak(&t->f->planner);
	relay_fixture_wait(t->f);
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_string_equal(t->f->outcomes[0].enhanced, "4.3.5");
	assert_true(t->f->was_unready);
	assert_int_equal(t->hops[0].connections, 0);
}

static void a_drain_waits_for_no_plan(void **state)
{
	struct plan_fixture *t = *state;
	begin(t);
	relay_drain(t->f->relay);
	relay_fixture_wait(t->f);
	assert_int_equal(t->f->planner.cancelled_count, 1);
	assert_true(t->f->was_withdrawn);
	deferred(t, "4.3.5");
}

static void a_relay_that_ends_takes_its_questions_back(void **state)
{
	struct plan_fixture *t = *state;
	begin(t);
	relay_free(&t->f->relay);
	assert_int_equal(t->f->planner.cancelled_count, 1);
}

/* A host that greets and then breaks off; nothing of the message has gone there. */
static void a_host_that_breaks_off_before_the_message_does_not_hold_it_up(void **state)
{
	static const char *const at[] = { "MAIL", "RCPT", "DATA" };
	struct plan_fixture *t = *state;
	for (size_t i = 0; i < 3; i++) {
		t->hops[0].rule_count = 0;
		fake_hop_add(&t->hops[0], at[i], i == 0 ? "421 4.3.2 not today\r\n" : NULL,
			i == 0 ? FAKE_HOP_HANG_UP : FAKE_HOP_RESET);
		struct policy_plan *plan = plan_for(t, "y.test");
		add(t, plan, 0, 10, t->may);
		add(t, plan, 1, 20, t->may);
		send_to(t, "y.test");
		delivered(t);
		assert_int_equal(t->hops[1].messages, i + 1);
		assert_int_equal(t->hops[0].messages, 0);
	}
}

static void a_message_that_may_have_been_taken_goes_nowhere_else(void **state)
{
	struct plan_fixture *t = *state;
	fake_hop_add(&t->hops[0], ".", NULL, FAKE_HOP_RESET);
	struct policy_plan *plan = plan_for(t, "y.test");
	add(t, plan, 0, 10, t->may);
	add(t, plan, 1, 20, t->may);
	send_to(t, "y.test");
	assert_int_equal(t->f->outcomes[0].kind, RELAY_DEFERRED);
	assert_int_equal(t->hops[1].connections, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(mail_goes_to_the_best_host_of_the_plan),
		T(M5_a_smart_hosts_plan_is_asked_with_the_recipients_rule),
		T(a_static_host_under_dane_is_asked_about_by_name),
		T(D10_a_dead_host_leads_to_the_next_by_preference),
		T(a_host_that_breaks_off_before_the_message_does_not_hold_it_up),
		T(a_message_that_may_have_been_taken_goes_nowhere_else),
		T(one_host_of_several_addresses_is_tried_at_each),
		T(M16_S13_a_host_that_fails_its_policy_leads_to_the_next),
		T(M15_a_certificate_for_the_domain_is_not_one_for_the_host),
		T(M16_no_host_fit_is_deferred_and_each_is_named),
		T(S13_one_mended_host_would_be_enough_so_nothing_fails_for_good),
		T(M18_each_attempt_asks_for_the_plan_anew),
		T(may_goes_on_in_clear_at_the_same_host_and_others_do_not),
		T(D18_D16_the_tlsa_base_domain_is_sni_and_name),
		T(D11_a_host_that_fails_dane_leads_to_the_next),
		T(D3_a_host_whose_records_are_unknown_is_out_not_its_domain),
		T(T5_domains_with_equal_demands_share_a_connection),
		T(T5_domains_with_other_demands_share_nothing),
		T(T5_sessions_are_resumed_for_equal_demands_only),
		T(an_open_connection_to_an_equal_host_is_taken_before_another_is_made),
		T(D10_an_open_connection_to_a_worse_host_waits_for_the_better_ones),
		T(another_client_certificate_ends_what_was_open),
		T(a_connection_of_who_we_were_is_not_kept),
		T(M17_testing_mode_is_judged_by_the_same_handshake_and_reported),
		T(M17_a_failure_in_testing_mode_is_reported_and_the_mail_goes),
		T(M17_a_host_the_testing_policy_does_not_name_is_used_and_reported),
		T(M17_nothing_is_reported_without_a_testing_policy),
		T(M17_a_host_refused_by_the_rule_is_judged_by_the_testing_policy_too),
		T(R11_every_session_is_reported_once_under_all_its_policies),
		T(R7_tls_that_fails_is_one_session_though_the_mail_then_goes_in_clear),
		T(R7_a_handshake_that_stays_silent_is_not_reported),
		T(R7_a_host_without_starttls_is_reported_without_a_policy_too),
		T(R7_a_host_that_is_refused_is_reported_with_what_went_wrong_besides),
		T(R7_a_host_that_is_not_used_counts_as_the_session_there_would_have_been),
		T(while_policyd_is_down_mail_waits_and_goes_nowhere),
		T(a_domain_whose_lookup_fails_has_failed),
		T(X1_null_mx_fails_for_good),
		T(a_plan_of_other_rules_is_refused_and_forgotten),
		T(a_reload_while_we_ask_puts_the_mail_off),
		T(a_drain_waits_for_no_plan),
		T(a_relay_that_ends_takes_its_questions_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
