/* relay_maildir: a directory as the next hop: tmp/, fsync, rename to new/, fsync new/.
 *
 * For:     relay.
 * Holds:   a few threads once there is a delivery (files block); the delivery's current piece.
 * Promise: DONE only when file and directory entry are durable; nothing half-written is ever seen
 *          in new/; of a failed delivery nothing stays in tmp/. One event per delivery, later.
 */
#ifndef SMTPD_RELAY_RELAY_MAILDIR_H
#define SMTPD_RELAY_RELAY_MAILDIR_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/spool/spool.h"

struct relay_maildirs;
struct relay_maildir;

/* error NULL: durable. is_full: no space or quota left. The delivery is over: forget it. */
typedef void (*relay_maildir_done)(void *ctx, const struct err *error, bool is_full);

struct relay_maildirs *relay_maildirs_new(struct tlsio_loop *loop);
/* Waits for the file operations under way; deliveries must be cancelled before. */
void relay_maildirs_free(struct relay_maildirs **maildirs);

/* Makes the maildir where there is none. reader: borrowed until on_done, at the start of the
 * message. recipient: for Delivered-To. hostname: part of the file's name. */
struct relay_maildir *relay_maildir_deliver(struct relay_maildirs *maildirs, const char *path,
	struct spool_reader *reader, struct str recipient, const char *hostname,
	relay_maildir_done on_done, void *ctx);
/* No event any more. Accepts NULL, sets NULL. */
void relay_maildir_cancel(struct relay_maildir **delivery);

/* A route's path with %u (the local part of the address) and %% filled in, %u folded to what is
 * safe in a path: lower case; anything but letters, digits, "-_+=." as %HH, a leading dot too, so
 * that no two local parts meet. Gives; NULL where the local part is too long for a file name. */
char *relay_maildir_path(const char *path, struct str address);

#endif
