/* planload: how many plans a second come out of plan_service, warm and cold, without a network.
 *
 * usage: planload [SECONDS [DOMAINS]]
 *
 * Resolver and MTA-STS are the fakes of the tests, on a real loop: what is measured is the room
 * policy/plan. Every domain has two hosts with TLSA records in signed zones. Three rates: plans made
 * (seven look-ups each), plan_service_find and plan_service_ask of plans that are kept, a domain at
 * random each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "libtlsio/base/mem.h"
#include "policy/plan/plan_service.h"
#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_sts.h"

#define RECORD "3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

enum { NAME_BYTES = 48, BATCH = 1000 };

struct load {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct plan_service *service;
	char (*names)[NAME_BYTES];
	size_t count;
	uint64_t ready;
	uint32_t random;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_mib(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return (double)used.ru_maxrss / 1024;
}

static void add_host(struct load *load, const char *domain, const char *label)
{
	char name[NAME_BYTES + 32], tlsa[NAME_BYTES + 48];
	snprintf(name, sizeof(name), "%s.%s", label, domain);
	snprintf(tlsa, sizeof(tlsa), "_25._tcp.%s", name);
	fake_dns_set(load->dns, name, DNS_A, DNS_SECURE, "192.0.2.1");
	fake_dns_set(load->dns, name, DNS_AAAA, DNS_SECURE, "2001:db8::1");
	fake_dns_set(load->dns, tlsa, DNS_TLSA, DNS_SECURE, RECORD);
}

static void add_domains(struct load *load)
{
	char mx[2 * NAME_BYTES + 32];
	load->names = mem_array(load->count, sizeof(*load->names));
	for (size_t i = 0; i < load->count; i++) {
		char *name = load->names[i];
		snprintf(name, NAME_BYTES, "domain%zu.example.org", i);
		snprintf(mx, sizeof(mx), "10 mx1.%s|20 mx2.%s", name, name);
		fake_dns_set(load->dns, name, DNS_MX, DNS_SECURE, mx);
		add_host(load, name, "mx1");
		add_host(load, name, "mx2");
	}
}

static struct policy_question question_of(const struct load *load, size_t i)
{
	return (struct policy_question){ .kind = POLICY_BY_MX, .rule_domain = load->names[i],
		.next_hop = load->names[i], .port = 25 };
}

static size_t any(struct load *load)
{
	load->random = load->random * 1664525 + 1013904223;
	return (size_t)(((uint64_t)load->random * load->count) >> 32);
}

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct load *load = ctx;
	load->ready += plan->state == POLICY_PLAN_READY && plan->hosts[0].requirement;
}

static void ask(struct load *load, size_t i)
{
	struct policy_question question = question_of(load, i);
	plan_service_ask(load->service, &question, on_plan, load);
}

static int make_all(struct load *load)
{
	double began = now_s(), before_mib = rss_mib();
	for (size_t i = 0; i < load->count; i++) {
		ask(load, i);
		if (i % BATCH == BATCH - 1)
			tlsio_loop_turn(load->loop, false);
	}
	/* fake_sts answers by timers: a few turns more */
	while (load->ready < load->count && now_s() - began < 60)
		tlsio_loop_turn(load->loop, false);
	printf("made  %10.0f plans/s, %.1f KiB each\n", (double)load->ready / (now_s() - began),
		(rss_mib() - before_mib) * 1024 / (double)load->count);
	return load->ready == load->count ? 0 : -1;
}

static int find_all(struct load *load, int seconds)
{
	double began = now_s();
	uint64_t found = 0, asked = 0;
	while (now_s() - began < seconds) {
		for (int i = 0; i < BATCH; i++, asked++) {
			struct policy_question question = question_of(load, any(load));
			found += plan_service_find(load->service, &question) != NULL;
		}
		tlsio_loop_turn(load->loop, false);
	}
	printf("find  %10.0f plans/s\n", (double)found / (now_s() - began));
	return found == asked ? 0 : -1;
}

static int ask_all(struct load *load, int seconds)
{
	double began = now_s();
	uint64_t asked = 0;
	load->ready = 0;
	while (now_s() - began < seconds) {
		for (int i = 0; i < BATCH; i++, asked++)
			ask(load, any(load));
		tlsio_loop_turn(load->loop, false);
	}
	printf("ask   %10.0f plans/s\n", (double)load->ready / (now_s() - began));
	return load->ready == asked ? 0 : -1;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 2;
	struct load load = { .count = argc > 2 ? (size_t)atol(argv[2]) : 10000, .random = 1 };
	struct err err = { 0 };
	load.loop = tlsio_loop_new(&err);
	if (!load.loop || load.count == 0) {
		fprintf(stderr, "planload: %s\n", err.text);
		return EXIT_FAILURE;
	}
	load.dns = dns_new(load.loop, NULL, &err);
	struct sts *sts = sts_new(load.loop, load.dns, NULL, STS_CACHE_READ_ONLY, NULL, NULL, &err);
	struct policy_rules *rules = policy_rules_new();
	load.service = plan_service_new(&(struct plan_service_setup){ .loop = load.loop,
		.dns = load.dns, .sts = sts, .rules = rules, .roots_name = "system",
		.plans_most = load.count, .in_flight_most = 2 * load.count });
	add_domains(&load);
	bool is_good = make_all(&load) == 0 && find_all(&load, seconds) == 0 &&
		ask_all(&load, seconds) == 0;
	plan_service_free(&load.service);
	policy_rules_unref(&rules);
	sts_free(&sts);
	dns_free(&load.dns);
	tlsio_loop_free(&load.loop);
	free(load.names);
	if (!is_good)
		fprintf(stderr, "planload: not every question was answered with a plan\n");
	return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
