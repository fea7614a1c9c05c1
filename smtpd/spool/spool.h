/* spool: accepted mail, durable. One spool = one shard = one directory, one process at a time.
 *
 * For:     session and dsn put mail in; relay reads it; sched is told of it; control looks.
 * Holds:   append-only segments of records, an index in memory (not the envelopes), one thread
 *          that calls fdatasync.
 * Promise: on_done(NULL error) only after the message survives power loss; order of commits kept;
 *          an id never returns; a message body is never whole in memory (pieces of 64 KiB);
 *          nothing half-written is ever seen by on_message or a reader.
 * Errors:  full disk or I/O error fails that message (452/451 for the client) and is told by
 *          on_trouble; a failed fdatasync fails the whole batch and the spool stops accepting
 *          until restarted (the kernel may have dropped the pages).
 * See:     README.md "Life of a message"
 */
#ifndef SMTPD_SPOOL_SPOOL_H
#define SMTPD_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/spool/spool_envelope.h"
#include "smtpd/spool/spool_settings.h"

struct spool;
struct spool_disk; /* spool_disk.h: every disk call; tests give one that fails or loses power */

struct spool_events {
	/* A message is durable and has open recipients, waiting or held: at replay (spool_replay) and after each
	 * commit, before its on_done. The envelope is borrowed for the call. */
	void (*on_message)(void *ctx, const struct spool_envelope *envelope);
	/* Something an operator must read: damage found at replay, full disk, failed sync. */
	void (*on_trouble)(void *ctx, const struct err *err);
};

/* Opens (and makes) the directory, takes its lock. disk NULL = the real one. settings borrowed.
 * shard: 0..255, becomes part of every id, so that ids of two shards never collide. */
struct spool *spool_open(struct tlsio_loop *loop, const char *directory, unsigned shard,
	const struct spool_settings *settings, struct spool_disk *disk,
	const struct spool_events *events, void *ctx, struct err *err);
/* Reads all segments and calls on_message for what is still to be delivered. Once, after open.
 * -1 only where the directory cannot be used at all; damaged records are reported and skipped. */
int spool_replay(struct spool *spool, struct err *err);
/* Waits for syncs under way, then frees. Writers and readers must be gone. */
void spool_close(struct spool **spool);

/* ---- a message comes in ---------------------------------------------------------------------- */

struct spool_writer;

/* NULL when the spool does not accept now: ERR_LIMIT (disk or queue full) or ERR_SYSTEM. */
struct spool_writer *spool_begin(struct spool *spool, struct err *err);
/* For a report about a message in this spool, whose place it takes: also when the queue is full, or
 * a queue full of what cannot be delivered would stay so. */
struct spool_writer *spool_begin_report(struct spool *spool, struct err *err);
uint64_t spool_writer_id(const struct spool_writer *w);
/* Bytes of header and body, CRLF lines, not dot-stuffed. On error the writer stays to be abandoned. */
int spool_write(struct spool_writer *w, struct str bytes, struct err *err);
/* Takes the writer. on_done comes later from the loop: error NULL = durable. envelope borrowed for
 * the call; its id and size_bytes are ignored. */
void spool_commit(struct spool_writer **w, const struct spool_envelope *envelope,
	void (*on_done)(void *ctx, uint64_t id, const struct err *error), void *ctx);
/* on_done of a running commit must not be called any more (its session went away); the message
 * may still become durable, which SMTP allows (the client got no answer). */
void spool_forget_caller(struct spool *spool, void *ctx);
/* Accepts NULL, sets NULL; nothing of the message remains. */
void spool_abandon(struct spool_writer **w);

/* ---- a message goes out ---------------------------------------------------------------------- */

struct spool_reader;

/* NULL when the id is unknown (ERR_INPUT) or its records are damaged (ERR_SYSTEM). */
struct spool_reader *spool_read(struct spool *spool, uint64_t id, struct err *err);
/* With the state of every recipient as of now. Lives as long as the reader. */
const struct spool_envelope *spool_reader_envelope(const struct spool_reader *r);
/* The next piece of header and body (at most 64 KiB), checksum verified; empty at the end. Valid
 * until the next call on r. */
int spool_reader_next(struct spool_reader *r, struct str *ret_piece, struct err *err);
void spool_reader_rewind(struct spool_reader *r);
void spool_reader_free(struct spool_reader **r);

struct spool_outcome {
	uint32_t recipient; /* index in the envelope */
	uint8_t state;	    /* enum spool_recipient_state */
	uint16_t attempts;
	int64_t due_s;	   /* WAITING: when to try again */
	struct str reason; /* at most 500 bytes are kept */
	uint8_t cause;	   /* enum spool_cause */
	uint8_t told;	   /* SPOOL_TOLD_*; say again what was told before */
	struct str via;	   /* say it again as long as it holds; at most 300 bytes */
};
/* Record outcomes: each replaces all that was known of its recipient. Written in this turn (a killed process loses nothing), synced with the next
 * batch or within a second. With no recipient waiting any more the message is gone. Unknown ids
 * are ignored. */
void spool_settle(struct spool *spool, uint64_t id, const struct spool_outcome *outcomes,
	size_t count);

/* ---- a copy while it runs -------------------------------------------------------------------- */

struct spool_pinned_segment {
	uint32_t number;
	uint32_t end; /* bytes of it that count */
};
struct spool_pinned {
	const char *directory;
	unsigned shard;
	uint64_t next_id; /* ids below it may have been given out */
	struct spool_pinned_segment *segments; /* in order: all that is acknowledged is in them */
	size_t count;
	bool is_open; /* the log goes on behind the end of the last one */
};
struct spool_pin;
/* From now until spool_unpin no segment is given back or used again: the bytes told stay as they are.
 * NULL: the disk is full, or has failed. The spool must outlive the pin. */
struct spool_pin *spool_pin(struct spool *spool, struct err *err);
/* As of the moment it was made. */
const struct spool_pinned *spool_pin_look(const struct spool_pin *pin);
/* The spool needs the room: give up. */
bool spool_pin_is_in_the_way(const struct spool_pin *pin);
void spool_unpin(struct spool_pin **pin);

/* ---- looking ---------------------------------------------------------------------------------- */

struct spool_summary {
	uint64_t messages;	/* with open recipients */
	uint64_t message_bytes;
	uint64_t segments;	/* files in use */
	uint64_t segment_bytes; /* disk they take, and those kept free for next use */
	uint64_t commits;	/* since open */
	uint64_t syncs;		/* since open */
	bool is_accepting;
};
void spool_summarise(const struct spool *spool, struct spool_summary *ret);

/* Ids in order of acceptance: the first after `after` (0 = from the start); 0 = no more. */
uint64_t spool_next_id(const struct spool *spool, uint64_t after);

#endif
