/* dns with the real libunbound against a real nsd: verdicts, chains, limits, time-outs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/dns/dns.h"
#include "policy/dns/dns_check.h"
#include "tests/policy/dns/dns_server.h"

static struct dns_server *server;
static int silent_fd = -1, silent_port;

/* What came, copied: answers are borrowed. */
struct heard {
	struct arena arena;
	struct dns_answer answer;
	int count;
};

struct fixture {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct heard heard;
};

static void on_answer(void *ctx, const struct dns_answer *answer)
{
	struct heard *h = ctx;
	arena_clear(&h->arena);
	h->answer = *answer;
	struct dns_record *records = arena_alloc(&h->arena,
		(answer->count + 1) * sizeof(*records));
	for (size_t i = 0; i < answer->count; i++) {
		records[i] = answer->records[i];
		records[i].data = arena_str(&h->arena, records[i].data);
		if (records[i].name)
			records[i].name = arena_text(&h->arena, str_of(records[i].name));
	}
	h->answer.records = records;
	h->answer.canonical = arena_text(&h->arena, str_of(answer->canonical));
	h->answer.why = arena_text(&h->arena, str_of(answer->why));
	h->count++;
}

static void open_dns(struct fixture *f, struct dns_settings *settings)
{
	struct err err;
	f->loop = tlsio_loop_new(&err);
	f->dns = dns_new(f->loop, settings, &err);
	if (!f->dns)
		fail_msg("%s", err.text);
	dns_settings_clear(settings);
}

static void reopen(struct fixture *f, struct dns_settings *settings)
{
	dns_free(&f->dns);
	tlsio_loop_free(&f->loop);
	open_dns(f, settings);
}

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	struct dns_settings settings;
	dns_server_settings(server, &settings);
	dns_server_stub(&settings, "silent.example", silent_port);
	dns_server_stub(&settings, "refused.example", dns_server_port(server));
	open_dns(f, &settings);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	dns_free(&f->dns);
	tlsio_loop_free(&f->loop);
	arena_clear(&f->heard.arena);
	free(f);
	return 0;
}

static const struct dns_answer *ask(struct fixture *f, const char *name, enum dns_type type)
{
	f->heard.count = 0;
	dns_ask(f->dns, name, type, on_answer, &f->heard);
	assert_int_equal(f->heard.count, 0); /* never inside dns_ask */
	while (f->heard.count == 0)
		tlsio_loop_turn(f->loop, true);
	return &f->heard.answer;
}

static void expect(const struct dns_answer *a, enum dns_result result, enum dns_security security)
{
	if (a->result != result || a->security != security)
		fail_msg("%d %s (%s)", a->result, dns_verdict_name(a->result, a->security), a->why);
}

static void signed_answers_are_secure(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "signed.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 2);
	assert_int_equal(a->records[0].preference, 10);
	assert_string_equal(a->records[0].name, "mx1.signed.example");
	assert_string_equal(a->records[1].name, "mx2.signed.example");
	assert_string_equal(a->canonical, "signed.example");
	assert_false(a->is_alias);
	assert_string_equal(a->why, "");
	assert_in_range(a->ttl_s, 290, 300);

	a = ask(f, "mx1.signed.example", DNS_A);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 2);
	assert_memory_equal(a->records[0].data.at, "\xc0\x00\x02", 3);

	a = ask(f, "mx1.signed.example", DNS_AAAA);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->records[0].data.length, 16);

	a = ask(f, "_25._tcp.mx1.signed.example", DNS_TLSA);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->records[0].data.length, 3 + 32);
	assert_memory_equal(a->records[0].data.at, "\x03\x01\x01\x00\x11", 5);
}

static void nsec3_zones_are_secure_too(void **state)
{
	struct fixture *f = *state;
	expect(ask(f, "mx.hashed.example", DNS_A), DNS_FOUND, DNS_SECURE);
	expect(ask(f, "mx.hashed.example", DNS_TLSA), DNS_NO_DATA, DNS_SECURE);
	expect(ask(f, "no.hashed.example", DNS_A), DNS_NO_NAME, DNS_SECURE);
}

static void M1_strings_of_one_txt_record_are_joined_without_spaces(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "_mta-sts.signed.example", DNS_TXT);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 1);
	assert_true(str_equal(a->records[0].data, STR("v=STSv1;id=1;")));
}

static void D1_nothing_there_is_an_answer_with_a_verdict(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "mx1.signed.example", DNS_MX);
	expect(a, DNS_NO_DATA, DNS_SECURE);
	assert_int_equal(a->count, 0);
	assert_in_range(a->ttl_s, 60, 77); /* the SOA's minimum (RFC 2308) */
	a = ask(f, "nobody.signed.example", DNS_A);
	expect(a, DNS_NO_NAME, DNS_SECURE);
	assert_in_range(a->ttl_s, 60, 77);
	expect(ask(f, "nobody.plain.example", DNS_A), DNS_NO_NAME, DNS_INSECURE);
	expect(ask(f, "mx.plain.example", DNS_TLSA), DNS_NO_DATA, DNS_INSECURE);
}

static void unsigned_answers_are_insecure(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "plain.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_INSECURE);
	assert_string_equal(a->records[0].name, "mx.plain.example");
	/* a delegation without DS below a signed zone: proven to be insecure */
	expect(ask(f, "child.signed.example", DNS_A), DNS_FOUND, DNS_INSECURE);
}

static void D1_bogus_is_a_failure_and_says_why(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) { /* from the cache as well */
		const struct dns_answer *a = ask(f, "www.tampered.example", DNS_A);
		expect(a, DNS_FAILED, DNS_BOGUS);
		assert_int_equal(a->count, 0);
		if (i == 0 && !strstr(a->why, "signature")) /* words of libunbound */
			fail_msg("%s", a->why);
		assert_true(a->why[0] != '\0');
	}
	/* what nobody touched there is good */
	expect(ask(f, "ns.tampered.example", DNS_A), DNS_FOUND, DNS_SECURE);
	const struct dns_answer *a = ask(f, "www.expired.example", DNS_A);
	expect(a, DNS_FAILED, DNS_BOGUS);
	if (!strstr(a->why, "expired"))
		fail_msg("%s", a->why);
}

static void D1_servfail_is_a_failure_never_insecure_nothing(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "mx.broken.example", DNS_A);
	expect(a, DNS_FAILED, DNS_INSECURE);
	assert_string_equal(dns_verdict_name(a->result, a->security), "error");
	if (!strstr(a->why, "SERVFAIL: ") || !strstr(a->why, "127.0.0.1"))
		fail_msg("%s", a->why);
	a = ask(f, "mx.refused.example", DNS_MX);
	expect(a, DNS_FAILED, DNS_INSECURE);
	if (!strstr(a->why, "SERVFAIL"))
		fail_msg("%s", a->why);
}

static void alias_chains_are_followed_and_the_weakest_link_counts(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "alias2.signed.example", DNS_A);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_true(a->is_alias);
	assert_string_equal(a->canonical, "mx1.signed.example");
	assert_int_equal(a->count, 2);
	assert_in_range(a->ttl_s, 100, 120); /* of the middle link */

	a = ask(f, "away.signed.example", DNS_A);
	expect(a, DNS_FOUND, DNS_INSECURE);
	assert_string_equal(a->canonical, "mx.plain.example");
	/* D8: the first link alone, asked for itself, is secure */
	a = ask(f, "away.signed.example", DNS_CNAME);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_string_equal(a->records[0].name, "mx.plain.example");
	assert_false(a->is_alias);

	a = ask(f, "back.plain.example", DNS_A);
	expect(a, DNS_FOUND, DNS_INSECURE);
	assert_string_equal(a->canonical, "mx1.signed.example");

	a = ask(f, "_25._tcp.alias.signed.example", DNS_TLSA);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_string_equal(a->canonical, "_25._tcp.mx1.signed.example");

	a = ask(f, "gone.signed.example", DNS_A);
	expect(a, DNS_NO_NAME, DNS_SECURE);
	assert_string_equal(a->canonical, "nothing.signed.example");
	expect(ask(f, "circle.signed.example", DNS_A), DNS_FAILED, DNS_INSECURE);
}

static void wildcards_are_secure_with_their_proof(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "any.wild.signed.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_string_equal(a->records[0].name, "mx1.signed.example");
	assert_string_equal(a->canonical, "any.wild.signed.example");
}

static void the_root_as_a_host_stays_visible(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "nomail.signed.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 1);
	assert_string_equal(a->records[0].name, ".");
	assert_int_equal(a->records[0].preference, 0);
	a = ask(f, "mixed.signed.example", DNS_MX);
	assert_int_equal(a->count, 2);
	assert_string_equal(a->records[0].name, ".");
	assert_string_equal(a->records[1].name, "mx1.signed.example");
}

static void odd_bytes_in_names_stay_escaped(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "odd.signed.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_string_equal(a->records[0].name, "we\\046ird\\032x.signed.example");
}

static void of_150_mx_records_the_best_100_are_kept(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "many.signed.example", DNS_MX);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 100);
	assert_int_equal(a->left_out_count, 50);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(a->records[i].preference, i + 1);
}

static void answers_too_big_for_udp_come_over_tcp(void **state)
{
	struct fixture *f = *state;
	const struct dns_answer *a = ask(f, "_25._tcp.big.signed.example", DNS_TLSA);
	expect(a, DNS_FOUND, DNS_SECURE);
	assert_int_equal(a->count, 40);
	assert_int_equal(a->records[0].data.length, 3 + 500);
}

static void names_the_library_answers_by_itself_can_be_had_by_a_stub(void **state)
{
	struct fixture *f = *state;
	expect(ask(f, "mx.own.test", DNS_A), DNS_FOUND, DNS_INSECURE);
	expect(ask(f, "mx.other.invalid", DNS_A), DNS_NO_NAME, DNS_INSECURE);
}

static void what_is_no_host_name_fails_without_asking(void **state)
{
	struct fixture *f = *state;
	char label[70], longest[300];
	memset(label, 'a', sizeof(label));
	label[64] = '\0';
	snprintf(longest, sizeof(longest), "%.63s.%.63s.%.63s.%.63s", label, label, label, label);
	const char *const names[] = { "", "a..b", ".a", "a.", "a b", "we\\046ird", "b\xc3\xbc.example",
		label, longest };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct dns_answer *a = ask(f, names[i], DNS_A);
		expect(a, DNS_FAILED, DNS_INSECURE);
		assert_string_equal(a->why, "this is no host name");
	}
}

static void a_cached_answer_comes_later_all_the_same(void **state)
{
	struct fixture *f = *state;
	ask(f, "signed.example", DNS_MX);
	expect(ask(f, "Signed.EXAMPLE", DNS_MX), DNS_FOUND, DNS_SECURE);
	assert_string_equal(f->heard.answer.canonical, "signed.example");
}

struct chain {
	struct fixture *f;
	struct dns_question *other;
	int count;
	bool frees;
};

static void on_link(void *ctx, const struct dns_answer *answer)
{
	struct chain *c = ctx;
	expect(answer, DNS_FOUND, DNS_SECURE);
	c->count++;
	dns_cancel(&c->other);
	if (c->frees)
		dns_free(&c->f->dns);
	else if (c->count < 3)
		dns_ask(c->f->dns, "mx1.signed.example", c->count == 1 ? DNS_A : DNS_AAAA, on_link, c);
	assert_int_equal(answer->result, DNS_FOUND); /* still ours to read */
}

static void an_answer_may_ask_again_cancel_others_and_free_the_resolver(void **state)
{
	struct fixture *f = *state;
	struct chain c = { .f = f };
	dns_ask(f->dns, "signed.example", DNS_MX, on_link, &c);
	c.other = dns_ask(f->dns, "signed.example", DNS_MX, on_link, &c); /* the same lookup */
	while (c.count < 3)
		tlsio_loop_turn(f->loop, true);
	assert_null(c.other);
	c = (struct chain){ .f = f, .frees = true };
	dns_ask(f->dns, "signed.example", DNS_MX, on_link, &c);
	while (c.count < 1)
		tlsio_loop_turn(f->loop, true);
	assert_null(f->dns);
}

static void a_cancelled_question_is_silent(void **state)
{
	struct fixture *f = *state;
	struct dns_question *q = dns_ask(f->dns, "signed.example", DNS_MX, on_answer, &f->heard);
	dns_cancel(&q);
	dns_cancel(&q);
	struct dns_question *refused = dns_ask(f->dns, "a..b", DNS_MX, on_answer, &f->heard);
	dns_cancel(&refused);
	struct heard other = { 0 };
	dns_ask(f->dns, "mx1.signed.example", DNS_A, on_answer, &other);
	while (other.count == 0)
		tlsio_loop_turn(f->loop, true);
	assert_int_equal(f->heard.count, 0);
	arena_clear(&other.arena);
}

static void the_resolver_may_go_while_it_asks(void **state)
{
	struct fixture *f = *state;
	struct dns_question *q = dns_ask(f->dns, "mx.silent.example", DNS_A, on_answer, &f->heard);
	tlsio_loop_turn(f->loop, false);
	struct dns_question *other = dns_ask(f->dns, "a..b", DNS_A, on_answer, &f->heard);
	dns_cancel(&q);
	dns_cancel(&other);
	dns_free(&f->dns);
	assert_int_equal(f->heard.count, 0);
}

/* Datagrams waiting at the server that never answers, taken away. */
static int heard_by_silent_server(void)
{
	char bytes[600];
	int count = 0;
	while (recv(silent_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		count++;
	return count;
}

static void D1_silence_ends_in_failure_within_the_time(void **state)
{
	struct fixture *f = *state;
	struct dns_settings settings;
	dns_server_settings(server, &settings);
	settings.timeout_ms = 150;
	dns_server_stub(&settings, "silent.example", silent_port);
	reopen(f, &settings);
	heard_by_silent_server();
	int64_t begun = tlsio_loop_now_ms(f->loop);
	const struct dns_answer *a = ask(f, "mx.silent.example", DNS_A);
	expect(a, DNS_FAILED, DNS_INSECURE);
	assert_string_equal(a->why, "no answer within 150 ms");
	assert_string_equal(a->canonical, "mx.silent.example");
	assert_in_range(tlsio_loop_now_ms(f->loop) - begun, 150, 2000);
	assert_true(heard_by_silent_server() > 0);
	/* who asks again joins the lookup that still goes on, with a time of his own */
	ask(f, "mx.silent.example", DNS_A);
	expect(&f->heard.answer, DNS_FAILED, DNS_INSECURE);
}

static void equal_questions_are_asked_once(void **state)
{
	struct fixture *f = *state;
	struct dns_question *questions[50];
	heard_by_silent_server();
	for (int i = 0; i < 50; i++)
		questions[i] = dns_ask(f->dns, i % 2 ? "MX.silent.example" : "mx.silent.example",
			DNS_A, on_answer, &f->heard);
	for (int i = 0; i < 5; i++)
		tlsio_loop_turn(f->loop, false);
	int asked = heard_by_silent_server();
	assert_in_range(asked, 1, 2); /* two: the zone's name server as well, not fifty */
	for (int i = 0; i < 50; i++)
		dns_cancel(&questions[i]);
}

static void count_refused(void *ctx, const struct dns_answer *answer)
{
	if (strcmp(answer->why, "too many questions at a time") == 0)
		++*(int *)ctx;
}

static void a_flood_is_bounded(void **state)
{
	enum { FLOOD = 10050, BOUND = 10000 };
	struct fixture *f = *state;
	struct dns_question **questions = mem_array(FLOOD, sizeof(*questions));
	int refused = 0;
	for (int i = 0; i < FLOOD; i++) {
		char name[60];
		snprintf(name, sizeof(name), "mx%d.silent.example", i);
		questions[i] = dns_ask(f->dns, name, DNS_A, count_refused, &refused);
	}
	assert_int_equal(refused, 0);
	tlsio_loop_turn(f->loop, false);
	assert_int_equal(refused, FLOOD - BOUND);
	for (int i = 0; i < BOUND; i++)
		dns_cancel(&questions[i]);
	free(questions);
	/* they go on inside, so they still count */
	dns_ask(f->dns, "signed.example", DNS_MX, count_refused, &refused);
	tlsio_loop_turn(f->loop, false);
	assert_int_equal(refused, FLOOD - BOUND + 1);
}

static char **list_of(const char *text)
{
	char **list = mem_zero(2 * sizeof(*list));
	list[0] = mem_dup(text);
	return list;
}

static void a_forwarder_s_answers_are_validated(void **state)
{
	struct fixture *f = *state;
	struct dns_settings settings, all;
	char address[40];
	snprintf(address, sizeof(address), "127.0.0.1@%d", dns_server_port(server));
	dns_server_settings(server, &all);
	settings = (struct dns_settings){
		.anchor_text = mem_dup(all.anchor_text),
		.forward = list_of(address),
		.insecure = list_of("www.tampered.example"),
	};
	dns_settings_clear(&all);
	reopen(f, &settings);
	expect(ask(f, "signed.example", DNS_MX), DNS_FOUND, DNS_SECURE);
	/* said to be never validated */
	expect(ask(f, "www.tampered.example", DNS_A), DNS_FOUND, DNS_INSECURE);
	expect(ask(f, "www.expired.example", DNS_A), DNS_FAILED, DNS_BOGUS);
}

struct verdict {
	int count;
	enum dns_check_result result;
};

static void on_checked(void *ctx, enum dns_check_result result, const char *words)
{
	struct verdict *v = ctx;
	v->count++;
	v->result = result;
	assert_true(words[0] != '\0');
}

static void the_self_check_tells_validation_from_none(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		struct dns_settings settings, used;
		struct verdict verdict = { 0 };
		dns_server_settings(server, &settings);
		settings.check = list_of("www.tampered.example");
		dns_settings_copy(&settings, &used);
		if (i == 1) {
			free(used.anchor_text);
			used.anchor_text = NULL;
		}
		reopen(f, &used);
		dns_check_start(f->loop, f->dns, &settings, on_checked, &verdict);
		while (verdict.count == 0)
			tlsio_loop_turn(f->loop, true);
		assert_int_equal(verdict.result,
			i == 0 ? DNS_CHECK_GOOD : DNS_CHECK_NOT_VALIDATING);
		dns_settings_clear(&settings);
	}
}

static void without_an_anchor_nothing_is_secure(void **state)
{
	struct fixture *f = *state;
	struct dns_settings settings;
	dns_server_settings(server, &settings);
	free(settings.anchor_text);
	settings.anchor_text = NULL;
	reopen(f, &settings);
	expect(ask(f, "signed.example", DNS_MX), DNS_FOUND, DNS_INSECURE);
	expect(ask(f, "www.tampered.example", DNS_A), DNS_FOUND, DNS_INSECURE);
}

static void settings_that_cannot_work_are_refused_in_words(void **state)
{
	(void)state;
	static const struct {
		const char *anchors;
		const char *stub;
		const char *words;
	} cases[] = {
		{ "", NULL, "no record among" },
		{ "; nothing\n\n", NULL, "no record among" },
		{ "example. IN A 192.0.2.1\n", NULL, "line 1" },
		{ "example. IN DS 1 8 2 zz\n", NULL, "example. IN DS 1 8 2 zz" },
		{ NULL, "192.0.2.1@x", "no address" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		char *servers[] = { (char *)(uintptr_t)cases[i].stub, NULL };
		char zone[] = "corp.example";
		struct dns_stub stub = { .zone = zone, .servers = servers };
		struct dns_settings settings = {
			.anchor_text = (char *)(uintptr_t)cases[i].anchors,
			.stubs = &stub,
			.stub_count = cases[i].stub ? 1 : 0,
		};
		struct tlsio_loop *loop = tlsio_loop_new(&err);
		assert_null(dns_new(loop, &settings, &err));
		if (!strstr(err.text, cases[i].words))
			fail_msg("%s", err.text);
		tlsio_loop_free(&loop);
	}
}

static int note_library(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	if (strstr(info->dlpi_name, "libev.so") || strstr(info->dlpi_name, "libgnutls-dane"))
		*(const char **)ctx = info->dlpi_name;
	return 0;
}

/* libev.so has libevent's names, too: libunbound's calls would land there. */
static void nothing_but_libevent_has_libevent_s_names(void **state)
{
	(void)state;
	const char *unwanted = NULL;
	dl_iterate_phdr(note_library, &unwanted);
	if (unwanted)
		fail_msg("%s", unwanted);
	static const char *const names[] = { "event_set", "event_add", "event_base_new" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		Dl_info info;
		void *found = dlsym(RTLD_DEFAULT, names[i]);
		if (found && dladdr(found, &info) && !strstr(info.dli_fname, "libevent"))
			fail_msg("%s is %s's", names[i], info.dli_fname);
	}
}

static void make_zones(void)
{
	struct buf text = { 0 };
	buf_append_text(&text,
		"@ MX 20 MX2\n@ MX 10 mx1\n"
		"mx1 A 192.0.2.1\nmx1 A 192.0.2.2\nmx1 AAAA 2001:db8::1\n"
		"_25._tcp.mx1 TLSA 3 1 1 "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
		"_mta-sts TXT \"v=STSv1;\" \"id=1;\"\n"
		"nomail MX 0 .\nmixed MX 20 mx1\nmixed MX 10 .\n"
		"alias 120 CNAME mx1\nalias2 CNAME alias\naway CNAME mx.plain.example.\n"
		"_25._tcp.alias CNAME _25._tcp.mx1\n"
		"gone CNAME nothing\ncircle CNAME circle2\ncircle2 CNAME circle\n"
		"*.wild MX 5 mx1\nodd MX 10 we\\.ird\\032x\n"
		"child NS ns\n");
	for (int i = 150; i > 0; i--)
		buf_printf(&text, "many MX %d m%d\n", i, i);
	for (int i = 0; i < 40; i++) {
		buf_printf(&text, "_25._tcp.big TLSA 2 0 0 %02x", i);
		for (int k = 1; k < 500; k++)
			buf_append_text(&text, "5a");
		buf_append_byte(&text, '\n');
	}
	dns_server_add(server, "signed.example", DNS_SERVER_SIGNED, buf_text(&text));
	buf_release(&text);
	dns_server_add(server, "hashed.example", DNS_SERVER_SIGNED_NSEC3, "mx A 192.0.2.1\n");
	dns_server_add(server, "child.signed.example", DNS_SERVER_PLAIN, "@ A 192.0.2.9\n");
	dns_server_add(server, "plain.example", DNS_SERVER_PLAIN,
		"@ MX 10 mx\nmx A 192.0.2.3\nback CNAME mx1.signed.example.\n");
	dns_server_add(server, "tampered.example", DNS_SERVER_TAMPERED, "www A 192.0.2.66\n");
	dns_server_add(server, "expired.example", DNS_SERVER_EXPIRED, "www A 192.0.2.4\n");
	dns_server_add(server, "broken.example", DNS_SERVER_BROKEN, "");
	dns_server_add(server, "own.test", DNS_SERVER_PLAIN, "mx A 192.0.2.5\n");
}

static void open_silent_server(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	silent_fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(silent_fd, (struct sockaddr *)&address, length) < 0 ||
		getsockname(silent_fd, (struct sockaddr *)&address, &length) < 0)
		abort();
	silent_port = ntohs(address.sin_port);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signed_answers_are_secure),
		T(nsec3_zones_are_secure_too),
		T(M1_strings_of_one_txt_record_are_joined_without_spaces),
		T(D1_nothing_there_is_an_answer_with_a_verdict),
		T(unsigned_answers_are_insecure),
		T(D1_bogus_is_a_failure_and_says_why),
		T(D1_servfail_is_a_failure_never_insecure_nothing),
		T(alias_chains_are_followed_and_the_weakest_link_counts),
		T(wildcards_are_secure_with_their_proof),
		T(the_root_as_a_host_stays_visible),
		T(odd_bytes_in_names_stay_escaped),
		T(of_150_mx_records_the_best_100_are_kept),
		T(answers_too_big_for_udp_come_over_tcp),
		T(names_the_library_answers_by_itself_can_be_had_by_a_stub),
		T(what_is_no_host_name_fails_without_asking),
		T(a_cached_answer_comes_later_all_the_same),
		T(an_answer_may_ask_again_cancel_others_and_free_the_resolver),
		T(a_cancelled_question_is_silent),
		T(the_resolver_may_go_while_it_asks),
		T(D1_silence_ends_in_failure_within_the_time),
		T(equal_questions_are_asked_once),
		T(a_flood_is_bounded),
		T(a_forwarder_s_answers_are_validated),
		T(the_self_check_tells_validation_from_none),
		T(without_an_anchor_nothing_is_secure),
		cmocka_unit_test(nothing_but_libevent_has_libevent_s_names),
		cmocka_unit_test(settings_that_cannot_work_are_refused_in_words),
	};
	server = dns_server_new();
	if (!server)
		return 77;
	make_zones();
	open_silent_server();
	int result = dns_server_start(server);
	if (result == 0)
		result = cmocka_run_group_tests(tests, NULL, NULL);
	dns_server_free(&server);
	close(silent_fd);
	return result ? 1 : 0;
}
