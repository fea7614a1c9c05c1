/* storeload: how long it takes to write the plans that are kept, and to read them again.
 *
 * usage: storeload [DOMAINS [FILE]]
 *
 * Resolver and MTA-STS are the fakes of the tests, on a real loop. Every domain has two hosts with
 * TLSA records in signed zones. A first service makes the plans and writes them; a second one reads
 * them, and a third begins without: how fast does each answer every domain once?
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "policy/store/store.h"
#include "tests/fakes/fake_dns.h"
#include "tests/fakes/fake_sts.h"

#define RECORD "3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

enum { NAME_BYTES = 48, BATCH = 1000 };

struct load {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts *sts;
	struct policy_rules *rules;
	const char *path;
	char (*names)[NAME_BYTES];
	size_t count;
	uint64_t ready;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of a processor: on a busy machine the clock tells of the others. */
static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
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

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct load *load = ctx;
	load->ready += plan->state == POLICY_PLAN_READY && plan->hosts[0].requirement;
}

static void on_warning(void *ctx, const char *words)
{
	(void)ctx;
	fprintf(stderr, "storeload: %s\n", words);
}

static struct plan_service *begin(struct load *load)
{
	return plan_service_new(&(struct plan_service_setup){ .loop = load->loop, .dns = load->dns,
		.sts = load->sts, .rules = load->rules, .roots_name = "system",
		.plans_most = load->count, .in_flight_most = 2 * load->count });
}

static struct store *open_store(struct load *load, struct plan_service *service)
{
	static const uint8_t digest[32];
	return store_new(&(struct store_setup){ .loop = load->loop, .service = service,
		.path = load->path, .digest = digest, .on_warning = on_warning });
}

/* Every domain once: as a door does, first looked for, then asked. */
static void pass(struct load *load, struct plan_service *service, const char *what)
{
	double began = now_s();
	uint64_t asked = 0;
	load->ready = 0;
	for (size_t i = 0; i < load->count; i++) {
		struct policy_question question = { .kind = POLICY_BY_MX,
			.rule_domain = load->names[i], .next_hop = load->names[i], .port = 25 };
		struct policy_plan *plan = plan_service_find(service, &question);
		if (plan) {
			on_plan(load, plan);
			continue;
		}
		plan_service_ask(service, &question, on_plan, load);
		if (++asked % BATCH == 0)
			tlsio_loop_turn(load->loop, false);
	}
	while (load->ready < load->count && now_s() - began < 60)
		tlsio_loop_turn(load->loop, false);
	printf("%-28s %10.0f plans/s\n", what, (double)load->ready / (now_s() - began));
}

static void measure(struct load *load)
{
	struct stat st = { 0 };
	struct store_counts counts;
	struct plan_service *service = begin(load);
	struct store *store = open_store(load, service);
	pass(load, service, "first pass, nothing kept");
	double began = now_s(), cpu = cpu_ms();
	store_save(store);
	printf("%-28s %10.1f ms, %.1f ms of a processor\n", "written", (now_s() - began) * 1000,
		cpu_ms() - cpu);
	stat(load->path, &st);
	printf("%-28s %10.2f MiB, %.0f bytes a plan\n", "the file", (double)st.st_size / 1048576,
		(double)st.st_size / (double)load->count);
	store_free(&store);
	plan_service_free(&service);
	service = begin(load);
	began = now_s();
	cpu = cpu_ms();
	store = open_store(load, service);
	double read_ms = (now_s() - began) * 1000;
	cpu = cpu_ms() - cpu;
	store_count(store, &counts);
	printf("%-28s %10.1f ms, %.1f ms of a processor, %zu plans\n", "read", read_ms, cpu,
		counts.read);
	pass(load, service, "first pass, from the file");
	store_free(&store);
	plan_service_free(&service);
}

int main(int argc, char **argv)
{
	struct load load = { .count = argc > 1 ? (size_t)atol(argv[1]) : 20000,
		.path = argc > 2 ? argv[2] : "storeload.plans" };
	struct err err = { 0 };
	load.loop = tlsio_loop_new(&err);
	if (!load.loop || load.count == 0) {
		fprintf(stderr, "storeload: %s\n", err.text);
		return EXIT_FAILURE;
	}
	unlink(load.path);
	load.dns = dns_new(load.loop, NULL, &err);
	load.sts = sts_new(load.loop, load.dns, NULL, STS_CACHE_READ_ONLY, NULL, NULL, &err);
	load.rules = policy_rules_new();
	add_domains(&load);
	measure(&load);
	policy_rules_unref(&load.rules);
	sts_free(&load.sts);
	dns_free(&load.dns);
	tlsio_loop_free(&load.loop);
	free(load.names);
	return EXIT_SUCCESS;
}
