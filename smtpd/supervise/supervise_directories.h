/* supervise_directories: the directories the daemon needs, with the right owner.
 *
 * Promise: root changes the owner only of what it made itself, in a directory that belongs to
 *          root; a symbolic link is never followed in the last step. What is there already and
 *          belongs to somebody else is an error with the remedy, not repaired.
 */
#ifndef SMTPD_SUPERVISE_DIRECTORIES_H
#define SMTPD_SUPERVISE_DIRECTORIES_H

#include "libtlsio/base/err.h"
#include "libtlsio/base/process.h"

/* Where the workers keep mail: theirs alone (0700). identity NULL: we stay who we are. */
int supervise_directories_spool(
	const char *path, const struct process_identity *identity, struct err *err);
/* Where postern-policyd keeps what it learned: its own (0750), under the same rules. */
int supervise_directories_state(
	const char *path, const struct process_identity *identity, struct err *err);
/* Where the control sockets and the pid file live: ours (0755), workers do not write there. */
int supervise_directories_run(const char *path, struct err *err);

#endif
