/* The supervisor as a whole: a real one in a process of its own, with workers that only say who
 * they are. The test reads its log, and talks to its workers over loopback. */
#include "smtpd/supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"

#define PATIENCE_MS 20000

/* ---- a program: its configuration is words, its workers say them ---------------------------------- */

struct words {
	char word[64], addresses[128], user[32], key_file[96];
	unsigned workers;
	long shutdown_ms;
};

static int parse(struct supervise_bundle *bundle, bool is_worker, const char *path,
	struct words *ret, struct err *err)
{
	struct buf text = { 0 };
	int (*read_file)(void *, const char *, size_t, struct buf *, struct err *) =
		is_worker ? supervise_bundle_read : supervise_bundle_record;
	memset(ret, 0, sizeof(*ret));
	int result = read_file(bundle, path, 4096, &text, err);
	if (result == 0 && sscanf(buf_text(&text), "%63s %u %ld %127s %31s %95s", ret->word,
				   &ret->workers, &ret->shutdown_ms, ret->addresses, ret->user,
				   ret->key_file) < 4)
		result = err_set(err, ERR_INPUT, "%s:1: bad words", path);
	buf_clear(&text);
	if (result == 0 && ret->key_file[0]) {
		result = read_file(bundle, ret->key_file, 4096, &text, err);
		str_copy(buf_str(&text), ret->word, sizeof(ret->word));
	}
	buf_release(&text);
	return result;
}

struct program {
	char directory[64];
	char config_path[96];
	struct tlsio_loop *loop;
	unsigned number;
	char word[64];
	struct tlsio_listener *listeners[8];
	size_t listener_count;
	bool drains_never;
};

static int load(void *ctx, const char *path, const uint8_t *secret, struct supervise_plan *ret,
	struct err *err)
{
	struct program *p = ctx;
	struct words words;
	struct str part, all;
	struct buf name = { 0 };
	assert_non_null(secret);
	ret->bundle = supervise_bundle_new(path);
	if (parse(ret->bundle, false, path, &words, err) < 0)
		return -1;
	ret->workers = words.workers;
	ret->shutdown_ms = words.shutdown_ms;
	ret->user = words.user[0] && words.user[0] != '-' ? mem_dup(words.user) : NULL;
	buf_printf(&name, "%s/run", p->directory);
	ret->run_directory = buf_take(&name);
	buf_printf(&name, "%s/spool", p->directory);
	ret->spool_directory = buf_take(&name);
	ret->addresses = mem_array(8, sizeof(*ret->addresses));
	for (all = str_of(words.addresses); str_split(&all, ',', &part);)
		if (netaddr_parse(part, 0, &ret->addresses[ret->address_count++], err) < 0)
			return -1;
	return 0;
}

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	struct program *p = ctx;
	char text[256];
	(void)local;
	(void)remote;
	int length = snprintf(text, sizeof(text), "%s %u %d %u\n", p->word, p->number, (int)getpid(),
		(unsigned)geteuid());
	if (write(fd, text, (size_t)length) < 0)
		abort();
	/* stays open: its end tells of the worker's end */
}

static const struct tlsio_listener_events listener_events = { .on_accept = on_accept };

static void unlisten(struct program *p)
{
	while (p->listener_count)
		tlsio_listener_free(&p->listeners[--p->listener_count]);
}

static int put(struct program *p, const struct supervise_offer *offer, struct err *err)
{
	struct words words;
	if (parse(offer->bundle, true, supervise_bundle_config_path(offer->bundle), &words, err) < 0)
		return -1;
	if (strcmp(words.word, "unstartable") == 0)
		return err_set(err, ERR_SYSTEM, "this worker cannot start");
	str_copy(str_of(words.word), p->word, sizeof(p->word));
	p->drains_never = strcmp(words.word, "busy") == 0;
	unlisten(p);
	while (p->listener_count < offer->listen_count) {
		p->listeners[p->listener_count] = tlsio_listener_new(p->loop,
			offer->listen_fds[p->listener_count], &listener_events, p);
		p->listener_count++;
	}
	return 0;
}

static int start(void *ctx, const struct supervise_birth *birth, const struct supervise_offer *offer,
	struct err *err)
{
	struct program *p = ctx;
	p->loop = birth->loop;
	p->number = birth->number;
	assert_int_equal(birth->shards[0], birth->number);
	if (put(p, offer, err) < 0)
		return -1;
	if (strcmp(p->word, "early") == 0) {
		/* root's worker is root here: it writes the file and signals its parent */
		struct str late = geteuid() == 0 ? STR("late 1 1000 127.0.0.1:0 root")
						 : STR("late 1 1000 127.0.0.1:0 -");
		assert_int_equal(file_replace(p->config_path, late, 0600, NULL), 0);
		kill(getppid(), SIGHUP);
	}
	return 0;
}

static int reload(void *ctx, const struct supervise_offer *offer, const struct supervise_offer *old,
	struct err *err)
{
	(void)old;
	return put(ctx, offer, err);
}

static void drain(void *ctx, void (*on_done)(void *ctx), void *on_done_ctx)
{
	struct program *p = ctx;
	unlisten(p);
	if (!p->drains_never)
		on_done(on_done_ctx);
}

static void stop(void *ctx)
{
	unlisten(ctx);
}

static const struct supervise_child_events child_events = { .start = start, .reload = reload,
	.drain = drain, .stop = stop };

/* ---- one supervisor under test ------------------------------------------------------------------------ */

struct house {
	struct program program;
	pid_t pid;
	int log;
	struct buf lines;
};

static void configure(struct house *h, const char *text)
{
	assert_int_equal(file_replace(h->program.config_path, str_of(text), 0600, NULL), 0);
}

static void launch(struct house *h)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL); /* our children end by exit */
	h->pid = fork();
	if (h->pid == 0) {
		const struct supervise_program program = { .name = "housed",
			.config_path = h->program.config_path, .load = load,
			.child = &child_events, .ctx = &h->program, .watch_ms = 10 };
		dup2(ends[1], STDERR_FILENO);
		_exit(supervise_run(&program));
	}
	close(ends[1]);
	h->log = ends[0];
}

static struct house *house_new(const char *text)
{
	struct house *h = mem_zero(sizeof(*h));
	strcpy(h->program.directory, "/tmp/test_supervise.XXXXXX");
	assert_non_null(mkdtemp(h->program.directory));
	assert_int_equal(chmod(h->program.directory, 0755), 0);
	snprintf(h->program.config_path, sizeof(h->program.config_path), "%s/conf",
		h->program.directory);
	configure(h, text);
	launch(h);
	return h;
}

/* The next line of the log that holds the words; into line if not NULL. */
static void expect(struct house *h, const char *words, char *line, size_t capacity)
{
	for (;;) {
		struct str all = buf_str(&h->lines);
		size_t end = str_find(all, '\n');
		if (end < all.length) {
			char text[1024];
			str_copy(str_head(all, end), text, sizeof(text));
			buf_consume(&h->lines, end + 1);
			if (!strstr(text, words))
				continue;
			if (line)
				str_copy(str_of(text), line, capacity);
			return;
		}
		struct pollfd ready = { h->log, POLLIN, 0 };
		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		ssize_t got = read(h->log, buf_reserve(&h->lines, 4096), 4096);
		if (got <= 0)
			fail_msg("the log ended without '%s'", words);
		buf_added(&h->lines, (size_t)got);
	}
}

static uint16_t expect_port(struct house *h)
{
	char line[256];
	expect(h, "listening address=", line, sizeof(line));
	return (uint16_t)atoi(strrchr(line, ':') + 1);
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* What the worker says; 0 at its end. */
static ssize_t hear(int fd, char *text, size_t capacity)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	ssize_t got = read(fd, text, capacity - 1);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

struct answer {
	char word[64];
	unsigned number, uid;
	int pid;
};

static struct answer ask(uint16_t port)
{
	char text[256];
	struct answer a;
	int fd = dial(port);
	assert_true(fd >= 0);
	assert_true(hear(fd, text, sizeof(text)) > 0);
	assert_int_equal(sscanf(text, "%63s %u %d %u", a.word, &a.number, &a.pid, &a.uid), 4);
	close(fd);
	return a;
}

static int wait_status(struct house *h)
{
	int status = -1;
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	h->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool exists(const struct house *h, const char *name)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", h->program.directory, name);
	return access(path, F_OK) == 0;
}

static void house_free(struct house *h)
{
	static const char *const files[] = { "conf", "key", "run/housed.pid", "run/worker-0.sock",
		"run/worker-1.sock", "run", "spool" };
	char path[160];
	if (h->pid)
		kill(h->pid, SIGKILL);
	if (h->pid)
		wait_status(h);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->program.directory, files[i]);
		remove(path);
	}
	assert_int_equal(rmdir(h->program.directory), 0);
	close(h->log);
	buf_release(&h->lines);
	free(h);
}

static const char *as_ourselves(const char *words)
{
	static char text[256];
	/* root's workers want a user */
	snprintf(text, sizeof(text), "%s %s", words, geteuid() == 0 ? "nobody" : "-");
	return text;
}

/* ---- promises -------------------------------------------------------------------------------------------- */

static void serves_until_told_to_end(void **state)
{
	(void)state;
	struct house *h = house_new(as_ourselves("hello 2 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready workers=2 listeners=1", NULL, 0);
	bool seen[2] = { false };
	for (int i = 0; i < 200 && !(seen[0] && seen[1]); i++) {
		struct answer a = ask(port);
		assert_string_equal(a.word, "hello");
		seen[a.number] = true;
	}
	assert_true(seen[0] && seen[1]);
	assert_true(exists(h, "run/housed.pid"));
	assert_true(exists(h, "run/worker-1.sock"));
	kill(h->pid, SIGTERM);
	assert_int_equal(wait_status(h), 0);
	assert_int_equal(dial(port), -1);
	assert_false(exists(h, "run/housed.pid"));
	assert_false(exists(h, "run/worker-0.sock"));
	house_free(h);
}

static void a_restarted_worker_serves_who_waited(void **state)
{
	(void)state;
	char text[256];
	int pid;
	struct house *h = house_new(as_ourselves("hello 1 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	struct answer a = ask(port);
	kill(a.pid, SIGSTOP); /* so that the client surely waits in the queue of a dead worker */
	int waiting = dial(port);
	assert_true(waiting >= 0);
	kill(a.pid, SIGKILL);
	assert_true(hear(waiting, text, sizeof(text)) > 0);
	assert_int_equal(sscanf(text, "hello 0 %d", &pid), 1);
	assert_int_not_equal(pid, a.pid);
	close(waiting);
	expect(h, "worker-exit", text, sizeof(text));
	assert_non_null(strstr(text, "signal=Killed"));
	house_free(h);
}

static void a_reload_takes_a_good_file_and_keeps_off_a_bad_one(void **state)
{
	(void)state;
	char line[512];
	struct house *h = house_new(as_ourselves("one 1 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	struct answer before = ask(port);
	configure(h, as_ourselves("two 1 1000 127.0.0.1:0"));
	kill(h->pid, SIGHUP);
	expect(h, "reload-done", NULL, 0);
	struct answer after = ask(port);
	assert_string_equal(after.word, "two");
	assert_int_equal(after.pid, before.pid);

	configure(h, "nonsense");
	kill(h->pid, SIGHUP);
	expect(h, "reload-failed", line, sizeof(line));
	assert_non_null(strstr(line, "conf:1: bad words"));
	assert_string_equal(ask(port).word, "two");

	/* an address that cannot be bound changes nothing either */
	configure(h, as_ourselves("three 1 1000 127.0.0.1:0,192.0.2.1:0"));
	kill(h->pid, SIGHUP);
	expect(h, "reload-failed", line, sizeof(line));
	assert_non_null(strstr(line, "192.0.2.1"));
	assert_string_equal(ask(port).word, "two");

	/* and a worker born after that gets what is in force */
	kill(after.pid, SIGKILL);
	expect(h, "worker-start", NULL, 0);
	assert_string_equal(ask(port).word, "two");
	house_free(h);
}

static void a_reload_asked_for_while_starting_is_not_forgotten(void **state)
{
	(void)state;
	struct house *h = house_new(geteuid() == 0 ? "early 1 1000 127.0.0.1:0 root" :
							"early 1 1000 127.0.0.1:0 -");
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	expect(h, "reload-done", NULL, 0);
	assert_string_equal(ask(port).word, "late");
	house_free(h);
}

static void a_reload_opens_new_addresses_and_closes_old_ones(void **state)
{
	(void)state;
	struct house *h = house_new(as_ourselves("one 2 1000 127.0.0.1:0"));
	uint16_t first = expect_port(h), second;
	expect(h, "ready", NULL, 0);
	configure(h, as_ourselves("two 2 1000 127.0.0.1:0,0.0.0.0:0"));
	kill(h->pid, SIGHUP);
	second = expect_port(h);
	expect(h, "reload-done", NULL, 0);
	assert_string_equal(ask(first).word, "two");
	assert_string_equal(ask(second).word, "two");
	configure(h, as_ourselves("three 1 1000 0.0.0.0:0"));
	kill(h->pid, SIGHUP);
	expect(h, "'workers' needs a restart", NULL, 0);
	expect(h, "listening-ended", NULL, 0);
	expect(h, "reload-done", NULL, 0);
	assert_int_equal(dial(first), -1);
	assert_string_equal(ask(second).word, "three");
	house_free(h);
}

static void a_changed_file_comes_into_force_by_itself(void **state)
{
	(void)state;
	char key[96], text[512];
	struct house *h = house_new(as_ourselves("one 1 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	snprintf(key, sizeof(key), "%s/key", h->program.directory);
	assert_int_equal(file_replace(key, STR("secret"), 0600, NULL), 0);
	snprintf(text, sizeof(text), "%s %s", as_ourselves("one 1 1000 127.0.0.1:0"), key);
	configure(h, text); /* nothing happens until HUP: a configuration may be half edited */
	kill(h->pid, SIGHUP);
	expect(h, "reload-done", NULL, 0);
	assert_string_equal(ask(port).word, "secret");
	assert_int_equal(file_replace(key, STR("renewed"), 0600, NULL), 0);
	expect(h, "reload because=\"files changed\"", NULL, 0);
	expect(h, "reload-done", NULL, 0);
	assert_string_equal(ask(port).word, "renewed");
	house_free(h);
}

static void a_worker_that_cannot_start_ends_the_start(void **state)
{
	(void)state;
	char line[512];
	struct house *h = house_new(as_ourselves("unstartable 2 1000 127.0.0.1:0"));
	expect(h, "worker-failed", line, sizeof(line));
	assert_non_null(strstr(line, "this worker cannot start"));
	assert_int_equal(wait_status(h), EXIT_FAILURE);
	house_free(h);
}

static void a_second_one_does_not_start(void **state)
{
	(void)state;
	char line[512], pid[32];
	struct house *h = house_new(as_ourselves("one 1 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	struct house second = { .program = h->program };
	launch(&second);
	expect(&second, "start-failed", line, sizeof(line));
	snprintf(pid, sizeof(pid), "(pid %d,", (int)h->pid);
	assert_non_null(strstr(line, pid));
	assert_int_equal(wait_status(&second), EXIT_FAILURE);
	close(second.log);
	buf_release(&second.lines);
	assert_string_equal(ask(port).word, "one");
	assert_true(exists(h, "run/worker-0.sock"));
	house_free(h);
}

static void workers_of_a_dead_supervisor_end(void **state)
{
	(void)state;
	char text[256];
	struct house *h = house_new(as_ourselves("one 1 1000 127.0.0.1:0"));
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	int fd = dial(port);
	assert_true(hear(fd, text, sizeof(text)) > 0);
	kill(h->pid, SIGKILL);
	wait_status(h);
	assert_true(hear(fd, text, sizeof(text)) <= 0);
	close(fd);
	launch(h); /* and the next one starts over what they left */
	expect(h, "ready", NULL, 0);
	house_free(h);
}

static void a_worker_that_does_not_finish_is_killed(void **state)
{
	(void)state;
	struct house *h = house_new(as_ourselves("busy 1 -2990 127.0.0.1:0"));
	expect(h, "ready", NULL, 0);
	kill(h->pid, SIGTERM);
	expect(h, "shutdown-cut", NULL, 0);
	expect(h, "signal=Killed", NULL, 0);
	assert_int_equal(wait_status(h), 0);
	house_free(h);
}

static void quit_and_a_second_term_end_at_once(void **state)
{
	static const int first[] = { 0, SIGTERM, SIGINT };
	static const int second[] = { SIGQUIT, SIGTERM, SIGINT };
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct house *h = house_new(as_ourselves("busy 1 3600000 127.0.0.1:0"));
		expect(h, "ready", NULL, 0);
		if (first[i]) {
			kill(h->pid, first[i]);
			expect(h, "shutdown", NULL, 0);
		}
		kill(h->pid, second[i]);
		expect(h, "signal=Killed", NULL, 0);
		assert_int_equal(wait_status(h), 0);
		house_free(h);
	}
}

static void tells_the_service_manager(void **state)
{
	(void)state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char text[256] = "";
	socklen_t size = (socklen_t)offsetof(struct sockaddr_un, sun_path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0); /* the kernel picks a name */
	size = sizeof(at);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(text, sizeof(text), "@%s", at.sun_path + 1);
	setenv("NOTIFY_SOCKET", text, 1);
	struct house *h = house_new(as_ourselves("one 1 1000 127.0.0.1:0"));
	unsetenv("NOTIFY_SOCKET");
	assert_true(hear(fd, text, sizeof(text)) > 0);
	assert_string_equal(text, "READY=1\nSTATUS=running");
	kill(h->pid, SIGTERM);
	assert_true(hear(fd, text, sizeof(text)) > 0);
	assert_string_equal(text, "STOPPING=1");
	assert_int_equal(wait_status(h), 0);
	close(fd);
	house_free(h);
}

static void workers_of_root_are_nobody_and_still_have_the_key(void **state)
{
	(void)state;
	char key[96], text[512];
	if (geteuid() != 0)
		return; /* only root can show it */
	struct house *h = house_new("plain 1 1000 127.0.0.1:0 nobody");
	uint16_t port = expect_port(h);
	expect(h, "ready", NULL, 0);
	assert_int_equal(ask(port).uid, getpwnam("nobody")->pw_uid);
	snprintf(key, sizeof(key), "%s/key", h->program.directory);
	assert_int_equal(file_replace(key, STR("secret"), 0600, NULL), 0);
	snprintf(text, sizeof(text), "plain 1 1000 127.0.0.1:0 nobody %s", key);
	configure(h, text);
	kill(h->pid, SIGHUP);
	expect(h, "reload-done", NULL, 0);
	assert_string_equal(ask(port).word, "secret");
	house_free(h);

	h = house_new("plain 1 1000 127.0.0.1:0 -");
	expect(h, "name the user", NULL, 0);
	assert_int_equal(wait_status(h), EXIT_FAILURE);
	house_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_until_told_to_end),
		cmocka_unit_test(a_restarted_worker_serves_who_waited),
		cmocka_unit_test(a_reload_takes_a_good_file_and_keeps_off_a_bad_one),
		cmocka_unit_test(a_reload_asked_for_while_starting_is_not_forgotten),
		cmocka_unit_test(a_reload_opens_new_addresses_and_closes_old_ones),
		cmocka_unit_test(a_changed_file_comes_into_force_by_itself),
		cmocka_unit_test(a_worker_that_cannot_start_ends_the_start),
		cmocka_unit_test(a_second_one_does_not_start),
		cmocka_unit_test(workers_of_a_dead_supervisor_end),
		cmocka_unit_test(a_worker_that_does_not_finish_is_killed),
		cmocka_unit_test(quit_and_a_second_term_end_at_once),
		cmocka_unit_test(tells_the_service_manager),
		cmocka_unit_test(workers_of_root_are_nobody_and_still_have_the_key),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
