/* A plan as bytes and back, and what is not taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "policy/store/store_file.h"
#include "tests/policy/door/make_plan.h"

static void add_whole(struct policy_plan *plan)
{
	struct policy_plan_whole *w = mem_zero(sizeof(*w));
	w->is_by_mx = w->is_mx_known = w->is_mx_proven = true;
	w->dane_hosts = 1;
	w->unusable_hosts = 2;
	w->plain_hosts = 3;
	w->unknown_hosts = 4;
	w->sts_mode = POLICY_STS_TESTING;
	w->sts_mx = mem_array(2, sizeof(*w->sts_mx));
	w->sts_mx[w->sts_mx_count++] = mem_dup("mx1.example.org");
	w->sts_mx[w->sts_mx_count++] = mem_dup("*.example.net");
	w->sts_text = mem_dup("version: STSv1\r\nmode: testing\r\n");
	plan->whole = w;
}

static void make(struct buf *into)
{
	struct plan_service_kept kept = { .kind = POLICY_BY_HOST, .port = 587, .has_evidence = true,
		.plan = make_plan_rich(NULL) };
	add_whole(kept.plan);
	assert_true(store_file_put(into, &kept));
	policy_plan_unref(&kept.plan);
}

static struct str split(const struct buf *from)
{
	struct str body = { NULL, 0 };
	size_t used = 0;
	bool is_whole = false;
	assert_true(store_file_split(buf_str(from), &body, &used, &is_whole));
	assert_true(is_whole);
	assert_int_equal(used, from->length);
	return body;
}

static void a_plan_comes_back_as_it_was(void **state)
{
	struct buf first = { 0 }, second = { 0 };
	struct plan_service_kept kept;
	struct err err = { 0 };
	(void)state;
	make(&first);
	assert_int_equal(store_file_read(split(&first), NULL, &kept, &err), 0);
	assert_int_equal(kept.kind, POLICY_BY_HOST);
	assert_int_equal(kept.port, 587);
	assert_true(kept.has_evidence);
	const struct policy_plan_whole *w = kept.plan->whole;
	assert_true(w->is_by_mx && w->is_mx_known && w->is_mx_proven);
	assert_int_equal(w->dane_hosts, 1);
	assert_int_equal(w->unusable_hosts, 2);
	assert_int_equal(w->plain_hosts, 3);
	assert_int_equal(w->unknown_hosts, 4);
	assert_int_equal(w->sts_mode, POLICY_STS_TESTING);
	assert_int_equal(w->sts_mx_count, 2);
	assert_string_equal(w->sts_mx[1], "*.example.net");
	assert_string_equal(w->sts_text, "version: STSv1\r\nmode: testing\r\n");
	assert_int_equal(kept.plan->host_count, 3);
	assert_int_equal(kept.plan->evidence_count, 2);
	/* and everything else, since it says itself again in the same bytes */
	assert_true(store_file_put(&second, &kept));
	assert_true(str_equal(buf_str(&first), buf_str(&second)));
	policy_plan_unref(&kept.plan);
	buf_release(&first);
	buf_release(&second);
}

static void no_changed_byte_goes_unnoticed(void **state)
{
	struct buf record = { 0 };
	(void)state;
	make(&record);
	for (size_t i = 0; i < record.length; i++) {
		char *at = record.data + record.head + i;
		struct str body;
		size_t used;
		bool is_whole = false;
		*at ^= 0x20;
		bool is_there = store_file_split(buf_str(&record), &body, &used, &is_whole);
		assert_false(is_there && is_whole);
		*at ^= 0x20;
	}
	buf_release(&record);
}

/* With a checksum that fits, as somebody who means it would write: refused or understood, no more. */
static void bytes_that_mean_harm_do_none(void **state)
{
	struct buf record = { 0 };
	(void)state;
	make(&record);
	struct str body = split(&record);
	for (size_t i = 0; i < body.length; i++) {
		for (unsigned bit = 1; bit < 0x100; bit <<= 1) {
			char *at = (char *)(uintptr_t)&body.at[i];
			struct plan_service_kept kept;
			*at ^= (char)bit;
			if (store_file_read(body, NULL, &kept, NULL) == 0)
				policy_plan_unref(&kept.plan);
			*at ^= (char)bit;
		}
		struct plan_service_kept kept;
		assert_int_equal(store_file_read(str_head(body, i), NULL, &kept, NULL), -1);
	}
	buf_release(&record);
}

static void a_head_says_what_it_is_of(void **state)
{
	struct store_head head = { .written_s = 1767225600, .count = 7, .bytes = 4711 }, back;
	char bytes[STORE_HEAD_BYTES];
	struct err err;
	(void)state;
	memset(head.digest, 0x5a, sizeof(head.digest));
	store_file_put_head(&head, bytes);
	assert_int_equal(store_file_read_head(str_from(bytes, sizeof(bytes)), &back, &err), 0);
	assert_memory_equal(head.digest, back.digest, sizeof(head.digest));
	assert_int_equal(back.written_s, 1767225600);
	assert_int_equal(back.count, 7);
	assert_int_equal(back.bytes, 4711);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(store_file_read_head(str_from(bytes, i), &back, &err), -1);
		bytes[i] ^= 1;
		assert_int_equal(
			store_file_read_head(str_from(bytes, sizeof(bytes)), &back, &err), -1);
		bytes[i] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_comes_back_as_it_was),
		cmocka_unit_test(no_changed_byte_goes_unnoticed),
		cmocka_unit_test(bytes_that_mean_harm_do_none),
		cmocka_unit_test(a_head_says_what_it_is_of),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
