/* sts_cache_file: the SQLite file behind sts_cache. Internal to this room.
 *
 * Promise: WAL, synchronous=FULL; every row carries a CRC over all of it: a row that changed on the
 *          disk is left out, never read as another policy.
 */
#ifndef POLICY_STS_STS_CACHE_FILE_H
#define POLICY_STS_STS_CACHE_FILE_H

#include "policy/sts/sts_cache.h"

struct sts_cache_file;

struct sts_cache_file_events {
	/* A good row; takes entry->policy. */
	void (*on_row)(void *ctx, const char *domain, const struct sts_cache_entry *entry);
	void (*on_warning)(void *ctx, const char *words);
};

/* For writing, rows read (a domain may come twice: the later counts). What is damaged is set aside,
 * after whatever could be read of it, and a new file begun. NULL: it can neither be read nor made. */
struct sts_cache_file *sts_cache_file_open(const char *path,
	const struct sts_cache_file_events *events, void *ctx, struct err *err);
/* The rows that came are not in the file: it is a new one. */
bool sts_cache_file_is_replaced(const struct sts_cache_file *file);
/* Rows only; creates and changes nothing, beside a running writer too. A missing file has none. */
void sts_cache_file_look(const char *path, const struct sts_cache_file_events *events, void *ctx);
/* Accepts NULL, sets NULL. */
void sts_cache_file_close(struct sts_cache_file **file);

/* One transaction. After -1 of any of them: sts_cache_file_undo. */
int sts_cache_file_begin(struct sts_cache_file *file, struct err *err);
int sts_cache_file_put(struct sts_cache_file *file, const char *domain,
	const struct sts_cache_entry *entry, struct err *err);
int sts_cache_file_remove(struct sts_cache_file *file, const char *domain, struct err *err);
int sts_cache_file_commit(struct sts_cache_file *file, struct err *err);
/* True: the file is damaged, was set aside, and an empty one is in its place. */
bool sts_cache_file_undo(struct sts_cache_file *file);

#endif
