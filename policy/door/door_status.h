/* door_status: asks postern-policyd how it is.
 *
 * For:     posternctl: blocking, with a time limit.
 */
#ifndef POLICY_DOOR_DOOR_STATUS_H
#define POLICY_DOOR_DOOR_STATUS_H

#include "policy/door/door_wire.h"

/* 0; 1: there is no such socket, so none runs here; -1 with err: it does not answer, or may not be
 * asked, or is of another version. */
int door_status_ask(const char *socket_path, const char *program, int limit_ms,
	struct door_status *ret, struct err *err);

#endif
