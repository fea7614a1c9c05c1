#include "smtpd/worker_planner.h"

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "policy/door/door_client.h"

struct worker_planner {
	struct config *config;
	struct door_client *door;
	struct relay_planner relay;
};

static struct tlsio_trust *find_authority(void *ctx, const char *name, const uint8_t sha256[32])
{
	const struct worker_planner *p = ctx;
	return config_find_authority(p->config, name, sha256);
}

static void *ask(void *ctx, const struct policy_question *question,
	void (*on_plan)(void *asker, struct policy_plan *plan), void *asker)
{
	struct worker_planner *p = ctx;
	return door_client_ask(p->door, question, on_plan, asker);
}

static void cancel(void *ctx, void *asked)
{
	struct door_question *question = asked;
	(void)ctx;
	door_question_cancel(&question);
}

static void report(void *ctx, const struct policy_session *session)
{
	struct worker_planner *p = ctx;
	door_client_report(p->door, session);
}

static void forget(void *ctx)
{
	struct worker_planner *p = ctx;
	const struct door_authorities authorities = { find_authority, p };
	door_client_forget(p->door, &authorities);
}

struct worker_planner *worker_planner_new(struct tlsio_loop *loop, unsigned number,
	struct config *config)
{
	struct worker_planner *p = mem_zero(sizeof(*p));
	char path[4096], program[40];
	snprintf(path, sizeof(path), "%s/policyd.sock", config->run_directory);
	snprintf(program, sizeof(program), "posternd-%u", number);
	const struct door_client_setup setup = { .loop = loop, .socket_path = path,
		.program = program, .authorities = { find_authority, p } };
	p->config = config_ref(config);
	p->door = door_client_new(&setup);
	p->relay = (struct relay_planner){ .ask = ask, .cancel = cancel, .report = report,
		.forget = forget, .ctx = p };
	return p;
}

const struct relay_planner *worker_planner_relay(const struct worker_planner *p)
{
	return &p->relay;
}

void worker_planner_reload(struct worker_planner *p, struct config *config)
{
	struct config *old = p->config;
	p->config = config_ref(config);
	forget(p);
	config_unref(&old);
}

void worker_planner_free(struct worker_planner **ref)
{
	struct worker_planner *p = *ref;
	if (!p)
		return;
	*ref = NULL;
	door_client_free(&p->door);
	config_unref(&p->config);
	free(p);
}
