/* control_spool: a worker keeps its segments while posternctl copies them.
 *
 * For:     control_worker.
 * Promise: the segments told are not given back while the answer goes on: until the client goes away,
 *          four hours have passed, or the spool's disk gets full. While it goes on a sign of life
 *          comes every second.
 */
#ifndef SMTPD_CONTROL_CONTROL_SPOOL_H
#define SMTPD_CONTROL_CONTROL_SPOOL_H

#include "smtpd/control/control_rooms.h"
#include "smtpd/control/control_server.h"

/* Records: for each shard "shard", its "segment"s; then "pinned" for ever. rooms are borrowed for the
 * answer's life. */
void control_spool_pin(struct control_answer *answer, const struct control_rooms *rooms);

#endif
