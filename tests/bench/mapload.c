/* mapload: how many answers a second a socketmap server gives, on pipelined connections.
 *
 * usage: mapload [-s SECONDS] [-c CONNECTIONS] [-d DEPTH] [-n DOMAINS]
 *        mapload ... -a ADDRESS:PORT [-m MAP] [-f FILE] [-o]
 *
 * Without -a a forked process serves from a real plan service whose plans are all kept (resolver and
 * MTA-STS are the fakes of the tests): a half of the domains has DANE, a quarter MTA-STS in force, a
 * quarter nothing. With -a any other server is asked, for the names in FILE, one a line, or for the same
 * names. Each connection has DEPTH requests under way, a domain at random each time; with -o each domain
 * once, and the end. Prints the rate and, of the forked server, the rate for each second of its processor
 * time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/netaddr.h"
#include "smtpd/socketmap/socketmap_netstring.h"
#include "smtpd/socketmap/socketmap_server.h"
#include "smtpd/socketmap/socketmap_settings.h"
#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_sts.h"

#define RECORD "3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

enum { NAME_BYTES = 256, CONNECTIONS_MOST = 1000, ANSWER_BYTES_MOST = 100000, BATCH = 1000 };

struct load {
	int seconds, connections, depth;
	size_t count;
	bool is_once;
	size_t next; /* once: the domain that comes next */
	const char *map;
	char (*names)[NAME_BYTES];
	struct netaddr address;
	uint32_t random;
	uint64_t answers, ok, found_none;
};

struct connection {
	int fd;
	int open; /* requests without an answer */
	struct buf out, in;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "mapload: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* ---- our server ------------------------------------------------------------------------------------- */

struct service {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts *sts;
	struct plan_service *plans;
	size_t ready;
};

static void add_domain(struct service *s, const char *name, size_t index)
{
	char host[NAME_BYTES + 8], mx[NAME_BYTES + 16], tlsa[NAME_BYTES + 24], policy[NAME_BYTES + 80];
	snprintf(host, sizeof(host), "mx.%s", name);
	snprintf(mx, sizeof(mx), "10 %s", host);
	snprintf(tlsa, sizeof(tlsa), "_25._tcp.%s", host);
	fake_dns_set(s->dns, name, DNS_MX, DNS_SECURE, mx);
	fake_dns_set(s->dns, host, DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set_none(s->dns, host, DNS_AAAA, DNS_NO_DATA, DNS_SECURE);
	fake_dns_set_none(s->dns, tlsa, DNS_TLSA, DNS_NO_NAME, DNS_SECURE);
	if (index % 2) {
		fake_dns_set(s->dns, tlsa, DNS_TLSA, DNS_SECURE, RECORD);
	} else if (index % 4) {
		snprintf(policy, sizeof(policy),
			"version: STSv1\nmode: enforce\nmx: %s\nmx: *.%s\nmax_age: 86400\n", host, name);
		fake_sts_set_policy(s->sts, name, policy);
	}
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct service *s = ctx;
	(void)plan;
	s->ready++;
}

static void warm(struct service *s, const struct load *load)
{
	for (size_t i = 0; i < load->count; i++) {
		const struct policy_question question = { .kind = POLICY_BY_MX,
			.rule_domain = load->names[i], .next_hop = load->names[i], .port = 25 };
		add_domain(s, load->names[i], i);
		plan_service_ask(s->plans, &question, on_plan, s);
		if (i % BATCH == BATCH - 1)
			tlsio_loop_turn(s->loop, false);
	}
	while (s->ready < load->count)
		tlsio_loop_turn(s->loop, false);
}

static void on_terminate(void *ctx, int number)
{
	(void)number;
	tlsio_loop_stop(ctx);
}

/* Says with a byte that it is warm. */
static int serve(const struct load *load, struct sockets *sockets, int ready_fd)
{
	struct service s = { 0 };
	struct tlsio_signal terminate;
	struct policy_rules *rules = policy_rules_new();
	s.loop = tlsio_loop_new(NULL);
	s.dns = dns_new(s.loop, NULL, NULL);
	s.sts = sts_new(s.loop, s.dns, NULL, STS_CACHE_READ_ONLY, NULL, NULL, NULL);
	s.plans = plan_service_new(&(struct plan_service_setup){ .loop = s.loop, .dns = s.dns,
		.sts = s.sts, .rules = rules, .roots_name = "system", .plans_most = load->count,
		.in_flight_most = 2 * load->count });
	warm(&s, load);
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	double warm_s = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 +
			(double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6;
	struct socketmap_server *server = socketmap_server_new(s.loop, s.plans);
	socketmap_server_listen(server, sockets);
	if (write(ready_fd, &warm_s, sizeof(warm_s)) != sizeof(warm_s))
		return EXIT_FAILURE;
	tlsio_signal_start(&terminate, s.loop, SIGTERM, on_terminate, s.loop);
	tlsio_loop_run(s.loop);
	tlsio_signal_stop(&terminate);
	socketmap_server_free(&server);
	plan_service_free(&s.plans);
	policy_rules_unref(&rules);
	sts_free(&s.sts);
	dns_free(&s.dns);
	tlsio_loop_free(&s.loop);
	return EXIT_SUCCESS;
}

static pid_t start_server(struct load *load, double *warm_s)
{
	char text[] = "127.0.0.1:0";
	struct sockets_address address = { .section = text, .text = text };
	struct sockets_settings settings = { &address, 1 };
	struct sockaddr_storage at;
	socklen_t length = sizeof(at);
	struct err err;
	int ready[2];
	netaddr_parse(str_of(text), 0, &address.address, NULL);
	struct sockets *sockets = sockets_open(&settings, NULL, &err);
	if (!sockets || pipe(ready) < 0 ||
		getsockname(sockets_fd(sockets, 0), (struct sockaddr *)&at, &length) < 0)
		fail("a socket");
	netaddr_from_sockaddr((struct sockaddr *)&at, &load->address);
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve(load, sockets, ready[1]));
	if (read(ready[0], warm_s, sizeof(*warm_s)) != sizeof(*warm_s))
		fail("the server");
	sockets_unref(&sockets);
	return pid;
}

/* ---- who asks ----------------------------------------------------------------------------------------- */

static void make_names(struct load *load, const char *file)
{
	FILE *in = file ? fopen(file, "r") : NULL;
	if (file && !in)
		fail(file);
	load->names = mem_array(load->count, sizeof(*load->names));
	for (size_t i = 0; i < load->count; i++) {
		if (!in) {
			snprintf(load->names[i], NAME_BYTES, "domain%zu.example.org", i);
			continue;
		}
		if (!fgets(load->names[i], NAME_BYTES, in)) {
			load->count = i;
			break;
		}
		load->names[i][strcspn(load->names[i], "\n")] = '\0';
	}
	if (in)
		fclose(in);
	if (load->count == 0)
		fail("no names");
}

static size_t any(struct load *load)
{
	if (load->is_once)
		return load->next++;
	load->random = load->random * 1664525 + 1013904223;
	return (size_t)(((uint64_t)load->random * load->count) >> 32);
}

static void ask_more(struct load *load, struct connection *c)
{
	char request[NAME_BYTES + 40];
	for (; c->open < load->depth && !(load->is_once && load->next == load->count); c->open++) {
		int length = snprintf(request, sizeof(request), "%s %s", load->map, load->names[any(load)]);
		socketmap_netstring_write(&c->out, str_from(request, (size_t)length));
	}
	while (c->out.length > 0) {
		struct str bytes = buf_str(&c->out);
		ssize_t sent = send(c->fd, bytes.at, bytes.length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			fail("send");
		buf_consume(&c->out, (size_t)sent);
	}
}

static void take_answers(struct load *load, struct connection *c)
{
	struct str payload;
	size_t used, all = 0;
	ssize_t count = recv(c->fd, buf_reserve(&c->in, 1 << 16), 1 << 16, 0);
	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0)
		fail("the server closed the connection");
	buf_added(&c->in, (size_t)count);
	while (socketmap_netstring_split(str_skip(buf_str(&c->in), all), ANSWER_BYTES_MOST, &payload,
		       &used, NULL) == 1) {
		all += used;
		c->open--;
		load->answers++;
		load->ok += str_starts(payload, STR("OK "));
		load->found_none += str_starts(payload, STR("NOTFOUND "));
	}
	buf_consume(&c->in, all);
}

static int connect_to(const struct netaddr *address)
{
	struct sockaddr_storage at;
	socklen_t length = netaddr_to_sockaddr(address, &at);
	int one = 1, fd = socket(at.ss_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, length) < 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static bool is_over(const struct load *load, double began)
{
	return load->is_once ? load->answers == load->count : now_s() - began >= load->seconds;
}

static double run(struct load *load)
{
	struct connection *all = mem_zero((size_t)load->connections * sizeof(*all));
	struct pollfd *fds = mem_zero((size_t)load->connections * sizeof(*fds));
	for (int i = 0; i < load->connections; i++)
		fds[i].fd = all[i].fd = connect_to(&load->address);
	double began = now_s();
	while (!is_over(load, began)) {
		for (int i = 0; i < load->connections; i++) {
			if (all[i].open <= load->depth / 2)
				ask_more(load, &all[i]);
			fds[i].events = (short)(POLLIN | (all[i].out.length ? POLLOUT : 0));
		}
		if (poll(fds, (nfds_t)load->connections, 1000) < 0)
			fail("poll");
		for (int i = 0; i < load->connections; i++)
			if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
				take_answers(load, &all[i]);
	}
	double took_s = now_s() - began;
	for (int i = 0; i < load->connections; i++) {
		close(all[i].fd);
		buf_release(&all[i].out);
		buf_release(&all[i].in);
	}
	free(all);
	free(fds);
	return took_s;
}

static void read_options(struct load *load, int argc, char **argv, const char **address,
	const char **file)
{
	int option;
	while ((option = getopt(argc, argv, "s:c:d:n:a:m:f:o")) != -1) {
		switch (option) {
		case 's': load->seconds = atoi(optarg); break;
		case 'c': load->connections = atoi(optarg); break;
		case 'd': load->depth = atoi(optarg); break;
		case 'n': load->count = (size_t)atol(optarg); break;
		case 'm': load->map = optarg; break;
		case 'a': *address = optarg; break;
		case 'f': *file = optarg; break;
		case 'o': load->is_once = true; break;
		default: exit(2);
		}
	}
	if (load->seconds < 1 || load->connections < 1 || load->connections > CONNECTIONS_MOST ||
		load->depth < 1 || load->count < 1)
		exit(2);
}

int main(int argc, char **argv)
{
	struct load load = { .seconds = 3, .connections = 10, .depth = 100, .count = 10000,
		.map = "postfix", .random = 1 };
	const char *address = NULL, *file = NULL;
	struct rusage used;
	struct err err;
	double warm_s = 0;
	pid_t server = 0;
	read_options(&load, argc, argv, &address, &file);
	make_names(&load, file);
	if (!address)
		server = start_server(&load, &warm_s);
	else if (netaddr_parse(str_of(address), SOCKETMAP_PORT, &load.address, &err) < 0) {
		fprintf(stderr, "mapload: %s\n", err.text);
		return 2;
	}
	double took_s = run(&load);
	printf("%.0f answers/s in %.3f s on %d connections, %d deep: %.0f %% OK, %.0f %% NOTFOUND",
		(double)load.answers / took_s, took_s, load.connections, load.depth,
		100.0 * (double)load.ok / (double)load.answers,
		100.0 * (double)load.found_none / (double)load.answers);
	if (server) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
		getrusage(RUSAGE_CHILDREN, &used);
		double cpu_s = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 +
			       (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6 - warm_s;
		printf("; server: %.0f for each second of its processor time, %ld MiB",
			(double)load.answers / cpu_s, used.ru_maxrss / 1024);
	}
	printf("\n");
	free(load.names);
	return load.ok + load.found_none == load.answers && load.answers ? EXIT_SUCCESS : EXIT_FAILURE;
}
