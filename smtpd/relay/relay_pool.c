#include "smtpd/relay/relay_pool.h"

#include <stdlib.h>

#include <uthash.h>

#include "libtlsio/base/mem.h"

/* Destinations whose TLS wishes are kept ready, and sessions remembered for resumption. */
#define CLIENTS_MOST 1000
#define SESSIONS_MOST 10000
#define SESSION_AGE_S 3600

struct idle {
	char *key;
	struct list connections; /* last put first */
	UT_hash_handle hh;
};

/* The wishes for one (destination, address, our identity): what also names its TLS sessions. */
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
	uint64_t wishes_made;
};

struct relay_pool *relay_pool_new(struct tlsio_certstore *present)
{
	struct relay_pool *pool = mem_zero(sizeof(*pool));
	pool->sessions = tlsio_session_cache_new(SESSIONS_MOST, SESSION_AGE_S);
	pool->present = present ? tlsio_certstore_ref(present) : NULL;
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

void relay_pool_put(struct relay_pool *pool, struct relay_connection *c)
{
	const char *key = relay_connection_destination(c)->key;
	struct idle *idle;
	HASH_FIND_STR(pool->idle, key, idle);
	if (!idle) {
		idle = mem_zero(sizeof(*idle));
		idle->key = mem_dup(key);
		list_init(&idle->connections);
		HASH_ADD_KEYPTR(hh, pool->idle, idle->key, strlen(idle->key), idle);
	}
	list_push_front(&idle->connections, relay_connection_link(c));
}

static void drop_if_empty(struct relay_pool *pool, struct idle *idle)
{
	if (!list_is_empty(&idle->connections))
		return;
	HASH_DEL(pool->idle, idle);
	free(idle->key);
	free(idle);
}

static struct relay_connection *take(struct relay_pool *pool, struct idle *idle)
{
	struct list *node = list_first(&idle->connections);
	list_remove(node);
	drop_if_empty(pool, idle);
	return relay_connection_of_link(node);
}

void relay_pool_remove(struct relay_pool *pool, struct relay_connection *c)
{
	struct idle *idle;
	list_remove(relay_connection_link(c));
	HASH_FIND_STR(pool->idle, relay_connection_destination(c)->key, idle);
	if (idle)
		drop_if_empty(pool, idle);
}

struct relay_connection *relay_pool_take(struct relay_pool *pool, const char *key)
{
	struct idle *idle;
	HASH_FIND_STR(pool->idle, key, idle);
	return idle ? take(pool, idle) : NULL;
}

struct relay_connection *relay_pool_take_any(struct relay_pool *pool)
{
	return pool->idle ? take(pool, pool->idle) : NULL;
}

/* ---- TLS wishes ------------------------------------------------------------------------------ */

static bool is_name(const char *host)
{
	struct netaddr address;
	return netaddr_parse(str_of(host), 1, &address, NULL) < 0;
}

/* Everything the verdict about a TLS session depends on (see tlsio_resume.h); our own identity is
 * the same for all wishes of a pool at a time. */
static char *wishes_name(const struct relay_destination *d, const struct netaddr *remote,
	bool resumes)
{
	struct buf name = { 0 };
	char address[NETADDR_TEXT_BYTES];
	buf_printf(&name, "%s %s %s%s", d->key, d->requirement->fingerprint,
		netaddr_format(remote, address), resumes ? "" : " once");
	return buf_take(&name);
}

/* SNI: the host dialled; of an address the first whole name of the rule, so that a server with many
 * certificates shows the one that will be looked for. */
static const char *server_name(const struct relay_destination *d)
{
	const struct policy_requirement *r = d->requirement;
	if (d->host && is_name(d->host))
		return d->host;
	for (size_t i = 0; i < r->name_count; i++)
		if (r->names[i][0] != '.' && is_name(r->names[i]))
			return r->names[i];
	return NULL;
}

static struct tlsio_client *make_client(struct relay_pool *pool, const struct relay_destination *d,
	struct str cache_key, bool resumes, struct err *err)
{
	const struct policy_requirement *r = d->requirement;
	const char *host = d->host && is_name(d->host) ? d->host : NULL;
	const char *const host_alone[] = { host };
	struct tlsio_client_wishes wishes = {
		/* below it a MAY peer gets a clear session: that needs a finished handshake or not,
		 * the judgement says the same */
		.minimum = r->minimum,
		.server_name = server_name(d),
		.names = host_alone,
		.name_count = host != NULL,
		.trust = r->trust,
		.present = pool->present,
		.cache = resumes ? pool->sessions : NULL,
		.cache_key = cache_key,
	};
	if (r->name_count > 0) {
		wishes.names = (const char *const *)r->names;
		wishes.name_count = r->name_count;
	}
	return tlsio_client_new(&wishes, err);
}

struct tlsio_client *relay_pool_tls_client(struct relay_pool *pool,
	const struct relay_destination *destination, const struct netaddr *remote, bool resumes,
	struct err *err)
{
	struct wishes *w;
	char *name = wishes_name(destination, remote, resumes);
	HASH_FIND_STR(pool->wishes, name, w);
	if (w) {
		free(name);
		return tlsio_client_ref(w->client);
	}
	/* the number makes sessions of dropped wishes unreachable: refused, other identities */
	struct buf cache_key = { 0 };
	buf_printf(&cache_key, "%s #%llu", name, (unsigned long long)++pool->wishes_made);
	struct tlsio_client *client =
		make_client(pool, destination, buf_str(&cache_key), resumes, err);
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

void relay_pool_forget(struct relay_pool *pool, const struct relay_destination *destination,
	const struct netaddr *remote)
{
	struct wishes *w;
	char *name = wishes_name(destination, remote, true);
	HASH_FIND_STR(pool->wishes, name, w);
	free(name);
	if (w)
		drop_wishes(pool, w);
}
