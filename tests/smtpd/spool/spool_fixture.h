/* spool_fixture: a spool, a loop with virtual time, and a memory of what the spool said.
 *
 * For:     the spool's tests and its bench.
 */
#ifndef TESTS_SMTPD_SPOOL_SPOOL_FIXTURE_H
#define TESTS_SMTPD_SPOOL_SPOOL_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/spool/spool.h"
#include "smtpd/spool/spool_disk.h"

struct fixture;

struct fixture_done {
	struct fixture *f;
	uint64_t id;
	bool is_done;
	bool is_durable;
	struct err error;
};

struct fixture {
	struct tlsio_loop *loop;
	struct spool *spool;
	struct spool_settings settings;
	struct spool_disk *disk; /* NULL: the real one */
	char *directory;
	uint64_t *told; /* ids in order of on_message since the last open */
	size_t told_count;
	size_t troubles;
	struct err last_trouble;
	bool (*is_dead)(struct fixture *f); /* may be NULL; what is told then, nobody heard */
	void (*on_message)(struct fixture *f, const struct spool_envelope *envelope);
};

/* disk NULL: a new directory below $TMPDIR or /tmp. segment_bytes 0: 1 MiB. */
void fixture_begin(struct fixture *f, struct spool_disk *disk, uint64_t segment_bytes);
void fixture_end(struct fixture *f);
/* Open and replay. */
int fixture_open(struct fixture *f, struct err *err);
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);

/* Runs the loop until *flag, or with NULL until quiet for a virtual second. */
void fixture_wait(struct fixture *f, const bool *flag);
void fixture_pass_ms(struct fixture *f, int64_t ms);

/* Recognisable bytes: depend on seed and position. */
void fixture_fill(struct buf *ret, uint64_t seed, size_t length);
/* For spool_commit; ctx: struct fixture_done with f set. */
void fixture_on_done(void *ctx, uint64_t id, const struct err *error);
/* Begin, write, commit a message with such a body and so many recipients; does not wait. done is
 * filled in later. Its id, or 0 when the spool refused (done->error then). */
uint64_t fixture_send(struct fixture *f, uint64_t seed, size_t length, uint32_t recipients,
	struct fixture_done *done);
/* The same, and waits; asserts success. */
uint64_t fixture_send_durably(
	struct fixture *f, uint64_t seed, size_t length, uint32_t recipients);
/* Reads it and compares with what was sent. */
bool fixture_is_intact(struct fixture *f, uint64_t id, uint64_t seed, size_t length,
	uint32_t recipients, struct err *err);
void fixture_settle_one(struct fixture *f, uint64_t id, uint32_t recipient, uint8_t state);
void fixture_settle_all(struct fixture *f, uint64_t id, uint32_t recipients, uint8_t state);
bool fixture_was_told(const struct fixture *f, uint64_t id);
uint64_t fixture_count(const struct fixture *f);

#endif
