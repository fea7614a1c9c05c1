#include "tests/smtpd/relay/relay_fixture.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"

static void on_outcome(void *ctx, void *job, const struct relay_result *result)
{
	struct relay_fixture *f = ctx;
	assert(job == f);
	assert(result->count <= sizeof(f->outcomes) / sizeof(f->outcomes[0]));
	memcpy(f->outcomes, result->outcomes, result->count * sizeof(f->outcomes[0]));
	f->outcome_count = result->count;
	f->destination_failed = result->destination_failed;
	f->was_withdrawn = result->was_withdrawn;
	f->was_unready = result->was_unready;
	f->outcome_calls++;
}

static bool is_current(void *ctx, void *job)
{
	const struct relay_fixture *f = ctx;
	(void)job;
	return !f->was_rerouted;
}

static const struct relay_events events = { .is_current = is_current,
	.on_outcome = on_outcome };

static void keep_line(void *ctx, const char *line)
{
	struct relay_fixture *f = ctx;
	buf_append_text(&f->log, line);
	buf_append_byte(&f->log, '\n');
}

struct relay_fixture *relay_fixture_new(void)
{
	struct relay_fixture *f = mem_zero(sizeof(*f));
	f->loop = tlsio_loop_new(NULL);
	assert(f->loop);
	f->spool = fake_spool_new(f->loop, NULL, NULL);
	f->settings = (struct relay_settings){ .hostname = mem_dup("relay.test"),
		.connect_ms = 5000, .greeting_ms = 5000, .tls_ms = 5000, .command_ms = 5000,
		.data_ms = 5000, .block_ms = 5000, .final_ms = 5000, .idle_ms = 5000,
		.messages_per_connection = 100, .recipients_per_message = 50,
		.addresses_most = 5, .resume_tls = true };
	f->domain = "y.test";
	f->rule_fingerprint = "rule";
	fake_planner_open(&f->planner, f->loop);
	f->relay = relay_new(f->loop, f->spool, &f->settings, NULL, &f->planner.planner, &events,
		f);
	fake_hop_open(&f->hop, f->loop, NULL);
	snprintf(f->words, sizeof(f->words), "smtp 127.0.0.1:%u", f->hop.address.port);
	log_capture(keep_line, f);
	return f;
}

void relay_fixture_free(struct relay_fixture **ref)
{
	struct relay_fixture *f = *ref;
	relay_free(&f->relay);
	fake_planner_close(&f->planner);
	fake_hop_close(&f->hop);
	spool_close(&f->spool);
	for (int i = 0; i < 3; i++)
		tlsio_loop_turn(f->loop, false);
	tlsio_loop_free(&f->loop);
	log_capture(NULL, NULL);
	buf_release(&f->log);
	free(f->settings.hostname);
	free(f);
	*ref = NULL;
}

static void on_durable(void *ctx, uint64_t id, const struct err *error)
{
	uint64_t *ret_id = ctx;
	assert(!error);
	*ret_id = id;
}

uint64_t relay_fixture_message(struct relay_fixture *f, const char *sender, const char *content,
	...)
{
	struct spool_recipient recipients[16] = { 0 };
	struct spool_envelope e = { .sender = str_of(sender), .recipients = recipients,
		.flags = f->flags, .ret = f->ret, .envid = str_of(f->envid ? f->envid : "") };
	uint64_t id = 0;
	va_list args;
	const char *address;
	va_start(args, content);
	while ((address = va_arg(args, const char *)) != NULL) {
		assert(e.recipient_count < 16);
		recipients[e.recipient_count++] = (struct spool_recipient){
			.address = str_of(address),
			.notify = f->notify,
			.orcpt = str_of(f->orcpt ? f->orcpt : ""),
		};
	}
	va_end(args);
	struct spool_writer *w = spool_begin(f->spool, NULL);
	assert(spool_write(w, str_of(content), NULL) == 0);
	spool_commit(&w, &e, on_durable, &id);
	while (!id)
		tlsio_loop_turn(f->loop, false);
	f->recipient_count = e.recipient_count;
	return id;
}

void relay_fixture_begin(struct relay_fixture *f, uint64_t id, const char *words,
	const char *level)
{
	uint32_t recipients[16];
	struct policy_requirement demand = f->demand;
	struct err err = { 0 };
	demand.source = (char *)"test.conf:1"; /* copied */
	for (int l = POLICY_LEVEL_NONE; l <= POLICY_LEVEL_DANE_ONLY; l++)
		if (strcmp(policy_level_name((enum policy_level)l), level) == 0)
			demand.level = (enum policy_level)l;
	struct policy_requirement *requirement = policy_requirement_new(&demand);
	struct policy_rule rule = { .requirement = requirement };
	str_copy(str_of(f->rule_fingerprint), rule.fingerprint, sizeof(rule.fingerprint));
	struct relay_destination *d =
		relay_destination_new(str_of(words), f->domain, &rule, &err);
	if (!d) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	policy_requirement_unref(&requirement);
	for (uint32_t i = 0; i < f->recipient_count; i++)
		recipients[i] = i;
	f->outcome_calls = 0;
	relay_start(f->relay, id, d, recipients, f->recipient_count, f);
	assert(f->outcome_calls == 0);
	relay_destination_unref(&d);
}

void relay_fixture_wait(struct relay_fixture *f)
{
	while (f->outcome_calls == 0)
		tlsio_loop_turn(f->loop, true);
	assert(f->outcome_calls == 1);
}

void relay_fixture_send_by(struct relay_fixture *f, uint64_t id, const char *words,
	const char *level)
{
	relay_fixture_begin(f, id, words, level);
	relay_fixture_wait(f);
}

void relay_fixture_send(struct relay_fixture *f, uint64_t id, const char *level)
{
	relay_fixture_send_by(f, id, f->words, level);
}
