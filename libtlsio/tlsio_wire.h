/* tlsio_wire: the transport as GnuTLS sees it, with whole flights in one system call. Internal.
 *
 * For:     tlsio_session.
 * Holds:   ciphertext read ahead and ciphertext not yet sent; both empty (no heap) except while a
 *          slow peer or a full buffer stands in the way.
 * Promise: a push never blocks GnuTLS: what the transport does not take waits here (bounded), so a
 *          record, once made, is never made again; a pull reads ahead no further than the caller
 *          has room for, and asks the transport no more once it gave less than asked.
 */
#ifndef LIBTLSIO_TLSIO_WIRE_H
#define LIBTLSIO_TLSIO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_trace.h"
#include "libtlsio/tlsio_transport.h"

struct tlsio_wire {
	struct tlsio_transport *transport; /* borrowed */
	gnutls_session_t tls;              /* borrowed */
	struct tlsio_tracer *tracer;       /* NULL none */
	struct buf in;                     /* read ahead, kept between calls */
	struct buf out;                    /* waits for the transport */
	size_t ahead_bytes;                /* how far a pull may read ahead now */
	size_t window_head, window_end;    /* what is left of this call's read-ahead */
	bool is_drained;                   /* the transport gave less than asked in this call */
	bool has_ended;                    /* the transport's end of input was seen */
	int broken;                        /* errno of the transport's failure; 0 none */
};

/* Makes GnuTLS read and write through w. */
void tlsio_wire_attach(
	struct tlsio_wire *w, gnutls_session_t tls, struct tlsio_transport *transport);
void tlsio_wire_clear(struct tlsio_wire *w);

/* Around every GnuTLS call that may do I/O. leave sends what was gathered. */
void tlsio_wire_enter(struct tlsio_wire *w, size_t ahead_bytes);
void tlsio_wire_leave(struct tlsio_wire *w);
/* Hand the gathered output to the transport now. */
void tlsio_wire_send(struct tlsio_wire *w);

static inline bool tlsio_wire_has_output(const struct tlsio_wire *w)
{
	return w->out.length > 0;
}

/* Bytes already taken from the transport wait for GnuTLS to pull them. */
static inline bool tlsio_wire_has_input(const struct tlsio_wire *w)
{
	return w->in.length > 0 || w->window_head < w->window_end;
}

/* A whole record is read ahead: no event of the transport will announce it. */
bool tlsio_wire_has_record(const struct tlsio_wire *w);

#endif
