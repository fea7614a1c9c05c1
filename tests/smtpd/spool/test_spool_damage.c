/* Bits that rot on disk: told, stepped over, and everything else is still delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "smtpd/spool/spool_record.h"
#include "tests/fakes/fake_disk.h"
#include "tests/smtpd/spool/spool_fixture.h"

enum { MESSAGES = 12, SEGMENT_BYTES = 96 * 1024 };

struct world {
	struct fixture f;
	struct fake_disk *disk;
	uint64_t ids[MESSAGES];
};

static size_t length_of(int i)
{
	return i == 5 ? 120000 : 2000 + (size_t)i * 700;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->disk = fake_disk_new(1);
	fixture_begin(&w->f, fake_disk_calls(w->disk), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	/* so that the first segment is one that was filled, and stays the first */
	fixture_pass_ms(&w->f, 1);
	for (int i = 0; i < MESSAGES; i++)
		w->ids[i] = fixture_send_durably(&w->f, (uint64_t)i, length_of(i), 2);
	fixture_settle_one(&w->f, w->ids[3], 1, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 5000);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	fixture_end(&w->f);
	fake_disk_free(&w->disk);
	free(w);
	return 0;
}

static unsigned count_intact(struct world *w)
{
	unsigned count = 0;
	struct err err;
	for (int i = 0; i < MESSAGES; i++) {
		bool is_intact = fixture_is_intact(
			&w->f, w->ids[i], (uint64_t)i, length_of(i), 2, &err);
		count += is_intact && fixture_was_told(&w->f, w->ids[i]);
	}
	return count;
}

/* Flips a bit, starts, counts what is whole, flips it back. */
static void try_flip(struct world *w, char *at, bool *ret_is_told, unsigned *ret_intact)
{
	char was = *at;
	*at = (char)(was ^ 4);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	*ret_is_told = w->f.troubles > 0;
	*ret_intact = count_intact(w);
	assert_true(fixture_count(&w->f) <= MESSAGES);
	fixture_close(&w->f);
	*at = was;
}

static void flip_all(struct world *w, unsigned file, size_t from, size_t to, size_t stride)
{
	size_t length;
	for (size_t i = from; i < to; i += stride) {
		char *bytes = fake_disk_file(w->disk, ".segment", file, &length);
		unsigned intact;
		bool is_told;
		try_flip(w, bytes + i, &is_told, &intact);
		if (intact < MESSAGES - 1 || (intact < MESSAGES && !is_told))
			fail_msg("byte %zu of file %u: %u intact, %s", i, file, intact,
				is_told ? "told" : "not told");
	}
}

static void a_flipped_bit_costs_one_message_at_most_and_is_told(void **state)
{
	struct world *w = *state;
	size_t length;
	fixture_close(&w->f);
	unsigned files = fake_disk_file_count(w->disk, ".segment");
	assert_true(files >= 2);
	for (unsigned file = 0; file < 2; file++) {
		fake_disk_file(w->disk, ".segment", file, &length);
		flip_all(w, file, 0, length, 311);
		flip_all(w, file, 0, 400, 3);
	}
	/* nothing was lost by looking */
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_int_equal(w->f.troubles, 0);
	assert_int_equal(count_intact(w), MESSAGES);
}

static void kill_now(struct world *w)
{
	fake_disk_power_off(w->disk);
	fixture_close(&w->f);
	fake_disk_power_on(w->disk, FAKE_DISK_KEEP_ALL);
}

static void damage_is_told_from_a_torn_end_after_a_kill(void **state)
{
	struct world *w = *state;
	size_t length;
	/* no END; the mark that was written when all was quiet is what proves */
	kill_now(w);
	char *bytes = fake_disk_file(w->disk, ".segment", 0, &length);
	bytes[SPOOL_SEGMENT_HEADER_BYTES + 200] ^= 1;
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_int_equal(count_intact(w), MESSAGES - 1);
}

/* Where the body of this message begins on disk. */
static char *find_body(struct world *w, uint64_t seed, size_t length)
{
	struct buf body = { 0 };
	char *found = NULL;
	fixture_fill(&body, seed, length);
	for (unsigned file = 0; file < fake_disk_file_count(w->disk, ".segment"); file++) {
		size_t size;
		char *bytes = fake_disk_file(w->disk, ".segment", file, &size);
		for (size_t i = 0; i + length <= size && !found; i += SPOOL_RECORD_ALIGN) {
			if (memcmp(bytes + i, body.data, length) == 0)
				found = bytes + i;
		}
	}
	buf_release(&body);
	assert_non_null(found);
	return found;
}

static void in_busy_times_the_marks_of_later_writes_prove(void **state)
{
	struct world *w = *state;
	struct err err;
	uint64_t ids[4];
	for (uint64_t i = 0; i < 4; i++)
		ids[i] = fixture_send_durably(&w->f, 100 + i, 500, 1);
	kill_now(w);
	find_body(w, 101, 500)[7] ^= 1;
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_int_equal(count_intact(w), MESSAGES);
	assert_true(fixture_is_intact(&w->f, ids[0], 100, 500, 1, &err));
	assert_true(fixture_is_intact(&w->f, ids[2], 102, 500, 1, &err));
	assert_true(fixture_is_intact(&w->f, ids[3], 103, 500, 1, &err));
	/* this one is there, to be given up by whoever tries to read it, and so told to its sender */
	assert_true(fixture_was_told(&w->f, ids[1]));
	assert_false(fixture_is_intact(&w->f, ids[1], 101, 500, 1, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
}

static void a_zeroed_stretch_leaves_the_rest(void **state)
{
	struct world *w = *state;
	size_t length;
	fixture_close(&w->f);
	char *bytes = fake_disk_file(w->disk, ".segment", 0, &length);
	memset(bytes + 8192, 0, 4096);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	unsigned intact = count_intact(w);
	assert_true(intact >= MESSAGES - 3 && intact < MESSAGES);
	fixture_send_durably(&w->f, 99, 1000, 1);
}

static void a_damaged_header_costs_nothing(void **state)
{
	struct world *w = *state;
	size_t length;
	fixture_close(&w->f);
	memset(fake_disk_file(w->disk, ".segment", 0, &length), 'x', SPOOL_SEGMENT_HEADER_BYTES);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_int_equal(count_intact(w), MESSAGES);
}

static void an_unreadable_segment_is_kept_for_a_person(void **state)
{
	struct world *w = *state;
	size_t length;
	fixture_close(&w->f);
	memset(fake_disk_file(w->disk, ".segment", 0, &length), 'x', 300);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_true(count_intact(w) > 0);
	fixture_send_durably(&w->f, 99, 1000, 1);
	fixture_pass_ms(&w->f, 5000);
	assert_int_equal(*fake_disk_file(w->disk, ".segment", 0, &length), 'x');
}

static void a_missing_segment_is_told(void **state)
{
	struct world *w = *state;
	fixture_close(&w->f);
	/* the long message has pieces in it */
	assert_true(fake_disk_remove(w->disk, ".segment", 0));
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
}

/* A sender who knows the format writes a body that is a record: if the real record around it is
 * damaged, the search for the next one must not find the forged one. */
static void a_body_that_looks_like_a_record_is_none(void **state)
{
	struct world *w = *state;
	struct spool_recipient r = { .address = STR("victim@example.org") };
	struct spool_envelope e = { .sender = STR("forged@example.org"), .recipients = &r,
		.recipient_count = 1 };
	struct spool_commit_head head = { 0 };
	char head_bytes[SPOOL_COMMIT_HEAD_BYTES];
	struct buf envelope = { 0 }, forged = { 0 };
	spool_envelope_encode(&e, &envelope);
	head.envelope_bytes = (uint32_t)envelope.length;
	spool_commit_head_format(&head, head_bytes);
	struct str parts[] = { str_from(head_bytes, sizeof(head_bytes)), buf_str(&envelope) };
	for (int i = 0; i < 20; i++)
		spool_record_append(&forged, SPOOL_RECORD_COMMIT, 0x1234567812345678u,
			w->ids[MESSAGES - 1] + 5, parts, 2);
	struct spool_writer *writer = spool_begin(w->f.spool, NULL);
	uint64_t id = spool_writer_id(writer);
	assert_int_equal(spool_write(writer, buf_str(&forged), NULL), 0);
	struct fixture_done done = { .f = &w->f };
	spool_commit(&writer, &e, fixture_on_done, &done);
	fixture_wait(&w->f, &done.is_done);
	fixture_send_durably(&w->f, 50, 10, 1);
	fixture_close(&w->f);
	/* find the body, and break the record it is in */
	unsigned files = fake_disk_file_count(w->disk, ".segment");
	bool is_found = false;
	for (unsigned file = 0; file < files; file++) {
		size_t length;
		char *bytes = fake_disk_file(w->disk, ".segment", file, &length);
		for (size_t i = SPOOL_RECORD_HEADER_BYTES; i + forged.length < length; i += 16) {
			if (memcmp(bytes + i, forged.data, forged.length) == 0) {
				bytes[i - SPOOL_RECORD_HEADER_BYTES] ^= 1;
				is_found = true;
			}
		}
	}
	assert_true(is_found);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_int_equal(count_intact(w), MESSAGES);
	assert_int_equal(fixture_count(&w->f), MESSAGES + 2);
	assert_false(fixture_was_told(&w->f, w->ids[MESSAGES - 1] + 5));
	assert_true(fixture_was_told(&w->f, id));
	buf_release(&envelope);
	buf_release(&forged);
}

/* A shard's directory under another number: not ours to read, and above all not to be wiped. */
static void the_directory_of_another_shard_is_refused_untouched(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	static const struct spool_events events = { 0 };
	fixture_close(&w->f);
	unsigned files = fake_disk_file_count(w->disk, ".segment");
	struct spool *other = spool_open(w->f.loop, w->f.directory, 4, &w->f.settings,
		w->f.disk, &events, NULL, &err);
	assert_non_null(other);
	assert_int_equal(spool_replay(other, &err), -1);
	assert_non_null(strstr(err.text, "shard 3"));
	spool_close(&other);
	assert_int_equal(fake_disk_file_count(w->disk, ".segment"), files);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_int_equal(w->f.troubles, 0);
	assert_int_equal(count_intact(w), MESSAGES);
}

static void segments_of_a_later_version_are_refused_untouched(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	size_t length;
	fixture_close(&w->f);
	char *bytes = fake_disk_file(w->disk, ".segment", 0, &length);
	char before[SPOOL_SEGMENT_HEADER_BYTES];
	memcpy(before, bytes, sizeof(before));
	codec_put_u32(bytes + 8, SPOOL_RECORD_VERSION + 1);
	codec_put_u32(bytes + 60, codec_crc32c(0, bytes, 60));
	assert_int_equal(fixture_open(&w->f, &err), -1);
	assert_non_null(strstr(err.text, "version"));
	memcpy(fake_disk_file(w->disk, ".segment", 0, &length), before, sizeof(before));
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_int_equal(count_intact(w), MESSAGES);
}

/* The first sector of the last segment is gone, after a kill: what it holds besides was durable,
 * and a later mark in it says so. */
static void a_lost_first_sector_costs_no_more_than_what_was_in_it(void **state)
{
	struct world *w = *state;
	size_t length;
	struct fixture dead = w->f;
	w->f.spool = NULL;
	fake_disk_power_off(w->disk);
	fixture_close(&dead);
	fake_disk_power_on(w->disk, FAKE_DISK_KEEP_ALL);
	unsigned files = fake_disk_file_count(w->disk, ".segment");
	char *bytes = fake_disk_file(w->disk, ".segment", files - 1, &length);
	memset(bytes, 'x', 512);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_true(count_intact(w) >= MESSAGES - 1);
}

/* An old outcome that cannot be read: the message is tried again, perhaps once too often, but it
 * is not lost. */
static void a_damaged_settle_does_not_lose_the_message(void **state)
{
	struct world *w = *state;
	struct spool_outcome outcome = { .recipient = 0, .attempts = 7, .due_s = 4000,
		.reason = STR("first reason, to be found") };
	spool_settle(w->f.spool, w->ids[6], &outcome, 1);
	fixture_pass_ms(&w->f, 10);
	outcome = (struct spool_outcome){ .recipient = 1, .attempts = 8, .due_s = 5000 };
	spool_settle(w->f.spool, w->ids[6], &outcome, 1);
	fixture_close(&w->f);
	unsigned files = fake_disk_file_count(w->disk, ".segment");
	for (unsigned file = 0; file < files; file++) {
		size_t length;
		char *bytes = fake_disk_file(w->disk, ".segment", file, &length);
		char *found = memmem(bytes, length, "first reason, to be found", 25);
		if (found)
			*found ^= 1;
	}
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	assert_true(w->f.troubles > 0);
	assert_int_equal(count_intact(w), MESSAGES);
	struct spool_reader *r = spool_read(w->f.spool, w->ids[6], NULL);
	assert_non_null(r);
	assert_int_equal(spool_reader_envelope(r)->recipients[1].attempts, 8);
	spool_reader_free(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_flipped_bit_costs_one_message_at_most_and_is_told),
		TEST(damage_is_told_from_a_torn_end_after_a_kill),
		TEST(in_busy_times_the_marks_of_later_writes_prove),
		TEST(a_zeroed_stretch_leaves_the_rest),
		TEST(a_damaged_header_costs_nothing),
		TEST(an_unreadable_segment_is_kept_for_a_person),
		TEST(a_missing_segment_is_told),
		TEST(a_body_that_looks_like_a_record_is_none),
		TEST(the_directory_of_another_shard_is_refused_untouched),
		TEST(segments_of_a_later_version_are_refused_untouched),
		TEST(a_lost_first_sector_costs_no_more_than_what_was_in_it),
		TEST(a_damaged_settle_does_not_lose_the_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
