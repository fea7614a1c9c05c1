/* The worker's way to postern-policyd: a real socket, the real door, a policy brain played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "policy/door/door_server.h"
#include "smtpd/worker_planner.h"
#include "tests/fakes/fake_plan_service.h"
#include "tests/smtpd/config/memory_source.h"

#define CONFIG_PATH "/test/postern.conf"

struct place {
	struct tlsio_loop *loop;
	char directory[64], socket_path[100];
	int listen_fd;
	struct plan_service *service;
	struct door_server *server;
	struct config *config;
	struct worker_planner *planner;
	struct policy_plan *got;
};

static struct config *make_config(const struct place *p)
{
	struct memory_source files = { 0 };
	struct buf text = { 0 };
	struct err err = { 0 };
	buf_printf(&text, "hostname = \"mx.test.example\"\nrun-directory = \"%s\"\n"
		"listen \"127.0.0.1:0\" { tls = \"off\" }\nroute \"*\" { to = \"mx\" }\n",
		p->directory);
	memory_source_put(&files, CONFIG_PATH, buf_str(&text));
	const struct config_source source = memory_source_as_config_source(&files);
	struct config *config = config_load(CONFIG_PATH, &source, NULL, &err);
	if (!config)
		fail_msg("%s", err.text);
	buf_release(&text);
	return config;
}

static int set_up(void **state)
{
	struct place *p = mem_zero(sizeof(*p));
	p->loop = tlsio_loop_new(NULL);
	strcpy(p->directory, "/tmp/postern-planner-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->socket_path, sizeof(p->socket_path), "%s/policyd.sock", p->directory);
	p->listen_fd = tlsio_listener_open_unix(p->socket_path, 0600, 16, NULL);
	assert_true(p->listen_fd >= 0);
	p->service = fake_plan_service_new(p->loop);
	p->server = door_server_new(p->loop, p->listen_fd, p->service);
	p->config = make_config(p);
	p->planner = worker_planner_new(p->loop, 0, p->config);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	worker_planner_free(&p->planner);
	door_server_free(&p->server);
	plan_service_free(&p->service);
	config_unref(&p->config);
	policy_plan_unref(&p->got);
	for (int i = 0; i < 5; i++)
		tlsio_loop_turn(p->loop, false);
	tlsio_loop_free(&p->loop);
	close(p->listen_fd);
	unlink(p->socket_path);
	assert_int_equal(rmdir(p->directory), 0);
	free(p);
	return 0;
}

static void on_plan(void *asker, struct policy_plan *plan)
{
	struct place *p = asker;
	assert_null(p->got);
	p->got = policy_plan_ref(plan);
}

static void *ask(struct place *p)
{
	static const struct policy_question question = { .kind = POLICY_BY_MX,
		.rule_domain = "x.test", .next_hop = "x.test", .port = 25 };
	const struct relay_planner *relay = worker_planner_relay(p->planner);
	policy_plan_unref(&p->got);
	return relay->ask(relay->ctx, &question, on_plan, p);
}

static void wait_until_asked(struct place *p)
{
	while (fake_plan_service_waiting(p->service) == 0)
		tlsio_loop_turn(p->loop, true);
}

static void answer(struct place *p, const char *words)
{
	struct policy_plan *plan = policy_plan_new("x.test", "x.test");
	policy_plan_end(plan, POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, "%s", words);
	plan->made_s = tlsio_loop_time_s(p->loop);
	plan->expires_s = plan->made_s + 3600;
	wait_until_asked(p);
	assert_int_equal(fake_plan_service_answer(p->service, plan), 1);
	policy_plan_unref(&plan);
}

static void wait_for_plan(struct place *p, const char *words)
{
	while (!p->got)
		tlsio_loop_turn(p->loop, true);
	assert_string_equal(p->got->text, words);
}

static void a_plan_comes_through_the_socket_in_the_run_directory_and_is_kept(void **state)
{
	struct place *p = *state;
	ask(p);
	answer(p, "first");
	wait_for_plan(p, "first");
	ask(p);
	assert_null(p->got); /* never inside ask */
	wait_for_plan(p, "first");
	assert_int_equal(fake_plan_service_waiting(p->service), 0);
}

static void after_a_reload_and_when_told_plans_are_asked_anew(void **state)
{
	struct place *p = *state;
	const struct relay_planner *relay = worker_planner_relay(p->planner);
	ask(p);
	answer(p, "first");
	wait_for_plan(p, "first");
	struct config *config = make_config(p);
	worker_planner_reload(p->planner, config);
	config_unref(&config);
	ask(p);
	answer(p, "second");
	wait_for_plan(p, "second");
	relay->forget(relay->ctx);
	ask(p);
	answer(p, "third");
	wait_for_plan(p, "third");
}

static void a_question_taken_back_has_no_answer(void **state)
{
	struct place *p = *state;
	const struct relay_planner *relay = worker_planner_relay(p->planner);
	void *asked = ask(p);
	wait_until_asked(p);
	relay->cancel(relay->ctx, asked);
	struct policy_plan *plan = policy_plan_new("x.test", "x.test");
	policy_plan_end(plan, POLICY_PLAN_NO_MAIL, POLICY_REASON_NONE, "late");
	fake_plan_service_answer(p->service, plan);
	policy_plan_unref(&plan);
	for (int i = 0; i < 20; i++)
		tlsio_loop_turn(p->loop, false);
	assert_null(p->got);
}

static void M17_reports_arrive(void **state)
{
	struct place *p = *state;
	const struct relay_planner *relay = worker_planner_relay(p->planner);
	const struct fake_plan_tally *tally = fake_plan_service_tally(p->service);
	const struct policy_session session = { .domain = "x.test", .host = "mx.x.test",
		.part_count = 1, .parts = { { .reason = POLICY_REASON_CERTIFICATE_EXPIRED,
		.domain = "x.test", .why = "" } } };
	relay->report(relay->ctx, &session);
	while (tally->count == 0)
		tlsio_loop_turn(p->loop, true);
	assert_string_equal(tally->domain, "x.test");
	assert_string_equal(tally->host, "mx.x.test");
	assert_int_equal(tally->reason, POLICY_REASON_CERTIFICATE_EXPIRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_plan_comes_through_the_socket_in_the_run_directory_and_is_kept),
		T(after_a_reload_and_when_told_plans_are_asked_anew),
		T(a_question_taken_back_has_no_answer),
		T(M17_reports_arrive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
