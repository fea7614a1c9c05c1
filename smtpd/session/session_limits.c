#include "smtpd/session/session_limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/mem.h"

struct network {
	unsigned char key[17]; /* family, masked address */
	long count;
	UT_hash_handle hh;
};

struct session_limits {
	struct network *networks;
	size_t total;
};

struct session_limits *session_limits_new(void)
{
	return mem_zero(sizeof(struct session_limits));
}

void session_limits_free(struct session_limits **limits)
{
	struct network *n, *next;
	if (!*limits)
		return;
	HASH_ITER(hh, (*limits)->networks, n, next)
	{
		HASH_DEL((*limits)->networks, n);
		free(n);
	}
	free(*limits);
	*limits = NULL;
}

/* False for clients that have no address of their own (unix sockets): only the total counts. */
static bool make_key(const struct netaddr *client, unsigned char key[17])
{
	if (client->family != NETADDR_IPV4 && client->family != NETADDR_IPV6)
		return false;
	struct netaddr masked = netaddr_mask(client, 32, 64);
	key[0] = masked.family;
	memcpy(key + 1, masked.bytes, 16);
	return true;
}

static struct network *find(struct session_limits *limits, const unsigned char key[17])
{
	struct network *n;
	HASH_FIND(hh, limits->networks, key, sizeof(n->key), n);
	return n;
}

enum session_limits_answer session_limits_enter(struct session_limits *limits,
	const struct netaddr *client, long maximum, long maximum_per_client)
{
	unsigned char key[17];
	if (limits->total >= (unsigned long)maximum)
		return SESSION_LIMITS_TOTAL;
	if (make_key(client, key)) {
		struct network *n = find(limits, key);
		if (n && n->count >= maximum_per_client)
			return SESSION_LIMITS_CLIENT;
		if (!n) {
			n = mem_zero(sizeof(*n));
			memcpy(n->key, key, sizeof(key));
			HASH_ADD(hh, limits->networks, key, sizeof(n->key), n);
		}
		n->count++;
	}
	limits->total++;
	return SESSION_LIMITS_OK;
}

void session_limits_leave(struct session_limits *limits, const struct netaddr *client)
{
	unsigned char key[17];
	assert(limits->total);
	limits->total--;
	if (!make_key(client, key))
		return;
	struct network *n = find(limits, key);
	assert(n && n->count);
	if (--n->count == 0) {
		HASH_DEL(limits->networks, n);
		free(n);
	}
}

size_t session_limits_total(const struct session_limits *limits)
{
	return limits->total;
}
