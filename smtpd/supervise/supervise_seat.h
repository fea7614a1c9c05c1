/* supervise_seat: where a program that is no worker is found in the run directory: its socket, and the
 * lock that makes it the only one there, whoever started it.
 *
 * For:     supervise, which takes the seat for the program it starts; the program itself, alone.
 */
#ifndef SMTPD_SUPERVISE_SEAT_H
#define SMTPD_SUPERVISE_SEAT_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/process.h"

struct supervise_seat {
	int listen_fd; /* -1: not taken */
	int lock_fd;
	char *socket_path, *lock_path;
};

extern const struct supervise_seat supervise_seat_none;

/* <run_directory>/<program>.pid is locked, then <run_directory>/<socket_name> made: 0660, given to the
 * identity (NULL: we stay who we are). An error where somebody else holds the lock. */
int supervise_seat_take(struct supervise_seat *seat, const char *run_directory, const char *program,
	const char *socket_name, const struct process_identity *identity, struct err *err);
/* Removes both, as far as we still may; nothing where it is not taken. */
void supervise_seat_leave(struct supervise_seat *seat);

#endif
