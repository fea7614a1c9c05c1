/* Durable messages per second through the spool alone, at several numbers of clients: each begins,
 * writes a body, commits, waits for on_done, settles the message, and begins again.
 *
 * usage: bench_spool [DIRECTORY [SECONDS [BYTES]]]     (default: below /tmp, 3, 10240)
 *        bench_spool DIRECTORY fill COUNT [BYTES]      a queue of so many messages that stay:
 *                                                      rate, memory, and the next start
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
	size_t fill; /* messages that stay; 0: each is settled at once */
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
		bench->times_ms[bench->count] = now_ms() - client->began_ms;
	bench->count++;
	struct spool_outcome outcome = { .state = SPOOL_RECIPIENT_DELIVERED };
	if (bench->fill == 0)
		spool_settle(bench->spool, id, &outcome, 1);
	else if (bench->count == bench->fill)
		tlsio_loop_stop(bench->loop);
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
	size_t count = bench->count < TIMES_MOST ? bench->count : TIMES_MOST;
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

static double resident_mb(void)
{
	unsigned long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static struct spool *open_spool(struct bench *bench, const char *path,
	const struct spool_settings *settings)
{
	static const struct spool_events events = { on_message, on_trouble };
	struct err err;
	double began = now_ms();
	struct spool *spool =
		spool_open(bench->loop, path, 0, settings, NULL, &events, bench, &err);
	if (!spool || spool_replay(spool, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	struct spool_summary summary;
	spool_summarise(spool, &summary);
	printf("replayed %llu messages in %.0f ms; in %s\n", (unsigned long long)summary.messages,
		now_ms() - began, path);
	return spool;
}

static void fill(struct bench *bench, const char *path, const struct spool_settings *settings,
	size_t count)
{
	enum { CLIENTS = 256 };
	static struct client all[CLIENTS];
	double before_mb = resident_mb(), began = now_ms();
	bench->fill = count;
	for (unsigned i = 0; i < CLIENTS; i++)
		all[i].bench = bench;
	struct spool_summary summary = { 0 };
	bench->count = 0;
	for (unsigned i = 0; i < CLIENTS; i++)
		send_one(&all[i]);
	tlsio_loop_run(bench->loop);
	bench->is_over = true;
	spool_summarise(bench->spool, &summary);
	double took_s = (now_ms() - began) / 1e3;
	printf("%llu messages kept: %.0f a second, %.0f bytes of memory each, %llu segments\n",
		(unsigned long long)summary.messages, (double)summary.messages / took_s,
		(resident_mb() - before_mb) * (1 << 20) / (double)summary.messages,
		(unsigned long long)summary.segments);
	for (unsigned i = 0; i < CLIENTS; i++)
		spool_forget_caller(bench->spool, &all[i]);
	spool_close(&bench->spool);
	bench->spool = open_spool(bench, path, settings);
}

int main(int argc, char **argv)
{
	static const unsigned clients[] = { 1, 16, 256 };
	char directory[] = "/tmp/bench-spool-XXXXXX";
	struct spool_settings settings = { .segment_bytes = 64 << 20,
		.maximum_messages = 10000000 };
	const char *path = argc > 1 ? argv[1] : mkdtemp(directory);
	bool is_fill = argc > 3 && strcmp(argv[2], "fill") == 0;
	unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 3;
	size_t length = 10240;
	if (is_fill)
		length = argc > 4 ? (size_t)atoll(argv[4]) : 1024;
	else if (argc > 3)
		length = (size_t)atoll(argv[3]);
	struct bench bench = { .loop = tlsio_loop_new(NULL) };
	memset(buf_reserve(&bench.body, length), 'x', length);
	buf_added(&bench.body, length);
	bench.times_ms = mem_array(TIMES_MOST, sizeof(double));
	bench.spool = open_spool(&bench, path, &settings);
	tlsio_timer_init(&bench.timer, bench.loop, on_over, &bench);
	if (is_fill) {
		fill(&bench, path, &settings, (size_t)atoll(argv[3]));
	} else {
		printf("messages of %zu bytes\n"
		       "clients     per s  per sync    p50 ms    p99 ms    cpu us  segments\n",
			length);
		for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
			run(&bench, clients[i], seconds);
	}
	spool_close(&bench.spool);
	tlsio_loop_free(&bench.loop);
	buf_release(&bench.body);
	free(bench.times_ms);
	return 0;
}
