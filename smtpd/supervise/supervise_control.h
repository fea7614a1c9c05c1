/* supervise_control: the unix sockets by which the operator reaches each worker.
 *
 * For:     supervise, which opens them: workers need not write to the run directory, and a
 *          restarted worker has the same socket.
 */
#ifndef SMTPD_SUPERVISE_CONTROL_H
#define SMTPD_SUPERVISE_CONTROL_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/process.h"

struct supervise_control;

/* <run_directory>/worker-<n>.sock, 0660, given to the identity (NULL: we stay who we are). Those of
 * workers that are no more are removed. */
struct supervise_control *supervise_control_open(const char *run_directory, unsigned workers,
	const struct process_identity *identity, struct err *err);
/* One more socket there, for a program that is no worker; the same mode and owner. Gives. Whoever has
 * the name's lock (supervise_seat) may call it: what is there is replaced. */
int supervise_control_open_named(const char *run_directory, const char *name,
	const struct process_identity *identity, struct err *err);
int supervise_control_fd(const struct supervise_control *control, unsigned worker);
/* Removes the sockets too. */
void supervise_control_close(struct supervise_control **control);

#endif
