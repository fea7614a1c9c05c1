/* sts_cache: policies that were fetched, on disk (SQLite), so that a restart forgets none.
 *
 * For:     sts. Times are wall clock; an entry lives fetched_s + max_age.
 * Promise: a damaged file is set aside (renamed to <path>.damaged-<time>) with a warning and a new one begun, never
 *          a crash; a row that does not parse is skipped, never taken as another policy; writes are
 *          synced (an enforce policy that was learned survives power loss); reads of hot entries
 *          come from memory.
 */
#ifndef POLICY_STS_STS_CACHE_H
#define POLICY_STS_STS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "policy/sts/sts_policy.h"
#include "policy/sts/sts_record.h"

struct sts_cache;

struct sts_cache_entry {
	char id[STS_ID_BYTES];	   /* of the TXT record it was fetched for; "" unknown */
	struct sts_policy *policy; /* NULL: never fetched well */
	int64_t fetched_s;	   /* last good fetch */
	int64_t failed_s;	   /* last failed fetch since; 0 none */
	char failed_id[STS_ID_BYTES]; /* for which id (M10: at least 5 min between tries for one id) */
	unsigned failures;	   /* in a row */
	char failure[160];	   /* words of the last */
	int64_t used_s;		   /* last asked: unused entries are not refreshed for ever */
};

enum sts_cache_mode { STS_CACHE_READ_WRITE, STS_CACHE_READ_ONLY };
/* path NULL: memory only. READ_ONLY (posternctl): a missing file is an empty cache. on_warning: one line. */
struct sts_cache *sts_cache_open(const char *path, enum sts_cache_mode mode, size_t entries_most,
	void (*on_warning)(void *ctx, const char *words), void *ctx, struct err *err);
void sts_cache_close(struct sts_cache **cache);
/* entry->policy is given as a reference (sts_policy_unref). False: unknown domain. */
bool sts_cache_get(struct sts_cache *cache, const char *domain, struct sts_cache_entry *ret);
/* Copies; shares the policy. Disk trouble is a warning: memory has it then. The policy whose
 * enforcement is live is never the one thrown out for room. */
void sts_cache_put(struct sts_cache *cache, const char *domain, const struct sts_cache_entry *entry);
/* The domains whose policy is live and due for refresh, oldest first: see sts.c. Returns how many. */
size_t sts_cache_due(struct sts_cache *cache, int64_t before_s, size_t most,
	void (*on_domain)(void *ctx, const char *domain), void *ctx);
size_t sts_cache_count(const struct sts_cache *cache);

#endif
