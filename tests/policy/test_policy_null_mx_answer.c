/* DNS answers as they come over the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_null_mx_answer.h"

/* Built of: header(flags, answers, authority), the question for d.test, records. A literal's own NUL
 * at the end is not part of it. */
#define HEADER(flags, answers, authority) "\x12\x34" flags "\0\x01" answers authority "\0\0"
#define OK "\x81\x80"
#define QUESTION "\1d\4test\0" "\0\x0f\0\x01"
#define NAME "\xc0\x0c" /* points at the question's */
#define MX(ttl, length, data) NAME "\0\x0f\0\x01" ttl length data
#define NULL_MX MX("\0\0\x0e\x10", "\0\x03", "\0\0\0")
#define CNAME(ttl) NAME "\0\x05\0\x01" ttl "\0\x04" "\1e\xc0\x0e"
#define SOA(ttl, minimum)                                                                          \
	NAME "\0\x06\0\x01" ttl "\0\x16" "\0\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4" minimum
#define ONE "\0\x01"
#define TWO "\0\x02"
#define NONE "\0\0"

struct row {
	const char *name;
	enum policy_null_mx_result result;
	uint32_t ttl_s;
	const char *bytes;
	size_t length;
};
#define ROW(name, result, ttl_s, bytes)                                                            \
	{ name, POLICY_NULL_MX_##result, ttl_s, bytes, sizeof(bytes) - 1 }

static const struct row rows[] = {
	ROW("a null MX", YES, 3600, HEADER(OK, ONE, NONE) QUESTION NULL_MX),
	ROW("its TTL", YES, 7, HEADER(OK, ONE, NONE) QUESTION MX("\0\0\0\x07", "\0\3", "\0\0\0")),
	ROW("behind an alias", YES, 60, HEADER(OK, TWO, NONE) QUESTION CNAME("\0\0\0\x3c") NULL_MX),
	ROW("a negative TTL", YES, 0,
		HEADER(OK, ONE, NONE) QUESTION MX("\x80\0\0\0", "\0\3", "\0\0\0")),
	ROW("with a signature beside it", YES, 3600, HEADER(OK, TWO, NONE) QUESTION NULL_MX
		NAME "\0\x2e\0\x01" "\0\1\0\0" "\0\2" "ab"),
	ROW("another preference", NO, 3600,
		HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\3", "\0\x0a\0")),
	ROW("preference 0 and a host", NO, 3600,
		HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\4", "\0\0" NAME)),
	ROW("a null MX twice", NO, 3600, HEADER(OK, TWO, NONE) QUESTION NULL_MX NULL_MX),
	ROW("a null MX and another", NO, 3600, HEADER(OK, TWO, NONE) QUESTION NULL_MX
		MX("\0\0\x0e\x10", "\0\4", "\0\x0a" NAME)),
	ROW("of another class", NO, 3600, HEADER(OK, ONE, NONE) QUESTION
		NAME "\0\x0f\0\x03" "\0\0\x0e\x10" "\0\3" "\0\0\0"),
	ROW("of another type", NO, 3600, HEADER(OK, ONE, NONE) QUESTION
		NAME "\0\x12\0\x01" "\0\0\x0e\x10" "\0\3" "\0\0\0"),
	ROW("bytes behind the host", NO, 3600,
		HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\4", "\0\0\0\0")),
	ROW("no host", NO, 3600,
		HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\2", "\0\0")),
	ROW("no data", NO, 3600, HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\0", "")),
	ROW("a host that points at itself", NO, 3600,
		HEADER(OK, ONE, NONE) QUESTION MX("\0\0\x0e\x10", "\0\4", "\0\0\xc0\x26")),
	ROW("no MX", NO, 0, HEADER(OK, NONE, NONE) QUESTION),
	ROW("no MX, for a while", NO, 300,
		HEADER(OK, NONE, ONE) QUESTION SOA("\0\0\x0e\x10", "\0\0\x01\x2c")),
	ROW("no MX, for less", NO, 100,
		HEADER(OK, NONE, ONE) QUESTION SOA("\0\0\0\x64", "\0\0\x01\x2c")),
	ROW("no such domain", NO, 300,
		HEADER("\x81\x83", NONE, ONE) QUESTION SOA("\0\0\x0e\x10", "\0\0\x01\x2c")),
	ROW("an alias of no such domain", NO, 300, HEADER("\x81\x83", ONE, ONE) QUESTION
		CNAME("\0\0\0\x3c") SOA("\0\0\x0e\x10", "\0\0\x01\x2c")),
	ROW("no such domain, and a null MX", NO, 0,
		HEADER("\x81\x83", ONE, NONE) QUESTION NULL_MX),
	ROW("a short SOA", NO, 0, HEADER(OK, NONE, ONE) QUESTION
		NAME "\0\x06\0\x01" "\0\0\0\x09" "\0\2" "ab"),
	ROW("a server's failure", UNKNOWN, 0, HEADER("\x81\x82", NONE, NONE) QUESTION),
	ROW("a refusal with a null MX", UNKNOWN, 0, HEADER("\x81\x85", ONE, NONE) QUESTION NULL_MX),
	ROW("cut off", UNKNOWN, 0, HEADER("\x83\x80", ONE, NONE) QUESTION NULL_MX),
	ROW("a question", UNKNOWN, 0, HEADER("\x01\0", ONE, NONE) QUESTION NULL_MX),
	ROW("bytes behind the end", UNKNOWN, 0, HEADER(OK, ONE, NONE) QUESTION NULL_MX "x"),
	ROW("more records announced", UNKNOWN, 0, HEADER(OK, TWO, NONE) QUESTION NULL_MX),
	ROW("nothing", UNKNOWN, 0, ""),
};

/* In a block of its own, so that the sanitizer sees a byte read too much. */
static struct policy_null_mx_answer parse(const char *bytes, size_t length)
{
	uint8_t *copy = malloc(length ? length : 1);
	memcpy(copy, bytes, length);
	struct policy_null_mx_answer answer = policy_null_mx_answer_parse(copy, length);
	free(copy);
	return answer;
}

static void reads_what_servers_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_null_mx_answer answer = parse(rows[i].bytes, rows[i].length);
		if (answer.result != rows[i].result || answer.ttl_s != rows[i].ttl_s)
			fail_msg("%s: result %d, ttl %u", rows[i].name, (int)answer.result,
				(unsigned)answer.ttl_s);
	}
}

static void a_piece_of_an_answer_is_no_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t length = 0; length < rows[i].length; length++)
			if (rows[i].result != POLICY_NULL_MX_UNKNOWN)
				assert_int_equal(parse(rows[i].bytes, length).result,
					POLICY_NULL_MX_UNKNOWN);
}

/* What they say does not matter, the sanitizer's word does. */
static void no_flipped_bit_reads_beyond_the_end(void **state)
{
	(void)state;
	char bytes[128];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(bytes, rows[i].bytes, rows[i].length);
		for (size_t bit = 0; bit < 8 * rows[i].length; bit++) {
			bytes[bit / 8] ^= (char)(1 << bit % 8);
			parse(bytes, rows[i].length);
			bytes[bit / 8] ^= (char)(1 << bit % 8);
		}
	}
}

static void more_than_a_message_can_hold_is_no_answer(void **state)
{
	(void)state;
	static uint8_t bytes[70000];
	assert_int_equal(policy_null_mx_answer_parse(bytes, sizeof(bytes)).result,
		POLICY_NULL_MX_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_servers_say),
		cmocka_unit_test(a_piece_of_an_answer_is_no_answer),
		cmocka_unit_test(no_flipped_bit_reads_beyond_the_end),
		cmocka_unit_test(more_than_a_message_can_hold_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
