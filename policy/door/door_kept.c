#include "policy/door/door_kept.h"

#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	struct list link;
	struct policy_plan *plan;
	size_t bytes;
	int64_t until_ms;
	char key[];
};

struct door_kept {
	struct entry *by_key;
	struct list by_use; /* the longest unused first */
	size_t count, bytes;
	size_t plans_most, bytes_most;
};

struct door_kept *door_kept_new(size_t plans_most, size_t bytes_most)
{
	struct door_kept *kept = mem_zero(sizeof(*kept));
	list_init(&kept->by_use);
	kept->plans_most = plans_most;
	kept->bytes_most = bytes_most;
	return kept;
}

static void drop(struct door_kept *kept, struct entry *e)
{
	HASH_DEL(kept->by_key, e);
	list_remove(&e->link);
	kept->count--;
	kept->bytes -= e->bytes;
	policy_plan_unref(&e->plan);
	free(e);
}

void door_kept_clear(struct door_kept *kept)
{
	while (!list_is_empty(&kept->by_use))
		drop(kept, LIST_OWNER(list_first(&kept->by_use), struct entry, link));
}

void door_kept_free(struct door_kept **kept)
{
	if (!*kept)
		return;
	door_kept_clear(*kept);
	free(*kept);
	*kept = NULL;
}

struct policy_plan *door_kept_find(struct door_kept *kept, struct str key, int64_t now_s,
	int64_t now_ms)
{
	struct entry *e;
	HASH_FIND(hh, kept->by_key, key.at, key.length, e);
	if (!e)
		return NULL;
	if (e->plan->expires_s <= now_s || e->until_ms <= now_ms) {
		drop(kept, e);
		return NULL;
	}
	list_remove(&e->link);
	list_push_back(&kept->by_use, &e->link);
	return e->plan;
}

void door_kept_put(struct door_kept *kept, struct str key, struct policy_plan *plan,
	size_t frame_bytes, int64_t now_s, int64_t now_ms)
{
	struct entry *e;
	size_t bytes = frame_bytes + key.length;
	HASH_FIND(hh, kept->by_key, key.at, key.length, e);
	if (e)
		drop(kept, e);
	int64_t left_s = plan->expires_s - now_s;
	if (plan->expires_s <= now_s || bytes > kept->bytes_most)
		return;
	while (kept->count && (kept->count >= kept->plans_most || kept->bytes + bytes > kept->bytes_most))
		drop(kept, LIST_OWNER(list_first(&kept->by_use), struct entry, link));
	e = mem_zero(sizeof(*e) + key.length);
	memcpy(e->key, key.at, key.length);
	e->plan = policy_plan_ref(plan);
	e->bytes = bytes;
	e->until_ms = left_s < INT64_MAX / 2000 ? now_ms + left_s * 1000 : INT64_MAX;
	HASH_ADD_KEYPTR(hh, kept->by_key, e->key, key.length, e);
	list_push_back(&kept->by_use, &e->link);
	kept->count++;
	kept->bytes += bytes;
}
