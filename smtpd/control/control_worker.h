/* control_worker: what a worker answers the operator: status, queue, flush, remove.
 *
 * For:     posternd's workers.
 * Promise: a long queue is walked in slices of a few milliseconds, so listing a million messages
 *          delays no mail; a removed message leaves the queue for good and is logged.
 * See:     control_protocol.h for the form; the table at the end of control_worker.c for the words
 */
#ifndef SMTPD_CONTROL_WORKER_H
#define SMTPD_CONTROL_WORKER_H

#include "libtlsio/tlsio_loop.h"
#include "smtpd/control/control_rooms.h"

struct control_worker;

/* fd: a listening unix socket, borrowed. rooms: copied. */
struct control_worker *control_worker_new(
	struct tlsio_loop *loop, int fd, const struct control_rooms *rooms);
void control_worker_free(struct control_worker **control);

#endif
