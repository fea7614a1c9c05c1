#include "smtpd/relay/relay_resolver.h"

#include <netdb.h>

/* A file of its own, so that a test can put another in its place. */
enum relay_lookup_result relay_resolver_system(const char *host, struct netaddr *ret_addresses,
	size_t *ret_count, struct err *why)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host, NULL, &hints, &found);
	*ret_count = 0;
	for (struct addrinfo *at = found; at && *ret_count < RELAY_RESOLVER_ADDRESSES;
		at = at->ai_next)
		if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
			netaddr_from_sockaddr(at->ai_addr, &ret_addresses[(*ret_count)++]);
	if (found)
		freeaddrinfo(found);
	if (*ret_count > 0)
		return RELAY_LOOKUP_FOUND;
	bool is_none = rc == 0 || rc == EAI_NONAME || rc == EAI_NODATA;
	err_set(why, ERR_DNS, is_none ? "host %s has no address (%s)" :
		"the addresses of host %s cannot be looked up now (%s)", host,
		rc ? gai_strerror(rc) : "none usable");
	return is_none ? RELAY_LOOKUP_NO_SUCH_HOST : RELAY_LOOKUP_FAILED;
}
