#include "smtpd/session/session_question.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "smtpd/session/session_log.h"

struct session_question {
	struct session_client *client;
	void *asked; /* the gate's */
	struct tlsio_timer timer;
};

/* It is over: the client goes on without it. */
static struct session_client *end_question(struct session_question *question)
{
	struct session_client *c = question->client;
	assert(c->question == question);
	tlsio_timer_stop(&question->timer);
	free(question);
	c->question = NULL;
	return c;
}

static void on_limit(void *ctx)
{
	struct session_client *c = ctx;
	session_log_unanswered(c);
	session_question_forget(c);
	session_client_answered(c, NULL);
}

bool session_question_ask(void *ctx, struct str sender_domain)
{
	struct session_client *c = ctx;
	const struct session_gate *gate = c->service->gate;
	struct session_facts facts = session_client_facts(c);
	if (!gate->ask_sender)
		return false;
	assert(!c->question);
	c->question = mem_zero(sizeof(*c->question));
	c->question->client = c;
	tlsio_timer_init(&c->question->timer, c->service->loop, on_limit, c);
	c->question->asked = gate->ask_sender(c->service->gate_ctx, &facts, sender_domain,
		c->question);
	if (!c->question->asked) {
		end_question(c->question);
		return false;
	}
	tlsio_timer_start(&c->question->timer, SESSION_QUESTION_MS);
	return true;
}

void session_question_forget(void *ctx)
{
	struct session_client *c = ctx;
	c->service->gate->forget_question(c->service->gate_ctx, c->question->asked);
	end_question(c->question);
}

void session_question_answer(struct session_question *question,
	const struct session_refusal *refusal)
{
	session_client_answered(end_question(question), refusal);
}
