/* Rows as a report: RFC 8460 4.4 to the key, and words for people (R3-R5, R8-R10). */
#include "policy/tlsrpt/tlsrpt_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DAY 20454 /* 2026-01-01 */
#define STS                                                                                        \
	"sts\texample.org\ns\tversion: STSv1\ns\tmode: testing\ns\tmx: *.example.org\nm\t*.example.org\n"
#define TLSA "tlsa\tmx.example.org\ns\t3 1 1 abcd\n"
#define NONE "no-policy-found\texample.org\n"

static const struct tlsrpt_report_by by = { "mail.test", "postmaster@mail.test", "mail.test" };

static struct tlsrpt_report report;

static int clear(void **state)
{
	(void)state;
	tlsrpt_report_clear(&report);
	return 0;
}

static void add(const char *record, const char *policy, uint64_t ok, uint64_t failed,
	const char *failure)
{
	struct tlsrpt_row row;
	tlsrpt_row_init(&row, DAY, STR("example.org"), str_of(record), str_of(policy));
	row.ok = ok;
	row.failed = failed;
	if (failure)
		tlsrpt_row_add_failure(&row, str_of(failure), failed);
	assert_true(tlsrpt_report_fits(&report, &row));
	tlsrpt_report_add(&report, &row);
	tlsrpt_row_clear(&row);
}

/* The keys of an object, in order, parted by a blank; optional ones where they are. */
static const char *keys(json_t *object)
{
	static char text[300];
	const char *key;
	json_t *value;
	text[0] = '\0';
	json_object_foreach(object, key, value)
	{
		strcat(text, key);
		strcat(text, " ");
	}
	return text;
}

static json_t *made(void)
{
	struct buf line = { 0 };
	tlsrpt_report_json(&report, &by, &line);
	assert_null(memchr(buf_str(&line).at, '\n', line.length));
	json_t *root = json_loads(buf_text(&line), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	buf_release(&line);
	return root;
}

static void R3_R4_the_object_has_the_keys_of_the_rfc_and_no_others(void **state)
{
	(void)state;
	add("", STS, 3, 2, "certificate-expired\t192.0.2.1\tmx.example.org\tehlo.example\t2001:0DB8::0001\t"
		"https://help.example/x\texpired");
	add("", TLSA, 5, 0, NULL);
	json_t *root = made();
	assert_string_equal(keys(root), "organization-name date-range contact-info report-id policies ");
	json_t *range = json_object_get(root, "date-range");
	assert_string_equal(keys(range), "start-datetime end-datetime ");
	assert_string_equal(json_string_value(json_object_get(range, "start-datetime")), "2026-01-01T00:00:00Z");
	assert_string_equal(json_string_value(json_object_get(range, "end-datetime")), "2026-01-01T23:59:59Z");
	assert_string_equal(json_string_value(json_object_get(root, "report-id")), "2026-01-01.example.org@mail.test");
	json_t *policies = json_object_get(root, "policies");
	assert_int_equal(json_array_size(policies), 2);
	json_t *sts = json_array_get(policies, 0), *tlsa = json_array_get(policies, 1);
	assert_string_equal(keys(sts), "policy summary failure-details ");
	assert_string_equal(keys(json_object_get(sts, "policy")), "policy-type policy-string policy-domain mx-host ");
	json_t *mx = json_object_get(json_object_get(sts, "policy"), "mx-host");
	assert_true(json_is_array(mx));
	assert_string_equal(json_string_value(json_array_get(mx, 0)), "*.example.org");
	json_t *summary = json_object_get(sts, "summary");
	assert_string_equal(keys(summary), "total-successful-session-count total-failure-session-count ");
	assert_int_equal(json_integer_value(json_object_get(summary, "total-successful-session-count")), 3);
	assert_int_equal(json_integer_value(json_object_get(summary, "total-failure-session-count")), 2);
	assert_string_equal(keys(tlsa), "policy summary ");
	assert_string_equal(keys(json_object_get(tlsa, "policy")), "policy-type policy-string policy-domain ");
	assert_string_equal(json_string_value(json_object_get(json_object_get(tlsa, "policy"), "policy-domain")), "mx.example.org");
	json_decref(root);
}

static void R5_R9_a_failure_has_its_keys_and_addresses_their_one_form(void **state)
{
	(void)state;
	add("", STS, 0, 2, "certificate-expired\t192.0.2.1\tmx.example.org\tehlo.example\t2001:0DB8::0001\t"
		"https://help.example/x\texpired");
	add("", NONE, 0, 1, "validation-failure\tnot an address\t\t\t\tno URI\t");
	json_t *root = made(), *policies = json_object_get(root, "policies");
	json_t *full = json_array_get(json_object_get(json_array_get(policies, 0), "failure-details"), 0);
	assert_string_equal(keys(full), "result-type sending-mta-ip receiving-mx-hostname receiving-mx-helo "
		"receiving-ip failed-session-count additional-information failure-reason-code ");
	assert_string_equal(json_string_value(json_object_get(full, "receiving-ip")), "2001:db8::1");
	assert_int_equal(json_integer_value(json_object_get(full, "failed-session-count")), 2);
	json_t *bare = json_array_get(json_object_get(json_array_get(policies, 1), "failure-details"), 0);
	assert_string_equal(keys(bare), "result-type failed-session-count ");
	json_decref(root);
}

static void R11_rows_of_several_txt_records_are_summed_up(void **state)
{
	struct tlsrpt_row other;
	(void)state;
	add("", STS, 1, 1, "validation-failure\t\t\t\t\t\tx");
	add("v=TLSRPTv1;rua=mailto:a@b.example", STS, 2, 3, "validation-failure\t\t\t\t\t\tx");
	assert_int_equal(report.count, 1);
	assert_int_equal(report.rows[0].ok, 3);
	assert_int_equal(report.rows[0].failed, 4);
	assert_int_equal(report.rows[0].tuple_count, 1);
	assert_int_equal(report.rows[0].tuples[0].count, 4);
	tlsrpt_row_init(&other, DAY + 1, STR("example.org"), STR(""), STR(NONE));
	assert_false(tlsrpt_report_fits(&report, &other));
	tlsrpt_row_clear(&other);
	tlsrpt_row_init(&other, DAY, STR("example.net"), STR(""), STR(NONE));
	assert_false(tlsrpt_report_fits(&report, &other));
	tlsrpt_row_clear(&other);
}

static void people_read_words(void **state)
{
	struct buf words = { 0 };
	(void)state;
	add("v=TLSRPTv1;rua=mailto:a@b.example", STS, 1, 2,
		"certificate-host-mismatch\t192.0.2.1\tmx.example.org\t\t192.0.2.9\t\tother names");
	add("", TLSA, 5, 0, NULL);
	report.rows[1].unlisted = 7;
	tlsrpt_report_words(&report, &words);
	assert_string_equal(buf_text(&words),
		"  example.org\n"
		"    asks for reports: v=TLSRPTv1;rua=mailto:a@b.example\n"
		"    MTA-STS policy of example.org, mode: testing: 1 session passed, 2 failed\n"
		"      2 certificate-host-mismatch: the certificate is for other names; host mx.example.org "
		"[192.0.2.9], from 192.0.2.1\n"
		"        other names\n"
		"    DANE, TLSA records of mx.example.org: 5 sessions passed, 0 failed\n"
		"      7 more, of which no details were kept\n");
	buf_release(&words);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(R3_R4_the_object_has_the_keys_of_the_rfc_and_no_others),
		TEST(R5_R9_a_failure_has_its_keys_and_addresses_their_one_form),
		TEST(R11_rows_of_several_txt_records_are_summed_up),
		TEST(people_read_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
