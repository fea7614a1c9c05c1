#include "smtpd/relay/relay_routes.h"

#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "smtpd/smtp/smtp_address.h"

/* Most domains whose destination is remembered; the longest unused goes first. */
#define CACHE_MOST 100000

struct route {
	char *domain; /* "example.org", ".example.org", "*" */
	char *words;
	UT_hash_handle hh;
};

struct found {
	char *domain;
	const struct policy_rule *rule; /* that held then */
	struct relay_destination *destination;
	UT_hash_handle hh; /* in order of use */
};

struct relay_routes {
	unsigned references;
	struct route *routes;
	struct found *cache;
	const struct policy_rules *cache_rules; /* whose requirements the cache holds */
};

struct relay_routes *relay_routes_new(void)
{
	struct relay_routes *routes = mem_zero(sizeof(*routes));
	routes->references = 1;
	return routes;
}

static const struct route *find_exact(const struct relay_routes *routes, const char *domain)
{
	struct route *route;
	HASH_FIND_STR(routes->routes, domain, route);
	return route;
}

/* "*", ".example.org" or "example.org" in the form to look up by. Gives. */
static char *normalise(struct str domain, struct err *err)
{
	char ascii[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	if (str_equal(domain, STR("*")))
		return mem_dup("*");
	bool is_parent = domain.length > 1 && domain.at[0] == '.';
	if (smtp_address_domain_ascii(is_parent ? str_skip(domain, 1) : domain, ascii, err) < 0)
		return NULL;
	struct buf text = { 0 };
	if (is_parent)
		buf_append_byte(&text, '.');
	buf_append_text(&text, ascii);
	return buf_take(&text);
}

/* A domain as part of a path: no separator, no leading dot, nothing odd. */
static void append_domain(struct buf *words, const char *domain)
{
	for (size_t i = 0; domain[i]; i++) {
		char c = domain[i];
		bool is_safe = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_' || (c == '.' && i > 0);
		buf_append_byte(words, is_safe ? c : '_');
	}
	if (!domain[0])
		buf_append_byte(words, '_');
}

/* The words with a maildir's %d filled in. Gives. */
static char *fill_in(const char *text, const char *domain)
{
	struct str words = str_of(text);
	struct buf filled = { 0 };
	bool is_maildir = str_equal_nocase(str_next_word(&words), STR("maildir"));
	for (const char *at = text; *at; at++) {
		if (is_maildir && at[0] == '%' && at[1] == 'd') {
			append_domain(&filled, domain);
			at++;
		} else if (is_maildir && at[0] == '%' && at[1]) {
			buf_append(&filled, at, 2);
			at++;
		} else {
			buf_append_byte(&filled, *at);
		}
	}
	return buf_take(&filled);
}

int relay_routes_add(struct relay_routes *routes, struct str domain, struct str words,
	struct err *err)
{
	char *name = normalise(str_trim(domain), err);
	if (!name)
		return err_prefix(err, "route \"%.*s\": ",
			domain.length < 80 ? (int)domain.length : 80, domain.at);
	if (find_exact(routes, name)) {
		err_set(err, ERR_INPUT, "route \"%s\" is given twice", name);
		free(name);
		return -1;
	}
	struct relay_destination *d = relay_destination_parse(words, NULL, err);
	if (!d) {
		err_prefix(err, "route \"%s\": ", name);
		free(name);
		return -1;
	}
	relay_destination_unref(&d);
	struct route *route = mem_zero(sizeof(*route));
	route->domain = name;
	route->words = mem_dup_bytes(words.at, words.length);
	HASH_ADD_KEYPTR(hh, routes->routes, route->domain, strlen(route->domain), route);
	return 0;
}

static const struct route *find_specific(const struct relay_routes *routes, const char *domain)
{
	const struct route *route = domain[0] ? find_exact(routes, domain) : NULL;
	for (const char *dot = strchr(domain, '.'); !route && dot; dot = strchr(dot + 1, '.'))
		route = find_exact(routes, dot);
	return route;
}

static void drop_found(struct relay_routes *routes, struct found *found)
{
	HASH_DEL(routes->cache, found);
	relay_destination_unref(&found->destination);
	free(found->domain);
	free(found);
}

static void empty_cache(struct relay_routes *routes)
{
	struct found *found, *next;
	HASH_ITER (hh, routes->cache, found, next)
		drop_found(routes, found);
}

static struct relay_destination *refuse(const char *domain, const struct policy_rule *rule,
	const char *words)
{
	struct buf refusal = { 0 };
	buf_printf(&refusal, "refuse %s", words);
	struct relay_destination *d =
		relay_destination_new(buf_str(&refusal), domain, rule, NULL);
	buf_release(&refusal);
	return d;
}

static struct relay_destination *make(struct relay_routes *routes, const struct policy_rule *rule,
	const char *domain)
{
	const struct route *route = find_specific(routes, domain);
	struct err err = { 0 };
	if (!route)
		route = find_exact(routes, "*");
	if (!route)
		return refuse(domain, rule, "5.4.4 no route leads to this domain");
	char *words = fill_in(route->words, domain);
	struct relay_destination *d = relay_destination_new(str_of(words), domain, rule, &err);
	free(words);
	if (!d) { /* words that were good alone, but contradict the rule of this domain */
		char why[sizeof(err.text) + 80];
		snprintf(why, sizeof(why), "4.3.5 the route of this domain cannot work: %s",
			err.text);
		return refuse(domain, rule, why);
	}
	if (d->by_mx && !d->domain[0]) { /* <postmaster> */
		relay_destination_unref(&d);
		return refuse(domain, rule, "5.1.3 there is no domain whose MX hosts could be asked");
	}
	return d;
}

struct relay_destination *relay_routes_find(struct relay_routes *routes,
	struct policy_rules *rules, struct str domain, int64_t now_s)
{
	char ascii[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	struct found *found;
	if (domain.length == 0)
		ascii[0] = '\0'; /* <postmaster> */
	else if (smtp_address_domain_ascii(domain, ascii, NULL) < 0)
		return refuse("", policy_rules_find(rules, STR(""), now_s),
			"5.1.2 there can be no such domain");
	if (routes->cache_rules != rules) {
		empty_cache(routes);
		routes->cache_rules = rules;
	}
	const struct policy_rule *rule = policy_rules_find(rules, str_of(ascii), now_s);
	HASH_FIND_STR(routes->cache, ascii, found);
	if (found && found->rule != rule) { /* an exception ended */
		drop_found(routes, found);
		found = NULL;
	}
	if (found) {
		HASH_DEL(routes->cache, found);
	} else {
		if (HASH_COUNT(routes->cache) >= CACHE_MOST)
			drop_found(routes, routes->cache);
		found = mem_zero(sizeof(*found));
		found->domain = mem_dup(ascii);
		found->rule = rule;
		found->destination = make(routes, rule, ascii);
	}
	HASH_ADD_KEYPTR(hh, routes->cache, found->domain, strlen(found->domain), found);
	return relay_destination_ref(found->destination);
}

void relay_routes_each(const struct relay_routes *routes,
	void (*on_route)(void *ctx, const char *domain, const char *words), void *ctx)
{
	for (struct route *route = routes->routes; route; route = route->hh.next)
		on_route(ctx, route->domain, route->words);
}

bool relay_routes_is_ours(const struct relay_routes *routes, struct str domain)
{
	char ascii[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	if (domain.length == 0 || smtp_address_domain_ascii(domain, ascii, NULL) < 0)
		return false;
	return find_specific(routes, ascii) != NULL;
}

struct relay_routes *relay_routes_ref(struct relay_routes *routes)
{
	routes->references++;
	return routes;
}

void relay_routes_unref(struct relay_routes **ref)
{
	struct relay_routes *routes = *ref;
	struct route *route, *next;
	if (!routes)
		return;
	*ref = NULL;
	if (--routes->references > 0)
		return;
	empty_cache(routes);
	HASH_ITER (hh, routes->routes, route, next) {
		HASH_DEL(routes->routes, route);
		free(route->domain);
		free(route->words);
		free(route);
	}
	free(routes);
}
