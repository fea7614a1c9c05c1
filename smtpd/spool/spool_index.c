#include "smtpd/spool/spool_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

enum { BLOCK_ENTRIES = 254, MAP_BITS = 64 };

struct spool_index_block {
	size_t count;
	struct spool_message *entries[BLOCK_ENTRIES];
};

/* ---- extents --------------------------------------------------------------------------------- */

void spool_extents_add(struct spool_extents *extents, uint32_t segment, uint32_t bytes)
{
	if (extents->first.segment == 0)
		extents->first.segment = segment;
	if (extents->first.segment == segment) {
		extents->first.bytes += bytes;
		return;
	}
	/* the last one first: that is where the log writes */
	for (uint32_t i = extents->more_count; i-- > 0;) {
		if (extents->more[i].segment == segment) {
			extents->more[i].bytes += bytes;
			return;
		}
	}
	extents->more = mem_resize_array(
		extents->more, extents->more_count + 1, sizeof(struct spool_extent));
	extents->more[extents->more_count++] = (struct spool_extent){ segment, bytes };
}

void spool_extents_remove(struct spool_extents *extents, uint32_t segment, uint32_t bytes)
{
	struct spool_extent *extent = &extents->first;
	for (uint32_t i = 0; extent->segment != segment && i < extents->more_count; i++)
		extent = &extents->more[i];
	assert(extent->segment == segment && extent->bytes >= bytes);
	extent->bytes -= bytes;
}

void spool_extents_clear(struct spool_extents *extents)
{
	free(extents->more);
	*extents = (struct spool_extents){ 0 };
}

struct spool_extent spool_extents_at(const struct spool_extents *extents, uint32_t i)
{
	if (i == 0)
		return extents->first;
	return i <= extents->more_count ? extents->more[i - 1] : (struct spool_extent){ 0 };
}

void spool_extents_hold(const struct spool_extents *extents, struct spool_segments *set)
{
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(extents, i)).segment; i++) {
		struct spool_segment *segment = spool_segments_find(set, extent.segment);
		if (segment)
			segment->live_bytes += extent.bytes;
	}
}

void spool_extents_drop(const struct spool_extents *extents, struct spool_segments *set)
{
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(extents, i)).segment; i++) {
		/* a lost segment file: reported at replay */
		struct spool_segment *segment = spool_segments_find(set, extent.segment);
		if (!segment)
			continue;
		assert(segment->live_bytes >= extent.bytes);
		segment->live_bytes -= extent.bytes;
		if (segment->live_bytes == 0 && segment->is_sealed)
			set->needs_review = true;
	}
}

/* ---- one message ----------------------------------------------------------------------------- */

static uint64_t *word_of(const struct spool_message *message, uint32_t recipient)
{
	if (message->recipient_count <= MAP_BITS)
		return (uint64_t *)&message->waiting.bits;
	return &message->waiting.map[recipient / MAP_BITS];
}

bool spool_message_is_waiting(const struct spool_message *message, uint32_t recipient)
{
	return recipient < message->recipient_count &&
	       (*word_of(message, recipient) >> recipient % MAP_BITS & 1);
}

void spool_message_set_waiting(struct spool_message *message, uint32_t recipient, bool is_waiting)
{
	assert(recipient < message->recipient_count);
	uint64_t bit = UINT64_C(1) << recipient % MAP_BITS;
	uint64_t *word = word_of(message, recipient);
	*word = is_waiting ? *word | bit : *word & ~bit;
}

bool spool_message_has_waiting(const struct spool_message *message)
{
	if (message->recipient_count <= MAP_BITS)
		return message->waiting.bits != 0;
	for (uint32_t i = 0; i < message->recipient_count; i += MAP_BITS) {
		if (message->waiting.map[i / MAP_BITS])
			return true;
	}
	return false;
}

static void message_free(struct spool_message *message)
{
	if (message->recipient_count > MAP_BITS)
		free(message->waiting.map);
	spool_extents_clear(&message->extents);
	free(message);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* The block that holds id, or would: the last whose first id is not above it (or the first). */
static size_t block_of(const struct spool_index *index, uint64_t id)
{
	size_t low = 0, high = index->block_count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (index->blocks[middle]->entries[0]->id <= id)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The first entry of the block with an id >= id, or its count. */
static size_t place_in(const struct spool_index_block *block, uint64_t id)
{
	size_t low = 0, high = block->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (block->entries[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_block(struct spool_index *index, size_t at)
{
	if (index->block_count == index->block_room) {
		index->block_room = index->block_room ? index->block_room * 2 : 16;
		index->blocks = mem_resize_array(
			index->blocks, index->block_room, sizeof(struct spool_index_block *));
	}
	memmove(&index->blocks[at + 1], &index->blocks[at],
		(index->block_count - at) * sizeof(struct spool_index_block *));
	index->blocks[at] = mem_zero(sizeof(struct spool_index_block));
	index->block_count++;
}

static void remove_block(struct spool_index *index, size_t at)
{
	free(index->blocks[at]);
	index->block_count--;
	memmove(&index->blocks[at], &index->blocks[at + 1],
		(index->block_count - at) * sizeof(struct spool_index_block *));
}

/* Makes room in a full block: at the very end of all a new one, elsewhere two halves. */
static size_t split(struct spool_index *index, size_t at, uint64_t id)
{
	struct spool_index_block *block = index->blocks[at];
	bool is_end = at + 1 == index->block_count && block->entries[block->count - 1]->id < id;
	add_block(index, at + 1);
	if (is_end)
		return at + 1;
	struct spool_index_block *second = index->blocks[at + 1];
	size_t keep = block->count / 2;
	second->count = block->count - keep;
	memcpy(second->entries, &block->entries[keep], second->count * sizeof(second->entries[0]));
	block->count = keep;
	return second->entries[0]->id <= id ? at + 1 : at;
}

struct spool_message *spool_index_add(struct spool_index *index, uint64_t id, uint64_t size_bytes,
	uint32_t recipient_count)
{
	struct spool_message *message = mem_zero(sizeof(*message));
	message->id = id;
	message->size_bytes = size_bytes;
	message->recipient_count = recipient_count;
	if (recipient_count > MAP_BITS) {
		size_t words = (recipient_count + MAP_BITS - 1) / MAP_BITS;
		message->waiting.map = mem_zero(words * sizeof(uint64_t));
	}
	for (uint32_t i = 0; i < recipient_count; i++)
		spool_message_set_waiting(message, i, true);
	if (index->block_count == 0)
		add_block(index, 0);
	size_t at = block_of(index, id);
	if (index->blocks[at]->count == BLOCK_ENTRIES)
		at = split(index, at, id);
	struct spool_index_block *block = index->blocks[at];
	size_t place = place_in(block, id);
	assert(place == block->count || block->entries[place]->id != id);
	memmove(&block->entries[place + 1], &block->entries[place],
		(block->count - place) * sizeof(block->entries[0]));
	block->entries[place] = message;
	block->count++;
	index->count++;
	index->message_bytes += size_bytes;
	return message;
}

struct spool_message *spool_index_find(const struct spool_index *index, uint64_t id)
{
	if (index->block_count == 0)
		return NULL;
	const struct spool_index_block *block = index->blocks[block_of(index, id)];
	size_t place = place_in(block, id);
	return place < block->count && block->entries[place]->id == id ? block->entries[place]
								       : NULL;
}

struct spool_message *spool_index_next(const struct spool_index *index, uint64_t after)
{
	if (index->block_count == 0 || after == UINT64_MAX)
		return NULL;
	size_t at = block_of(index, after);
	size_t place = place_in(index->blocks[at], after + 1);
	if (place < index->blocks[at]->count)
		return index->blocks[at]->entries[place];
	return at + 1 < index->block_count ? index->blocks[at + 1]->entries[0] : NULL;
}

/* Two neighbours that are nearly empty become one, so that a thinned index gives memory back. */
static void merge(struct spool_index *index, size_t at)
{
	struct spool_index_block *block = index->blocks[at];
	struct spool_index_block *second = index->blocks[at + 1];
	if (block->count + second->count > BLOCK_ENTRIES / 2)
		return;
	memcpy(&block->entries[block->count], second->entries,
		second->count * sizeof(second->entries[0]));
	block->count += second->count;
	remove_block(index, at + 1);
}

void spool_index_remove(struct spool_index *index, struct spool_message *message)
{
	size_t at = block_of(index, message->id);
	struct spool_index_block *block = index->blocks[at];
	size_t place = place_in(block, message->id);
	assert(place < block->count && block->entries[place] == message);
	block->count--;
	memmove(&block->entries[place], &block->entries[place + 1],
		(block->count - place) * sizeof(block->entries[0]));
	index->count--;
	index->message_bytes -= message->size_bytes;
	message_free(message);
	if (block->count == 0) {
		remove_block(index, at);
		return;
	}
	if (at + 1 < index->block_count)
		merge(index, at);
	if (at > 0)
		merge(index, at - 1);
}

void spool_index_clear(struct spool_index *index)
{
	for (size_t i = 0; i < index->block_count; i++) {
		for (size_t k = 0; k < index->blocks[i]->count; k++)
			message_free(index->blocks[i]->entries[k]);
		free(index->blocks[i]);
	}
	free(index->blocks);
	*index = (struct spool_index){ 0 };
}
