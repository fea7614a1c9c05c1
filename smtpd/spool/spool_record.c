#include "smtpd/spool/spool_record.h"

#include <assert.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "smtpd/spool/spool_envelope.h"

static const char segment_magic[8] = { 'P', 'o', 's', 't', 'S', 'e', 'g', '\n' };
enum { RECORD_MAGIC = 0xd7 };

/* header: crc32c of the rest u32 | magic u8 | type u8 | 0 u16 | salt u64 | id u64 | length u32 |
 * payload crc u32 */
void spool_record_append(struct buf *ret, uint8_t type, uint64_t salt, uint64_t id,
	const struct str *parts, size_t count)
{
	uint32_t length = 0, crc = 0;
	for (size_t i = 0; i < count; i++) {
		length += (uint32_t)parts[i].length;
		crc = codec_crc32c(crc, parts[i].at, parts[i].length);
	}
	uint32_t bytes = spool_record_bytes(length);
	char *at = buf_reserve(ret, bytes);
	buf_added(ret, bytes);
	memset(at, 0, SPOOL_RECORD_HEADER_BYTES);
	at[4] = (char)RECORD_MAGIC;
	at[5] = (char)type;
	codec_put_u64(at + 8, salt);
	codec_put_u64(at + 16, id);
	codec_put_u32(at + 24, length);
	codec_put_u32(at + 28, crc);
	codec_put_u32(at, codec_crc32c(0, at + 4, SPOOL_RECORD_HEADER_BYTES - 4));
	char *next = at + SPOOL_RECORD_HEADER_BYTES;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].length)
			memcpy(next, parts[i].at, parts[i].length);
		next += parts[i].length;
	}
	memset(next, 0, (size_t)(at + bytes - next));
}

bool spool_record_parse(const void *bytes, struct spool_record *ret)
{
	const unsigned char *at = bytes;
	if (at[4] != RECORD_MAGIC ||
		codec_get_u32(at) != codec_crc32c(0, at + 4, SPOOL_RECORD_HEADER_BYTES - 4))
		return false;
	ret->type = at[5];
	ret->salt = codec_get_u64(at + 8);
	ret->id = codec_get_u64(at + 16);
	ret->length = codec_get_u32(at + 24);
	ret->payload_crc = codec_get_u32(at + 28);
	return true;
}

bool spool_record_payload_is_intact(const struct spool_record *record, const void *payload)
{
	return codec_crc32c(0, payload, record->length) == record->payload_crc;
}

/* magic 8 | version u32 | shard u32 | number u32 | 0 u32 | salt u64 | next id u64 | 0 ... | crc u32 at 60 */
void spool_segment_header_format(const struct spool_segment_header *header, void *into)
{
	char *at = into;
	memset(at, 0, SPOOL_SEGMENT_HEADER_BYTES);
	memcpy(at, segment_magic, sizeof(segment_magic));
	codec_put_u32(at + 8, SPOOL_RECORD_VERSION);
	codec_put_u32(at + 12, header->shard);
	codec_put_u32(at + 16, header->number);
	codec_put_u64(at + 24, header->salt);
	codec_put_u64(at + 32, header->next_id);
	codec_put_u32(at + 60, codec_crc32c(0, at, 60));
}

int spool_segment_header_parse(
	const void *bytes, struct spool_segment_header *ret, struct err *err)
{
	const char *at = bytes;
	ret->version = 0;
	if (memcmp(at, segment_magic, sizeof(segment_magic)) != 0)
		return err_set(err, ERR_INPUT, "does not begin like a segment");
	if (codec_get_u32(at + 60) != codec_crc32c(0, at, 60))
		return err_set(err, ERR_INPUT, "has a damaged header");
	ret->version = codec_get_u32(at + 8);
	if (ret->version != SPOOL_RECORD_VERSION)
		return err_set(err, ERR_INPUT, "has format version %u, this program knows %d",
			(unsigned)ret->version, SPOOL_RECORD_VERSION);
	ret->shard = codec_get_u32(at + 12);
	ret->number = codec_get_u32(at + 16);
	ret->salt = codec_get_u64(at + 24);
	ret->next_id = codec_get_u64(at + 32);
	return 0;
}

static void position_format(struct spool_position position, char *at)
{
	codec_put_u32(at, position.segment);
	codec_put_u32(at + 4, position.offset);
}

static struct spool_position position_parse(const char *at)
{
	return (struct spool_position){ codec_get_u32(at), codec_get_u32(at + 4) };
}

void spool_mark_format(const struct spool_mark *mark, void *into)
{
	char *at = into;
	codec_put_u32(at, mark->number);
	codec_put_u32(at + 4, mark->shard);
	position_format(mark->durable, at + 8);
	codec_put_u64(at + 16, mark->next_id);
}

bool spool_mark_parse(struct str payload, struct spool_mark *ret)
{
	if (payload.length != SPOOL_MARK_BYTES)
		return false;
	ret->number = codec_get_u32(payload.at);
	ret->shard = codec_get_u32(payload.at + 4);
	ret->durable = position_parse(payload.at + 8);
	ret->next_id = codec_get_u64(payload.at + 16);
	return true;
}

void spool_commit_head_format(const struct spool_commit_head *head, void *into)
{
	char *at = into;
	codec_put_u64(at, head->size_bytes);
	codec_put_u32(at + 8, head->chunk_count);
	codec_put_u32(at + 12, head->envelope_bytes);
}

void spool_chunk_format(const struct spool_chunk *chunk, void *into)
{
	char *at = into;
	position_format(chunk->at, at);
	codec_put_u32(at + 8, chunk->length);
}

struct spool_chunk spool_chunk_at(struct str chunks, uint32_t index)
{
	const char *at = chunks.at + (size_t)index * SPOOL_CHUNK_BYTES;
	assert((size_t)(index + 1) * SPOOL_CHUNK_BYTES <= chunks.length);
	return (struct spool_chunk){ position_parse(at), codec_get_u32(at + 8) };
}

bool spool_commit_parse(struct str payload, struct spool_commit_head *ret, struct str *ret_chunks,
	struct str *ret_envelope)
{
	if (payload.length < SPOOL_COMMIT_HEAD_BYTES)
		return false;
	struct spool_commit_head head = {
		.size_bytes = codec_get_u64(payload.at),
		.chunk_count = codec_get_u32(payload.at + 8),
		.envelope_bytes = codec_get_u32(payload.at + 12),
	};
	struct str rest = str_skip(payload, SPOOL_COMMIT_HEAD_BYTES);
	uint64_t chunk_bytes = (uint64_t)head.chunk_count * SPOOL_CHUNK_BYTES;
	if (chunk_bytes + head.envelope_bytes != rest.length)
		return false;
	struct str chunks = str_head(rest, (size_t)chunk_bytes);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < head.chunk_count; i++) {
		struct spool_chunk chunk = spool_chunk_at(chunks, i);
		if (chunk.length == 0 || chunk.length > SPOOL_RECORD_CHUNK_MOST ||
			chunk.at.segment == 0)
			return false;
		sum += chunk.length;
	}
	if (sum != head.size_bytes)
		return false;
	*ret = head;
	*ret_chunks = chunks;
	*ret_envelope = str_skip(rest, (size_t)chunk_bytes);
	return true;
}

void spool_settle_head_format(struct spool_position previous, uint32_t previous_bytes, void *into)
{
	char *at = into;
	position_format(previous, at);
	codec_put_u32(at + 8, previous_bytes);
}

bool spool_settle_head_parse(
	struct str payload, struct spool_position *ret_previous, uint32_t *ret_previous_bytes)
{
	if (payload.length < SPOOL_SETTLE_HEAD_BYTES)
		return false;
	*ret_previous = position_parse(payload.at);
	*ret_previous_bytes = codec_get_u32(payload.at + 8);
	return true;
}

/* recipient u32 | state u8 | cause and more u8 | attempts u16 | due u64 | reason length u16 | reason |
 * where there is a via: length u16, bytes */
enum { DELTA_BYTES = 18, DELTA_CAUSE = 0x0f, DELTA_TOLD_SHIFT = 4, DELTA_TOLD = 7, DELTA_HAS_VIA = 0x80 };

void spool_delta_append(struct buf *ret, const struct spool_delta *delta)
{
	char head[DELTA_BYTES] = { 0 };
	size_t length = delta->reason.length;
	if (length > SPOOL_REASON_MOST)
		length = SPOOL_REASON_MOST;
	codec_put_u32(head, delta->recipient);
	head[4] = (char)delta->state;
	head[5] = (char)((delta->cause & DELTA_CAUSE) |
		(delta->told & DELTA_TOLD) << DELTA_TOLD_SHIFT |
		(delta->via.length ? DELTA_HAS_VIA : 0));
	codec_put_u16(head + 6, delta->attempts);
	codec_put_u64(head + 8, (uint64_t)delta->due_s);
	codec_put_u16(head + 16, (uint16_t)length);
	buf_append(ret, head, sizeof(head));
	buf_append(ret, delta->reason.at, length);
	if (delta->via.length == 0)
		return;
	char via[2];
	length = delta->via.length < SPOOL_VIA_MOST ? delta->via.length : SPOOL_VIA_MOST;
	codec_put_u16(via, (uint16_t)length);
	buf_append(ret, via, sizeof(via));
	buf_append(ret, delta->via.at, length);
}

/* Takes a length and so many bytes off the front. */
static bool take_via(struct str *rest, struct str *ret)
{
	if (rest->length < 2 || codec_get_u16(rest->at) > rest->length - 2)
		return false;
	*ret = str_from(rest->at + 2, codec_get_u16(rest->at));
	*rest = str_skip(*rest, 2 + ret->length);
	return true;
}

bool spool_delta_next(struct str *rest, struct spool_delta *ret)
{
	if (rest->length < DELTA_BYTES)
		return false;
	const char *at = rest->at;
	size_t length = codec_get_u16(at + 16);
	if (length > rest->length - DELTA_BYTES)
		return false;
	ret->recipient = codec_get_u32(at);
	unsigned char more = (unsigned char)at[5];
	ret->state = (uint8_t)at[4];
	ret->cause = more & DELTA_CAUSE;
	ret->told = more >> DELTA_TOLD_SHIFT & DELTA_TOLD;
	/* an envelope with these would not be decoded again */
	if (ret->state > SPOOL_RECIPIENT_HELD || ret->cause >= SPOOL_CAUSE_COUNT)
		return false;
	ret->via = (struct str){ 0 };
	ret->attempts = codec_get_u16(at + 6);
	ret->due_s = (int64_t)codec_get_u64(at + 8);
	ret->reason = str_from(at + DELTA_BYTES, length);
	struct str after = str_skip(*rest, DELTA_BYTES + length);
	if ((more & DELTA_HAS_VIA) && !take_via(&after, &ret->via))
		return false;
	*rest = after;
	return true;
}
