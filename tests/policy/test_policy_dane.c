#include "policy/policy_dane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/tlsio_digest.h"
#include "tests/policy/make_peer.h"

static const char digests[64 + 1] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static struct made root;
static struct made_peer shown;

static int make_world(void **state)
{
	(void)state;
	root = make_certificate("root", NULL, true, NULL);
	make_peer(&shown, (const struct made *[]){ &root }, 1);
	return 0;
}

static int free_world(void **state)
{
	(void)state;
	free_peer(&shown);
	free_certificate(&root);
	return 0;
}

static struct policy_tlsa record(int usage, int selector, int matching, struct str data)
{
	return (struct policy_tlsa){ (uint8_t)usage, (uint8_t)selector, (uint8_t)matching, data };
}

/* Digests that differ by their first byte. */
static struct policy_tlsa digest(int usage, int selector, int matching, int which)
{
	static char bytes[16][64];
	memset(bytes[which], which, sizeof(bytes[which]));
	return record(usage, selector, matching, str_from(bytes[which], matching == 2 ? 64 : 32));
}

static void reads_rdata_of_four_bytes_and_more(void **state)
{
	(void)state;
	struct policy_tlsa tlsa;
	assert_false(policy_dane_parse(STR(""), &tlsa));
	assert_false(policy_dane_parse(STR("\3"), &tlsa));
	assert_false(policy_dane_parse(STR("\3\1\1"), &tlsa));
	assert_true(policy_dane_parse(STR("\3\1\2x"), &tlsa));
	assert_int_equal(tlsa.usage, 3);
	assert_int_equal(tlsa.selector, 1);
	assert_int_equal(tlsa.matching, 2);
	assert_true(str_equal(tlsa.data, STR("x")));
	assert_true(policy_dane_parse(STR("\377\376\375\0\0"), &tlsa));
	assert_int_equal(tlsa.usage, 255);
	assert_int_equal(tlsa.matching, 253);
	assert_int_equal(tlsa.data.length, 2);
}

static void R8_says_a_record_in_numbers_and_lower_case_hexadecimal(void **state)
{
	(void)state;
	char text[200];
	struct policy_tlsa tlsa = record(3, 1, 1, STR("\xAB\xcd\x01"));
	assert_string_equal(policy_dane_format(&tlsa, text, sizeof(text)), "3 1 1 abcd01");
	assert_string_equal(policy_dane_format(&tlsa, text, 13), "3 1 1 abcd01");
	assert_string_equal(policy_dane_format(&tlsa, text, 12), "3 1 1 ab...");
	assert_string_equal(policy_dane_format(&tlsa, text, 10), "3 1 1 ...");
	for (size_t capacity = 1; capacity < 13; capacity++) {
		memset(text, 'x', sizeof(text));
		policy_dane_format(&tlsa, text, capacity);
		assert_true(strnlen(text, capacity) < capacity);
		for (size_t i = capacity; i < sizeof(text); i++)
			assert_int_equal(text[i], 'x');
	}
	tlsa = record(255, 254, 253, STR("\0"));
	assert_string_equal(policy_dane_format(&tlsa, text, sizeof(text)), "255 254 253 00");
	tlsa = record(3, 1, 1, str_from(digests, 32));
	assert_string_equal(policy_dane_format(&tlsa, text, 20), "3 1 1 3031323334...");
}

static void D13_unknown_numbers_and_usages_0_and_1_are_unusable(void **state)
{
	(void)state;
	for (int usage = 0; usage < 256; usage++) {
		for (int selector = 0; selector < 4; selector++) {
			for (int matching = 1; matching < 5; matching++) {
				struct policy_tlsa tlsa = record(usage, selector, matching,
					str_from(digests, matching == 1 ? 32 : 64));
				bool is_known =
					(usage == 2 || usage == 3) && selector < 2 && matching < 3;
				if (policy_dane_is_usable(&tlsa) != is_known)
					fail_msg("%d %d %d", usage, selector, matching);
			}
		}
	}
	struct policy_tlsa tlsa = record(3, 255, 255, str_from(digests, 32));
	assert_false(policy_dane_is_usable(&tlsa));
}

static void D13_a_digest_of_another_length_is_unusable(void **state)
{
	(void)state;
	for (size_t length = 1; length <= 64; length++) {
		struct policy_tlsa sha256 = record(3, 1, 1, str_from(digests, length));
		struct policy_tlsa sha512 = record(2, 0, 2, str_from(digests, length));
		assert_int_equal(policy_dane_is_usable(&sha256), length == 32);
		assert_int_equal(policy_dane_is_usable(&sha512), length == 64);
	}
}

static void D13_full_data_must_be_what_the_selector_says(void **state)
{
	(void)state;
	struct str certificate = shown.chain[0].der, key = shown.chain[0].spki;
	for (int usage = 2; usage <= 3; usage++) {
		struct policy_tlsa tlsa = record(usage, 0, 0, certificate);
		assert_true(policy_dane_is_usable(&tlsa));
		tlsa = record(usage, 1, 0, key);
		assert_true(policy_dane_is_usable(&tlsa));
		tlsa = record(usage, 1, 0, certificate);
		assert_false(policy_dane_is_usable(&tlsa));
		tlsa = record(usage, 0, 0, key);
		assert_false(policy_dane_is_usable(&tlsa));
		for (size_t cut = 1; cut < 40; cut++) {
			tlsa = record(usage, 0, 0, str_head(certificate, certificate.length - cut));
			assert_false(policy_dane_is_usable(&tlsa));
			tlsa = record(usage, 1, 0, str_head(key, key.length - cut));
			assert_false(policy_dane_is_usable(&tlsa));
		}
		tlsa = record(usage, 1, 0, STR(""));
		assert_false(policy_dane_is_usable(&tlsa));
	}
	/* a byte too many behind it, and far too many */
	char *more = malloc(POLICY_TLSA_DATA_BYTES + 1);
	memset(more, 0, POLICY_TLSA_DATA_BYTES + 1);
	memcpy(more, certificate.at, certificate.length);
	struct policy_tlsa tlsa = record(2, 0, 0, str_from(more, certificate.length + 1));
	assert_false(policy_dane_is_usable(&tlsa));
	tlsa.data.length = POLICY_TLSA_DATA_BYTES + 1;
	assert_false(policy_dane_is_usable(&tlsa));
	free(more);
}

/* Which of the records stay, by their places: "02". */
static const char *kept(const struct policy_tlsa *records, size_t count)
{
	static char text[16];
	struct policy_tlsa selected[16];
	size_t used = 0, selected_count = policy_dane_select(records, count, selected);
	for (size_t i = 0; i < selected_count; i++) {
		for (size_t j = 0; j < count; j++) {
			if (selected[i].usage == records[j].usage &&
				selected[i].selector == records[j].selector &&
				selected[i].matching == records[j].matching &&
				selected[i].data.at == records[j].data.at) {
				text[used++] = (char)('0' + j);
				break;
			}
		}
	}
	text[used] = '\0';
	return text;
}
#define KEPT(...)                                                                                  \
	kept((const struct policy_tlsa[]){ __VA_ARGS__ },                                          \
		sizeof((const struct policy_tlsa[]){ __VA_ARGS__ }) / sizeof(struct policy_tlsa))

static void D19_only_the_strongest_digest_of_a_kind_counts(void **state)
{
	(void)state;
	struct policy_tlsa full = record(3, 1, 0, shown.chain[0].spki);
	assert_string_equal(KEPT(digest(3, 1, 1, 1)), "0");
	assert_string_equal(KEPT(digest(3, 1, 1, 1), digest(3, 1, 2, 2)), "1");
	assert_string_equal(KEPT(digest(3, 1, 2, 2), digest(3, 1, 1, 1), digest(3, 1, 1, 3)), "0");
	assert_string_equal(KEPT(digest(3, 1, 1, 1), digest(3, 1, 1, 2)), "01");
	assert_string_equal(KEPT(digest(3, 1, 2, 1), digest(3, 1, 2, 2)), "01");
	/* full data stands beside any digest */
	assert_string_equal(KEPT(full, digest(3, 1, 1, 1)), "01");
	assert_string_equal(KEPT(digest(3, 1, 1, 1), full, digest(3, 1, 2, 2)), "12");
	/* each usage and each selector by itself */
	assert_string_equal(KEPT(digest(3, 1, 1, 1), digest(3, 0, 2, 2)), "01");
	assert_string_equal(KEPT(digest(3, 1, 1, 1), digest(2, 1, 2, 2)), "01");
	assert_string_equal(KEPT(digest(2, 0, 2, 1), digest(2, 0, 1, 2), digest(2, 1, 1, 3)), "02");
}

static void D19_what_is_unusable_is_dropped_before_digests_compare(void **state)
{
	(void)state;
	struct policy_tlsa bad = digest(3, 1, 2, 2);
	bad.data.length = 63;
	assert_string_equal(KEPT(digest(3, 1, 1, 1), bad), "0");
	assert_string_equal(KEPT(bad), "");
	assert_string_equal(KEPT(digest(0, 1, 1, 1), digest(1, 1, 2, 2)), "");
	assert_string_equal(KEPT(digest(1, 1, 2, 1), digest(3, 1, 1, 2)), "1");
	assert_int_equal(policy_dane_select(NULL, 0, NULL), 0);
}

static void keeps_the_order_and_drops_duplicates(void **state)
{
	(void)state;
	assert_string_equal(KEPT(digest(3, 1, 1, 5), digest(2, 0, 1, 4), digest(3, 1, 1, 5),
				    digest(3, 1, 1, 3), digest(2, 0, 1, 4)),
		"013");
}

static void looks_at_no_more_records_than_the_limit(void **state)
{
	(void)state;
	struct policy_tlsa many[100], selected[100];
	char bytes[100][32];
	for (int i = 0; i < 100; i++) {
		memset(bytes[i], i, 32);
		many[i] = record(3, 1, 1, str_from(bytes[i], 32));
	}
	assert_int_equal(policy_dane_select(many, 100, selected), POLICY_TLSA_MOST);
	/* unusable ones and duplicates take nobody's place */
	for (int i = 0; i < 90; i++)
		many[i].usage = i < 50 ? 1 : 2;
	for (int i = 50; i < 90; i++)
		memset(bytes[i], 7, 32);
	assert_int_equal(policy_dane_select(many, 100, selected), 11);
}

static struct policy_tlsa key_digest(int usage, int matching, char into[64], bool is_right)
{
	struct str key = shown.chain[0].spki;
	if (matching == 1)
		tlsio_digest_sha256(key, (uint8_t *)into);
	else
		tlsio_digest_sha512(key, (uint8_t *)into);
	into[31] ^= is_right ? 0 : 1;
	return record(usage, 1, matching, str_from(into, matching == 1 ? 32 : 64));
}

static enum policy_dane_match match_selected(const struct policy_tlsa *records, size_t count)
{
	struct policy_tlsa selected[4];
	size_t selected_count = policy_dane_select(records, count, selected), index = 99;
	enum policy_dane_match match =
		policy_dane_match(&shown.peer, selected, selected_count, NULL, 0, &index);
	assert_true((index < selected_count) == (match == POLICY_DANE_MATCH));
	return match;
}

static void D19_a_weaker_digest_that_fits_does_not_help(void **state)
{
	(void)state;
	char weak[64], strong[64];
	struct policy_tlsa records[] = { key_digest(3, 1, weak, true),
		key_digest(3, 2, strong, false) };
	assert_int_equal(match_selected(records, 2), POLICY_DANE_NO_MATCH);
	assert_int_equal(match_selected(records, 1), POLICY_DANE_MATCH);
	/* malformed, the strong one is no record, and the weak one counts again */
	records[1].data.length--;
	assert_int_equal(match_selected(records, 2), POLICY_DANE_MATCH);
}

static void any_one_record_suffices(void **state)
{
	(void)state;
	char a[64], b[64], c[64];
	struct policy_tlsa records[] = { digest(2, 0, 1, 1), key_digest(3, 1, a, false),
		key_digest(3, 1, b, true), key_digest(3, 1, c, false) };
	size_t index;
	assert_int_equal(
		policy_dane_match(&shown.peer, records, 4, NULL, 0, &index), POLICY_DANE_MATCH);
	assert_int_equal(index, 2);
	assert_int_equal(
		policy_dane_match(&shown.peer, records, 2, NULL, 0, &index), POLICY_DANE_NO_MATCH);
	assert_int_equal(
		policy_dane_match(&shown.peer, NULL, 0, NULL, 0, NULL), POLICY_DANE_NO_MATCH);
}

static void tells_the_failure_nearest_to_a_match(void **state)
{
	(void)state;
	char key[64];
	struct policy_tlsa records[] = { digest(3, 1, 1, 1), key_digest(2, 1, key, true),
		digest(2, 0, 1, 1) };
	assert_int_equal(
		policy_dane_match(&shown.peer, records, 3, NULL, 0, NULL), POLICY_DANE_NAME);
	struct made_peer nothing;
	make_peer(&nothing, NULL, 0);
	assert_int_equal(policy_dane_match(&nothing.peer, records, 3, NULL, 0, NULL),
		POLICY_DANE_NO_CERTIFICATE);
}

/* A name's owner could have us verify for a long time. */
static void goes_no_more_ways_than_the_limit(void **state)
{
	(void)state;
	enum { ALL = POLICY_DANE_PATHS_MOST + 1 };
	struct made others[POLICY_DANE_PATHS_MOST];
	struct made_peer peers[POLICY_DANE_PATHS_MOST];
	struct policy_tlsa records[ALL];
	char name[] = "root", *names[] = { name };
	struct made named =
		make_certificate("x", (const char *const[]){ "root", NULL }, true, NULL);
	struct made_peer peer;
	make_peer(&peer, (const struct made *[]){ &named }, 1);
	for (size_t i = 0; i < POLICY_DANE_PATHS_MOST; i++) {
		others[i] = make_certificate("other", NULL, true, NULL);
		make_peer(&peers[i], (const struct made *[]){ &others[i] }, 1);
		records[i] = record(2, 0, 0, peers[i].chain[0].der);
	}
	records[ALL - 1] = record(2, 0, 0, peer.chain[0].der);
	assert_int_equal(
		policy_dane_match(&peer.peer, records, ALL, names, 1, NULL), POLICY_DANE_NO_MATCH);
	assert_int_equal(policy_dane_match(&peer.peer, records + 1, ALL - 1, names, 1, NULL),
		POLICY_DANE_MATCH);
	/* the leaf's own record costs nothing */
	records[ALL - 1].usage = POLICY_TLSA_EE;
	assert_int_equal(
		policy_dane_match(&peer.peer, records, ALL, names, 1, NULL), POLICY_DANE_MATCH);
	for (size_t i = 0; i < POLICY_DANE_PATHS_MOST; i++) {
		free_peer(&peers[i]);
		free_certificate(&others[i]);
	}
	free_peer(&peer);
	free_certificate(&named);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rdata_of_four_bytes_and_more),
		cmocka_unit_test(R8_says_a_record_in_numbers_and_lower_case_hexadecimal),
		cmocka_unit_test(D13_unknown_numbers_and_usages_0_and_1_are_unusable),
		cmocka_unit_test(D13_a_digest_of_another_length_is_unusable),
		cmocka_unit_test(D13_full_data_must_be_what_the_selector_says),
		cmocka_unit_test(D19_only_the_strongest_digest_of_a_kind_counts),
		cmocka_unit_test(D19_what_is_unusable_is_dropped_before_digests_compare),
		cmocka_unit_test(keeps_the_order_and_drops_duplicates),
		cmocka_unit_test(looks_at_no_more_records_than_the_limit),
		cmocka_unit_test(D19_a_weaker_digest_that_fits_does_not_help),
		cmocka_unit_test(any_one_record_suffices),
		cmocka_unit_test(goes_no_more_ways_than_the_limit),
		cmocka_unit_test(tells_the_failure_nearest_to_a_match),
	};
	return cmocka_run_group_tests(tests, make_world, free_world);
}
