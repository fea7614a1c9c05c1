#include "libtlsio/tlsio_foreign.h"

#include <gnutls/x509.h>

#include "libtlsio/tlsio_peer_make.h"

struct tlsio_peer *tlsio_foreign_peer(void *session, const char *name,
	const struct tlsio_trust *trust)
{
	char *names[] = { (char *)(uintptr_t)name };
	const struct tlsio_peer_against against = { .trust = trust,
		.purpose = GNUTLS_KP_TLS_WWW_SERVER,
		.names = names,
		.name_count = 1,
		.server_name = name };
	return tlsio_peer_make(session, &against);
}

void tlsio_foreign_free(struct tlsio_peer **peer)
{
	tlsio_peer_free(peer);
}
