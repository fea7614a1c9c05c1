#include "libtlsio/tlsio_client.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_parts.h"

enum { MAX_NAME_BYTES = 253 };

/* RFC 6066 section 3: a DNS host name without a trailing dot, never an address. */
static int check_server_name(struct str name, struct err *err)
{
	struct in_addr v4;
	struct in6_addr v6;
	char text[MAX_NAME_BYTES + 1];
	if (name.length == 0 || name.length > MAX_NAME_BYTES || !str_is_ascii(name))
		return err_set(err, ERR_INPUT,
			"the TLS server name \"%.*s\" is no host name in ASCII (A-labels)",
			(int)(name.length < 60 ? name.length : 60), name.at);
	str_copy(name, text, sizeof(text));
	if (inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1)
		return err_set(err, ERR_INPUT,
			"the TLS server name \"%s\" is an address; SNI takes host names only",
			text);
	return 0;
}

static struct str without_dot(const char *text)
{
	struct str name = str_of(text);
	if (name.length > 1 && name.at[name.length - 1] == '.')
		name.length--;
	return name;
}

static void copy_names(struct tlsio_client *client, const struct tlsio_client_wishes *wishes)
{
	client->name_count = wishes->name_count;
	if (wishes->name_count == 0)
		return;
	client->names = mem_array(wishes->name_count, sizeof(*client->names));
	for (size_t i = 0; i < wishes->name_count; i++) {
		struct str name = without_dot(wishes->names[i]);
		client->names[i] = mem_dup_bytes(name.at, name.length);
	}
}

struct tlsio_client *tlsio_client_new(const struct tlsio_client_wishes *wishes, struct err *err)
{
	struct str server_name = { NULL, 0 };
	if (wishes->server_name) {
		server_name = without_dot(wishes->server_name);
		if (check_server_name(server_name, err) < 0)
			return NULL;
	}
	struct tlsio_priority *priority =
		tlsio_priority_get(wishes->minimum, wishes->priority, err);
	if (!priority)
		return NULL;
	struct tlsio_client *client = mem_zero(sizeof(*client));
	client->references = 1;
	client->minimum = wishes->minimum ? wishes->minimum : TLSIO_TLS12;
	client->priority = priority;
	if (server_name.at)
		client->server_name = mem_dup_bytes(server_name.at, server_name.length);
	copy_names(client, wishes);
	client->trust = wishes->trust ? tlsio_trust_ref(wishes->trust) : NULL;
	client->present = wishes->present ? tlsio_certstore_ref(wishes->present) : NULL;
	client->cache = wishes->cache;
	if (wishes->cache) {
		client->cache_key = mem_dup_bytes(wishes->cache_key.at, wishes->cache_key.length);
		client->cache_key_length = wishes->cache_key.length;
	}
	client->trace = wishes->trace;
	client->trace_ctx = wishes->trace_ctx;
	return client;
}

struct tlsio_client *tlsio_client_ref(struct tlsio_client *client)
{
	client->references++;
	return client;
}

void tlsio_client_unref(struct tlsio_client **client)
{
	struct tlsio_client *c = *client;
	*client = NULL;
	if (!c || --c->references > 0)
		return;
	tlsio_priority_unref(&c->priority);
	for (size_t i = 0; i < c->name_count; i++)
		free(c->names[i]);
	free(c->names);
	free(c->server_name);
	tlsio_trust_unref(&c->trust);
	tlsio_certstore_unref(&c->present);
	free(c->cache_key);
	free(c);
}
