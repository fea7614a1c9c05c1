/* probe_peer: the host that is probed: a script at the other end of a memory transport. */
#ifndef TESTS_SMTPD_EXPLAIN_PROBE_PEER_H
#define TESTS_SMTPD_EXPLAIN_PROBE_PEER_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_stream.h"

struct probe_peer {
	struct tlsio_loop *loop;
	struct tlsio_server *tls; /* borrowed; NULL: STARTTLS is not offered */
	/* what is said instead of the usual; NULL the usual; "" nothing at all; "!" hangs up */
	const char *greeting, *ehlo, *starttls, *ehlo_again, *quit;
	bool is_tls_first;
	struct tlsio_stream *stream;
	bool is_secured, is_over;
	struct buf commands; /* "EHLO us\nSTARTTLS\n<tls>\n..." */
};

/* Takes transport; greets at once. */
void probe_peer_begin(struct probe_peer *p, struct tlsio_loop *loop, struct tlsio_transport *transport);
void probe_peer_end(struct probe_peer *p);

#endif
