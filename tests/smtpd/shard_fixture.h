/* shard_fixture: a shard with real rooms: a spool on disk, two scripted next hops, reloads.
 *
 * For:     tests of worker_shard and what is joined in it. Link with --wrap=tlsio_loop_time_s.
 */
#ifndef TESTS_SMTPD_SHARD_FIXTURE_H
#define TESTS_SMTPD_SHARD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtpd/worker_shard.h"
#include "tests/fakes/fake_planner.h"
#include "tests/smtpd/relay/fake_hop.h"

#define CONFIG_PATH "/test/postern.conf"

/* What the wall clock shows more than it did; the loop's own milliseconds stay as they are. */
extern int64_t shard_later_s;

struct place {
	struct tlsio_loop *loop;
	char directory[64];
	struct fake_hop a, b;
	struct fake_planner planner;
	struct worker_shard *shard;
	unsigned quiet_calls;
	int64_t age_s; /* of the next message */
	struct buf log;
};

int shard_set_up(void **state);
int shard_tear_down(void **state);
/* Gives. more: routes and rules; $A and $B stand for the hops. Retries come after an hour. With "#full" in it the
 * spool takes one message only, with "#no-notices" nobody is told of delays. */
struct config *shard_config(struct place *p, const char *more);
void shard_begin(struct place *p, const char *more);
void shard_reload(struct place *p, const char *more);
/* Recipients, then NULL. Its id once it is durable. */
uint64_t shard_put(struct place *p, const char *sender, uint8_t notify, ...);
size_t shard_messages(struct place *p);
/* Turns until nothing runs and nothing is about to. */
void shard_settle(struct place *p);
/* The hop was told so: what is on its way to be durable is no running delivery. */
void shard_wait_for(struct place *p, struct fake_hop *hop, const char *what);
void shard_flush(struct place *p);
size_t shard_count(const char *in, const char *what);
size_t shard_said(struct fake_hop *hop, const char *what);
bool shard_logged(struct place *p, const char *what);

#endif
