#include "policy/plan/plan_keep.h"

#include <stdlib.h>
#include <strings.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { NEXT_HOPS = 8192 }; /* buckets, for plan_keep_forget */

struct kept {
	UT_hash_handle hh;
	struct list by_use;
	struct list by_next_hop;
	struct policy_plan *plan;
	bool has_evidence;
	int64_t expires_ms;
	size_t bytes;
	size_t key_bytes;
	char key[];
};

struct plan_keep {
	struct kept *plans;
	struct list by_use; /* the longest unused first */
	struct list next_hops[NEXT_HOPS];
	size_t most;
	size_t bytes;
};

struct plan_keep *plan_keep_new(size_t most)
{
	struct plan_keep *keep = mem_zero(sizeof(*keep));
	keep->most = most;
	list_init(&keep->by_use);
	for (size_t i = 0; i < NEXT_HOPS; i++)
		list_init(&keep->next_hops[i]);
	return keep;
}

static struct list *bucket_of(struct plan_keep *keep, const char *next_hop)
{
	unsigned long hash = 5381;
	for (const char *c = next_hop; *c; c++)
		hash = hash * 33 + (unsigned char)str_lower(*c);
	return &keep->next_hops[hash % NEXT_HOPS];
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) + 17 : 0;
}

static size_t whole_bytes(const struct policy_plan_whole *w)
{
	size_t bytes = w ? sizeof(*w) + text_bytes(w->sts_text) : 0;
	for (size_t i = 0; w && i < w->sts_mx_count; i++)
		bytes += text_bytes(w->sts_mx[i]) + sizeof(*w->sts_mx);
	return bytes;
}

/* Requirements are mostly shared with the rule; their records are not. */
static size_t bytes_of(const struct policy_plan *plan)
{
	size_t bytes = sizeof(*plan) + 2 * sizeof(struct kept) + text_bytes(plan->text) +
		whole_bytes(plan->whole);
	for (size_t i = 0; i < plan->host_count; i++) {
		const struct policy_plan_host *h = &plan->hosts[i];
		bytes += sizeof(*h) + text_bytes(h->name) + text_bytes(h->text) +
			h->address_count * sizeof(*h->addresses);
		if (!h->requirement)
			continue;
		for (size_t j = 0; j < h->requirement->tlsa_count; j++)
			bytes += h->requirement->tlsa[j].data.length + sizeof(struct policy_tlsa) + 16;
	}
	for (size_t i = 0; i < plan->evidence_count; i++) {
		const struct policy_evidence *e = &plan->evidence[i];
		bytes += sizeof(*e) + text_bytes(e->subject) + text_bytes(e->verdict) +
			text_bytes(e->text);
	}
	return bytes;
}

static void drop(struct plan_keep *keep, struct kept *k)
{
	HASH_DEL(keep->plans, k);
	list_remove(&k->by_use);
	list_remove(&k->by_next_hop);
	keep->bytes -= k->bytes;
	policy_plan_unref(&k->plan);
	free(k);
}

void plan_keep_clear(struct plan_keep *keep)
{
	struct list *node;
	while ((node = list_first(&keep->by_use)))
		drop(keep, LIST_OWNER(node, struct kept, by_use));
}

void plan_keep_free(struct plan_keep **pkeep)
{
	struct plan_keep *keep = *pkeep;
	*pkeep = NULL;
	if (!keep)
		return;
	plan_keep_clear(keep);
	free(keep);
}

static struct kept *find(const struct plan_keep *keep, struct str key)
{
	struct kept *k;
	HASH_FIND(hh, keep->plans, key.at, key.length, k);
	return k;
}

struct policy_plan *plan_keep_find(struct plan_keep *keep, struct str key, bool wants_evidence,
	struct plan_keep_time now)
{
	struct kept *k = find(keep, key);
	if (!k || (wants_evidence && !k->has_evidence) || now.time_s >= k->plan->expires_s ||
		now.now_ms >= k->expires_ms)
		return NULL;
	list_remove(&k->by_use);
	list_push_back(&keep->by_use, &k->by_use);
	return k->plan;
}

bool plan_keep_knows(const struct plan_keep *keep, struct str key)
{
	return find(keep, key) != NULL;
}

void plan_keep_put(struct plan_keep *keep, struct str key, struct policy_plan *plan,
	bool has_evidence, struct plan_keep_time now)
{
	struct kept *old = find(keep, key);
	if (old)
		drop(keep, old);
	if (now.time_s >= plan->expires_s)
		return;
	struct kept *k = mem_zero(sizeof(*k) + key.length);
	k->plan = policy_plan_ref(plan);
	k->has_evidence = has_evidence;
	k->expires_ms = now.now_ms + (plan->expires_s - now.time_s) * 1000;
	k->bytes = bytes_of(plan) + key.length;
	k->key_bytes = key.length;
	memcpy(k->key, key.at, key.length);
	HASH_ADD_KEYPTR(hh, keep->plans, k->key, k->key_bytes, k);
	list_push_back(&keep->by_use, &k->by_use);
	list_push_back(bucket_of(keep, plan->next_hop), &k->by_next_hop);
	keep->bytes += k->bytes;
	while (HASH_COUNT(keep->plans) > keep->most || keep->bytes > PLAN_KEEP_BYTES_MOST)
		drop(keep, LIST_OWNER(list_first(&keep->by_use), struct kept, by_use));
}

void plan_keep_forget(struct plan_keep *keep, const char *next_hop)
{
	LIST_EACH_SAFE (node, bucket_of(keep, next_hop)) {
		struct kept *k = LIST_OWNER(node, struct kept, by_next_hop);
		if (strcasecmp(k->plan->next_hop, next_hop) == 0)
			drop(keep, k);
	}
}

size_t plan_keep_count(const struct plan_keep *keep)
{
	return HASH_COUNT(keep->plans);
}

void plan_keep_each(const struct plan_keep *keep,
	void (*on_plan)(void *ctx, struct str key, struct policy_plan *plan, bool has_evidence), void *ctx)
{
	LIST_EACH_SAFE (node, &keep->by_use) {
		const struct kept *k = LIST_OWNER(node, struct kept, by_use);
		on_plan(ctx, str_from(k->key, k->key_bytes), k->plan, k->has_evidence);
	}
}
