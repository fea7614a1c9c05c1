#include "tests/smtpd/shard_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "tests/smtpd/config/memory_source.h"

int64_t shard_later_s;
int64_t __real_tlsio_loop_time_s(const struct tlsio_loop *loop);
int64_t __wrap_tlsio_loop_time_s(const struct tlsio_loop *loop);
int64_t __wrap_tlsio_loop_time_s(const struct tlsio_loop *loop)
{
	return __real_tlsio_loop_time_s(loop) + shard_later_s;
}

static void on_quiet(void *ctx)
{
	struct place *p = ctx;
	p->quiet_calls++;
}

static void keep_line(void *ctx, const char *line)
{
	struct place *p = ctx;
	buf_append_text(&p->log, line);
	buf_append_byte(&p->log, '\n');
}

struct config *shard_config(struct place *p, const char *more)
{
	struct memory_source files = { 0 };
	struct buf text = { 0 };
	struct err err = { 0 };
	buf_printf(&text, "hostname = \"mx.test.example\"\n"
		"listen \"127.0.0.1:0\" { tls = \"off\" }\n"
		"spool { directory = \"%s\" segment-size = \"1MiB\" minimum-free = \"0\"%s }\n"
		"retry { first = \"1h\" longest = \"1h\"%s }\n", p->directory,
		strstr(more, "#full") ? " maximum-messages = 1" : "",
		strstr(more, "#no-notices") ? " notice = \"never\" notice-policy = \"never\"" : "");
	for (const char *at = more; *at; at++) {
		if (at[0] == '$' && (at[1] == 'A' || at[1] == 'B'))
			buf_printf(&text, "smtp 127.0.0.1:%u",
				(*++at == 'A' ? &p->a : &p->b)->address.port);
		else
			buf_append_byte(&text, *at);
	}
	memory_source_put(&files, CONFIG_PATH, buf_str(&text));
	const struct config_source source = memory_source_as_config_source(&files);
	struct config *config = config_load(CONFIG_PATH, &source, NULL, &err);
	if (!config)
		fail_msg("%s", err.text);
	buf_release(&text);
	return config;
}

void shard_begin(struct place *p, const char *more)
{
	struct err err = { 0 };
	struct config *config = shard_config(p, more);
	p->shard = worker_shard_new(p->loop, 0, config, &p->planner.planner, on_quiet, p,
		&err);
	if (!p->shard)
		fail_msg("%s", err.text);
	config_unref(&config);
}

void shard_reload(struct place *p, const char *more)
{
	struct config *config = shard_config(p, more);
	worker_shard_reload(p->shard, config);
	config_unref(&config);
}

int shard_set_up(void **state)
{
	struct place *p = mem_zero(sizeof(*p));
	p->loop = tlsio_loop_new(NULL);
	strcpy(p->directory, "/tmp/postern-shard-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	fake_hop_open(&p->a, p->loop, NULL);
	fake_hop_open(&p->b, p->loop, NULL);
	fake_planner_open(&p->planner, p->loop);
	log_capture(keep_line, p);
	*state = p;
	return 0;
}

int shard_tear_down(void **state)
{
	struct place *p = *state;
	char command[100];
	worker_shard_free(&p->shard);
	fake_planner_close(&p->planner);
	fake_hop_close(&p->a);
	fake_hop_close(&p->b);
	for (int i = 0; i < 3; i++)
		tlsio_loop_turn(p->loop, false);
	tlsio_loop_free(&p->loop);
	log_capture(NULL, NULL);
	shard_later_s = 0;
	buf_release(&p->log);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->directory);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void on_durable(void *ctx, uint64_t id, const struct err *error)
{
	uint64_t *ret_id = ctx;
	assert_null(error);
	*ret_id = id;
}

uint64_t shard_put(struct place *p, const char *sender, uint8_t notify, ...)
{
	struct spool_recipient recipients[8] = { 0 };
	struct spool_envelope e = { .sender = str_of(sender), .recipients = recipients,
		.received_s = tlsio_loop_time_s(p->loop) - p->age_s };
	uint64_t id = 0;
	const char *address;
	va_list args;
	va_start(args, notify);
	while ((address = va_arg(args, const char *)) != NULL)
		recipients[e.recipient_count++] = (struct spool_recipient){
			.address = str_of(address), .notify = notify };
	va_end(args);
	struct spool_writer *w = spool_begin(worker_shard_spool(p->shard), NULL);
	assert_non_null(w);
	assert_int_equal(spool_write(w, STR("Subject: x\r\n\r\nbody\r\n"), NULL), 0);
	spool_commit(&w, &e, on_durable, &id);
	while (!id)
		tlsio_loop_turn(p->loop, true);
	return id;
}

size_t shard_messages(struct place *p)
{
	struct spool_summary summary;
	spool_summarise(worker_shard_spool(p->shard), &summary);
	return summary.messages;
}

void shard_settle(struct place *p)
{
	for (int still = 0; still < 5; still++) {
		tlsio_loop_turn(p->loop, worker_shard_running_count(p->shard) > 0);
		if (worker_shard_running_count(p->shard) > 0)
			still = 0;
	}
}

void shard_wait_for(struct place *p, struct fake_hop *hop, const char *what)
{
	for (int i = 0; i < 1000 && !strstr(fake_hop_commands(hop), what); i++)
		tlsio_loop_turn(p->loop, true);
	assert_non_null(strstr(fake_hop_commands(hop), what));
}

void shard_flush(struct place *p)
{
	sched_flush_all(worker_shard_sched(p->shard));
	shard_settle(p);
}

size_t shard_count(const char *in, const char *what)
{
	size_t n = 0;
	while ((in = strstr(in, what)) != NULL) {
		n++;
		in += strlen(what);
	}
	return n;
}

size_t shard_said(struct fake_hop *hop, const char *what)
{
	return shard_count(fake_hop_commands(hop), what);
}

bool shard_logged(struct place *p, const char *what)
{
	return strstr(buf_text(&p->log), what) != NULL;
}
