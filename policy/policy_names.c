#include "policy/policy_names.h"

#include <string.h>

#include "libtlsio/base/netaddr.h"

static bool is_name(const char *host)
{
	struct netaddr address;
	return host && netaddr_parse(str_of(host), 1, &address, NULL) < 0;
}

const char *policy_names_server(const struct policy_requirement *r, const char *host)
{
	if (r && r->server_name)
		return r->server_name;
	if (is_name(host))
		return host;
	for (size_t i = 0; r && i < r->name_count; i++)
		if (r->names[i][0] != '.' && is_name(r->names[i]))
			return r->names[i];
	return NULL;
}

size_t policy_names_most(const struct policy_requirement *r,
	const struct policy_requirement *testing)
{
	return (r ? r->name_count + r->dane_name_count : 0) + 1 +
		(testing ? testing->name_count : 0);
}

size_t policy_names_reference(const struct policy_requirement *r,
	const struct policy_requirement *testing, const char *host, const char **ret)
{
	size_t count = 0;
	for (size_t i = 0; r && i < r->name_count; i++)
		ret[count++] = r->names[i];
	for (size_t i = 0; r && r->name_count == 0 && i < r->dane_name_count; i++)
		ret[count++] = r->dane_names[i];
	if (count == 0 && is_name(host)) {
		ret[count++] = host;
		return count; /* the only name that may match: a testing policy wants the same */
	}
	if (testing && testing->name_count == 0 && is_name(host))
		ret[count++] = host;
	for (size_t i = 0; testing && i < testing->name_count; i++)
		ret[count++] = testing->names[i];
	return count;
}

bool policy_names_are_domain(const struct policy_requirement *r)
{
	return r->name_count == 2 && r->names[1][0] == '.' &&
		strcmp(r->names[1] + 1, r->names[0]) == 0;
}
