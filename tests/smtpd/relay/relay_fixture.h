/* relay_fixture: a relay on the real loop, a spool in memory, one next hop. */
#ifndef TESTS_SMTPD_RELAY_RELAY_FIXTURE_H
#define TESTS_SMTPD_RELAY_RELAY_FIXTURE_H

#include "smtpd/relay/relay.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/fake_spool.h"
#include "tests/smtpd/relay/fake_hop.h"

struct relay_fixture {
	struct tlsio_loop *loop;
	struct spool *spool;
	struct relay_settings settings;
	struct relay *relay;
	struct fake_planner planner;
	bool was_rerouted; /* is_current says no */
	struct fake_hop hop;
	char words[80]; /* "smtp 127.0.0.1:port" of the hop */
	uint8_t flags;	/* of the next message's envelope */
	uint8_t ret, notify;
	const char *envid, *orcpt;
	uint32_t recipient_count; /* of the last message made */
	/* the requirement a destination gets besides its level */
	struct policy_requirement demand;
	const char *domain;	      /* of the recipients, "y.test" */
	const char *rule_fingerprint; /* of their rule, "rule" */
	/* the last outcome */
	struct relay_outcome outcomes[16];
	size_t outcome_count;
	bool destination_failed, was_withdrawn, was_unready;
	unsigned outcome_calls;
	struct buf log;
};

struct relay_fixture *relay_fixture_new(void);
void relay_fixture_free(struct relay_fixture **f);
/* Recipients, then NULL. Its id. */
uint64_t relay_fixture_message(struct relay_fixture *f, const char *sender, const char *content,
	...) __attribute__((sentinel));
/* relay_start for all recipients; level in words: "none" ... "dane-only". */
void relay_fixture_begin(struct relay_fixture *f, uint64_t id, const char *words,
	const char *level);
/* The same and wait for the outcome. */
void relay_fixture_send_by(struct relay_fixture *f, uint64_t id, const char *words,
	const char *level);
void relay_fixture_send(struct relay_fixture *f, uint64_t id, const char *level);
/* Turns until the outcome is there. */
void relay_fixture_wait(struct relay_fixture *f);

#endif
