/* The book against a plain recount, through thousands of changes. */
#include "smtpd/queue/queue_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_S INT64_C(1800000000)

static void add(struct queue_book *book, uint64_t id, int64_t age_s, uint64_t size, const char *one,
	const char *two)
{
	struct spool_recipient recipients[2] = { { .address = str_of(one) },
		{ .address = str_of(two ? two : "") } };
	const struct spool_envelope e = { .id = id, .received_s = NOW_S - age_s, .size_bytes = size,
		.recipients = recipients, .recipient_count = two ? 2 : 1 };
	queue_book_add(book, &e);
}

static void counts_messages_recipients_domains_and_causes(void **state)
{
	struct queue_book *book = queue_book_new();
	struct queue_book_total t;
	(void)state;
	add(book, 1, 10, 100, "a@x.example", NULL);
	add(book, 2, 10, 200, "b@X.Example", "c@y.example");
	queue_book_total(book, &t);
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.bytes, 300);
	assert_int_equal(t.domains, 2);
	assert_int_equal(t.count.recipients, 3);
	assert_int_equal(t.count.causes[SPOOL_CAUSE_NONE], 3);
	queue_book_change(book, 2, 1, SPOOL_RECIPIENT_WAITING, SPOOL_CAUSE_POLICY);
	queue_book_change(book, 1, 0, SPOOL_RECIPIENT_HELD, SPOOL_CAUSE_NONE);
	queue_book_total(book, &t);
	assert_int_equal(t.count.recipients, 3);
	assert_int_equal(t.count.held, 1);
	assert_int_equal(t.count.causes[SPOOL_CAUSE_POLICY], 1);
	assert_int_equal(t.count.causes[SPOOL_CAUSE_NONE], 1);
	queue_book_change(book, 2, 1, SPOOL_RECIPIENT_DELIVERED, SPOOL_CAUSE_NONE);
	queue_book_change(book, 2, 1, SPOOL_RECIPIENT_WAITING, SPOOL_CAUSE_NONE); /* final stays */
	queue_book_change(book, 2, 7, SPOOL_RECIPIENT_WAITING, SPOOL_CAUSE_NONE); /* nobody */
	queue_book_change(book, 9, 0, SPOOL_RECIPIENT_WAITING, SPOOL_CAUSE_NONE);
	queue_book_total(book, &t);
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.domains, 1);
	assert_int_equal(t.count.recipients, 2);
	queue_book_change(book, 2, 0, SPOOL_RECIPIENT_REMOVED, SPOOL_CAUSE_NONE);
	queue_book_change(book, 1, 0, SPOOL_RECIPIENT_FAILED, SPOOL_CAUSE_NONE);
	queue_book_total(book, &t);
	assert_int_equal(t.messages, 0);
	assert_int_equal(t.bytes, 0);
	assert_int_equal(t.domains, 0);
	assert_int_equal(t.count.held, 0);
	queue_book_free(&book);
}

/* At a replay a message may come again, with what has become of it. */
static void a_message_told_again_is_counted_once(void **state)
{
	struct queue_book *book = queue_book_new();
	struct queue_book_total t;
	struct spool_recipient done = { .address = STR("a@x.example"),
		.state = SPOOL_RECIPIENT_DELIVERED };
	const struct spool_envelope e = { .id = 1, .recipients = &done, .recipient_count = 1 };
	(void)state;
	add(book, 1, 0, 10, "a@x.example", "b@y.example");
	add(book, 1, 0, 20, "a@x.example", NULL);
	queue_book_total(book, &t);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.bytes, 20);
	assert_int_equal(t.count.recipients, 1);
	queue_book_add(book, &e);
	queue_book_total(book, &t);
	assert_int_equal(t.messages, 0);
	queue_book_free(&book);
}

static void the_largest_domains_come_first(void **state)
{
	struct queue_book *book = queue_book_new();
	struct queue_book_domain top[10];
	uint64_t id = 1;
	(void)state;
	assert_int_equal(queue_book_top(book, top, 10), 0);
	for (int domain = 0; domain < 200; domain++) {
		char address[40];
		/* a count of its own for each, in no order */
		int recipients = domain * 77 % 200 + 1;
		snprintf(address, sizeof(address), "u@d%d.example", recipients);
		for (int i = 0; i < recipients; i++)
			add(book, id++, 0, 1, address, NULL);
	}
	assert_int_equal(queue_book_top(book, top, 10), 10);
	for (int i = 0; i < 10; i++) {
		char name[40];
		snprintf(name, sizeof(name), "d%d.example", 200 - i);
		assert_string_equal(top[i].name, name);
		assert_int_equal(top[i].count.recipients, 200 - i);
	}
	assert_int_equal(queue_book_top(book, top, 1), 1);
	assert_string_equal(top[0].name, "d200.example");
	assert_int_equal(queue_book_top(book, top, 0), 0);
	queue_book_free(&book);
}

static void ages_are_classes_that_double(void **state)
{
	static const struct {
		int64_t age_s;
		size_t class;
	} rows[] = { { 0, 0 }, { 60, 0 }, { 600, 1 }, { 3000, 4 }, { 86400, 9 }, { 4 * 86400, 11 },
		{ 90 * 86400, 12 }, { -500, 0 } };
	struct queue_book *book = queue_book_new();
	uint64_t ages[QUEUE_BOOK_AGES], all = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before[QUEUE_BOOK_AGES];
		queue_book_ages(book, NOW_S, before);
		add(book, i + 1, rows[i].age_s, 1, "a@x.example", NULL);
		queue_book_ages(book, NOW_S, ages);
		assert_int_equal(ages[rows[i].class], before[rows[i].class] + 1);
		queue_book_change(book, i + 1, 0, SPOOL_RECIPIENT_DELIVERED, 0);
		queue_book_ages(book, NOW_S, ages);
		assert_memory_equal(ages, before, sizeof(ages));
		add(book, i + 1, rows[i].age_s, 1, "a@x.example", NULL);
	}
	queue_book_ages(book, NOW_S, ages);
	for (size_t i = 0; i < QUEUE_BOOK_AGES; i++)
		all += ages[i];
	assert_int_equal(all, sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(queue_book_age_end_s(0), 300);
	assert_int_equal(queue_book_age_end_s(1), 600);
	assert_int_equal(queue_book_age_end_s(QUEUE_BOOK_AGES - 1), 0);
	queue_book_free(&book);
}

static void odd_addresses_have_a_domain_too(void **state)
{
	struct queue_book *book = queue_book_new();
	struct queue_book_domain top[4];
	char endless[600];
	(void)state;
	memset(endless, 'x', sizeof(endless) - 1);
	endless[1] = '@';
	endless[sizeof(endless) - 1] = '\0';
	add(book, 1, 0, 1, "postmaster", NULL);
	add(book, 2, 0, 1, "\"a@b\"@x.example", NULL);
	add(book, 3, 0, 1, endless, NULL);
	assert_int_equal(queue_book_top(book, top, 4), 3);
	queue_book_free(&book);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_messages_recipients_domains_and_causes),
		cmocka_unit_test(a_message_told_again_is_counted_once),
		cmocka_unit_test(the_largest_domains_come_first),
		cmocka_unit_test(ages_are_classes_that_double),
		cmocka_unit_test(odd_addresses_have_a_domain_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
