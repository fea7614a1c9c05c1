/* smtpload: many SMTP sessions at once against one server on loopback; one line of JSON at the end.
 *
 * usage: smtpload [-t plain|starttls] [-c at-once] [-s sessions] [-m messages-per-session]
 *                 [-l message-bytes] [-d seconds] [-r recipient-domain] [-o file] [-k] [-P]
 *                 [-H | -I] ADDRESS:PORT
 *	-d  end after so long, whatever -s says     -k  go on when sessions fail (crash test)
 *	-o  every message with its fate: "acked ID" or "unknown ID" (sent whole, never answered)
 *	-P  MAIL, RCPT and DATA in one packet       -H  handshake only, no message
 *	-I  hold every session idle after EHLO (and TLS); says "idle N", waits for its input to end
 * Exit status 0 when no session failed (or with -k).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench_stream.h"

enum phase { CONNECT, BANNER, EHLO, STARTTLS, HANDSHAKE, EHLO_TLS, MAIL, RCPT, DATA, BODY, DOT, QUIT,
	IDLE };
static const char *const phase_names[] = { "connect", "banner", "EHLO", "STARTTLS", "handshake",
	"EHLO over TLS", "MAIL", "RCPT", "DATA", "body", "final dot", "QUIT", "idle" };

struct session {
	struct bench_stream stream;
	enum phase phase;
	long messages_left;
	unsigned message;   /* the number in the id */
	size_t body_sent;
	double dot_s;
};

static struct {
	struct sockaddr_in to;
	bool starttls, keeps_going, pipelines, handshake_only, idles;
	long at_once, sessions, messages;
	size_t message_bytes;
	double seconds;
	const char *domain;
	FILE *fates;
} want = { .at_once = 50, .sessions = 1000, .messages = 1, .message_bytes = 10240,
	.domain = "sink.test" };

static struct {
	long started, finished, failed, acked, unknown, handshakes, idle, live;
	double *acks_ms;
	size_t ack_count, ack_room;
	char tls[160];
	double start_s, last_ack_s, end_s;
} have;

static int epoll_fd;
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priorities;
static uint32_t run_id;
static unsigned next_message;
static char *body; /* as on the wire, behind the line that holds the id */
static size_t body_bytes;
static uint64_t body_hash;

static void make_body(size_t bytes)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz 0123456789";
	uint32_t seed = 7;
	size_t line = 0;

	body = malloc(bytes + 128);
	for (body_bytes = 0; body_bytes < bytes; line++) {
		char text[76] = { 0 };

		for (size_t i = 0; i < 74; i++) {
			seed = seed * 1103515245u + 12345u;
			text[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		if (line % 40 == 7) /* shows whether dots are doubled and undone */
			text[0] = '.';
		size_t wire = (size_t)snprintf(body + body_bytes, 80, "%s%s\r\n",
			text[0] == '.' ? "." : "", text);

		body_hash = bench_hash(line ? body_hash : BENCH_HASH_START,
			body + body_bytes + (text[0] == '.'), wire - (text[0] == '.'));
		body_bytes += wire;
	}
}

static void fate(const struct session *c, const char *word)
{
	if (want.fates) {
		fprintf(want.fates, "%s %08x-%u\n", word, run_id, c->message);
		fflush(want.fates);
	}
}

static void session_start(struct session *c);

static void session_end(struct session *c, const char *reason)
{
	if (reason) {
		have.failed++;
		if (have.failed <= 5 && !want.keeps_going)
			fprintf(stderr, "smtpload: session failed at %s: %s\n",
				phase_names[c->phase], reason);
		if (c->phase == DOT) {
			have.unknown++;
			fate(c, "unknown");
		}
		if (c->phase == CONNECT && want.keeps_going)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	} else {
		have.finished++;
	}
	bench_stream_close(&c->stream);
	have.live--;
	have.end_s = bench_now_s();
	session_start(c);
}

static void session_start(struct session *c)
{
	bool is_over = want.seconds > 0 && bench_now_s() - have.start_s > want.seconds;
	int one = 1;

	if (have.started >= want.sessions || is_over)
		return;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("smtpload: socket");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	have.started++;
	have.live++;
	c->phase = CONNECT;
	c->messages_left = want.messages;
	bench_stream_init(&c->stream, epoll_fd, fd, c);
	if (connect(fd, (struct sockaddr *)&want.to, sizeof(want.to)) < 0 && errno != EINPROGRESS)
		session_end(c, strerror(errno));
}

static void say_ehlo(struct session *c, enum phase phase)
{
	bench_stream_print(&c->stream, "EHLO load.test\r\n");
	c->phase = phase;
}

static void say_mail(struct session *c)
{
	c->message = next_message++;
	bench_stream_print(&c->stream, "MAIL FROM:<from@load.test>\r\n");
	if (want.pipelines)
		bench_stream_print(&c->stream, "RCPT TO:<user%u@%s>\r\nDATA\r\n",
			c->message % 1000, want.domain);
	c->phase = MAIL;
}

static void say_headers(struct session *c)
{
	char line[64];
	size_t size = (size_t)snprintf(line, sizeof(line), "message %08x-%u\r\n", run_id, c->message);
	uint64_t sum = bench_hash(BENCH_HASH_START, line, size) ^ body_hash;

	bench_stream_print(&c->stream,
		"From: from@load.test\r\nTo: user%u@%s\r\nSubject: load %u\r\n"
		"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%08x-%u@load.test>\r\n"
		"X-Bench-Id: %08x-%u\r\nX-Bench-Sum: %016llx\r\n\r\n%s",
		c->message % 1000, want.domain, c->message, run_id, c->message, run_id,
		c->message, (unsigned long long)sum, line);
	c->body_sent = 0;
	c->phase = BODY;
}

static void pump_body(struct session *c)
{
	size_t room = bench_stream_room(&c->stream);
	size_t left = body_bytes - c->body_sent;
	size_t piece = left < room ? left : room;

	bench_stream_put(&c->stream, body + c->body_sent, piece);
	c->body_sent += piece;
	if (c->body_sent == body_bytes && bench_stream_room(&c->stream) >= 3) {
		bench_stream_put(&c->stream, ".\r\n", 3);
		c->dot_s = bench_now_s();
		c->phase = DOT;
	}
}

static void message_acked(struct session *c)
{
	have.last_ack_s = bench_now_s();
	have.acked++;
	fate(c, "acked");
	if (have.ack_count == have.ack_room) {
		have.ack_room = have.ack_room ? have.ack_room * 2 : 4096;
		have.acks_ms = realloc(have.acks_ms, have.ack_room * sizeof(*have.acks_ms));
	}
	have.acks_ms[have.ack_count++] = (have.last_ack_s - c->dot_s) * 1000;
}

/* The session is ready for mail. */
static void ready(struct session *c)
{
	if (want.idles) {
		c->phase = IDLE;
		have.idle++;
	} else if (want.handshake_only || c->messages_left == 0) {
		bench_stream_print(&c->stream, "QUIT\r\n");
		c->phase = QUIT;
	} else {
		c->messages_left--;
		say_mail(c);
	}
}

static bool is_expected(enum phase phase, int code)
{
	switch (phase) {
	case BANNER:
	case STARTTLS:
		return code == 220;
	case DATA:
		return code == 354;
	case QUIT:
		return code == 221;
	default:
		return code / 100 == 2;
	}
}

/* A whole reply came. NULL or what went wrong. */
static const char *hear(struct session *c, const char *line)
{
	if (!is_expected(c->phase, atoi(line)))
		return line;
	switch (c->phase) {
	case BANNER:
		say_ehlo(c, EHLO);
		break;
	case EHLO:
		if (want.starttls) {
			bench_stream_print(&c->stream, "STARTTLS\r\n");
			c->phase = STARTTLS;
		} else {
			ready(c);
		}
		break;
	case STARTTLS:
		if (bench_stream_start_tls(&c->stream, GNUTLS_CLIENT, priorities, credentials) < 0)
			return "bytes behind the STARTTLS reply";
		c->phase = HANDSHAKE;
		break;
	case MAIL:
		if (!want.pipelines)
			bench_stream_print(&c->stream, "RCPT TO:<user%u@%s>\r\n",
				c->message % 1000, want.domain);
		c->phase = RCPT;
		break;
	case RCPT:
		if (!want.pipelines)
			bench_stream_print(&c->stream, "DATA\r\n");
		c->phase = DATA;
		break;
	case DATA:
		say_headers(c);
		break;
	case DOT:
		message_acked(c);
		ready(c);
		break;
	case EHLO_TLS:
		ready(c);
		break;
	case QUIT:
		return NULL;
	default:
		return "a reply nobody waits for";
	}
	return NULL;
}

static void handshake(struct session *c)
{
	enum bench_stream_result result = bench_stream_handshake(&c->stream);

	if (result == BENCH_FAILED) {
		session_end(c, "TLS");
	} else if (result == BENCH_DONE) {
		if (have.handshakes++ == 0) {
			char *words = gnutls_session_get_desc(c->stream.tls);

			snprintf(have.tls, sizeof(have.tls), "%s", words ? words : "");
			gnutls_free(words);
		}
		say_ehlo(c, EHLO_TLS);
	}
}

/* False when the session is over. */
static bool read_replies(struct session *c)
{
	for (;;) {
		enum bench_stream_result result = bench_stream_fill(&c->stream);
		size_t size;

		for (char *line; (line = bench_stream_line(&c->stream, &size));) {
			bool is_quit = c->phase == QUIT;

			if (size >= 4 && line[3] == '-')
				continue;
			const char *problem = hear(c, line);

			if (problem || is_quit) {
				session_end(c, problem);
				return false;
			}
		}
		if (c->phase == HANDSHAKE || result == BENCH_AGAIN)
			return true;
		if (result == BENCH_END || result == BENCH_FAILED) {
			session_end(c, result == BENCH_END ? "closed by the server" : strerror(errno));
			return false;
		}
	}
}

static bool flush(struct session *c)
{
	for (;;) {
		enum bench_stream_result result = bench_stream_flush(&c->stream);

		if (result == BENCH_FAILED) {
			session_end(c, "cannot send");
			return false;
		}
		if (result == BENCH_AGAIN || c->phase != BODY)
			return true;
		pump_body(c);
	}
}

static void on_ready(struct session *c, uint32_t events)
{
	if (c->phase == CONNECT) {
		int error = 0;
		socklen_t size = sizeof(error);

		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error) {
			session_end(c, strerror(error));
			return;
		}
		c->phase = BANNER;
	}
	if (c->phase == HANDSHAKE) {
		handshake(c);
		if (c->phase == CONNECT || c->stream.fd < 0)
			return; /* failed, and perhaps begun anew */
	} else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !read_replies(c)) {
		return;
	}
	if (c->phase == HANDSHAKE)
		handshake(c);
	if (c->stream.fd < 0 || c->phase == CONNECT || !flush(c))
		return;
	bench_stream_arm(&c->stream, c, c->phase == BODY);
	if (c->phase == IDLE)
		bench_stream_trim(&c->stream);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(double share)
{
	if (have.ack_count == 0)
		return 0;
	return have.acks_ms[(size_t)((double)(have.ack_count - 1) * share)];
}

static void report(void)
{
	double seconds = have.end_s - have.start_s;
	double until_ack = have.last_ack_s - have.start_s;

	qsort(have.acks_ms, have.ack_count, sizeof(*have.acks_ms), compare);
	printf("{\"sessions\": %ld, \"failed\": %ld, \"acked\": %ld, \"unknown\": %ld, "
	       "\"seconds\": %.3f, \"messages_per_s\": %.1f, \"sessions_per_s\": %.1f, "
	       "\"mb_per_s\": %.1f, \"handshakes\": %ld, \"tls\": \"%s\", \"cpu_s\": %.3f, "
	       "\"start_s\": %.6f, \"ack_ms\": [%.2f, %.2f, %.2f]}\n",
		have.finished, have.failed, have.acked, have.unknown, seconds,
		until_ack > 0 ? (double)have.acked / until_ack : 0,
		seconds > 0 ? (double)have.finished / seconds : 0,
		until_ack > 0 ? (double)have.acked * (double)body_bytes / 1e6 / until_ack : 0,
		have.handshakes, have.tls, bench_cpu_s(), have.start_s, percentile(0.5),
		percentile(0.95), percentile(0.99));
}

static void usage(void)
{
	fprintf(stderr, "usage: smtpload [-t plain|starttls] [-c N] [-s N] [-m N] [-l BYTES] "
			"[-d SECONDS] [-r DOMAIN] [-o FILE] [-k] [-P] [-H | -I] ADDRESS:PORT\n");
	exit(2);
}

static void read_arguments(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "t:c:s:m:l:d:r:o:kPHI")) != -1;) {
		switch (option) {
		case 't': want.starttls = strcmp(optarg, "starttls") == 0; break;
		case 'c': want.at_once = atol(optarg); break;
		case 's': want.sessions = atol(optarg); break;
		case 'm': want.messages = atol(optarg); break;
		case 'l': want.message_bytes = (size_t)atol(optarg); break;
		case 'd': want.seconds = atof(optarg); break;
		case 'r': want.domain = optarg; break;
		case 'o': want.fates = fopen(optarg, "w"); break;
		case 'k': want.keeps_going = true; break;
		case 'P': want.pipelines = true; break;
		case 'H': want.handshake_only = true; break;
		case 'I': want.idles = true; break;
		default: usage();
		}
	}
	char *colon = optind < argc ? strrchr(argv[optind], ':') : NULL;

	if (!colon || want.at_once < 1)
		usage();
	*colon = '\0';
	want.to.sin_family = AF_INET;
	want.to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, argv[optind], &want.to.sin_addr) != 1 ||
		(ntohl(want.to.sin_addr.s_addr) >> 24) != 127) {
		fprintf(stderr, "smtpload: only loopback addresses\n");
		exit(2);
	}
}

static void turn(int timeout_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(epoll_fd, events, 256, timeout_ms);

	for (int i = 0; i < count; i++)
		on_ready(events[i].data.ptr, events[i].events);
}

static void hold_idle(void)
{
	char byte;

	printf("idle %ld\n", have.idle);
	fflush(stdout);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	while (read(STDIN_FILENO, &byte, 1) != 0)
		turn(50);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	read_arguments(argc, argv);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gnutls_certificate_allocate_credentials(&credentials);
	gnutls_priority_init(&priorities, "NORMAL", NULL);
	have.start_s = bench_now_s();
	run_id = (uint32_t)(have.start_s * 1e6) ^ ((uint32_t)getpid() << 16);
	make_body(want.message_bytes);
	have.start_s = bench_now_s();

	struct session *slots = calloc((size_t)want.at_once, sizeof(*slots));

	for (long i = 0; i < want.at_once; i++)
		session_start(&slots[i]);
	while (have.live > have.idle)
		turn(1000);
	if (want.idles)
		hold_idle();
	report();
	return have.failed && !want.keeps_going ? 1 : 0;
}
