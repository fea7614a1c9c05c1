/* The self-check at start-up, with a resolver that says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "policy/dns/dns_check.h"
#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_loop.h"

static char root_anchor[] = "; the root\n.\tIN DS 20326 8 2 e06d44b8\n";

struct fixture {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct dns_settings settings;
	struct dns_check *check;
	int count;
	enum dns_check_result result;
	char words[700];
	char first[40], second[40];
	char *names[3];
};

static int set_up(void **state)
{
	struct fixture *f = mem_zero(sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	f->dns = dns_new(f->loop, NULL, NULL);
	snprintf(f->first, sizeof(f->first), "broken.example");
	snprintf(f->second, sizeof(f->second), "expired.example");
	f->names[0] = f->first;
	f->names[1] = f->second;
	f->settings.check = f->names;
	f->settings.anchor_text = root_anchor;
	fake_dns_set_none(f->dns, ".", DNS_A, DNS_NO_DATA, DNS_SECURE);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	dns_check_cancel(&f->check);
	dns_free(&f->dns);
	tlsio_loop_free(&f->loop);
	free(f);
	return 0;
}

static void on_over(void *ctx, enum dns_check_result result, const char *words)
{
	struct fixture *f = ctx;
	f->check = NULL;
	f->count++;
	f->result = result;
	snprintf(f->words, sizeof(f->words), "%s", words);
}

static void expect(struct fixture *f, enum dns_check_result result, const char *words)
{
	f->check = dns_check_start(f->loop, f->dns, &f->settings, on_over, f);
	assert_int_equal(f->count, 0);
	fake_loop_advance(f->loop, 20000);
	assert_int_equal(f->count, 1);
	if (f->result != result || !strstr(f->words, words))
		fail_msg("%d %s", f->result, f->words);
	assert_int_equal(fake_dns_in_flight(f->dns), 0);
}

static void one_bogus_name_and_a_secure_root_are_good(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_failed(f->dns, "broken.example", DNS_A, true, "signature expired");
	fake_dns_set_silent(f->dns, "expired.example", DNS_A);
	expect(f, DNS_CHECK_GOOD, "the root is secure, and broken.example");
}

static void every_name_is_waited_for(void **state)
{
	struct fixture *f = *state;
	fake_dns_hold(f->dns, "broken.example", DNS_A);
	fake_dns_set_failed(f->dns, "expired.example", DNS_A, true, "x");
	f->check = dns_check_start(f->loop, f->dns, &f->settings, on_over, f);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->count, 0); /* good so far, but it may still be answered */
	fake_dns_set(f->dns, "broken.example", DNS_A, DNS_INSECURE, "192.0.2.1");
	fake_dns_release(f->dns, "broken.example", DNS_A);
	fake_loop_advance(f->loop, 0);
	assert_int_equal(f->count, 1);
	assert_int_equal(f->result, DNS_CHECK_NOT_VALIDATING);
}

static void a_broken_name_that_is_answered_is_the_alarm(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_failed(f->dns, "broken.example", DNS_A, true, "signature expired");
	fake_dns_set(f->dns, "expired.example", DNS_A, DNS_INSECURE, "192.0.2.1");
	expect(f, DNS_CHECK_NOT_VALIDATING, "expired.example");
}

static void a_broken_name_that_was_mended_shows_nothing(void **state)
{
	struct fixture *f = *state;
	fake_dns_set(f->dns, "broken.example", DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set_none(f->dns, "expired.example", DNS_A, DNS_NO_NAME, DNS_SECURE);
	expect(f, DNS_CHECK_UNKNOWN, "is broken.example still signed wrongly");
}

static void an_insecure_root_is_the_alarm(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_none(f->dns, ".", DNS_A, DNS_NO_DATA, DNS_INSECURE);
	fake_dns_set_failed(f->dns, "broken.example", DNS_A, true, "x");
	fake_dns_set_failed(f->dns, "expired.example", DNS_A, true, "x");
	expect(f, DNS_CHECK_NOT_VALIDATING, "the root come insecure");
}

static void a_bogus_root_is_the_alarm_and_names_forwarders(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_default(f->dns, DNS_FAILED, DNS_BOGUS); /* all that is signed is */
	fake_dns_set_failed(f->dns, ".", DNS_A, true, "no signatures");
	expect(f, DNS_CHECK_NOT_VALIDATING, "(no signatures)");
	assert_non_null(strstr(f->words, "forwarder"));
}

static void without_a_network_nothing_is_known(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_silent(f->dns, ".", DNS_A);
	fake_dns_set_silent(f->dns, "broken.example", DNS_A);
	fake_dns_set_silent(f->dns, "expired.example", DNS_A);
	expect(f, DNS_CHECK_UNKNOWN, "no answer within 10 s");
}

static void names_that_only_time_out_prove_nothing(void **state)
{
	struct fixture *f = *state;
	fake_dns_set_silent(f->dns, "broken.example", DNS_A);
	fake_dns_set_failed(f->dns, "expired.example", DNS_A, false, "SERVFAIL");
	expect(f, DNS_CHECK_UNKNOWN, "could not be proven");
}

static void without_an_anchor_it_is_off(void **state)
{
	struct fixture *f = *state;
	f->settings.anchor_text = NULL;
	expect(f, DNS_CHECK_NOT_VALIDATING, "dns-root-data");
	assert_int_equal(fake_dns_count_all(f->dns), 0);
}

static void without_names_the_anchor_s_own_zone_decides(void **state)
{
	struct fixture *f = *state;
	char anchor[] = "Corp.Example. 3600 IN DNSKEY 257 3 13 (\n abc= ) ; key\n";
	f->settings.anchor_text = anchor;
	f->settings.check = NULL;
	fake_dns_set(f->dns, "corp.example", DNS_A, DNS_SECURE, "192.0.2.1");
	expect(f, DNS_CHECK_GOOD, "corp.example is secure");
}

static void it_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	f->check = dns_check_start(f->loop, f->dns, &f->settings, on_over, f);
	dns_check_cancel(&f->check);
	dns_check_cancel(&f->check);
	fake_loop_advance(f->loop, 20000);
	assert_int_equal(f->count, 0);
	f->settings.anchor_text = NULL; /* decided, not yet said */
	f->check = dns_check_start(f->loop, f->dns, &f->settings, on_over, f);
	dns_check_cancel(&f->check);
	fake_loop_advance(f->loop, 20000);
	assert_int_equal(f->count, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_bogus_name_and_a_secure_root_are_good),
		T(every_name_is_waited_for),
		T(a_broken_name_that_is_answered_is_the_alarm),
		T(a_broken_name_that_was_mended_shows_nothing),
		T(an_insecure_root_is_the_alarm),
		T(a_bogus_root_is_the_alarm_and_names_forwarders),
		T(without_a_network_nothing_is_known),
		T(names_that_only_time_out_prove_nothing),
		T(without_an_anchor_it_is_off),
		T(without_names_the_anchor_s_own_zone_decides),
		T(it_can_be_cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
