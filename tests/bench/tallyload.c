/* tallyload: what counting TLS sessions costs.
 *
 * usage: tallyload [FOLDER]
 *
 * Three figures: datagrams of Postfix read and counted in a second, over 10,000 domains, and the bytes
 * of the file then; sessions judged and written into a frame as a worker does for each; sessions by
 * name counted as postern-policyd does for a worker. One thread; real files in FOLDER (default /tmp).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/door/door_wire.h"
#include "policy/tlsrpt/tlsrpt_datagram.h"
#include "policy/tlsrpt/tlsrpt_tally.h"

enum { DOMAINS = 10000, DATAGRAMS = 200000, SESSIONS = 500000 };

static const char policy_text[] =
	"sts\td%d.example\ns\tversion: STSv1\ns\tmode: enforce\ns\tmx: *.d%d.example\n"
	"s\tmax_age: 604800\nm\t*.d%d.example\n";

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_session(void *ctx, const struct tlsrpt_session *session)
{
	tlsrpt_tally_add(ctx, session);
}

static void on_warning(void *ctx, const char *words)
{
	(void)ctx;
	fprintf(stderr, "%s\n", words);
}

static void make_datagram(struct buf *into, unsigned i)
{
	unsigned d = i % DOMAINS;
	buf_clear(into);
	buf_printf(into,
		"{\"dpv\":\"1\",\"d\":\"d%u.example\",\"pr\":\"v=TLSRPTv1;rua=mailto:tls@d%u.example\","
		"\"policies\":[{\"policy-type\":2,\"policy-domain\":\"d%u.example\",\"policy-string\":["
		"\"version: STSv1\",\"mode: enforce\",\"mx: *.d%u.example\",\"max_age: 604800\"],"
		"\"mx-host\":[\"*.d%u.example\"]", d, d, d, d, d);
	if (i % 20 == 0)
		buf_printf(into, ",\"failure-details\":[{\"c\":202,\"s\":\"192.0.2.1\",\"n\":\"mx.d%u.example\","
			"\"r\":\"192.0.2.9\",\"f\":\"certificate mismatch\"}],\"t\":1,\"f\":1}]}", d);
	else
		buf_append_text(into, ",\"t\":0,\"f\":0}]}");
}

/* The loop between: what a turn of postern-policyd would write. */
static double time_datagrams(struct tlsio_loop *loop, struct tlsrpt_tally *tally)
{
	struct buf bytes = { 0 };
	double spent = 0;
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		make_datagram(&bytes, i);
		double from = now_s();
		if (tlsrpt_datagram_read(buf_str(&bytes), on_session, tally, NULL) < 0)
			abort();
		if (i % 64 == 0)
			tlsio_loop_turn(loop, false);
		spent += now_s() - from;
	}
	double from = now_s();
	tlsrpt_tally_flush(tally);
	buf_release(&bytes);
	return spent + now_s() - from;
}

static struct policy_session session_of(const struct policy_report *report,
	const struct policy_judgement *j)
{
	struct policy_session s = { .domain = "d1.example", .host = "mx.d1.example", .part_count = 1,
		.parts = { { .type = report->type, .reason = j->reason, .identity = report->identity,
			.domain = report->domain, .why = j->text } } };
	s.sending = (struct netaddr){ .family = NETADDR_IPV4, .bytes = { 192, 0, 2, 1 } };
	s.receiving = s.sending;
	return s;
}

static double time_worker(const struct policy_report *report)
{
	struct tlsio_peer peer = { .version = TLSIO_TLS13 };
	const struct policy_report_facts facts = { .host = "mx.d1.example", .peer = &peer };
	struct policy_judgement j;
	struct buf frames = { 0 };
	double from = now_s();
	for (unsigned i = 0; i < SESSIONS; i++) {
		policy_report_judge(report, &facts, &j);
		const struct policy_session session = session_of(report, &j);
		door_wire_report(&frames, 0, &session);
		if (frames.length > 16384)
			buf_clear(&frames);
	}
	double spent = now_s() - from;
	buf_release(&frames);
	return spent;
}

static double time_named(struct tlsrpt_tally *tally, const struct policy_report *report)
{
	const struct policy_judgement j = { .reason = POLICY_REASON_NONE };
	const struct policy_session session = session_of(report, &j);
	double from = now_s();
	for (unsigned i = 0; i < SESSIONS; i++)
		tlsrpt_tally_add_named(tally, &session, 0);
	return now_s() - from;
}

int main(int argc, char **argv)
{
	char path[300], words[300];
	struct stat st = { 0 };
	struct tlsio_loop *loop = tlsio_loop_new(NULL);
	snprintf(path, sizeof(path), "%s/tallyload-%d.db", argc > 1 ? argv[1] : "/tmp", (int)getpid());
	const struct tlsrpt_settings settings = { .tally = path, .days = 10, .rows_most = 100000,
		.bytes_most = UINT64_C(1) << 30 };
	struct tlsrpt_tally *tally =
		tlsrpt_tally_new(loop, &settings, TLSRPT_TALLY_READ_WRITE, on_warning, NULL);
	int length = snprintf(words, sizeof(words), policy_text, 1, 1, 1);
	struct str text = str_from(words, (size_t)length);
	const struct policy_report report = { .type = POLICY_REPORT_STS,
		.measure = POLICY_REPORT_BY_TLS, .identity = tlsrpt_policy_identity(text),
		.domain = (char *)(uintptr_t)"d1.example" };
	tlsrpt_tally_know_text(tally, text);
	double datagrams = time_datagrams(loop, tally);
	double worker = time_worker(&report), named = time_named(tally, &report);
	tlsrpt_tally_free(&tally);
	stat(path, &st);
	printf("datagrams counted: %.0f/s (%.1f us each, the file written)\n", DATAGRAMS / datagrams,
		datagrams * 1e6 / DATAGRAMS);
	printf("in the worker: %.2f us a session\n", worker * 1e6 / SESSIONS);
	printf("in postern-policyd: %.2f us a session by name\n", named * 1e6 / SESSIONS);
	printf("%d domains of one day, one in twenty sessions failed: %" PRId64 " bytes, %" PRId64
	       " each\n", DOMAINS, (int64_t)st.st_size, (int64_t)st.st_size / DOMAINS);
	unlink(path);
	tlsio_loop_free(&loop);
	return 0;
}
