/* spool_record: the form of segment headers and records on disk. Pure.
 *
 * For:     log, scan, reader and compaction.
 * Promise: a record is 32 bytes of header and its payload, filled up to 16 bytes; the header and
 *          the payload have a CRC32C each, so that a bad payload can be stepped over. Every
 *          record carries its segment's salt: 64 random bits made anew each time the file is
 *          used. What an earlier use left behind, or what a sender wrote into a body to look
 *          like a record, has another salt and is not one.
 * See:     README.md "On disk"
 */
#ifndef SMTPD_SPOOL_SPOOL_RECORD_H
#define SMTPD_SPOOL_SPOOL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

enum {
	SPOOL_RECORD_VERSION = 1,
	SPOOL_RECORD_ALIGN = 16,
	SPOOL_RECORD_HEADER_BYTES = 32,
	SPOOL_RECORD_CHUNK_MOST = 65536, /* bytes of a body in one record */
	SPOOL_SEGMENT_HEADER_BYTES = 64, /* the first record follows it */
};

enum spool_record_type {
	SPOOL_RECORD_MARK = 1,	 /* how far the log was durable; begins every write */
	SPOOL_RECORD_CHUNK = 2,	 /* a piece of a message */
	SPOOL_RECORD_COMMIT = 3, /* makes chunks a message; a later one for the id replaces it */
	SPOOL_RECORD_SETTLE = 4, /* some recipients' new states */
	SPOOL_RECORD_DONE = 5,	 /* the message is gone */
	SPOOL_RECORD_END = 6,	 /* nothing follows in this segment */
	/* of the segments themselves: spool_inventory.h */
	SPOOL_RECORD_IN_USE = 7,     /* all there are; begins a segment */
	SPOOL_RECORD_GIVEN_BACK = 8, /* some go, when this is durable */
};

/* A place in the log; segment 0 = nowhere. */
struct spool_position {
	uint32_t segment;
	uint32_t offset;
};
static inline bool spool_position_is_before(struct spool_position a, struct spool_position b)
{
	return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

struct spool_record {
	uint8_t type;
	uint32_t length; /* of the payload */
	uint64_t id;	 /* of the message; 0 where it is about none */
	uint64_t salt;
	uint32_t payload_crc;
};

static inline uint32_t spool_record_bytes(uint32_t length)
{
	return (SPOOL_RECORD_HEADER_BYTES + length + SPOOL_RECORD_ALIGN - 1) &
	       ~(uint32_t)(SPOOL_RECORD_ALIGN - 1);
}

/* Appends a whole record to ret; the payload is given in parts (borrowed). */
void spool_record_append(struct buf *ret, uint8_t type, uint64_t salt, uint64_t id,
	const struct str *parts, size_t count);
/* bytes: SPOOL_RECORD_HEADER_BYTES of them. False when they are no header. */
bool spool_record_parse(const void *bytes, struct spool_record *ret);
bool spool_record_payload_is_intact(const struct spool_record *record, const void *payload);

struct spool_segment_header {
	uint32_t version; /* as read; always ours when written */
	uint32_t number;
	uint32_t shard;
	uint64_t salt;
	uint64_t next_id; /* ids below it may have been given out */
};
/* into: SPOOL_SEGMENT_HEADER_BYTES. */
void spool_segment_header_format(const struct spool_segment_header *header, void *into);
/* ERR_INPUT with the reason where the bytes are no header (version 0), or of a version we do not
 * know. */
int spool_segment_header_parse(
	const void *bytes, struct spool_segment_header *ret, struct err *err);

/* ---- payloads -------------------------------------------------------------------------------- */

struct spool_mark {
	uint32_t number; /* of the segment it stands in */
	uint32_t shard;
	struct spool_position durable; /* all before it has been synced */
	uint64_t next_id;	       /* ids below it may have been given out */
};
enum { SPOOL_MARK_BYTES = 24 };
void spool_mark_format(const struct spool_mark *mark, void *into);
bool spool_mark_parse(struct str payload, struct spool_mark *ret);

struct spool_chunk {
	struct spool_position at;
	uint32_t length; /* of the payload */
};
struct spool_commit_head {
	uint64_t size_bytes;
	uint32_t chunk_count;
	uint32_t envelope_bytes;
};
enum { SPOOL_COMMIT_HEAD_BYTES = 16, SPOOL_CHUNK_BYTES = 12 };
void spool_commit_head_format(const struct spool_commit_head *head, void *into);
void spool_chunk_format(const struct spool_chunk *chunk, void *into);
/* ret_chunks: chunk_count * SPOOL_CHUNK_BYTES, read singly with spool_chunk_at. False where the
 * payload does not add up. */
bool spool_commit_parse(struct str payload, struct spool_commit_head *ret, struct str *ret_chunks,
	struct str *ret_envelope);
struct spool_chunk spool_chunk_at(struct str chunks, uint32_t index);

struct spool_delta {
	uint32_t recipient;
	uint8_t state;
	uint16_t attempts;
	int64_t due_s;
	struct str reason;
	uint8_t cause; /* below 16 */
	uint8_t told;  /* below 8 */
	struct str via;
};
enum { SPOOL_SETTLE_HEAD_BYTES = 12, SPOOL_REASON_MOST = 500, SPOOL_VIA_MOST = 300 };
/* The place of the settle record before this one (segment 0: none), its record's bytes. */
void spool_settle_head_format(struct spool_position previous, uint32_t previous_bytes, void *into);
bool spool_settle_head_parse(
	struct str payload, struct spool_position *ret_previous, uint32_t *ret_previous_bytes);
void spool_delta_append(struct buf *ret, const struct spool_delta *delta);
/* Takes one delta off the front of *rest (which begins behind the head). False at the end and
 * where it is malformed: then *rest is not empty. */
bool spool_delta_next(struct str *rest, struct spool_delta *ret);

#endif
