/* Which mail the operator means: each word of a filter against the same message. */
#include "smtpd/queue/queue_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#define NOW_S INT64_C(1800000000)

static struct spool_recipient recipients[] = {
	{ .address = STR("Ann@Mail.Example.org"), .cause = SPOOL_CAUSE_POLICY },
	{ .address = STR("bob@example.net"), .state = SPOOL_RECIPIENT_HELD },
	{ .address = STR("gone@example.net"), .state = SPOOL_RECIPIENT_DELIVERED },
};
static const struct spool_envelope envelope = { .id = 0x2a, .received_s = NOW_S - 3600,
	.size_bytes = 10000, .sender = STR("Sam@Example.com"), .recipients = recipients,
	.recipient_count = 3 };

static void words_say_which_recipients_are_meant(void **state)
{
	static const struct {
		const char *words;
		unsigned matches;   /* bit i: recipient i */
		bool may_match;
	} rows[] = {
		{ "", 3, true },
		{ "id=000000000000002a", 3, true },
		{ "id=000000000000002b", 0, false },
		{ "domain=mail.example.ORG", 1, true },
		{ "domain=example.org", 0, false },
		{ "domain=.example.org", 1, true },
		{ "domain=example.net", 2, true },
		{ "sender=sam@example.com", 3, true },
		{ "sender=@example.com", 3, true },
		{ "sender=@ample.com", 0, true },
		{ "sender=<>", 0, true },
		{ "recipient=BOB@example.net", 2, true },
		{ "recipient=gone@example.net", 0, true },
		{ "recipient=@example.net", 2, true },
		{ "reason=policy", 1, true },
		{ "reason=held", 2, true },
		{ "reason=none", 0, false },
		{ "reason=policy domain=example.net", 0, false },
		{ "older=1h", 3, true },
		{ "older=61m", 0, false },
		{ "younger=1h", 0, false },
		{ "younger=61m", 3, true },
		{ "larger=9999B", 3, true },
		{ "larger=10KiB", 0, false },
		{ "smaller=10KiB", 3, true },
	};
	struct queue_book *book = queue_book_new();
	(void)state;
	queue_book_add(book, &envelope);
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct queue_filter f = { 0 };
		struct str words = str_of(rows[row].words), word;
		struct err err = { 0 };
		unsigned matches = 0;
		while ((word = str_next_word(&words)).length)
			if (queue_filter_add(&f, word, &err) < 0)
				fail_msg("%s: %s", rows[row].words, err.text);
		for (uint32_t i = 0; i < 3; i++)
			matches |= (unsigned)queue_filter_matches(&f, &envelope, i, NOW_S) << i;
		if (matches != rows[row].matches)
			fail_msg("%s: %u", rows[row].words, matches);
		if (queue_filter_may_match(&f, book, envelope.id, NOW_S) != rows[row].may_match)
			fail_msg("%s: may match", rows[row].words);
		assert_false(queue_filter_may_match(&f, book, 99, NOW_S));
	}
	queue_book_free(&book);
}

static void what_is_no_filter_is_refused_with_words(void **state)
{
	static const struct {
		const char *word, *says;
	} rows[] = {
		{ "example.org", "is none of" }, { "colour=red", "is none of" }, { "id=12", "is none of" },
		{ "domain=", "1 to" }, { "reason=weather", "the reasons are" },
		{ "older=soon", "is no time" }, { "older=0", "is no time" },
		{ "larger=big", "is no size" }, { "=x", "is none of" }, { "", "is none of" },
	};
	char endless[2000] = "domain=";
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct queue_filter f = { 0 };
		struct err err = { 0 };
		assert_int_equal(queue_filter_add(&f, str_of(rows[i].word), &err), -1);
		if (!strstr(err.text, rows[i].says))
			fail_msg("%s: %s", rows[i].word, err.text);
	}
	struct queue_filter f = { 0 };
	struct err err = { 0 };
	memset(endless + 7, 'x', sizeof(endless) - 8);
	assert_int_equal(queue_filter_add(&f, str_of(endless), &err), -1);
	endless[0] = 'X';
	assert_int_equal(queue_filter_add(&f, str_of(endless), &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_say_which_recipients_are_meant),
		cmocka_unit_test(what_is_no_filter_is_refused_with_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
