/* door_client: asks postern-policyd from a worker or posternctl.
 *
 * For:     worker (as relay's planner), posternctl.
 * Holds:   one connection, made when first needed and again after it broke (0.2 s growing to 5 s);
 *          plans received, until they expire (bounded), so a warm domain costs no round trip;
 *          questions in flight, joined when equal, sent again on a new connection (at most twice: a
 *          question that kills policyd must not do so for ever; the second time one after another, so
 *          that those which only were in its company do not share its fate).
 * Promise: one event per question, later, unless cancelled, within limit_ms: with a DEFER plan whose
 *          text says what is the matter ("postern-policyd does not answer (...): mail is kept and
 *          tried again") when policyd is down, slow or of another version; is_unanswered tells that
 *          this says nothing of the domain. Never a guess. In the event anything may be asked and cancelled, but the client must not be freed.
 */
#ifndef POLICY_DOOR_DOOR_CLIENT_H
#define POLICY_DOOR_DOOR_CLIENT_H

#include "libtlsio/tlsio_loop.h"
#include "policy/door/door_wire.h"
#include "policy/policy_plan.h"

struct door_client;
struct door_question;

struct door_client_setup {
	struct tlsio_loop *loop;
	const char *socket_path; /* copied */
	const char *program;	 /* for HELLO; "posternd-0" */
	struct door_authorities authorities;
	int64_t limit_ms;	 /* 0: 60 s, above plan_service's own */
	size_t plans_most;	 /* 0: 10000; kept here */
};

struct door_client *door_client_new(const struct door_client_setup *setup);
/* Questions that are open get no event. */
void door_client_free(struct door_client **client);
/* Never NULL. plan borrowed for the call. */
struct door_question *door_client_ask(struct door_client *client,
	const struct policy_question *question,
	void (*on_plan)(void *ctx, struct policy_plan *plan), void *ctx);
void door_question_cancel(struct door_question **question);
/* To be counted (policy/tlsrpt). Sessions of a tenth of a second go together; while policyd is away some
 * 2,000 wait, and what is beyond is lost: how many, it is told. Never waits. */
void door_client_report(struct door_client *client, const struct policy_session *session);
/* What postern-policyd found when it asked whether DNSSEC validation works (enum dns_check_result);
 * -1: it has not told yet. *ret_words: its sentence, borrowed. */
int door_client_self_check(const struct door_client *client, const char **ret_words);
/* After a reload: forget all plans. Authorities are asked anew from now on. */
void door_client_forget(struct door_client *client, const struct door_authorities *authorities);

#endif
