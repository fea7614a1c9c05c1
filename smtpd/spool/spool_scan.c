#include "smtpd/spool/spool_scan.h"

#include <string.h>

#include "libtlsio/base/codec.h"

enum { WINDOW_BYTES = 1 << 20, PIECE_BYTES = 4096, SALT_OFFSET = 8 };

void spool_scan_init(struct spool_scan *scan,
	ssize_t (*read)(void *ctx, void *into, size_t length, int64_t at), void *ctx,
	uint32_t size_bytes, uint64_t salt)
{
	*scan = (struct spool_scan){
		.read = read,
		.ctx = ctx,
		.size_bytes = size_bytes,
		.salt = salt,
		.next = SPOOL_SEGMENT_HEADER_BYTES,
	};
}

void spool_scan_clear(struct spool_scan *scan)
{
	buf_release(&scan->window);
}

/* Exactly length bytes; a piece that cannot be read is given as zeros. */
static void read_all(struct spool_scan *scan, char *into, size_t length, int64_t at)
{
	size_t piece = length;
	while (length) {
		ssize_t got = scan->read(scan->ctx, into, piece < length ? piece : length, at);
		if (got <= 0 && piece > PIECE_BYTES) {
			piece = PIECE_BYTES; /* lose no more than the bad sectors */
			continue;
		}
		if (got <= 0) {
			got = (ssize_t)(piece < length ? piece : length);
			memset(into, 0, (size_t)got);
		}
		into += got;
		at += got;
		length -= (size_t)got;
	}
}

/* The bytes at..at+length, or NULL where the segment ends before. */
static const char *look_at(struct spool_scan *scan, uint32_t at, uint64_t length)
{
	if (at > scan->size_bytes || length > scan->size_bytes - at)
		return NULL;
	uint64_t have_until = (uint64_t)scan->window_at + scan->window.length;
	if (at < scan->window_at || at + length > have_until) {
		uint64_t want = length > WINDOW_BYTES ? length : WINDOW_BYTES;
		if (want > scan->size_bytes - at)
			want = scan->size_bytes - at;
		buf_clear(&scan->window);
		read_all(scan, buf_reserve(&scan->window, want), want, at);
		buf_added(&scan->window, want);
		scan->window_at = at;
	}
	return buf_str(&scan->window).at + (at - scan->window_at);
}

/* A whole good record at this offset? ret_skip: where to look next if not. */
static bool try_at(struct spool_scan *scan, uint32_t at, struct spool_scan_found *ret,
	uint32_t *ret_skip)
{
	*ret_skip = at + SPOOL_RECORD_ALIGN;
	const char *bytes = look_at(scan, at, SPOOL_RECORD_HEADER_BYTES);
	struct spool_record record;
	if (!bytes || !spool_record_parse(bytes, &record) || record.salt != scan->salt)
		return false;
	bytes = look_at(scan, at, (uint64_t)SPOOL_RECORD_HEADER_BYTES + record.length);
	if (!bytes)
		return false;
	/* the header is ours: whatever the payload is, no record begins inside */
	*ret_skip = at + spool_record_bytes(record.length);
	if (!spool_record_payload_is_intact(&record, bytes + SPOOL_RECORD_HEADER_BYTES))
		return false;
	ret->from = at;
	ret->record = record;
	ret->payload = str_from(bytes + SPOOL_RECORD_HEADER_BYTES, record.length);
	return true;
}

/* The next offset >= at where a header with our salt may be; size_bytes: none. */
static uint32_t find_salt_from(struct spool_scan *scan, uint32_t at)
{
	char salt[8];
	codec_put_u64(salt, scan->salt);
	while (look_at(scan, at, SPOOL_RECORD_HEADER_BYTES)) {
		struct str window = buf_str(&scan->window);
		size_t offset = at - scan->window_at;
		for (; offset + SPOOL_RECORD_HEADER_BYTES <= window.length;
			offset += SPOOL_RECORD_ALIGN) {
			if (memcmp(window.at + offset + SALT_OFFSET, salt, sizeof(salt)) == 0)
				return scan->window_at + (uint32_t)offset;
		}
		at = scan->window_at + (uint32_t)offset;
	}
	return scan->size_bytes;
}

enum spool_scan_result spool_scan_next(struct spool_scan *scan, struct spool_scan_found *ret)
{
	uint32_t from = scan->next, skip;
	if (try_at(scan, from, ret, &skip)) {
		scan->next = skip;
		return ret->record.type == SPOOL_RECORD_END ? SPOOL_SCAN_END : SPOOL_SCAN_RECORD;
	}
	struct spool_scan_found behind;
	for (uint32_t at = skip; at < scan->size_bytes; at = skip) {
		at = find_salt_from(scan, at);
		if (at >= scan->size_bytes)
			break;
		if (try_at(scan, at, &behind, &skip)) {
			scan->next = at;
			ret->from = from;
			return SPOOL_SCAN_HOLE;
		}
	}
	ret->from = from;
	return SPOOL_SCAN_TAIL;
}

void spool_scan_again(struct spool_scan *scan, uint32_t offset)
{
	buf_clear(&scan->window);
	scan->next = offset;
}

static bool is_mark_of(const char *bytes, uint32_t number, uint32_t shard, uint64_t *ret_salt)
{
	struct spool_record record;
	struct spool_mark mark;
	if (!spool_record_parse(bytes, &record) || record.type != SPOOL_RECORD_MARK ||
		record.length != SPOOL_MARK_BYTES ||
		!spool_record_payload_is_intact(&record, bytes + SPOOL_RECORD_HEADER_BYTES) ||
		!spool_mark_parse(
			str_from(bytes + SPOOL_RECORD_HEADER_BYTES, SPOOL_MARK_BYTES), &mark) ||
		mark.number != number || mark.shard != shard)
		return false;
	*ret_salt = record.salt;
	return true;
}

uint64_t spool_scan_find_salt(ssize_t (*read)(void *ctx, void *into, size_t length, int64_t at),
	void *ctx, uint32_t size_bytes, uint32_t number, uint32_t shard)
{
	struct spool_scan scan;
	uint64_t salt = 0;
	const char *bytes;
	spool_scan_init(&scan, read, ctx, size_bytes, 0);
	for (uint32_t at = SPOOL_SEGMENT_HEADER_BYTES;
		(bytes = look_at(&scan, at, SPOOL_RECORD_HEADER_BYTES + SPOOL_MARK_BYTES)) != NULL;
		at += SPOOL_RECORD_ALIGN) {
		if (is_mark_of(bytes, number, shard, &salt))
			break;
	}
	spool_scan_clear(&scan);
	return salt;
}
