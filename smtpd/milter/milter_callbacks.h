/* milter_callbacks: libmilter calls, sessions answer.
 *
 * For:     postern-milter. The only file that knows libmilter beside it.
 * Threads: callbacks run in libmilter's; those of one session one after the other, though not always in the
 *          same thread. None waits for anything: rules are in memory, a log line is one write.
 * Promise: nothing is refused before MAIL (a client may still begin TLS); what is known of a message is
 *          forgotten at the next MAIL and when it is aborted; every session ends with what it began with.
 */
#ifndef SMTPD_MILTER_MILTER_CALLBACKS_H
#define SMTPD_MILTER_MILTER_CALLBACKS_H

#include <stdint.h>

#include "libtlsio/base/err.h"

/* Once per process, before smfi_opensocket. */
int milter_callbacks_register(struct err *err);

struct milter_counters {
	uint64_t sessions, messages; /* messages: let through */
	uint64_t rejected, tempfailed; /* replies: to MAIL, or to one RCPT */
	uint64_t quarantined, reported; /* messages, at MAIL or RCPT */
	uint64_t exempt; /* messages that no rule was asked of */
	uint64_t forged; /* incoming fields of our header's name, taken out */
};
void milter_callbacks_counters(struct milter_counters *ret);

#endif
