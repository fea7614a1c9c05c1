/* The checking tool, and what it leaves out at a repair; a bit of every kind of byte is flipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_repair.h"
#include "smtpd/spool/spool_scan.h"
#include "tests/fakes/fake_disk.h"
#include "tests/smtpd/spool/spool_fixture.h"

enum { MESSAGES = 12, GONE = 2, FILES_MOST = 16, SEGMENT_BYTES = 96 * 1024, SHARD = 3 };

struct file {
	char path[32];
	char *bytes;
	size_t length;
};

struct world {
	struct fixture f;
	struct fake_disk *disk;
	uint64_t ids[MESSAGES];
	struct file files[FILES_MOST]; /* as they were when all was closed */
	unsigned file_count;
};

/* What a check told. */
struct told {
	struct spool_check *check;
	struct spool_check_totals totals;
	uint64_t message;
	enum spool_check_fault fault;
	bool has_envelope;
	char sender[64];
	unsigned messages, places, missing;
	uint8_t type;
};

static size_t length_of(int i)
{
	return i == 5 ? 120000 : 2000 + (size_t)i * 700;
}

static void on_segment(void *ctx, const struct spool_check_segment *segment)
{
	struct told *t = ctx;
	t->missing += segment->is_missing;
}

static void on_place(void *ctx, const struct spool_check_place *place)
{
	struct told *t = ctx;
	t->places++;
	t->type = place->type;
	assert_true(place->from < place->to);
}

static void on_message(void *ctx, const struct spool_check_message *message)
{
	struct told *t = ctx;
	t->messages++;
	t->message = message->id;
	t->fault = message->fault;
	t->has_envelope = message->envelope != NULL;
	if (message->envelope)
		str_copy(message->envelope->sender, t->sender, sizeof(t->sender));
}

static struct told check(struct fake_disk *disk)
{
	static const struct spool_check_events events = { .on_segment = on_segment,
		.on_place = on_place, .on_message = on_message };
	struct told t = { 0 };
	struct err err = { 0 };
	t.check = spool_check_new(fake_disk_calls(disk), "/spool", SHARD, &events, &t, &err);
	if (!t.check)
		fail_msg("%s", err.text);
	t.totals = *spool_check_totals(t.check);
	return t;
}

static struct told check_once(struct fake_disk *disk)
{
	struct told t = check(disk);
	spool_check_free(&t.check);
	return t;
}

static void keep_files(struct world *w)
{
	w->file_count = fake_disk_file_count(w->disk, ".segment");
	assert_true(w->file_count <= FILES_MOST);
	for (unsigned i = 0; i < w->file_count; i++) {
		struct file *file = &w->files[i];
		char *bytes = fake_disk_file(w->disk, ".segment", i, &file->length);
		struct spool_segment_header header;
		assert_int_equal(spool_segment_header_parse(bytes, &header, NULL), 0);
		snprintf(file->path, sizeof(file->path), "/spool/%08x.segment",
			(unsigned)header.number);
		file->bytes = mem_dup_bytes(bytes, file->length);
	}
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->disk = fake_disk_new(1);
	fixture_begin(&w->f, fake_disk_calls(w->disk), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	fixture_pass_ms(&w->f, 1);
	for (int i = 0; i < MESSAGES; i++)
		w->ids[i] = fixture_send_durably(&w->f, (uint64_t)i, length_of(i), 2);
	fixture_settle_one(&w->f, w->ids[3], 1, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 5);
	fixture_settle_one(&w->f, w->ids[3], 0, SPOOL_RECIPIENT_WAITING);
	fixture_settle_all(&w->f, w->ids[1], 2, SPOOL_RECIPIENT_DELIVERED);
	fixture_settle_all(&w->f, w->ids[7], 2, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 5000);
	fixture_close(&w->f);
	keep_files(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	fixture_end(&w->f);
	fake_disk_free(&w->disk);
	for (unsigned i = 0; i < w->file_count; i++)
		free(w->files[i].bytes);
	free(w);
	return 0;
}

/* The kept files on a new disk, one bit flipped (NULL: none). */
static struct fake_disk *copy_disk(const struct world *w, const struct file *flipped, size_t at,
	unsigned bit)
{
	struct fake_disk *disk = fake_disk_new(1);
	for (unsigned i = 0; i < w->file_count; i++) {
		const struct file *file = &w->files[i];
		if (file == flipped)
			file->bytes[at] ^= (char)(1u << bit);
		fake_disk_add(disk, file->path, file->bytes, file->length);
		if (file == flipped)
			file->bytes[at] ^= (char)(1u << bit);
	}
	return disk;
}

/* Where the n-th record of a type is, over all files; false: there are fewer. */
struct place {
	struct file *file;
	size_t header;
	size_t payload_bytes;
	uint64_t id;
	bool is_last; /* of the last file */
};

static ssize_t read_file(void *ctx, void *into, size_t length, int64_t at)
{
	const struct file *file = ctx;
	size_t left = file->length - (size_t)at;
	memcpy(into, file->bytes + at, length < left ? length : left);
	return (ssize_t)(length < left ? length : left);
}

static bool find_record(struct world *w, uint8_t type, unsigned n, struct place *ret)
{
	for (unsigned i = 0; i < w->file_count; i++) {
		struct file *file = &w->files[i];
		struct spool_segment_header header;
		struct spool_scan scan;
		struct spool_scan_found found;
		enum spool_scan_result result;
		assert_int_equal(spool_segment_header_parse(file->bytes, &header, NULL), 0);
		spool_scan_init(&scan, read_file, file, (uint32_t)file->length, header.salt);
		do {
			result = spool_scan_next(&scan, &found);
			assert_int_not_equal(result, SPOOL_SCAN_HOLE);
			if (result == SPOOL_SCAN_TAIL || found.record.type != type || n-- > 0)
				continue;
			*ret = (struct place){ file, found.from, found.record.length,
				found.record.id, i + 1 == w->file_count };
			spool_scan_clear(&scan);
			return true;
		} while (result == SPOOL_SCAN_RECORD);
		spool_scan_clear(&scan);
	}
	return false;
}

/* Which messages are still there, whole, after a start. */
static unsigned count_intact(struct world *w, struct fixture *f)
{
	unsigned count = 0;
	struct err err;
	for (int i = 0; i < MESSAGES; i++) {
		bool is_gone = i == 1 || i == 7;
		count += !is_gone && fixture_was_told(f, w->ids[i]) &&
			 fixture_is_intact(f, w->ids[i], (uint64_t)i, length_of(i), 2, &err);
	}
	return count;
}

struct count {
	unsigned tried, checked, replayed, lost;
};

/* One flip: what the check says, what replay says, what is still delivered. */
static void try_flip(struct world *w, struct file *file, size_t at, unsigned bit, bool must_tell,
	struct count *count)
{
	struct fake_disk *disk = copy_disk(w, file, at, bit);
	struct fixture f;
	struct told t = check_once(disk);
	bool is_checked = spool_check_found_damage(&t.totals) || t.totals.end != SPOOL_CHECK_CLOSED;
	fixture_begin(&f, fake_disk_calls(disk), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&f, NULL), 0);
	bool is_replayed = f.troubles > 0;
	unsigned intact = count_intact(w, &f);
	count->tried++;
	count->checked += is_checked;
	count->replayed += is_replayed;
	count->lost += intact < MESSAGES - GONE;
	if (intact + 1 < MESSAGES - GONE || (must_tell && (!is_checked || !is_replayed)) ||
		(intact < MESSAGES - GONE && (!is_checked || !is_replayed)))
		fail_msg("byte %zu of %s, bit %u: %u intact, check %s, replay %s", at, file->path,
			bit, intact, is_checked ? "tells" : "is silent",
			is_replayed ? "tells" : "is silent");
	/* the check and the start agree on what is there */
	assert_int_equal(t.totals.living + t.totals.damaged_messages, fixture_count(&f));
	fixture_end(&f);
	fake_disk_free(&disk);
}

static void try_range(struct world *w, struct file *file, size_t from, size_t length, size_t stride,
	bool must_tell, struct count *count)
{
	for (size_t i = 0; i < length; i += stride)
		try_flip(w, file, from + i, (unsigned)(i / stride) % 8, must_tell, count);
}

static void print(const char *kind, const struct count *c)
{
	print_message("%-28s %4u flips: check told %4u, replay %4u, a message lost %3u\n", kind,
		c->tried, c->checked, c->replayed, c->lost);
}

static void flip_records(struct world *w, const char *name, uint8_t type, unsigned most)
{
	char words[64];
	struct place place;
	struct count headers = { 0 }, payloads = { 0 }, paddings = { 0 };
	for (unsigned n = 0; n < most && find_record(w, type, n, &place); n++) {
		size_t payload = place.header + SPOOL_RECORD_HEADER_BYTES;
		size_t padding = spool_record_bytes((uint32_t)place.payload_bytes) -
				 SPOOL_RECORD_HEADER_BYTES - place.payload_bytes;
		/* what a later mark proves; the very end looks as after a kill */
		bool is_end = place.is_last &&
			      (type == SPOOL_RECORD_END || type == SPOOL_RECORD_MARK);
		try_range(w, place.file, place.header, SPOOL_RECORD_HEADER_BYTES, 5, !is_end,
			&headers);
		if (place.payload_bytes)
			try_range(w, place.file, payload, place.payload_bytes,
				place.payload_bytes / 7 + 1, !is_end, &payloads);
		try_range(w, place.file, payload + place.payload_bytes, padding, 7, false,
			&paddings);
	}
	assert_true(headers.tried > 0);
	snprintf(words, sizeof(words), "%s, header", name);
	print(words, &headers);
	snprintf(words, sizeof(words), "%s, payload", name);
	if (payloads.tried)
		print(words, &payloads);
	snprintf(words, sizeof(words), "%s, padding", name);
	if (paddings.tried)
		print(words, &paddings);
	/* padding is no data */
	assert_int_equal(paddings.checked + paddings.replayed + paddings.lost, 0);
}

static void a_flipped_bit_of_any_kind_is_told_and_costs_one_message_at_most(void **state)
{
	struct world *w = *state;
	struct count headers = { 0 };
	for (unsigned i = 0; i < w->file_count; i++) {
		/* of the last segment, nothing behind it proves more than its own marks do */
		try_range(w, &w->files[i], 8, SPOOL_SEGMENT_HEADER_BYTES - 8, 5, true, &headers);
	}
	print("segment header", &headers);
	assert_int_equal(headers.lost, 0);
	flip_records(w, "chunk", SPOOL_RECORD_CHUNK, MESSAGES);
	flip_records(w, "commit", SPOOL_RECORD_COMMIT, MESSAGES);
	flip_records(w, "settle", SPOOL_RECORD_SETTLE, 4);
	flip_records(w, "done", SPOOL_RECORD_DONE, 4);
	flip_records(w, "mark", SPOOL_RECORD_MARK, 6);
	flip_records(w, "segments in use", SPOOL_RECORD_IN_USE, 4);
	flip_records(w, "end", SPOOL_RECORD_END, FILES_MOST);
}

static void a_whole_spool_is_whole_and_is_not_written_to(void **state)
{
	struct world *w = *state;
	struct told t = check_once(w->disk);
	assert_false(spool_check_found_damage(&t.totals));
	assert_int_equal(t.totals.living, MESSAGES - GONE);
	assert_int_equal(t.totals.waiting_recipients, (MESSAGES - GONE) * 2 - 1);
	assert_int_equal(t.totals.gone, GONE);
	assert_int_equal(t.totals.shard, SHARD);
	assert_int_equal(t.totals.end, SPOOL_CHECK_CLOSED);
	assert_int_equal(t.messages + t.places + t.missing, 0);
	for (unsigned i = 0; i < w->file_count; i++) {
		size_t length;
		const char *bytes = fake_disk_file(w->disk, ".segment", i, &length);
		assert_int_equal(length, w->files[i].length);
		assert_memory_equal(bytes, w->files[i].bytes, length);
	}
}

static void a_damaged_piece_names_its_message(void **state)
{
	struct world *w = *state;
	struct place place;
	assert_true(find_record(w, SPOOL_RECORD_CHUNK, 0, &place));
	struct fake_disk *disk =
		copy_disk(w, place.file, place.header + SPOOL_RECORD_HEADER_BYTES + 9, 3);
	struct told t = check_once(disk);
	assert_int_equal(t.totals.places, 1);
	assert_int_equal(t.type, SPOOL_RECORD_CHUNK);
	assert_int_equal(t.totals.damaged_messages, 1);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.message, w->ids[0]);
	assert_int_equal(t.fault, SPOOL_CHECK_BODY);
	assert_string_equal(t.sender, "s0@from.example");
	assert_int_equal(t.totals.living, MESSAGES - GONE - 1);
	fake_disk_free(&disk);
}

static void a_damaged_envelope_is_shown_as_far_as_it_can_be_read(void **state)
{
	struct world *w = *state;
	struct place place;
	assert_true(find_record(w, SPOOL_RECORD_COMMIT, 2, &place));
	/* a bit of the last recipient's address */
	const char *address = memmem(
		place.file->bytes + place.header + SPOOL_RECORD_HEADER_BYTES,
		place.payload_bytes, "rcpt1@", 6);
	assert_non_null(address);
	size_t at = (size_t)(address - place.file->bytes);
	struct fake_disk *disk = copy_disk(w, place.file, at, 0);
	struct told t = check_once(disk);
	assert_int_equal(t.totals.lost_messages, 1);
	assert_int_equal(t.message, w->ids[2]);
	assert_int_equal(t.fault, SPOOL_CHECK_ENVELOPE);
	assert_true(t.has_envelope);
	assert_string_equal(t.sender, "s2@from.example");
	fake_disk_free(&disk);
}

static void a_lost_outcome_is_told_of_a_message_that_is_whole(void **state)
{
	struct world *w = *state;
	struct place place;
	assert_true(find_record(w, SPOOL_RECORD_SETTLE, 0, &place));
	assert_int_equal(place.id, w->ids[3]);
	struct fake_disk *disk =
		copy_disk(w, place.file, place.header + SPOOL_RECORD_HEADER_BYTES + 14, 1);
	struct told t = check_once(disk);
	assert_int_equal(t.totals.doubtful_messages, 1);
	assert_int_equal(t.message, w->ids[3]);
	assert_int_equal(t.fault, SPOOL_CHECK_HISTORY);
	assert_int_equal(t.totals.living, MESSAGES - GONE);
	fake_disk_free(&disk);
}

/* All mail in it is gone with it, and no other record tells of it: the inventory does. */
static void a_segment_that_is_missing_altogether_is_told(void **state)
{
	struct world *w = *state;
	struct fake_disk *disk = copy_disk(w, NULL, 0, 0);
	struct fixture f;
	assert_true(w->file_count >= 3);
	assert_true(fake_disk_remove(disk, ".segment", 0));
	struct told t = check_once(disk);
	assert_int_equal(t.totals.missing_segments, 1);
	assert_int_equal(t.missing, 1);
	assert_true(spool_check_found_damage(&t.totals));
	fixture_begin(&f, fake_disk_calls(disk), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&f, NULL), 0);
	assert_true(f.troubles > 0);
	fixture_end(&f);
	fake_disk_free(&disk);
}

static void segments_given_back_in_order_are_not_missed(void **state)
{
	struct world *w = *state;
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	for (int i = 0; i < MESSAGES; i++)
		if (i != 4)
			fixture_settle_all(&w->f, w->ids[i], 2, SPOOL_RECIPIENT_DELIVERED);
	fixture_pass_ms(&w->f, 20000);
	struct told t = check_once(w->disk);
	size_t length;
	struct spool_segment_header first;
	spool_segment_header_parse(
		fake_disk_file(w->disk, ".segment", 0, &length), &first, NULL);
	assert_true(first.number > 1);
	assert_int_equal(t.totals.missing_segments, 0);
	assert_false(spool_check_found_damage(&t.totals));
	assert_int_equal(t.totals.living, 1);
}

static void beside_a_running_spool_the_end_is_open_and_no_damage(void **state)
{
	struct world *w = *state;
	struct fixture_done done;
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	uint64_t id = fixture_send_durably(&w->f, 90, 3000, 1);
	fixture_send(&w->f, 91, 90000, 1, &done); /* written in part, not yet committed durably */
	struct told t = check_once(w->disk);
	assert_true(id != 0);
	assert_false(spool_check_found_damage(&t.totals));
	assert_true(t.totals.end == SPOOL_CHECK_OPEN || t.totals.end == SPOOL_CHECK_TORN);
	assert_true(t.totals.living >= MESSAGES - GONE + 1);
	fixture_wait(&w->f, &done.is_done);
}

static void a_torn_end_is_no_damage(void **state)
{
	struct world *w = *state;
	struct fixture_done done;
	size_t length;
	assert_int_equal(fixture_open(&w->f, NULL), 0);
	fixture_pass_ms(&w->f, 1); /* so that the file has its full size */
	fixture_send(&w->f, 91, 3000, 1, &done);
	fixture_wait(&w->f, &done.is_done);
	fake_disk_power_off(w->disk);
	fixture_close(&w->f);
	fake_disk_power_on(w->disk, FAKE_DISK_KEEP_ALL);
	unsigned last = fake_disk_file_count(w->disk, ".segment") - 1;
	char *bytes = fake_disk_file(w->disk, ".segment", last, &length);
	struct spool_segment_header header;
	assert_int_equal(spool_segment_header_parse(bytes, &header, NULL), 0);
	struct buf record = { 0 };
	struct str payload = STR("half of it was written");
	spool_record_append(&record, SPOOL_RECORD_CHUNK, header.salt, 77, &payload, 1);
	struct told before = check_once(w->disk);
	memcpy(bytes + before.totals.end_at.offset, record.data, SPOOL_RECORD_HEADER_BYTES + 5);
	struct told t = check_once(w->disk);
	assert_int_equal(before.totals.end, SPOOL_CHECK_OPEN);
	assert_int_equal(t.totals.end, SPOOL_CHECK_TORN);
	assert_false(spool_check_found_damage(&t.totals));
	buf_release(&record);
}

static void a_repair_keeps_ids_and_states_and_leaves_out_what_is_damaged(void **state)
{
	struct world *w = *state;
	struct place place;
	struct fixture f;
	struct spool_repaired repaired;
	struct err err = { 0 };
	assert_true(find_record(w, SPOOL_RECORD_CHUNK, 0, &place));
	struct fake_disk *old =
		copy_disk(w, place.file, place.header + SPOOL_RECORD_HEADER_BYTES + 9, 3);
	struct fake_disk *new = fake_disk_new(2);
	struct told t = check(old);
	assert_int_equal(spool_repair(t.check, fake_disk_calls(new), "/spool", NULL, NULL,
				 &repaired, &err),
		0);
	spool_check_free(&t.check);
	assert_int_equal(repaired.messages, MESSAGES - GONE - 1);
	struct told again = check_once(new);
	assert_false(spool_check_found_damage(&again.totals));
	assert_int_equal(again.totals.living, MESSAGES - GONE - 1);
	assert_int_equal(again.totals.end, SPOOL_CHECK_CLOSED);
	/* what is not synced is lost now */
	fake_disk_power_off(new);
	fake_disk_power_on(new, FAKE_DISK_KEEP_NOTHING);
	fixture_begin(&f, fake_disk_calls(new), SEGMENT_BYTES);
	assert_int_equal(fixture_open(&f, NULL), 0);
	assert_int_equal(f.troubles, 0);
	assert_int_equal(count_intact(w, &f), MESSAGES - GONE - 1);
	assert_false(fixture_was_told(&f, w->ids[0]));
	struct spool_reader *r = spool_read(f.spool, w->ids[3], NULL);
	assert_non_null(r);
	assert_int_equal(spool_reader_envelope(r)->recipients[1].state, SPOOL_RECIPIENT_DELIVERED);
	assert_int_equal(spool_reader_envelope(r)->recipients[0].attempts, 1);
	assert_true(str_equal(
		spool_reader_envelope(r)->recipients[0].reason, STR("451 not now")));
	spool_reader_free(&r);
	/* ids do not return */
	assert_true(fixture_send_durably(&f, 40, 100, 1) > w->ids[MESSAGES - 1]);
	fixture_end(&f);
	fake_disk_free(&new);
	fake_disk_free(&old);
}

static void a_repair_onto_a_failing_disk_says_so(void **state)
{
	struct world *w = *state;
	struct told t = check(w->disk);
	for (uint64_t at = 1;; at++) {
		struct fake_disk *new = fake_disk_new(2);
		struct spool_repaired repaired;
		struct err err = { 0 };
		fake_disk_fail_at(new, at, FAKE_DISK_EIO);
		int result = spool_repair(
			t.check, fake_disk_calls(new), "/spool", NULL, NULL, &repaired, &err);
		unsigned failures = fake_disk_failures(new);
		fake_disk_free(&new);
		if (failures == 0) {
			assert_int_equal(result, 0);
			assert_true(at > 4);
			break;
		}
		assert_int_equal(result, -1);
		assert_int_equal(err.kind, ERR_SYSTEM);
	}
	spool_check_free(&t.check);
}

static void what_cannot_be_read_at_all_is_an_error(void **state)
{
	struct world *w = *state;
	static const struct spool_check_events events = { 0 };
	struct err err = { 0 };
	codec_put_u32(w->files[0].bytes + 8, SPOOL_RECORD_VERSION + 1);
	codec_put_u32(w->files[0].bytes + 60, codec_crc32c(0, w->files[0].bytes, 60));
	struct fake_disk *disk = copy_disk(w, NULL, 0, 0);
	assert_null(spool_check_new(fake_disk_calls(disk), "/spool", SHARD, &events, NULL, &err));
	assert_non_null(strstr(err.text, "version"));
	assert_null(spool_check_new(NULL, "/nonexistent/spool", 0, &events, NULL, &err));
	fake_disk_free(&disk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_whole_spool_is_whole_and_is_not_written_to),
		TEST(a_flipped_bit_of_any_kind_is_told_and_costs_one_message_at_most),
		TEST(a_damaged_piece_names_its_message),
		TEST(a_damaged_envelope_is_shown_as_far_as_it_can_be_read),
		TEST(a_lost_outcome_is_told_of_a_message_that_is_whole),
		TEST(a_segment_that_is_missing_altogether_is_told),
		TEST(segments_given_back_in_order_are_not_missed),
		TEST(beside_a_running_spool_the_end_is_open_and_no_damage),
		TEST(a_torn_end_is_no_damage),
		TEST(a_repair_keeps_ids_and_states_and_leaves_out_what_is_damaged),
		TEST(a_repair_onto_a_failing_disk_says_so),
		TEST(what_cannot_be_read_at_all_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
