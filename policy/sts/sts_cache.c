#include "policy/sts/sts_cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "policy/sts/sts_cache_file.h"

#define DAY_S INT64_C(86400)
#define HOUR_S INT64_C(3600)

enum { RETRY_FIRST_S = 300, RETRY_MOST_S = 3600, ROOM_PART = 16 };

struct row {
	UT_hash_handle hh;
	char *domain;
	struct sts_cache_entry entry;
	struct list dirty; /* on cache->dirty: to be written */
	bool is_gone;	   /* no longer in the map: to be removed from the file */
};

struct sts_cache {
	struct row *rows;
	size_t entries_most;
	struct sts_cache_file *file; /* NULL: memory only */
	struct list dirty;
	bool is_in_trouble; /* said already */
	bool is_full;	    /* said already */
	void (*on_warning)(void *ctx, const char *words);
	void *ctx;
};

/* --- times --------------------------------------------------------------------------------------- */

bool sts_cache_is_live(const struct sts_cache_entry *entry, int64_t now_s)
{
	return entry->policy && now_s <= entry->fetched_s + entry->policy->max_age_s;
}

int64_t sts_cache_retry_s(const struct sts_cache_entry *entry)
{
	int64_t wait_s = RETRY_FIRST_S;
	if (entry->failures == 0)
		return 0;
	for (unsigned i = 1; i < entry->failures && wait_s < RETRY_MOST_S; i++)
		wait_s *= 2;
	return entry->failed_s + (wait_s < RETRY_MOST_S ? wait_s : RETRY_MOST_S);
}

int64_t sts_cache_refresh_s(const char *domain, const struct sts_cache_entry *entry)
{
	if (!entry->policy)
		return INT64_MAX;
	int64_t age_s = entry->policy->max_age_s;
	int64_t earliest_s = entry->fetched_s + DAY_S / 2;
	int64_t slot_s = codec_crc32c(0, domain, strlen(domain)) % DAY_S;
	int64_t due_s = earliest_s - earliest_s % DAY_S + slot_s;
	if (due_s < earliest_s)
		due_s += DAY_S;
	/* What does not live so long is fetched while it still does; what lives shorter than some
	 * hours only when mail asks for it. */
	if (due_s > entry->fetched_s + age_s) {
		if (age_s < 6 * HOUR_S)
			return INT64_MAX;
		due_s = entry->fetched_s + age_s * 3 / 4;
	}
	int64_t retry_s = sts_cache_retry_s(entry);
	return due_s > retry_s ? due_s : retry_s;
}

/* --- the map ------------------------------------------------------------------------------------- */

static struct row *find(const struct sts_cache *cache, const char *domain)
{
	struct row *row;
	HASH_FIND_STR(cache->rows, domain, row);
	return row;
}

static struct row *add(struct sts_cache *cache, const char *domain)
{
	struct row *row = mem_zero(sizeof(*row));
	row->domain = mem_dup(domain);
	HASH_ADD_KEYPTR(hh, cache->rows, row->domain, strlen(row->domain), row);
	return row;
}

static void free_row(struct row *row)
{
	list_remove(&row->dirty);
	sts_policy_unref(&row->entry.policy);
	free(row->domain);
	free(row);
}

static void mark_dirty(struct sts_cache *cache, struct row *row)
{
	if (cache->file && !list_is_linked(&row->dirty))
		list_push_back(&cache->dirty, &row->dirty);
}

static void take_out(struct sts_cache *cache, struct row *row)
{
	HASH_DEL(cache->rows, row);
	if (!cache->file) {
		free_row(row);
		return;
	}
	row->is_gone = true;
	mark_dirty(cache, row);
}

/* What is missed least goes first: no policy at all, run out, live but enforcing nothing. */
enum { NEVER = 3 };
static int worth(const struct sts_cache_entry *e, int64_t now_s)
{
	if (!e->policy)
		return 0;
	if (!sts_cache_is_live(e, now_s))
		return 1;
	return e->policy->mode == POLICY_STS_ENFORCE ? NEVER : 2;
}

struct candidate {
	struct row *row;
	int worth;
};

static int by_worth(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int64_t used_x = x->row->entry.used_s, used_y = y->row->entry.used_s;
	if (x->worth != y->worth)
		return x->worth < y->worth ? -1 : 1;
	return used_x < used_y ? -1 : used_x > used_y;
}

/* Throws some out, many at once since it looks at all of them. False: there is nothing to throw. */
static bool make_room(struct sts_cache *cache, int64_t now_s)
{
	size_t count = HASH_COUNT(cache->rows), candidates = 0;
	struct candidate *all = mem_array(count, sizeof(*all));
	struct row *row, *next;
	HASH_ITER (hh, cache->rows, row, next) {
		int w = worth(&row->entry, now_s);
		if (w != NEVER)
			all[candidates++] = (struct candidate){ row, w };
	}
	qsort(all, candidates, sizeof(*all), by_worth);
	size_t too_many = count - cache->entries_most + 1 + cache->entries_most / ROOM_PART;
	for (size_t i = 0; i < candidates && i < too_many; i++)
		take_out(cache, all[i].row);
	free(all);
	return candidates > 0;
}

static int64_t latest_s(const struct sts_cache_entry *e)
{
	int64_t latest = e->fetched_s > e->failed_s ? e->fetched_s : e->failed_s;
	return latest > e->used_s ? latest : e->used_s;
}

static void warn_full(struct sts_cache *cache)
{
	char words[200];
	if (cache->is_full)
		return;
	cache->is_full = true;
	snprintf(words, sizeof(words),
		"the MTA-STS cache is full: all of its %zu policies are enforced; new ones are not "
		"kept until some run out; raise cache-entries",
		cache->entries_most);
	cache->on_warning(cache->ctx, words);
}

/* --- the door ------------------------------------------------------------------------------------ */

static void no_warning(void *ctx, const char *words)
{
	(void)ctx;
	(void)words;
}

static void on_row(void *ctx, const char *domain, const struct sts_cache_entry *entry)
{
	struct sts_cache *cache = ctx;
	struct row *row = find(cache, domain);
	if (!row)
		row = add(cache, domain);
	sts_policy_unref(&row->entry.policy);
	row->entry = *entry;
}

static void on_file_warning(void *ctx, const char *words)
{
	struct sts_cache *cache = ctx;
	cache->on_warning(cache->ctx, words);
}

static void mark_all_dirty(struct sts_cache *cache)
{
	struct row *row, *next;
	HASH_ITER (hh, cache->rows, row, next)
		mark_dirty(cache, row);
}

struct sts_cache *sts_cache_open(const char *path, enum sts_cache_mode mode, size_t entries_most,
	void (*on_warning)(void *ctx, const char *words), void *ctx, struct err *err)
{
	static const struct sts_cache_file_events events = { on_row, on_file_warning };
	struct sts_cache *cache = mem_zero(sizeof(*cache));
	cache->entries_most = entries_most;
	cache->on_warning = on_warning ? on_warning : no_warning;
	cache->ctx = ctx;
	list_init(&cache->dirty);
	if (path && mode == STS_CACHE_READ_ONLY) {
		sts_cache_file_look(path, &events, cache);
	} else if (path) {
		cache->file = sts_cache_file_open(path, &events, cache, err);
		if (!cache->file) {
			sts_cache_close(&cache);
			return NULL;
		}
		if (sts_cache_file_is_replaced(cache->file))
			mark_all_dirty(cache);
	}
	/* The limit was lowered. What it throws out counts as of the newest thing that was noted. */
	if (HASH_COUNT(cache->rows) > entries_most) {
		int64_t now_s = 0;
		struct row *row, *next;
		HASH_ITER (hh, cache->rows, row, next)
			if (latest_s(&row->entry) > now_s)
				now_s = latest_s(&row->entry);
		make_room(cache, now_s);
	}
	return cache;
}

void sts_cache_close(struct sts_cache **pcache)
{
	struct sts_cache *cache = *pcache;
	struct row *row, *next;
	*pcache = NULL;
	if (!cache)
		return;
	sts_cache_flush(cache);
	sts_cache_file_close(&cache->file);
	LIST_EACH_SAFE (node, &cache->dirty) {
		row = LIST_OWNER(node, struct row, dirty);
		if (row->is_gone)
			free_row(row);
	}
	HASH_ITER (hh, cache->rows, row, next) {
		HASH_DEL(cache->rows, row);
		free_row(row);
	}
	free(cache);
}

bool sts_cache_get(struct sts_cache *cache, const char *domain, struct sts_cache_entry *ret)
{
	const struct row *row = find(cache, domain);
	if (!row)
		return false;
	*ret = row->entry;
	if (ret->policy)
		sts_policy_ref(ret->policy);
	return true;
}

void sts_cache_put(struct sts_cache *cache, const char *domain, const struct sts_cache_entry *entry)
{
	struct row *row = find(cache, domain);
	struct sts_policy *old = row ? row->entry.policy : NULL;
	if (!row && HASH_COUNT(cache->rows) >= cache->entries_most &&
		!make_room(cache, latest_s(entry))) {
		warn_full(cache);
		return;
	}
	cache->is_full = cache->is_full && row;
	if (!row)
		row = add(cache, domain);
	row->entry = *entry;
	if (entry->policy)
		sts_policy_ref(entry->policy);
	sts_policy_unref(&old);
	mark_dirty(cache, row);
}

/* Removals first: a domain that came back is among the others. */
static int write_all(struct sts_cache *cache, struct err *err)
{
	if (sts_cache_file_begin(cache->file, err) < 0)
		return -1;
	for (int is_gone = 1; is_gone >= 0; is_gone--) {
		LIST_EACH (node, &cache->dirty) {
			struct row *row = LIST_OWNER(node, struct row, dirty);
			if (row->is_gone != is_gone)
				continue;
			if ((is_gone ? sts_cache_file_remove(cache->file, row->domain, err)
				     : sts_cache_file_put(cache->file, row->domain, &row->entry,
					       err)) < 0)
				return -1;
		}
	}
	return sts_cache_file_commit(cache->file, err);
}

bool sts_cache_flush(struct sts_cache *cache)
{
	struct err err = { 0 };
	if (!cache->file || list_is_empty(&cache->dirty))
		return true;
	int result = write_all(cache, &err);
	if (result < 0 && sts_cache_file_undo(cache->file)) {
		mark_all_dirty(cache);
		result = write_all(cache, &err);
		if (result < 0)
			sts_cache_file_undo(cache->file);
	}
	if (result < 0) {
		if (!cache->is_in_trouble)
			cache->on_warning(cache->ctx, err.text);
		cache->is_in_trouble = true;
		return false;
	}
	cache->is_in_trouble = false;
	LIST_EACH_SAFE (node, &cache->dirty) {
		struct row *row = LIST_OWNER(node, struct row, dirty);
		list_remove(node);
		if (row->is_gone)
			free_row(row);
	}
	return true;
}

/* --- what is due --------------------------------------------------------------------------------- */

struct due {
	const struct row *row;
	int64_t due_s;
};

static int by_due(const void *a, const void *b)
{
	const struct due *x = a, *y = b;
	return x->due_s < y->due_s ? -1 : x->due_s > y->due_s;
}

static bool is_due(const struct row *row, int64_t now_s, int64_t *ret_due_s)
{
	const struct sts_cache_entry *e = &row->entry;
	*ret_due_s = sts_cache_refresh_s(row->domain, e);
	/* Fetched tomorrow? The clock was set back: its times mean little now. */
	bool has_failed_lately = e->failed_s <= now_s && e->failed_s + RETRY_MOST_S >= now_s;
	if (e->policy && e->fetched_s > now_s + HOUR_S && !has_failed_lately)
		*ret_due_s = now_s;
	return *ret_due_s <= now_s && sts_cache_is_live(e, now_s) &&
		e->used_s + STS_CACHE_UNUSED_S >= now_s;
}

size_t sts_cache_due(struct sts_cache *cache, int64_t now_s, size_t most,
	void (*on_domain)(void *ctx, const char *domain), void *ctx)
{
	size_t count = 0, room = 0;
	struct due *all = NULL;
	struct row *row, *next;
	HASH_ITER (hh, cache->rows, row, next) {
		int64_t due_s;
		if (!is_due(row, now_s, &due_s))
			continue;
		if (count == room) {
			room = room ? 2 * room : 16;
			all = mem_resize_array(all, room, sizeof(*all));
		}
		all[count++] = (struct due){ row, due_s };
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), by_due);
	count = count < most ? count : most;
	/* Names of their own: the callback may put, and rows go. */
	char **names = mem_array(count + 1, sizeof(*names));
	for (size_t i = 0; i < count; i++)
		names[i] = mem_dup(all[i].row->domain);
	for (size_t i = 0; i < count; i++) {
		on_domain(ctx, names[i]);
		free(names[i]);
	}
	free(names);
	free(all);
	return count;
}

size_t sts_cache_count(const struct sts_cache *cache)
{
	return HASH_COUNT(cache->rows);
}
