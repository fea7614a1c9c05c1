/* control_client: posternctl asks every worker and hands over what they answer.
 *
 * For:     posternctl: blocking, with a time limit.
 * Promise: an answer's items are given one by one as they come, never the whole of it at once; a
 *          worker that cannot be asked does not keep the others from being asked.
 */
#ifndef SMTPD_CONTROL_CLIENT_H
#define SMTPD_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"
#include "smtpd/control/control_protocol.h"

struct control_client_events {
	void (*record)(void *ctx, const struct control_record *record);
	void (*data)(void *ctx, struct str bytes);
	/* socket: its path. err says what is wrong and what to do. */
	void (*failed)(void *ctx, const char *socket, const struct err *err);
	/* May be NULL. Asked after each record: true = hang up on this worker, all is well. */
	bool (*is_enough)(void *ctx);
};

/* There is a socket of a worker: posternd runs, or did. */
bool control_client_has_workers(const char *run_directory);
/* Returns how many workers could not be asked or answered with an error, each told by failed; -1
 * when there is no worker at all. */
int control_client_ask(const char *run_directory, const char *const words[], size_t count,
	const struct control_client_events *events, void *ctx, struct err *err);

#endif
