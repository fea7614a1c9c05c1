/* worker_notice: senders hear that their mail is late, once, before it is given up.
 *
 * For:     worker_delivery, after a try; worker_deadlines, where nothing is tried for long.
 * When:    `notice` after the message came, `notice-policy` where TLS policy keeps it (retry section).
 * Promise: the report and the mark that it was sent are written in one turn: a crash may lose both or
 *          none, so nobody is told twice but for a torn write.
 */
#ifndef SMTPD_WORKER_NOTICE_H
#define SMTPD_WORKER_NOTICE_H

#include <stddef.h>

#include "smtpd/dsn/dsn.h"
#include "smtpd/worker_delivery.h"

/* Those of the outcomes that still wait, whose time has come and who were not told of yet go into one
 * report; they are marked in `told`. words[i] is what to say about outcomes[i]. To be called before
 * these outcomes are settled. */
void worker_notice_send(const struct worker_rooms *rooms, const struct spool_envelope *e,
	struct spool_outcome *outcomes, const struct dsn_recipient *words, size_t count);
/* For a look before outcomes are gathered: is this waiting recipient's sender to be told now? */
bool worker_notice_is_due(const struct worker_rooms *rooms, const struct spool_envelope *e,
	uint32_t recipient, uint8_t cause, uint8_t told);

#endif
