#include "smtpd/check_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/process.h"
#include "policy/policy_date.h"
#include "smtpd/config/config.h"

static const char *tls_words(const struct config_listener *l)
{
	if (!l->tls)
		return "no TLS";
	if (l->session.tls == SESSION_TLS_IMPLICIT)
		return "TLS from the first byte";
	return l->session.requires_tls ? "STARTTLS required" : "STARTTLS offered";
}

/* Of each kind; a file may hold thousands. */
enum { LINES_MOST = 20 };

struct lines {
	const char *label;
	unsigned count;
	int64_t now_s;
};

/* Is this one still to be printed? */
static bool counts(struct lines *lines)
{
	return ++lines->count <= LINES_MOST;
}

static void print_rest(const struct lines *lines)
{
	if (lines->count > LINES_MOST)
		printf("  %-15s and %u more\n", lines->label, lines->count - LINES_MOST);
}

static void print_route(void *ctx, const char *domain, const char *words)
{
	struct lines *lines = ctx;
	if (counts(lines))
		printf("  %-15s %s: %s\n", lines->label, domain, words);
}

static void print_demand(const char *domain, const struct policy_requirement *r)
{
	printf("%s: %s%s", domain, policy_level_name(r->level),
		r->minimum == TLSIO_TLS13 ? ", TLS1.3" : "");
}

static void print_rule(void *ctx, const char *domain, const struct policy_rule *rule)
{
	struct lines *lines = ctx;
	if (rule->is_exception || !counts(lines))
		return;
	printf("  %-15s ", lines->label);
	print_demand(domain, rule->requirement);
	printf("%s%s\n", rule->uses_dane ? "" : ", without DANE",
		rule->uses_sts ? "" : ", without MTA-STS");
}

static void print_exception(void *ctx, const char *domain, const struct policy_rule *rule)
{
	struct lines *lines = ctx;
	char until[POLICY_DATE_BYTES];
	if (!rule->is_exception || rule->until_s <= lines->now_s || !counts(lines))
		return;
	printf("  %-15s ", lines->label);
	print_demand(domain, rule->requirement);
	printf(" until %s: %s\n", policy_date_format(rule->until_s, until), rule->reason);
}

static void print_texts(const char *first, char *const *texts)
{
	printf("%s", first);
	for (size_t i = 0; texts[i]; i++)
		printf("%s%s", i ? ", " : "", texts[i]);
}

/* Who finds out where mail by MX goes, and what it knows of the DNS. */
static void print_brain(const struct config *config)
{
	const struct dns_settings *dns = &config->dns;
	printf("  %-15s ", "policyd");
	if (!config->wants_plans) {
		printf(config->wants_policyd ? "asks nobody: no mail goes by MX or DANE\n"
					     : "not needed: no mail goes by MX or DANE\n");
		return;
	}
	if (dns->forward[0])
		print_texts("asks ", dns->forward);
	else
		printf("asks the name servers of the Internet from the roots on");
	if (dns->anchor_text)
		printf("; DNSSEC from %s", dns->trust_anchor);
	else
		printf("; no DNSSEC");
	if (dns->insecure[0])
		print_texts(", but not below ", dns->insecure);
	printf("\n");
}

static void print_socketmap(const struct config *config)
{
	for (size_t i = 0; i < config->socketmap.count; i++)
		printf("  %-15s %s\n", "socketmap", config->socketmap.all[i].text);
}

static void print_mail(const struct config *config)
{
	struct lines routes = { .label = "route" }, rules = { .label = "rule" };
	struct lines exceptions = { .label = "exception", .now_s = (int64_t)time(NULL) };
	relay_routes_each(config->routes, print_route, &routes);
	print_rest(&routes);
	policy_rules_each(config->rules, print_rule, &rules);
	print_rest(&rules);
	policy_rules_each(config->rules, print_exception, &exceptions);
	print_rest(&exceptions);
	print_brain(config);
	print_socketmap(config);
}

int check_config(const char *path)
{
	struct err err;
	char address[NETADDR_TEXT_BYTES];
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
	tlsio_tickets_make_secret(secret);
	struct config *config = config_load(path, &config_source_disk, secret, &err);
	if (!config) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	struct process_identity user;
	if (config->user && process_find_user(config->user, &user, &err) < 0)
		fprintf(stderr, "warning: 'user': %s\n", err.text); /* a file for another machine? */
	for (char **warning = config->warnings; *warning; warning++)
		fprintf(stderr, "warning: %s\n", *warning);
	printf("%s: ok\n", path);
	printf("  host name       %s\n", config->hostname);
	if (config->listener_count > 0) {
		printf("  workers         %ld%s%s\n", config->workers, config->user ? ", as user " : "",
			config->user ? config->user : "");
		printf("  spool           %s\n", config->spool.directory);
	} else if (config->user) {
		printf("  user            %s\n", config->user);
	}
	printf("  run directory   %s\n", config->run_directory);
	for (size_t i = 0; i < config->listener_count; i++)
		printf("  listens on      %s, %s\n",
			netaddr_format(&config->listeners[i].address, address),
			tls_words(&config->listeners[i]));
	if (config->milter.socket)
		printf("  milter          %s; mail that does not meet a rule: %s%s%s\n", config->milter.socket,
			policy_inbound_mode_name(config->milter.inbound.mode),
			config->milter.header ? "; header " : "",
			config->milter.header ? config->milter.header : "");
	if (config->delegation.sockets.count > 0)
		printf("  policy service  %s; mail that does not meet a rule: %s\n",
			config->delegation.sockets.all[0].text,
			policy_inbound_mode_name(config->delegation.inbound.mode));
	print_mail(config);
	config_unref(&config);
	return EXIT_SUCCESS;
}
