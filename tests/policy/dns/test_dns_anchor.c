/* Files of trust anchors as people have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/dns/dns_anchor.h"

static void expect(struct dns_anchor *anchor, const char *record, const char *zone)
{
	struct err err;
	char name[256];
	if (dns_anchor_next(anchor, &err) != 1)
		fail_msg("%s", err.text);
	struct str text = str_trim(buf_str(&anchor->record));
	assert_true(str_equal(text, str_of(record)));
	assert_true(dns_anchor_zone(anchor, name, sizeof(name)));
	assert_string_equal(name, zone);
}

static void a_record_a_line_with_remarks(void **state)
{
	(void)state;
	struct err err;
	struct dns_anchor anchor = { .left = STR("; autotrust trust anchor file\n;;id: . 1\n\n"
						 ".\t86400\tIN\tDNSKEY\t257 3 8 AwEA ;{id = 20326}\r\n"
						 ". IN DS 38696 8 2 683D2D0A\n"
						 "Corp.Example. ds 1 13 2 00 ; ours") };
	expect(&anchor, ". 86400 IN DNSKEY 257 3 8 AwEA", ".");
	expect(&anchor, ". IN DS 38696 8 2 683D2D0A", ".");
	expect(&anchor, "Corp.Example. ds 1 13 2 00", "corp.example");
	assert_int_equal(dns_anchor_next(&anchor, &err), 0);
	buf_release(&anchor.record);
}

static void parentheses_join_lines(void **state)
{
	(void)state;
	struct err err;
	struct dns_anchor anchor = { .left = STR("example. IN DNSKEY (257 3 8 ; key\n"
						 "\tAwEA\n\n\tAAaz ) ; end\nexample. DS 1 8 2 00\n") };
	assert_int_equal(dns_anchor_next(&anchor, &err), 1);
	struct str record = buf_str(&anchor.record), word;
	static const char *const words[] = { "example.", "IN", "DNSKEY", "257", "3", "8", "AwEA",
		"AAaz" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		word = str_next_word(&record);
		assert_true(str_equal(word, str_of(words[i])));
	}
	assert_int_equal(str_next_word(&record).length, 0);
	expect(&anchor, "example. DS 1 8 2 00", "example");
	assert_int_equal(dns_anchor_next(&anchor, &err), 0);
	buf_release(&anchor.record);
}

static void other_lines_are_refused_by_number(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"\n$ORIGIN example.\n", "\n. IN A 192.0.2.1\n", "\n  IN DS 1 8 2 00\n", "\nDS 1 8 2 00 x",
		"\n. IN DS ) 1 8 2 00\n", "\n. IN DNSKEY ( 257\n", "\n. IN 1 2 DS\n", "\n\xc3\xbc. IN DS 1\n",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err;
		struct dns_anchor anchor = { .left = str_of(texts[i]) };
		if (dns_anchor_next(&anchor, &err) != -1)
			fail_msg("taken: %s", texts[i]);
		assert_non_null(strstr(err.text, "line "));
		buf_release(&anchor.record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_a_line_with_remarks),
		cmocka_unit_test(parentheses_join_lines),
		cmocka_unit_test(other_lines_are_refused_by_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
