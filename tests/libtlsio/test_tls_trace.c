#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/file.h"
#include "tests/fakes/fake_ca.h"

/* The example program as people run it: two processes, a real socket, `--again` to resume. */
#define PROGRAM "./contrib/examples/tls-trace"

static char directory[64];
static char chain[96], key[96], authority[96];

static void put(const char *path, const char *text)
{
	assert_int_equal(file_replace(path, str_of(text), 0600, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/tls-trace.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(chain, sizeof(chain), "%s/chain.pem", directory);
	snprintf(key, sizeof(key), "%s/key.pem", directory);
	snprintf(authority, sizeof(authority), "%s/authority.pem", directory);
	struct fake_ca *ca = fake_ca_new("root");
	struct fake_leaf leaf = fake_ca_issue(ca, "mx.example.net", NULL);
	put(chain, leaf.chain_pem);
	put(key, leaf.key_pem);
	put(authority, fake_ca_pem(ca));
	fake_leaf_clear(&leaf);
	fake_ca_free(&ca);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(chain);
	unlink(key);
	unlink(authority);
	rmdir(directory);
	return 0;
}

struct running {
	pid_t pid;
	FILE *says; /* standard output and error together */
	int input;
};

static struct running run(const char *const *arguments)
{
	int out[2], in[2];
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(in), 0);
	struct running r = { .pid = fork() };
	assert_true(r.pid >= 0);
	if (r.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execv(PROGRAM, (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	r.says = fdopen(out[0], "r");
	r.input = in[1];
	return r;
}

/* Until end of output. Returns the exit status. */
static int hear_out(struct running *r, struct buf *ret)
{
	char line[512];
	int status = 0;
	while (fgets(line, sizeof(line), r->says))
		buf_append_text(ret, line);
	fclose(r->says);
	close(r->input);
	waitpid(r->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_in_order(struct buf *heard, const char *const *lines)
{
	const char *at = buf_text(heard);
	for (; *lines; lines++) {
		const char *found = strstr(at, *lines);
		if (!found)
			fail_msg("\"%s\" is not where it should be in:\n%s", *lines,
				buf_text(heard));
		at = found + strlen(*lines);
	}
}

static void shows_a_handshake_its_facts_and_its_resumption(void **state)
{
	(void)state;
	char line[512], address[64];
	const char *const server_arguments[] = { "tls-trace", "--listen", "127.0.0.1:0", "--chain",
		chain, "--key", key, "--count", "2", NULL };
	struct running server = run(server_arguments);
	assert_non_null(fgets(line, sizeof(line), server.says));
	assert_int_equal(sscanf(line, "* listening on %63s", address), 1);

	const char *const client_arguments[] = { "tls-trace", address, "--name", "mx.example.net",
		"--authority", authority, "--again", NULL };
	struct running client = run(client_arguments);
	assert_int_equal(write(client.input, "hello through TLS\n", 18), 18);
	close(client.input);
	struct buf at_client = { 0 }, at_server = { 0 };
	client.input = dup(0);
	int status = hear_out(&client, &at_client);
	expect_in_order(&at_client,
		(const char *const[]){ "* to 127.0.0.1:", "> ClientHello", "< ServerHello",
			"< EncryptedExtensions", "< Certificate ", "< CertificateVerify",
			"< Finished", "> Finished", "= version TLS1.3", "group x25519, resumed no",
			"= matched name mx.example.net", "= chain: valid",
			"* to 127.0.0.1:", "> ClientHello", "< ServerHello", "< Finished",
			"resumed yes", "= matched name mx.example.net", "= chain: valid",
			"hello over TLS1.3", NULL });
	assert_int_equal(status, 0);
	assert_int_equal(hear_out(&server, &at_server), 0);
	expect_in_order(&at_server, (const char *const[]){ "* from 127.0.0.1:", "< ClientHello",
					    "> Finished", "resumed no", "! closed", "resumed yes",
					    "hello through TLS", "! closed", NULL });
	buf_release(&at_client);
	buf_release(&at_server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_a_handshake_its_facts_and_its_resumption),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
