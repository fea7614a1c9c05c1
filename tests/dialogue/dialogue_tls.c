#include "tests/dialogue/dialogue_tls.h"

#include <assert.h>

#include "tests/fakes/fake_ca.h"

struct tlsio_server *dialogue_tls_server(void)
{
	struct fake_ca *ca = fake_ca_new("dialogue");
	struct tlsio_certstore *store = fake_ca_certstore(ca, "mx.example");
	struct tlsio_server_wishes wishes = { .certificates = store };
	struct tlsio_server *server = tlsio_server_new(&wishes, NULL);
	assert(server);
	tlsio_certstore_unref(&store);
	fake_ca_free(&ca);
	return server;
}

void dialogue_tls_free(struct tlsio_server **server)
{
	if (*server)
		tlsio_server_unref(server);
}

struct tlsio_client *dialogue_tls_client(void)
{
	struct tlsio_client_wishes wishes = { .server_name = "mx.example" };
	struct tlsio_client *client = tlsio_client_new(&wishes, NULL);
	assert(client);
	return client;
}
