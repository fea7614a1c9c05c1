/* spool_check: reads every record of a shard's directory and says what is whole and what is not.
 *
 * For:     posternctl spool check; spool_repair.
 * Holds:   the index of all messages, as the spool itself, and the place of each piece of a body.
 * Promise: writes nothing, wants no lock. Beside a running posternd the log goes on: what is written
 *          or given back meanwhile is no damage.
 */
#ifndef SMTPD_SPOOL_SPOOL_CHECK_H
#define SMTPD_SPOOL_SPOOL_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "smtpd/spool/spool_disk.h"
#include "smtpd/spool/spool_envelope.h"
#include "smtpd/spool/spool_record.h"

struct spool;
struct spool_check;
struct spool_message;

struct spool_check_segment {
	uint32_t number;
	bool is_missing;    /* segment told_by says that it must be there */
	bool is_unreadable; /* nothing in it can be read */
	uint32_t told_by;
	uint64_t file_bytes;
	uint64_t used_bytes;
	uint64_t live_bytes; /* that living messages need */
	uint64_t records;
	uint64_t places; /* that are damaged */
	uint64_t damaged_bytes;
};

/* A damaged place. */
struct spool_check_place {
	uint32_t segment;
	uint32_t from;
	uint32_t to;
	uint8_t type;	  /* enum spool_record_type; 0: cannot be told */
	bool is_header;	  /* of the segment */
	bool is_guess;	  /* type and id are from a header that is damaged itself */
	bool is_malformed; /* the checksums are right, the content makes no sense */
	uint64_t id;	  /* of the message; 0: none, or unknown */
};

enum spool_check_fault {
	SPOOL_CHECK_BODY,     /* pieces of it are lost */
	SPOOL_CHECK_ENVELOPE, /* sender and recipients are lost, and so is the message */
	SPOOL_CHECK_HISTORY,  /* an outcome is lost: whom it was delivered to may get it again */
};
struct spool_check_message {
	uint64_t id;
	enum spool_check_fault fault;
	const struct spool_envelope *envelope; /* NULL: nothing is known */
	bool is_guess; /* the envelope's checksum is wrong: a letter may be, too */
	uint32_t pieces;
	uint32_t lost_pieces;
};

enum spool_check_end {
	SPOOL_CHECK_EMPTY,  /* there is no log */
	SPOOL_CHECK_CLOSED, /* as posternd leaves it when it ends in order */
	SPOOL_CHECK_OPEN,   /* posternd runs, or was killed */
	SPOOL_CHECK_TORN,   /* the same, in the middle of a write that nobody was told of */
};

struct spool_check_totals {
	unsigned shard;
	uint64_t segments;
	uint64_t missing_segments;
	uint64_t file_bytes;
	uint64_t records;
	uint64_t places;
	uint64_t damaged_bytes;
	uint64_t living; /* whole, with recipients waiting; those of doubtful_messages too */
	uint64_t living_bytes;
	uint64_t waiting_recipients;
	uint64_t gone;		    /* whose records are still there */
	uint64_t damaged_messages;  /* SPOOL_CHECK_BODY */
	uint64_t lost_messages;	    /* SPOOL_CHECK_ENVELOPE */
	uint64_t doubtful_messages; /* SPOOL_CHECK_HISTORY */
	uint64_t moving; /* delivered, or written elsewhere, while we looked */
	enum spool_check_end end;
	struct spool_position end_at;
	uint64_t next_id; /* ids below may have been given out */
};
bool spool_check_found_damage(const struct spool_check_totals *totals);

/* Each may be NULL; what they get is borrowed. */
struct spool_check_events {
	void (*on_progress)(void *ctx, uint64_t bytes, uint64_t of_bytes);
	/* In order of number, each followed by its damaged places. */
	void (*on_segment)(void *ctx, const struct spool_check_segment *segment);
	void (*on_place)(void *ctx, const struct spool_check_place *place);
	void (*on_message)(void *ctx, const struct spool_check_message *message);
};

/* shard: what it should be, where no header can be read; disk NULL: the real one. NULL: the directory
 * cannot be read, or is of another version. */
struct spool_check *spool_check_new(struct spool_disk *disk, const char *directory, unsigned shard,
	const struct spool_check_events *events, void *ctx, struct err *err);
const struct spool_check_totals *spool_check_totals(const struct spool_check *check);
void spool_check_free(struct spool_check **check);

/* For spool_repair: the messages, to be read with spool_load; and whether all of one is there. */
struct spool *spool_check_spool(struct spool_check *check);
bool spool_check_is_whole(struct spool_check *check, const struct spool_message *message);

#endif
