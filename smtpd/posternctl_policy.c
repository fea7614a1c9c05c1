#include "smtpd/posternctl_policy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libtlsio/base/conf.h"
#include "libtlsio/base/mem.h"
#include "smtpd/explain/probe.h"
#include "smtpd/explain/probe_print.h"
#include "smtpd/posternctl_plan.h"
#include "smtpd/relay/relay_resolver.h"

enum {
	WRONG_COMMAND_LINE = 2,
	TIMEOUT_MS = 30000,
	TIMEOUT_MS_MOST = 600000,
	RESOLVE_MS = 20000,
};

static int usage_error(const char *words)
{
	fprintf(stderr, "posternctl: %s; see `posternctl help`\n", words);
	return WRONG_COMMAND_LINE;
}

/* ---- printing --------------------------------------------------------------------------------- */

static struct explain_page page_for_stdout(struct buf *to)
{
	struct explain_page page = { .to = to };
	const char *terminal = getenv("TERM");
	struct winsize size;
	if (!isatty(STDOUT_FILENO))
		return page;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		page.width = size.ws_col;
	page.has_colour = !getenv("NO_COLOR") && terminal && strcmp(terminal, "dumb") != 0;
	return page;
}

static int print_out(struct buf *out, int status)
{
	struct str all = buf_str(out);
	if (fwrite(all.at, 1, all.length, stdout) != all.length || fflush(stdout) != 0) {
		perror("posternctl: standard output");
		status = EXIT_FAILURE;
	}
	buf_release(out);
	return status;
}

static int print_explained(const struct posternctl_policy *options, const struct explain *e)
{
	struct buf out = { 0 };
	struct explain_page page = page_for_stdout(&out);
	if (options->is_json)
		explain_put_json(e, &out);
	else
		explain_text(e, &page);
	return print_out(&out, (int)explain_status(e));
}

/* ---- the command line ------------------------------------------------------------------------- */

struct wish {
	struct explain_target target;
	uint16_t port;
	int64_t timeout_ms;
};

static int read_wish(const struct posternctl_policy *options, int argc, char **argv,
	struct wish *ret)
{
	struct err err;
	uint64_t port = 0;
	*ret = (struct wish){ .timeout_ms = TIMEOUT_MS };
	if (argc != 2)
		return usage_error("one domain is wanted, or user@domain");
	if (explain_target_parse(str_of(argv[1]), &ret->target, &err) < 0)
		return usage_error(err.text);
	if (options->port && (!str_to_u64(str_of(options->port), 65535, &port) || port == 0))
		return usage_error("--port wants a number from 1 to 65535");
	if (options->timeout && (!conf_parse_duration(str_of(options->timeout), &ret->timeout_ms) ||
			ret->timeout_ms < 1000 || ret->timeout_ms > TIMEOUT_MS_MOST))
		return usage_error("--timeout wants a time from 1s to 10m");
	ret->port = (uint16_t)port;
	return 0;
}

/* 0, or the exit status with words on standard error. p is to be cleared in either case. */
static int make_plan(const struct posternctl_policy *options, const struct wish *wish,
	struct posternctl_plan *p)
{
	struct err err;
	signal(SIGPIPE, SIG_IGN);
	*p = (struct posternctl_plan){ 0 };
	struct config *config = posternctl_plan_config(options->config_path, &err);
	if (config && posternctl_plan_make(p, config, &wish->target, options->is_fresh,
			options->run_directory, wish->port, &err) == 0)
		return 0;
	fprintf(stderr, "posternctl: %s\n", err.text);
	return EXIT_FAILURE;
}

int posternctl_explain(const struct posternctl_policy *options, int argc, char **argv)
{
	struct wish wish;
	struct posternctl_plan p;
	int status = read_wish(options, argc, argv, &wish);
	if (status != 0)
		return status;
	status = make_plan(options, &wish, &p);
	if (status == 0)
		status = print_explained(options, &p.explained);
	posternctl_plan_clear(&p);
	return status;
}

/* ---- probe ------------------------------------------------------------------------------------ */

struct lookup {
	struct tlsio_loop *loop;
	struct policy_plan_host *host;
	uint16_t port;
};

static void on_answer(void *ctx, enum relay_lookup_result result, const struct netaddr *addresses,
	size_t count, const struct err *why)
{
	struct lookup *l = ctx;
	tlsio_loop_stop(l->loop);
	if (result != RELAY_LOOKUP_FOUND) {
		fprintf(stderr, "posternctl: %s\n", why->text);
		return;
	}
	if (count > POLICY_PLAN_ADDRESSES_MOST)
		count = POLICY_PLAN_ADDRESSES_MOST;
	l->host->addresses = mem_array(count, sizeof(*addresses));
	memcpy(l->host->addresses, addresses, count * sizeof(*addresses));
	for (size_t i = 0; i < count; i++)
		l->host->addresses[i].port = l->port;
	l->host->address_count = count;
}

/* A host that needs no plan, found by the system's resolver as the relay does. Gives. */
static struct policy_plan *plan_of_host(struct posternctl_plan *p)
{
	static const struct relay_lookup_events events = { on_answer };
	const struct relay_destination *d = p->destination;
	struct policy_plan *plan = policy_plan_new(p->explained.domain, d->host);
	struct policy_plan_host *host = policy_plan_add_host(plan, d->host, 0);
	struct lookup lookup = { .loop = p->loop, .host = host, .port = d->port };
	struct netaddr address;
	host->requirement = policy_requirement_ref(d->requirement);
	if (netaddr_parse(str_of(d->host), d->port, &address, NULL) == 0) {
		address.port = d->port;
		host->addresses = mem_array(1, sizeof(address));
		host->addresses[0] = address;
		host->address_count = 1;
		return plan;
	}
	struct relay_resolver *resolver = relay_resolver_new(p->loop, relay_resolver_system);
	relay_resolver_ask(resolver, d->host, RESOLVE_MS, &events, &lookup);
	tlsio_loop_run(p->loop);
	relay_resolver_free(&resolver);
	return plan;
}

static void on_probed(void *ctx)
{
	tlsio_loop_stop(ctx);
}

static bool has_host(const struct policy_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->host_count; i++) {
		if (str_equal_nocase(str_of(plan->hosts[i].name), str_of(name)))
			return true;
	}
	return false;
}

static int print_probed(const struct posternctl_policy *options, const struct posternctl_plan *p,
	const struct probe *probe)
{
	struct buf out = { 0 };
	struct explain_page page = page_for_stdout(&out);
	struct probe_print print = { .explained = &p->explained,
		.now_s = tlsio_loop_time_s(p->loop) };
	print.hosts = probe_hosts(probe, &print.host_count);
	if (options->is_json)
		probe_print_json(&print, &out);
	else
		probe_print_text(&print, &page);
	return print_out(&out, (int)probe_print_status(&print));
}

static int probe_plan(const struct posternctl_policy *options, struct posternctl_plan *p,
	struct policy_plan *plan, int64_t timeout_ms)
{
	struct tlsio_trust *roots = tlsio_trust_system(NULL);
	const struct probe_setup setup = {
		.loop = p->loop,
		.plan = plan,
		.hostname = p->config->hostname,
		.roots = roots,
		.only_host = options->host,
		.wants_all_addresses = options->wants_all,
		.is_tls_first = p->destination->implicit_tls,
		.limit_ms = timeout_ms,
	};
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "posternctl: looking at %zu host%s, at most %lld s ...\n",
			plan->host_count, plan->host_count == 1 ? "" : "s",
			(long long)(timeout_ms / 1000));
	struct probe *probe = probe_start(&setup, on_probed, p->loop);
	tlsio_loop_run(p->loop);
	int status = print_probed(options, p, probe);
	probe_free(&probe);
	tlsio_trust_unref(&roots);
	return status;
}

static int probe_destination(const struct posternctl_policy *options, struct posternctl_plan *p,
	int64_t timeout_ms)
{
	const struct relay_destination *d = p->destination;
	if (d->transport == RELAY_LMTP)
		fprintf(stderr, "posternctl: a probe speaks SMTP, not LMTP: explained only\n");
	if (d->transport != RELAY_SMTP || (p->plan && p->plan->state != POLICY_PLAN_READY))
		return print_explained(options, &p->explained);
	struct policy_plan *plan = p->plan ? policy_plan_ref(p->plan) : plan_of_host(p);
	int status;
	if (options->host && !has_host(plan, options->host)) {
		fprintf(stderr, "posternctl: %s is no host for %s\n", options->host,
			p->explained.domain);
		status = WRONG_COMMAND_LINE;
	} else {
		status = probe_plan(options, p, plan, timeout_ms);
	}
	policy_plan_unref(&plan);
	return status;
}

int posternctl_probe(const struct posternctl_policy *options, int argc, char **argv)
{
	struct wish wish;
	struct posternctl_plan p;
	int status = read_wish(options, argc, argv, &wish);
	if (status != 0)
		return status;
	status = make_plan(options, &wish, &p);
	if (status == 0)
		status = probe_destination(options, &p, wish.timeout_ms);
	posternctl_plan_clear(&p);
	return status;
}
