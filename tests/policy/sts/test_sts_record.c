/* The TXT record of MTA-STS, RFC 8461 section 3.1. */
#include "policy/sts/sts_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define A32 "abcdefghijABCDEFGHIJ012345678901"

static bool is_good(const char *text)
{
	return sts_record_parse(str_of(text), NULL);
}

static void M2_a_record_begins_with_version_and_delimiter(void **state)
{
	static const char *const candidates[] = { "v=STSv1;", "v=STSv1; id=1;", "v=STSv1 ;id=1",
		"v=STSv1\t \t; id=1", "v=STSv1;;" };
	static const char *const others[] = { "", "v=STSv1", "v=STSv10; id=1;", "v=STSv1 id=1",
		" v=STSv1; id=1;", "v=stsv1; id=1;", "V=STSv1; id=1;", "v =STSv1; id=1;",
		"v=TLSRPTv1; rua=mailto:a@example.org", "id=1; v=STSv1;", "v=STSv2; id=1;",
		"\"v=STSv1; id=1;\"" };
	(void)state;
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		assert_true(sts_record_is_candidate(str_of(candidates[i])));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_false(sts_record_is_candidate(str_of(others[i])));
		assert_false(is_good(others[i]));
	}
}

static void M3_id_has_1_to_32_letters_and_digits(void **state)
{
	char id[STS_ID_BYTES] = "before";
	(void)state;
	assert_true(sts_record_parse(STR("v=STSv1; id=20160831085700Z;"), id));
	assert_string_equal(id, "20160831085700Z");
	assert_true(sts_record_parse(STR("v=STSv1;id=" A32), id));
	assert_string_equal(id, A32);
	assert_true(sts_record_parse(STR("v=STSv1; id=a"), id));
	assert_string_equal(id, "a");
	assert_false(is_good("v=STSv1; id=" A32 "2"));
	assert_false(is_good("v=STSv1; id=;"));
	assert_false(is_good("v=STSv1; id"));
	assert_false(is_good("v=STSv1; id=a-b"));
	assert_false(is_good("v=STSv1; id=a_b;"));
	assert_false(is_good("v=STSv1; id=a b;"));
	assert_false(is_good("v=STSv1; id= a;"));
	assert_false(is_good("v=STSv1; id =a;"));
	assert_false(is_good("v=STSv1; id=\xc3\xa4;"));
	/* nothing is told of a record that is no good */
	assert_false(sts_record_parse(STR("v=STSv1; id=b; ;"), id));
	assert_string_equal(id, "a");
}

static void M3_id_is_required_and_keys_are_case_sensitive(void **state)
{
	(void)state;
	assert_false(is_good("v=STSv1;"));
	assert_false(is_good("v=STSv1; "));
	assert_false(is_good("v=STSv1; ID=1;"));
	assert_false(is_good("v=STSv1; Id=1; other=2"));
	assert_true(is_good("v=STSv1; ID=x-y; id=1;"));
}

static void M3_other_fields_are_ignored_when_well_formed(void **state)
{
	char id[STS_ID_BYTES];
	(void)state;
	assert_true(sts_record_parse(STR("v=STSv1; a=1; id=7 ; B_-.9=!:<>~; 0=x"), id));
	assert_string_equal(id, "7");
	assert_true(is_good("v=STSv1; " A32 "=1; id=1"));
	assert_false(is_good("v=STSv1; " A32 "2=1; id=1"));
	assert_false(is_good("v=STSv1; id=1; _a=1"));
	assert_false(is_good("v=STSv1; id=1; -a=1"));
	assert_false(is_good("v=STSv1; id=1; a=b c"));
	assert_false(is_good("v=STSv1; id=1; a=\x7f"));
	assert_false(is_good("v=STSv1; id=1; a=\x01"));
	assert_false(sts_record_parse(STR("v=STSv1; id=1; a=b\0c"), NULL));
	assert_false(sts_record_parse(STR("v=STSv1; id=1\0"), NULL));
}

static void M3_of_fields_with_one_name_the_first_counts(void **state)
{
	char id[STS_ID_BYTES];
	(void)state;
	assert_true(sts_record_parse(STR("v=STSv1; id=first; id=second;"), id));
	assert_string_equal(id, "first");
	assert_true(sts_record_parse(STR("v=STSv1; id=first; id=b-d; v=STSv2"), id));
	assert_string_equal(id, "first");
	assert_false(is_good("v=STSv1; id=b-d; id=second;"));
}

static void M3_malformed_fields_spoil_the_record(void **state)
{
	static const char *const wrong[] = { "v=STSv1;; id=1;", "v=STSv1; id=1;;",
		"v=STSv1; id=1; ;", "v=STSv1; a=; id=1", "v=STSv1; id==1", "v=STSv1; id=1; a==b",
		"v=STSv1; id=1=2", "v=STSv1; =1; id=1", "v=STSv1; id=1; nonsense",
		"v=STSv1; id=1, a=2", "v=STSv1; id=1; a=\xc3\xa4", "v=STSv1; id=1\n",
		"v=STSv1;\nid=1", "v=STSv1; id=1 " };
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(is_good(wrong[i]));
}

static void M3_the_last_delimiter_is_optional(void **state)
{
	(void)state;
	assert_true(is_good("v=STSv1;id=1"));
	assert_true(is_good("v=STSv1;id=1;"));
	assert_true(is_good("v=STSv1;id=1 ; \t"));
}

static void M2_exactly_one_candidate_must_be_left(void **state)
{
	const struct str none[] = { STR("spf or so"), STR("v=STSv10; id=9;") };
	const struct str one[] = { STR("v=spf1 -all"), STR("v=STSv1; id=A1;"), STR("v=STSv10; id=9;") };
	const struct str two[] = { STR("v=STSv1; id=1;"), STR("v=STSv1; id=1;") };
	const struct str good_and_bad[] = { STR("v=STSv1; id=1;"), STR("v=STSv1; id=") };
	const struct str bad[] = { STR("v=STSv1; id=;") };
	char id[STS_ID_BYTES] = "";
	(void)state;
	assert_int_equal(sts_record_choose(NULL, 0, id), STS_RECORD_ABSENT);
	assert_int_equal(sts_record_choose(none, 2, id), STS_RECORD_ABSENT);
	assert_int_equal(sts_record_choose(two, 2, id), STS_RECORD_INVALID);
	assert_int_equal(sts_record_choose(good_and_bad, 2, id), STS_RECORD_INVALID);
	assert_int_equal(sts_record_choose(bad, 1, id), STS_RECORD_INVALID);
	assert_string_equal(id, "");
	assert_int_equal(sts_record_choose(one, 3, id), STS_RECORD_FOUND);
	assert_string_equal(id, "A1");
	assert_int_equal(sts_record_choose(one, 3, NULL), STS_RECORD_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(M2_a_record_begins_with_version_and_delimiter),
		cmocka_unit_test(M2_exactly_one_candidate_must_be_left),
		cmocka_unit_test(M3_id_has_1_to_32_letters_and_digits),
		cmocka_unit_test(M3_id_is_required_and_keys_are_case_sensitive),
		cmocka_unit_test(M3_other_fields_are_ignored_when_well_formed),
		cmocka_unit_test(M3_of_fields_with_one_name_the_first_counts),
		cmocka_unit_test(M3_malformed_fields_spoil_the_record),
		cmocka_unit_test(M3_the_last_delimiter_is_optional),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
