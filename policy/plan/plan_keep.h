/* plan_keep: plans by the question they answer, until they expire.
 *
 * For:     plan_service.
 * Promise: at most `most` plans of together PLAN_KEEP_BYTES_MOST (estimated) bytes: the longest
 *          unused goes first. A find costs one hash and no allocation. What has expired is not
 *          given but stays known until it must make room.
 */
#ifndef POLICY_PLAN_PLAN_KEEP_H
#define POLICY_PLAN_PLAN_KEEP_H

#include "libtlsio/base/str.h"
#include "policy/policy_plan.h"

enum { PLAN_KEEP_BYTES_MOST = 256 * 1024 * 1024 };

struct plan_keep;

struct plan_keep_time {
	int64_t time_s; /* wall clock: what plan->expires_s means */
	int64_t now_ms; /* monotonic: a wall clock set back must not make plans live longer */
};

struct plan_keep *plan_keep_new(size_t most);
void plan_keep_free(struct plan_keep **keep);
/* Borrowed; NULL: none, expired, or without evidence where that is wanted. */
struct policy_plan *plan_keep_find(struct plan_keep *keep, struct str key, bool wants_evidence,
	struct plan_keep_time now);
/* There was a plan lately, be it expired. */
bool plan_keep_knows(const struct plan_keep *keep, struct str key);
/* Shares plan; in the place of an older one. */
void plan_keep_put(struct plan_keep *keep, struct str key, struct policy_plan *plan,
	bool has_evidence, struct plan_keep_time now);
/* All plans whose next hop this is. */
void plan_keep_forget(struct plan_keep *keep, const char *next_hop);
void plan_keep_clear(struct plan_keep *keep);
size_t plan_keep_count(const struct plan_keep *keep);
/* The longest unused first; what is given is borrowed, and keep must not change meanwhile. */
void plan_keep_each(const struct plan_keep *keep,
	void (*on_plan)(void *ctx, struct str key, struct policy_plan *plan, bool has_evidence), void *ctx);

#endif
