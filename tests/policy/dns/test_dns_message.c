/* Bytes of answers, good and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/buf.h"
#include "policy/dns/dns_message.h"

enum { ANSWER = 6, AUTHORITY = 8, NS = 2, SOA = 6, QUESTION_AT = 12 };

/* A message under construction. */
struct wire {
	struct buf bytes;
	struct arena arena;
	struct dns_answer answer;
};

static void put16(struct wire *w, unsigned value)
{
	buf_append_byte(&w->bytes, (char)(value >> 8));
	buf_append_byte(&w->bytes, (char)value);
}

static void put_name(struct wire *w, const char *name)
{
	struct str text = str_of(name), label;
	while (text.at && str_split(&text, '.', &label)) {
		if (label.length == 0)
			continue;
		buf_append_byte(&w->bytes, (char)label.length);
		buf_append_str(&w->bytes, label);
	}
	buf_append_byte(&w->bytes, '\0');
}

static char *at(struct wire *w, size_t offset)
{
	return w->bytes.data + w->bytes.head + offset;
}

/* Header and question; code: flags included (0x8180: an answer). */
static void begin(struct wire *w, unsigned flags, const char *name, unsigned type)
{
	buf_clear(&w->bytes);
	put16(w, 0);
	put16(w, flags);
	put16(w, 1);
	put16(w, 0);
	put16(w, 0);
	put16(w, 0);
	put_name(w, name);
	put16(w, type);
	put16(w, 1);
}

/* Counts one more and writes up to the data's length, which finish_record sets. */
static size_t begin_record(struct wire *w, int section, const char *owner, unsigned type,
	uint32_t ttl_s)
{
	unsigned char *count = (unsigned char *)at(w, (size_t)section);
	unsigned number = (unsigned)(count[0] << 8 | count[1]) + 1;
	count[0] = (unsigned char)(number >> 8);
	count[1] = (unsigned char)number;
	put_name(w, owner);
	put16(w, type);
	put16(w, 1);
	put16(w, ttl_s >> 16);
	put16(w, ttl_s & 0xffff);
	put16(w, 0);
	return w->bytes.length;
}

static void finish_record(struct wire *w, size_t data)
{
	size_t length = w->bytes.length - data;
	at(w, data - 2)[0] = (char)(length >> 8);
	at(w, data - 2)[1] = (char)length;
}

static void add(struct wire *w, const char *owner, unsigned type, uint32_t ttl_s, const void *bytes,
	size_t length)
{
	size_t data = begin_record(w, ANSWER, owner, type, ttl_s);
	buf_append(&w->bytes, bytes, length);
	finish_record(w, data);
}

static void add_cname(struct wire *w, const char *owner, uint32_t ttl_s, const char *target)
{
	size_t data = begin_record(w, ANSWER, owner, DNS_CNAME, ttl_s);
	put_name(w, target);
	finish_record(w, data);
}

static void add_mx(struct wire *w, const char *owner, unsigned preference, const char *target)
{
	size_t data = begin_record(w, ANSWER, owner, DNS_MX, 300);
	put16(w, preference);
	put_name(w, target);
	finish_record(w, data);
}

static void add_soa(struct wire *w, uint32_t ttl_s, uint32_t minimum_s)
{
	size_t data = begin_record(w, AUTHORITY, "example", SOA, ttl_s);
	put_name(w, "ns.example");
	put_name(w, "h.example");
	for (int i = 0; i < 4; i++) {
		put16(w, 0);
		put16(w, 1);
	}
	put16(w, minimum_s >> 16);
	put16(w, minimum_s & 0xffff);
	finish_record(w, data);
}

/* From a block of just its size: the sanitizer sees every byte too far. */
static const struct dns_answer *read_cut(struct wire *w, const char *name, enum dns_type type,
	size_t length)
{
	char *bytes = malloc(length ? length : 1);
	memcpy(bytes, at(w, 0), length);
	arena_clear(&w->arena);
	dns_message_read(str_from(bytes, length), name, type, &w->arena, &w->answer);
	free(bytes);
	return &w->answer;
}

static const struct dns_answer *read(struct wire *w, const char *name, enum dns_type type)
{
	return read_cut(w, name, type, w->bytes.length);
}

static void expect_malformed(const struct dns_answer *a, const char *words)
{
	if (a->result != DNS_FAILED || a->security != DNS_INSECURE || a->count != 0 ||
		strncmp(a->why, "malformed answer: ", 18) != 0 || !strstr(a->why, words))
		fail_msg("%d %s", a->result, a->why);
}

static int set_up(void **state)
{
	static struct wire w;
	begin(&w, 0x8180, "a.example", DNS_A);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct wire *w = *state;
	buf_release(&w->bytes);
	arena_clear(&w->arena);
	return 0;
}

static void addresses_are_four_or_sixteen_bytes(void **state)
{
	struct wire *w = *state;
	add(w, "a.example", DNS_A, 300, "\xc0\0\2\1", 4);
	const struct dns_answer *a = read(w, "a.example", DNS_A);
	assert_int_equal(a->result, DNS_FOUND);
	assert_int_equal(a->count, 1);
	assert_int_equal(a->records[0].data.length, 4);
	assert_int_equal(a->ttl_s, 300);
	add(w, "a.example", DNS_A, 300, "\xc0\0\2\1\0", 5);
	expect_malformed(read(w, "a.example", DNS_A), "a bad A record");
	begin(w, 0x8180, "a.example", DNS_AAAA);
	add(w, "a.example", DNS_AAAA, 300, "0123456789abcdef", 16);
	assert_int_equal(read(w, "a.example", DNS_AAAA)->records[0].data.length, 16);
	add(w, "a.example", DNS_AAAA, 300, "0123", 4);
	expect_malformed(read(w, "a.example", DNS_AAAA), "a bad AAAA record");
}

static void every_cut_is_malformed_never_nothing(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_MX);
	add_cname(w, "a.example", 300, "b.example");
	add_mx(w, "b.example", 10, "mx.example");
	add_soa(w, 300, 60);
	assert_int_equal(read(w, "a.example", DNS_MX)->result, DNS_FOUND);
	for (size_t length = 0; length < w->bytes.length; length++)
		expect_malformed(read_cut(w, "a.example", DNS_MX, length), "");
}

static void every_changed_byte_is_survived(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_MX);
	add_cname(w, "a.example", 300, "b.example");
	add_mx(w, "b.example", 10, "mx.example");
	for (size_t i = 0; i < w->bytes.length; i++) {
		char old = *at(w, i);
		for (int value = 0; value < 256; value++) {
			*at(w, i) = (char)value;
			const struct dns_answer *a = read(w, "a.example", DNS_MX);
			assert_int_equal(a->result == DNS_FOUND, a->count > 0);
		}
		*at(w, i) = old;
	}
}

static void only_the_asked_question_is_answered(void **state)
{
	struct wire *w = *state;
	add(w, "a.example", DNS_A, 300, "\xc0\0\2\1", 4);
	assert_int_equal(read(w, "a.example", DNS_A)->result, DNS_FOUND);
	expect_malformed(read(w, "b.example", DNS_A), "another question");
	expect_malformed(read(w, "a.exampl", DNS_A), "another question");
	expect_malformed(read(w, "a.example", DNS_AAAA), "another question");
	*at(w, 2) = 0x01; /* a query */
	expect_malformed(read(w, "a.example", DNS_A), "no header of an answer");
	*at(w, 2) = (char)0x83;
	expect_malformed(read(w, "a.example", DNS_A), "cut short");
	*at(w, 2) = (char)0x81;
	*at(w, 5) = 2;
	expect_malformed(read(w, "a.example", DNS_A), "another question");
	/* case does not matter in names */
	begin(w, 0x8180, "A.eXample", DNS_A);
	add(w, "a.EXAMPLE", DNS_A, 300, "\xc0\0\2\1", 4);
	assert_int_equal(read(w, "a.example", DNS_A)->result, DNS_FOUND);
}

static void D1_error_codes_are_failures_by_name(void **state)
{
	struct wire *w = *state;
	static const struct {
		unsigned code;
		const char *name;
	} codes[] = { { 1, "FORMERR" }, { 2, "SERVFAIL" }, { 4, "NOTIMP" }, { 5, "REFUSED" },
		{ 9, "error 9" } };
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		begin(w, 0x8180 | codes[i].code, "a.example", DNS_A);
		const struct dns_answer *a = read(w, "a.example", DNS_A);
		assert_int_equal(a->result, DNS_FAILED);
		assert_string_equal(a->why, codes[i].name);
		assert_string_equal(a->canonical, "a.example");
	}
}

static void nothing_there_lasts_as_long_as_the_soa_says(void **state)
{
	struct wire *w = *state;
	const struct dns_answer *a = read(w, "a.example", DNS_A);
	assert_int_equal(a->result, DNS_NO_DATA);
	assert_int_equal(a->ttl_s, DNS_MESSAGE_TTL_NO_SOA_S);
	add_soa(w, 300, 77);
	assert_int_equal(read(w, "a.example", DNS_A)->ttl_s, 77);
	begin(w, 0x8183, "a.example", DNS_A);
	add_soa(w, 30, 77);
	a = read(w, "a.example", DNS_A);
	assert_int_equal(a->result, DNS_NO_NAME);
	assert_int_equal(a->ttl_s, 30);
	begin(w, 0x8183, "a.example", DNS_A);
	add_soa(w, 3000000, 3000000);
	assert_int_equal(read(w, "a.example", DNS_A)->ttl_s, DNS_MESSAGE_TTL_MOST_S);
	begin(w, 0x8183, "a.example", DNS_A);
	add(w, "a.example", DNS_A, 300, "\xc0\0\2\1", 4);
	expect_malformed(read(w, "a.example", DNS_A), "does not exist");
	/* the alias is there, what it leads to is not */
	begin(w, 0x8183, "a.example", DNS_A);
	add_cname(w, "a.example", 10, "b.example");
	add_soa(w, 300, 77);
	a = read(w, "a.example", DNS_A);
	assert_int_equal(a->result, DNS_NO_NAME);
	assert_int_equal(a->ttl_s, 10);
	assert_string_equal(a->canonical, "b.example");
}

static void the_smallest_ttl_on_the_way_counts(void **state)
{
	struct wire *w = *state;
	add(w, "c.example", DNS_A, 200, "\xc0\0\2\1", 4);
	add(w, "c.example", DNS_A, 190, "\xc0\0\2\2", 4);
	add_cname(w, "b.example", 150, "C.example"); /* in any order */
	add_cname(w, "a.example", 170, "b.example");
	add(w, "other.example", DNS_A, 5, "\xc0\0\2\3", 4); /* nobody asked */
	const struct dns_answer *a = read(w, "a.example", DNS_A);
	assert_int_equal(a->result, DNS_FOUND);
	assert_int_equal(a->count, 2);
	assert_int_equal(a->ttl_s, 150);
	assert_true(a->is_alias);
	assert_string_equal(a->canonical, "c.example");
	/* more than 31 bits are 0 (RFC 2181 section 8) */
	add(w, "c.example", DNS_A, 0x80000000, "\xc0\0\2\4", 4);
	assert_int_equal(read(w, "a.example", DNS_A)->ttl_s, 0);
}

static void alias_chains_have_an_end(void **state)
{
	struct wire *w = *state;
	char from[20], to[20];
	for (int links = DNS_MESSAGE_ALIASES_MOST; links <= DNS_MESSAGE_ALIASES_MOST + 1; links++) {
		begin(w, 0x8180, "n0.example", DNS_A);
		for (int i = links; i > 0; i--) {
			snprintf(from, sizeof(from), "n%d.example", i - 1);
			snprintf(to, sizeof(to), "n%d.example", i);
			add_cname(w, from, 300, to);
		}
		add(w, to, DNS_A, 300, "\xc0\0\2\1", 4);
		snprintf(to, sizeof(to), "n%d.example", links);
		add(w, to, DNS_A, 300, "\xc0\0\2\1", 4);
		const struct dns_answer *a = read(w, "n0.example", DNS_A);
		if (links == DNS_MESSAGE_ALIASES_MOST)
			assert_int_equal(a->result, DNS_FOUND);
		else
			expect_malformed(a, "too many aliases");
	}
	begin(w, 0x8180, "a.example", DNS_A);
	add_cname(w, "a.example", 300, "b.example");
	add_cname(w, "b.example", 300, "a.example");
	expect_malformed(read(w, "a.example", DNS_A), "too many aliases");
	/* asked for itself, it is not followed */
	begin(w, 0x8180, "a.example", DNS_CNAME);
	add_cname(w, "a.example", 300, "b.example");
	const struct dns_answer *a = read(w, "a.example", DNS_CNAME);
	assert_int_equal(a->result, DNS_FOUND);
	assert_false(a->is_alias);
	assert_string_equal(a->records[0].name, "b.example");
}

static void mx_hosts_come_by_preference_and_stay_in_order(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_MX);
	add_mx(w, "a.example", 20, "c.example");
	add_mx(w, "a.example", 10, "b.example");
	add_mx(w, "a.example", 20, "a.example");
	add_mx(w, "a.example", 0, "");
	const struct dns_answer *a = read(w, "a.example", DNS_MX);
	assert_int_equal(a->count, 4);
	assert_string_equal(a->records[0].name, ".");
	assert_string_equal(a->records[1].name, "b.example");
	assert_string_equal(a->records[2].name, "c.example");
	assert_string_equal(a->records[3].name, "a.example");
	/* bytes behind the name, or none for it */
	size_t data = begin_record(w, ANSWER, "a.example", DNS_MX, 300);
	put16(w, 1);
	put_name(w, "x");
	buf_append_byte(&w->bytes, 'x');
	finish_record(w, data);
	expect_malformed(read(w, "a.example", DNS_MX), "a bad MX record");
	begin(w, 0x8180, "a.example", DNS_MX);
	add(w, "a.example", DNS_MX, 300, "\0\1", 2);
	expect_malformed(read(w, "a.example", DNS_MX), "a bad MX record");
}

static void records_beyond_the_limit_are_counted(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_MX);
	for (unsigned i = 0; i < DNS_RECORDS_MOST + 5; i++)
		add_mx(w, "a.example", 1000 - i, "b.example");
	const struct dns_answer *a = read(w, "a.example", DNS_MX);
	assert_int_equal(a->count, DNS_RECORDS_MOST);
	assert_int_equal(a->left_out_count, 5);
	assert_int_equal(a->records[0].preference, 1000 - DNS_RECORDS_MOST - 4);
}

static void M1_strings_are_joined(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_TXT);
	add(w, "a.example", DNS_TXT, 300, "\3v=S\0\2Tx", 8);
	const struct dns_answer *a = read(w, "a.example", DNS_TXT);
	assert_true(str_equal(a->records[0].data, STR("v=STx")));
	add(w, "a.example", DNS_TXT, 300, "\0", 1);
	assert_int_equal(read(w, "a.example", DNS_TXT)->records[1].data.length, 0);
	add(w, "a.example", DNS_TXT, 300, "\5abc", 4);
	expect_malformed(read(w, "a.example", DNS_TXT), "a bad TXT record");
	begin(w, 0x8180, "a.example", DNS_TXT);
	add(w, "a.example", DNS_TXT, 300, "", 0);
	expect_malformed(read(w, "a.example", DNS_TXT), "a bad TXT record");
}

static void tlsa_data_has_its_three_numbers(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_TLSA);
	add(w, "a.example", DNS_TLSA, 300, "\3\1\1xyz", 6);
	assert_int_equal(read(w, "a.example", DNS_TLSA)->records[0].data.length, 6);
	add(w, "a.example", DNS_TLSA, 300, "\3\1", 2);
	expect_malformed(read(w, "a.example", DNS_TLSA), "a bad TLSA record");
}

static void pointers_lead_backwards_only(void **state)
{
	struct wire *w = *state;
	/* owner: a pointer to the question's name */
	size_t data = begin_record(w, ANSWER, "", DNS_A, 300);
	buf_truncate(&w->bytes, data - 11);
	size_t owner = w->bytes.length;
	put16(w, 0xc000 | QUESTION_AT);
	put16(w, DNS_A);
	put16(w, 1);
	put16(w, 0);
	put16(w, 300);
	put16(w, 4);
	buf_append(&w->bytes, "\xc0\0\2\1", 4);
	assert_int_equal(read(w, "a.example", DNS_A)->result, DNS_FOUND);
	/* to itself, forwards, into the header, a kind of label nobody uses */
	const unsigned bad[] = { 0xc000 | (unsigned)owner, 0xc000 | ((unsigned)owner + 12), 0xc000, 0xc00b,
		0xffff, 0x8001, 0x4001 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		at(w, owner)[0] = (char)(bad[i] >> 8);
		at(w, owner)[1] = (char)bad[i];
		expect_malformed(read(w, "a.example", DNS_A), "a record runs over its end");
	}
}

static void names_longer_than_255_bytes_are_refused(void **state)
{
	struct wire *w = *state;
	char label[64], name[300];
	memset(label, 'a', 63);
	label[63] = '\0';
	for (int last = 61; last <= 62; last++) { /* 3 * 64 + 62 + 1 = 255 bytes on the wire */
		snprintf(name, sizeof(name), "%s.%s.%s.%.*s", label, label, label, last, label);
		begin(w, 0x8180, "a.example", DNS_CNAME);
		add_cname(w, "a.example", 300, name);
		const struct dns_answer *a = read(w, "a.example", DNS_CNAME);
		if (last == 61)
			assert_string_equal(a->records[0].name, name);
		else
			expect_malformed(a, "a bad CNAME record");
	}
}

static void bytes_no_host_name_has_are_escaped(void **state)
{
	struct wire *w = *state;
	begin(w, 0x8180, "a.example", DNS_MX);
	size_t data = begin_record(w, ANSWER, "a.example", DNS_MX, 300);
	put16(w, 1);
	buf_append(&w->bytes, "\6a.B\0\n\xff\1_\0", 10);
	finish_record(w, data);
	const struct dns_answer *a = read(w, "a.example", DNS_MX);
	assert_string_equal(a->records[0].name, "a\\046b\\000\\010\\255._");
}

static void a_lying_count_costs_nothing(void **state)
{
	struct wire *w = *state;
	at(w, ANSWER)[0] = (char)0xff;
	expect_malformed(read(w, "a.example", DNS_A), "runs over its end");
	assert_true(w->arena.used_bytes < 4096);
}

static void names_that_may_be_asked(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "a.example", "_25._tcp.MX-1.example", ".", "1.2" };
	static const char *const bad[] = { "", "a.", ".a", "..", "a..b", "a b", "a\\046", "a*", "\xc3\xbc" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(dns_message_is_name(str_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (dns_message_is_name(str_of(bad[i])))
			fail_msg("%s", bad[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(addresses_are_four_or_sixteen_bytes),
		T(every_cut_is_malformed_never_nothing),
		T(every_changed_byte_is_survived),
		T(only_the_asked_question_is_answered),
		T(D1_error_codes_are_failures_by_name),
		T(nothing_there_lasts_as_long_as_the_soa_says),
		T(the_smallest_ttl_on_the_way_counts),
		T(alias_chains_have_an_end),
		T(mx_hosts_come_by_preference_and_stay_in_order),
		T(records_beyond_the_limit_are_counted),
		T(M1_strings_are_joined),
		T(tlsa_data_has_its_three_numbers),
		T(pointers_lead_backwards_only),
		T(names_longer_than_255_bytes_are_refused),
		T(bytes_no_host_name_has_are_escaped),
		T(a_lying_count_costs_nothing),
		T(names_that_may_be_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
