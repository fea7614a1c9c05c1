/* sts_cache: policies that were fetched, on disk (SQLite), so that a restart forgets none.
 *
 * For:     sts. Times are wall clock; an entry lives fetched_s + max_age.
 * Promise: a damaged file is set aside (renamed to <path>.damaged-<time>) with a warning and a new one begun, never
 *          a crash; a row that does not parse is skipped, never taken as another policy; writes are
 *          synced (an enforce policy that was learned survives power loss); reads never touch the
 *          disk: all rows are in memory from the start, within entries_most.
 * Costs:   SQLite calls block the loop. Opening reads and checks the whole file (100,000 policies:
 *          a second or so, once). sts_cache_flush is one transaction, one fsync of the log: what
 *          one fsync costs here, a fraction of a millisecond to some 20 ms; now and then a
 *          checkpoint of at most 4 MiB more. Nothing else waits for the disk.
 */
#ifndef POLICY_STS_STS_CACHE_H
#define POLICY_STS_STS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "policy/policy_judge.h"
#include "policy/sts/sts_policy.h"
#include "policy/sts/sts_record.h"

struct sts_cache;

struct sts_cache_entry {
	char id[STS_ID_BYTES];	   /* of the TXT record it was fetched for; "" unknown */
	struct sts_policy *policy; /* NULL: never fetched well */
	int64_t fetched_s;	   /* last good fetch */
	int64_t failed_s;	   /* last failed fetch since; 0 none */
	char failed_id[STS_ID_BYTES]; /* for which id (M10: at least 5 min between tries for one id) */
	unsigned failures;	   /* in a row, for that id */
	enum policy_reason failure_reason; /* of the last; NONE: no trouble */
	char failure[160];	   /* its words */
	int64_t used_s;		   /* last asked: unused entries are not refreshed for ever */
};

enum { STS_CACHE_UNUSED_S = 30 * 86400 };

/* Is its policy in force at this moment? Through the last second of max_age; a clock that was set
 * back never ends it. */
bool sts_cache_is_live(const struct sts_cache_entry *entry, int64_t now_s);
/* No try for failed_id before this (RFC 8461 3.3, M10): 5 min, growing to 1 h. */
int64_t sts_cache_retry_s(const struct sts_cache_entry *entry);
/* When its policy is to be fetched again by itself: at the domain's own time of day, at least 12
 * hours after the last fetch, or earlier where it would run out. INT64_MAX: never. */
int64_t sts_cache_refresh_s(const char *domain, const struct sts_cache_entry *entry);

enum sts_cache_mode { STS_CACHE_READ_WRITE, STS_CACHE_READ_ONLY };
/* path NULL: memory only. READ_ONLY (posternctl): a missing file is an empty cache, and the file is
 * only looked at now: what is put stays in memory. on_warning: one line. */
struct sts_cache *sts_cache_open(const char *path, enum sts_cache_mode mode, size_t entries_most,
	void (*on_warning)(void *ctx, const char *words), void *ctx, struct err *err);
/* Flushes. Accepts NULL, sets NULL. */
void sts_cache_close(struct sts_cache **cache);
/* entry->policy is given as a reference (sts_policy_unref). False: unknown domain. */
bool sts_cache_get(struct sts_cache *cache, const char *domain, struct sts_cache_entry *ret);
/* Copies; shares the policy. In memory at once, on disk with sts_cache_flush. The policy whose
 * enforcement is live is never the one thrown out for room: where only such are left, a new domain
 * is not kept, with a warning. */
void sts_cache_put(struct sts_cache *cache, const char *domain, const struct sts_cache_entry *entry);
/* Writes what was put since, in one transaction; for the end of a turn. Disk trouble is a warning:
 * memory has it, and the next flush tries again. Costs all that waits, and up to 0.1 s where somebody
 * else holds the file: after a false (not all is on the disk) let some time pass. */
bool sts_cache_flush(struct sts_cache *cache);
/* The domains with a live policy used within STS_CACHE_UNUSED_S that are due for refresh, those due
 * longest first. Returns how many. */
size_t sts_cache_due(struct sts_cache *cache, int64_t now_s, size_t most,
	void (*on_domain)(void *ctx, const char *domain), void *ctx);
size_t sts_cache_count(const struct sts_cache *cache);

#endif
