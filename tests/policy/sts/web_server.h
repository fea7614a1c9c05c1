/* web_server: an HTTPS server on 127.0.0.1:443 and [::1]:443, in a network of this process alone.
 *
 * For:     test_sts_fetch: what it says, and with which certificate, is the test's choice.
 */
#ifndef TESTS_POLICY_STS_WEB_SERVER_H
#define TESTS_POLICY_STS_WEB_SERVER_H

#include <stdbool.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "tests/fakes/fake_ca.h"

/* Once, first of all. False: not allowed here. */
bool web_server_enter_private_network(void);

struct web_server;
struct web_server *web_server_new(struct tlsio_loop *loop);
void web_server_free(struct web_server **server);

/* leaf borrowed for the call. priority: GnuTLS words, or NULL. */
void web_server_show(struct web_server *server, const struct fake_leaf *leaf, const char *priority);

enum web_end {
	WEB_CLOSE, /* in good order, after the answer */
	WEB_KEEP,  /* nothing more: waits for the client */
	WEB_BREAK, /* the connection is reset after the answer */
};
/* answer borrowed until the next; trickle_ms > 0: a byte at a time. */
void web_server_say(struct web_server *server, struct str answer, enum web_end end, int trickle_ms);
void web_server_stop_listening(struct web_server *server);

unsigned web_server_connections(const struct web_server *server);
/* The last complete request, and the name asked for in its TLS (SNI). */
const char *web_server_request(const struct web_server *server);
const char *web_server_name(const struct web_server *server);

#endif
