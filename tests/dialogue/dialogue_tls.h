/* dialogue_tls: a server and a client with a certificate made for the occasion. */
#ifndef TESTS_DIALOGUE_DIALOGUE_TLS_H
#define TESTS_DIALOGUE_DIALOGUE_TLS_H

#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_server.h"

struct tlsio_server *dialogue_tls_server(void);
void dialogue_tls_free(struct tlsio_server **server);
struct tlsio_client *dialogue_tls_client(void);

#endif
