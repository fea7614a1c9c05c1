/* control_queue: messages in answers: the list, one in full, its bytes. In slices.
 *
 * For:     control_worker.
 * Promise: a slice takes about 2 ms and 64 KiB however long the queue or a list of recipients is;
 *          messages that come or go while the list is made may or may not be in it, others are.
 */
#ifndef SMTPD_CONTROL_QUEUE_H
#define SMTPD_CONTROL_QUEUE_H

#include <stdint.h>

#include "smtpd/control/control_server.h"
#include "smtpd/control/control_rooms.h"

/* rooms are borrowed for the answer's life. Every message with its waiting recipients. */
void control_queue_list(
	struct control_answer *answer, const struct control_rooms *rooms, int64_t now_s);
/* One message with all its recipients. Takes reader. */
void control_queue_show(struct control_answer *answer, const struct control_rooms *rooms,
	struct spool_reader *reader, int64_t now_s);
/* Header and body. Takes reader. */
void control_queue_cat(struct control_answer *answer, struct spool_reader *reader);

#endif
