/* dnsload: cold, validated look-ups a second through policy/dns, beside the same through a bare
 * libunbound loop, in one run against one nsd.
 *
 * usage: dnsload [DOMAINS [AT-A-TIME [ROUNDS]]]	(1000 50 5)
 * A domain is three questions, one after the other as for a delivery: MX, A of the host, TLSA. Each
 * round has a fresh context, hence an empty cache. The zone is signed; an answer that is not secure
 * ends the run.
 */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unbound-event.h>
#include <unbound.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "policy/dns/dns.h"
#include "tests/policy/dns/dns_server.h"

enum { ROUNDS_MOST = 50, STEPS = 3 };

struct load {
	struct dns_settings settings;
	int domains, at_a_time;
	int begun, over, secure;
	/* ours */
	struct tlsio_loop *loop;
	struct dns *dns;
	/* bare */
	struct ev_loop *ev;
	struct ub_ctx *ub;
};

/* One of those at a time; takes the next domain when it is through. */
struct job {
	struct load *load;
	int domain, step;
	bool (*ask)(struct job *job, const char *name, enum dns_type type);
};

static double now_s(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void next_question(struct job *job)
{
	static const struct {
		const char *prefix;
		enum dns_type type;
	} steps[STEPS] = { { "", DNS_MX }, { "mx.", DNS_A }, { "_25._tcp.mx.", DNS_TLSA } };
	char name[80];
	if (job->step == STEPS) {
		job->load->over++;
		job->step = 0;
		job->domain = -1;
	}
	if (job->domain < 0) {
		if (job->load->begun == job->load->domains)
			return;
		job->domain = job->load->begun++;
	}
	snprintf(name, sizeof(name), "%sd%d.load.example", steps[job->step].prefix, job->domain);
	enum dns_type type = steps[job->step].type;
	job->step++;
	if (!job->ask(job, name, type)) {
		fprintf(stderr, "%s cannot be asked\n", name);
		exit(1);
	}
}

/* Ours. */

static void on_answer(void *ctx, const struct dns_answer *answer)
{
	struct job *job = ctx;
	if (answer->result == DNS_FOUND && answer->security == DNS_SECURE)
		job->load->secure++;
	else
		fprintf(stderr, "%s: %s\n", answer->canonical, answer->why);
	next_question(job);
}

static bool ask_ours(struct job *job, const char *name, enum dns_type type)
{
	return dns_ask(job->load->dns, name, type, on_answer, job) != NULL;
}

static void open_ours(struct load *load)
{
	struct err err = { 0 };
	load->loop = tlsio_loop_new(&err);
	load->dns = dns_new(load->loop, &load->settings, &err);
	if (!load->dns) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

static void run_ours(struct load *load)
{
	while (load->over < load->domains)
		tlsio_loop_turn(load->loop, true);
}

static void close_ours(struct load *load)
{
	dns_free(&load->dns);
	tlsio_loop_free(&load->loop);
}

/* Bare: libunbound's events straight on libev, answers looked at no further than their verdict. */

struct bare_event {
	struct ub_event table;
	struct ev_loop *ev;
	void (*call)(int fd, short bits, void *argument);
	void *argument;
	int fd;
	short bits;
	struct ev_io io;
	struct ev_timer timer;
};

struct bare_base {
	struct ub_event_base table;
	struct ev_loop *ev;
};

static void on_io(struct ev_loop *ev, struct ev_io *io, int ready)
{
	(void)ev;
	struct bare_event *e = io->data;
	e->call(e->fd, (short)((ready & EV_READ ? UB_EV_READ : 0) | (ready & EV_WRITE ? UB_EV_WRITE : 0)),
		e->argument);
}

static void on_timer(struct ev_loop *ev, struct ev_timer *timer, int ready)
{
	(void)ev, (void)ready;
	struct bare_event *e = timer->data;
	e->call(e->fd, UB_EV_TIMEOUT, e->argument);
}

static void bare_add_bits(struct ub_event *t, short bits)
{
	((struct bare_event *)(void *)t)->bits |= bits;
}

static void bare_del_bits(struct ub_event *t, short bits)
{
	((struct bare_event *)(void *)t)->bits &= (short)~bits;
}

static void bare_set_fd(struct ub_event *t, int fd)
{
	((struct bare_event *)(void *)t)->fd = fd;
}

static int bare_del(struct ub_event *t)
{
	struct bare_event *e = (struct bare_event *)(void *)t;
	ev_io_stop(e->ev, &e->io);
	ev_timer_stop(e->ev, &e->timer);
	return 0;
}

static void bare_free(struct ub_event *t)
{
	bare_del(t);
	free(t);
}

static int bare_add(struct ub_event *t, struct timeval *timeout)
{
	struct bare_event *e = (struct bare_event *)(void *)t;
	bare_del(t);
	if (e->fd >= 0) {
		ev_io_set(&e->io, e->fd,
			(e->bits & UB_EV_READ ? EV_READ : 0) | (e->bits & UB_EV_WRITE ? EV_WRITE : 0));
		ev_io_start(e->ev, &e->io);
	}
	if (timeout) {
		ev_timer_set(&e->timer, (double)timeout->tv_sec + (double)timeout->tv_usec / 1e6, 0.);
		ev_timer_start(e->ev, &e->timer);
	}
	return 0;
}

static int bare_add_timer(struct ub_event *t, struct ub_event_base *base,
	void (*call)(int, short, void *), void *argument, struct timeval *timeout)
{
	(void)base;
	struct bare_event *e = (struct bare_event *)(void *)t;
	e->call = call;
	e->argument = argument;
	return bare_add(t, timeout);
}

static struct ub_event_vmt bare_event_methods = {
	.add_bits = bare_add_bits,
	.del_bits = bare_del_bits,
	.set_fd = bare_set_fd,
	.free = bare_free,
	.add = bare_add,
	.del = bare_del,
	.add_timer = bare_add_timer,
	.del_timer = bare_del,
};

static struct ub_event *bare_new(struct ub_event_base *base, int fd, short bits,
	void (*call)(int, short, void *), void *argument)
{
	struct bare_event *e = mem_zero(sizeof(*e));
	e->table = (struct ub_event){ UB_EVENT_MAGIC, &bare_event_methods };
	e->ev = ((struct bare_base *)(void *)base)->ev;
	e->call = call;
	e->argument = argument;
	e->fd = fd;
	e->bits = bits;
	ev_init(&e->io, on_io);
	ev_init(&e->timer, on_timer);
	e->io.data = e;
	e->timer.data = e;
	return &e->table;
}

static struct ub_event_base_vmt bare_base_methods = { .new_event = bare_new };
static struct bare_base bare_base = { .table = { UB_EVENT_MAGIC, &bare_base_methods } };

static void on_bare_answer(void *ctx, int code, void *packet, int length, int security, char *why,
	int was_ratelimited)
{
	(void)packet, (void)length, (void)was_ratelimited;
	struct job *job = ctx;
	if (code == 0 && security == 2)
		job->load->secure++;
	else
		fprintf(stderr, "bare: code %d: %s\n", code, why ? why : "");
	next_question(job);
}

static bool ask_bare(struct job *job, const char *name, enum dns_type type)
{
	return ub_resolve_event(job->load->ub, name, (int)type, 1, job, on_bare_answer, NULL) == 0;
}

static void open_bare(struct load *load)
{
	const struct dns_stub *stub = &load->settings.stubs[0];
	char sockets[] = "outgoing-range:", many[] = "4096";
	load->ev = ev_loop_new(EVFLAG_AUTO);
	bare_base.ev = load->ev;
	load->ub = ub_ctx_create_ub_event(&bare_base.table);
	ub_ctx_set_option(load->ub, "module-config:", "validator iterator");
	ub_ctx_set_option(load->ub, "do-not-query-localhost:", "no");
	ub_ctx_set_option(load->ub, "msg-cache-size:", "20000000");
	ub_ctx_set_option(load->ub, "rrset-cache-size:", "40000000");
	ub_ctx_set_option(load->ub, sockets, many);
	ub_ctx_set_stub(load->ub, stub->zone, stub->servers[0], 0);
	ub_ctx_add_ta(load->ub, load->settings.anchor_text);
}

static void run_bare(struct load *load)
{
	while (load->over < load->domains)
		ev_run(load->ev, EVRUN_ONCE);
}

static void close_bare(struct load *load)
{
	ub_ctx_delete(load->ub);
	ev_loop_destroy(load->ev);
}

static const struct way {
	const char *name;
	void (*open)(struct load *load);
	void (*run)(struct load *load);
	void (*close)(struct load *load);
	bool (*ask)(struct job *job, const char *name, enum dns_type type);
} ways[2] = {
	{ "policy/dns", open_ours, run_ours, close_ours, ask_ours },
	{ "bare libunbound on libev", open_bare, run_bare, close_bare, ask_bare },
};

/* Questions a second, and CPU seconds for 1000 of them. */
static void measure(struct load *load, const struct way *way, double *ret_rate, double *ret_cpu_s)
{
	struct job *jobs = mem_zero((size_t)load->at_a_time * sizeof(*jobs));
	load->begun = load->over = load->secure = 0;
	way->open(load);
	double begun_s = now_s(CLOCK_MONOTONIC), cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < load->at_a_time; i++) {
		jobs[i] = (struct job){ .load = load, .domain = -1, .ask = way->ask };
		next_question(&jobs[i]);
	}
	way->run(load);
	double questions = (double)load->domains * STEPS;
	*ret_rate = questions / (now_s(CLOCK_MONOTONIC) - begun_s);
	*ret_cpu_s = (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s) * 1000 / questions;
	way->close(load);
	free(jobs);
	if (load->secure != load->domains * STEPS) {
		fprintf(stderr, "%s: %d of %d answers were secure\n", way->name, load->secure,
			load->domains * STEPS);
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

static struct dns_server *start_server(int domains)
{
	struct buf text = { 0 };
	struct dns_server *server = dns_server_new();
	if (!server)
		exit(77);
	for (int i = 0; i < domains; i++) {
		buf_printf(&text, "d%d MX 10 mx.d%d\nmx.d%d A 192.0.2.%d\n", i, i, i, i % 250 + 1);
		buf_printf(&text, "_25._tcp.mx.d%d TLSA 3 1 1 %064x\n", i, i);
	}
	dns_server_add(server, "load.example", DNS_SERVER_SIGNED, buf_text(&text));
	buf_release(&text);
	if (dns_server_start(server) < 0)
		exit(1);
	return server;
}

static int argument(int argc, char **argv, int index, int otherwise, int most)
{
	int value = argc > index ? atoi(argv[index]) : otherwise;
	return value < 1 ? 1 : value > most ? most : value;
}

int main(int argc, char **argv)
{
	double rates[2][ROUNDS_MOST], cpu_s[2][ROUNDS_MOST];
	struct load load = {
		.domains = argument(argc, argv, 1, 1000, 100000),
		.at_a_time = argument(argc, argv, 2, 50, 5000),
	};
	int rounds = argument(argc, argv, 3, 5, ROUNDS_MOST);
	struct dns_server *server = start_server(load.domains);
	dns_server_settings(server, &load.settings);
	load.settings.cache_bytes = 60000000;
	measure(&load, &ways[0], &rates[0][0], &cpu_s[0][0]); /* so that nsd is warm for both */
	for (int i = 0; i < rounds; i++)
		for (int k = 0; k < 2; k++)
			measure(&load, &ways[k], &rates[k][i], &cpu_s[k][i]);
	printf("%d domains x %d questions (MX, A, TLSA), validated, cold cache, %d domains at a time, "
	       "median of %d rounds\n",
		load.domains, STEPS, load.at_a_time, rounds);
	for (int k = 0; k < 2; k++) {
		qsort(rates[k], (size_t)rounds, sizeof(double), compare);
		qsort(cpu_s[k], (size_t)rounds, sizeof(double), compare);
		printf("%-26s %8.0f questions/s %7.3f CPU s for 1000\n", ways[k].name,
			rates[k][rounds / 2], cpu_s[k][rounds / 2]);
	}
	printf("ratio                      %8.2f\n", rates[0][rounds / 2] / rates[1][rounds / 2]);
	dns_settings_clear(&load.settings);
	dns_server_free(&server);
	return 0;
}
