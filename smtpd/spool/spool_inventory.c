#include "smtpd/spool/spool_inventory.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"

/* IN_USE: first u32, last u32 of each run of numbers. GIVEN_BACK: u32 each. */
enum { RUN_BYTES = 8, NUMBER_BYTES = 4, SEGMENTS_MOST = 1 << 20 };

static bool is_in_use(const struct spool_segment *segment)
{
	return !segment->is_releasing && segment->release_after.segment == 0;
}

static void put_run(struct buf *ret, uint32_t first, uint32_t last)
{
	char *into = buf_reserve(ret, RUN_BYTES);
	codec_put_u32(into, first);
	codec_put_u32(into + 4, last);
	buf_added(ret, RUN_BYTES);
}

void spool_inventory_format(const struct spool_segments *set, struct buf *ret)
{
	uint32_t first = 0, last = 0;
	LIST_EACH(node, &set->in_order) {
		const struct spool_segment *segment = LIST_OWNER(node, struct spool_segment, link);
		if (!is_in_use(segment))
			continue;
		if (first && segment->number != last + 1)
			put_run(ret, first, last);
		if (!first || segment->number != last + 1)
			first = segment->number;
		last = segment->number;
	}
	if (first)
		put_run(ret, first, last);
}

/* How many numbers; 0: malformed. */
static size_t count_runs(struct str runs, uint32_t here)
{
	uint64_t count = 0;
	uint32_t before = 0;
	if (runs.length % RUN_BYTES)
		return 0;
	for (size_t i = 0; i < runs.length; i += RUN_BYTES) {
		uint32_t first = codec_get_u32(runs.at + i), last = codec_get_u32(runs.at + i + 4);
		if (first <= before || last < first || last > here)
			return 0;
		count += last - first + 1;
		before = last;
	}
	return count <= SEGMENTS_MOST ? (size_t)count : 0;
}

static void take_in_use(struct spool_inventory *inventory, uint32_t here, struct str runs)
{
	size_t count = count_runs(runs, here);
	if (count == 0)
		return;
	inventory->numbers =
		mem_resize_array(inventory->numbers, count, sizeof(inventory->numbers[0]));
	inventory->count = 0;
	inventory->told_by = here;
	for (size_t i = 0; i < runs.length; i += RUN_BYTES) {
		uint32_t last = codec_get_u32(runs.at + i + 4);
		for (uint32_t n = codec_get_u32(runs.at + i); n <= last && n; n++)
			inventory->numbers[inventory->count++] = n;
	}
}

/* The first place with a number >= this one. */
static size_t place_of(const struct spool_inventory *inventory, uint32_t number)
{
	size_t low = 0, high = inventory->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (inventory->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void take_given_back(struct spool_inventory *inventory, struct str numbers)
{
	for (size_t i = 0; i + NUMBER_BYTES <= numbers.length; i += NUMBER_BYTES) {
		uint32_t number = codec_get_u32(numbers.at + i);
		size_t at = place_of(inventory, number);
		if (at == inventory->count || inventory->numbers[at] != number)
			continue;
		inventory->count--;
		memmove(&inventory->numbers[at], &inventory->numbers[at + 1],
			(inventory->count - at) * sizeof(inventory->numbers[0]));
	}
}

void spool_inventory_take(struct spool_inventory *inventory, struct spool_position at,
	const struct spool_scan_found *found)
{
	if (found->record.type == SPOOL_RECORD_IN_USE)
		take_in_use(inventory, at.segment, found->payload);
	else if (found->record.type == SPOOL_RECORD_GIVEN_BACK)
		take_given_back(inventory, found->payload);
}

uint32_t spool_inventory_missing(const struct spool_inventory *inventory,
	const struct spool_segments *set, uint32_t after)
{
	if (after == UINT32_MAX)
		return 0;
	for (size_t i = place_of(inventory, after + 1); i < inventory->count; i++)
		if (!spool_segments_find(set, inventory->numbers[i]))
			return inventory->numbers[i];
	return 0;
}

void spool_inventory_clear(struct spool_inventory *inventory)
{
	free(inventory->numbers);
	*inventory = (struct spool_inventory){ 0 };
}
