/* smtpsink: an SMTP server that stores nothing and counts what it gets; one thread.
 *
 * usage: smtpsink [-p port] [-c certificate.pem -k key.pem] [-i file]
 * Prints "listening PORT" first. XSTAT answers with one line of JSON, XRESET forgets.
 *	-i  the id (X-Bench-Id) of every message, in order of arrival, "ID ok|changed|unmarked SECONDS"
 * Checks X-Bench-Sum against the body, so that a changed message is seen.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uthash.h>

#include "tests/bench/bench_stream.h"

struct seen {
	char id[32];
	UT_hash_handle hh;
};

struct client {
	struct bench_stream stream;
	bool is_in_data, is_in_body, is_first_line;
	char id[32];
	uint64_t sum, line_hash, rest_hash;
};

static struct {
	long connections, handshakes, messages, messages_tls, distinct, changed, unmarked;
	double last_s;
	struct seen *ids;
} have;

static int epoll_fd;
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priorities;
static FILE *id_file;

static void forget(void)
{
	struct seen *seen, *next;

	HASH_ITER(hh, have.ids, seen, next)
	{
		HASH_DEL(have.ids, seen);
		free(seen);
	}
	memset(&have, 0, sizeof(have));
}

static void count_message(struct client *c)
{
	const char *verdict = "ok";
	struct seen *seen = NULL;

	have.messages++;
	have.messages_tls += c->stream.tls != NULL;
	have.last_s = bench_now_s();
	if (c->id[0] == '\0') {
		have.unmarked++;
		verdict = "unmarked";
	} else if ((c->line_hash ^ c->rest_hash) != c->sum) {
		have.changed++;
		verdict = "changed";
	}
	if (c->id[0] != '\0')
		HASH_FIND_STR(have.ids, c->id, seen);
	if (!seen && c->id[0] != '\0') {
		seen = calloc(1, sizeof(*seen));
		memcpy(seen->id, c->id, sizeof(seen->id));
		HASH_ADD_STR(have.ids, id, seen);
		have.distinct++;
	}
	if (id_file) {
		fprintf(id_file, "%s %s %.6f\n", c->id[0] ? c->id : "-", verdict, have.last_s);
		fflush(id_file);
	}
}

static void data_line(struct client *c, char *line, size_t size)
{
	if (size == 1 && line[0] == '.') {
		count_message(c);
		bench_stream_print(&c->stream, "250 2.0.0 counted\r\n");
		c->is_in_data = false;
		return;
	}
	if (size > 0 && line[0] == '.')
		line++, size--;
	if (!c->is_in_body) {
		if (size == 0)
			c->is_in_body = c->is_first_line = true;
		else if (strncasecmp(line, "X-Bench-Id: ", 12) == 0)
			snprintf(c->id, sizeof(c->id), "%.31s", line + 12);
		else if (strncasecmp(line, "X-Bench-Sum: ", 13) == 0)
			c->sum = strtoull(line + 13, NULL, 16);
		return;
	}
	uint64_t *hash = c->is_first_line ? &c->line_hash : &c->rest_hash;

	*hash = bench_hash(bench_hash(*hash, line, size), "\r\n", 2);
	c->is_first_line = false;
}

static void say_statistics(struct client *c)
{
	bench_stream_print(&c->stream,
		"250 {\"connections\": %ld, \"handshakes\": %ld, \"messages\": %ld, \"tls\": %ld, "
		"\"distinct\": %ld, \"changed\": %ld, \"unmarked\": %ld, \"last_s\": %.6f, "
		"\"cpu_s\": %.3f}\r\n",
		have.connections, have.handshakes, have.messages, have.messages_tls, have.distinct,
		have.changed, have.unmarked, have.last_s, bench_cpu_s());
}

static bool is_verb(const char *line, const char *verb)
{
	return strncasecmp(line, verb, strlen(verb)) == 0;
}

/* False: say goodbye. */
static bool command_line(struct client *c, const char *line)
{
	if (is_verb(line, "EHLO")) {
		bench_stream_print(&c->stream,
			"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n%s250 SIZE 99999999\r\n",
			credentials && !c->stream.tls ? "250-STARTTLS\r\n" : "");
	} else if (is_verb(line, "STARTTLS") && credentials && !c->stream.tls) {
		bench_stream_print(&c->stream, "220 2.0.0 go ahead\r\n");
		if (bench_stream_flush(&c->stream) != BENCH_DONE ||
			bench_stream_start_tls(&c->stream, GNUTLS_SERVER, priorities, credentials) < 0)
			return false;
	} else if (is_verb(line, "DATA")) {
		c->is_in_data = true;
		c->is_in_body = false;
		c->id[0] = '\0';
		c->sum = 0;
		c->line_hash = c->rest_hash = BENCH_HASH_START;
		bench_stream_print(&c->stream, "354 go\r\n");
	} else if (is_verb(line, "XSTAT")) {
		say_statistics(c);
	} else if (is_verb(line, "XRESET")) {
		forget();
		bench_stream_print(&c->stream, "250 forgotten\r\n");
	} else if (is_verb(line, "QUIT")) {
		bench_stream_print(&c->stream, "221 2.0.0 bye\r\n");
		bench_stream_flush(&c->stream);
		return false;
	} else {
		bench_stream_print(&c->stream, "250 2.0.0 ok\r\n");
	}
	return true;
}

static bool handshake(struct client *c)
{
	enum bench_stream_result result = bench_stream_handshake(&c->stream);

	have.handshakes += result == BENCH_DONE;
	return result != BENCH_FAILED;
}

/* False when the client is gone. */
static bool read_client(struct client *c)
{
	for (;;) {
		enum bench_stream_result result = bench_stream_fill(&c->stream);
		size_t size;

		for (char *line; (line = bench_stream_line(&c->stream, &size));) {
			if (c->is_in_data)
				data_line(c, line, size);
			else if (!command_line(c, line))
				return false;
			if (bench_stream_room(&c->stream) < 4096)
				bench_stream_flush(&c->stream);
			if (c->stream.is_handshaking)
				return handshake(c);
		}
		if (result == BENCH_AGAIN)
			return true;
		if (result != BENCH_DONE)
			return false;
	}
}

static void on_ready(struct client *c)
{
	bool is_alive = c->stream.is_handshaking ? handshake(c) : true;

	if (is_alive && !c->stream.is_handshaking)
		is_alive = read_client(c);
	if (!is_alive || (!c->stream.is_handshaking && bench_stream_flush(&c->stream) == BENCH_FAILED)) {
		bench_stream_close(&c->stream);
		free(c);
		return;
	}
	bench_stream_arm(&c->stream, c, false);
	bench_stream_trim(&c->stream);
}

static void accept_all(int listener)
{
	int one = 1;

	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct client *c = calloc(1, sizeof(*c));

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		bench_stream_init(&c->stream, epoll_fd, fd, c);
		have.connections++;
		bench_stream_print(&c->stream, "220 sink ESMTP\r\n");
		bench_stream_flush(&c->stream);
		bench_stream_arm(&c->stream, c, false);
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) {
		perror("smtpsink: listen");
		exit(1);
	}
	getsockname(fd, (struct sockaddr *)&address, &size);
	printf("listening %u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void raise_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	const char *certificate = NULL, *key = NULL;
	uint16_t port = 0;

	for (int option; (option = getopt(argc, argv, "p:c:k:i:")) != -1;) {
		switch (option) {
		case 'p': port = (uint16_t)atoi(optarg); break;
		case 'c': certificate = optarg; break;
		case 'k': key = optarg; break;
		case 'i': id_file = fopen(optarg, "w"); break;
		default: fprintf(stderr, "usage: smtpsink [-p port] [-c cert -k key] [-i file]\n"); return 2;
		}
	}
	raise_files();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gnutls_priority_init(&priorities, "NORMAL", NULL);
	if (certificate) {
		gnutls_certificate_allocate_credentials(&credentials);
		if (gnutls_certificate_set_x509_key_file(credentials, certificate, key,
			    GNUTLS_X509_FMT_PEM) < 0) {
			fprintf(stderr, "smtpsink: cannot use %s and %s\n", certificate, key);
			return 1;
		}
	}
	int listener = listen_on(port);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		struct epoll_event events[256];
		int count = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				on_ready(events[i].data.ptr);
			else
				accept_all(listener);
		}
	}
}
