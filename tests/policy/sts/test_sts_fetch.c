/* One GET of a policy: real HTTPS at port 443, in a network of this process alone. */
#include "policy/sts/sts_fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_ca.h"
#include "tests/fakes/fake_dns.h"
#include "tests/policy/sts/web_server.h"

#define HOST "mta-sts.a.example"
#define POLICY "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 86400\n"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define OK HEAD "\r\n" POLICY
#define GUARD_S 60

struct fixture {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct fake_ca *ca;
	struct web_server *server;
	struct sts_settings settings;
	struct sts_fetcher *fetcher;
	unsigned over;
	unsigned without_turn; /* of them */
	unsigned most; /* fetches that had a connection at the same time */
	int mode; /* of the policy; -1: failed */
	enum policy_reason reason;
	char why[500];
};

static void begin(struct fixture *f)
{
	struct err err = { 0 };
	sts_fetcher_free(&f->fetcher);
	f->fetcher = sts_fetcher_new(f->loop, f->dns, &f->settings, &err);
	if (!f->fetcher)
		fail_msg("%s", err.text);
}

static void show(struct fixture *f, const struct fake_leaf_wishes *wishes)
{
	struct fake_leaf leaf = fake_ca_issue_as(f->ca, wishes);
	web_server_show(f->server, &leaf, NULL);
	fake_leaf_clear(&leaf);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	alarm(GUARD_S);
	f->loop = tlsio_loop_new(NULL);
	f->dns = dns_new(f->loop, NULL, NULL);
	f->ca = fake_ca_new("authority");
	f->server = web_server_new(f->loop);
	f->settings = (struct sts_settings){ .fetch_ms = 20000, .allows_private = true };
	f->settings.authority = mem_dup("/etc/roots.pem");
	f->settings.authority_pem = mem_dup(fake_ca_pem(f->ca));
	fake_dns_set(f->dns, HOST, DNS_A, DNS_INSECURE, "127.0.0.1");
	show(f, &(struct fake_leaf_wishes){ .names = { HOST } });
	web_server_say(f->server, STR(OK), WEB_CLOSE, 0);
	begin(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	sts_fetcher_free(&f->fetcher);
	web_server_free(&f->server);
	tlsio_loop_turn(f->loop, false);
	dns_free(&f->dns);
	fake_ca_free(&f->ca);
	tlsio_loop_free(&f->loop);
	sts_settings_clear(&f->settings);
	free(f);
	alarm(0);
	return 0;
}

static void on_over(void *ctx, const struct sts_fetched *result)
{
	struct fixture *f = ctx;
	unsigned now = f->server ? web_server_connections(f->server) - f->over : 0;
	f->most = now > f->most ? now : f->most;
	f->over++;
	f->without_turn += strstr(result->why, "no turn to ask " HOST) != NULL;
	f->mode = result->policy ? (int)result->policy->mode : -1;
	f->reason = result->reason;
	snprintf(f->why, sizeof(f->why), "%s", result->why);
}

static void run(struct fixture *f, unsigned over)
{
	while (f->over < over)
		tlsio_loop_turn(f->loop, true);
}

static void fetch(struct fixture *f)
{
	unsigned before = f->over;
	sts_fetch_start(f->fetcher, "a.example", false, on_over, f);
	assert_int_equal(f->over, before); /* later, never inside */
	run(f, before + 1);
}

static void succeeds(struct fixture *f)
{
	fetch(f);
	if (f->mode < 0)
		fail_msg("%s", f->why);
	assert_int_equal(f->mode, POLICY_STS_ENFORCE);
	assert_int_equal(f->reason, POLICY_REASON_NONE);
}

static void fails(struct fixture *f, enum policy_reason reason, const char *words)
{
	fetch(f);
	assert_int_equal(f->mode, -1);
	if (!strstr(f->why, words))
		fail_msg("\"%s\" instead of \"%s\"", f->why, words);
	assert_string_equal(policy_reason_name(f->reason), policy_reason_name(reason));
}

static void fails_to_fetch(struct fixture *f, const char *words)
{
	fails(f, POLICY_REASON_STS_POLICY_FETCH_ERROR, words);
}

static void is_untrusted(struct fixture *f, const char *words)
{
	fails(f, POLICY_REASON_STS_WEBPKI_INVALID, words);
	/* found before anything was said to them */
	assert_string_equal(web_server_request(f->server), "");
}

/* --- M6: who they are ---------------------------------------------------------------------------- */

static void M6_a_good_policy_is_fetched(void **state)
{
	struct fixture *f = *state;
	succeeds(f);
	assert_string_equal(web_server_name(f->server), HOST); /* SNI */
	const char *request = web_server_request(f->server);
	assert_ptr_equal(strstr(request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), request);
	assert_non_null(strstr(request, "\r\nHost: " HOST "\r\n"));
	assert_non_null(strstr(request, "\r\nUser-Agent: postern\r\n"));
	assert_null(strstr(request, "Encoding"));
	assert_int_equal(web_server_connections(f->server), 1);
	/* M7: nothing is kept for the next time */
	web_server_say(f->server, STR("HTTP/1.1 404 Not Found\r\n\r\n"), WEB_CLOSE, 0);
	fails_to_fetch(f, "answered 404");
	assert_int_equal(web_server_connections(f->server), 2);
}

static void tls_1_2_is_enough(void **state)
{
	struct fixture *f = *state;
	struct fake_leaf leaf = fake_ca_issue(f->ca, HOST, NULL);
	web_server_show(f->server, &leaf, "-VERS-TLS1.3");
	succeeds(f);
	fake_leaf_clear(&leaf);
}

static void M6_a_wildcard_is_the_whole_first_label(void **state)
{
	static const char *const good[] = { "*.a.example", "MTA-STS.A.EXAMPLE" };
	static const char *const bad[] = { "*.example", "mta-*.a.example", "*-sts.a.example", "*",
		"*.*.example", "a.example", "x." HOST, "*." HOST, "mta-sts.*.example" };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		show(f, &(struct fake_leaf_wishes){ .names = { bad[i] } });
		is_untrusted(f, "must be for " HOST);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		show(f, &(struct fake_leaf_wishes){ .names = { good[i] } });
		succeeds(f);
	}
}

static void M6_the_name_of_a_provider_is_not_enough(void **state)
{
	struct fixture *f = *state;
	show(f, &(struct fake_leaf_wishes){ .names = { "policies.provider.example" },
			.common_name = HOST });
	is_untrusted(f, "the certificate shown by " HOST " is for policies.provider.example");
}

static void M6_a_common_name_does_not_count(void **state)
{
	struct fixture *f = *state;
	show(f, &(struct fake_leaf_wishes){ .common_name = HOST });
	is_untrusted(f, "has no DNS name in it");
}

static void M6_expired_certificates_are_refused(void **state)
{
	struct fixture *f = *state;
	show(f, &(struct fake_leaf_wishes){
			.names = { HOST }, .not_before_s = -864000, .not_after_s = -3600 });
	is_untrusted(f, "the certificate of " HOST " expired on 20");
	show(f, &(struct fake_leaf_wishes){
			.names = { HOST }, .not_before_s = 3600, .not_after_s = 864000 });
	is_untrusted(f, "not yet valid");
}

static void M6_only_trusted_authorities_count(void **state)
{
	struct fixture *f = *state;
	struct fake_ca *other = fake_ca_new("authority");
	struct fake_leaf leaf = fake_ca_issue(other, HOST, NULL);
	show(f, &(struct fake_leaf_wishes){ .names = { HOST }, .is_self_signed = true });
	is_untrusted(f, "is not signed by an authority that is trusted here");
	web_server_show(f->server, &leaf, NULL);
	is_untrusted(f, "(authority = \"/etc/roots.pem\")");
	fake_leaf_clear(&leaf);
	fake_ca_free(&other);
	/* the roots of the system know nothing of ours */
	show(f, &(struct fake_leaf_wishes){ .names = { HOST } });
	free(f->settings.authority_pem);
	f->settings.authority_pem = NULL;
	begin(f);
	is_untrusted(f, "is not signed by an authority that is trusted here");
}

static void M6_every_link_of_the_chain_counts(void **state)
{
	struct fixture *f = *state;
	struct fake_ca *links[] = { fake_ca_intermediate(f->ca, "good"),
		fake_ca_expired_intermediate(f->ca, "old"), fake_ca_impostor(f->ca, "no authority") };
	for (int i = 0; i < 3; i++) {
		struct fake_leaf leaf = fake_ca_issue(links[i], HOST, NULL);
		web_server_show(f->server, &leaf, NULL);
		fetch(f);
		assert_int_equal(f->mode, i == 0 ? (int)POLICY_STS_ENFORCE : -1);
		if (i > 0)
			assert_int_equal(f->reason, POLICY_REASON_STS_WEBPKI_INVALID);
		fake_leaf_clear(&leaf);
		fake_ca_free(&links[i]);
	}
	show(f, &(struct fake_leaf_wishes){ .names = { HOST }, .purpose = "1.3.6.1.5.5.7.3.2" });
	fails(f, POLICY_REASON_STS_WEBPKI_INVALID, "not meant for this purpose");
	show(f, &(struct fake_leaf_wishes){ .names = { HOST }, .key = FAKE_RSA_1024 });
	fails(f, POLICY_REASON_STS_WEBPKI_INVALID, "weak");
}

static void authorities_that_cannot_be_read_are_an_error(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	free(f->settings.authority_pem);
	f->settings.authority_pem = mem_dup("nonsense");
	assert_null(sts_fetcher_new(f->loop, f->dns, &f->settings, &err));
	assert_non_null(strstr(err.text, "/etc/roots.pem"));
}

/* --- M7, M8: what they say ----------------------------------------------------------------------- */

static void M7_redirects_are_not_followed(void **state)
{
	static const int codes[] = { 301, 302, 303, 307, 308 };
	struct fixture *f = *state;
	for (unsigned i = 0; i < 5; i++) {
		char answer[300], words[80];
		snprintf(answer, sizeof(answer),
			"HTTP/1.1 %d Go\r\nLocation: https://" HOST "/policy\r\nContent-Type: "
			"text/plain\r\n\r\n" POLICY,
			codes[i]);
		snprintf(words, sizeof(words), "answered %d; redirects are not followed", codes[i]);
		web_server_say(f->server, str_of(answer), WEB_CLOSE, 0);
		fails_to_fetch(f, words);
		assert_int_equal(web_server_connections(f->server), i + 1);
	}
}

static void M7_only_status_200_counts(void **state)
{
	static const int codes[] = { 201, 203, 204, 206, 304, 400, 404, 410, 500, 503 };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		char answer[300], words[80];
		snprintf(answer, sizeof(answer),
			"HTTP/1.1 %d Other\r\nContent-Type: text/plain\r\n\r\n" POLICY, codes[i]);
		snprintf(words, sizeof(words), "answered %d", codes[i]);
		web_server_say(f->server, str_of(answer), WEB_CLOSE, 0);
		fails_to_fetch(f, words);
	}
	web_server_say(f->server, STR("HTTP/1.1 100 Continue\r\n\r\n" OK), WEB_CLOSE, 0);
	succeeds(f);
}

static void M8_the_type_is_text_plain_with_any_parameters(void **state)
{
	static const char *const good[] = { "text/plain", "Text/PLAIN; charset=utf-8",
		"text/plain ;x=\"y\";z", " text/plain" };
	static const char *const bad[] = { "text/html", "text/plainer", "application/octet-stream",
		"text/plain, text/html", "text", "" };
	struct fixture *f = *state;
	char answer[300];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n" POLICY,
			good[i]);
		web_server_say(f->server, str_of(answer), WEB_CLOSE, 0);
		succeeds(f);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n" POLICY,
			bad[i]);
		web_server_say(f->server, str_of(answer), WEB_CLOSE, 0);
		fails_to_fetch(f, "it must be text/plain");
	}
	web_server_say(f->server, STR("HTTP/1.1 200 OK\r\n\r\n" POLICY), WEB_CLOSE, 0);
	fails_to_fetch(f, "is without a type; it must be text/plain");
}

static void a_body_that_is_no_policy_is_told_with_its_line(void **state)
{
	struct fixture *f = *state;
	web_server_say(f->server, STR(HEAD "\r\n" POLICY "mx: *\n"), WEB_CLOSE, 0);
	fails(f, POLICY_REASON_STS_POLICY_INVALID, "the policy file of " HOST ": line 5: mx is \"*\"");
	web_server_say(f->server, STR(HEAD "\r\n\x1f\x8b\x08 zipped"), WEB_CLOSE, 0);
	fails(f, POLICY_REASON_STS_POLICY_INVALID, "line 1");
	web_server_say(f->server, STR(HEAD "Content-Length: 0\r\n\r\n"), WEB_CLOSE, 0);
	fails(f, POLICY_REASON_STS_POLICY_INVALID, "line 1 is empty");
}

static void what_is_no_http_is_refused(void **state)
{
	struct fixture *f = *state;
	web_server_say(f->server, STR(POLICY), WEB_CLOSE, 0);
	fails_to_fetch(f, HOST);
	web_server_say(f->server, STR(""), WEB_CLOSE, 0);
	fails_to_fetch(f, HOST);
	web_server_say(f->server, STR("220 mx.example ESMTP\r\n"), WEB_CLOSE, 0);
	fails_to_fetch(f, HOST);
}

/* --- M9: limits ---------------------------------------------------------------------------------- */

static void append_policy(struct buf *into, size_t bytes)
{
	size_t end = into->length + bytes;
	buf_append_text(into, POLICY "x: ");
	while (into->length < end)
		buf_append_byte(into, 'x');
}

static void M9_65536_bytes_are_enough(void **state)
{
	struct fixture *f = *state;
	for (size_t bytes = 65536; bytes <= 65537; bytes++) {
		for (int form = 0; form < 3; form++) {
			struct buf answer = { 0 };
			buf_append_text(&answer, HEAD);
			if (form == 0)
				buf_printf(&answer, "Content-Length: %zu\r\n\r\n", bytes);
			if (form == 1)
				buf_printf(&answer, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", bytes);
			if (form == 2)
				buf_append_text(&answer, "\r\n");
			append_policy(&answer, bytes);
			if (form == 1)
				buf_append_text(&answer, "\r\n0\r\n\r\n");
			web_server_say(f->server, buf_str(&answer), WEB_CLOSE, 0);
			if (bytes == 65536)
				succeeds(f);
			else
				fails_to_fetch(f, "more than 65536 bytes");
			web_server_say(f->server, STR(""), WEB_CLOSE, 0);
			buf_release(&answer);
		}
	}
}

static void M9_an_endless_chunked_body_is_cut(void **state)
{
	struct fixture *f = *state;
	struct buf answer = { 0 };
	buf_append_text(&answer, HEAD "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 100; i++) {
		buf_append_text(&answer, "2000\r\n");
		for (int j = 0; j < 0x2000; j++)
			buf_append_byte(&answer, 'x');
		buf_append_text(&answer, "\r\n");
	}
	web_server_say(f->server, buf_str(&answer), WEB_KEEP, 0);
	fails_to_fetch(f, "more than 65536 bytes");
	web_server_say(f->server, STR(""), WEB_CLOSE, 0);
	buf_release(&answer);
}

static void M9_a_header_has_a_limit(void **state)
{
	struct fixture *f = *state;
	for (int lines = 10; lines <= 300; lines += 290) {
		struct buf answer = { 0 };
		buf_append_text(&answer, HEAD);
		for (int i = 0; i < lines; i++)
			buf_printf(&answer,
				"X-Line-%d: so many bytes that three hundred are over\r\n", i);
		buf_append_text(&answer, "\r\n" POLICY);
		web_server_say(f->server, buf_str(&answer), WEB_CLOSE, 0);
		if (lines == 10)
			succeeds(f);
		else
			fails_to_fetch(f, "header of " HOST "'s answer has more than 16384 bytes");
		web_server_say(f->server, STR(""), WEB_CLOSE, 0);
		buf_release(&answer);
	}
}

static void M9_a_trickle_ends_at_the_time_limit(void **state)
{
	struct fixture *f = *state;
	f->settings.fetch_ms = 700;
	begin(f);
	web_server_say(f->server, STR(OK), WEB_CLOSE, 50);
	int64_t start_ms = tlsio_loop_now_ms(f->loop);
	fails_to_fetch(f, "did not finish its answer within 1 s");
	assert_in_range(tlsio_loop_now_ms(f->loop) - start_ms, 650, 5000);
	web_server_say(f->server, STR(""), WEB_KEEP, 0);
	fails_to_fetch(f, "did not finish its answer");
}

static void an_answer_that_breaks_off_is_no_policy(void **state)
{
	struct fixture *f = *state;
	web_server_say(f->server, STR(HEAD "Content-Length: 500\r\n\r\n" POLICY), WEB_CLOSE, 0);
	fails_to_fetch(f, "the answer of " HOST " failed");
	web_server_say(f->server, STR(HEAD "Transfer-Encoding: chunked\r\n\r\n44\r\n" POLICY), WEB_CLOSE,
		0);
	fails_to_fetch(f, "the answer of " HOST " failed");
	/* an end that anybody on the way can make */
	web_server_say(f->server, STR(OK), WEB_BREAK, 0);
	fails_to_fetch(f, "the answer of " HOST " failed");
}

/* --- where --------------------------------------------------------------------------------------- */

static void a_closed_port_is_told(void **state)
{
	struct fixture *f = *state;
	web_server_stop_listening(f->server);
	fails_to_fetch(f, HOST " cannot be reached at port 443: Connection refused");
}

static void private_addresses_need_leave(void **state)
{
	struct fixture *f = *state;
	f->settings.allows_private = false;
	begin(f);
	fails_to_fetch(f, HOST " has no address that may be asked: 127.0.0.1 is a loopback address");
	fake_dns_set(f->dns, HOST, DNS_A, DNS_SECURE, "10.1.2.3|192.168.0.1");
	fails_to_fetch(f, "192.168.0.1 is a private address");
	fake_dns_set_none(f->dns, HOST, DNS_A, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set(f->dns, HOST, DNS_AAAA, DNS_INSECURE, "::1");
	fails_to_fetch(f, "::1 is a loopback address");
	fake_dns_set(f->dns, HOST, DNS_AAAA, DNS_INSECURE, "::ffff:127.0.0.1");
	fails_to_fetch(f, "is a loopback address");
	assert_int_equal(web_server_connections(f->server), 0);
}

static void both_families_are_looked_up_and_tried(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_none(f->dns, HOST, DNS_A, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set(f->dns, HOST, DNS_AAAA, DNS_SECURE, "::1");
	succeeds(f);
	/* nobody listens at the first */
	fake_dns_set(f->dns, HOST, DNS_A, DNS_INSECURE, "127.0.0.7|127.0.0.1");
	fake_dns_set_failed(f->dns, HOST, DNS_AAAA, false, "SERVFAIL");
	succeeds(f);
	/* one family answers, the other never does */
	fake_dns_set_silent(f->dns, HOST, DNS_AAAA);
	int64_t start_ms = tlsio_loop_now_ms(f->loop);
	succeeds(f);
	assert_in_range(tlsio_loop_now_ms(f->loop) - start_ms, 900, 8000);
	assert_int_equal(fake_dns_in_flight(f->dns), 0);
}

static void no_address_is_told(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_none(f->dns, HOST, DNS_A, DNS_NO_NAME, DNS_INSECURE);
	fails_to_fetch(f, HOST " has no address; it must have one");
	fake_dns_set_failed(f->dns, HOST, DNS_A, true, "signature expired");
	fails_to_fetch(f, "the addresses of " HOST " cannot be found: signature expired");
	f->settings.fetch_ms = 200;
	begin(f);
	fake_dns_set_silent(f->dns, HOST, DNS_A);
	fails_to_fetch(f, "the addresses of " HOST " were not found within 1 s");
	assert_int_equal(fake_dns_in_flight(f->dns), 0);
}

static void proxies_of_the_environment_are_ignored(void **state)
{
	struct fixture *f = *state;
	setenv("https_proxy", "http://127.0.0.1:9", 1);
	setenv("HTTPS_PROXY", "http://127.0.0.1:9", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
	succeeds(f);
	unsetenv("https_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("ALL_PROXY");
}

static void fifty_at_a_time_and_the_others_wait(void **state)
{
	struct fixture *f = *state;
	struct buf name = { 0 };
	for (int i = 0; i < 70; i++) {
		char domain[40];
		snprintf(domain, sizeof(domain), "d%d.a.example", i);
		buf_clear(&name);
		buf_printf(&name, "mta-sts.%s", domain);
		buf_append_byte(&name, '\0');
		fake_dns_set(f->dns, buf_str(&name).at, DNS_A, DNS_INSECURE, "127.0.0.1");
		sts_fetch_start(f->fetcher, domain, false, on_over, f);
	}
	buf_release(&name);
	web_server_say(f->server, STR(OK), WEB_CLOSE, 0);
	run(f, 70);
	assert_int_equal(web_server_connections(f->server), 70);
	assert_in_range(f->most, 10, 50);
}

static void who_gets_no_turn_is_told(void **state)
{
	struct fixture *f = *state;
	f->settings.fetch_ms = 500;
	begin(f);
	fake_dns_set_silent(f->dns, HOST, DNS_A);
	for (int i = 0; i < 51; i++)
		sts_fetch_start(f->fetcher, "a.example", false, on_over, f);
	run(f, 51);
	assert_in_range(f->without_turn, 1, 11); /* whichever ends last */
	assert_int_equal(fake_dns_in_flight(f->dns), 0);
}

/* Strangers with slow hosts take what places there are; a policy in force is renewed all the same. */
static void slow_strangers_leave_room_for_policies_in_force(void **state)
{
	struct fixture *f = *state;
	struct sts_fetch *slow[60];
	fake_dns_set_silent(f->dns, "mta-sts.slow.example", DNS_A);
	for (int i = 0; i < 60; i++)
		slow[i] = sts_fetch_start(f->fetcher, "slow.example", false, on_over, f);
	tlsio_loop_turn(f->loop, false);
	sts_fetch_start(f->fetcher, "a.example", true, on_over, f);
	run(f, 1);
	assert_int_equal(f->mode, POLICY_STS_ENFORCE);
	for (int i = 0; i < 60; i++)
		sts_fetch_cancel(&slow[i]);
}

static void may_be_cancelled_at_any_moment(void **state)
{
	struct fixture *f = *state;
	struct sts_fetch *other;
	for (int turns = 0; turns < 40; turns++) {
		struct sts_fetch *one = sts_fetch_start(f->fetcher, "a.example", false, on_over, f);
		for (int i = 0; i < turns && f->over == 0; i++)
			tlsio_loop_turn(f->loop, false);
		if (f->over == 0)
			sts_fetch_cancel(&one);
		f->over = 0;
	}
	sts_fetch_cancel(&(struct sts_fetch *){ NULL });
	other = sts_fetch_start(f->fetcher, "a.example", false, on_over, f);
	assert_non_null(other);
	run(f, 1);
	assert_int_equal(f->mode, POLICY_STS_ENFORCE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(M6_a_good_policy_is_fetched),
		TEST(tls_1_2_is_enough),
		TEST(M6_a_wildcard_is_the_whole_first_label),
		TEST(M6_the_name_of_a_provider_is_not_enough),
		TEST(M6_a_common_name_does_not_count),
		TEST(M6_expired_certificates_are_refused),
		TEST(M6_only_trusted_authorities_count),
		TEST(M6_every_link_of_the_chain_counts),
		TEST(authorities_that_cannot_be_read_are_an_error),
		TEST(M7_redirects_are_not_followed),
		TEST(M7_only_status_200_counts),
		TEST(M8_the_type_is_text_plain_with_any_parameters),
		TEST(a_body_that_is_no_policy_is_told_with_its_line),
		TEST(what_is_no_http_is_refused),
		TEST(M9_65536_bytes_are_enough),
		TEST(M9_an_endless_chunked_body_is_cut),
		TEST(M9_a_header_has_a_limit),
		TEST(M9_a_trickle_ends_at_the_time_limit),
		TEST(an_answer_that_breaks_off_is_no_policy),
		TEST(a_closed_port_is_told),
		TEST(private_addresses_need_leave),
		TEST(both_families_are_looked_up_and_tried),
		TEST(no_address_is_told),
		TEST(proxies_of_the_environment_are_ignored),
		TEST(fifty_at_a_time_and_the_others_wait),
		TEST(who_gets_no_turn_is_told),
		TEST(slow_strangers_leave_room_for_policies_in_force),
		TEST(may_be_cancelled_at_any_moment),
	};
	if (!web_server_enter_private_network()) {
		printf("no network namespaces here: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
