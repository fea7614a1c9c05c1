/* tlsio_certwatch: files that change under us, a certificate renewal above all.
 *
 * For:     whoever owns the snapshot: on_change means "build a new one; swap it if it is good,
 *          keep the old one and say so if not".
 * Promise: looks every interval_ms by stat (device, inode, size, mtime), which also sees renames
 *          and symlinks turned over; reports once per change, after the files were quiet for one
 *          interval (a renewal writes several files).
 */
#ifndef LIBTLSIO_TLSIO_CERTWATCH_H
#define LIBTLSIO_TLSIO_CERTWATCH_H

#include <stdint.h>

#include "libtlsio/tlsio_loop.h"

struct tlsio_certwatch;

struct tlsio_certwatch *tlsio_certwatch_new(
	struct tlsio_loop *loop, int64_t interval_ms, void (*on_change)(void *ctx), void *ctx);
/* Copies path. */
void tlsio_certwatch_add(struct tlsio_certwatch *w, const char *path);
/* Forget all paths. */
void tlsio_certwatch_clear(struct tlsio_certwatch *w);
void tlsio_certwatch_free(struct tlsio_certwatch **w);

#endif
