/* process: what a daemon says to the operating system about itself.
 *
 * For:     programs, and the code that starts their children.
 * Promise: dropped privileges are verified: after process_become there is no way back to root, or
 *          the call failed. Nothing here reads the network.
 */
#ifndef LIBTLSIO_BASE_PROCESS_H
#define LIBTLSIO_BASE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "libtlsio/base/err.h"

struct process_identity {
	char name[64];
	uid_t uid;
	gid_t gid;
};

/* Looks the user up; its primary group is the group. */
int process_find_user(const char *name, struct process_identity *ret, struct err *err);
/* From root to that user for ever: supplementary groups, group, user; then checks that neither can
 * be had back. Not being root, it only checks that we are that user already. */
int process_become(const struct process_identity *identity, struct err *err);

/* Tell the service manager ("READY=1", "STOPPING=1", "STATUS=..."), a datagram to $NOTIFY_SOCKET.
 * False when there is none or it cannot be reached (which stops nobody). */
bool process_notify(const char *state);

/* Soft limit of open descriptors up to the hard one, and as root both up to `wanted`. Returns the
 * limit in force. */
long process_raise_descriptors(long wanted);

/* How many descriptors this process may have. */
long process_descriptors(void);

/* Creates (or takes over a dead one's) pid file and locks it for the life of this process; the
 * descriptor stays open and is the lock. -1: another living process holds it (ERR_LIMIT, the text
 * names its pid), or the file cannot be written. */
int process_lock_pid_file(const char *path, struct err *err);

/* Closes every descriptor from `first` up. */
void process_close_from(int first);

/* `signal` is sent to us when our parent dies. False when parent is dead already. Call it after
 * process_become: a change of user clears the wish. */
bool process_die_with_parent(int signal, pid_t parent);

/* No core file with keys in it, and no other process of this user may look into us. Call it after
 * process_become, too. Does nothing in a build with AddressSanitizer, whose leak check looks into
 * its own process as a debugger would. */
void process_forbid_dumps(void);

/* Drop variables by which an environment could make us leak secrets (SSLKEYLOGFILE). */
void process_clean_environment(void);

#endif
