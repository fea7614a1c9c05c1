/* doorload: how many plans a second go through postern-policyd's socket.
 *
 * usage: doorload [SECONDS [QUESTIONS-IN-FLIGHT]]
 *
 * A forked process serves one plan (two hosts) for every question, a client asks for another domain
 * each time; plans are made to expire at once, so the client keeps none. No resolver takes part:
 * what is measured is the door. Prints the rate and the processor time of both sides.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libtlsio/tlsio_listener.h"
#include "policy/door/door_client.h"
#include "policy/door/door_server.h"
#include "tests/fakes/fake_plan_service.h"
#include "tests/policy/door/make_plan.h"

struct load {
	struct tlsio_loop *loop;
	struct door_client *client;
	struct tlsio_timer end;
	uint64_t asked, answered, deferred;
	bool is_over;
};

static struct policy_plan *same(void *ctx, const struct policy_question *question)
{
	(void)question;
	return ctx;
}

static void on_terminate(void *ctx, int number)
{
	(void)number;
	tlsio_loop_stop(ctx);
}

static int serve(int fd)
{
	struct tlsio_loop *loop = tlsio_loop_new(NULL);
	struct tlsio_signal terminate;
	struct plan_service *service = fake_plan_service_new(loop);
	struct policy_plan *plan = make_plan_plain("example.org", 0);
	fake_plan_service_make(service, same, plan);
	struct door_server *server = door_server_new(loop, fd, service);
	tlsio_signal_start(&terminate, loop, SIGTERM, on_terminate, loop);
	tlsio_loop_run(loop);
	tlsio_signal_stop(&terminate);
	door_server_free(&server);
	plan_service_free(&service);
	policy_plan_unref(&plan);
	tlsio_loop_free(&loop);
	return 0;
}

static void on_plan(void *ctx, struct policy_plan *plan);

static void ask(struct load *load)
{
	char domain[48];
	snprintf(domain, sizeof(domain), "%llu.example.org", (unsigned long long)load->asked++);
	const struct policy_question question = { .rule_domain = domain, .next_hop = domain,
		.port = 25 };
	door_client_ask(load->client, &question, on_plan, load);
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct load *load = ctx;
	load->answered++;
	load->deferred += plan->state != POLICY_PLAN_READY;
	if (!load->is_over)
		ask(load);
}

static void on_end(void *ctx)
{
	struct load *load = ctx;
	load->is_over = true;
	tlsio_loop_stop(load->loop);
}

static double cpu_s(int who)
{
	struct rusage used;
	getrusage(who, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5, in_flight = argc > 2 ? atoi(argv[2]) : 200;
	char folder[] = "/tmp/doorload.XXXXXX", path[sizeof(folder) + 16];
	struct load load = { 0 };
	struct err err;
	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s/policyd.sock", folder);
	int fd = tlsio_listener_open_unix(path, 0600, 16, &err);
	if (fd < 0) {
		fprintf(stderr, "doorload: %s\n", err.text);
		return EXIT_FAILURE;
	}
	pid_t server = fork();
	if (server == 0)
		_exit(serve(fd));
	load.loop = tlsio_loop_new(&err);
	load.client = door_client_new(&(struct door_client_setup){ .loop = load.loop,
		.socket_path = path, .program = "doorload" });
	tlsio_timer_init(&load.end, load.loop, on_end, &load);
	tlsio_timer_start(&load.end, seconds * 1000);
	for (int i = 0; i < in_flight; i++)
		ask(&load);
	tlsio_loop_run(load.loop);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	printf("%.0f plans/s, %llu deferred; processor: client %.1f s, server %.1f s of %d s\n",
		(double)load.answered / seconds, (unsigned long long)load.deferred,
		cpu_s(RUSAGE_SELF), cpu_s(RUSAGE_CHILDREN), seconds);
	door_client_free(&load.client);
	tlsio_loop_free(&load.loop);
	unlink(path);
	rmdir(folder);
	return load.answered && !load.deferred ? EXIT_SUCCESS : EXIT_FAILURE;
}
