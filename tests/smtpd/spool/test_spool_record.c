#include "smtpd/spool/spool_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static void a_record_reads_as_it_was_written(void **state)
{
	struct str parts[] = { STR("hello "), STR(""), STR("world") };
	struct buf bytes = { 0 };
	struct spool_record record;
	(void)state;
	spool_record_append(&bytes, SPOOL_RECORD_CHUNK, 77, 88, parts, 3);
	assert_int_equal(bytes.length, spool_record_bytes(11));
	assert_int_equal(bytes.length % SPOOL_RECORD_ALIGN, 0);
	assert_true(spool_record_parse(bytes.data, &record));
	assert_int_equal(record.type, SPOOL_RECORD_CHUNK);
	assert_int_equal(record.salt, 77);
	assert_int_equal(record.id, 88);
	assert_int_equal(record.length, 11);
	assert_true(spool_record_payload_is_intact(
		&record, bytes.data + SPOOL_RECORD_HEADER_BYTES));
	assert_memory_equal(bytes.data + SPOOL_RECORD_HEADER_BYTES, "hello world", 11);
	buf_release(&bytes);
}

static void every_flipped_bit_is_seen(void **state)
{
	struct str part = STR("some payload");
	struct buf bytes = { 0 };
	struct spool_record record;
	(void)state;
	spool_record_append(&bytes, SPOOL_RECORD_COMMIT, 77, 88, &part, 1);
	for (size_t bit = 0; bit < (SPOOL_RECORD_HEADER_BYTES + part.length) * 8; bit++) {
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_false(spool_record_parse(bytes.data, &record) &&
			     spool_record_payload_is_intact(
				     &record, bytes.data + SPOOL_RECORD_HEADER_BYTES));
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_release(&bytes);
}

static void a_segment_header_reads_as_it_was_written(void **state)
{
	struct spool_segment_header header = { .number = 5, .shard = 200, .salt = 1234567 }, back;
	char bytes[SPOOL_SEGMENT_HEADER_BYTES];
	struct err err;
	(void)state;
	spool_segment_header_format(&header, bytes);
	assert_int_equal(spool_segment_header_parse(bytes, &back, NULL), 0);
	assert_int_equal(back.number, 5);
	assert_int_equal(back.shard, 200);
	assert_int_equal(back.salt, 1234567);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_int_equal(spool_segment_header_parse(bytes, &back, &err), -1);
		bytes[i] ^= 1;
	}
}

static void a_commit_must_add_up(void **state)
{
	char bytes[SPOOL_COMMIT_HEAD_BYTES + 2 * SPOOL_CHUNK_BYTES + 3] = { 0 };
	struct spool_chunk chunks[] = { { { 1, 64 }, 100 }, { { 2, 64 }, 50 } };
	struct spool_commit_head head = { 150, 2, 3 }, back;
	struct str list, envelope, payload = str_from(bytes, sizeof(bytes));
	(void)state;
	spool_commit_head_format(&head, bytes);
	for (int i = 0; i < 2; i++)
		spool_chunk_format(&chunks[i],
			bytes + SPOOL_COMMIT_HEAD_BYTES + i * SPOOL_CHUNK_BYTES);
	assert_true(spool_commit_parse(payload, &back, &list, &envelope));
	assert_int_equal(envelope.length, 3);
	assert_int_equal(spool_chunk_at(list, 1).at.segment, 2);
	assert_int_equal(spool_chunk_at(list, 1).length, 50);
	/* wrong total, wrong counts, an impossible chunk */
	static const struct spool_commit_head wrong[] = { { 151, 2, 3 }, { 150, 1, 3 },
		{ 150, 2, 4 }, { 150, 3, 3 }, { 150, 0x80000000u, 3 }, { 150, 2, 0xffffffffu } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		spool_commit_head_format(&wrong[i], bytes);
		assert_false(spool_commit_parse(payload, &back, &list, &envelope));
	}
	spool_commit_head_format(&head, bytes);
	chunks[0].at.segment = 0;
	spool_chunk_format(&chunks[0], bytes + SPOOL_COMMIT_HEAD_BYTES);
	assert_false(spool_commit_parse(payload, &back, &list, &envelope));
	assert_false(spool_commit_parse(str_head(payload, 15), &back, &list, &envelope));
}

static void deltas_come_one_by_one(void **state)
{
	struct buf bytes = { 0 };
	char reason[600];
	memset(reason, 'r', sizeof(reason));
	struct spool_delta in[] = { { 7, 1, 3, -5, STR("why"), 4, 3, STR("mx other.example") },
		{ 4000000000u, 0, 65535, INT64_MAX, str_from(reason, sizeof(reason)), 5, 0, STR("") } };
	struct spool_delta out;
	(void)state;
	for (int i = 0; i < 2; i++)
		spool_delta_append(&bytes, &in[i]);
	struct str rest = buf_str(&bytes);
	assert_true(spool_delta_next(&rest, &out));
	assert_int_equal(out.recipient, 7);
	assert_int_equal(out.due_s, -5);
	assert_true(str_equal(out.reason, STR("why")));
	assert_int_equal(out.cause, 4);
	assert_int_equal(out.told, 3);
	assert_true(str_equal(out.via, STR("mx other.example")));
	assert_true(spool_delta_next(&rest, &out));
	assert_int_equal(out.recipient, 4000000000u);
	assert_int_equal(out.reason.length, SPOOL_REASON_MOST);
	assert_int_equal(out.cause, 5);
	assert_int_equal(out.via.length, 0);
	assert_false(spool_delta_next(&rest, &out));
	assert_int_equal(rest.length, 0);
	rest = str_head(buf_str(&bytes), bytes.length - 1);
	assert_true(spool_delta_next(&rest, &out));
	assert_false(spool_delta_next(&rest, &out));
	assert_true(rest.length > 0);
	rest = str_head(buf_str(&bytes), 30); /* in the middle of the first one's via */
	assert_false(spool_delta_next(&rest, &out));
	assert_int_equal(rest.length, 30);
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_reads_as_it_was_written),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(a_segment_header_reads_as_it_was_written),
		cmocka_unit_test(a_commit_must_add_up),
		cmocka_unit_test(deltas_come_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
