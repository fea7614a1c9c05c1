/* The file of kept plans, whatever is in it: first a head, then records; checksums are put right, so
 * that what lies behind them is reached. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "policy/store/store_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood can be said again, and means the same. */
static void read_record(struct str body)
{
	struct buf first = { 0 }, second = { 0 };
	struct plan_service_kept kept, again;
	struct str record;
	size_t used;
	bool is_whole;
	if (store_file_read(body, NULL, &kept, NULL) < 0)
		return;
	if (store_file_put(&first, &kept)) {
		assert(store_file_split(buf_str(&first), &record, &used, &is_whole) && is_whole);
		assert(store_file_read(record, NULL, &again, NULL) == 0);
		assert(store_file_put(&second, &again));
		assert(str_equal(buf_str(&first), buf_str(&second)));
		policy_plan_unref(&again.plan);
	}
	policy_plan_unref(&kept.plan);
	buf_release(&first);
	buf_release(&second);
}

static void read_head(struct str bytes)
{
	char head[STORE_HEAD_BYTES], back[STORE_HEAD_BYTES];
	struct store_head read;
	store_file_read_head(bytes, &read, NULL);
	if (bytes.length < STORE_HEAD_BYTES)
		return;
	memcpy(head, bytes.at, sizeof(head));
	codec_put_u32(head + 64, codec_crc32c(0, head, 64));
	if (store_file_read_head(str_from(head, sizeof(head)), &read, NULL) < 0)
		return;
	store_file_put_head(&read, back);
	assert(memcmp(head, back, sizeof(head)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_from(data, size), body;
	size_t used;
	bool is_whole;
	read_head(bytes);
	if (bytes.length >= STORE_HEAD_BYTES)
		bytes = str_skip(bytes, STORE_HEAD_BYTES);
	while (store_file_split(bytes, &body, &used, &is_whole)) {
		assert(used <= bytes.length && body.length <= used);
		read_record(body);
		bytes = str_skip(bytes, used);
	}
	return 0;
}
