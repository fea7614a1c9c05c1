/* Durable messages per second through the spool alone, at several numbers of clients: each begins,
 * writes a body, commits, waits for on_done, settles the message, and begins again.
 *
 * usage: bench_spool [DIRECTORY [SECONDS [BYTES]]]     (default: below /tmp, 3, 10240)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "smtpd/spool/spool.h"

enum { TIMES_MOST = 1 << 20 };

struct bench {
	struct tlsio_loop *loop;
	struct spool *spool;
	struct tlsio_timer timer;
	struct buf body;
	double *times_ms;
	size_t count;
	bool is_over;
};

struct client {
	struct bench *bench;
	double began_ms;
};

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static void send_one(struct client *client);

static void on_message(void *ctx, const struct spool_envelope *envelope)
{
	(void)ctx;
	(void)envelope;
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	fprintf(stderr, "trouble: %s\n", err->text);
}

static void on_done(void *ctx, uint64_t id, const struct err *error)
{
	struct client *client = ctx;
	struct bench *bench = client->bench;
	if (error) {
		fprintf(stderr, "%s\n", error->text);
		exit(1);
	}
	if (bench->count < TIMES_MOST)
		bench->times_ms[bench->count++] = now_ms() - client->began_ms;
	struct spool_outcome outcome = { .state = SPOOL_RECIPIENT_DELIVERED };
	spool_settle(bench->spool, id, &outcome, 1);
	if (!bench->is_over)
		send_one(client);
}

static void send_one(struct client *client)
{
	struct spool_recipient recipient = { .address = STR("someone@recipient.example") };
	struct spool_envelope envelope = { .sender = STR("someone@sender.example"),
		.client = STR("192.0.2.1"), .received_s = 1, .recipients = &recipient,
		.recipient_count = 1 };
	struct err err;
	client->began_ms = now_ms();
	struct spool_writer *w = spool_begin(client->bench->spool, &err);
	struct str rest = buf_str(&client->bench->body);
	while (w && rest.length) {
		struct str piece = str_head(rest, rest.length < 16384 ? rest.length : 16384);
		if (spool_write(w, piece, &err) < 0)
			spool_abandon(&w);
		rest = str_skip(rest, piece.length);
	}
	if (!w) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	spool_commit(&w, &envelope, on_done, client);
}

static void on_over(void *ctx)
{
	struct bench *bench = ctx;
	bench->is_over = true;
	tlsio_loop_stop(bench->loop);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void run(struct bench *bench, unsigned clients, unsigned seconds)
{
	struct client *all = mem_array(clients, sizeof(*all));
	struct spool_summary before, after;
	spool_summarise(bench->spool, &before);
	bench->count = 0;
	bench->is_over = false;
	double cpu = cpu_ms(), began = now_ms();
	for (unsigned i = 0; i < clients; i++) {
		all[i] = (struct client){ .bench = bench };
		send_one(&all[i]);
	}
	tlsio_timer_start(&bench->timer, (int64_t)seconds * 1000);
	tlsio_loop_run(bench->loop);
	double took_s = (now_ms() - began) / 1e3;
	cpu = cpu_ms() - cpu;
	spool_summarise(bench->spool, &after);
	double commits = (double)(after.commits - before.commits);
	size_t count = bench->count;
	qsort(bench->times_ms, count, sizeof(double), compare);
	printf("%7u %9.0f %8.1f %9.2f %9.2f %9.1f %9llu\n", clients, commits / took_s,
		commits / (double)(after.syncs - before.syncs), bench->times_ms[count / 2],
		bench->times_ms[count * 99 / 100], cpu * 1e3 / commits,
		(unsigned long long)after.segments);
	fflush(stdout);
	for (unsigned i = 0; i < clients; i++)
		spool_forget_caller(bench->spool, &all[i]);
	free(all);
}

int main(int argc, char **argv)
{
	static const struct spool_events events = { on_message, on_trouble };
	static const unsigned clients[] = { 1, 16, 256 };
	char directory[] = "/tmp/bench-spool-XXXXXX";
	struct spool_settings settings = { .segment_bytes = 64 << 20,
		.maximum_messages = 1000000 };
	struct err err;
	const char *path = argc > 1 ? argv[1] : mkdtemp(directory);
	unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 3;
	size_t length = argc > 3 ? (size_t)atoll(argv[3]) : 10240;
	struct bench bench = { .loop = tlsio_loop_new(NULL) };
	bench.spool = spool_open(bench.loop, path, 0, &settings, NULL, &events, &bench, &err);
	double began = now_ms();
	if (!bench.spool || spool_replay(bench.spool, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	printf("replayed in %.0f ms; messages of %zu bytes, in %s\n", now_ms() - began, length,
		path);
	printf("clients     per s  per sync    p50 ms    p99 ms    cpu us  segments\n");
	memset(buf_reserve(&bench.body, length), 'x', length);
	buf_added(&bench.body, length);
	bench.times_ms = mem_array(TIMES_MOST, sizeof(double));
	tlsio_timer_init(&bench.timer, bench.loop, on_over, &bench);
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		run(&bench, clients[i], seconds);
	spool_close(&bench.spool);
	tlsio_loop_free(&bench.loop);
	buf_release(&bench.body);
	free(bench.times_ms);
	return 0;
}
