/* posternctl_status: what `posternctl status` says of postern-policyd.
 *
 * Joins:   policy/door (asks it), control (prints).
 */
#ifndef SMTPD_POSTERNCTL_STATUS_H
#define SMTPD_POSTERNCTL_STATUS_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"

/* Appends its paragraph, or an object and a newline. 0: it runs; 1: none runs here, which need be no
 * fault; -1: it should answer and does not. */
int posternctl_status_policyd(const char *run_directory, bool is_json, struct buf *to);

#endif
