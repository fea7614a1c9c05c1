#include "tests/policy/dns/dns_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"

enum { ZONES_MOST = 20, TRIES = 5 };

struct zone {
	char *name;
	enum dns_server_zone kind;
};

struct dns_server {
	char folder[64];
	struct zone zones[ZONES_MOST];
	size_t zone_count;
	struct buf anchors;
	pid_t pid;
	int said_fd;
	int port;
};

static const char *path_of(const struct dns_server *s, const char *zone, const char *suffix,
	char into[400])
{
	snprintf(into, 400, "%s/%s%s", s->folder, zone, suffix);
	return into;
}

static void write_file(const char *path, struct str text)
{
	FILE *file = fopen(path, "w");
	if (!file || fwrite(text.at, 1, text.length, file) != text.length || fclose(file) != 0) {
		perror(path);
		abort();
	}
}

static void read_file(const char *path, struct buf *into)
{
	FILE *file = fopen(path, "r");
	char part[4096];
	for (size_t n; file && (n = fread(part, 1, sizeof(part), file)) > 0;)
		buf_append(into, part, n);
	if (file)
		fclose(file);
	else
		perror(path);
}

/* Its standard output without the line's end; -1: it failed or is not there. */
static int run(const char *folder, const char *const argv[], char *ret_line, size_t capacity)
{
	int pipes[2], status;
	if (pipe(pipes) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		if (chdir(folder) < 0)
			_exit(126);
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipes[1]);
	size_t used = 0;
	char drop[200];
	for (ssize_t n;;) {
		bool has_room = used + 1 < capacity;
		n = read(pipes[0], has_room ? ret_line + used : drop,
			has_room ? capacity - used - 1 : sizeof(drop));
		if (n <= 0)
			break;
		if (has_room)
			used += (size_t)n;
	}
	close(pipes[0]);
	if (capacity) {
		ret_line[used] = '\0';
		ret_line[strcspn(ret_line, "\n")] = '\0';
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		return -1;
	return 0;
}

static bool has_tool(const char *name)
{
	char command[200], path[300];
	snprintf(command, sizeof(command), "command -v %s", name);
	const char *const argv[] = { "sh", "-c", command, NULL };
	if (run("/", argv, path, sizeof(path)) == 0)
		return true;
	fprintf(stderr, "%s is missing\n", name);
	return false;
}

struct dns_server *dns_server_new(void)
{
	char path[2000];
	const char *old = getenv("PATH");
	snprintf(path, sizeof(path), "%s:/usr/sbin:/usr/local/sbin", old ? old : "/usr/bin:/bin");
	setenv("PATH", path, 1);
	if (!has_tool("nsd") || !has_tool("ldns-keygen") || !has_tool("ldns-signzone"))
		return NULL;
	struct dns_server *s = mem_zero(sizeof(*s));
	const char *temporary = getenv("TMPDIR");
	snprintf(s->folder, sizeof(s->folder), "%.40s/dns-test-XXXXXX",
		temporary && strlen(temporary) < 40 ? temporary : "/tmp");
	if (!mkdtemp(s->folder)) {
		perror(s->folder);
		free(s);
		return NULL;
	}
	return s;
}

static void replace(struct buf *text, const char *what, const char *by)
{
	char *at = strstr((char *)(uintptr_t)buf_text(text), what);
	if (!at)
		abort();
	memcpy(at, by, strlen(by));
}

static void must_run(const struct dns_server *s, const char *const argv[], char *ret_line, size_t capacity)
{
	if (run(s->folder, argv, ret_line, capacity) < 0) {
		fprintf(stderr, "%s failed\n", argv[0]);
		abort();
	}
}

static void sign(struct dns_server *s, const struct zone *zone)
{
	char key[200], file[400];
	bool is_expired = zone->kind == DNS_SERVER_EXPIRED;
	const char *const keygen[] = { "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone->name, NULL };
	const char *const signzone[] = { "ldns-signzone", "-i", "20200101", "-e",
		is_expired ? "20200201" : "20370101", "-f", file, zone->name, key, NULL };
	const char *const signzone_nsec3[] = { "ldns-signzone", "-n", "-i", "20200101", "-e", "20370101", "-f",
		file, zone->name, key, NULL };
	path_of(s, zone->name, ".signed", file);
	must_run(s, keygen, key, sizeof(key));
	must_run(s, zone->kind == DNS_SERVER_SIGNED_NSEC3 ? signzone_nsec3 : signzone, NULL, 0);
	char path[700];
	snprintf(path, sizeof(path), "%s/%s.ds", s->folder, key);
	read_file(path, &s->anchors);
	if (zone->kind == DNS_SERVER_TAMPERED) {
		struct buf text = { 0 };
		read_file(file, &text);
		replace(&text, "192.0.2.66", "192.0.2.67");
		write_file(file, buf_str(&text));
		buf_release(&text);
	}
}

void dns_server_add(struct dns_server *s, const char *name, enum dns_server_zone kind,
	const char *records)
{
	struct zone *zone = &s->zones[s->zone_count++];
	if (s->zone_count > ZONES_MOST)
		abort();
	*zone = (struct zone){ mem_dup(name), kind };
	if (kind == DNS_SERVER_BROKEN)
		return;
	struct buf text = { 0 };
	char path[400];
	buf_printf(&text,
		"$ORIGIN %s.\n$TTL 300\n@ SOA ns h 1 3600 600 86400 77\n@ NS ns\nns A 127.0.0.1\n%s",
		name, records);
	write_file(path_of(s, name, "", path), buf_str(&text));
	buf_release(&text);
	if (kind != DNS_SERVER_PLAIN)
		sign(s, zone);
}

/* Free for UDP and TCP a moment ago. */
static int free_port(void)
{
	for (int i = 0; i < TRIES; i++) {
		struct sockaddr_in address = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t length = sizeof(address);
		int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
		bool is_free = bind(udp, (struct sockaddr *)&address, length) == 0 &&
			       getsockname(udp, (struct sockaddr *)&address, &length) == 0 &&
			       bind(tcp, (struct sockaddr *)&address, length) == 0;
		close(udp);
		close(tcp);
		if (is_free)
			return ntohs(address.sin_port);
	}
	return -1;
}

static void write_configuration(const struct dns_server *s, const char *path)
{
	struct buf text = { 0 };
	buf_printf(&text,
		"server:\n ip-address: 127.0.0.1@%d\n zonesdir: \"%s\"\n username: \"\"\n"
		" database: \"\"\n pidfile: \"\"\n xfrdfile: \"%s/xfrd\"\n"
		" zonelistfile: \"%s/zones\"\n rrl-ratelimit: 0\n server-count: 1\n"
		" do-ip6: no\n tcp-count: 200\nremote-control:\n control-enable: no\n",
		s->port, s->folder, s->folder, s->folder);
	for (size_t i = 0; i < s->zone_count; i++) {
		enum dns_server_zone kind = s->zones[i].kind;
		buf_printf(&text, "zone:\n name: %s\n zonefile: \"%s%s\"\n", s->zones[i].name,
			s->zones[i].name,
			kind == DNS_SERVER_PLAIN    ? ""
			: kind == DNS_SERVER_BROKEN ? ".missing"
						    : ".signed");
	}
	write_file(path, buf_str(&text));
	buf_release(&text);
}

/* Its standard error says "nsd started" once its sockets are open and its zones are read. */
static bool await_start(int fd)
{
	struct buf said = { 0 };
	bool is_up = false;
	for (ssize_t n; !is_up;) {
		char *room = buf_reserve(&said, 4096);
		n = read(fd, room, 4096);
		if (n <= 0)
			break;
		buf_added(&said, (size_t)n);
		is_up = strstr(buf_text(&said), "nsd started") != NULL;
	}
	if (!is_up)
		fprintf(stderr, "nsd: %s\n", buf_text(&said));
	buf_release(&said);
	return is_up;
}

static bool start_on(struct dns_server *s, int port)
{
	char path[400];
	int pipes[2];
	s->port = port;
	write_configuration(s, path_of(s, "nsd", ".conf", path));
	pid_t parent = getpid();
	if (port < 0 || pipe(pipes) < 0)
		return false;
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(126);
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execlp("nsd", "nsd", "-d", "-c", path, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	bool is_up = s->pid > 0 && await_start(pipes[0]);
	s->said_fd = pipes[0]; /* open as long as it may say something */
	if (!is_up && s->pid > 0) {
		close(pipes[0]);
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
		s->pid = 0;
	}
	return is_up;
}

int dns_server_start(struct dns_server *s)
{
	for (int i = 0; i < TRIES; i++)
		if (start_on(s, free_port()))
			return 0;
	return -1;
}

void dns_server_free(struct dns_server **server)
{
	struct dns_server *s = *server;
	*server = NULL;
	if (!s)
		return;
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		waitpid(s->pid, NULL, 0);
		close(s->said_fd);
	}
	const char *const argv[] = { "rm", "-rf", s->folder, NULL };
	run("/", argv, NULL, 0);
	for (size_t i = 0; i < s->zone_count; i++)
		free(s->zones[i].name);
	buf_release(&s->anchors);
	free(s);
}

int dns_server_port(const struct dns_server *server)
{
	return server->port;
}

void dns_server_stub(struct dns_settings *settings, const char *zone, int port)
{
	char address[40];
	snprintf(address, sizeof(address), "127.0.0.1@%d", port);
	settings->stubs = mem_resize_array(settings->stubs, settings->stub_count + 1,
		sizeof(*settings->stubs));
	struct dns_stub *stub = &settings->stubs[settings->stub_count++];
	stub->zone = mem_dup(zone);
	stub->servers = mem_zero(2 * sizeof(*stub->servers));
	stub->servers[0] = mem_dup(address);
}

void dns_server_settings(const struct dns_server *server, struct dns_settings *ret)
{
	*ret = (struct dns_settings){ .timeout_ms = 5000, .cache_bytes = 8 << 20 };
	if (server->anchors.length)
		ret->anchor_text = mem_dup_bytes(buf_str(&server->anchors).at,
			server->anchors.length);
	for (size_t i = 0; i < server->zone_count; i++)
		dns_server_stub(ret, server->zones[i].name, server->port);
}
