/* supervise_channel: the socket pair between the supervisor and one worker.
 *
 * For:     supervise and supervise_child.
 * Promise: whole messages or none (SOCK_SEQPACKET), never blocks; what arrives is checked as if a
 *          stranger had sent it, and descriptors nobody asked for are closed.
 */
#ifndef SMTPD_SUPERVISE_CHANNEL_H
#define SMTPD_SUPERVISE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

/* Linux sends at most 253 descriptors with one message (SCM_MAX_FD); bundle, control, listeners. */
#define SUPERVISE_CHANNEL_DESCRIPTORS_MOST 250

enum supervise_message_kind {
	SUPERVISE_CONFIGURE = 1, /* to the worker; descriptors: bundle, control, then listeners */
	SUPERVISE_DRAIN = 2,	 /* to the worker */
	SUPERVISE_READY = 3,	 /* from the worker: the configuration is in force */
	SUPERVISE_REFUSED = 4,	 /* from the worker: it is not; text says why */
};

struct supervise_message {
	enum supervise_message_kind kind;
	uint32_t generation; /* which configuration this is about */
	char text[240];
	int fds[SUPERVISE_CHANNEL_DESCRIPTORS_MOST];
	size_t fd_count;
};

enum supervise_io { SUPERVISE_IO_DONE, SUPERVISE_IO_AGAIN, SUPERVISE_IO_GONE };

/* Both ends non-blocking and close-on-exec. */
int supervise_channel_pair(int ret_fds[2], struct err *err);
/* Descriptors are borrowed. GONE: the other side went away. */
enum supervise_io supervise_channel_send(int fd, const struct supervise_message *message);
/* Gives the descriptors (at most fds_most; the message is malformed and GONE with more). */
enum supervise_io supervise_channel_receive(
	int fd, size_t fds_most, struct supervise_message *ret);
void supervise_message_close(struct supervise_message *message);

/* The form on the wire, without descriptors. Pure. into holds SUPERVISE_MESSAGE_BYTES. */
#define SUPERVISE_MESSAGE_BYTES 256
size_t supervise_message_encode(const struct supervise_message *message, void *into);
bool supervise_message_decode(struct str bytes, struct supervise_message *ret);

#endif
