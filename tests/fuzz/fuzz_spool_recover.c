/* The checking tool over segments of the fuzzer's making, a repair, then a whole start, which must find
 * what the check found, then use, then another start.
 *
 * Input: a sequence of items. First byte 'r': the rest up to its length is put in as it is; else a
 * record with right checksums is built around it, so that what lies behind them is reached:
 * type u8 | file u8 (low bit) | id u8 | length u16 | payload. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "smtpd/spool/spool.h"
#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_record.h"
#include "smtpd/spool/spool_repair.h"
#include "tests/fakes/fake_disk.h"
#include "tests/fakes/fake_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 2, ITEM_BYTES = 5, SEGMENT_BYTES = 1 << 17, IDS_MOST = 10000 };

static const uint64_t salt = 0x5a17;

static void put_items(struct str rest, struct buf files[FILES])
{
	while (rest.length >= ITEM_BYTES) {
		uint8_t type = (uint8_t)rest.at[0];
		struct buf *file = &files[rest.at[1] & 1];
		uint64_t id = (uint8_t)rest.at[2];
		size_t length = codec_get_u16(rest.at + 3);
		rest = str_skip(rest, ITEM_BYTES);
		if (length > rest.length)
			length = rest.length;
		struct str payload = str_head(rest, length);
		rest = str_skip(rest, length);
		if (type == 'r')
			buf_append_str(file, payload);
		else
			spool_record_append(file, type & 15, salt, id, &payload, 1);
	}
}

static void make_files(struct fake_disk *disk, struct str input)
{
	struct buf files[FILES] = { 0 };
	for (uint32_t i = 0; i < FILES; i++) {
		struct spool_segment_header header = { .number = i + 1, .shard = 1, .salt = salt };
		spool_segment_header_format(
			&header, buf_reserve(&files[i], SPOOL_SEGMENT_HEADER_BYTES));
		buf_added(&files[i], SPOOL_SEGMENT_HEADER_BYTES);
	}
	put_items(input, files);
	for (uint32_t i = 0; i < FILES; i++) {
		char path[32];
		snprintf(path, sizeof(path), "/spool/%08x.segment", (unsigned)i + 1);
		fake_disk_add(disk, path, files[i].data, files[i].length);
		buf_release(&files[i]);
	}
}

static void on_message(void *ctx, const struct spool_envelope *envelope)
{
	unsigned *count = ctx;
	*count += 1;
	if (envelope->recipient_count == 0)
		abort();
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	if (err->kind == ERR_NONE)
		abort();
}

static void read_all(struct spool *spool)
{
	uint64_t id = 0;
	unsigned seen = 0;
	while ((id = spool_next_id(spool, id)) != 0 && seen++ < IDS_MOST) {
		struct str piece;
		struct spool_reader *r = spool_read(spool, id, NULL);
		while (r && spool_reader_next(r, &piece, NULL) == 0 && piece.length)
			;
		spool_reader_free(&r);
		struct spool_outcome outcome = { .state = SPOOL_RECIPIENT_DELIVERED };
		if (seen % 2)
			spool_settle(spool, id, &outcome, 1);
	}
}

static void on_damaged(void *ctx, const struct spool_check_message *message)
{
	(void)ctx;
	if (message->envelope && message->envelope->recipient_count > IDS_MOST)
		abort();
}

/* How many messages a start will tell. What was repaired is whole. */
static uint64_t check(struct fake_disk *disk)
{
	static const struct spool_check_events events = { .on_message = on_damaged };
	struct spool_check *c =
		spool_check_new(fake_disk_calls(disk), "/spool", 1, &events, NULL, NULL);
	if (!c)
		abort();
	struct spool_check_totals before = *spool_check_totals(c);
	struct fake_disk *repaired = fake_disk_new(2);
	struct spool_repaired counts;
	if (spool_repair(c, fake_disk_calls(repaired), "/spool", NULL, NULL, &counts, NULL) < 0 ||
		counts.messages != before.living)
		abort();
	spool_check_free(&c);
	c = spool_check_new(fake_disk_calls(repaired), "/spool", 1, &events, NULL, NULL);
	if (!c || spool_check_found_damage(spool_check_totals(c)) ||
		spool_check_totals(c)->living != before.living)
		abort();
	spool_check_free(&c);
	fake_disk_free(&repaired);
	return before.living + before.damaged_messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct spool_events events = { on_message, on_trouble };
	struct spool_settings settings = { .segment_bytes = SEGMENT_BYTES,
		.maximum_messages = 100000 };
	struct tlsio_loop *loop = tlsio_loop_new(NULL);
	struct fake_disk *disk = fake_disk_new(1);
	make_files(disk, str_from(data, size));
	for (int again = 0; again < 2; again++) {
		unsigned count = 0;
		uint64_t expected = check(disk);
		struct spool *spool = spool_open(loop, "/spool", 1, &settings,
			fake_disk_calls(disk), &events, &count, NULL);
		if (!spool || spool_replay(spool, NULL) < 0)
			abort();
		if (count != expected)
			abort();
		read_all(spool);
		fake_loop_advance(loop, 3000);
		spool_close(&spool);
	}
	fake_disk_free(&disk);
	tlsio_loop_free(&loop);
	return 0;
}
