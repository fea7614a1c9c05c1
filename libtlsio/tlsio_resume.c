#include "libtlsio/tlsio_resume.h"

#include <stdlib.h>

#include <gnutls/crypto.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"

/* --- server: tickets ------------------------------------------------------------------------ */

struct tlsio_tickets *tlsio_tickets_new(
	const uint8_t secret[TLSIO_TICKET_SECRET_BYTES], int lifetime_s)
{
	struct tlsio_tickets *t = mem_zero(sizeof(*t));
	t->references = 1;
	t->secret.data = mem_alloc(TLSIO_TICKET_SECRET_BYTES);
	t->secret.size = TLSIO_TICKET_SECRET_BYTES;
	memcpy(t->secret.data, secret, TLSIO_TICKET_SECRET_BYTES);
	t->lifetime_s = lifetime_s;
	return t;
}

void tlsio_tickets_make_secret(uint8_t ret_secret[TLSIO_TICKET_SECRET_BYTES])
{
	/* A predictable secret would open every session: better none. */
	if (gnutls_rnd(GNUTLS_RND_KEY, ret_secret, TLSIO_TICKET_SECRET_BYTES) < 0)
		abort();
}

struct tlsio_tickets *tlsio_tickets_ref(struct tlsio_tickets *t)
{
	t->references++;
	return t;
}

void tlsio_tickets_unref(struct tlsio_tickets **tickets)
{
	struct tlsio_tickets *t = *tickets;
	*tickets = NULL;
	if (!t || --t->references > 0)
		return;
	gnutls_memset(t->secret.data, 0, t->secret.size);
	free(t->secret.data);
	free(t);
}

/* --- client: remembered sessions ------------------------------------------------------------ */

enum {
	/* Parallel connections to one destination each leave and want one. */
	SESSIONS_PER_KEY = 4,
	/* A stored session holds the peer's chain: what a peer can make us keep has a limit. */
	MAX_SESSION_BYTES = 32 * 1024,
};

struct stored {
	gnutls_datum_t session;
	int64_t since_s;
	bool is_for_one_use;
};

struct entry {
	UT_hash_handle hh;
	size_t count;
	struct stored sessions[SESSIONS_PER_KEY]; /* eldest first */
	size_t key_length;
	char key[];
};

struct tlsio_session_cache {
	struct entry *entries; /* in order of use, eldest first: the order uthash keeps */
	size_t max_entries;
	int64_t max_age_s;
};

struct tlsio_session_cache *tlsio_session_cache_new(size_t max_entries, int64_t max_age_s)
{
	struct tlsio_session_cache *cache = mem_zero(sizeof(*cache));
	cache->max_entries = max_entries;
	cache->max_age_s = max_age_s;
	return cache;
}

static void drop_session(struct entry *e, size_t index)
{
	/* It holds the resumption secret. */
	gnutls_memset(e->sessions[index].session.data, 0, e->sessions[index].session.size);
	free(e->sessions[index].session.data);
	e->count--;
	memmove(&e->sessions[index], &e->sessions[index + 1],
		(e->count - index) * sizeof(e->sessions[0]));
}

static void drop_entry(struct tlsio_session_cache *cache, struct entry *e)
{
	HASH_DEL(cache->entries, e);
	while (e->count > 0)
		drop_session(e, e->count - 1);
	free(e);
}

static struct entry *find(struct tlsio_session_cache *cache, struct str key)
{
	struct entry *e;
	HASH_FIND(hh, cache->entries, key.at, key.length, e);
	return e;
}

void tlsio_session_cache_free(struct tlsio_session_cache **cache)
{
	if (!*cache)
		return;
	while ((*cache)->entries)
		drop_entry(*cache, (*cache)->entries);
	free(*cache);
	*cache = NULL;
}

void tlsio_session_cache_forget(struct tlsio_session_cache *cache, struct str key)
{
	struct entry *e = find(cache, key);
	if (e)
		drop_entry(cache, e);
}

static void drop_aged(struct tlsio_session_cache *cache, struct entry *e, int64_t now_s)
{
	while (e->count > 0 && now_s - e->sessions[0].since_s > cache->max_age_s)
		drop_session(e, 0);
}

static gnutls_datum_t copy(const gnutls_datum_t *from)
{
	gnutls_datum_t into = { mem_alloc(from->size), from->size };
	memcpy(into.data, from->data, from->size);
	return into;
}

int tlsio_session_cache_take(
	struct tlsio_session_cache *cache, struct str key, int64_t now_s, gnutls_datum_t *ret)
{
	struct entry *e = find(cache, key);
	if (!e)
		return -1;
	drop_aged(cache, e, now_s);
	int rc = -1;
	if (e->count > 0) {
		struct stored *newest = &e->sessions[e->count - 1];
		*ret = copy(&newest->session);
		rc = 0;
		if (newest->is_for_one_use)
			drop_session(e, e->count - 1);
	}
	if (e->count == 0)
		drop_entry(cache, e);
	return rc;
}

static struct entry *entry_for(struct tlsio_session_cache *cache, struct str key)
{
	struct entry *e = find(cache, key);
	if (e) {
		HASH_DEL(cache->entries, e);
	} else {
		e = mem_zero(sizeof(*e) + key.length);
		memcpy(e->key, key.at, key.length);
		e->key_length = key.length;
	}
	HASH_ADD_KEYPTR(hh, cache->entries, e->key, e->key_length, e);
	if (HASH_COUNT(cache->entries) > cache->max_entries)
		drop_entry(cache, cache->entries);
	return e;
}

void tlsio_session_cache_store(struct tlsio_session_cache *cache, struct str key, int64_t now_s,
	bool is_for_one_use, const gnutls_datum_t *session)
{
	if (cache->max_entries == 0 || session->size == 0 || session->size > MAX_SESSION_BYTES)
		return;
	struct entry *e = entry_for(cache, key);
	drop_aged(cache, e, now_s);
	/* A session for many uses makes its elders needless. */
	while (e->count > 0 && (!is_for_one_use || e->count == SESSIONS_PER_KEY))
		drop_session(e, 0);
	e->sessions[e->count++] = (struct stored){ copy(session), now_s, is_for_one_use };
}
