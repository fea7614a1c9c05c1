/* fake_spool: smtpd/spool/spool.h in memory. Link it before libspool.a.
 *
 * For:     tests of session, relay, sched and dsn.
 * Promise: commits become durable at the end of the turn, in order, or when the test lets them;
 *          each step can be made to fail; what was never committed can be counted.
 */
#ifndef TESTS_FAKES_FAKE_SPOOL_H
#define TESTS_FAKES_FAKE_SPOOL_H

#include "smtpd/spool/spool.h"

/* Fails on loop = NULL where a turn is needed. events may be NULL. Freed by spool_close. */
struct spool *fake_spool_new(struct tlsio_loop *loop, const struct spool_events *events, void *ctx);

enum fake_spool_step { FAKE_SPOOL_BEGIN, FAKE_SPOOL_WRITE, FAKE_SPOOL_COMMIT };
/* From now on (after `after_bytes` of content, for WRITE) the step fails so; ERR_NONE: works. */
void fake_spool_fail(struct spool *spool, enum fake_spool_step step, enum err_kind kind,
	size_t after_bytes);
/* Commits wait until fake_spool_release. */
void fake_spool_hold(struct spool *spool);
void fake_spool_release(struct spool *spool);

/* Durable messages in order of acceptance; settled ones too. */
size_t fake_spool_count(const struct spool *spool);
const struct spool_envelope *fake_spool_envelope(const struct spool *spool, size_t index);
struct str fake_spool_content(const struct spool *spool, size_t index);
size_t fake_spool_waiting(const struct spool *spool);	   /* commits held back */
size_t fake_spool_open_writers(const struct spool *spool); /* begun, neither committed nor abandoned */
/* How many are held now. */
unsigned fake_spool_pins(const struct spool *spool);

#endif
