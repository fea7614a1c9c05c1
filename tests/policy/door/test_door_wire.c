#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "policy/door/door_wire.h"
#include "tests/policy/door/make_plan.h"

/* Never looked into: the door only compares and shares. */
static struct tlsio_trust *some_trust(void)
{
	struct err err;
	struct tlsio_trust *trust = tlsio_trust_system(&err);
	assert_non_null(trust);
	return trust;
}

static struct tlsio_trust *find_own(void *ctx, const char *name, const uint8_t sha256[32])
{
	static const uint8_t wanted[32] = { 1, 2, 3 };
	return strcmp(name, "own-ca.pem") == 0 && memcmp(sha256, wanted, 32) == 0 ? ctx : NULL;
}

static struct str body_of(const struct buf *frame, enum door_kind kind, uint32_t id)
{
	struct door_frame f;
	size_t used;
	assert_int_equal(door_wire_split(buf_str(frame), DOOR_PLAN_BYTES_MOST, &f, &used, NULL), 1);
	assert_int_equal(used, frame->length);
	assert_int_equal(f.kind, kind);
	assert_int_equal(f.id, id);
	return f.body;
}

static void assert_same_requirement(const struct policy_requirement *a,
	const struct policy_requirement *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (!a)
		return;
	assert_string_equal(a->fingerprint, b->fingerprint);
	assert_int_equal(a->origin, b->origin);
	assert_string_equal(a->source, b->source);
	assert_ptr_equal(a->trust, b->trust);
}

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_host(const struct policy_plan_host *a, const struct policy_plan_host *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->preference, b->preference);
	assert_int_equal(a->address_count, b->address_count);
	for (size_t i = 0; i < a->address_count; i++)
		assert_true(netaddr_equal(&a->addresses[i], &b->addresses[i]));
	assert_same_requirement(a->requirement, b->requirement);
	assert_same_requirement(a->testing, b->testing);
	assert_int_equal(a->reason, b->reason);
	assert_int_equal(a->testing_reason, b->testing_reason);
	assert_same_text(a->text, b->text);
	assert_int_equal(a->is_domain_proven, b->is_domain_proven);
	assert_int_equal(a->report_count, b->report_count);
	for (size_t i = 0; i < a->report_count; i++) {
		assert_int_equal(a->reports[i].type, b->reports[i].type);
		assert_int_equal(a->reports[i].measure, b->reports[i].measure);
		assert_int_equal(a->reports[i].failure, b->reports[i].failure);
		assert_true(a->reports[i].identity == b->reports[i].identity);
		assert_string_equal(a->reports[i].domain, b->reports[i].domain);
	}
}

static void assert_same_plan(const struct policy_plan *a, const struct policy_plan *b)
{
	assert_string_equal(a->rule_domain, b->rule_domain);
	assert_string_equal(a->next_hop, b->next_hop);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->reason, b->reason);
	assert_same_text(a->text, b->text);
	assert_string_equal(a->rule_fingerprint, b->rule_fingerprint);
	assert_int_equal(a->made_s, b->made_s);
	assert_int_equal(a->expires_s, b->expires_s);
	assert_int_equal(a->host_count, b->host_count);
	for (size_t i = 0; i < a->host_count; i++)
		assert_same_host(&a->hosts[i], &b->hosts[i]);
	assert_int_equal(a->evidence_count, b->evidence_count);
	for (size_t i = 0; i < a->evidence_count; i++) {
		const struct policy_evidence *x = &a->evidence[i], *y = &b->evidence[i];
		assert_int_equal(x->kind, y->kind);
		assert_string_equal(x->subject, y->subject);
		assert_string_equal(x->verdict, y->verdict);
		assert_string_equal(x->text, y->text);
		assert_int_equal(x->ttl_s, y->ttl_s);
		assert_int_equal(x->age_s, y->age_s);
	}
}

static void a_plan_comes_back_equal(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct tlsio_trust *trust = some_trust();
	const struct door_authorities authorities = { .find = find_own, .ctx = trust };
	struct policy_plan *plan = make_plan_rich(trust);
	door_wire_plan(&frame, 7, plan);
	struct policy_plan *back =
		door_wire_read_plan(body_of(&frame, DOOR_PLAN, 7), &authorities, &err);
	if (!back)
		fail_msg("%s", err.text);
	assert_same_plan(plan, back);
	assert_int_equal(back->hosts[0].requirement->tlsa_count, 2);
	assert_int_equal(back->hosts[0].requirement->tlsa[1].data.length, 17);
	policy_plan_unref(&back);
	policy_plan_unref(&plan);
	tlsio_trust_unref(&trust);
	buf_release(&frame);
}

static void words_without_hosts_come_back_too(void **state)
{
	(void)state;
	struct buf frame = { 0 };
	struct policy_plan *plan = policy_plan_new("a.example", "a.example");
	policy_plan_end(plan, POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, "a.example takes no mail");
	door_wire_plan(&frame, 1, plan);
	struct policy_plan *back = door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, NULL);
	assert_non_null(back);
	assert_same_plan(plan, back);
	policy_plan_unref(&back);
	policy_plan_unref(&plan);
	buf_release(&frame);
}

/* Every cut, and a byte too much. */
static void a_plan_that_is_not_whole_is_refused(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct policy_plan *plan = make_plan_rich(NULL);
	door_wire_plan(&frame, 1, plan);
	struct str body = body_of(&frame, DOOR_PLAN, 1);
	for (size_t i = 0; i < body.length; i++) {
		char *cut = mem_dup_bytes(body.at, i);
		struct policy_plan *back = door_wire_read_plan(str_from(cut, i), NULL, &err);
		assert_null(back);
		free(cut);
	}
	buf_append_byte(&frame, 0);
	assert_null(door_wire_read_plan(
		str_from(frame.data + frame.head + 9, body.length + 1), NULL, &err));
	assert_non_null(strstr(err.text, "left over"));
	policy_plan_unref(&plan);
	buf_release(&frame);
}

static void a_requirement_that_differs_from_its_fingerprint_is_refused(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct policy_plan *plan = make_plan_plain("example.org", 1);
	plan->hosts[0].requirement->fingerprint[0] ^= 1;
	door_wire_plan(&frame, 1, plan);
	assert_null(door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, &err));
	assert_non_null(strstr(err.text, "fingerprint"));
	policy_plan_unref(&plan);
	buf_release(&frame);
}

static void authorities_that_are_not_known_here_refuse_the_plan(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct tlsio_trust *trust = some_trust();
	struct policy_plan *plan = make_plan_rich(trust);
	plan->hosts[0].requirement->trust_sha256[0]++;
	door_wire_plan(&frame, 1, plan);
	const struct door_authorities authorities = { .find = find_own, .ctx = trust };
	assert_null(door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), &authorities, &err));
	assert_non_null(strstr(err.text, "own-ca.pem"));
	assert_null(door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, &err));
	policy_plan_unref(&plan);
	tlsio_trust_unref(&trust);
	buf_release(&frame);
}

static void a_host_without_requirement_says_why(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct policy_plan *plan = make_plan_plain("example.org", 1);
	policy_requirement_unref(&plan->hosts[1].requirement);
	door_wire_plan(&frame, 1, plan);
	assert_null(door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, &err));
	assert_non_null(strstr(err.text, "without a reason"));
	policy_plan_unref(&plan);
	buf_release(&frame);
}

static void fill_with_records(struct policy_plan *plan)
{
	static char certificate[POLICY_TLSA_DATA_BYTES];
	struct policy_tlsa records[POLICY_TLSA_MOST];
	for (size_t i = 0; i < POLICY_TLSA_MOST; i++)
		records[i] = (struct policy_tlsa){ .usage = 3,
			.data = str_from(certificate, sizeof(certificate)) };
	struct policy_requirement from = { .level = POLICY_LEVEL_DANE, .tlsa = records,
		.tlsa_count = POLICY_TLSA_MOST };
	for (unsigned i = 0; i < 5; i++)
		policy_plan_add_host(plan, "mx.example.org", i)->requirement =
			policy_requirement_new(&from);
}

static void a_plan_larger_than_a_frame_becomes_a_deferral_in_words(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct policy_plan *plan = policy_plan_new("example.org", "example.org");
	fill_with_records(plan);
	door_wire_plan(&frame, 1, plan);
	struct policy_plan *back = door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, &err);
	assert_non_null(back);
	assert_int_equal(back->state, POLICY_PLAN_DEFER);
	assert_non_null(strstr(back->text, "larger than 1024 KiB"));
	policy_plan_unref(&back);
	policy_plan_unref(&plan);
	buf_release(&frame);
}

static void evidence_that_does_not_fit_is_left_out(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	char text[590];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	struct policy_plan *plan = policy_plan_new("example.org", "example.org");
	fill_with_records(plan);
	plan->host_count -= 2; /* three of them fit; with evidence they do not */
	for (int i = 0; i < POLICY_PLAN_EVIDENCE_MOST; i++)
		policy_plan_add_evidence(plan, POLICY_EVIDENCE_NOTE, text, text, 0, 0, "%s", text);
	door_wire_plan(&frame, 1, plan);
	struct policy_plan *back = door_wire_read_plan(body_of(&frame, DOOR_PLAN, 1), NULL, &err);
	assert_non_null(back);
	assert_int_equal(back->state, POLICY_PLAN_READY);
	assert_int_equal(back->host_count, 3);
	assert_int_equal(back->evidence_count, 0);
	policy_plan_unref(&back);
	plan->host_count += 2;
	policy_plan_unref(&plan);
	buf_release(&frame);
}

static void a_question_comes_back_equal(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	const struct policy_question question = { .kind = POLICY_BY_HOST,
		.rule_domain = "example.org", .next_hop = "smart.example.net", .port = 587,
		.wants_evidence = true };
	struct policy_question back;
	door_wire_ask(&frame, UINT32_MAX, &question);
	assert_true(frame.length <= DOOR_QUESTION_BYTES_MOST);
	struct str body = body_of(&frame, DOOR_ASK, UINT32_MAX);
	assert_int_equal(door_wire_read_ask(body, &back, &err), 0);
	assert_int_equal(back.kind, POLICY_BY_HOST);
	assert_int_equal(back.port, 587);
	assert_true(back.wants_evidence);
	assert_string_equal(back.rule_domain, "example.org");
	assert_string_equal(back.next_hop, "smart.example.net");
	for (size_t i = 0; i < body.length; i++)
		assert_int_equal(door_wire_read_ask(str_head(body, i), &back, &err), -1);
	buf_release(&frame);
}

static void assert_ask_refused(const struct policy_question *question, const char *words)
{
	struct err err;
	struct buf frame = { 0 };
	struct policy_question back;
	door_wire_ask(&frame, 1, question);
	assert_int_equal(door_wire_read_ask(body_of(&frame, DOOR_ASK, 1), &back, &err), -1);
	assert_non_null(strstr(err.text, words));
	buf_release(&frame);
}

static void questions_with_wild_names_are_refused(void **state)
{
	(void)state;
	char longest[257];
	memset(longest, 'a', sizeof(longest));
	longest[256] = '\0';
	struct policy_question q = { .rule_domain = "a.example", .next_hop = "a.example", .port = 25 };
	q.next_hop = longest;
	assert_ask_refused(&q, "longer text");
	q.next_hop = "two\nlines";
	assert_ask_refused(&q, "no line");
	q.next_hop = "";
	assert_ask_refused(&q, "without a port or a name");
	q.next_hop = "a.example";
	q.port = 0;
	assert_ask_refused(&q, "without a port or a name");
}

static struct policy_session make_session(void)
{
	static char why[300];
	memset(why, 'w', sizeof(why) - 1);
	struct policy_session session = { .domain = "example.org", .host = "mx.example.org",
		.part_count = 2, .parts = { { .type = POLICY_REPORT_TLSA,
		.reason = POLICY_REASON_CERTIFICATE_EXPIRED, .identity = UINT64_C(0x0123456789abcdef),
		.domain = "mx.example.org", .why = why }, { .type = POLICY_REPORT_STS,
		.besides = POLICY_REASON_STS_POLICY_FETCH_ERROR, .domain = "example.org", .why = "" } } };
	netaddr_parse(STR("192.0.2.1:25"), 25, &session.sending, NULL);
	return session;
}

static void reports_checks_and_greetings_come_back_equal(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	char words[400];
	unsigned format;
	int result;
	struct policy_session got, sent = make_session();
	assert_true(door_wire_report(&frame, 7, &sent));
	assert_int_equal(door_wire_read_report(body_of(&frame, DOOR_REPORT, 7), &got, &err), 0);
	assert_string_equal(got.domain, "example.org");
	assert_string_equal(got.host, "mx.example.org");
	assert_true(got.sending.family == NETADDR_IPV4 && got.receiving.family == NETADDR_NONE);
	assert_memory_equal(got.sending.bytes, sent.sending.bytes, 16);
	assert_int_equal(got.part_count, 2);
	assert_int_equal(got.parts[0].type, POLICY_REPORT_TLSA);
	assert_int_equal(got.parts[0].reason, POLICY_REASON_CERTIFICATE_EXPIRED);
	assert_true(got.parts[0].identity == sent.parts[0].identity);
	assert_string_equal(got.parts[0].domain, "mx.example.org");
	assert_int_equal(strlen(got.parts[0].why), POLICY_REPORT_WHY_BYTES_MOST);
	assert_int_equal(got.parts[1].type, POLICY_REPORT_STS);
	assert_int_equal(got.parts[1].besides, POLICY_REASON_STS_POLICY_FETCH_ERROR);
	assert_string_equal(got.parts[1].why, "");
	/* Cut anywhere it is refused, and so is what is longer than a name. */
	struct str whole = body_of(&frame, DOOR_REPORT, 7);
	for (size_t i = 0; i < whole.length; i++)
		assert_int_equal(door_wire_read_report(str_head(whole, i), &got, &err), -1);
	char longest[257];
	memset(longest, 'a', 256);
	longest[256] = '\0';
	sent.host = longest;
	buf_clear(&frame);
	assert_false(door_wire_report(&frame, 0, &sent));
	assert_int_equal(frame.length, 0);
	buf_clear(&frame);
	door_wire_self_check(&frame, 1, "no\nvalidation");
	assert_int_equal(door_wire_read_self_check(
		body_of(&frame, DOOR_SELF_CHECK, 0), &result, words, &err), 0);
	assert_int_equal(result, 1);
	assert_string_equal(words, "no?validation");
	buf_clear(&frame);
	door_wire_hello(&frame, "posternd-0");
	assert_int_equal(
		door_wire_read_hello(body_of(&frame, DOOR_HELLO, 0), &format, &err), 0);
	assert_int_equal(format, DOOR_FORMAT);
	codec_put_u16(frame.data + frame.head + 9, DOOR_FORMAT + 1);
	assert_int_equal(
		door_wire_read_hello(body_of(&frame, DOOR_HELLO, 0), &format, &err), 0);
	assert_int_equal(format, DOOR_FORMAT + 1);
	buf_release(&frame);
}

static void a_status_comes_back_equal(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 }, again = { 0 };
	struct door_status back, said = { .pid = 4711, .version = "1.2.3", .uptime_s = 99, .check = 2,
		.check_words = "no answer", .clients = 1, .plans = 2, .in_flight = 3, .asked = 4,
		.found = UINT64_C(1) << 40, .made = 6, .deferred = 7, .refused = 8 };
	for (said.check = -1; said.check <= DOOR_SELF_CHECK_RESULT_MOST; said.check++) {
		buf_clear(&frame);
		buf_clear(&again);
		door_wire_status(&frame, &said);
		struct str body = body_of(&frame, DOOR_STATUS, 0);
		assert_int_equal(door_wire_read_status(body, &back, &err), 0);
		assert_int_equal(back.check, said.check);
		assert_string_equal(back.version, "1.2.3");
		assert_string_equal(back.check_words, "no answer");
		assert_int_equal(back.found, UINT64_C(1) << 40);
		door_wire_status(&again, &back);
		assert_true(str_equal(buf_str(&frame), buf_str(&again)));
		for (size_t i = 0; i < body.length; i++)
			assert_int_equal(door_wire_read_status(str_head(body, i), &back, &err), -1);
	}
	buf_release(&frame);
	buf_release(&again);
}

static void frames_are_split_at_any_byte_and_within_limits(void **state)
{
	(void)state;
	struct err err;
	struct buf frame = { 0 };
	struct door_frame f;
	size_t used;
	door_wire_hello(&frame, "x");
	for (size_t i = 0; i < frame.length; i++)
		assert_int_equal(door_wire_split(
			str_head(buf_str(&frame), i), 4096, &f, &used, &err), 0);
	assert_int_equal(
		door_wire_split(buf_str(&frame), frame.length - 5, &f, &used, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	frame.data[frame.head + 4] = DOOR_STATUS + 1;
	assert_int_equal(door_wire_split(buf_str(&frame), 4096, &f, &used, &err), -1);
	frame.data[frame.head + 4] = 0;
	assert_int_equal(door_wire_split(buf_str(&frame), 4096, &f, &used, &err), -1);
	assert_int_equal(door_wire_split(STR("\4\0\0\0"), 4096, &f, &used, &err), -1);
	assert_int_equal(door_wire_split(STR("\xff\xff\xff\xff"), 4096, &f, &used, &err), -1);
	buf_release(&frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_comes_back_equal),
		cmocka_unit_test(words_without_hosts_come_back_too),
		cmocka_unit_test(a_plan_that_is_not_whole_is_refused),
		cmocka_unit_test(a_requirement_that_differs_from_its_fingerprint_is_refused),
		cmocka_unit_test(authorities_that_are_not_known_here_refuse_the_plan),
		cmocka_unit_test(a_host_without_requirement_says_why),
		cmocka_unit_test(a_plan_larger_than_a_frame_becomes_a_deferral_in_words),
		cmocka_unit_test(evidence_that_does_not_fit_is_left_out),
		cmocka_unit_test(a_question_comes_back_equal),
		cmocka_unit_test(questions_with_wild_names_are_refused),
		cmocka_unit_test(reports_checks_and_greetings_come_back_equal),
		cmocka_unit_test(a_status_comes_back_equal),
		cmocka_unit_test(frames_are_split_at_any_byte_and_within_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
