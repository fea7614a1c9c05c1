#include "smtpd/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "libtlsio/base/mem.h"
#include "tests/policy/make_peer.h"
#include "tests/smtpd/config/memory_source.h"

#define BASE "hostname = \"mx.example.org\"\n"
#define LISTEN BASE "listen \"0.0.0.0:25\" { tls = off }\n"
#define CERTIFICATE "certificate mx { chain = \"mx.pem\" key = \"mx.key\" }\n"
#define MILTER "milter \"unix:/run/m.sock\" { }\n"

static const uint8_t secret[TLSIO_TICKET_SECRET_BYTES] = { 1, 2, 3 };
static struct memory_source files;
static struct made authority, mx, other, expired;
static char *pems[8];

static struct str pem_of(gnutls_datum_t datum)
{
	static size_t count;
	pems[count] = mem_dup_bytes(datum.data, datum.size);
	gnutls_free(datum.data);
	return str_of(pems[count++]);
}

static struct str chain_pem(const struct made *made)
{
	gnutls_datum_t datum;
	assert_true(gnutls_x509_crt_export2(made->crt, GNUTLS_X509_FMT_PEM, &datum) >= 0);
	return pem_of(datum);
}

static struct str key_pem(const struct made *made)
{
	gnutls_datum_t datum;
	assert_true(gnutls_x509_privkey_export2_pkcs8(made->key, GNUTLS_X509_FMT_PEM, NULL,
			    GNUTLS_PKCS_PLAIN, &datum) >= 0);
	return pem_of(datum);
}

static int make_files(void **state)
{
	static const char *const names[] = { "mx.example.org", NULL };
	(void)state;
	authority = make_certificate("ca", NULL, true, NULL);
	mx = make_certificate("mx", names, false, &authority);
	other = make_certificate("other", names, false, &authority);
	expired = make_certificate_until("old", names, false, &authority, 1767312000);
	memory_source_put(&files, "/etc/postern/mx.pem", chain_pem(&mx));
	memory_source_put(&files, "/etc/postern/mx.key", key_pem(&mx));
	memory_source_put(&files, "/etc/postern/other.pem", chain_pem(&other));
	memory_source_put(&files, "/etc/postern/other.key", key_pem(&other));
	memory_source_put(&files, "/etc/postern/old.pem", chain_pem(&expired));
	memory_source_put(&files, "/etc/postern/old.key", key_pem(&expired));
	memory_source_put(&files, "/etc/postern/ca.pem", chain_pem(&authority));
	memory_source_put(&files, "/etc/postern/no.pem", STR("nothing"));
	return 0;
}

static int free_files(void **state)
{
	(void)state;
	struct made *all[] = { &authority, &mx, &other, &expired };
	for (size_t i = 0; i < 4; i++)
		free_certificate(all[i]);
	for (size_t i = 0; i < sizeof(pems) / sizeof(pems[0]); i++)
		free(pems[i]);
	return 0;
}

static struct config *load_str(struct str content, struct err *err)
{
	*err = (struct err){ 0 };
	memory_source_put(&files, "/etc/postern/postern.conf", content);
	struct config_source source = memory_source_as_config_source(&files);
	return config_load("/etc/postern/postern.conf", &source, secret, err);
}

static struct config *load_good(const char *content)
{
	struct err err;
	struct config *config = load_str(str_of(content), &err);
	if (!config)
		fail_msg("%s\n%s", err.text, content);
	return config;
}

/* In clear text. */
static bool may_send(const struct policy_inbound *p, const struct netaddr *from, struct str domain,
	struct policy_inbound_refusal *ret)
{
	struct policy_inbound_facts facts;
	policy_inbound_facts_of_peer(from, NULL, &facts);
	return policy_inbound_may_send(p, &facts, domain, ret);
}

static bool has_warning(const struct config *config, const char *words)
{
	for (char **w = config->warnings; *w; w++) {
		if (strstr(*w, words))
			return true;
	}
	return false;
}

static bool has_file(const struct config *config, const char *path)
{
	for (char **f = config->files; *f; f++) {
		if (strcmp(*f, path) == 0)
			return true;
	}
	return false;
}

static const char everything[] =
	"hostname = \"MX.example.org\"\n"
	"user = \"postern\"\n"
	"workers = 3\n"
	"run-directory = \"/run/p\"\n"
	"shutdown = \"10s\"\n"
	"listen \"192.0.2.1:25\" {\n"
	"	tls = \"starttls\"\n"
	"	client-authority = \"ca.pem\"\n"
	"}\n"
	"listen \"[2001:db8::1]:465\" { tls = implicit require-tls = true certificates = {other}\n"
	"	minimum = \"TLS1.3\" session-tickets = false }\n"
	"listen 127.0.0.1 { tls = off }\n"
	"certificate mx { chain = \"mx.pem\" key = \"/etc/postern/mx.key\" }\n"
	"certificate other { chain = \"other.pem\" key = \"other.key\" }\n"
	"client \"192.0.2.0/24\" { relay = true session-tickets = false\n"
	"	inbound { require = tls minimum = \"TLS1.3\" } }\n"
	"relay-certificates { names = {\"out.example.org\"}\n"
	"	key-pins = {\"sha256:000102030405060708090a0b0c0d0e0f"
	"101112131415161718191a1b1c1d1e1f\"} }\n"
	"domain \"example.net\" {\n"
	"	outbound { require = \"verify\" minimum = \"TLS1.3\" names = {\"mx.example.net\"}\n"
	"		authority = \"ca.pem\" }\n"
	"	inbound { require = certificate certificate-names = {\"out.example.net\"} }\n"
	"}\n"
	"domain \".example.net\" { outbound { require = encrypt } }\n"
	"domain \"pinned.example\" { outbound { require = verify key-pins = {\n"
	"	\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\" } } }\n"
	"domain \"*\" { outbound { require = \"may\" } }\n"
	"route \"example.org\" { to = \"lmtp unix:/run/dovecot/lmtp\" }\n"
	"route \"*\" { to = \"smtp smarthost.example.net:587\" }\n"
	"relay { client-certificate { chain = \"mx.pem\" key = \"mx.key\" } connect-timeout = 10s }\n"
	"session { message-size = \"10MiB\" }\n"
	"spool { directory = \"/spool\" }\n"
	"log { target = syslog format = json level = debug }\n";

static void reads_everything(void **state)
{
	(void)state;
	struct config *c = load_good(everything);
	assert_string_equal(c->hostname, "mx.example.org");
	assert_string_equal(c->session.hostname, "mx.example.org");
	assert_string_equal(c->relay.hostname, "mx.example.org");
	assert_string_equal(c->user, "postern");
	assert_string_equal(c->run_directory, "/run/p");
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->shutdown_ms, 10000);
	assert_int_equal(c->log_target, LOG_TARGET_SYSLOG);
	assert_int_equal(c->log_format, LOG_FORMAT_JSON);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->session.message_bytes, 10 << 20);
	assert_int_equal(c->relay.connect_ms, 10000);
	assert_string_equal(c->spool.directory, "/spool");
	assert_non_null(c->present);
	assert_true(!c->warnings || !c->warnings[0]);
	assert_true(has_file(c, "/etc/postern/postern.conf"));
	assert_true(has_file(c, "/etc/postern/ca.pem"));
	assert_true(has_file(c, "/etc/postern/other.key"));
	assert_true(c->certificates_not_after_s > 1800000000);
	config_unref(&c);
	assert_null(c);
}

static void reads_listeners(void **state)
{
	(void)state;
	struct config *c = load_good(everything);
	assert_int_equal(c->listener_count, 3);
	const struct config_listener *l = c->listeners;
	for (size_t i = 0; i < 3; i++) {
		assert_ptr_equal(l[i].config, c);
		assert_ptr_equal(l[i].session.ctx, &l[i]);
	}
	assert_string_equal(l[0].text, "192.0.2.1:25");
	assert_int_equal(l[0].session.tls, SESSION_TLS_STARTTLS);
	assert_false(l[0].session.requires_tls);
	assert_non_null(l[0].tls);
	assert_non_null(l[0].tls_no_tickets);
	assert_int_equal(l[1].session.tls, SESSION_TLS_IMPLICIT);
	assert_true(l[1].session.requires_tls);
	assert_int_equal(l[1].address.port, 465);
	assert_int_equal(l[1].address.family, NETADDR_IPV6);
	assert_int_equal(l[2].address.port, 25);
	assert_int_equal(l[2].session.tls, SESSION_TLS_OFF);
	assert_null(l[2].tls);
	assert_null(l[2].tls_no_tickets);
	config_unref(&c);
}

static void reads_rules_with_their_places(void **state)
{
	(void)state;
	struct config *c = load_good(everything);
	const struct policy_requirement *r = policy_rules_find(c->rules, STR("example.net"), 0)->requirement;
	assert_int_equal(r->level, POLICY_LEVEL_VERIFY);
	assert_int_equal(r->minimum, TLSIO_TLS13);
	assert_int_equal(r->name_count, 1);
	assert_string_equal(r->names[0], "mx.example.net");
	assert_non_null(r->trust);
	assert_string_equal(r->trust_name, "ca.pem");
	assert_string_equal(r->source, "postern.conf:19 domain \"example.net\"");
	assert_int_equal(policy_rules_find(c->rules, STR("a.example.net"), 0)->requirement->level,
		POLICY_LEVEL_ENCRYPT);
	r = policy_rules_find(c->rules, STR("pinned.example"), 0)->requirement;
	assert_int_equal(r->pin_count, 1);
	assert_int_equal(r->pins[0].spki_sha256[31], 31);
	assert_null(r->trust);
	assert_int_equal(policy_rules_find(c->rules, STR("x"), 0)->requirement->level, POLICY_LEVEL_MAY);
	struct netaddr inside, outside;
	netaddr_parse(STR("192.0.2.7"), 25, &inside, NULL);
	netaddr_parse(STR("198.51.100.7"), 25, &outside, NULL);
	assert_true(policy_inbound_may_relay(c->inbound, &inside, NULL));
	assert_false(policy_inbound_may_relay(c->inbound, &outside, NULL));
	assert_false(policy_inbound_issues_tickets(c->inbound, &inside));
	assert_true(policy_inbound_issues_tickets(c->inbound, &outside));
	struct policy_inbound_refusal no;
	assert_false(may_send(c->inbound, &outside, STR("example.net"), &no));
	assert_true(may_send(c->inbound, &outside, STR("b.example.net"), &no));
	assert_false(may_send(c->inbound, &inside, STR("b.example.net"), &no));
	assert_true(relay_routes_is_ours(c->routes, STR("example.org")));
	assert_false(relay_routes_is_ours(c->routes, STR("example.com")));
	struct relay_destination *d = relay_routes_find(c->routes, c->rules, STR("example.net"), 0);
	assert_string_equal(d->host, "smarthost.example.net");
	assert_int_equal(d->requirement->level, POLICY_LEVEL_VERIFY);
	relay_destination_unref(&d);
	config_unref(&c);
}

static void defaults_need_no_words(void **state)
{
	(void)state;
	struct config *c = load_good(LISTEN);
	assert_null(c->user);
	assert_string_equal(c->run_directory, "/run/postern");
	assert_int_equal(c->shutdown_ms, 30000);
	assert_true(c->workers >= 1);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_int_equal(c->log_target, LOG_TARGET_STDERR);
	assert_int_equal(c->session.message_bytes, 50 << 20);
	assert_int_equal(c->certificates_not_after_s, 0);
	assert_null(c->present);
	assert_string_equal(policy_rules_find(c->rules, STR("x.example"), 0)->requirement->source,
		"built-in default");
	assert_true(has_warning(c, "no route section"));
	struct config *second = config_ref(c);
	config_unref(&c);
	assert_string_equal(second->hostname, "mx.example.org");
	config_unref(&second);
	config_unref(&second);
}

/* What must be refused, and words of the refusal; every row stands behind one line. */
static const struct {
	const char *content, *words;
} refused[] = {
	{ "hostname = mx\n" LISTEN, ":2: \"hostname\" is said twice; first at" },
	{ "listen \"x\" { tls = off }", ":2: in listen \"x\": " },
	{ "listen \"0.0.0.0:25\" { tls = of }", ":2: in listen \"0.0.0.0:25\": 'tls' is \"of\"" },
	{ "listen \"0.0.0.0:25\" { }", "TLS needs a certificate: add" },
	{ "listen \"0.0.0.0:25\" { tls = off require-tls = true }", "nobody could meet it" },
	{ "listen \"0.0.0.0:25\" { tls = off\n minimum = \"TLS1.3\" }", ":3: in listen" },
	{ "listen \"0.0.0.0:25\" { tls = off certificates = {x} }", "does nothing with tls" },
	{ "listen \"0.0.0.0:25\" { tls = off } listen \"0.0.0.0:25\" { tls = off }", "said twice" },
	{ "listen \"0.0.0.0:25\" { tls = off } listen \"0.0.0.0\" { tls = off }",
		"is the same address as listen \"0.0.0.0:25\"" },
	{ "listen { tls = off }", "\"listen\" needs a title: write  listen \"name\" { ... }" },
	{ "listen = x", "\"listen\" is a section" },
	{ "tlsrpt { tally = \"t.db\" }", ":2: in tlsrpt: 'tally' is \"t.db\"" },
	{ "tlsrpt-collector \"t.sock\" { }", ":2: in tlsrpt-collector \"t.sock\": is no path" },
	{ "tlsrpt-collector \"/t\" { }\ntlsrpt-collector \"/t\" { }", "is said twice" },
	{ "socketmap \"localhost\" { }", ":2: in socketmap \"localhost\": " },
	{ "socketmap \"unix:a/b\" { }", "begins with no slash" },
	{ "socketmap \"127.0.0.1\" { }\nsocketmap \"127.0.0.1:8642\" { }",
		":3: in socketmap \"127.0.0.1:8642\": is the same as socketmap \"127.0.0.1\" above" },
	{ "socketmap \"/a\" { }\nsocketmap \"unix:/a\" { }", "is the same as" },
	{ "user x { }", "\"user\" is no section: write  user = value" },
	{ "session \"x\" { }", "\"session\" has no title" },
	{ "user = {a}", "\"user\" takes one value" },
	{ "user = \"\"", ":2: 'user' is empty" },
	{ "tls = on", "there is no \"tls\" here" },
	{ "sesion { }", "there is no \"sesion\" here; did you mean \"session\"?" },
	{ "session {\n\n mesage-size = \"1MiB\" }",
		":4: there is no \"mesage-size\" in section session; did you mean \"message-size\"?" },
	{ "session {\n message-size = \"x\" }", ":3: in session: 'message-size' is \"x\"" },
	{ "session { recipients = many }", ":2: invalid integer value for option 'recipients'" },
	{ "workers = 1000", ":2: 'workers' is 1000: must lie between 0 and 256" },
	{ "workers = 99999999999999999999", "out of range" },
	{ "shutdown = soon", ":2: 'shutdown' is \"soon\"" },
	{ "run-directory = \"run\"", "begins with a slash" },
	{ "log { level = loud }", "must be one of error, warning, info, debug" },
	{ "client \"192.0.2.1/24\" { }", ":2: in client \"192.0.2.1/24\"" },
	{ "client \"0.0.0.0/0\" { relay = true }", "open relay" },
	{ "client \"::/0\" {\n relay = yes }", ":3: in client \"::/0\": 'relay' is true for every" },
	{ "client \"192.0.2.0/24\" { relay = maybe }", "invalid boolean" },
	{ "client \"192.0.2.0/24\" { } client \"192.0.2.0/24\" { }", "said twice" },
	{ "client \"192.0.2.1\" { } client \"192.0.2.1/32\" { }", "say it once" },
	{ "client \"192.0.2.0/24\" { inbound { require = certificate } }",
		"but no listen section asks clients for one" },
	{ "relay-certificates { names = {\"a.example\"} }", "no listen section asks" },
	{ "relay-certificates { names = {\"*\"} }", "any name at all" },
	/* posternd cannot do what only a milter's MTA can */
	{ "client \"mx.partner.example\" { inbound { require = tls } }", "by address only" },
	{ "daemon \"smtps\" { inbound { require = tls } }", "is for milter and policy-service" },
	{ "domain \"a.example\" { inbound { require = tls mode = quarantine } }",
		"only a milter's MTA can do" },
	{ "client \"192.0.2.0/24\" { inbound { require = tls mode = quarantine } }",
		"only a milter's MTA can do" },
	{ MILTER "client \"192.0.2.300\" { inbound { require = tls } }", "192.0.2.300" },
	{ MILTER "client \"mx.partner.example\" { relay = true }", "goes by address" },
	{ MILTER "client \".a.example\" { } client \".A.example.\" { }", "has a rule already" },
	{ MILTER "daemon \":x\" { inbound { require = tls } }", "a port is written \":587\"" },
	{ MILTER "daemon \":25\" { } daemon \":025\" { }", "has a rule already" },
	{ MILTER "domain \"a.example\" { inbound { key-pins = {"
		"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"} } }",
		"cannot be met through postern-milter" },
	{ MILTER "domain \"a.example\" { inbound-recipients {\n ciphers = {HIGH} } }",
		":4: in inbound-recipients: 'ciphers' \"HIGH\" fits no cipher suite" },
	{ MILTER "domain \"a.example\" { inbound { refused-ciphers = {\"\"} } }", "fits no" },
	{ MILTER "domain \"a.example\" { inbound { minimum-bits = 1000 } }", "between 0 and 256" },
	{ MILTER "domain \"a.example\" { inbound { mode = report } }", "nothing is demanded" },
	{ MILTER "domain \"a.example\" { inbound { require = tls mode = drop } }", "must be one of" },
	{ MILTER "domain \"a.example\" { inbound { require = none minimum-bits = 128 } }",
		"which need TLS" },
	{ MILTER "milter \"inet:127.0.0.1:1\" { }", "is the second" },
	{ "milter \"/run/x\" { }", "is no socket" },
	{ "milter \"unix:run/x\" { }", "is no socket" },
	{ "milter \"inet:localhost:25\" { }", "in milter \"inet:localhost:25\"" },
	{ "milter \"inet:127.0.0.1\" { }", "has no port" },
	{ "milter \"unix:/x\" { header = \"From\" }", "begins with \"X-\"" },
	{ "milter \"unix:/x\" { header = \"X-A B\" }", "a field of our own" },
	{ "milter \"unix:/x\" { exempt = {\"localhost\"} }", "'exempt'" },
	{ "milter \"unix:/x\" { exempt-daemons = {\":x\"} }", "a port like" },
	{ "milter \"unix:/x\" { socket-mode = \"777\" }", "as chmod does" },
	{ "milter \"unix:/x\" { socket-mode = \"rw\" }", "as chmod does" },
	{ "milter \"unix:/x\" { mta = exim }", "must be one of auto, postfix, sendmail" },
	{ "milter \"unix:/x\" { mode = none }", "must be one of report, quarantine" },
	{ "policy-service \"x\" { }", "in policy-service \"x\"" },
	{ "policy-service \"unix:run/x\" { }",
		"write  policy-service \"127.0.0.1:8643\" { }  or the path of a unix socket" },
	{ "policy-service \"127.0.0.1\" { }\npolicy-service \"/run/x\" { }",
		":3: in policy-service \"/run/x\": is the second: postern-policyd has one" },
	{ "policy-service \"127.0.0.1\" { mode = none }", "must be one of report, quarantine" },
	{ "policy-service \"127.0.0.1\" { exempt = {\"localhost\"} }", "'exempt'" },
	{ "policy-service \"127.0.0.1\" { exempt-daemons = {\"\"} }", "a port like" },
	{ "policy-service \"127.0.0.1\" { header = \"X-TLS\" }", "there is no \"header\"" },
	{ "policy-service \"127.0.0.1\" { }\nsocketmap \"127.0.0.1:8643\" { }",
		":3: in socketmap \"127.0.0.1:8643\": is the address of policy-service, too" },
	{ "policy-service \"127.0.0.1\" { }\n" MILTER "domain \"a.example\" { inbound { key-pins = {"
		"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"} } }",
		"or let Postfix ask policy-service instead" },
	{ "relay-certificates { key-pins = {\"x\"} }", "is no key pin" },
	{ "domain \"example.org\" { }", "says nothing" },
	{ "domain \"a b\" { outbound { } }", "is not a domain name" },
	{ "domain \"example.org\" { outbound { require = tls } }",
		"must be one of none, may, encrypt, verify, dane, dane-only" },
	{ "domain \"example.org\" { outbound { require = dane\n dane = false } }",
		":3: in outbound: 'dane' is false, but require = \"dane\": leave dane out" },
	{ "domain \"example.org\" { outbound { require = dane-only key-pins = {\"00\"} } }",
		"write require = \"verify\", beside which DANE holds" },
	{ "exception \"example.org\" { reason = x until = \"2999-01-01\" }", "'require' is missing" },
	{ "exception \"example.org\" { require = may until = \"2999-01-01\" }",
		"'reason' is missing: say for whoever comes next" },
	{ "exception \"example.org\" { require = may reason = \" \" until = \"2999-01-01\" }",
		"'reason' is missing" },
	{ "exception \"example.org\" { require = may reason = x }", "'until' is missing" },
	{ "exception \"example.org\" { require = may reason = x\n until = \"2026-02-30\" }",
		":3: in exception \"example.org\": 'until' is \"2026-02-30\": write a day" },
	{ "exception \"example.org\" { require = dane reason = x until = \"2999-01-01\" }",
		"must be one of none, may, encrypt, verify" },
	{ "exception \"*\" { require = may reason = x until = \"2999-01-01\" }",
		":2: in exception \"*\": an exception for \"*\" would switch everything off" },
	{ "exception \"A.example\" { require = may reason = x until = \"2999-01-01\" }\n"
	  "exception \"a.example.\" { require = may reason = x until = \"2999-01-01\" }",
		":3: in exception \"a.example.\": domain \"a.example\" has an exception already" },
	{ "exception \"example.org\" { require = verify reason = x until = \"2999-01-01\" }",
		"'require' this machine has no roots" },
	{ "exception \"example.org\" { require = may names = {a} }", "there is no \"names\"" },
	{ "resolver {\n trust-anchor = \"/none.key\" }",
		":3: in resolver: 'trust-anchor' /none.key: No such file" },
	{ "resolver { forward = {x} }", ":2: in resolver: 'forward'" },
	{ "resolver { stub { } }", "\"stub\" needs a title" },
	{ "mta-sts { authority = \"none.pem\" }",
		":2: in mta-sts: 'authority' /etc/postern/none.pem: No such file" },
	{ "mta-sts { authority = \"no.pem\" }", ":2: in mta-sts: 'authority' /etc/postern/no.pem" },
	{ "mta-sts { cache = \"x\" }", "write a path from the root" },
	{ "domain \"example.org\" { outbound { minimum = \"TLS1.1\" } }", "\"TLS1.2\" or \"TLS1.3\"" },
	{ "domain \"example.org\" { outbound { require = encrypt names = {a} } }",
		"'names' does nothing with require = \"encrypt\"" },
	{ "domain \"example.org\" { outbound { require = encrypt authority = \"ca.pem\" } }",
		"'authority' does nothing" },
	{ "domain \"example.org\" { outbound { key-pins = {\"00\"} } }", "'key-pins' does nothing" },
	{ "domain \"example.org\" { outbound { require = verify } }",
		"in outbound: 'authority' this machine has no roots" },
	{ "domain \"example.org\" { outbound { require = verify\n authority = \"none.pem\" } }",
		":3: in outbound: 'authority' /etc/postern/none.pem: No such file" },
	{ "domain \"example.org\" { outbound { require = verify authority = \"no.pem\" } }",
		"no.pem" },
	{ "domain \"example.org\" { outbound { require = may } outbound { } }", "said twice" },
	{ "domain \"Example.org\" { outbound { } } domain \"example.org.\" { outbound { } }",
		"has a rule already" },
	{ "domain \"example.org\" { inbound { require = none minimum = \"TLS1.3\" } }",
		"which need TLS" },
	{ "route \"example.org\" { }", "'to' is missing" },
	{ "route \"example.org\" {\n to = \"pigeon coop\" }", ":3: in route \"example.org\": 'to' is" },
	{ "route \"a b\" { to = \"maildir /m\" }", "route" },
	{ "certificate x { chain = \"mx.pem\" }", "'key' is missing" },
	{ "certificate x { chain = \"mx.pem\" key = \"none\" }", "'key' /etc/postern/none: No such" },
	{ "certificate x { chain = \"mx.pem\" key = \"other.key\" }", ":2: in certificate \"x\": " },
	{ "certificate x { chain = \"no.pem\" key = \"mx.key\" }", ":2: in certificate \"x\": " },
	{ CERTIFICATE "listen \"0.0.0.0:25\" { certificates = {mz} }",
		"names \"mz\", but there is no section" },
	{ CERTIFICATE "listen \"0.0.0.0:25\" { client-authority = \"no.pem\" }",
		"'client-authority'" },
	{ CERTIFICATE "listen \"0.0.0.0:25\" { minimum = \"SSLv3\" }", "'minimum' is \"SSLv3\"" },
	{ "listen \"0.0.0.0:25\" { tls = off } relay { client-certificate { chain = \"mx.pem\" } }",
		"in client-certificate: 'key' is missing" },
	{ "include \"none.conf\"", ":2: include: /etc/postern/none.conf: No such file" },
	{ "listen \"0.0.0.0:25\" { tls = off", "is never closed" },
};

static void refuses_with_place_cause_and_remedy(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct buf content = { 0 };
		struct err err;
		bool has_listen = strstr(refused[i].content, "listen") ||
			strstr(refused[i].content, "milter ");
		/* one line in front, what else is needed behind */
		buf_printf(&content, BASE "%s\n%s", refused[i].content,
			has_listen ? "" : "listen \"127.0.0.1:2525\" { tls = off }\n");
		struct config *c = load_str(buf_str(&content), &err);
		if (c)
			fail_msg("accepted: %s", refused[i].content);
		if (!strstr(err.text, refused[i].words))
			fail_msg("%s\n%s", err.text, refused[i].content);
		if (strncmp(err.text, "/etc/postern/postern.conf:", 26) != 0)
			fail_msg("no place: %s", err.text);
		assert_int_equal(err.kind, ERR_INPUT);
		buf_release(&content);
	}
}

static void a_milter_reads_the_same_rules(void **state)
{
	(void)state;
	struct config *c = load_good("hostname = mx.example.org\n"
		"milter \"inet:127.0.0.1:8891\" { mode = report header = \"X-TLS\"\n"
		"	exempt-daemons = {\":10025\"} socket-mode = \"0600\" mta = postfix }\n"
		"client \".partner.example\" { inbound { require = tls } }\n"
		"daemon \":587\" { inbound { require = certificate } }\n"
		"domain \"a.example\" { inbound { minimum-bits = 256 mode = quarantine }\n"
		"	inbound-recipients { refused-ciphers = {\"*CBC*\"} } }\n"
		"domain \"b.example\" { inbound-recipients { require = tls } }\n");
	assert_null(c->warnings[0] && strstr(c->warnings[0], "listen") ? c->warnings[0] : NULL);
	assert_string_equal(c->milter.socket, "inet:127.0.0.1:8891");
	assert_string_equal(c->milter.connection, "inet:8891@127.0.0.1");
	assert_null(c->milter.socket_path);
	assert_string_equal(c->milter.header, "X-TLS");
	assert_int_equal(c->milter.inbound.mode, POLICY_INBOUND_REPORT);
	assert_int_equal(c->milter.mta, MILTER_MTA_POSTFIX);
	assert_int_equal(c->milter.socket_mode, 0600);
	assert_int_equal(c->milter.inbound.exempt_count, 2); /* the loopback, by default */
	struct policy_inbound_facts facts = { .has_tls = true, .version = 12, .bits = 128,
		.cipher = STR("AES128-SHA"), .client_name = STR("mx.partner.example"), .port = 587 };
	struct policy_inbound_refusal no;
	assert_false(policy_inbound_may_send(c->inbound, &facts, STR("x.example"), &no));
	assert_non_null(strstr(no.source, "daemon \":587\""));
	facts.port = 25;
	assert_true(policy_inbound_may_send(c->inbound, &facts, STR("x.example"), &no));
	assert_false(policy_inbound_may_send(c->inbound, &facts, STR("a.example"), &no));
	assert_int_equal(no.mode, POLICY_INBOUND_QUARANTINE);
	assert_false(policy_inbound_may_receive(c->inbound, &facts, STR("a.example"), &no));
	assert_true(policy_inbound_may_receive(c->inbound, &facts, STR("b.example"), &no));
	facts.has_tls = false;
	assert_false(policy_inbound_may_receive(c->inbound, &facts, STR("b.example"), &no));
	assert_false(policy_inbound_may_send(c->inbound, &facts, STR("x.example"), &no));
	assert_non_null(strstr(no.text, "the client mx.partner.example"));
	config_unref(&c);
	static const struct {
		const char *written, *connection;
	} sockets[] = {
		{ "inet:[::1]:25", "inet6:25@::1" }, { "inet6:25@::1", "inet6:25@::1" },
		{ "inet:8891@127.0.0.1", "inet:8891@127.0.0.1" },
		{ "unix:/run/m.sock", "unix:/run/m.sock" },
	};
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		struct buf text = { 0 };
		buf_printf(&text, "hostname = mx.example.org\nmilter \"%s\" { exempt = {} }",
			sockets[i].written);
		c = load_good(buf_text(&text));
		assert_string_equal(c->milter.connection, sockets[i].connection);
		assert_int_equal(c->milter.inbound.exempt_count, 0);
		config_unref(&c);
		buf_release(&text);
	}
}

static void a_policy_service_reads_the_same_rules_and_needs_no_resolver(void **state)
{
	(void)state;
	struct config *c = load_good("hostname = mx.example.org\n"
		"policy-service \"127.0.0.1\" { mode = tempfail exempt = {\"192.0.2.0/24\"}\n"
		"	exempt-daemons = {\"reinject\"} }\n"
		"daemon \"partners\" { inbound { require = certificate } }\n"
		"domain \"a.example\" { inbound { mode = quarantine key-pins = {\""
		"sha256:bvnQMY4s7AyfwxOxH0VcPwmpa0yLZJgo4hJm1XjFRtE=\"} } }\n");
	assert_int_equal(c->delegation.sockets.count, 1);
	assert_int_equal(c->delegation.sockets.all[0].address.port, 8643);
	assert_int_equal(c->delegation.inbound.mode, POLICY_INBOUND_TEMPFAIL);
	assert_int_equal(c->delegation.inbound.exempt_count, 1);
	assert_int_equal(c->delegation.inbound.exempt_daemon_count, 1);
	assert_true(c->wants_policyd);
	assert_false(c->wants_plans);
	assert_false(has_warning(c, "DANE is off"));
	assert_false(has_warning(c, "no MTA-STS policy can be fetched"));
	struct policy_inbound_facts facts = { .has_tls = true, .version = 12,
		.daemon = STR("partners") };
	struct policy_inbound_refusal no;
	assert_false(policy_inbound_may_send(c->inbound, &facts, STR("x.example"), &no));
	facts.daemon = STR("");
	assert_false(policy_inbound_may_send(c->inbound, &facts, STR("a.example"), &no));
	assert_int_equal(no.mode, POLICY_INBOUND_QUARANTINE);
	config_unref(&c);
	/* by default */
	c = load_good(LISTEN "route \"*\" { to = \"smtp 192.0.2.1:25\" }\n"
		"policy-service \"unix:/run/postern-policy/socket\" { }");
	assert_string_equal(c->delegation.sockets.all[0].path, "/run/postern-policy/socket");
	assert_int_equal(c->delegation.inbound.mode, POLICY_INBOUND_REJECT);
	assert_int_equal(c->delegation.inbound.exempt_count, 2); /* the loopback */
	assert_true(c->wants_policyd);
	assert_false(c->wants_plans);
	config_unref(&c);
	c = load_good(LISTEN "policy-service \"0.0.0.0:9000\" { }\nsocketmap \"127.0.0.1\" { }\n"
		"route \"*\" { to = \"smtp 192.0.2.1:25\" }\n");
	assert_true(has_warning(c, "policy-service \"0.0.0.0:9000\" can be asked from other machines"));
	assert_true(c->wants_plans);
	config_unref(&c);
}

/* postern-policyd beside another mail server takes no mail; posternd itself refuses such a file. */
static void a_file_without_listeners_is_for_policyd_alone(void **state)
{
	(void)state;
	struct config *c = load_good(BASE);
	assert_int_equal(c->listener_count, 0);
	assert_true(c->wants_policyd);
	assert_true(has_warning(c, "no listen section: this file is good for postern-policyd alone"));
	assert_false(has_warning(c, "no route section"));
	config_unref(&c);
}

static void a_file_for_postern_milter_alone_wants_neither_policyd_nor_a_resolver(void **state)
{
	(void)state;
	struct config *c = load_good(BASE "milter \"inet:127.0.0.1:8891\" { }\n"
		"domain \"a.example\" { inbound { require = tls } }");
	assert_false(c->wants_policyd);
	assert_false(c->wants_plans);
	assert_null(c->dns.anchor_text);
	assert_null(c->warnings[0]);
	config_unref(&c);
	/* unless it says more */
	c = load_good(BASE "milter \"inet:127.0.0.1:8891\" { }\nsocketmap \"127.0.0.1\" { }");
	assert_true(c->wants_plans);
	config_unref(&c);
	c = load_good(BASE "milter \"inet:127.0.0.1:8891\" { }\nroute \"*\" { to = \"mx\" }");
	assert_true(c->wants_plans);
	config_unref(&c);
}

static void socketmap_addresses_are_read_and_want_policyd(void **state)
{
	(void)state;
	struct config *c = load_good(LISTEN "route \"*\" { to = \"smtp 192.0.2.1:25\" }\n"
		"socketmap \"127.0.0.1\" { }\nsocketmap \"[::1]:9000\" { }\n"
		"socketmap \"unix:/run/maps/sock\" { }");
	assert_int_equal(c->socketmap.count, 3);
	assert_int_equal(c->socketmap.all[0].address.port, 8642);
	assert_int_equal(c->socketmap.all[1].address.port, 9000);
	assert_string_equal(c->socketmap.all[2].path, "/run/maps/sock");
	assert_true(c->wants_policyd);
	assert_false(has_warning(c, "socketmap"));
	config_unref(&c);
	c = load_good(LISTEN "route \"*\" { to = \"smtp 192.0.2.1:25\" }");
	assert_int_equal(c->socketmap.count, 0);
	assert_false(c->wants_policyd);
	config_unref(&c);
}

static void tlsrpt_collectors_are_read_and_want_policyd(void **state)
{
	(void)state;
	struct config *c = load_good(LISTEN "route \"*\" { to = \"smtp 192.0.2.1:25\" }\n"
		"mta-sts { cache = \"/a/b/c.db\" }\n"
		"tlsrpt-collector \"/run/a.sock\" { }\ntlsrpt-collector \"/run/b.sock\" { mode = \"0666\" }");
	assert_int_equal(c->tlsrpt.collector_count, 2);
	assert_string_equal(c->tlsrpt.tally, "/a/b/tlsrpt.db");
	assert_true(c->wants_policyd);
	assert_true(has_warning(c, "everybody on this machine may send to tlsrpt-collector \"/run/b.sock\""));
	assert_false(has_warning(c, "/run/a.sock"));
	config_unref(&c);
}

static void a_full_hostname_is_needed(void **state)
{
	(void)state;
	static const char *const bad[] = { "mx", "a b.example", "mx..example", "[192.0.2.1]", "" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err;
		struct buf content = { 0 };
		buf_printf(&content, "\nhostname = \"%s\"\nlisten \"0.0.0.0:25\" { tls = off }", bad[i]);
		assert_null(load_str(buf_str(&content), &err));
		if (strncmp(err.text, "/etc/postern/postern.conf:2: 'hostname' ", 40) != 0)
			fail_msg("%s", err.text);
		buf_release(&content);
	}
}

static void a_file_cut_off_inside_a_section_is_refused(void **state)
{
	(void)state;
	int depth = 0;
	unsigned inside = 0;
	for (size_t length = 0; length < sizeof(everything) - 1; length++) {
		struct err err;
		struct config *c = load_str(str_from(everything, length), &err);
		if (c && depth > 0)
			fail_msg("accepted a file cut at %zu: %.*s", length, (int)length, everything);
		if (!c)
			assert_int_equal(err.kind, ERR_INPUT);
		config_unref(&c);
		inside += depth > 0;
		depth += (everything[length] == '{') - (everything[length] == '}');
	}
	assert_true(inside > 500);
}

static void included_files_are_parts_of_one(void **state)
{
	(void)state;
	memory_source_put(&files, "/etc/postern/conf.d/x.conf",
		STR("\ndomain \"example.net\" { outbound { require = verify authority = \"../ca.pem\" } }"));
	memory_source_put(&files, "/etc/postern/conf.d/../ca.pem", str_of(pems[6]));
	struct config *c = load_good(LISTEN "include \"conf.d/x.conf\"");
	const struct policy_requirement *r = policy_rules_find(c->rules, STR("example.net"), 0)->requirement;
	assert_string_equal(r->source, "x.conf:2 domain \"example.net\"");
	assert_true(has_file(c, "/etc/postern/conf.d/x.conf"));
	assert_true(has_file(c, "/etc/postern/conf.d/../ca.pem"));
	config_unref(&c);
	struct err err;
	memory_source_put(&files, "/etc/postern/conf.d/x.conf", STR("\n\nsession { hops = x }"));
	assert_null(load_str(STR(LISTEN "include \"conf.d/x.conf\""), &err));
	assert_non_null(strstr(err.text, "/etc/postern/conf.d/x.conf:3: "));
	memory_source_put(&files, "/etc/postern/conf.d/x.conf", STR("\nuser = b"));
	assert_null(load_str(STR("user = a " LISTEN "include \"conf.d/x.conf\""), &err));
	assert_non_null(strstr(err.text, "/etc/postern/conf.d/x.conf:2: \"user\" is said twice; first "
					 "at /etc/postern/postern.conf:1"));
}

static void the_environment_does_not_get_in(void **state)
{
	(void)state;
	setenv("POSTERN_TEST_NAME", "/elsewhere", 1);
	struct config *c = load_good(LISTEN "run-directory = \"/run/${POSTERN_TEST_NAME}\"");
	assert_string_equal(c->run_directory, "/run/${POSTERN_TEST_NAME}");
	config_unref(&c);
}

static void warns_of_what_is_probably_not_meant(void **state)
{
	(void)state;
	static const struct {
		const char *content, *words;
	} rows[] = {
		{ LISTEN "certificate old { chain = \"old.pem\" key = \"old.key\" }",
			":3: the certificate /etc/postern/old.pem expired on 2026-01-02: renew it" },
		{ LISTEN CERTIFICATE, ":3: everybody on this machine may read the private key "
				      "/etc/postern/mx.key" },
		{ LISTEN "client \"10.0.0.0/7\" { relay = true }", "a great part of the Internet" },
		{ LISTEN "domain \"a.example\" { outbound { require = verify authority = \"ca.pem\" } }\n"
			 "route \"a.example\" { to = \"smtp 192.0.2.1:25\" }",
			":4: route \"a.example\" leads to an address" },
		{ LISTEN "domain \"a.example\" { outbound { require = dane-only } }\n"
			 "route \"a.example\" { to = \"smtp 192.0.2.1:25\" }",
			"an address has no TLSA records" },
		{ LISTEN "\nsocketmap \"0.0.0.0:8642\" { }",
			":4: socketmap \"0.0.0.0:8642\" can be asked from other machines" },
		{ LISTEN "\nexception \"a.example\" { require = may reason = x until = \"2020-02-29\" }",
			":4: the exception for \"a.example\" is over (until 2020-02-29)" },
	};
	files.exposed = "/etc/postern/mx.key";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *c = load_good(rows[i].content);
		if (!has_warning(c, rows[i].words))
			fail_msg("%s", c->warnings[0] ? c->warnings[0] : "(no warning)");
		config_unref(&c);
	}
	files.exposed = NULL;
}

static void warns_of_an_exception_that_ends_soon(void **state)
{
	(void)state;
	for (int days = 2; days <= 20; days += 18) {
		char day[16], content[400];
		time_t at = time(NULL) + days * 24 * 3600;
		struct tm tm;
		assert_non_null(gmtime_r(&at, &tm));
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
		snprintf(content, sizeof(content), LISTEN
			"exception \"a.example\" { require = may reason = x until = \"%s\" }", day);
		struct config *c = load_good(content);
		assert_int_equal(has_warning(c, ":3: the exception for \"a.example\" ends soon"),
			days == 2);
		config_unref(&c);
	}
}

static void verify_takes_the_roots_of_the_machine(void **state)
{
	(void)state;
	memory_source_put(&files, "system", str_of(pems[6]));
	struct config *c = load_good(LISTEN "domain \"a\" { outbound { require = verify } }\n"
					    "domain \"b\" { outbound { require = verify } }");
	const struct policy_requirement *a = policy_rules_find(c->rules, STR("a"), 0)->requirement;
	assert_string_equal(a->trust_name, "system");
	assert_ptr_equal(a->trust, policy_rules_find(c->rules, STR("b"), 0)->requirement->trust);
	assert_string_equal(a->fingerprint, policy_rules_find(c->rules, STR("b"), 0)->requirement->fingerprint);
	config_unref(&c);
	files.count--;
}

static void other_roots_of_the_machine_are_another_demand(void **state)
{
	(void)state;
	char fingerprints[2][33];
	for (size_t i = 0; i < 2; i++) {
		struct buf roots = { 0 };
		buf_append_text(&roots, pems[6]);
		buf_append_text(&roots, i ? pems[0] : "");
		memory_source_put(&files, "system", buf_str(&roots));
		struct config *c = load_good(LISTEN "domain \"a\" { outbound { require = verify } }");
		strcpy(fingerprints[i], policy_rules_find(c->rules, STR("a"), 0)->requirement->fingerprint);
		config_unref(&c);
		buf_release(&roots);
	}
	assert_string_not_equal(fingerprints[0], fingerprints[1]);
	files.count--;
}

static void rules_say_whether_dane_and_mta_sts_count(void **state)
{
	(void)state;
	static const struct {
		const char *words;
		enum policy_level level;
		bool uses_dane, uses_sts;
	} rows[] = {
		{ "", POLICY_LEVEL_MAY, true, true },
		{ "require = dane", POLICY_LEVEL_DANE, true, true },
		{ "require = dane-only mta-sts = no", POLICY_LEVEL_DANE_ONLY, true, false },
		{ "require = none dane = off", POLICY_LEVEL_NONE, false, true },
		{ "require = encrypt dane = true mta-sts = false", POLICY_LEVEL_ENCRYPT, true, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf content = { 0 };
		buf_printf(&content, LISTEN "domain \"a.example\" { outbound { %s } }", rows[i].words);
		struct config *c = load_good(buf_text(&content));
		const struct policy_rule *rule = policy_rules_find(c->rules, STR("a.example"), 0);
		assert_int_equal(rule->requirement->level, rows[i].level);
		assert_int_equal(rule->uses_dane, rows[i].uses_dane);
		assert_int_equal(rule->uses_sts, rows[i].uses_sts);
		assert_false(rule->is_exception);
		config_unref(&c);
		buf_release(&content);
	}
}

static void an_exception_carries_its_reason_and_its_end(void **state)
{
	(void)state;
	struct config *c = load_good(LISTEN
		"domain \"a.example\" { outbound { require = dane-only } }\n"
		"exception \"a.example\" { require = encrypt minimum = \"TLS1.3\" until = \"2026-12-31\"\n"
		"	reason = \"renewed in January\" }\n");
	const int64_t end_s = 1798761600; /* 2027-01-01T00:00:00Z */
	const struct policy_rule *rule = policy_rules_find(c->rules, STR("a.example"), end_s - 1);
	assert_true(rule->is_exception);
	assert_false(rule->uses_dane || rule->uses_sts);
	assert_int_equal(rule->requirement->level, POLICY_LEVEL_ENCRYPT);
	assert_int_equal(rule->requirement->minimum, TLSIO_TLS13);
	assert_string_equal(rule->requirement->source, "postern.conf:4 exception \"a.example\"");
	assert_string_equal(rule->reason, "renewed in January");
	assert_int_equal(rule->until_s, end_s);
	rule = policy_rules_find(c->rules, STR("a.example"), end_s);
	assert_false(rule->is_exception);
	assert_int_equal(rule->requirement->level, POLICY_LEVEL_DANE_ONLY);
	config_unref(&c);
}

static void a_reason_is_short_enough_for_a_line(void **state)
{
	(void)state;
	for (size_t length = 200; length <= 201; length++) {
		struct buf content = { 0 };
		struct err err;
		buf_append_text(&content, LISTEN "exception \"a.example\" { require = may\n reason = \"");
		for (size_t i = 0; i < length; i++)
			buf_append_byte(&content, 'x');
		buf_append_text(&content, "\" until = \"2026-12-31\" }");
		struct config *c = load_str(buf_str(&content), &err);
		assert_int_equal(c != NULL, length == 200);
		if (!c)
			assert_non_null(strstr(err.text, ":4: in exception \"a.example\": 'reason' is longer "
							 "than 200 bytes"));
		config_unref(&c);
		buf_release(&content);
	}
}

static void an_exception_may_verify_by_the_machines_roots(void **state)
{
	(void)state;
	memory_source_put(&files, "system", str_of(pems[6]));
	struct config *c = load_good(LISTEN "exception \"a.example\" { require = verify reason = x "
					    "until = \"2999-01-01\" }");
	const struct policy_rule *rule = policy_rules_find(c->rules, STR("a.example"), 0);
	assert_string_equal(rule->requirement->trust_name, "system");
	assert_non_null(rule->requirement->trust);
	assert_true(has_warning(c, ":3: the exception for \"a.example\" goes on until 2999-01-01, more "
				   "than a year"));
	config_unref(&c);
	files.count--;
}

static void reads_resolver_and_mta_sts(void **state)
{
	(void)state;
	memory_source_put(&files, "/etc/root.key", STR(". 172800 IN DNSKEY 257 3 8 AwEA"));
	struct config *c = load_good(LISTEN
		"resolver { forward = {\"192.0.2.53@5353\"} trust-anchor = \"/etc/root.key\"\n"
		"	timeout = 5s stub \"corp.example\" { servers = {\"192.0.2.1\"} } check = {} }\n"
		"mta-sts { cache = \"/c.db\" first-contact-wait = 3s authority = \"ca.pem\" }\n");
	assert_string_equal(c->dns.forward[0], "192.0.2.53@5353");
	assert_string_equal(c->dns.trust_anchor, "/etc/root.key");
	assert_string_equal(c->dns.anchor_text, ". 172800 IN DNSKEY 257 3 8 AwEA");
	assert_int_equal(c->dns.timeout_ms, 5000);
	assert_string_equal(c->dns.stubs[0].zone, "corp.example");
	assert_null(c->dns.check[0]);
	assert_string_equal(c->sts.cache, "/c.db");
	assert_int_equal(c->sts.first_wait_ms, 3000);
	assert_string_equal(c->sts.authority, "ca.pem");
	assert_string_equal(c->sts.authority_pem, pems[6]);
	assert_true(has_file(c, "/etc/root.key"));
	assert_true(has_file(c, "/etc/postern/ca.pem"));
	uint8_t sha256[32];
	struct err err;
	struct tlsio_trust *trust = config_sts_authority(c, sha256, &err);
	assert_non_null(trust);
	assert_ptr_equal(trust, config_find_authority(c, "ca.pem", sha256));
	tlsio_trust_unref(&trust);
	config_unref(&c);
}

static void policyd_is_wanted_where_mail_goes_by_mx_or_dane(void **state)
{
	(void)state;
	static const struct {
		const char *content;
		bool is_wanted;
	} rows[] = {
		{ "route \"*\" { to = \"smtp a.example:25\" }", false },
		{ "route \"*\" { to = \"mx\" }", true },
		{ "route \"a.example\" { to = \"mx b.example\" } route \"*\" { to = \"smtp c:25\" }", true },
		{ "domain \"a.example\" { outbound { require = dane } }\n"
		  "route \"*\" { to = \"smtp a.example:25\" }", true },
		{ "domain \".a.example\" { outbound { require = dane-only } }\n"
		  "route \"*\" { to = \"lmtp a.example:24\" }", true },
		{ "domain \"a.example\" { outbound { require = dane-only } }\n"
		  "route \"a.example\" { to = \"maildir /m\" }", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf content = { 0 };
		buf_printf(&content, LISTEN "%s", rows[i].content);
		struct config *c = load_good(buf_text(&content));
		if (c->wants_policyd != rows[i].is_wanted)
			fail_msg("%s", rows[i].content);
		/* What is lacking is told to those who need it. */
		assert_int_equal(has_warning(c, "DANE is off"), rows[i].is_wanted);
		assert_int_equal(has_warning(c, "no MTA-STS policy can be fetched: this machine has no "
						"roots"), rows[i].is_wanted);
		assert_null(c->dns.anchor_text);
		config_unref(&c);
		buf_release(&content);
	}
}

static void finds_authorities_by_name_and_content(void **state)
{
	(void)state;
	static const uint8_t foreign[32] = { 1 };
	memory_source_put(&files, "system", str_of(pems[6]));
	struct config *c = load_good(LISTEN
		"domain \"a.example\" { outbound { require = verify authority = \"ca.pem\" } }\n"
		"route \"*\" { to = \"mx\" }");
	const struct policy_requirement *r =
		policy_rules_find(c->rules, STR("a.example"), 0)->requirement;
	assert_int_equal(c->authority_count, 2);
	assert_ptr_equal(config_find_authority(c, "ca.pem", r->trust_sha256), r->trust);
	assert_null(config_find_authority(c, "ca.pem", foreign));
	assert_null(config_find_authority(c, "none.pem", r->trust_sha256));
	/* The machine's roots are what they are here and now. */
	assert_non_null(config_find_authority(c, "system", foreign));
	config_unref(&c);
	files.count--;
}

static void routes_without_tls_are_exempt_from_verify(void **state)
{
	(void)state;
	struct config *c = load_good(LISTEN
		"domain \"*\" { outbound { require = verify authority = \"ca.pem\" } }\n"
		"route \"a.example\" { to = \"maildir /var/mail/%d/%u\" }\n"
		"route \".a.example\" { to = \"lmtp unix:/run/lmtp\" }\n");
	assert_null(c->warnings[0]);
	config_unref(&c);
}

static void ten_thousand_rules_are_no_burden(void **state)
{
	(void)state;
	struct buf content = { 0 };
	buf_append_text(&content, LISTEN);
	for (int i = 0; i < 10000; i++)
		buf_printf(&content, "domain d%d.example { outbound { require = encrypt } }\n"
				     "client \"10.%d.%d.0/24\" { relay = true }\n"
				     "route d%d.example { to = \"smtp 192.0.2.1\" }\n",
			i, i / 256, i % 256, i);
	struct err err;
	struct config *c = load_str(buf_str(&content), &err);
	if (!c)
		fail_msg("%s", err.text);
	const struct policy_requirement *r = policy_rules_find(c->rules, STR("d9999.example"), 0)->requirement;
	assert_string_equal(r->source, "postern.conf:30000 domain \"d9999.example\"");
	assert_true(relay_routes_is_ours(c->routes, STR("d5000.example")));
	config_unref(&c);
	buf_release(&content);
}

/* For who asks where mail goes and may not read keys: they are not even looked for. */
static void keys_are_not_needed_to_know_where_mail_goes(void **state)
{
	(void)state;
	struct err err = { 0 };
	memory_source_put(&files, "/etc/postern/postern.conf",
		STR(BASE "certificate mx { chain = \"none.pem\" key = \"none.key\" }\n"
			 "listen \"0.0.0.0:25\" { }\nroute \"*\" { to = \"mx\" }\n"
			 "relay { client-certificate { chain = \"none.pem\" key = \"none.key\" } }\n"
			 "domain \"x.test\" { outbound { require = \"encrypt\" } }\n"));
	struct config_source source = memory_source_as_config_source(&files);
	assert_null(config_load("/etc/postern/postern.conf", &source, NULL, &err));
	source.skips_keys = true;
	struct config *c = config_load("/etc/postern/postern.conf", &source, NULL, &err);
	if (!c)
		fail_msg("%s", err.text);
	assert_int_equal(c->listener_count, 0);
	assert_false(has_file(c, "/etc/postern/none.key"));
	assert_int_equal(policy_rules_find(c->rules, STR("x.test"), 0)->requirement->level,
		POLICY_LEVEL_ENCRYPT);
	config_unref(&c);
}

static void reads_no_file_of_this_machine(void **state)
{
	(void)state;
	struct err err;
	assert_null(load_str(STR(LISTEN "include \"/etc/passwd\""), &err));
	assert_non_null(strstr(err.text, "include: /etc/passwd: No such file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_everything),
		cmocka_unit_test(reads_listeners),
		cmocka_unit_test(reads_rules_with_their_places),
		cmocka_unit_test(defaults_need_no_words),
		cmocka_unit_test(refuses_with_place_cause_and_remedy),
		cmocka_unit_test(a_milter_reads_the_same_rules),
		cmocka_unit_test(a_policy_service_reads_the_same_rules_and_needs_no_resolver),
		cmocka_unit_test(a_file_without_listeners_is_for_policyd_alone),
		cmocka_unit_test(a_file_for_postern_milter_alone_wants_neither_policyd_nor_a_resolver),
		cmocka_unit_test(socketmap_addresses_are_read_and_want_policyd),
		cmocka_unit_test(tlsrpt_collectors_are_read_and_want_policyd),
		cmocka_unit_test(a_full_hostname_is_needed),
		cmocka_unit_test(a_file_cut_off_inside_a_section_is_refused),
		cmocka_unit_test(included_files_are_parts_of_one),
		cmocka_unit_test(the_environment_does_not_get_in),
		cmocka_unit_test(warns_of_what_is_probably_not_meant),
		cmocka_unit_test(warns_of_an_exception_that_ends_soon),
		cmocka_unit_test(verify_takes_the_roots_of_the_machine),
		cmocka_unit_test(other_roots_of_the_machine_are_another_demand),
		cmocka_unit_test(rules_say_whether_dane_and_mta_sts_count),
		cmocka_unit_test(an_exception_carries_its_reason_and_its_end),
		cmocka_unit_test(a_reason_is_short_enough_for_a_line),
		cmocka_unit_test(an_exception_may_verify_by_the_machines_roots),
		cmocka_unit_test(reads_resolver_and_mta_sts),
		cmocka_unit_test(policyd_is_wanted_where_mail_goes_by_mx_or_dane),
		cmocka_unit_test(finds_authorities_by_name_and_content),
		cmocka_unit_test(routes_without_tls_are_exempt_from_verify),
		cmocka_unit_test(ten_thousand_rules_are_no_burden),
		cmocka_unit_test(keys_are_not_needed_to_know_where_mail_goes),
		cmocka_unit_test(reads_no_file_of_this_machine),
	};
	return cmocka_run_group_tests(tests, make_files, free_files);
}
