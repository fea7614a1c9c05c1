/* What an operator reads: verdict first, then hosts, findings, what lost; and the same as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/explain/explain.h"
#include "smtpd/explain/explain_words.h"

#define NOW_S 1767225600

struct fixture {
	struct policy_plan *plan;
	struct explain e;
	struct buf out;
	struct explain_page page;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	f->plan = policy_plan_new("example.org", "example.org");
	f->e = (struct explain){ .domain = "example.org", .plan = f->plan, .asked = "alone",
		.now_s = NOW_S };
	f->page = (struct explain_page){ .to = &f->out, .width = 80 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	policy_plan_unref(&f->plan);
	buf_release(&f->out);
	free(f);
	return 0;
}

static struct policy_requirement *demand(enum policy_level level, const char *source)
{
	struct policy_tlsa tlsa = { .usage = POLICY_TLSA_EE, .selector = POLICY_TLSA_KEY,
		.matching = POLICY_TLSA_SHA256, .data = STR("0123456789abcdef0123456789abcdef") };
	bool is_dane = level >= POLICY_LEVEL_DANE;
	return policy_requirement_new(&(struct policy_requirement){ .level = level,
		.minimum = TLSIO_TLS12, .source = (char *)source, .tlsa = &tlsa,
		.tlsa_count = is_dane });
}

/* requirement NULL: a host that is not used, because of text. Takes requirement. */
static struct policy_plan_host *host(struct fixture *f, const char *name, unsigned preference,
	struct policy_requirement *requirement, const char *text)
{
	struct policy_plan_host *h = policy_plan_add_host(f->plan, name, preference);
	h->requirement = requirement;
	h->text = mem_dup(text);
	h->address_count = 1;
	h->addresses = mem_array(1, sizeof(*h->addresses));
	netaddr_parse(STR("192.0.2.1"), 25, &h->addresses[0], NULL);
	if (!requirement)
		h->reason = POLICY_REASON_DNSSEC_INVALID;
	return h;
}

static const char *text_of(struct fixture *f)
{
	buf_clear(&f->out);
	explain_text(&f->e, &f->page);
	return buf_text(&f->out);
}

static const char *sentence_of(struct fixture *f)
{
	buf_clear(&f->out);
	explain_sentence(&f->e, &f->out);
	return buf_text(&f->out);
}

static void wanted(const char *all, const char *words)
{
	if (!strstr(all, words))
		fail_msg("no \"%s\" in:\n%s", words, all);
}

/* ---- the sentence ---------------------------------------------------------------------------- */

static void hosts_with_one_demand_are_said_together(void **state)
{
	struct fixture *f = *state;
	host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_DANE, "TLSA records"), "");
	assert_string_equal(sentence_of(f), "Mail for example.org goes to mx1.example.org, which must "
		"show a certificate or key that its TLSA records name (DANE).");
	host(f, "mx2.example.org", 20, demand(POLICY_LEVEL_DANE, "TLSA records"), "");
	assert_string_equal(sentence_of(f), "Mail for example.org goes to 2 hosts, both must show a "
		"certificate or key that their TLSA records name (DANE).");
	host(f, "mx3.example.org", 30, NULL, "its addresses could not be looked up");
	wanted(sentence_of(f), "; 1 other is not used.");
	assert_int_equal(explain_status(&f->e), EXPLAIN_DELIVERABLE);
}

static void hosts_with_different_demands_are_counted(void **state)
{
	struct fixture *f = *state;
	host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_DANE, "TLSA records"), "");
	host(f, "mx2.example.org", 20, demand(POLICY_LEVEL_MAY, "built-in default"), "");
	host(f, "mx3.example.org", 20, demand(POLICY_LEVEL_DANE, "TLSA records"), "");
	assert_string_equal(sentence_of(f), "Mail for example.org goes to 3 hosts, which must show "
		"different things: 2 a certificate or key that their TLSA records name (DANE); 1 "
		"nothing (TLS is used where it is offered, without proof of who answers; in clear "
		"otherwise).");
}

static void a_demand_by_a_rule_or_by_mta_sts_names_who_demands(void **state)
{
	struct fixture *f = *state;
	host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_VERIFY, "MTA-STS policy of example.org"), "");
	wanted(sentence_of(f), "a valid certificate for its name, says MTA-STS policy of example.org.");
	char *names[] = { (char *)(uintptr_t) "gate.example.org" };
	struct policy_requirement *r = f->plan->hosts[0].requirement;
	r->level = POLICY_LEVEL_DANE;
	r->names = names;
	r->name_count = 1;
	wanted(sentence_of(f), "records name (DANE), and what the rule asks besides.");
	r->names = NULL;
	r->name_count = 0;
	f->plan->hosts[0].requirement->level = POLICY_LEVEL_ENCRYPT;
	wanted(sentence_of(f), "which must show TLS with any certificate, says MTA-STS");
	f->plan->hosts[0].requirement->level = POLICY_LEVEL_NONE;
	assert_string_equal(sentence_of(f),
		"Mail for example.org goes to mx1.example.org; in clear: TLS is never used.");
}

/* MTA-STS and PKIX by MX demand the host's own name of each: that is one demand, not two. */
static void hosts_that_must_each_show_their_own_name_are_alike(void **state)
{
	struct fixture *f = *state;
	char *names[] = { (char *)"mx1.example.org", (char *)"mx2.example.org" };
	for (int i = 0; i < 2; i++)
		host(f, names[i], 10, policy_requirement_new(&(struct policy_requirement){
			.level = POLICY_LEVEL_VERIFY, .names = &names[i], .name_count = 1,
			.source = (char *)"a policy" }), "");
	assert_string_equal(sentence_of(f), "Mail for example.org goes to 2 hosts, both must show a valid "
		"certificate for their name, says a policy.");
	host(f, "mx3.example.org", 10, policy_requirement_new(&(struct policy_requirement){
		.level = POLICY_LEVEL_VERIFY, .names = names, .name_count = 1,
		.source = (char *)"a policy" }), "");
	wanted(sentence_of(f), "1 a certificate for mx1.example.org, says a policy.");
}

static void without_a_usable_host_mail_stays(void **state)
{
	struct fixture *f = *state;
	host(f, "mx1.example.org", 10, NULL, "its TLSA records could not be looked up");
	assert_string_equal(sentence_of(f), "Mail for example.org stays: its only host mx1.example.org may "
		"not be used: its TLSA records could not be looked up.");
	host(f, "mx2.example.org", 10, NULL,
		"mx2.example.org is not used: not named by the MTA-STS policy");
	assert_string_equal(sentence_of(f), "Mail for example.org stays: none of its 2 hosts may be used; of "
		"the first, mx1.example.org: its TLSA records could not be looked up.");
	assert_int_equal(explain_status(&f->e), EXPLAIN_STAYS);
	wanted(text_of(f), "10 mx2.example.org - NOT USED");
	wanted(text_of(f), "    because        not named by the MTA-STS policy (dnssec-invalid)");
}

static void plans_without_hosts_are_told_by_their_text(void **state)
{
	struct fixture *f = *state;
	policy_plan_end(f->plan, POLICY_PLAN_DEFER, POLICY_REASON_DNSSEC_INVALID,
		"its MX records are bogus");
	assert_string_equal(sentence_of(f),
		"Mail for example.org stays for now: its MX records are bogus.");
	assert_int_equal(explain_status(&f->e), EXPLAIN_STAYS);
	policy_plan_end(f->plan, POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, "it takes no mail (null MX)");
	assert_string_equal(sentence_of(f),
		"Mail for example.org is returned to its sender: it takes no mail (null MX).");
	assert_int_equal(explain_status(&f->e), EXPLAIN_RETURNED);
	policy_plan_end(f->plan, POLICY_PLAN_NO_DOMAIN, POLICY_REASON_NONE, "there is no such domain.");
	assert_string_equal(sentence_of(f),
		"Mail for example.org is returned to its sender: there is no such domain.");
	assert_int_equal(explain_status(&f->e), EXPLAIN_RETURNED);
}

static void static_routes_are_told_by_the_rule_alone(void **state)
{
	struct fixture *f = *state;
	struct policy_requirement *r = demand(POLICY_LEVEL_VERIFY, "postern.conf:7 domain \"example.org\"");
	f->e = (struct explain){ .domain = "example.org", .way = EXPLAIN_BY_HOST,
		.next_hop = "relay.example.net:587", .rule = r };
	assert_string_equal(sentence_of(f), "Mail for example.org goes to relay.example.net:587, the host "
		"that its route names, which must show a valid certificate for its name, says "
		"postern.conf:7 domain \"example.org\".");
	wanted(text_of(f), "says           postern.conf:7 domain \"example.org\"");
	assert_int_equal(explain_status(&f->e), EXPLAIN_DELIVERABLE);
	policy_requirement_unref(&r);
	f->e = (struct explain){ .domain = "example.org", .way = EXPLAIN_MAILDIR,
		.next_hop = "/var/mail/x" };
	assert_string_equal(sentence_of(f),
		"Mail for example.org is kept here, in the maildir /var/mail/x.");
	f->e.way = EXPLAIN_LMTP;
	assert_string_equal(sentence_of(f), "Mail for example.org goes over LMTP to /var/mail/x.");
	f->e.way = EXPLAIN_REFUSE;
	f->e.next_hop = "5.1.1 we moved";
	assert_string_equal(sentence_of(f), "Mail for example.org is refused: 5.1.1 we moved.");
	assert_int_equal(explain_status(&f->e), EXPLAIN_RETURNED);
}

/* ---- the page -------------------------------------------------------------------------------- */

static void verdict_hosts_findings_and_losers_come_in_this_order(void **state)
{
	struct fixture *f = *state;
	struct policy_plan_host *h =
		host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_DANE, "TLSA records of mx1"), "");
	h->testing_reason = POLICY_REASON_VALIDATION_FAILURE;
	f->plan->expires_s = NOW_S + 3600;
	policy_plan_add_evidence(f->plan, POLICY_EVIDENCE_LOST, "MTA-STS", "", -1, -1,
		"enforce would demand a valid certificate; DANE decides");
	policy_plan_add_evidence(f->plan, POLICY_EVIDENCE_MX, "example.org", "secure", 3600, 5,
		"10 mx1.example.org");
	policy_plan_add_evidence(f->plan, POLICY_EVIDENCE_RULE, "postern.conf:3 domain \"*\"", "", -1, -1,
		"may");
	f->e.warning = "DNSSEC is not validated here.";
	const char *all = text_of(f);
	const char *const order[] = { "Mail for example.org goes to", "DNSSEC is not validated here.",
		"HOSTS, in order", "  10 mx1.example.org\n", "    addresses      192.0.2.1:25\n",
		"    must show      TLS 1.2 or later; the certificate or key that its TLSA record",
		"    says           TLSA records of mx1\n", "would not pass: validation-failure",
		"WHAT WAS FOUND", "    MX             example.org: secure, for 1h00m, learned 5s ago\n"
		"                   10 mx1.example.org\n", "    rule           postern.conf:3 domain",
		"WHAT LOST", "MTA-STS: enforce would demand", "This holds for 1h00m." };
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const char *found = strstr(all, order[i]);
		if (!found)
			fail_msg("not there, or too early: \"%s\" in:\n%s", order[i], text_of(f));
		all = found;
	}
}

static void lines_fit_the_width_and_long_words_stay_whole(void **state)
{
	struct fixture *f = *state;
	char digest[129];
	memset(digest, 'a', 128);
	digest[128] = '\0';
	host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_DANE, "TLSA records"), "");
	policy_plan_add_evidence(f->plan, POLICY_EVIDENCE_TLSA, "_25._tcp.mx1.example.org", "secure", 60,
		-1, "3 1 2 %s", digest);
	f->page.width = 60;
	wanted(text_of(f), digest);
	for (const char *line = buf_text(&f->out); *line;) {
		size_t length = strcspn(line, "\n");
		if (length > 60 && !strstr(line, digest))
			fail_msg("%zu columns: %.*s", length, (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static void nothing_of_a_zone_reaches_the_terminal_as_a_control(void **state)
{
	struct fixture *f = *state;
	struct policy_plan_host *h = host(f, "mx1.example.org", 10, NULL, "said \033[2J\r\n\302\233 x");
	(void)h;
	f->e.warning = "bell \a";
	const char *all = text_of(f);
	for (const char *c = all; *c; c++)
		assert_true(*c == '\n' || (unsigned char)*c >= ' ');
	assert_null(strstr(all, "\302\233"));
	f->page.has_colour = true;
	wanted(text_of(f), "\033[1;31m");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_holds_the_whole_plan(void **state)
{
	struct fixture *f = *state;
	f->plan->made_s = NOW_S;
	f->plan->expires_s = NOW_S + 60;
	struct policy_plan_host *h =
		host(f, "mx1.example.org", 10, demand(POLICY_LEVEL_DANE, "a \"b\" \\ \001"), "x");
	h->is_domain_proven = true;
	strcpy(h->requirement->fingerprint, "f1");
	policy_plan_add_evidence(f->plan, POLICY_EVIDENCE_MX, "example.org", "secure", 3600, -1, "10 mx1");
	explain_put_json(&f->e, &f->out);
	assert_string_equal(buf_text(&f->out),
		"{\"domain\":\"example.org\",\"verdict\":\"deliverable\",\"sentence\":\"Mail for "
		"example.org goes to mx1.example.org, which must show a certificate or key that its "
		"TLSA records name (DANE).\",\"way\":\"mx\",\"next_hop\":null,\"asked\":\"alone\","
		"\"warning\":null,\"rule\":null,\"plan\":{\"rule_domain\":\"example.org\","
		"\"next_hop\":\"example.org\",\"state\":\"ready\",\"reason\":\"none\",\"text\":\"\","
		"\"made\":1767225600,\"expires\":1767225660,\"hosts\":[{\"name\":\"mx1.example.org\","
		"\"preference\":10,\"addresses\":[\"192.0.2.1:25\"],\"usable\":true,\"requirement\":{"
		"\"level\":\"dane\",\"minimum\":\"TLS1.2\",\"origin\":\"rule\",\"source\":\"a \\\"b\\\" \\\\ \\u0001\","
		"\"names\":[],\"authority\":null,\"pins\":[],\"tlsa\":[\"3 1 1 "
		"3031323334353637383961626364656630313233343536373839616263646566\"],"
		"\"tlsa_names\":[],\"server_name\":null,\"fingerprint\":\"f1\"},\"reason\":\"none\","
		"\"text\":\"x\",\"testing\":null,\"testing_reason\":\"none\",\"domain_proven\":true}],"
		"\"evidence\":[{\"kind\":\"mx\",\"subject\":\"example.org\",\"verdict\":\"secure\","
		"\"text\":\"10 mx1\",\"ttl\":3600,\"age\":null}]}}\n");
}

static void json_without_a_plan_has_the_rule(void **state)
{
	struct fixture *f = *state;
	struct policy_requirement *r = demand(POLICY_LEVEL_MAY, "built-in default");
	f->e = (struct explain){ .domain = "example.org", .way = EXPLAIN_BY_HOST, .next_hop = "h:25",
		.rule = r };
	explain_put_json(&f->e, &f->out);
	wanted(buf_text(&f->out), "\"way\":\"host\",\"next_hop\":\"h:25\",\"asked\":null,"
		"\"warning\":null,\"rule\":{\"level\":\"may\"");
	wanted(buf_text(&f->out), ",\"plan\":null}\n");
	policy_requirement_unref(&r);
}

/* ---- demands in words ------------------------------------------------------------------------- */

static void every_demand_has_its_words(void **state)
{
	(void)state;
	char *names[] = { (char *)"a.test", (char *)".b.test" };
	struct policy_pin pin = { 0 };
	struct policy_tlsa tlsa[2] = { { .usage = POLICY_TLSA_TA }, { .usage = POLICY_TLSA_EE } };
	const struct {
		struct policy_requirement r;
		bool is_rule;
		const char *words;
	} rows[] = {
		{ { .level = POLICY_LEVEL_NONE }, false, "nothing: in clear: TLS is never used" },
		{ { .level = POLICY_LEVEL_MAY, .minimum = TLSIO_TLS13 }, false,
			"nothing: TLS is used where it is offered, without proof of who answers; in "
			"clear otherwise, and below TLS 1.3" },
		{ { .level = POLICY_LEVEL_ENCRYPT, .minimum = TLSIO_TLS13 }, false,
			"TLS 1.3 or later; any certificate" },
		{ { .level = POLICY_LEVEL_VERIFY }, false, "TLS 1.2 or later; a certificate valid to "
			"the authorities of this machine for mx.test" },
		{ { .level = POLICY_LEVEL_VERIFY, .trust_name = (char *)"/ca.pem", .names = names,
			.name_count = 2 }, false, "TLS 1.2 or later; a certificate valid to /ca.pem for "
			"a.test or .b.test" },
		{ { .level = POLICY_LEVEL_VERIFY, .pins = &pin, .pin_count = 1 }, false,
			"TLS 1.2 or later; the pinned key (1), as its own or as its issuer's" },
		{ { .level = POLICY_LEVEL_DANE, .tlsa = tlsa, .tlsa_count = 2, .dane_names = names,
			.dane_name_count = 1, .server_name = (char *)"base.test" }, false,
			"TLS 1.2 or later; a certificate or key that one of its 2 TLSA records names, "
			"under an authority for a.test; asked for as base.test" },
		{ { .level = POLICY_LEVEL_DANE_ONLY }, false, "TLS 1.2 or later; what its TLSA records "
			"name, but it has none: nothing passes" },
		{ { .level = POLICY_LEVEL_DANE }, true, "TLS 1.2 or later; what its TLSA records name "
			"where it has any (DANE); without them TLS where offered" },
		{ { .level = POLICY_LEVEL_DANE_ONLY }, true, "TLS 1.2 or later; what its TLSA records "
			"name (DANE); without them it is not used" },
		{ { .level = POLICY_LEVEL_DANE, .tlsa = tlsa + 1, .tlsa_count = 1, .pins = &pin,
			.pin_count = 1 }, false, "TLS 1.2 or later; the certificate or key that its TLSA "
			"record names; the pinned key (1), as its own or as its issuer's" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf words = { 0 };
		explain_words_demand(&words, &rows[i].r, rows[i].is_rule ? NULL : "mx.test");
		assert_string_equal(buf_text(&words), rows[i].words);
		buf_release(&words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(hosts_with_one_demand_are_said_together),
		T(hosts_with_different_demands_are_counted),
		T(a_demand_by_a_rule_or_by_mta_sts_names_who_demands),
		T(hosts_that_must_each_show_their_own_name_are_alike),
		T(without_a_usable_host_mail_stays),
		T(plans_without_hosts_are_told_by_their_text),
		T(static_routes_are_told_by_the_rule_alone),
		T(verdict_hosts_findings_and_losers_come_in_this_order),
		T(lines_fit_the_width_and_long_words_stay_whole),
		T(nothing_of_a_zone_reaches_the_terminal_as_a_control),
		T(json_holds_the_whole_plan),
		T(json_without_a_plan_has_the_rule),
		T(every_demand_has_its_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
