/* What a probe says: one sentence, then each host, each step, each certificate; and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "smtpd/explain/probe_print.h"

#define NOW_S 1767225600

struct fixture {
	struct policy_plan *plan;
	struct probe_record records[3][2];
	struct probe_host hosts[3];
	struct explain e;
	struct probe_print print;
	struct buf out;
	struct explain_page page;
};

static struct policy_requirement *dane(void)
{
	struct policy_tlsa tlsa = { .usage = POLICY_TLSA_EE, .selector = POLICY_TLSA_KEY,
		.matching = POLICY_TLSA_SHA256, .data = STR("0123456789abcdef0123456789abcdef") };
	return policy_requirement_new(&(struct policy_requirement){ .level = POLICY_LEVEL_DANE,
		.minimum = TLSIO_TLS12, .source = (char *)"TLSA records", .tlsa = &tlsa,
		.tlsa_count = 1 });
}

static void judge(struct probe_record *r, enum policy_verdict verdict, enum policy_reason reason,
	const char *text)
{
	r->is_connected = r->is_judged = true;
	r->judgement = (struct policy_judgement){ .verdict = verdict, .reason = reason,
		.is_verified = verdict == POLICY_PASS };
	snprintf(r->judgement.text, sizeof(r->judgement.text), "%s", text);
}

/* Three hosts, two addresses each; all of the first two pass, the plan does not use the third. */
static int set_up(void **state)
{
	static const char *const names[] = { "mx1.example.org", "mx2.example.org", "mx3.example.org" };
	struct fixture *f = mem_zero(sizeof(*f));
	f->plan = policy_plan_new("example.org", "example.org");
	for (size_t i = 0; i < 3; i++) {
		struct policy_plan_host *h = policy_plan_add_host(f->plan, names[i], 10);
		h->requirement = i < 2 ? dane() : NULL;
		h->text = mem_dup(i < 2 ? "" : "its TLSA records are bogus");
	}
	for (size_t i = 0; i < 3; i++) {
		f->hosts[i] = (struct probe_host){ .host = &f->plan->hosts[i],
			.records = f->records[i], .record_count = 2, .probed_count = 1 };
		netaddr_parse(STR("192.0.2.1:25"), 25, &f->records[i][0].address, NULL);
		netaddr_parse(STR("[2001:db8::1]:25"), 25, &f->records[i][1].address, NULL);
		if (i < 2)
			judge(&f->records[i][0], POLICY_PASS, POLICY_REASON_NONE, "");
		f->records[i][0].is_connected = true;
	}
	f->e = (struct explain){ .domain = "example.org", .plan = f->plan, .now_s = NOW_S };
	f->print = (struct probe_print){ .explained = &f->e, .hosts = f->hosts, .host_count = 3,
		.now_s = NOW_S };
	f->page = (struct explain_page){ .to = &f->out, .width = 120 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < 3; i++) {
		probe_record_clear(&f->records[i][0]);
		probe_record_clear(&f->records[i][1]);
	}
	policy_plan_unref(&f->plan);
	buf_release(&f->out);
	free(f);
	return 0;
}

static const char *text_of(struct fixture *f)
{
	buf_clear(&f->out);
	probe_print_text(&f->print, &f->page);
	return buf_text(&f->out);
}

static const char *json_of(struct fixture *f)
{
	buf_clear(&f->out);
	probe_print_json(&f->print, &f->out);
	return buf_text(&f->out);
}

static void wanted(const char *all, const char *words)
{
	if (!strstr(all, words))
		fail_msg("no \"%s\" in:\n%s", words, all);
}

static void the_first_line_says_whether_all_pass(void **state)
{
	struct fixture *f = *state;
	wanted(text_of(f), "All 2 hosts for example.org pass; 1 other is not used.\n");
	assert_int_equal(probe_print_status(&f->print), EXPLAIN_DELIVERABLE);
	judge(&f->records[1][0], POLICY_IN_CLEAR, POLICY_REASON_VALIDATION_FAILURE, "TLS failed");
	wanted(text_of(f), "All 2 hosts for example.org pass, 1 of them in clear; 1 other is not used.\n");
	assert_int_equal(probe_print_status(&f->print), EXPLAIN_DELIVERABLE);
	judge(&f->records[1][0], POLICY_REFUSE, POLICY_REASON_TLSA_INVALID, "no TLSA record fits");
	wanted(text_of(f),
		"1 of 2 hosts for example.org passes. mx2.example.org does not: no TLSA record fits.");
	assert_int_equal(probe_print_status(&f->print), EXPLAIN_STAYS);
	judge(&f->records[0][0], POLICY_REFUSE, POLICY_REASON_TLSA_INVALID, "nor here");
	wanted(text_of(f), "None of 2 hosts for example.org passes. Of mx1.example.org: nor here.");
}

static void a_host_that_is_reached_by_another_address_passes(void **state)
{
	struct fixture *f = *state;
	f->hosts[0].probed_count = 2;
	f->records[0][1] = f->records[0][0];
	f->records[0][0] = (struct probe_record){ .why = "no route to host" };
	assert_int_equal(probe_print_host_verdict(&f->hosts[0]), PROBE_PASSES);
	f->records[0][1] = (struct probe_record){ .why = "connection refused" };
	assert_int_equal(probe_print_host_verdict(&f->hosts[0]), PROBE_UNUSABLE);
	wanted(text_of(f), "mx1.example.org does not: no route to host.");
}

static void the_worst_address_counts(void **state)
{
	struct fixture *f = *state;
	f->hosts[0].probed_count = 2;
	judge(&f->records[0][1], POLICY_REFUSE, POLICY_REASON_TLSA_INVALID, "another key there");
	assert_int_equal(probe_print_host_verdict(&f->hosts[0]), PROBE_REFUSED);
	wanted(text_of(f), "mx1.example.org does not: another key there.");
}

static void a_broken_dialogue_is_worse_than_a_good_judgement(void **state)
{
	struct fixture *f = *state;
	snprintf(f->records[0][0].why, sizeof(f->records[0][0].why), "it answers EHLO with \"502 no\"");
	assert_int_equal(probe_print_host_verdict(&f->hosts[0]), PROBE_UNUSABLE);
	wanted(text_of(f), "    trouble        it answers EHLO with \"502 no\"\n");
}

static void hosts_that_the_plan_does_not_use_count_for_nothing(void **state)
{
	struct fixture *f = *state;
	wanted(text_of(f), "mx3.example.org (10): not judged: the plan does not use this host\n"
		"    not used       its TLSA records are bogus\n");
	f->print.hosts = &f->hosts[2];
	f->print.host_count = 1;
	wanted(text_of(f), "Nothing to judge. Mail for example.org goes to");
	assert_int_equal(probe_print_status(&f->print), EXPLAIN_STAYS);
}

static void fill_tls(struct probe_record *r)
{
	struct probe_tls *tls = r->tls = mem_zero(sizeof(*tls));
	tls->version = TLSIO_TLS13;
	tls->suite = "TLS_AES_256_GCM_SHA384";
	tls->suite_id = 0x1302;
	tls->group = "x25519";
	snprintf(tls->key_exchange, sizeof(tls->key_exchange), "ECDHE");
	tls->server_name = mem_dup("mx1.example.org");
	tls->chain_count = tls->chain_total = 1;
	memset(tls->chain[0].sha256, 0xaa, 32);
	memset(tls->chain[0].spki_sha256, 0xbb, 32);
	tls->chain[0].has_key = tls->chain[0].is_led_to = true;
	tls->chain[0].words = (struct tlsio_description){ .subject = "CN=mx1\033[2J", .issuer = "CN=ca",
		.not_before_s = NOW_S - 86400, .not_after_s = NOW_S + 86400,
		.key = "EC/ECDSA, 256 bits", .signature = "ECDSA-SHA256" };
	snprintf(tls->names, sizeof(tls->names), "mx1.example.org");
	tls->matched_name = mem_dup("mx1.example.org");
	tls->has_tlsa = true;
	tls->tlsa_match = POLICY_DANE_MATCH;
}

static void fill_steps(struct probe_record *r)
{
	const struct tlsio_trace_event hello = { .kind = TLSIO_TRACE_HANDSHAKE, .type = 2,
		.is_incoming = true, .name = "ServerHello", .record_version = 0x0303,
		.size_bytes = 118 };
	probe_record_add_line(r, PROBE_HEARD, 12, STR("220 mx\033[31m hi"));
	probe_record_add_line(r, PROBE_SAID, 13, STR("STARTTLS"));
	probe_record_add_message(r, 20, &hello);
}

static void everything_that_was_seen_is_printed(void **state)
{
	struct fixture *f = *state;
	struct probe_record *r = &f->records[0][0];
	fill_tls(r);
	fill_steps(r);
	r->took_ms = 250;
	const char *all = text_of(f);
	char *copy = mem_dup(all);
	const char *const lines[] = { "  192.0.2.1:25 - passes (0.250 s)\n",
		"     0.012 s  <    220 mx?[31m hi\n", "     0.013 s  >    STARTTLS\n",
		"     0.020 s  <    ServerHello, type 2, 118 bytes, record 0x0303\n",
		"    TLS            TLS1.3, TLS_AES_256_GCM_SHA384 (0x1302)\n",
		"    key exchange   ECDHE, x25519, not resumed\n", "    SNI            mx1.example.org\n",
		"    certificate 0  CN=mx1?[2J\n", "                   issued by CN=ca\n",
		"from 2025-12-31 00:00:00Z to 2026-01-02 00:00:00Z, for",
		"EC/ECDSA, 256 bits; signed with ECDSA-SHA256\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
		"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
		"    names          mx1.example.org\n", "    matched name   mx1.example.org\n",
		"    chain          valid\n", "    OCSP           none\n",
		"    TLSA           record 1 of 1 matches: 3 1 1", "    judged         passes, identity proven\n",
		"  1 more address not tried\n" };
	const char *at = copy;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *found = strstr(at, lines[i]);
		if (!found)
			fail_msg("not there, or too early: \"%s\" in:\n%s", lines[i], copy);
		at = found;
	}
	free(copy);
}

static void what_is_out_of_its_time_or_unmatched_is_said_loudly(void **state)
{
	struct fixture *f = *state;
	struct probe_record *r = &f->records[0][0];
	fill_tls(r);
	r->tls->chain[0].words.not_after_s = NOW_S - 1;
	r->tls->chain[0].is_led_to = false;
	r->tls->chain_faults = TLSIO_CHAIN_EXPIRED;
	r->tls->tlsa_match = POLICY_DANE_NO_MATCH;
	const char *all = text_of(f);
	wanted(all, ": EXPIRED\n");
	wanted(all, "    TLSA           no record fits the chain\n                   3 1 1");
	wanted(all, "the first certificate does not lead to it");
	r->tls->chain[0].words.not_before_s = NOW_S + 1;
	r->tls->chain[0].words.not_after_s = NOW_S + 2;
	wanted(text_of(f), ": NOT YET");
}

static void testing_is_printed_besides(void **state)
{
	struct fixture *f = *state;
	struct probe_record *r = &f->records[0][0];
	r->has_testing = true;
	r->testing = (struct policy_judgement){ .verdict = POLICY_REFUSE,
		.reason = POLICY_REASON_CERTIFICATE_EXPIRED, .text = "it has expired" };
	wanted(text_of(f), "    in testing     refused, certificate-expired: it has expired\n");
	wanted(json_of(f), "\"testing\":{\"verdict\":\"refuse\",\"reason\":\"certificate-expired\","
		"\"verified\":false,\"text\":\"it has expired\"}");
}

static void json_has_every_step_and_fact(void **state)
{
	struct fixture *f = *state;
	struct probe_record *r = &f->records[0][0];
	fill_tls(r);
	fill_steps(r);
	const char *all = json_of(f);
	wanted(all, "{\"domain\":\"example.org\",\"passes\":true,\"sentence\":\"All 2 hosts for "
		"example.org pass; 1 other is not used.\",\"explain\":{\"domain\":\"example.org\",");
	wanted(all, "\"hosts\":[{\"name\":\"mx1.example.org\",\"preference\":10,\"verdict\":\"passes\","
		"\"addresses\":[{\"address\":\"192.0.2.1:25\",\"verdict\":\"passes\",\"connected\":true,"
		"\"took_ms\":0,\"trouble\":\"\",\"judgement\":{\"verdict\":\"pass\",\"reason\":\"none\","
		"\"verified\":true,\"text\":\"\"},\"testing\":null,\"tls\":{\"version\":\"TLS1.3\","
		"\"suite\":\"TLS_AES_256_GCM_SHA384\",\"suite_id\":4866,\"group\":\"x25519\","
		"\"key_exchange\":\"ECDHE\",\"resumed\":false,\"server_name\":\"mx1.example.org\","
		"\"chain\":[{\"subject\":\"CN=mx1\\u001b[2J\",\"issuer\":\"CN=ca\",");
	wanted(all, "\"faults\":\"\",\"names\":\"mx1.example.org\",\"matched_name\":\"mx1.example.org\","
		"\"ocsp\":\"none\",\"tlsa\":\"match\",\"tlsa_record\":0},\"steps\":[{\"at_ms\":12,"
		"\"direction\":\"in\",\"kind\":\"line\",\"text\":\"220 mx\\u001b[31m hi\",\"bytes\":14},"
		"{\"at_ms\":13,\"direction\":\"out\",\"kind\":\"line\",\"text\":\"STARTTLS\",\"bytes\":8},"
		"{\"at_ms\":20,\"direction\":\"in\",\"kind\":\"handshake\",\"text\":\"ServerHello\","
		"\"type\":2,\"record_version\":771,\"bytes\":118}]}],\"not_tried\":1}");
	wanted(all, "\"verdict\":\"not-judged\",\"connected\":true,\"took_ms\":0,\"trouble\":\"\","
		"\"judgement\":null,\"testing\":null,\"tls\":null,\"steps\":[]}");
	assert_int_equal(all[strlen(all) - 1], '\n');
}

static void key_exchanges_have_names(void **state)
{
	static const struct {
		struct tlsio_peer peer;
		const char *words;
	} rows[] = {
		{ { .suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", .group = "x25519" }, "ECDHE" },
		{ { .suite = "TLS_RSA_WITH_AES_128_GCM_SHA256" }, "RSA" },
		{ { .suite = "TLS_AES_128_GCM_SHA256", .group = "secp256r1" }, "ECDHE" },
		{ { .suite = "TLS_AES_128_GCM_SHA256", .group = "ffdhe2048" }, "DHE" },
		{ { .suite = "TLS_AES_128_GCM_SHA256", .group = "X25519MLKEM768" }, "hybrid ECDHE" },
		{ { .suite = "TLS_AES_128_GCM_SHA256", .group = "x25519", .is_resumed = true },
			"PSK with ECDHE" },
		{ { .suite = "TLS_AES_128_GCM_SHA256", .is_resumed = true }, "PSK" },
		{ { 0 }, "unknown" },
	};
	char text[32];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(probe_key_exchange(&rows[i].peer, text, sizeof(text)), rows[i].words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(the_first_line_says_whether_all_pass),
		T(a_host_that_is_reached_by_another_address_passes),
		T(the_worst_address_counts),
		T(a_broken_dialogue_is_worse_than_a_good_judgement),
		T(hosts_that_the_plan_does_not_use_count_for_nothing),
		T(everything_that_was_seen_is_printed),
		T(what_is_out_of_its_time_or_unmatched_is_said_loudly),
		T(testing_is_printed_besides),
		T(json_has_every_step_and_fact),
		cmocka_unit_test(key_exchanges_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
