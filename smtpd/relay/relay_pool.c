#include "smtpd/relay/relay_pool.h"

#include <stdlib.h>

#include <uthash.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_names.h"

/* Hops whose TLS wishes are kept ready, and sessions remembered for resumption. */
#define CLIENTS_MOST 1000
#define SESSIONS_MOST 10000
#define SESSION_AGE_S 3600

struct idle {
	char *key;
	struct list connections; /* last put first */
	UT_hash_handle hh;
};

/* The wishes for one hop as who we are now: what also names its TLS sessions. */
struct wishes {
	char *name;
	char *cache_key;
	struct tlsio_client *client;
	UT_hash_handle hh; /* oldest first */
};

struct relay_pool {
	struct idle *idle;
	struct wishes *wishes;
	struct tlsio_session_cache *sessions;
	struct tlsio_certstore *present;
	unsigned identity; /* which `present` it is */
	uint64_t wishes_made;
	struct list by_age; /* idle ones, the longest first */
	size_t idle_count;
	size_t idle_most;
};

struct relay_pool *relay_pool_new(struct tlsio_certstore *present, size_t idle_most)
{
	struct relay_pool *pool = mem_zero(sizeof(*pool));
	pool->sessions = tlsio_session_cache_new(SESSIONS_MOST, SESSION_AGE_S);
	pool->present = present ? tlsio_certstore_ref(present) : NULL;
	list_init(&pool->by_age);
	pool->idle_most = idle_most;
	return pool;
}

static void drop_wishes(struct relay_pool *pool, struct wishes *w)
{
	HASH_DEL(pool->wishes, w);
	tlsio_client_unref(&w->client);
	tlsio_session_cache_forget(pool->sessions, str_of(w->cache_key));
	free(w->cache_key);
	free(w->name);
	free(w);
}

static void drop_all_wishes(struct relay_pool *pool)
{
	struct wishes *w, *next;
	HASH_ITER (hh, pool->wishes, w, next)
		drop_wishes(pool, w);
}

void relay_pool_set_present(struct relay_pool *pool, struct tlsio_certstore *present)
{
	struct tlsio_certstore *old = pool->present;
	if (old == present)
		return;
	pool->present = present ? tlsio_certstore_ref(present) : NULL;
	pool->identity++;
	drop_all_wishes(pool); /* a session was made as whoever we were then */
	if (old)
		tlsio_certstore_unref(&old);
}

void relay_pool_free(struct relay_pool **ref)
{
	struct relay_pool *pool = *ref;
	if (!pool)
		return;
	*ref = NULL;
	drop_all_wishes(pool);
	tlsio_session_cache_free(&pool->sessions);
	if (pool->present)
		tlsio_certstore_unref(&pool->present);
	struct idle *idle, *next;
	HASH_ITER (hh, pool->idle, idle, next) {
		HASH_DEL(pool->idle, idle);
		free(idle->key);
		free(idle);
	}
	free(pool);
}

unsigned relay_pool_identity(const struct relay_pool *pool)
{
	return pool->identity;
}

static struct idle *find_idle(struct relay_pool *pool, const char *key)
{
	struct idle *idle;
	HASH_FIND_STR(pool->idle, key, idle);
	return idle;
}

/* Off both lists; harmless for one that is not idle. */
static void take_out(struct relay_pool *pool, struct relay_connection *c)
{
	struct list *node = relay_connection_link(c);
	if (!list_is_linked(node))
		return;
	struct idle *idle = find_idle(pool, relay_connection_hop(c)->key);
	list_remove(node);
	list_remove(relay_connection_age_link(c));
	pool->idle_count--;
	if (!list_is_empty(&idle->connections))
		return;
	HASH_DEL(pool->idle, idle);
	free(idle->key);
	free(idle);
}

struct relay_connection *relay_pool_put(struct relay_pool *pool, struct relay_connection *c)
{
	const char *key = relay_connection_hop(c)->key;
	struct idle *idle = find_idle(pool, key);
	if (!idle) {
		idle = mem_zero(sizeof(*idle));
		idle->key = mem_dup(key);
		list_init(&idle->connections);
		HASH_ADD_KEYPTR(hh, pool->idle, idle->key, strlen(idle->key), idle);
	}
	list_push_front(&idle->connections, relay_connection_link(c));
	list_push_back(&pool->by_age, relay_connection_age_link(c));
	return ++pool->idle_count > pool->idle_most ? relay_pool_take_any(pool) : NULL;
}

void relay_pool_remove(struct relay_pool *pool, struct relay_connection *c)
{
	take_out(pool, c);
}

struct relay_connection *relay_pool_take(struct relay_pool *pool, const char *key)
{
	struct idle *idle = find_idle(pool, key);
	if (!idle)
		return NULL;
	struct relay_connection *c = relay_connection_of_link(list_first(&idle->connections));
	take_out(pool, c);
	return c;
}

struct relay_connection *relay_pool_take_any(struct relay_pool *pool)
{
	struct list *node = list_first(&pool->by_age);
	if (!node)
		return NULL;
	struct relay_connection *c = relay_connection_of_age_link(node);
	take_out(pool, c);
	return c;
}

/* ---- TLS wishes ------------------------------------------------------------------------------ */

/* Everything the verdict about a TLS session depends on (see tlsio_resume.h); our own identity is
 * the same for all wishes of a pool at a time. */
static char *wishes_name(const struct relay_hop *hop, bool resumes)
{
	struct buf name = { 0 };
	buf_printf(&name, "%s%s", hop->key, resumes ? "" : " once");
	return buf_take(&name);
}

static struct tlsio_client *make_client(struct relay_pool *pool, const struct relay_hop *hop,
	struct str cache_key, bool resumes, struct err *err)
{
	const struct policy_requirement *r = hop->requirement, *testing = hop->testing;
	const char **names = mem_array(policy_names_most(r, testing), sizeof(*names));
	const struct tlsio_client_wishes wishes = {
		/* below it a MAY peer gets a clear session: that needs a finished handshake or not,
		 * the judgement says the same */
		.minimum = r->minimum,
		.server_name = policy_names_server(r, hop->host),
		.names = names,
		.name_count = policy_names_reference(r, testing, hop->host, names),
		.trust = r->trust ? r->trust : testing ? testing->trust : NULL,
		.present = pool->present,
		.cache = resumes ? pool->sessions : NULL,
		.cache_key = cache_key,
	};
	struct tlsio_client *client = tlsio_client_new(&wishes, err);
	free(names);
	return client;
}

struct tlsio_client *relay_pool_tls_client(struct relay_pool *pool, const struct relay_hop *hop,
	bool resumes, struct err *err)
{
	struct wishes *w;
	char *name = wishes_name(hop, resumes);
	HASH_FIND_STR(pool->wishes, name, w);
	if (w) {
		free(name);
		return tlsio_client_ref(w->client);
	}
	/* the number makes sessions of dropped wishes unreachable: refused, other identities */
	struct buf cache_key = { 0 };
	buf_printf(&cache_key, "%s #%llu", name, (unsigned long long)++pool->wishes_made);
	struct tlsio_client *client =
		make_client(pool, hop, buf_str(&cache_key), resumes, err);
	if (!client) {
		buf_release(&cache_key);
		free(name);
		return NULL;
	}
	if (HASH_COUNT(pool->wishes) >= CLIENTS_MOST)
		drop_wishes(pool, pool->wishes);
	w = mem_zero(sizeof(*w));
	w->name = name;
	w->cache_key = buf_take(&cache_key);
	w->client = client;
	HASH_ADD_KEYPTR(hh, pool->wishes, w->name, strlen(w->name), w);
	return tlsio_client_ref(client);
}

void relay_pool_forget(struct relay_pool *pool, const struct relay_hop *hop)
{
	struct wishes *w;
	char *name = wishes_name(hop, true);
	HASH_FIND_STR(pool->wishes, name, w);
	free(name);
	if (w)
		drop_wishes(pool, w);
}
