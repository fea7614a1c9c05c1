#include "smtpd/spool/spool_check_place.h"

#include <string.h>

#include "libtlsio/base/codec.h"

enum { WINDOW_BYTES = 65536, MAGIC_OFFSET = 4, TYPE_OFFSET = 5, SALT_OFFSET = 8, ID_OFFSET = 16,
	LENGTH_OFFSET = 24, MAGIC = 0xd7, SHARD_SHIFT = 56 };

struct stretch {
	const struct spool_segments *set;
	const struct spool_segment *segment;
	uint32_t to;
	char window[WINDOW_BYTES];
	uint32_t window_at;
	uint32_t window_bytes;
};

/* The bytes of a record's header at this offset; NULL: the file ends before. */
static const char *look_at(struct stretch *s, uint32_t at)
{
	const struct spool_segment *segment = s->segment;
	if (at > segment->size_bytes || segment->size_bytes - at < SPOOL_RECORD_HEADER_BYTES)
		return NULL;
	if (at < s->window_at ||
		at + SPOOL_RECORD_HEADER_BYTES > (uint64_t)s->window_at + s->window_bytes) {
		uint32_t left = segment->size_bytes - at;
		s->window_at = at;
		s->window_bytes = left < WINDOW_BYTES ? left : WINDOW_BYTES;
		/* what the disk does not give is unknown: zeros */
		if (spool_disk_read_all(
			    s->set->disk, segment->fd, s->window, s->window_bytes, at) < 0)
			memset(s->window, 0, sizeof(s->window));
	}
	return s->window + (at - s->window_at);
}

static bool is_type(uint8_t type)
{
	return type >= SPOOL_RECORD_MARK && type <= SPOOL_RECORD_GIVEN_BACK;
}

/* True: ret says what stands there, or stood, and ret->to where it ends. A guess goes by the salt,
 * which nobody else knows; where a record must begin, by less. */
static bool guess(struct stretch *s, uint32_t at, bool must_begin, struct spool_check_place *ret)
{
	const char *bytes = look_at(s, at);
	struct spool_record record;
	if (!bytes)
		return false;
	bool is_whole = spool_record_parse(bytes, &record) && record.salt == s->segment->salt;
	if (!is_whole) {
		record.type = (uint8_t)bytes[TYPE_OFFSET];
		record.id = codec_get_u64(bytes + ID_OFFSET);
		record.length = codec_get_u32(bytes + LENGTH_OFFSET);
		bool is_ours = codec_get_u64(bytes + SALT_OFFSET) == s->segment->salt;
		bool is_like_it = (uint8_t)bytes[MAGIC_OFFSET] == MAGIC &&
				  (record.id == 0 || record.id >> SHARD_SHIFT == s->set->shard);
		if (!is_ours && !(must_begin && is_like_it))
			return false;
	}
	uint64_t end = (uint64_t)at + SPOOL_RECORD_HEADER_BYTES + record.length +
		       SPOOL_RECORD_ALIGN - 1;
	end -= end % SPOOL_RECORD_ALIGN;
	*ret = (struct spool_check_place){
		.segment = s->segment->number,
		.from = at,
		.to = end <= s->to ? (uint32_t)end : s->to,
		.type = is_type(record.type) ? record.type : 0,
		.is_guess = !is_whole,
		.id = record.id,
	};
	return true;
}

void spool_check_place_each(const struct spool_segments *set, const struct spool_segment *segment,
	uint32_t from, uint32_t to,
	void (*each)(void *ctx, const struct spool_check_place *place), void *ctx)
{
	struct stretch s = { .set = set, .segment = segment, .to = to };
	struct spool_check_place unknown = { .segment = segment->number, .from = from };
	bool must_begin = true;
	uint32_t at = from;
	while (at < to) {
		struct spool_check_place place;
		if (!guess(&s, at, must_begin, &place)) {
			must_begin = false;
			at = to - at > SPOOL_RECORD_ALIGN ? at + SPOOL_RECORD_ALIGN : to;
			continue;
		}
		unknown.to = at;
		if (unknown.to > unknown.from)
			each(ctx, &unknown);
		each(ctx, &place);
		at = unknown.from = place.to;
		must_begin = !place.is_guess;
	}
	unknown.to = to;
	if (unknown.to > unknown.from)
		each(ctx, &unknown);
}

bool spool_check_place_begins(const struct spool_segments *set,
	const struct spool_segment *segment, uint32_t offset)
{
	struct stretch s = { .set = set, .segment = segment, .to = segment->size_bytes };
	struct spool_check_place place;
	return guess(&s, offset, false, &place);
}
