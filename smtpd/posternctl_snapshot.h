/* posternctl_snapshot: a copy of the whole spool, also while posternd runs.
 *
 * For:     posternctl_spool.
 * Promise: all that was acknowledged before it began is in it, durably, or it fails and says so.
 */
#ifndef SMTPD_POSTERNCTL_SNAPSHOT_H
#define SMTPD_POSTERNCTL_SNAPSHOT_H

#include "smtpd/posternctl_spool.h"

/* directory: new, or empty. The exit status. */
int posternctl_snapshot(const struct posternctl_spool *options, const char *directory);

#endif
