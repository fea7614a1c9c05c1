#include "smtpd/posternctl_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "policy/door/door_client.h"
#include "smtpd/brain.h"
#include "smtpd/check_config.h"

enum {
	PLAN_MS = 60000,
	CHECK_MS = 4000, /* how long the self-check may take when the plan is there */
};

/* Who is asked, and what came. */
struct asking {
	struct tlsio_loop *loop;
	struct policy_plan *plan;
	struct brain *brain;
	struct tlsio_timer limit;
	bool is_checked;
	char *warning;
	size_t warning_bytes;
};

/* ---- the configuration ----------------------------------------------------------------------- */

static const char built_in[] = "hostname = \"localhost.localdomain\"\n"
			       "route \"*\" { to = \"mx\" }\n";

static int read_built_in(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	(void)ctx;
	if (strcmp(path, CHECK_CONFIG_PATH) != 0)
		return file_read(path, max_bytes, ret, err);
	buf_append_text(ret, built_in);
	return 0;
}

struct config *posternctl_plan_config(const char *path, struct err *err)
{
	struct config_source source = config_source_disk;
	source.skips_keys = true;
	if (!path && access(CHECK_CONFIG_PATH, F_OK) != 0 && errno == ENOENT) {
		fprintf(stderr, "posternctl: there is no %s: taken as if everything went by MX, without "
				"rules\n", CHECK_CONFIG_PATH);
		source.read = read_built_in;
	}
	return config_load(path ? path : CHECK_CONFIG_PATH, &source, NULL, err);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_plan(void *ctx, struct policy_plan *plan)
{
	struct asking *a = ctx;
	a->plan = policy_plan_ref(plan);
	tlsio_timer_start(&a->limit, a->is_checked ? 0 : CHECK_MS);
}

static void on_limit(void *ctx)
{
	struct asking *a = ctx;
	tlsio_loop_stop(a->loop);
}

static void on_check(void *ctx, enum dns_check_result result, const char *words)
{
	struct asking *a = ctx;
	a->is_checked = true;
	if (result == DNS_CHECK_NOT_VALIDATING)
		snprintf(a->warning, a->warning_bytes, "%s", words);
	if (a->plan)
		tlsio_timer_start(&a->limit, 0);
}

static void on_warning(void *ctx, const char *words)
{
	(void)ctx;
	fprintf(stderr, "posternctl: %s\n", words);
}

static void wait_for_plan(struct asking *a)
{
	tlsio_timer_start(&a->limit, PLAN_MS);
	tlsio_loop_run(a->loop);
	tlsio_timer_stop(&a->limit);
}

static struct tlsio_trust *find_authority(void *ctx, const char *name, const uint8_t sha256[32])
{
	return config_find_authority(ctx, name, sha256);
}

static void ask_policyd(struct asking *a, const char *socket_path, struct config *config,
	const struct policy_question *question)
{
	const struct door_client_setup setup = { .loop = a->loop, .socket_path = socket_path,
		.program = "posternctl", .authorities = { find_authority, config },
		.limit_ms = PLAN_MS };
	struct door_client *client = door_client_new(&setup);
	const char *words = "";
	a->is_checked = true; /* it did so when it started */
	struct door_question *asked = door_client_ask(client, question, on_plan, a);
	wait_for_plan(a);
	if (!a->plan)
		door_question_cancel(&asked);
	if (door_client_self_check(client, &words) == DNS_CHECK_NOT_VALIDATING)
		snprintf(a->warning, a->warning_bytes, "%s", words);
	door_client_free(&client);
}

static int ask_here(struct asking *a, struct config *config,
	const struct policy_question *question, struct err *err)
{
	static const struct brain_events events = { .on_warning = on_warning };
	a->brain = brain_new(a->loop, config, STS_CACHE_READ_ONLY, &events, NULL, err);
	if (!a->brain)
		return -1;
	struct plan_question *asked =
		plan_service_ask(brain_plans(a->brain), question, on_plan, a);
	brain_check(a->brain, on_check, a);
	wait_for_plan(a);
	if (!a->plan)
		plan_question_cancel(&asked);
	brain_free(&a->brain);
	return 0;
}

/* Is somebody there? A door_client would only say "later". 0, or why not. */
static int try_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	int result = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
			errno == EAGAIN ? 0 : errno; /* EAGAIN: many wait there already */
	close(fd);
	return result;
}

static int ask(struct posternctl_plan *p, struct policy_question *question, bool is_fresh,
	const char *run_directory, struct err *err)
{
	struct asking a = { .loop = p->loop, .warning = p->warning,
		.warning_bytes = sizeof(p->warning) };
	struct buf path = { 0 };
	buf_printf(&path, "%s/policyd.sock", run_directory ? run_directory : p->config->run_directory);
	question->wants_evidence = true;
	tlsio_timer_init(&a.limit, a.loop, on_limit, &a);
	int why = is_fresh ? 0 : try_socket(buf_text(&path)), result = 0;
	if (!is_fresh && why == 0) {
		p->explained.asked = "policyd";
		ask_policyd(&a, buf_text(&path), p->config, question);
	} else {
		if (!is_fresh)
			fprintf(stderr, "posternctl: postern-policyd cannot be asked (%s: %s): worked out "
					"here\n", buf_text(&path), strerror(why));
		p->explained.asked = "alone";
		result = ask_here(&a, p->config, question, err);
	}
	buf_release(&path);
	p->plan = a.plan;
	if (result == 0 && !p->plan)
		result = err_set(err, ERR_DNS, "no plan within %d s", PLAN_MS / 1000);
	return result;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum explain_way way_of(const struct relay_destination *d)
{
	switch (d->transport) {
	case RELAY_LMTP:
		return EXPLAIN_LMTP;
	case RELAY_MAILDIR:
		return EXPLAIN_MAILDIR;
	case RELAY_REFUSE:
		return EXPLAIN_REFUSE;
	default:
		return d->by_mx ? EXPLAIN_BY_MX : EXPLAIN_BY_HOST;
	}
}

/* Gives. The words of a route to this very host. */
static char *words_to(const struct explain_target *target)
{
	struct buf words = { 0 };
	bool is_ipv6 = strchr(target->domain, ':') != NULL;
	buf_printf(&words, "%s %s%s%s:%u", target->port == 465 ? "smtps" : "smtp", is_ipv6 ? "[" : "",
		target->domain, is_ipv6 ? "]" : "", target->port);
	return buf_take(&words);
}

static void note_route(void *ctx, const char *domain, const char *words)
{
	bool *has_route = ctx;
	(void)domain;
	(void)words;
	*has_route = true;
}

/* A file for postern-policyd alone need not say any: then the answer is what another MTA is told. */
static bool has_route(const struct config *config)
{
	bool has = false;
	relay_routes_each(config->routes, note_route, &has);
	return has;
}

static struct relay_destination *find(struct config *config, const struct explain_target *target,
	int64_t now_s, struct err *err)
{
	if (!target->is_host && !has_route(config))
		return relay_destination_new(STR("mx"), target->domain,
			policy_rules_find(config->rules, str_of(target->domain), now_s), err);
	if (!target->is_host)
		return relay_routes_find(config->routes, config->rules, str_of(target->domain), now_s);
	const struct policy_rule *rule =
		policy_rules_find(config->rules, str_of(target->domain), now_s);
	char *words = words_to(target);
	struct relay_destination *d =
		relay_destination_new(str_of(words), target->domain, rule, err);
	free(words);
	return d;
}

/* "relay.example.net:25", a path, the words of a refusal; NULL: the MX hosts of the domain itself. */
static char *next_hop_of(const struct relay_destination *d, const char *domain)
{
	struct buf words = { 0 };
	if (d->by_mx && strcmp(d->domain, domain) == 0)
		return NULL;
	if (d->by_mx)
		return mem_dup(d->domain);
	if (d->text)
		return mem_dup(d->text);
	if (d->path)
		buf_printf(&words, "%s%s", d->transport == RELAY_LMTP ? "unix:" : "", d->path);
	else
		buf_printf(&words, strchr(d->host, ':') ? "[%s]:%u" : "%s:%u", d->host, d->port);
	return buf_take(&words);
}

int posternctl_plan_make(struct posternctl_plan *p, struct config *config,
	const struct explain_target *target, bool is_fresh, const char *run_directory, uint16_t port,
	struct err *err)
{
	*p = (struct posternctl_plan){ .config = config };
	p->loop = tlsio_loop_new(err);
	if (!p->loop)
		return -1;
	int64_t now_s = tlsio_loop_time_s(p->loop);
	p->destination = find(config, target, now_s, err);
	if (!p->destination)
		return -1;
	struct relay_destination *d = p->destination;
	if (relay_destination_is_planned(d)) {
		struct policy_question question = relay_destination_question(d);
		if (port)
			question.port = port;
		if (ask(p, &question, is_fresh, run_directory, err) < 0)
			return -1;
	}
	p->next_hop = next_hop_of(d, target->domain);
	p->explained.domain = target->domain;
	p->explained.way = way_of(d);
	p->explained.is_this_host = target->is_host;
	p->explained.next_hop = p->next_hop;
	p->explained.plan = p->plan;
	p->explained.rule = p->plan || d->transport == RELAY_MAILDIR ||
			d->transport == RELAY_REFUSE ? NULL : d->requirement;
	p->explained.warning = p->warning[0] ? p->warning : NULL;
	p->explained.now_s = tlsio_loop_time_s(p->loop);
	return 0;
}

void posternctl_plan_clear(struct posternctl_plan *p)
{
	policy_plan_unref(&p->plan);
	if (p->destination)
		relay_destination_unref(&p->destination);
	config_unref(&p->config);
	if (p->loop)
		tlsio_loop_free(&p->loop);
	free(p->next_hop);
}
