/* Routes and destinations: words in, next hops with keys out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtpd/relay/relay_routes.h"

struct fixture {
	struct relay_routes *routes;
	struct policy_rules *rules;
};

static int set_up(void **state)
{
	static struct fixture f;
	f.routes = relay_routes_new();
	f.rules = policy_rules_new();
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	relay_routes_unref(&f->routes);
	policy_rules_unref(&f->rules);
	return 0;
}

static void add(struct fixture *f, const char *domain, const char *words)
{
	struct err err = { 0 };
	if (relay_routes_add(f->routes, str_of(domain), str_of(words), &err) < 0)
		fail_msg("%s", err.text);
}

/* Transport and key of a domain's destination; the text valid until the next call. */
static const char *find(struct fixture *f, const char *domain)
{
	static char text[500];
	struct relay_destination *d = relay_routes_find(f->routes, f->rules, str_of(domain), 0);
	struct relay_destination *again = relay_routes_find(f->routes, f->rules, str_of(domain), 0);
	if (d->transport != RELAY_REFUSE)
		assert_ptr_equal(d, again);
	assert_non_null(d->requirement);
	snprintf(text, sizeof(text), "%s", d->host ? d->host : d->path ? d->path : d->text);
	relay_destination_unref(&d);
	relay_destination_unref(&again);
	return text;
}

static void the_most_specific_route_wins(void **state)
{
	struct fixture *f = *state;
	add(f, "example.org", "smtp exact.test:25");
	add(f, ".example.org", "smtp below.test:25");
	add(f, ".mail.example.org", "smtp further.test:25");
	add(f, "*", "smtp rest.test:25");
	assert_string_equal(find(f, "example.org"), "exact.test");
	assert_string_equal(find(f, "EXAMPLE.org."), "exact.test");
	assert_string_equal(find(f, "a.example.org"), "below.test");
	assert_string_equal(find(f, "mail.example.org"), "below.test");
	assert_string_equal(find(f, "a.mail.example.org"), "further.test");
	assert_string_equal(find(f, "badexample.org"), "rest.test");
	assert_string_equal(find(f, "other.test"), "rest.test");
	assert_string_equal(find(f, ""), "rest.test");
}

static void ours_is_what_has_a_route_of_its_own(void **state)
{
	struct fixture *f = *state;
	add(f, "example.org", "smtp a.test");
	add(f, ".b.test", "smtp a.test");
	add(f, "b\xc3\xbc\x63her.test", "smtp a.test");
	add(f, "*", "smtp rest.test");
	assert_true(relay_routes_is_ours(f->routes, STR("Example.ORG")));
	assert_true(relay_routes_is_ours(f->routes, STR("x.b.test")));
	assert_false(relay_routes_is_ours(f->routes, STR("b.test")));
	assert_true(relay_routes_is_ours(f->routes, STR("xn--bcher-kva.test")));
	assert_true(relay_routes_is_ours(f->routes, STR("B\xc3\x9c\x43HER.test")));
	assert_false(relay_routes_is_ours(f->routes, STR("elsewhere.test")));
	assert_false(relay_routes_is_ours(f->routes, STR("")));
	assert_false(relay_routes_is_ours(f->routes, STR("*")));
	assert_false(relay_routes_is_ours(f->routes, STR("a..b")));
}

static void no_route_refuses(void **state)
{
	struct fixture *f = *state;
	struct relay_destination *d = relay_routes_find(f->routes, f->rules, STR("x.test"), 0);
	assert_int_equal(d->transport, RELAY_REFUSE);
	assert_true(str_starts(str_of(d->text), STR("5.4.4 ")));
	relay_destination_unref(&d);
	d = relay_routes_find(f->routes, f->rules, STR("a..b"), 0);
	assert_int_equal(d->transport, RELAY_REFUSE);
	relay_destination_unref(&d);
}

static void a_maildir_gets_its_domain(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "maildir /var/mail/%d/%u%%");
	assert_string_equal(find(f, "Example.org"), "/var/mail/example.org/%u%%");
	assert_string_equal(find(f, "[192.0.2.1]"), "/var/mail/_192.0.2.1_/%u%%");
	assert_string_equal(find(f, ""), "/var/mail/_/%u%%");
}

static void bad_routes_are_refused_with_a_remedy(void **state)
{
	static const struct {
		const char *domain, *words, *err;
	} rows[] = {
		{ "a.test", "", "is no route" },
		{ "a.test", "smpt x:25", "\"smtp host:port\"" },
		{ "a.test", "smtp", "not a host name" },
		{ "a.test", "smtp x:0", "not a port" },
		{ "a.test", "smtp x:65536", "not a port" },
		{ "a.test", "smtp x:", "not a port" },
		{ "a.test", "smtp [::1", "[address]" },
		{ "a.test", "smtp [::1]x", "[address]" },
		{ "a.test", "smtp [nonsense]", "nonsense" },
		{ "a.test", "smtp /etc/passwd", "not a host name" },
		{ "a.test", "lmtp unix:relative", "absolute path" },
		{ "a.test", "maildir relative", "absolute path" },
		{ "a.test", "maildir /var/%x", "%d (domain)" },
		{ "a.test", "maildir /var/%", "%d (domain)" },
		{ "a..test", "smtp x", "a..test" },
		{ "a.test", "smpt x:25", "\"mx\", \"mx domain\"" },
		{ "a.test", "mx b.test:25", "\"smtp host:port\"" },
		{ "a.test", "mx 192.0.2.1", "\"smtp host:port\"" },
		{ "a.test", "mx [192.0.2.1]", "\"smtp host:port\"" },
		{ "a.test", "mx 2001:db8::1", "\"smtp host:port\"" },
		{ "a.test", "mx /etc", "not a host name" },
		{ "twice.test", "smtp x", "twice" },
		{ "TWICE.test.", "smtp x", "twice" },
	};
	struct fixture *f = *state;
	add(f, "twice.test", "smtp y");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { 0 };
		if (relay_routes_add(f->routes, str_of(rows[i].domain), str_of(rows[i].words),
			    &err) == 0)
			fail_msg("taken: %s", rows[i].words);
		if (!strstr(err.text, rows[i].err))
			fail_msg("%s: %s", rows[i].words, err.text);
		assert_int_equal(err.kind, ERR_INPUT);
	}
}

static const struct {
	const char *words;
	enum relay_transport transport;
	const char *host;
	uint16_t port;
	bool implicit_tls;
	const char *path;
} good[] = {
	{ "smtp mx.test", RELAY_SMTP, "mx.test", 25, false, NULL },
	{ "SMTP MX.test:2525", RELAY_SMTP, "mx.test", 2525, false, NULL },
	{ "smtp mx.test.:25", RELAY_SMTP, "mx.test", 25, false, NULL },
	{ "smtp 192.0.2.1", RELAY_SMTP, "192.0.2.1", 25, false, NULL },
	{ "smtp [192.0.2.1]:26", RELAY_SMTP, "192.0.2.1", 26, false, NULL },
	{ "smtp [2001:db8::1]:26", RELAY_SMTP, "2001:db8::1", 26, false, NULL },
	{ "smtp [IPv6:2001:db8::1]", RELAY_SMTP, "2001:db8::1", 25, false, NULL },
	{ "smtp 2001:db8::1", RELAY_SMTP, "2001:db8::1", 25, false, NULL },
	{ "smtp m\xc3\xbcller.test", RELAY_SMTP, "xn--mller-kva.test", 25, false, NULL },
	{ "smtps mx.test", RELAY_SMTP, "mx.test", 465, true, NULL },
	{ "lmtp mx.test:24", RELAY_LMTP, "mx.test", 24, false, NULL },
	{ "lmtp unix:/run/dovecot/lmtp", RELAY_LMTP, NULL, 0, false, "/run/dovecot/lmtp" },
	{ "maildir  /var/mail/%u", RELAY_MAILDIR, NULL, 0, false, "/var/mail/%u" },
	{ "refuse", RELAY_REFUSE, NULL, 0, false, NULL },
};

static void words_become_destinations(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct err err = { 0 };
		struct relay_destination *d =
			relay_destination_parse(str_of(good[i].words), NULL, &err);
		if (!d)
			fail_msg("%s: %s", good[i].words, err.text);
		assert_int_equal(d->transport, good[i].transport);
		assert_int_equal(d->port, good[i].port);
		assert_int_equal(d->implicit_tls, good[i].implicit_tls);
		assert_string_equal(d->host ? d->host : "-", good[i].host ? good[i].host : "-");
		assert_string_equal(d->path ? d->path : "-", good[i].path ? good[i].path : "-");
		relay_destination_unref(&d);
	}
}

static char *key_of(const char *words, enum policy_level level, enum tlsio_version minimum,
	const char *source)
{
	static char keys[2][300];
	static unsigned next;
	struct policy_requirement from = { .level = level, .minimum = minimum,
		.source = (char *)source };
	struct policy_requirement *r = policy_requirement_new(&from);
	struct relay_destination *d = relay_destination_parse(str_of(words), r, NULL);
	assert_non_null(d);
	char *key = keys[next++ % 2];
	snprintf(key, sizeof(keys[0]), "%s", d->key);
	relay_destination_unref(&d);
	policy_requirement_unref(&r);
	return key;
}

static void the_key_says_next_hop_and_demand(void **state)
{
	(void)state;
	const enum policy_level may = POLICY_LEVEL_MAY, verify = POLICY_LEVEL_VERIFY;
	assert_string_equal(key_of("smtp A.test", may, TLSIO_TLS12, "x"),
		key_of("smtp a.test:25", may, TLSIO_TLS12, "y"));
	assert_string_not_equal(key_of("smtp a.test", may, TLSIO_TLS12, "x"),
		key_of("smtp a.test", verify, TLSIO_TLS12, "x"));
	assert_string_not_equal(key_of("smtp a.test", verify, TLSIO_TLS12, "x"),
		key_of("smtp a.test", verify, TLSIO_TLS13, "x"));
	assert_string_not_equal(key_of("smtp a.test", may, TLSIO_TLS12, "x"),
		key_of("smtp a.test:26", may, TLSIO_TLS12, "x"));
	assert_string_not_equal(key_of("smtp a.test:465", may, TLSIO_TLS12, "x"),
		key_of("smtps a.test:465", may, TLSIO_TLS12, "x"));
	assert_string_not_equal(key_of("smtp a.test:24", may, TLSIO_TLS12, "x"),
		key_of("lmtp a.test:24", may, TLSIO_TLS12, "x"));
}

static void two_domains_of_one_hop_and_rule_share_a_key(void **state)
{
	struct fixture *f = *state;
	add(f, "a.test", "smtp mx.test");
	add(f, "b.test", "smtp mx.test:25");
	struct policy_requirement from = { .level = POLICY_LEVEL_ENCRYPT, .source = (char *)"c" };
	struct policy_requirement *strict = policy_requirement_new(&from);
	add(f, "c.test", "smtp mx.test");
	assert_int_equal(policy_rules_add(f->rules, STR("c.test"), &(struct policy_rule){ .requirement = strict, .uses_dane = true, .uses_sts = true }, NULL), 0);
	policy_requirement_unref(&strict);
	struct relay_destination *a = relay_routes_find(f->routes, f->rules, STR("a.test"), 0);
	struct relay_destination *b = relay_routes_find(f->routes, f->rules, STR("b.test"), 0);
	struct relay_destination *c = relay_routes_find(f->routes, f->rules, STR("c.test"), 0);
	assert_string_equal(a->key, b->key);
	assert_string_not_equal(a->key, c->key);
	relay_destination_unref(&a);
	relay_destination_unref(&b);
	relay_destination_unref(&c);
}

static void smtps_and_never_tls_contradict(void **state)
{
	struct fixture *f = *state;
	struct policy_requirement from = { .level = POLICY_LEVEL_NONE, .source = (char *)"c:1" };
	struct policy_requirement *never = policy_requirement_new(&from);
	add(f, "*", "smtps mx.test");
	assert_int_equal(policy_rules_add(f->rules, STR("a.test"), &(struct policy_rule){ .requirement = never, .uses_dane = true, .uses_sts = true }, NULL), 0);
	policy_requirement_unref(&never);
	struct relay_destination *d = relay_routes_find(f->routes, f->rules, STR("a.test"), 0);
	assert_int_equal(d->transport, RELAY_REFUSE);
	assert_true(str_starts(str_of(d->text), STR("4.3.5 ")));
	assert_non_null(strstr(d->text, "c:1"));
	relay_destination_unref(&d);
}

static void add_rule(struct fixture *f, const char *domain, enum policy_level level,
	int64_t until_s)
{
	struct policy_requirement from = { .level = level, .source = (char *)"c:1" };
	struct policy_requirement *r = policy_requirement_new(&from);
	const struct policy_rule rule = { .requirement = r, .uses_dane = !until_s,
		.uses_sts = !until_s, .is_exception = until_s > 0, .until_s = until_s,
		.reason = until_s ? (char *)"mended soon" : NULL };
	struct err err = { 0 };
	if (policy_rules_add(f->rules, str_of(domain), &rule, &err) < 0)
		fail_msg("%s", err.text);
	policy_requirement_unref(&r);
}

static struct relay_destination *destination(struct fixture *f, const char *domain)
{
	return relay_routes_find(f->routes, f->rules, str_of(domain), 0);
}

static void mx_asks_for_the_domain_of_the_recipient(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx");
	struct relay_destination *d = destination(f, "B\xc3\xbc\x63her.TEST.");
	assert_int_equal(d->transport, RELAY_SMTP);
	assert_true(d->by_mx && relay_destination_is_planned(d));
	assert_null(d->host);
	const struct policy_question q = relay_destination_question(d);
	assert_int_equal(q.kind, POLICY_BY_MX);
	assert_string_equal(q.next_hop, "xn--bcher-kva.test");
	assert_string_equal(q.rule_domain, "xn--bcher-kva.test");
	assert_int_equal(q.port, 25);
	assert_int_equal(strlen(d->rule_fingerprint), 32);
	char *words = relay_destination_words(d);
	assert_string_equal(words, "mx xn--bcher-kva.test");
	assert_true(str_starts(str_of(d->key), str_of(words)));
	assert_non_null(strstr(d->key, d->rule_fingerprint));
	free(words);
	relay_destination_unref(&d);
}

/* The smart host's domain is the policy domain; the rule is the recipient's. */
static void M5_mx_of_a_smart_host_asks_for_its_domain(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx Smart.test.");
	add_rule(f, "strict.test", POLICY_LEVEL_VERIFY, 0);
	struct relay_destination *a = destination(f, "a.test"), *b = destination(f, "b.test");
	struct relay_destination *strict = destination(f, "strict.test");
	const struct policy_question q = relay_destination_question(a);
	assert_string_equal(q.next_hop, "smart.test");
	assert_string_equal(q.rule_domain, "a.test");
	assert_string_equal(a->key, b->key); /* one transaction for both */
	assert_string_not_equal(a->key, strict->key);
	relay_destination_unref(&a);
	relay_destination_unref(&b);
	relay_destination_unref(&strict);
}

static void D7_M5_an_address_literal_is_the_host_itself(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx");
	struct relay_destination *d = destination(f, "[192.0.2.1]");
	assert_false(d->by_mx);
	assert_false(relay_destination_is_planned(d));
	assert_string_equal(d->host, "192.0.2.1");
	assert_int_equal(d->port, 25);
	relay_destination_unref(&d);
	d = destination(f, "[IPv6:2001:db8::1]");
	assert_string_equal(d->host, "2001:db8::1");
	relay_destination_unref(&d);
}

static void mx_of_no_domain_is_refused(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx");
	struct relay_destination *d = destination(f, "");
	assert_int_equal(d->transport, RELAY_REFUSE);
	assert_true(str_starts(str_of(d->text), STR("5.1.3 ")));
	relay_destination_unref(&d);
}

static void mx_makes_a_domain_ours_only_where_it_is_named(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx");
	add(f, "ours.test", "mx");
	assert_true(relay_routes_is_ours(f->routes, STR("ours.test")));
	assert_false(relay_routes_is_ours(f->routes, STR("other.test")));
}

/* By-host too: whether TLSA records exist is policy's to say. */
static void a_static_host_is_planned_when_its_rule_speaks_of_dane(void **state)
{
	static const struct {
		const char *words;
		enum policy_level level;
		bool is_planned;
	} rows[] = {
		{ "smtp mx.test:26", POLICY_LEVEL_MAY, false },
		{ "smtp mx.test:26", POLICY_LEVEL_VERIFY, false },
		{ "smtp mx.test:26", POLICY_LEVEL_DANE, true },
		{ "smtp mx.test:26", POLICY_LEVEL_DANE_ONLY, true },
		{ "smtps mx.test:26", POLICY_LEVEL_DANE_ONLY, true },
		{ "lmtp mx.test:26", POLICY_LEVEL_DANE, true },
		{ "lmtp unix:/run/lmtp", POLICY_LEVEL_DANE, false },
		{ "maildir /var/mail", POLICY_LEVEL_DANE, false },
		{ "refuse", POLICY_LEVEL_DANE_ONLY, false },
		{ "mx", POLICY_LEVEL_NONE, true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_requirement from = { .level = rows[i].level };
		struct policy_requirement *r = policy_requirement_new(&from);
		const struct policy_rule rule = { .requirement = r, .fingerprint = "f" };
		struct relay_destination *d =
			relay_destination_new(str_of(rows[i].words), "a.test", &rule, NULL);
		assert_int_equal(relay_destination_is_planned(d), rows[i].is_planned);
		if (rows[i].is_planned && d->host) {
			const struct policy_question q = relay_destination_question(d);
			assert_int_equal(q.kind, POLICY_BY_HOST);
			assert_string_equal(q.next_hop, "mx.test");
			assert_string_equal(q.rule_domain, "a.test");
			assert_int_equal(q.port, 26);
		}
		relay_destination_unref(&d);
		policy_requirement_unref(&r);
	}
}

static void what_was_found_under_an_exception_does_not_outlive_it(void **state)
{
	struct fixture *f = *state;
	add(f, "*", "mx");
	add_rule(f, "a.test", POLICY_LEVEL_VERIFY, 0);
	add_rule(f, "a.test", POLICY_LEVEL_MAY, 1000);
	struct relay_destination *before = relay_routes_find(f->routes, f->rules, STR("a.test"), 999);
	struct relay_destination *same = relay_routes_find(f->routes, f->rules, STR("A.test"), 999);
	struct relay_destination *after = relay_routes_find(f->routes, f->rules, STR("a.test"), 1000);
	assert_ptr_equal(before, same);
	assert_int_equal(before->requirement->level, POLICY_LEVEL_MAY);
	assert_int_equal(after->requirement->level, POLICY_LEVEL_VERIFY);
	assert_string_not_equal(before->key, after->key);
	relay_destination_unref(&before);
	relay_destination_unref(&same);
	relay_destination_unref(&after);
}

static void very_many_domains_do_not_stay(void **state)
{
	struct fixture *f = *state;
	char domain[40];
	add(f, "*", "smtp mx.test");
	for (int i = 0; i < 100500; i++) { /* the cache holds 100,000 */
		snprintf(domain, sizeof(domain), "d%d.test", i);
		struct relay_destination *d =
			relay_routes_find(f->routes, f->rules, str_of(domain), 0);
		relay_destination_unref(&d);
		if (i % 1000 == 0)
			find(f, "kept.test"); /* used all the time */
	}
	struct relay_destination *kept = relay_routes_find(f->routes, f->rules, STR("kept.test"), 0);
	assert_int_equal(kept->references, 2); /* the cache and we */
	relay_destination_unref(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(the_most_specific_route_wins),
		T(ours_is_what_has_a_route_of_its_own),
		T(no_route_refuses),
		T(a_maildir_gets_its_domain),
		T(bad_routes_are_refused_with_a_remedy),
		T(words_become_destinations),
		T(the_key_says_next_hop_and_demand),
		T(two_domains_of_one_hop_and_rule_share_a_key),
		T(smtps_and_never_tls_contradict),
		T(mx_asks_for_the_domain_of_the_recipient),
		T(M5_mx_of_a_smart_host_asks_for_its_domain),
		T(D7_M5_an_address_literal_is_the_host_itself),
		T(mx_of_no_domain_is_refused),
		T(mx_makes_a_domain_ours_only_where_it_is_named),
		T(a_static_host_is_planned_when_its_rule_speaks_of_dane),
		T(what_was_found_under_an_exception_does_not_outlive_it),
		T(very_many_domains_do_not_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
