/* tlsrpt_file: the SQLite file behind tlsrpt_tally. Internal to this room, but for tlsrpt_file_look.
 *
 * Promise: WAL; a row carries a CRC over all of it: one that changed on the disk is left out, never
 *          read as other counts. A transaction that was committed survives kill -9; one of the last
 *          seconds may be lost with the machine's power (synchronous=NORMAL), the file is whole.
 */
#ifndef POLICY_TLSRPT_TLSRPT_FILE_H
#define POLICY_TLSRPT_TLSRPT_FILE_H

#include "libtlsio/base/err.h"
#include "policy/tlsrpt/tlsrpt_row.h"

struct tlsrpt_file;

struct tlsrpt_file_events {
	/* A good row of a damaged file; takes it. */
	void (*on_saved)(void *ctx, struct tlsrpt_row *row);
	void (*on_warning)(void *ctx, const char *words);
};

/* What is damaged is set aside, after whatever could be read of it, and a new file begun. NULL: it can
 * neither be read nor made. bytes_most: it grows no further. */
struct tlsrpt_file *tlsrpt_file_open(const char *path, uint64_t bytes_most,
	const struct tlsrpt_file_events *events, void *ctx, struct err *err);
/* Accepts NULL, sets NULL. */
void tlsrpt_file_close(struct tlsrpt_file **file);

/* 1: gives ret; 0: there is none, or none that is whole; -1: trouble. */
int tlsrpt_file_get(struct tlsrpt_file *file, const uint8_t id[TLSRPT_ROW_ID_BYTES],
	struct tlsrpt_row *ret);
/* Rows of a day. */
size_t tlsrpt_file_count(struct tlsrpt_file *file, int64_t day);
/* All of a domain, the days in order. The row is borrowed for the call. */
void tlsrpt_file_each(struct tlsrpt_file *file, const char *domain,
	void (*on_row)(void *ctx, const struct tlsrpt_row *row), void *ctx);

/* One transaction. After -1 of any of them: tlsrpt_file_undo. */
int tlsrpt_file_begin(struct tlsrpt_file *file, struct err *err);
int tlsrpt_file_put(struct tlsrpt_file *file, const uint8_t id[TLSRPT_ROW_ID_BYTES],
	const struct tlsrpt_row *row, struct err *err);
int tlsrpt_file_commit(struct tlsrpt_file *file, struct err *err);
/* Removes rows of days before `day`, `most` at once. True: there may be more. */
bool tlsrpt_file_prune(struct tlsrpt_file *file, int64_t day, size_t most);
/* The day after its first one; INT64_MIN: it is empty. */
int64_t tlsrpt_file_second_day(struct tlsrpt_file *file);
enum tlsrpt_file_undone { TLSRPT_FILE_TROUBLE, TLSRPT_FILE_FULL, TLSRPT_FILE_REPLACED };
/* REPLACED: it was damaged and set aside, and an empty one is in its place. */
enum tlsrpt_file_undone tlsrpt_file_undo(struct tlsrpt_file *file);

/* Rows, by day and domain, without making or changing anything, beside a running writer too. domain
 * NULL: all; day -1: all. A missing file has none. -1: it cannot be read. *ret_bad (may be NULL): how
 * many rows were damaged, and left out. */
int tlsrpt_file_look(const char *path, const char *domain, int64_t day,
	void (*on_row)(void *ctx, const struct tlsrpt_row *row), void *ctx, size_t *ret_bad,
	struct err *err);

#endif
