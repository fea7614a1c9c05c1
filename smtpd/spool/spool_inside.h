/* spool_inside: what the files of the spool share: the struct behind spool.h.
 *
 * For:     spool*.c of this room; nobody else.
 * Holds:   one shard: its log, its index, the commits on their way, the settles not yet on disk.
 */
#ifndef SMTPD_SPOOL_SPOOL_INSIDE_H
#define SMTPD_SPOOL_SPOOL_INSIDE_H

#include "libtlsio/base/arena.h"
#include "libtlsio/base/buf.h"
#include "libtlsio/base/list.h"
#include "smtpd/spool/spool.h"
#include "smtpd/spool/spool_disk.h"
#include "smtpd/spool/spool_helper.h"
#include "smtpd/spool/spool_index.h"
#include "smtpd/spool/spool_inventory.h"
#include "smtpd/spool/spool_log.h"
#include "smtpd/spool/spool_segment.h"

enum { SPOOL_TROUBLES_MOST = 4 };

/* A settle or done record of the write that is gathering, or one that a failed write lost. */
struct spool_change {
	uint8_t type;
	uint64_t id;
	uint64_t write;
	uint32_t first_segment; /* DONE: where commit records of the message are */
	uint32_t last_segment;
	struct spool_position at;	/* SETTLE: of this record */
	struct spool_position previous; /* SETTLE: what to go back to */
	uint32_t bytes;
	uint32_t previous_bytes;
	struct str deltas; /* owned */
};
struct spool_changes {
	struct spool_change *items;
	size_t count;
	size_t room;
};

struct spool {
	struct tlsio_loop *loop;
	const struct spool_settings *settings;
	struct spool_disk *disk;
	char *directory;
	unsigned shard;
	const struct spool_events *events;
	void *ctx;
	int lock_fd;
	struct spool_helper *helper;
	struct spool_segments segments;
	struct spool_log log;
	struct spool_index index;
	struct tlsio_turn turn;
	struct tlsio_timer tick; /* runs while something waits for its second */
	uint64_t next_id;

	struct list writers; /* open */
	struct list waiting; /* commits appended, not in a sync yet; in order */
	struct list syncing; /* commits in the sync under way */
	struct list failed;  /* commits to be told that they failed */
	uint64_t commits_running;
	uint64_t commits;

	struct spool_changes recent; /* of the write that is gathering */
	struct spool_changes lost;   /* to be written again */
	struct spool_compact *compact;

	uint32_t active_number; /* of the segment being written, as of the last turn */
	int64_t active_since_ms;
	bool is_next_prepared;
	bool is_replayed;
	bool is_broken; /* a sync failed */
	bool is_full;	/* free space below the minimum, as of space_checked_ms */
	bool has_no_segment; /* the last try to make one failed */
	bool is_stuck_told;
	unsigned pins;		/* spool_pin.c: while there are any, nothing is given back */
	bool is_review_put_off; /* until the next tick: spool_compact.c */
	int64_t space_checked_ms;
	struct err troubles[SPOOL_TROUBLES_MOST]; /* to be told at the end of this turn */
	unsigned trouble_count;
};

/* ---- spool.c --------------------------------------------------------------------------------- */

/* Told from the loop, at the end of this turn. */
void spool_tell_trouble(struct spool *spool, const struct err *err);
/* Something must happen at the end of this turn. */
void spool_request_turn(struct spool *spool);
int spool_may_accept(struct spool *spool, bool is_report, struct err *err);
/* Raises what headers and marks promise, well before it is reached. */
uint64_t spool_new_id(struct spool *spool);
/* After recovery: the log begins in a new segment. */
void spool_start_log(struct spool *spool, bool is_new);

/* ---- spool_writer.c -------------------------------------------------------------------------- */

struct spool_commit {
	struct list link;
	uint64_t id;
	uint64_t size_bytes;
	uint64_t write;
	struct spool_position at;
	uint32_t record_bytes;
	struct buf envelope;
	struct spool_extents extents; /* held */
	void (*on_done)(void *ctx, uint64_t id, const struct err *error);
	void *ctx;
	struct err error;
};
/* Writers and commits with records in this write fail. */
void spool_writer_lose(struct spool *spool, uint64_t write, const struct err *error);
/* All commits on these lists go to `failed`. */
void spool_writer_fail_commits(struct spool *spool, struct list *commits, const struct err *error);
/* Those of the sync that ended well become messages; callers are told. */
void spool_writer_finish_commits(struct spool *spool);
void spool_writer_tell_failed(struct spool *spool);
void spool_commit_free(struct spool *spool, struct spool_commit *commit);

/* ---- spool_change.c -------------------------------------------------------------------------- */

void spool_change_lose(struct spool *spool, uint64_t write);
/* Writes lost changes again, as far as it goes. */
void spool_change_retry(struct spool *spool);
void spool_change_clear(struct spool_changes *changes);
/* Appends a DONE record for a message that has left the index. */
void spool_change_done(
	struct spool *spool, uint64_t id, uint32_t first_segment, uint32_t last_segment);
/* Message leaves the index; what it needed is needed no more. */
void spool_change_bury(struct spool *spool, struct spool_message *message);

/* ---- spool_replay.c -------------------------------------------------------------------------- */

struct spool_hole {
	uint32_t segment;
	uint32_t from;
	uint32_t to;
};
/* What the records of the log, read in order, come to, besides the index. */
struct spool_replaying {
	struct spool *spool;
	struct spool_hole *holes;
	size_t hole_count;
	struct spool_inventory inventory;
	struct arena arena;
};
/* Troubles are told by the spool's event. */
void spool_replay_record(struct spool_replaying *replaying, struct spool_position at,
	const struct spool_scan_found *found);
void spool_replay_clear(struct spool_replaying *replaying);

/* ---- spool_load.c ---------------------------------------------------------------------------- */

struct spool_loaded {
	struct arena arena;
	struct buf record; /* the commit record; the envelope's texts are in it */
	struct spool_envelope envelope;
	struct spool_commit_head head;
	struct str chunks;
};
/* The envelope of a message as of now, and where its body is. */
int spool_load(struct spool *spool, const struct spool_message *message, struct spool_loaded *ret,
	struct err *err);
void spool_loaded_clear(struct spool_loaded *loaded);
/* A record's payload, checked, from ret's start + SPOOL_RECORD_HEADER_BYTES. */
int spool_load_record(struct spool *spool, struct spool_position at, uint32_t bytes, uint8_t type,
	uint64_t id, struct buf *ret, struct err *err);

/* ---- spool_compact.c ------------------------------------------------------------------------- */

struct spool_compact *spool_compact_new(struct spool *spool);
void spool_compact_free(struct spool_compact **compact);
/* Gives back what is dead and durably so; chooses what to empty. At the end of a turn. */
void spool_compact_review(struct spool *spool);
void spool_compact_lose(struct spool *spool, uint64_t write);
/* This message has many settle records: write it anew with one. */
void spool_compact_fold(struct spool *spool, uint64_t id);

#endif
