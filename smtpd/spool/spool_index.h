/* spool_index: what is in the spool, in memory: a small entry per message, in order of id.
 *
 * For:     the spool's own files.
 * Holds:   the entries, found by pointers in sorted blocks (ids come nearly in order, so nearly
 *          every insertion is at the end).
 * Promise: finding, inserting, removing and "the next after" are O(log n); about 110 bytes per
 *          message of up to 64 recipients. Envelopes are not kept.
 */
#ifndef SMTPD_SPOOL_SPOOL_INDEX_H
#define SMTPD_SPOOL_SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/spool/spool_record.h"
#include "smtpd/spool/spool_segment.h"

/* How many bytes of which segments something needs; nearly always of one. */
struct spool_extent {
	uint32_t segment;
	uint32_t bytes;
};
struct spool_extents {
	struct spool_extent first;
	struct spool_extent *more; /* owned */
	uint32_t more_count;
};
void spool_extents_add(struct spool_extents *extents, uint32_t segment, uint32_t bytes);
/* bytes were added to it before. */
void spool_extents_remove(struct spool_extents *extents, uint32_t segment, uint32_t bytes);
void spool_extents_clear(struct spool_extents *extents);
/* Extent i, or segment 0 behind the last. */
struct spool_extent spool_extents_at(const struct spool_extents *extents, uint32_t i);
/* Count the bytes as needed (or no more needed) in their segments. */
void spool_extents_hold(const struct spool_extents *extents, struct spool_segments *set);
void spool_extents_drop(const struct spool_extents *extents, struct spool_segments *set);

struct spool_message {
	uint64_t id;
	uint64_t size_bytes;
	struct spool_position commit;
	struct spool_position settle; /* the last one; segment 0: none */
	uint32_t commit_bytes;	      /* of the whole record */
	uint32_t settle_bytes;
	uint32_t first_segment; /* commit records of this id lie from here to commit.segment */
	uint32_t recipient_count;
	union { /* who is open: waits, or is held */
		uint64_t bits;
		uint64_t *map; /* owned, where there are more than 64 */
	} waiting;
	struct spool_extents extents;
	uint32_t chain_length; /* settle records since the commit record */
};

bool spool_message_is_waiting(const struct spool_message *message, uint32_t recipient);
void spool_message_set_waiting(struct spool_message *message, uint32_t recipient, bool is_waiting);
bool spool_message_has_waiting(const struct spool_message *message);

struct spool_index {
	struct spool_index_block **blocks; /* in order; none is empty */
	size_t block_count;
	size_t block_room;
	uint64_t count;
	uint64_t message_bytes;
};

/* A new entry with all recipients waiting; the id must not be there yet. */
struct spool_message *spool_index_add(struct spool_index *index, uint64_t id, uint64_t size_bytes,
	uint32_t recipient_count);
struct spool_message *spool_index_find(const struct spool_index *index, uint64_t id);
/* The first with an id above `after`, or NULL. */
struct spool_message *spool_index_next(const struct spool_index *index, uint64_t after);
/* Frees it. */
void spool_index_remove(struct spool_index *index, struct spool_message *message);
void spool_index_clear(struct spool_index *index);

#endif
